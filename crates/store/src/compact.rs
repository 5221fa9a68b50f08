//! The compactor: merges segments into blocks of an hour, deletes what is too old, sets aside what is
//! damaged, gives names to blocks whose symbols came late. Sums never change; readers never notice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use hearth_block::Source;
use tokio::sync::oneshot;

use crate::Error;
use crate::blocks::{StoredBlock, path_of, write_block};
use crate::catalog::BlockRow;
use crate::files;
use crate::naming::name_blocks;
use crate::shared::{Shared, now_ms};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// An hour is over once it has been for this long: agents and retries come late.
const LATENESS_MS: i64 = 10 * 60 * 1000;
/// Most blocks merged at once, and most bytes of them: what bounds the memory of a merge.
const INPUTS_MAX: usize = 128;
const INPUT_BYTES_MAX: u64 = 512 << 20;
/// How often to look without being told.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How often blocks are rewritten for names that arrived: queries have them at once, and symbols
/// often come one after the other.
const NAMING_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The level of a whole hour's block.
const HOUR_LEVEL: u8 = 2;

/// What the compactor is asked.
#[derive(Debug)]
pub(crate) enum CompactJob {
    /// See whether there is anything to do.
    Look,
    /// Do all there is to do and say so.
    Now(oneshot::Sender<Result<(), Error>>),
    Stop,
}

