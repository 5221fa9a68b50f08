//! Reads a block, each part when it is first needed.

use std::sync::{Arc, OnceLock};

use hearth_profile::{Dictionary, StackId};

use crate::format::{Directory, HEADER_LEN, Part, TRAILER_LEN, decode_trailer, header};
use crate::table::{Blob, Fault, Table, TableReader};
use crate::tables::{POINTS, ROWS, SERIES, STACKS, read_dictionary, read_series};
use crate::{Error, Filter, Point, Row, SLOT_MS, Series, Source};

/// A block that can be read.
///
/// Series are kept once read; the dictionary is rebuilt at each call of [`Source::dictionary`], so
/// whoever holds many blocks decides which dictionaries to keep.
pub struct Block {
    name: String,
    blob: Arc<dyn Blob>,
    directory: Directory,
    series: OnceLock<Arc<[Series]>>,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("name", &self.name)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Block {
    /// Reads header, trailer and directory of a block that errors shall call `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if these are no block's, or a newer format's; [`Error::Io`] if the blob
    /// cannot be read.
    pub fn open(name: impl Into<String>, blob: Arc<dyn Blob>) -> Result<Self, Error> {
        let name = name.into();
        let directory = read_directory(blob.as_ref()).map_err(|fault| error(&name, fault))?;
        Ok(Self { name, blob, directory, series: OnceLock::new() })
    }

    /// How many rows there are.
    pub fn row_count(&self) -> u64 {
        self.directory.parts.iter().find(|part| part.name == ROWS.name).map_or(0, |part| part.rows)
    }

    /// Reads and checks everything; the number of rows read.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] names what is damaged first.
    pub fn verify(&self) -> Result<u64, Error> {
        self.dictionary()?;
        let series = self.series()?;
        let everything = Filter { series: vec![true; series.len()], start_ms: i64::MIN, end_ms: i64::MAX };
        let (mut rows, mut sum, mut points) = (0, 0i128, 0i128);
        self.rows(&everything, &mut |row| {
            rows += 1;
            sum += i128::from(row.value);
        })?;
        self.points(&everything, &mut |point| points += i128::from(point.value))?;
        if sum != points {
            return Err(error(&self.name, Fault::Corrupt(format!("rows sum to {sum}, points to {points}"))));
        }
        Ok(rows)
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes.
    pub(crate) fn blob(&self) -> &dyn Blob {
        self.blob.as_ref()
    }

    /// What it holds.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn part(&self, table: &'static Table) -> Result<&Part, Fault> {
        let found = self.directory.parts.iter().find(|part| part.name == table.name);
        found.ok_or_else(|| Fault::Corrupt(format!("no part {}", table.name)))
    }

    pub(crate) fn table(&self, table: &'static Table) -> Result<TableReader, Fault> {
        TableReader::open(Arc::clone(&self.blob), self.part(table)?, table)
    }

    /// Delivers the wanted rows of a table of series, slots and other columns.
    ///
    /// `other` are the columns besides `series` and `slot` which `deliver` looks at.
    fn scan(
        &self,
        filter: &Filter,
        table: &'static Table,
        mut deliver: impl FnMut(Scanned<'_>) -> Result<(), String>,
    ) -> Result<(), Fault> {
        let columns = Columns::of(table);
        let reader = self.table(table)?;
        let limit = self.part(&SERIES)?.rows;
        let slots = SlotBounds::of(self.directory.slot_range_ms);
        for index in 0..reader.groups() {
            if !may_hold(&reader, index, &columns, filter) {
                continue;
            }
            let mut group = reader.group(index)?;
            while let Some(rows) = group.begin_piece() {
                group.read(columns.series, rows)?;
                let series = group.u32s(columns.series);
                let any = series.iter().any(|series| wants(filter, series.cast_unsigned()));
                if let Some(bad) = series.iter().find(|series| u64::from(series.cast_unsigned()) >= limit) {
                    return Err(Fault::Corrupt(format!("{}: series {bad} of {limit}", table.name)));
                }
                for column in (0..table.fields.len()).filter(|&column| column != columns.series) {
                    if any { group.read(column, rows)? } else { group.skip(column, rows)? }
                }
                if !any {
                    continue;
                }
                let scanned = Scanned {
                    series: group.u32s(columns.series),
                    stacks: columns.stack.map_or(&[], |column| group.u32s(column)),
                    slots: group.u32s(columns.slot),
                    values: group.i64s(columns.value),
                };
                slots
                    .check(scanned.slots)
                    .and_then(|()| deliver(scanned))
                    .map_err(|reason| format!("{}: {reason}", table.name))?;
            }
        }
        Ok(())
    }
}

/// Where a table has which column.
struct Columns {
    series: usize,
    stack: Option<usize>,
    slot: usize,
    value: usize,
}

impl Columns {
    fn of(table: &'static Table) -> Self {
        let find = |name| table.fields.iter().position(|field| field.name == name);
        Self {
            series: find("series").unwrap_or(0),
            stack: find("stack"),
            slot: find("slot").unwrap_or(0),
            value: find("value").unwrap_or(0),
        }
    }
}

/// Columns of equal length.
struct Scanned<'a> {
    series: &'a [i32],
    stacks: &'a [i32],
    slots: &'a [i32],
    values: &'a [i64],
}

/// The slots which a block says it holds.
struct SlotBounds {
    first: i64,
    last: i64,
}

impl SlotBounds {
    fn of((first_ms, last_ms): (i64, i64)) -> Self {
        Self { first: first_ms.div_euclid(SLOT_MS), last: last_ms.div_euclid(SLOT_MS) }
    }

