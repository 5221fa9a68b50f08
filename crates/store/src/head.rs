//! The head: what was acknowledged and is not in a segment yet, in memory, queryable at once.
//!
//! A head only grows. A snapshot of it is its length at one moment, so taking one costs nothing;
//! readers copy rows out in pieces and never hold up the writer for long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use hearth_block::{Error as BlockError, Filter, Namer, Point, Row, Series, Source};
use hearth_profile::{Dictionary, Remap};
use indexmap::IndexSet;

use crate::Write;
use crate::naming::with_names;

/// Rows copied out under one lock.
const ROWS_PER_COPY: usize = 16_384;

/// What a row, and a row's share of the tables, costs in memory; for the flush threshold.
const BYTES_PER_ROW: usize = size_of::<Row>();
const BYTES_PER_STACK: usize = 48;

/// One tenant's rows between two flushes.
#[derive(Debug, Default)]
pub(crate) struct Head {
    tables: RwLock<Tables>,
    /// The last copies handed to readers. Tables are append-only, so a copy serves every snapshot
    /// that is not longer.
    copies: Mutex<Copies>,
    /// How much memory it takes, roughly.
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Tables {
    dictionary: Dictionary,
    series: IndexSet<Series, foldhash::fast::RandomState>,
    rows: Vec<Row>,
    slot_range_ms: Option<(i64, i64)>,
    /// Bytes of all strings and labels.
    text_bytes: usize,
}

#[derive(Debug, Default)]
struct Copies {
    /// With the generation of symbols up to which it has all names.
    dictionary: Option<(u64, Arc<Dictionary>)>,
    series: Option<Arc<[Series]>>,
}

impl Head {
    fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds all rows of a checked write, at once for every reader; returns how many bytes it took.
    pub(crate) fn append(&self, write: &Write) -> usize {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let tables = &mut *tables;
        let strings_before = tables.dictionary.strings().len();
        let mut label_bytes = 0;
        let mut remap = Remap::new(&write.dictionary);
        let mut series: Vec<Option<u32>> = vec![None; write.series.len()];
        tables.rows.reserve(write.rows.len());
        for row in &write.rows {
            let index = row.series as usize;
            let (Some(known), Some(value)) = (series.get_mut(index), write.series.get(index)) else {
                continue;
            };
            let series = *known.get_or_insert_with(|| {
                let index = match tables.series.get_index_of(value) {
                    Some(index) => index,
                    None => {
                        label_bytes +=
                            value.labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                        tables.series.insert_full(value.clone()).0
                    }
                };
                u32::try_from(index).unwrap_or(u32::MAX)
            });
            let stack = remap.stack(&write.dictionary, &mut tables.dictionary, row.stack);
            tables.rows.push(Row { series, stack, ..*row });
            let (first, last) = tables.slot_range_ms.unwrap_or((row.slot_ms, row.slot_ms));
            tables.slot_range_ms = Some((first.min(row.slot_ms), last.max(row.slot_ms)));
        }
        let new_strings = tables.dictionary.strings().skip(strings_before);
        tables.text_bytes += label_bytes + new_strings.map(str::len).sum::<usize>();
        let bytes = tables.rows.len() * BYTES_PER_ROW
            + tables.dictionary.largest_table() * BYTES_PER_STACK
            + tables.text_bytes;
        bytes.saturating_sub(self.bytes.swap(bytes, Ordering::Relaxed))
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.tables().rows.len()
    }

    /// How much memory the head takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// First and last slot.
    pub(crate) fn slot_range_ms(&self) -> Option<(i64, i64)> {
        self.tables().slot_range_ms
    }

    /// What the tenant's head holds now; `None` if that is nothing.
    pub(crate) fn source(
        self: &Arc<Self>,
        namer: Option<&Arc<dyn Namer>>,
        tenant: &Arc<str>,
    ) -> Option<Arc<HeadSource>> {
        let tables = self.tables();
        let slot_range_ms = tables.slot_range_ms?;
        Some(Arc::new(HeadSource {
            namer: namer.cloned(),
            tenant: Arc::clone(tenant),
            head: Arc::clone(self),
            rows: tables.rows.len(),
            series: tables.series.len(),
            stacks: tables.dictionary.stacks().len(),
            slot_range_ms,
        }))
    }
}

/// A head as it was at one moment.
#[derive(Debug)]
pub(crate) struct HeadSource {
    namer: Option<Arc<dyn Namer>>,
    tenant: Arc<str>,
    head: Arc<Head>,
    rows: usize,
    series: usize,
    stacks: usize,
    slot_range_ms: (i64, i64),
}

impl HeadSource {
    /// Calls `piece` for all rows of this moment, some at a time.
    fn each_piece(&self, mut piece: impl FnMut(&[Row])) {
        let mut copied = Vec::with_capacity(ROWS_PER_COPY.min(self.rows));
        let mut at = 0;
        while at < self.rows {
            let end = self.rows.min(at + ROWS_PER_COPY);
            copied.clear();
            copied.extend_from_slice(self.head.tables().rows.get(at..end).unwrap_or(&[]));
            piece(&copied);
            at = end;
        }
    }
}

impl Source for HeadSource {
    fn slot_range_ms(&self) -> (i64, i64) {
        self.slot_range_ms
    }

    fn series(&self) -> Result<Arc<[Series]>, BlockError> {
        let mut copies = self.head.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = copies.series.as_ref().filter(|series| series.len() >= self.series) {
            return Ok(Arc::clone(series));
        }
        let series: Arc<[Series]> = self.head.tables().series.iter().cloned().collect();
        copies.series = Some(Arc::clone(&series));
        Ok(series)
    }

    fn dictionary(&self) -> Result<Arc<Dictionary>, BlockError> {
        let generation = self.namer.as_ref().map_or(0, |namer| namer.generation());
        let mut copies = self.head.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = copies.dictionary.clone().filter(|(_, copy)| copy.stacks().len() >= self.stacks);
        let (after, dictionary) = match copy {
            Some((named, copy)) if named >= generation => return Ok(copy),
            Some(copy) => copy,
            None => (0, Arc::new(self.head.tables().dictionary.clone())),
        };
        let dictionary = with_names(self.namer.as_ref(), &self.tenant, after, dictionary);
        copies.dictionary = Some((generation, Arc::clone(&dictionary)));
        Ok(dictionary)
    }

    fn rows(&self, filter: &Filter, row: &mut dyn FnMut(Row)) -> Result<(), BlockError> {
        self.each_piece(|rows| {
            rows.iter()
                .filter(|wanted| filter.wants(wanted.series, wanted.slot_ms))
                .for_each(|wanted| row(*wanted));
        });
        Ok(())
    }

    fn points(&self, filter: &Filter, point: &mut dyn FnMut(Point)) -> Result<(), BlockError> {
        let mut sums: HashMap<(u32, i64), i64> = HashMap::new();
        self.each_piece(|rows| {
            for row in rows.iter().filter(|row| filter.wants(row.series, row.slot_ms)) {
                let sum = sums.entry((row.series, row.slot_ms)).or_default();
                *sum = sum.saturating_add(row.value);
            }
        });
        sums.into_iter().for_each(|((series, slot_ms), value)| point(Point { series, slot_ms, value }));
        Ok(())
    }
}
