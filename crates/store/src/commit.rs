//! The committer: one thread that writes the log for everybody.
//!
//! It takes all writes that wait, appends them with one `write` and one `fdatasync`, shows them in
//! the heads, and only then acknowledges them. While it waits for the disk the next group gathers,
//! so that many writers cost hardly more than one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::catalog::{Batch, BlockRow};
use crate::flush::FlushJob;
use crate::head::Head;
use crate::log::{self, Log};
use crate::payload::Entry;
use crate::shared::Shared;
use crate::{Appended, Error, SyncPolicy};

/// A group is written once it has this many bytes.
const GROUP_BYTES: usize = 4 << 20;
/// How long a batch is remembered.
pub(crate) const BATCH_MEMORY_MS: i64 = 15 * 60 * 1000;
/// How many batches are remembered at most; 100 hosts that send every 5 s make 18,000.
const BATCHES_MAX: usize = 1 << 18;
/// How long to wait between two attempts to make the log usable again.
const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// A write on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub entry: Entry,
    pub payload: Vec<u8>,
    pub reply: oneshot::Sender<Result<Appended, Error>>,
    pub memory: QueueMemory,
}

/// A write's share of the queue's memory, given back when it is done.
#[derive(Debug)]
pub(crate) struct QueueMemory(pub Weak<Shared>, pub usize);

impl Drop for QueueMemory {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.queue_bytes.fetch_sub(self.1, Ordering::Relaxed);
        }
    }
}

/// What the committer is asked.
#[derive(Debug)]
pub(crate) enum CommitJob {
    Append(Box<Pending>),
    /// Hand the heads over to be flushed; `None` if they are empty.
    Freeze(SyncSender<Result<Option<Frozen>, Error>>),
    Stop,
}

/// Heads with all that a flush must commit.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub heads: Vec<(Arc<str>, Arc<Head>)>,
    /// All records up to this number are in the heads.
    pub sequence: u64,
    /// Log files up to this number are no longer needed afterwards.
    pub log_number: u64,
    pub batches: Vec<Batch>,
    /// Blocks of an attempt whose commit failed, so that it is unknown whether it happened.
    pub uncertain: Vec<BlockRow>,
}

/// Batches seen lately.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    known: HashSet<(Arc<str>, [u8; 16]), foldhash::fast::RandomState>,
    order: VecDeque<Batch>,
}

impl Batches {
    pub(crate) fn knows(&self, tenant: &Arc<str>, id: [u8; 16]) -> bool {
        self.known.contains(&(Arc::clone(tenant), id))
    }

    pub(crate) fn add(&mut self, (tenant, id, time_ms): Batch) {
        if self.known.insert((Arc::clone(&tenant), id)) {
            self.order.push_back((tenant, id, time_ms));
        }
        let oldest_ms = time_ms.saturating_sub(BATCH_MEMORY_MS);
        while self.order.len() > BATCHES_MAX || self.order.front().is_some_and(|batch| batch.2 < oldest_ms) {
            let Some((tenant, id, _)) = self.order.pop_front() else { break };
            self.known.remove(&(tenant, id));
        }
    }
}

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Committer {
    pub shared: Arc<Shared>,
    pub log: Log,
    /// Number of the last record.
    pub sequence: u64,
    pub batches: Batches,
    /// Batches since the last freeze.
    pub new_batches: Vec<Batch>,
    pub flusher: Sender<FlushJob>,
    pub flush_asked: Arc<AtomicBool>,
    pub last_sync: Instant,
    pub last_recovery: Option<Instant>,
}

impl Committer {
    /// Works until told to stop.
    pub(crate) fn run(mut self, jobs: &Receiver<CommitJob>) {
        loop {
            let (mut group, mut bytes, mut other) = (Vec::new(), 0, None);
            let mut next = self.wait(jobs);
            while let Some(job) = next {
                match job {
                    CommitJob::Append(pending) => {
                        bytes += pending.payload.len();
                        group.push(*pending);
                    }
                    job => {
                        other = Some(job);
                        break;
                    }
                }
                next = if bytes < GROUP_BYTES { jobs.try_recv().ok() } else { None };
            }
            self.commit(group);
            match other {
                Some(CommitJob::Freeze(reply)) => {
                    // Nobody waits for the answer any more when the store stops.
                    let _ = reply.send(self.freeze());
                }
                Some(CommitJob::Stop) => break,
                _ => {}
            }
            self.sync_when_due();
        }
        if let Err(error) = self.log.sync() {
            tracing::error!("{error}");
        }
    }