    fn check(&self, slots: &[i32]) -> Result<(), String> {
        let bad =
            slots.iter().find(|slot| !(self.first..=self.last).contains(&i64::from(slot.cast_unsigned())));
        bad.map_or(Ok(()), |slot| Err(format!("slot {slot}; expected {} to {}", self.first, self.last)))
    }
}

fn wants(filter: &Filter, series: u32) -> bool {
    filter.series.get(series as usize).copied().unwrap_or(false)
}

/// Whether a row group may hold wanted rows, by the bounds it records.
fn may_hold(reader: &TableReader, group: usize, columns: &Columns, filter: &Filter) -> bool {
    let series = reader.bounds(group, columns.series).is_none_or(|(first, last)| {
        let end = (last as usize).saturating_add(1).min(filter.series.len());
        filter.series.get(first as usize..end).is_some_and(|series| series.contains(&true))
    });
    let slots = reader.bounds(group, columns.slot).is_none_or(|(first, last)| {
        i64::from(first) * SLOT_MS < filter.end_ms && i64::from(last) * SLOT_MS >= filter.start_ms
    });
    series && slots
}

/// A fault with the file's name.
pub(crate) fn error(name: &str, fault: Fault) -> Error {
    let path = name.to_owned();
    match fault {
        Fault::Io(source) => Error::Io { path, source },
        Fault::Corrupt(reason) => Error::Corrupt { path, reason },
    }
}

fn read_directory(blob: &dyn Blob) -> Result<Directory, Fault> {
    let size = blob.size();
    let Some(trailer_at) = size.checked_sub(TRAILER_LEN).filter(|&at| at >= HEADER_LEN) else {
        return Err(Fault::Corrupt(format!("{size} bytes are too few for a block")));
    };
    let read = |offset, len| blob.read(offset, len).map_err(Fault::Io);
    let trailer = read(trailer_at, usize::try_from(TRAILER_LEN).map_err(|error| error.to_string())?)?;
    let (len, crc) = decode_trailer(&trailer, size)?;
    if *read(0, header().len())? != header() {
        return Err(Fault::Corrupt("does not begin as a block does".into()));
    }
    let bytes = read(trailer_at - len, usize::try_from(len).map_err(|error| error.to_string())?)?;
    if crc32fast::hash(&bytes) != crc {
        return Err(Fault::Corrupt("the checksum of the directory does not match".into()));
    }
    Ok(Directory::decode(&bytes, size)?)
}

impl Source for Block {
    fn slot_range_ms(&self) -> (i64, i64) {
        self.directory.slot_range_ms
    }

    fn series(&self) -> Result<Arc<[Series]>, Error> {
        if let Some(series) = self.series.get() {
            return Ok(Arc::clone(series));
        }
        let series = read_series(|table| self.table(table)).map_err(|fault| error(&self.name, fault))?;
        Ok(Arc::clone(self.series.get_or_init(|| series)))
    }

    fn dictionary(&self) -> Result<Arc<Dictionary>, Error> {
        let dictionary = read_dictionary(|table| self.table(table));
        dictionary.map(Arc::new).map_err(|fault| error(&self.name, fault))
    }

    fn rows(&self, filter: &Filter, row: &mut dyn FnMut(Row)) -> Result<(), Error> {
        let mut scan = || {
            // The null stack is not in the table.
            let stacks = self.part(&STACKS)?.rows.saturating_add(1);
            self.scan(filter, &ROWS, |Scanned { series, stacks: leaves, slots, values }| {
                for (((series, leaf), slot), &value) in series.iter().zip(leaves).zip(slots).zip(values) {
                    let (series, leaf) = (series.cast_unsigned(), leaf.cast_unsigned());
                    if u64::from(leaf) >= stacks {
                        return Err(format!("stack {leaf} of {stacks}"));
                    }
                    let slot_ms = i64::from(*slot) * SLOT_MS;
                    if filter.wants(series, slot_ms) {
                        row(Row { series, stack: StackId(leaf), slot_ms, value });
                    }
                }
                Ok(())
            })
        };
        scan().map_err(|fault| error(&self.name, fault))
    }

    fn points(&self, filter: &Filter, point: &mut dyn FnMut(Point)) -> Result<(), Error> {
        let scan = self.scan(filter, &POINTS, |Scanned { series, slots, values, .. }| {
            for ((series, slot), &value) in series.iter().zip(slots).zip(values) {
                let (series, slot_ms) = (series.cast_unsigned(), i64::from(*slot) * SLOT_MS);
                if filter.wants(series, slot_ms) {
                    point(Point { series, slot_ms, value });
                }
            }
            Ok(())
        });
        scan.map_err(|fault| error(&self.name, fault))
    }
}
