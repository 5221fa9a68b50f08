//! The merge kernel: any number of sources become one block, and sums never change.
//!
//! Rows of equal series, stack and slot are summed; series and dictionaries are merged by content.
//! Memory is bounded by the dictionaries plus [`ROWS_PER_BATCH`] rows (or one series' rows, if those
//! are more): the sources are read once to count and once per batch of neighbouring series, which
//! costs little because blocks keep neighbours together.

use std::io::{self, Write};
use std::sync::Arc;

use hearth_profile::{Dictionary, Remap, StackId};

use crate::write::{BlockWriter, Summary, order};
use crate::{Error, Filter, Row, Series, Source};

/// Rows held in memory at once.
const ROWS_PER_BATCH: u64 = 2 << 20;

/// Where a source's series and stacks are in the merged block.
struct Mapped {
    source: Arc<dyn Source>,
    series: Vec<u32>,
    stacks: Vec<StackId>,
}

/// Merges `sources` into a block written to `out`, which errors call `name`.
///
/// Only stacks that rows use are kept. Without any row the block is valid and empty.
///
/// # Errors
///
/// [`Error::Corrupt`] names the source that is damaged, [`Error::Io`] the file that failed.
pub fn merge<W: Write + Send>(
    name: &str,
    sources: &[Arc<dyn Source>],
    out: W,
) -> Result<(W, Summary), Error> {
    let lists = sources.iter().map(|source| source.series()).collect::<Result<Vec<_>, _>>()?;
    let mut all: Vec<&Series> = lists.iter().flat_map(|list| list.iter()).collect();
    all.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    all.dedup();
    let mut rows_of = vec![0; all.len()];
    let mut dictionary = Dictionary::default();
    let mut mapped = Vec::with_capacity(sources.len());
    for (source, list) in sources.iter().zip(&lists) {
        let place = |series: &Series| all.binary_search_by(|probe| order(probe).cmp(&order(series)));
        let series: Vec<u32> = list
            .iter()
            .map(|series| place(series).map_or(u32::MAX, |index| index.try_into().unwrap_or(u32::MAX)))
            .collect();
        let stacks = merge_dictionary(source.as_ref(), &series, &mut dictionary, &mut rows_of)?;
        mapped.push(Mapped { source: Arc::clone(source), series, stacks });
    }
    // A series without rows is not carried on.
    let mut kept = Vec::new();
    let mut kept_index = vec![u32::MAX; all.len()];
    for (index, series) in all.iter().enumerate().filter(|(index, _)| rows_of[*index] > 0) {
        kept_index[index] = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        kept.push((*series).clone());
    }
    for source in &mut mapped {
        for series in &mut source.series {
            *series = kept_index.get(*series as usize).copied().unwrap_or(u32::MAX);
        }
    }
    rows_of.retain(|&rows| rows > 0);

    let failed = |source: io::Error| Error::Io { path: name.to_owned(), source };
    let mut writer = BlockWriter::new(out, &kept).map_err(failed)?;
    for (start, end) in batches(&rows_of) {
        merge_batch(&mapped, start, end, |row| writer.push(row).map_err(failed))?;
    }
    writer.finish(&kept, &dictionary).map_err(failed)
}

/// Copies the stacks that the source's rows use, and counts its rows by series.
fn merge_dictionary(
    source: &dyn Source,
    series: &[u32],
    to: &mut Dictionary,
    rows_of: &mut [u64],
) -> Result<Vec<StackId>, Error> {
    let from = source.dictionary()?;
    let mut used = vec![false; from.stacks().len()];
    let everything = Filter { series: vec![true; series.len()], start_ms: i64::MIN, end_ms: i64::MAX };
    source.rows(&everything, &mut |row| {
        if let Some(used) = used.get_mut(row.stack.index()) {
            *used = true;
        }
        let place = series.get(row.series as usize).and_then(|&place| rows_of.get_mut(place as usize));
        if let Some(rows) = place {
            *rows += 1;
        }
    })?;
    let mut remap = Remap::new(&from);
    let copy = |(id, used): (u32, bool)| match used {
        true => remap.stack(&from, to, StackId(id)),
        false => StackId::NONE,
    };
    Ok((0..).zip(used).map(copy).collect())
}

/// Ranges of series with at most [`ROWS_PER_BATCH`] rows, or one series each.
fn batches(rows_of: &[u64]) -> Vec<(u32, u32)> {
    let (mut batches, mut start, mut sum) = (Vec::new(), 0, 0u64);
    for (index, &rows) in (0u32..).zip(rows_of) {
        if sum > 0 && sum.saturating_add(rows) > ROWS_PER_BATCH {
            batches.push((start, index));
            (start, sum) = (index, 0);
        }
        sum = sum.saturating_add(rows);
    }
    let end = u32::try_from(rows_of.len()).unwrap_or(u32::MAX);
    if start < end {
        batches.push((start, end));
    }
    batches
}

/// Delivers the merged rows of the series from `start` up to `end`, in order.
fn merge_batch(
    mapped: &[Mapped],
    start: u32,
    end: u32,
    mut push: impl FnMut(Row) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rows: Vec<Row> = Vec::new();
    for Mapped { source, series, stacks } in mapped {
        let wanted = series.iter().map(|series| (start..end).contains(series)).collect();
        let filter = Filter { series: wanted, start_ms: i64::MIN, end_ms: i64::MAX };
        source.rows(&filter, &mut |row| {
            let place = (series.get(row.series as usize), stacks.get(row.stack.index()));
            if let (Some(&series), Some(&stack)) = place {
                rows.push(Row { series, stack, ..row });
            }
        })?;
    }
    rows.sort_unstable();
    let mut pending: Option<Row> = None;
    for row in rows {
        match &mut pending {
            Some(last) if (last.series, last.stack, last.slot_ms) == (row.series, row.stack, row.slot_ms) => {
                match last.value.checked_add(row.value) {
                    Some(sum) => last.value = sum,
                    // Beyond 64 bits two rows are kept: a sum is never wrong.
                    None => push(std::mem::replace(last, row))?,
                }
            }
            _ => {
                if let Some(last) = pending.replace(row) {
                    push(last)?;
                }
            }
        }
    }
    pending.map_or(Ok(()), push)
}