/// Works until told to stop.
pub(crate) fn run(shared: &Arc<Shared>, jobs: &Receiver<CompactJob>) {
    let mut last_naming = Instant::now();
    loop {
        let reply = match jobs.recv_timeout(LOOK_INTERVAL) {
            Ok(CompactJob::Now(reply)) => Some(reply),
            Ok(CompactJob::Look) | Err(RecvTimeoutError::Timeout) => None,
            Ok(CompactJob::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut done = look(shared);
        if done.is_ok() && (reply.is_some() || last_naming.elapsed() >= NAMING_INTERVAL) {
            done = name_blocks(shared);
            last_naming = Instant::now();
        }
        if let Err(error) = &done {
            tracing::error!("compaction failed, will be tried again: {error}");
            let mut state = shared.state();
            state.stats.flush_failures += 1;
            state.stats.last_flush_error = Some(error.to_string());
        }
        if let Some(reply) = reply {
            // Nobody waits any more.
            let _ = reply.send(done);
        }
    }
}

fn look(shared: &Arc<Shared>) -> Result<(), Error> {
    set_aside_damaged(shared)?;
    delete_old(shared)?;
    let tenants: Vec<Arc<str>> = shared.state().tenants.keys().cloned().collect();
    for tenant in tenants {
        loop {
            let Some(blocks) = blocks_of(shared, &tenant) else { break };
            let rows: Vec<&BlockRow> = blocks.iter().map(|block| &block.row).collect();
            let Some(job) = plan(&rows, now_ms(), shared.options.compact_segments) else { break };
            if shared.stopping.load(Ordering::Relaxed) {
                return Ok(());
            }
            if !compact(shared, &tenant, &blocks, &job)? {
                break;
            }
        }
    }
    Ok(())
}

fn blocks_of(shared: &Shared, tenant: &Arc<str>) -> Option<Arc<Vec<Arc<StoredBlock>>>> {
    shared.state().tenants.get(tenant).map(|tenant| Arc::clone(&tenant.blocks))
}

/// Which blocks become one, of which level.
#[derive(Debug, PartialEq, Eq)]
struct Merge {
    inputs: Vec<i64>,
    level: u8,
}

/// The next thing worth merging.
///
/// While an hour goes on, more than `segments_max` segments become one block. Once it is over, all
/// that it has becomes one; what comes later still gathers until there are too many again.
fn plan(blocks: &[&BlockRow], now_ms: i64, segments_max: usize) -> Option<Merge> {
    let mut hours: BTreeMap<i64, Vec<&BlockRow>> = BTreeMap::new();
    for block in blocks {
        hours.entry(block.slot_range_ms.0.div_euclid(HOUR_MS)).or_default().push(block);
    }
    hours.into_iter().find_map(|(hour, blocks)| {
        let over = now_ms >= hour.saturating_add(1).saturating_mul(HOUR_MS).saturating_add(LATENESS_MS);
        let segments = blocks.iter().filter(|block| block.level == 0).count();
        let whole = blocks.iter().any(|block| block.level == HOUR_LEVEL);
        let level = match (over, whole) {
            (true, false) if blocks.len() > 1 => HOUR_LEVEL,
            (true, true) if blocks.len() > segments_max.saturating_add(1) => HOUR_LEVEL,
            (false, _) if segments > segments_max => 1,
            _ => return None,
        };
        let mut bytes = 0u64;
        let mut chosen: Vec<_> = blocks.into_iter().filter(|block| over || block.level == 0).collect();
        chosen.sort_by_key(|block| block.bytes);
        let fits = |block: &&BlockRow| {
            bytes = bytes.saturating_add(block.bytes);
            bytes <= INPUT_BYTES_MAX
        };
        let inputs: Vec<i64> =
            chosen.into_iter().take(INPUTS_MAX).take_while(fits).map(|block| block.id).collect();
        (inputs.len() > 1).then_some(Merge { inputs, level })
    })
}

/// Replaces blocks by their merger; `false` if one of them turned out damaged.
fn compact(
    shared: &Arc<Shared>,
    tenant: &Arc<str>,
    blocks: &[Arc<StoredBlock>],
    job: &Merge,
) -> Result<bool, Error> {
    let inputs: Vec<_> = blocks.iter().filter(|block| job.inputs.contains(&block.row.id)).cloned().collect();
    let sources: Vec<_> = inputs.iter().map(|block| Arc::clone(block) as Arc<dyn Source>).collect();
    let created_ms = inputs.iter().map(|block| block.row.created_ms).max().unwrap_or(0);
    let row = match write_block(shared, tenant, &sources, job.level, created_ms) {
        // The block withdrew itself; the rest is merged the next time.
        Err(Error::Block(hearth_block::Error::Corrupt { .. })) => return Ok(false),
        written => written?,
    };
    exchange(shared, &job.inputs, row)
}

/// Puts a durable block in the place of others; `false` if one of them disappeared meanwhile.
pub(crate) fn exchange(shared: &Arc<Shared>, inputs: &[i64], mut row: BlockRow) -> Result<bool, Error> {
    let replaced = shared.catalog().replace(inputs, Some(&mut row));
    match replaced {
        Ok(true) => {}
        // Nothing was changed.
        Ok(false) => {
            files::delete(&path_of(&shared.files, &row))?;
            return Ok(false);
        }
        // It may have happened nevertheless; only the next start can tell.
        Err(error) => return Err(settle(shared, inputs, row, error)),
    }
    let tenant = Arc::clone(&row.tenant);
    swap(shared, &tenant, inputs, Some(StoredBlock::new(shared, row)));
    Ok(true)
}

/// After a commit that failed: makes memory agree with what the catalog says.
fn settle(shared: &Arc<Shared>, inputs: &[i64], mut row: BlockRow, error: Error) -> Error {
    let found = shared.catalog().find(&row.tenant, &row.file);
    match found {
        Ok(Some(id)) => {
            row.id = id;
            let tenant = Arc::clone(&row.tenant);
            swap(shared, &tenant, inputs, Some(StoredBlock::new(shared, row)));
        }
        Ok(None) => {
            if let Err(error) = files::delete(&path_of(&shared.files, &row)) {
                tracing::warn!("{error}; it is deleted at the next start");
            }
        }
        Err(_) => tracing::warn!("the catalog does not answer; the next start sorts it out"),
    }
    error
}

/// Replaces blocks of a tenant, at once for every snapshot.
fn swap(shared: &Shared, tenant: &Arc<str>, inputs: &[i64], output: Option<Arc<StoredBlock>>) {
    let mut state = shared.state();
    let Some(tenant) = state.tenants.get_mut(tenant) else { return };
    let (gone, kept): (Vec<_>, Vec<_>) =
        tenant.blocks.iter().cloned().partition(|block| inputs.contains(&block.row.id));
    tenant.blocks = Arc::new(kept.into_iter().chain(output).collect());
    drop(state);
    gone.iter().for_each(|block| block.replace());
}

/// Deletes blocks whose data and whose arrival are older than the retention.
fn delete_old(shared: &Shared) -> Result<(), Error> {
    let Some(retention) = shared.options.retention else { return Ok(()) };
    let keep_from_ms = now_ms().saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
    let mut old: BTreeMap<Arc<str>, Vec<i64>> = BTreeMap::new();
    for (name, tenant) in &shared.state().tenants {
        let is_old = |row: &BlockRow| row.slot_range_ms.1.max(row.created_ms) < keep_from_ms;
        let ids = tenant.blocks.iter().filter(|block| is_old(&block.row)).map(|block| block.row.id);
        let ids: Vec<i64> = ids.collect();
        if !ids.is_empty() {
            old.insert(Arc::clone(name), ids);
        }
    }
    for (tenant, ids) in old {
        let replaced = shared.catalog().replace(&ids, None)?;
        if replaced {
            swap(shared, &tenant, &ids, None);
        }
    }
    Ok(())
}

/// Takes damaged blocks out of the catalog and moves their files to `corrupt/`.
fn set_aside_damaged(shared: &Shared) -> Result<(), Error> {
    let damaged = std::mem::take(&mut shared.state().damaged);
    for block in damaged {
        shared.catalog().replace(&[block.row.id], None)?;
        if block.path.exists() {
            let to = shared.files.set_aside(&block.path)?;
            tracing::error!("{} was moved to {}", block.path.display(), to.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: i64, level: u8, slot_ms: i64) -> BlockRow {
        BlockRow {
            id,
            tenant: "t".into(),
            file: String::new(),
            level,
            rows: 1,
            bytes: 1,
            slot_range_ms: (slot_ms, slot_ms),
            created_ms: 0,
            named: 0,
        }
    }

    #[test]
    #[rustfmt::skip]
    fn segments_of_an_hour_are_merged_when_it_is_over_or_they_are_many() {
        let next = 2 * HOUR_MS + LATENESS_MS;
        type Blocks<'a> = &'a [(i64, u8)];
        type Want<'a> = Option<(&'a [i64], u8)>;
        let cases: [(&str, Blocks<'_>, i64, Want<'_>); 8] = [
            ("few in a going hour",          &[(1, 0), (2, 0), (3, 0)],                 HOUR_MS, None),
            ("many in a going hour",         &[(1, 0), (2, 0), (3, 0), (4, 0)],         HOUR_MS, Some((&[1, 2, 3, 4], 1))),
            ("merged ones wait",             &[(1, 1), (2, 0), (3, 0), (4, 0)],         HOUR_MS, None),
            ("the hour is just over",        &[(1, 0), (2, 0)],                         next - 1, None),
            ("the hour is over",             &[(1, 1), (2, 0)],                         next,    Some((&[1, 2], 2))),
            ("alone",                        &[(1, 0)],                                 next,    None),
            ("late ones gather",             &[(1, 2), (2, 0), (3, 0)],                 next,    None),
            ("late ones are many",           &[(1, 2), (2, 0), (3, 0), (4, 0), (5, 0)], next,    Some((&[1, 2, 3, 4, 5], 2))),
        ];
        for (case, blocks, now_ms, want) in cases {
            let blocks: Vec<_> = blocks.iter().map(|&(id, level)| block(id, level, HOUR_MS)).collect();
            let want = want.map(|(inputs, level)| Merge { inputs: inputs.to_vec(), level });
            assert_eq!(plan(&blocks.iter().collect::<Vec<_>>(), now_ms, 3), want, "{case}");
        }
    }
}
