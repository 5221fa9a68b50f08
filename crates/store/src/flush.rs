//! The flusher: turns heads into segments.
//!
//! ```text
//! freeze heads, new log file ─▶ write segments, sync ─▶ commit catalog ─▶ show segments ─▶ delete old log
//! ```
//!
//! A crash before the commit leaves segments that nobody knows, which the next start deletes, and
//! the log, which it replays. A crash after it leaves log files up to the checkpoint, which it deletes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, sync_channel};
use std::time::{Duration, Instant};

use hearth_block::Source;
use tokio::sync::oneshot;

use crate::Error;
use crate::blocks::{StoredBlock, path_of, write_block};
use crate::catalog::{BlockRow, Checkpoint};
use crate::commit::{BATCH_MEMORY_MS, CommitJob, Frozen};
use crate::compact::CompactJob;
use crate::files;
use crate::head::Head;
use crate::log;
use crate::options::Step;
use crate::shared::{Shared, now_ms};

/// How long to wait after a flush that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What the flusher is asked.
#[derive(Debug)]
pub(crate) enum FlushJob {
    /// Flush now; nobody waits.
    Due,
    /// Flush now and say so.
    Now(oneshot::Sender<Result<(), Error>>),
    Stop,
}

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Flusher {
    pub shared: Arc<Shared>,
    pub committer: Sender<CommitJob>,
    /// What an earlier attempt or the last process left to do.
    pub frozen: Option<Frozen>,
}

impl Flusher {
    /// Works until told to stop.
    pub(crate) fn run(mut self, jobs: &Receiver<FlushJob>) {
        let interval = self.shared.options.flush_interval;
        let mut due = if self.frozen.is_some() { Instant::now() } else { Instant::now() + interval };
        loop {
            let reply = match jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(FlushJob::Now(reply)) => Some(reply),
                Ok(FlushJob::Due) | Err(RecvTimeoutError::Timeout) => None,
                Ok(FlushJob::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
            let flushed = self.flush();
            due = Instant::now() + if flushed.is_ok() { interval } else { interval.min(RETRY_PAUSE) };
            if let Some(reply) = reply {
                // Nobody waits any more.
                let _ = reply.send(flushed);
            }
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.flush_all();
        let mut state = self.shared.state();
        match &flushed {
            Ok(()) => state.stats.last_flush_error = None,
            Err(error) => {
                tracing::error!("flush failed, will be tried again: {error}");
                state.stats.flush_failures += 1;
                state.stats.last_flush_error = Some(error.to_string());
            }
        }
        drop(state);
        // Fails only while the store stops.
        let _ = self.shared.compactor.send(CompactJob::Look);
        flushed
    }

    fn flush_all(&mut self) -> Result<(), Error> {
        self.finish()?;
        let (reply, answer) = sync_channel(1);
        self.committer.send(CommitJob::Freeze(reply)).map_err(|_| Error::Closed)?;
        self.frozen = answer.recv().map_err(|_| Error::Closed)??;
        self.finish()
    }

    /// Writes what is frozen; keeps it if that fails.
    fn finish(&mut self) -> Result<(), Error> {
        let Some(mut frozen) = self.frozen.take() else { return Ok(()) };
        let written = write_frozen(&self.shared, &mut frozen);
        let sequence_end = frozen.log_number;
        match written {
            Ok(rows) => show(&self.shared, &frozen, rows),
            Err(error) => {
                self.frozen = Some(frozen);
                return Err(error);
            }
        }
        delete_log(&self.shared, sequence_end)
    }
}

/// Makes frozen heads durable and commits them.
fn write_frozen(shared: &Shared, frozen: &mut Frozen) -> Result<Vec<BlockRow>, Error> {
    if let Some(rows) = settle(shared, frozen)? {
        return Ok(rows);
    }
    let mut rows = Vec::with_capacity(frozen.heads.len());
    for (tenant, head) in &frozen.heads {
        let Some(source) = head.source(shared.options.namer.as_ref(), tenant) else { continue };
        match write_block(shared, tenant, &[source as Arc<dyn Source>], 0, now_ms()) {
            Ok(row) => rows.push(row),
            Err(error) => {
                delete_blocks(shared, &rows)?;
                return Err(error);
            }
        }
    }
    let checkpoint = Checkpoint {
        sequence: frozen.sequence,
        blocks: &mut rows,
        batches: &frozen.batches,
        forget_before_ms: now_ms() - BATCH_MEMORY_MS,
    };
    let committed = shared.catalog().commit_flush(checkpoint);
    if let Err(error) = committed {
        frozen.uncertain = rows;
        return Err(error);
    }
    Ok(rows)
}

/// Finds out whether a commit that reported a failure happened; if not, deletes its blocks.
fn settle(shared: &Shared, frozen: &mut Frozen) -> Result<Option<Vec<BlockRow>>, Error> {
    if frozen.uncertain.is_empty() {
        return Ok(None);
    }
    if shared.catalog().checkpoint()? < frozen.sequence {
        delete_blocks(shared, &frozen.uncertain)?;
        frozen.uncertain.clear();
        return Ok(None);
    }
    let mut rows = std::mem::take(&mut frozen.uncertain);
    for row in &mut rows {
        row.id = shared.catalog().find(&row.tenant, &row.file)?.unwrap_or(0);
    }
    Ok(Some(rows))
}

fn delete_blocks(shared: &Shared, rows: &[BlockRow]) -> Result<(), Error> {
    rows.iter().try_for_each(|row| files::delete(&path_of(&shared.files, row)))
}

/// Replaces the frozen heads by their blocks, at once for every snapshot.
fn show(shared: &Arc<Shared>, frozen: &Frozen, rows: Vec<BlockRow>) {
    let blocks: Vec<_> = rows.into_iter().map(|row| StoredBlock::new(shared, row)).collect();
    let freed: usize = frozen.heads.iter().map(|(_, head)| Head::bytes(head)).sum();
    let mut state = shared.state();
    for tenant in state.tenants.values_mut() {
        tenant.frozen = None;
    }
    for block in blocks {
        let tenant = state.tenants.entry(Arc::clone(&block.row.tenant)).or_default();
        tenant.blocks = Arc::new(tenant.blocks.iter().cloned().chain([block]).collect());
    }
    drop(state);
    shared.head_bytes.fetch_sub(freed, Ordering::Relaxed);
}

/// Deletes log files up to `number`: all they hold is in blocks.
fn delete_log(shared: &Shared, number: u64) -> Result<(), Error> {
    for (_, path) in log::list(&shared.files)?.into_iter().filter(|(found, _)| *found <= number) {
        shared.files.reach(Step::LogDelete).map_err(|source| Error::io("delete", &path, source))?;
        files::delete(&path)?;
    }
    Ok(())
}
