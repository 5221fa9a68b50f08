//! Line programs: from instructions for a state machine to rows by address.

use gimli::AttributeValue;

use super::{Dwarf, Slice, unit::Head};
use crate::index::Row;

/// Rows of one unit that are kept. A unit with more has generated code.
const ROWS_MAX: usize = 8 << 20;
/// Paths of one unit.
const FILES_MAX: usize = 1 << 16;

/// Rows of one unit, and the paths they refer to.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Ascending by address. Where code ends, a row without a line says so.
    pub(super) rows: Vec<Row>,
    /// By the numbers that rows and calls use.
    pub(super) files: Vec<Vec<u8>>,
}

impl Dwarf<'_> {
    /// Runs the line program of a unit. None if it has none or it is malformed at once; one that is
    /// malformed later gives the rows up to there.
    pub(super) fn lines(&self, head: &Head) -> Option<Lines> {
        let offset = head.line_offset?;
        let section = &self.main.line;
        let length = section.number(offset, 4, self.main.little_endian())?;
        let (length, header) = if length == u64::from(u32::MAX) {
            (section.number(offset.checked_add(4)?, 8, self.main.little_endian())?, 12)
        } else {
            (length, 4)
        };
        let size = length.checked_add(header)?;
        if size > self.limits.unit_bytes_max {
            return None;
        }
        self.work(size)?;
        let bytes = section.read(offset, size)?;
        let section = gimli::DebugLine::new(&bytes, self.main.endian);
        let endian = self.main.endian;
        let program = section
            .program(
                gimli::DebugLineOffset(0),
                head.encoding.address_size,
                Some(Slice::new(&head.directory, endian)),
                Some(Slice::new(&head.name, endian)),
            )
            .ok()?;
        let files = self.files(head, program.header());
        let mut sequences = self.sequences(program);
        sequences.sort_by_key(|rows| rows.first().map_or(0, |row| row.address));
        let mut rows: Vec<Row> = Vec::new();
        for sequence in sequences {
            let end = rows.last().map_or(0, |row| row.address);
            if sequence.first().is_some_and(|row| row.address >= end) {
                rows.extend(sequence);
            }
        }
        Some(Lines { rows, files })
    }

    /// The stretches of the program that are about code; the last row of each has no line.
    fn sequences(&self, program: gimli::IncompleteLineProgram<Slice<'_>>) -> Vec<Vec<Row>> {
        let mut sequences = Vec::new();
        let mut sequence: Vec<Row> = Vec::new();
        let mut total = 0;
        let mut rows = program.rows();
        while let Ok(Some((_, row))) = rows.next_row() {
            let line = row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0));
            let file = u32::try_from(row.file_index()).unwrap_or(u32::MAX);
            let line = if row.end_sequence() { 0 } else { line };
            let new = Row { address: row.address(), file, line };
            match sequence.last_mut() {
                // Of several rows for one instruction the last counts.
                Some(last) if last.address == new.address => *last = new,
                Some(last) if last.address > new.address => {}
                Some(last) if (last.file, last.line) == (new.file, new.line) => {}
                _ => sequence.push(new),
            }
            if row.end_sequence() {
                total += sequence.len();
                let sequence = std::mem::take(&mut sequence);
                if total > ROWS_MAX {
                    break;
                }
                if sequence.first().is_some_and(|row| self.is_code(row.address)) {
                    sequences.push(sequence);
                }
            }
        }
        sequences
    }

    fn files(&self, head: &Head, header: &gimli::LineProgramHeader<Slice<'_>>) -> Vec<Vec<u8>> {
        let text =
            |value: &AttributeValue<Slice<'_>>| self.string(&self.main, head, value).unwrap_or_default();
        let directories: Vec<Vec<u8>> =
            header.include_directories().iter().take(FILES_MAX).map(text).collect();
        let version5 = header.version() >= 5;
        let path = |entry: &gimli::FileEntry<Slice<'_>>| {
            let name = text(&entry.path_name());
            let index = usize::try_from(entry.directory_index()).unwrap_or(usize::MAX);
            let directory = match (version5, index) {
                (false, 0) => None,
                (false, index) => directories.get(index - 1),
                (true, index) => directories.get(index),
            };
            join(&head.directory, directory.map_or(&[], Vec::as_slice), &name)
        };
        let names = header.file_names().iter().take(FILES_MAX).map(path);
        if version5 {
            return names.collect();
        }
        // Number 0 is the unit's own file.
        std::iter::once(join(&head.directory, &[], &head.name)).chain(names).collect()
    }
}

/// `name` in `directory` in the unit's directory, unless one of them is absolute.
fn join(unit: &[u8], directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(unit.len() + directory.len() + name.len() + 2);
    for part in [unit, directory, name] {
        if part.is_empty() {
            continue;
        }
        if part.starts_with(b"/") {
            path.clear();
        } else if !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend(part);
    }
    path
}
