//! What the threads of a store share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use hearth_block::{Error as BlockError, Snapshot, Source};

use crate::blocks::{Dictionaries, StoredBlock};
use crate::catalog::Catalog;
use crate::compact::CompactJob;
use crate::files::Files;
use crate::head::{Head, HeadSource};
use crate::{Options, Stats};

/// A tenant's data.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    /// Takes new rows.
    pub active: Arc<Head>,
    /// Is being flushed.
    pub frozen: Option<Arc<Head>>,
    /// Blocks in the catalog; the list is replaced, never changed, so that snapshots keep theirs.
    pub blocks: Arc<Vec<Arc<StoredBlock>>>,
}

/// What changes together, under one lock that is never held during I/O.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub tenants: BTreeMap<Arc<str>, Tenant>,
    /// The counters; the rest of it is computed when asked for.
    pub stats: Stats,
    /// Damaged blocks that nobody is shown any more, still to be set aside.
    pub damaged: Vec<Arc<StoredBlock>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub options: Options,
    pub files: Files,
    state: Mutex<State>,
    catalog: Mutex<Catalog>,
    dictionaries: Mutex<Dictionaries>,
    /// What all heads take, active and frozen.
    pub head_bytes: AtomicUsize,
    /// What the writes that wait for the log take.
    pub queue_bytes: AtomicUsize,
    /// Whether the compactor shall stop what it does.
    pub stopping: AtomicBool,
    pub compactor: Sender<CompactJob>,
    next_unique: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks protect is valid after every statement: a panic elsewhere changes nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        files: Files,
        catalog: Catalog,
        compactor: Sender<CompactJob>,
    ) -> Self {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self {
            options,
            files,
            state: Mutex::default(),
            catalog: Mutex::new(catalog),
            dictionaries: Mutex::default(),
            head_bytes: AtomicUsize::new(0),
            queue_bytes: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            compactor,
            next_unique: AtomicU64::new(u64::try_from(micros).unwrap_or(0)),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        lock(&self.catalog)
    }

    pub(crate) fn dictionaries(&self) -> MutexGuard<'_, Dictionaries> {
        lock(&self.dictionaries)
    }

    /// A number for a file name; names that are taken nevertheless make the attempt fail, not the data.
    pub(crate) fn unique(&self) -> u64 {
        self.next_unique.fetch_add(1, Ordering::Relaxed)
    }

    /// The generation of the newest symbols; 0 without any.
    pub(crate) fn generation(&self) -> u64 {
        self.options.namer.as_ref().map_or(0, |namer| namer.generation())
    }

    /// Notes a damaged file.
    pub(crate) fn report_damage(&self, message: String) {
        tracing::error!("{message}");
        let mut state = self.state();
        state.stats.corrupt_files += 1;
        state.stats.last_corruption = Some(message);
    }

    /// Stops showing a damaged block to new snapshots; the compactor sets it aside.
    pub(crate) fn withdraw(&self, id: i64, tenant: &str, message: String) {
        let mut state = self.state();
        let Some(tenant) = state.tenants.get_mut(tenant) else { return };
        let Some(damaged) = tenant.blocks.iter().find(|block| block.row.id == id).cloned() else { return };
        tenant.blocks = Arc::new(tenant.blocks.iter().filter(|block| block.row.id != id).cloned().collect());
        state.damaged.push(damaged);
        drop(state);
        self.report_damage(message);
        // Fails only while the store stops; the next start finds the block again.
        let _ = self.compactor.send(CompactJob::Look);
    }

    pub(crate) fn snapshot(&self) -> View {
        let state = self.state();
        let view = |(name, tenant): (&Arc<str>, &Tenant)| {
            let heads = tenant.frozen.iter().chain([&tenant.active]);
            let heads = heads.filter_map(|head| head.source(self.options.namer.as_ref(), name)).collect();
            (Arc::clone(name), TenantView { heads, blocks: Arc::clone(&tenant.blocks) })
        };
        View { tenants: state.tenants.iter().map(view).collect() }
    }
}

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[derive(Debug)]
struct TenantView {
    heads: Vec<Arc<HeadSource>>,
    blocks: Arc<Vec<Arc<StoredBlock>>>,
}

/// Everything at one moment.
#[derive(Debug)]
pub(crate) struct View {
    tenants: BTreeMap<Arc<str>, TenantView>,
}

impl Snapshot for View {
    fn sources(&self, tenant: &str, start_ms: i64, end_ms: i64) -> Result<Vec<Arc<dyn Source>>, BlockError> {
        let Some(tenant) = self.tenants.get(tenant) else { return Ok(Vec::new()) };
        let heads = tenant.heads.iter().map(|head| Arc::clone(head) as Arc<dyn Source>);
        let blocks = tenant.blocks.iter().map(|block| Arc::clone(block) as Arc<dyn Source>);
        let overlaps = |source: &Arc<dyn Source>| {
            let (first, last) = source.slot_range_ms();
            first < end_ms && last >= start_ms
        };
        Ok(blocks.chain(heads).filter(overlaps).collect())
    }
}
