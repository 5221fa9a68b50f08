//! Keeps what was acknowledged: write-ahead log, head, segments, catalog.
//!
//! ```text
//! append ─▶ log, synced ─▶ head (memory, queryable) ─▶ acknowledged
//!                           │ every half minute
//!                           ▼
//!                        segment ─▶ catalog ─▶ log deleted      segments ─▶ block of an hour
//! ```
//!
//! # What it promises
//!
//! What [`Store::append`] acknowledged survives the end of the process and, with
//! [`SyncPolicy::Always`], a power cut. It is in every later [`Store::snapshot`] exactly once, also while
//! it moves from head to segment to block. Damage is reported and set aside, never passed over.
//!
//! # The directory
//!
//! `lock`, `VERSION`, `catalog.sqlite`, `wal/N.log`, `blocks/TENANT/N.block` (`docs/block-format.md`),
//! `corrupt/` for what was found damaged.
//!
//! # What this crate does not do
//!
//! It does not query: `hearth-query` reads through the traits of `hearth-block`.

mod blocks;
mod catalog;
mod commit;
mod compact;
mod error;
mod files;
mod flush;
mod head;
mod log;
mod naming;
mod open;
mod options;
mod payload;
mod shared;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

pub use error::Error;
use hearth_block::{Row, Snapshot};
pub use options::{Options, Owner, Probe, Stats, Step, SyncPolicy};
use tokio::sync::oneshot;
pub use write::{Appended, Write, check_tenant};

use crate::commit::{CommitJob, Committer, Pending, QueueMemory};
use crate::compact::CompactJob;
use crate::files::Files;
use crate::flush::{FlushJob, Flusher};
use crate::log::Log;
use crate::payload::Entry;
use crate::shared::{Shared, now_ms};

/// Heads may hold this many times [`Options::flush_bytes`] before writes are refused.
const HEAD_EXCESS: usize = 4;

/// A data directory in use.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    committer: Sender<CommitJob>,
    flusher: Sender<FlushJob>,
    closed: AtomicBool,
    /// The threads and the directory's lock, until the store is stopped.
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    /// In the order in which they are stopped.
    threads: [JoinHandle<()>; 3],
    lock: File,
}

impl Store {
    /// Opens or creates the data directory and replays its log. Blocks for as long as reading the log
    /// takes; everything is queryable then.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if another process uses the directory, [`Error::Version`] if a newer program
    /// wrote it. Damaged blocks and records are no errors: see [`Stats::corrupt_files`].
    pub fn open(options: Options) -> Result<Arc<Self>, Error> {
        let files = Files::new(&options);
        for dir in [&files.root, &files.log_dir(), &files.blocks_dir()] {
            files.create_dir(dir)?;
        }
        let lock = open::lock(&files)?;
        open::check_version(&files)?;
        let catalog = open::open_catalog(&files)?;
        let (compactor, compact_jobs) = channel();
        let shared = Arc::new(Shared::new(options, files, catalog, compactor));
        open::load_blocks(&shared)?;
        let replayed = open::replay(&shared)?;
        let (flusher, flush_jobs) = channel();
        let (committer, commit_jobs) = channel();
        let commit = Committer {
            log: Log::create(&shared.files, replayed.log_number + 1)?,
            shared: Arc::clone(&shared),
            sequence: replayed.sequence,
            batches: replayed.batches,
            new_batches: Vec::new(),
            flusher: flusher.clone(),
            flush_asked: Arc::default(),
            last_sync: Instant::now(),
            last_recovery: None,
        };
        let flush =
            Flusher { shared: Arc::clone(&shared), committer: committer.clone(), frozen: replayed.frozen };
        let compact = Arc::clone(&shared);
        let threads = [
            spawn("store-flush", move || flush.run(&flush_jobs))?,
            spawn("store-commit", move || commit.run(&commit_jobs))?,
            spawn("store-compact", move || compact::run(&compact, &compact_jobs))?,
        ];
        let running = Mutex::new(Some(Running { threads, lock }));
        Ok(Arc::new(Self { shared, committer, flusher, closed: AtomicBool::new(false), running }))
    }

    /// Adds rows, all or none; returns once they are as durable as the policy demands, and queryable.
    ///
    /// A `batch_id` that was acknowledged for this tenant within the last 15 minutes makes this a
    /// duplicate: nothing is added. That also holds after a restart.
    ///
    /// # Errors
    ///
    /// Nothing was added then, with one exception: whoever stops waiting does not learn what
    /// happened, and sends the same batch again. See [`Error::is_retryable`].
    pub async fn append(
        &self,
        tenant: &str,
        batch_id: Option<[u8; 16]>,
        write: Write,
    ) -> Result<Appended, Error> {
        let appended = self.append_checked(tenant, batch_id, write).await;
        if appended.is_err() {
            tracing::debug!(tenant, "write refused");
        }
        appended
    }

