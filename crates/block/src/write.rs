//! Writes a block front to back: rows in their order, then everything that was learnt on the way.

use std::collections::HashMap;
use std::io::{self, Write};

use hearth_profile::{Dictionary, ProfileType};

use crate::format::{Directory, Output, Part, header};
use crate::table::{Table, TableWriter, Values};
use crate::tables::{POINTS, ROWS, dictionary_tables, series_tables};
use crate::{Point, Row, SLOT_MS, Series};

/// A row group ends with its service once it has this many rows: small services share one, so that
/// a host with a hundred of them does not pay for a hundred row groups.
const GROUP_ROWS_MIN: usize = 8_192;
/// A row group never has more rows than this.
const GROUP_ROWS_MAX: usize = 1 << 20;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows: distinct (series, stack, slot).
    pub rows: u64,
    /// Bytes of the block.
    pub bytes: u64,
    /// First and last slot, milliseconds since the Unix epoch; both 0 if there is no row.
    pub slot_range_ms: (i64, i64),
}

/// The order of series in a block: by type, then service, so that these are neighbours.
pub(crate) fn order(series: &Series) -> (&ProfileType, Option<&str>, &Series) {
    (&series.profile_type, series.labels.get("service_name"), series)
}

/// Writes rows which come in the order (series, stack, slot).
pub(crate) struct BlockWriter<W: Write + Send> {
    rows: TableWriter<W>,
    /// By series: changes where type or service do.
    service_of: Vec<u32>,
    group: Vec<Row>,
    points: Vec<Point>,
    /// Sums per slot of the series of the last row.
    sums: HashMap<i64, i64, foldhash::fast::RandomState>,
    slot_range_ms: Option<(i64, i64)>,
}

impl<W: Write + Send> BlockWriter<W> {
    /// Begins a block of these series, which are distinct and in [`order`].
    pub(crate) fn new(out: W, series: &[Series]) -> io::Result<Self> {
        let mut output = Output::new(out);
        output.write_all(&header())?;
        output.take_chunks();
        let (mut service_of, mut service) = (Vec::with_capacity(series.len()), 0);
        for (index, this) in series.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|index| series.get(index)).map(order);
            let this = order(this);
            service += u32::from(before.is_some_and(|before| (before.0, before.1) != (this.0, this.1)));
            service_of.push(service);
        }
        Ok(Self {
            rows: TableWriter::new(output, &ROWS)?,
            service_of,
            group: Vec::new(),
            points: Vec::new(),
            sums: HashMap::default(),
            slot_range_ms: None,
        })
    }

    fn service(&self, row: Row) -> Option<u32> {
        self.service_of.get(row.series as usize).copied()
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Row) -> io::Result<()> {
        if let Some(&last) = self.group.last() {
            if last.series != row.series {
                self.end_series(last.series);
            }
            let full = self.group.len() >= GROUP_ROWS_MAX;
            if full || (self.group.len() >= GROUP_ROWS_MIN && self.service(last) != self.service(row)) {
                self.end_group()?;
            }
        }
        let (first, last) = self.slot_range_ms.unwrap_or((row.slot_ms, row.slot_ms));
        self.slot_range_ms = Some((first.min(row.slot_ms), last.max(row.slot_ms)));
        let sum = self.sums.entry(row.slot_ms).or_insert(0);
        match sum.checked_add(row.value) {
            Some(total) => *sum = total,
            // Beyond 64 bits a slot gets two points rather than a wrong one.
            None => {
                let value = std::mem::replace(sum, row.value);
                self.points.push(Point { series: row.series, slot_ms: row.slot_ms, value });
            }
        }
        self.group.push(row);
        Ok(())
    }

    fn end_series(&mut self, series: u32) {
        let from = self.points.len();
        let points = self.sums.drain().map(|(slot_ms, value)| Point { series, slot_ms, value });
        self.points.extend(points);
        if let Some(added) = self.points.get_mut(from..) {
            added.sort_unstable();
        }
    }

    fn end_group(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.group);
        self.rows.group(&[
            Values::u32(rows.iter().map(|row| row.series)),
            Values::u32(rows.iter().map(|row| row.stack.0)),
            Values::u32(rows.iter().map(|row| slot(row.slot_ms))),
            Values::I64(rows.iter().map(|row| row.value).collect()),
        ])
    }

    /// Ends the block.
    pub(crate) fn finish(mut self, series: &[Series], dictionary: &Dictionary) -> io::Result<(W, Summary)> {
        if let Some(last) = self.group.last().map(|row| row.series) {
            self.end_series(last);
        }
        self.end_group()?;
        let slot_range_ms = self.slot_range_ms.unwrap_or((0, 0));
        let (output, part) = self.rows.finish()?;
        let rows = part.rows;
        let mut parts = Parts::continued(output, vec![part]);
        for piece in self.points.chunks(GROUP_ROWS_MAX) {
            let columns = vec![
                Values::u32(piece.iter().map(|point| point.series)),
                Values::u32(piece.iter().map(|point| slot(point.slot_ms))),
                Values::I64(piece.iter().map(|point| point.value).collect()),
            ];
            parts.group(&POINTS, columns)?;
        }
        if self.points.is_empty() {
            parts.begin(&POINTS)?;
        }
        series_tables(series, |table, columns| parts.group(table, columns))?;
        dictionary_tables(dictionary, |table, columns| parts.group(table, columns))?;
        parts.end_block(slot_range_ms, rows)
    }
}

fn slot(slot_ms: i64) -> u32 {
    u32::try_from(slot_ms.div_euclid(SLOT_MS)).unwrap_or(0)
}

/// Parts one after another; a group of the same table goes on with the same part.
pub(crate) struct Parts<W: Write + Send> {
    open: Option<(&'static str, TableWriter<W>)>,
    output: Option<Output<W>>,
    done: Vec<Part>,
}

impl<W: Write + Send> Parts<W> {
    /// Goes on after the parts that `output` has already.
    pub(crate) fn continued(output: Output<W>, done: Vec<Part>) -> Self {
        Self { open: None, output: Some(output), done }
    }

    fn begin(&mut self, table: &'static Table) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(name, _)| *name == table.name) {
            return Ok(());
        }
        self.end()?;
        if let Some(output) = self.output.take() {
            self.open = Some((table.name, TableWriter::new(output, table)?));
        }
        Ok(())
    }

    /// Adds a row group of a table.
    pub(crate) fn group(&mut self, table: &'static Table, columns: Vec<Values>) -> io::Result<()> {
        self.begin(table)?;
        self.open.as_mut().map_or(Ok(()), |(_, writer)| writer.group(&columns))
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some((_, writer)) = self.open.take() {
            let (output, part) = writer.finish()?;
            self.output = Some(output);
            self.done.push(part);
        }
        Ok(())
    }

    /// Ends the block with its directory.
    pub(crate) fn end_block(mut self, slot_range_ms: (i64, i64), rows: u64) -> io::Result<(W, Summary)> {
        self.end()?;
        let Some(mut output) = self.output else {
            return Err(io::Error::other("a part before was not written"));
        };
        output.write_all(&Directory { slot_range_ms, parts: self.done }.encode())?;
        output.flush()?;
        let summary = Summary { rows, bytes: output.len(), slot_range_ms };
        Ok((output.into_inner(), summary))
    }
}