    /// The next job; `None` when it is time to sync.
    fn wait(&self, jobs: &Receiver<CommitJob>) -> Option<CommitJob> {
        let SyncPolicy::Interval(interval) = self.shared.options.sync else {
            return Some(jobs.recv().unwrap_or(CommitJob::Stop));
        };
        match jobs.recv_timeout(interval) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(CommitJob::Stop),
        }
    }

    fn sync_when_due(&mut self) {
        let SyncPolicy::Interval(interval) = self.shared.options.sync else { return };
        if self.last_sync.elapsed() < interval {
            return;
        }
        self.last_sync = Instant::now();
        if let Err(error) = self.log.sync() {
            tracing::error!("{error}; flushing what it held");
            self.note_log_error();
            self.ask_flush();
        }
    }

    fn ask_flush(&self) {
        if !self.flush_asked.swap(true, Ordering::AcqRel) {
            // Fails only while the store stops.
            let _ = self.flusher.send(FlushJob::Due);
        }
    }

    fn note_log_error(&self) {
        self.shared.state().stats.log_error = self.log.broken().map(str::to_owned);
    }

    /// Makes a broken log usable again, if it is time to try.
    fn repair(&mut self) -> Result<(), Error> {
        let Some(reason) = self.log.broken().map(str::to_owned) else { return Ok(()) };
        if self.last_recovery.is_none_or(|last| last.elapsed() >= RECOVERY_PAUSE) {
            self.last_recovery = Some(Instant::now());
            match self.log.recover() {
                Ok(()) => {
                    tracing::info!("the log goes on in a new file after: {reason}");
                    self.note_log_error();
                    return Ok(());
                }
                Err(error) => tracing::error!("the log cannot go on in a new file: {error}"),
            }
        }
        Err(Error::LogFailed { reason })
    }

    /// Logs a group, shows it and acknowledges it; or refuses all of it.
    fn commit(&mut self, group: Vec<Pending>) {
        if group.is_empty() {
            return;
        }
        let mut in_group = HashSet::new();
        let (mut records, mut sequence) = (Vec::new(), self.sequence);
        let mut accepted = Vec::with_capacity(group.len());
        for pending in group {
            let batch = pending.entry.batch_id.map(|id| (Arc::clone(&pending.entry.tenant), id));
            let duplicate =
                batch.is_some_and(|batch| self.batches.knows(&batch.0, batch.1) || !in_group.insert(batch));
            if !duplicate {
                sequence += 1;
                records.extend(log::record(sequence, &pending.payload));
            }
            accepted.push((pending, duplicate));
        }
        let sync = self.shared.options.sync == SyncPolicy::Always;
        let logged = if records.is_empty() {
            Ok(())
        } else {
            self.repair().and_then(|()| self.log.append(&records, sync))
        };
        self.sequence = sequence;
        match logged {
            Ok(()) => self.publish(accepted),
            Err(error) => {
                self.note_log_error();
                self.shared.state().stats.refused += accepted.len() as u64;
                tracing::error!("{} writes refused: {error}", accepted.len());
                for (pending, _) in accepted {
                    // Whoever gave up waiting is not told.
                    let _ = pending.reply.send(Err(error.repeated()));
                }
            }
        }
    }

    fn publish(&mut self, accepted: Vec<(Pending, bool)>) {
        let mut heads: HashMap<Arc<str>, Arc<Head>> = HashMap::new();
        let (mut rows, mut appends, mut duplicates) = (0, 0, 0);
        let mut replies = Vec::with_capacity(accepted.len());
        for (pending, duplicate) in accepted {
            let Pending { entry, reply, memory, .. } = pending;
            let mut appended = Appended { rows: 0, duplicate };
            if duplicate {
                duplicates += 1;
            } else {
                let tenant = Arc::clone(&entry.tenant);
                let head = heads.entry(Arc::clone(&tenant)).or_insert_with(|| {
                    Arc::clone(&self.shared.state().tenants.entry(tenant).or_default().active)
                });
                let grown = head.append(&entry.write);
                self.shared.head_bytes.fetch_add(grown, Ordering::Relaxed);
                appended.rows = entry.write.rows.len();
                rows += appended.rows as u64;
                appends += 1;
                if let Some(id) = entry.batch_id {
                    let batch = (entry.tenant, id, entry.time_ms);
                    self.batches.add(batch.clone());
                    self.new_batches.push(batch);
                }
            }
            drop(memory);
            replies.push((reply, appended));
        }
        let mut state = self.shared.state();
        state.stats.appends += appends;
        state.stats.appended_rows += rows;
        state.stats.duplicates += duplicates;
        drop(state);
        for (reply, appended) in replies {
            // Whoever gave up waiting is not told; sent again, it is a duplicate.
            let _ = reply.send(Ok(appended));
        }
        if self.shared.head_bytes.load(Ordering::Relaxed) > self.shared.options.flush_bytes {
            self.ask_flush();
        }
    }

    /// Begins new heads and a new log file, between two groups.
    fn freeze(&mut self) -> Result<Option<Frozen>, Error> {
        self.flush_asked.store(false, Ordering::Release);
        if self.shared.state().tenants.values().all(|tenant| tenant.active.rows() == 0) {
            return Ok(None);
        }
        // A log that cannot be synced is what a flush is good for: what it held is in the heads.
        if self.log.broken().is_some() {
            self.log.recover()?;
            self.note_log_error();
        } else if self.log.is_used() {
            self.log.rotate()?;
        }
        let mut heads = Vec::new();
        for (name, tenant) in &mut self.shared.state().tenants {
            if tenant.active.rows() > 0 {
                let head = std::mem::take(&mut tenant.active);
                tenant.frozen = Some(Arc::clone(&head));
                heads.push((Arc::clone(name), head));
            }
        }
        Ok(Some(Frozen {
            heads,
            sequence: self.sequence,
            log_number: self.log.number() - 1,
            batches: std::mem::take(&mut self.new_batches),
            uncertain: Vec::new(),
        }))
    }
}