    async fn append_checked(
        &self,
        tenant: &str,
        batch_id: Option<[u8; 16]>,
        write: Write,
    ) -> Result<Appended, Error> {
        check_tenant(tenant)?;
        write.check()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if write.rows.is_empty() {
            return Ok(Appended { rows: 0, duplicate: false });
        }
        self.check_head()?;
        let entry = Entry { tenant: tenant.into(), batch_id, time_ms: now_ms(), write };
        // Compressing megabytes would hold up every other task of this thread.
        let encoding = tokio::task::spawn_blocking(move || entry.encode().map(|payload| (entry, payload)));
        let (entry, payload) = encoding.await.map_err(|_| Error::Closed)??;
        let memory = self.reserve(payload.len() * 2 + entry.write.rows.len() * size_of::<Row>())?;
        let (reply, answer) = oneshot::channel();
        let pending = Box::new(Pending { entry, payload, reply, memory });
        self.committer.send(CommitJob::Append(pending)).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    fn check_head(&self) -> Result<(), Error> {
        let bytes = self.shared.head_bytes.load(Ordering::Relaxed);
        let limit = self.shared.options.flush_bytes.saturating_mul(HEAD_EXCESS);
        if bytes <= limit {
            return Ok(());
        }
        let mut state = self.shared.state();
        state.stats.refused += 1;
        // A full disk is the usual reason why heads are not flushed: then that is what to say.
        match &state.stats.last_flush_error {
            Some(reason) => Err(Error::LogFailed { reason: format!("flushing fails: {reason}") }),
            None => Err(Error::Overloaded { what: "the head", bytes, limit }),
        }
    }

    fn reserve(&self, bytes: usize) -> Result<QueueMemory, Error> {
        let limit = self.shared.options.queue_bytes;
        let before = self.shared.queue_bytes.fetch_add(bytes, Ordering::Relaxed);
        let memory = QueueMemory(Arc::downgrade(&self.shared), bytes);
        // One write is always let in, however large.
        if before > 0 && before + bytes > limit {
            self.shared.state().stats.refused += 1;
            return Err(Error::Overloaded { what: "the queue of writes", bytes: before + bytes, limit });
        }
        Ok(memory)
    }

    /// What is stored now; costs little. Files it reads stay until it is dropped.
    pub fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(self.shared.snapshot())
    }

    /// Moves everything acknowledged so far to segments.
    ///
    /// # Errors
    ///
    /// What went wrong; the rows stay in log and head, and the store tries again by itself.
    pub async fn flush(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.flusher.send(FlushJob::Now(reply)).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Does now what the store does by itself now and then: merges segments, deletes what is older
    /// than the retention, sets aside what is damaged, writes names that arrived into blocks.
    ///
    /// # Errors
    ///
    /// What went wrong; nothing is lost.
    pub async fn compact(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.shared.compactor.send(CompactJob::Now(reply)).map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Refuses further writes, flushes and stops; the directory is free for another store then.
    /// Snapshots stay readable.
    ///
    /// # Errors
    ///
    /// Those of the last flush; the store is stopped nevertheless, and what was not flushed is in the
    /// log.
    pub async fn shutdown(&self) -> Result<(), Error> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.shared.stopping.store(true, Ordering::Relaxed);
        let flushed = self.flush().await;
        self.stop();
        flushed
    }

    fn stop(&self) {
        self.closed.store(true, Ordering::Release);
        self.shared.stopping.store(true, Ordering::Relaxed);
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { threads: [flush, commit, compact], lock }) = running else { return };
        // A thread that is gone already needs no message. The flusher asks the committer, so it
        // goes first.
        let _ = self.flusher.send(FlushJob::Stop);
        let stopped = flush.join();
        let _ = self.committer.send(CommitJob::Stop);
        let _ = self.shared.compactor.send(CompactJob::Stop);
        if [stopped, commit.join(), compact.join()].iter().any(Result::is_err) {
            tracing::error!("a thread of the store panicked; what was acknowledged is in the log");
        }
        // Closing would do, were it not for processes just being started, which have a copy still.
        if let Err(error) = lock.unlock() {
            tracing::warn!("unlock {}: {error}", self.shared.files.root.display());
        }
    }

    /// All tenants that have data, sorted.
    pub fn tenants(&self) -> Vec<String> {
        self.shared.state().tenants.keys().map(|name| name.to_string()).collect()
    }

    /// What the store says about itself.
    pub fn stats(&self) -> Stats {
        // Log files that come or go meanwhile do not matter.
        let logs = log::list(&self.shared.files).unwrap_or_default();
        let wal_bytes = logs.iter().filter_map(|(_, path)| path.metadata().ok()).map(|file| file.len()).sum();
        let state = self.shared.state();
        let mut stats = Stats { wal_bytes, ..state.stats.clone() };
        let mut cover = |(first, last): (i64, i64)| {
            let (start, end) = stats.slot_range_ms.unwrap_or((first, last));
            stats.slot_range_ms = Some((start.min(first), end.max(last)));
        };
        for tenant in state.tenants.values() {
            for head in tenant.frozen.iter().chain([&tenant.active]) {
                stats.head_rows += head.rows();
                head.slot_range_ms().into_iter().for_each(&mut cover);
            }
            for block in tenant.blocks.iter() {
                stats.segments += 1;
                stats.bytes_on_disk += block.row.bytes;
                stats.rows_total += block.row.rows;
                cover(block.row.slot_range_ms);
            }
        }
        stats.rows_total += stats.head_rows as u64;
        stats
    }
}

impl Drop for Store {
    /// Stops without flushing: what was not flushed is in the log.
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|source| Error::Io { action: "start thread", path: name.to_owned(), source })
}
