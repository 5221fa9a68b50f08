//! Keeps what was acknowledged: write-ahead log, head, segments, catalog.

mod error;
mod head;
mod options;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use error::Error;
pub use options::{Options, Owner, Probe, Stats, Step, SyncPolicy};
pub use write::{Appended, Write, check_tenant};

use hearth_block::{Error as BlockError, Snapshot, Source};

use crate::head::{Head, HeadSource};

/// A data directory in use.
#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    heads: BTreeMap<String, Arc<Head>>,
    seen: HashSet<(String, [u8; 16])>,
    stats: Stats,
}

impl Store {
    /// Opens or creates the data directory and replays its log. Blocks; takes no longer than
    /// reading the log.
    pub fn open(options: Options) -> Result<Arc<Self>, Error> {
        std::fs::create_dir_all(&options.dir).map_err(|source| Error::io("create", &options.dir, source))?;
        Ok(Arc::new(Self { state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds rows, all or none; returns once they are as durable as the policy demands, and queryable.
    ///
    /// A `batch_id` that was acknowledged for this tenant within the last 15 minutes makes this a
    /// duplicate: nothing is added.
    pub async fn append(
        &self,
        tenant: &str,
        batch_id: Option<[u8; 16]>,
        write: Write,
    ) -> Result<Appended, Error> {
        check_tenant(tenant)?;
        write.check()?;
        let mut state = self.state();
        if batch_id.is_some_and(|id| !state.seen.insert((tenant.to_owned(), id))) {
            state.stats.duplicates += 1;
            return Ok(Appended { rows: 0, duplicate: true });
        }
        state.heads.entry(tenant.to_owned()).or_default().append(&write);
        state.stats.appends += 1;
        Ok(Appended { rows: write.rows.len(), duplicate: false })
    }

    /// What is stored now; cheap.
    pub fn snapshot(&self) -> Arc<dyn Snapshot> {
        let state = self.state();
        let heads = state.heads.iter();
        Arc::new(View { tenants: heads.map(|(name, head)| (name.clone(), head.source())).collect() })
    }

    /// Moves the heads to segments.
    pub async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Flushes and stops; later calls of [`Self::append`] fail with [`Error::Closed`].
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.flush().await
    }

    /// All tenants that have data.
    pub fn tenants(&self) -> Vec<String> {
        self.state().heads.keys().cloned().collect()
    }

    /// What the store says about itself.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        let head_rows = state.heads.values().map(|head| head.rows()).sum();
        let _bytes: usize = state.heads.values().map(|head| head.bytes()).sum();
        Stats { head_rows, ..state.stats.clone() }
    }
}

#[derive(Debug)]
struct View {
    tenants: BTreeMap<String, Option<Arc<HeadSource>>>,
}

impl Snapshot for View {
    fn sources(&self, tenant: &str, start_ms: i64, end_ms: i64) -> Result<Vec<Arc<dyn Source>>, BlockError> {
        let source = self.tenants.get(tenant).and_then(Option::as_ref);
        Ok(source
            .filter(|source| source.slot_range_ms().0 < end_ms && source.slot_range_ms().1 >= start_ms)
            .map(|source| Arc::clone(source) as Arc<dyn Source>)
            .into_iter()
            .collect())
    }
}
