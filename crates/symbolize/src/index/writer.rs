//! Writing an index: functions in any order in, sorted pages out, without seeking.
//!
//! Only 24 bytes per range and 12 per distinct string stay in memory; records and strings are written as
//! they come.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::io::{self, Write};

use hearth_objfile::ElfAddress;
use hearth_profile::FrameKind;

use super::{
    BUILD_ID_BYTES_MAX, CONTENT_BYTES, ENTRIES, ENTRY_BYTES, FENCE_BYTES, FENCES, HAS_INLINED, HAS_NO_NAME,
    HAS_ROWS, LEVELS_MAX, MAGIC, PAGE_BYTES, Source, Summary, VERSION, put, zigzag,
};

type Hasher = foldhash::quality::RandomState;

/// A contiguous range of code of one function.
#[derive(Clone, Copy, Debug)]
pub struct Function<'a> {
    /// Its first address.
    pub start: ElfAddress,
    /// Its end, exclusive.
    pub end: ElfAddress,
    /// Its raw name; empty if it has none.
    pub name: &'a [u8],
    /// What executes it, where its name does not say so.
    pub kind: FrameKind,
    /// Where this is known from.
    pub source: Source,
    /// The line where the function begins; 0 if unknown.
    pub start_line: u32,
    /// Lines, ascending by address; each holds up to the next one. Those outside the range are left out.
    pub rows: &'a [Row],
    /// Paths that rows and calls refer to.
    pub files: &'a [Vec<u8>],
    /// Inlined calls in the order of a walk through their tree, callers first.
    pub inlined: &'a [Inlined],
}

/// From `address` on, code comes from this line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// First address.
    pub address: u64,
    /// Index of the path; any number beyond the last is "unknown".
    pub file: u32,
    /// The line; 0 if unknown.
    pub line: u32,
}

/// A call that was replaced by the called function's code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inlined {
    /// How many inlined calls it is in: 0 for those of the function itself.
    pub depth: u32,
    /// Raw name of the called function; empty if unknown.
    pub name: Vec<u8>,
    /// The line where the called function begins; 0 if unknown.
    pub start_line: u32,
    /// Index of the path of the call.
    pub call_file: u32,
    /// Line of the call; 0 if unknown.
    pub call_line: u32,
    /// Its code, as (start, end), ascending.
    pub ranges: Vec<(u64, u64)>,
}

/// A range of code and where its record is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    end: u64,
    record: u32,
    source: Source,
}

/// Writes one index.
#[derive(Debug)]
pub struct Writer<W> {
    pages: Pages<W>,
    entries: Vec<Entry>,
    /// Positions of strings by their hash. A collision would show another string of the same file.
    strings: HashMap<u64, u32, Hasher>,
    hasher: Hasher,
    record: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins an index.
    pub fn new(out: W) -> Self {
        Self {
            pages: Pages { out, page: Vec::with_capacity(PAGE_BYTES), written: 0 },
            entries: Vec::new(),
            strings: HashMap::default(),
            hasher: Hasher::default(),
            record: Vec::new(),
        }
    }

    /// Adds a range of code. Where ranges overlap, the better source wins, and of one source the innermost.
    ///
    /// # Errors
    ///
    /// What writing fails with; [`io::ErrorKind::FileTooLarge`] beyond 4 GiB.
    pub fn add(&mut self, function: &Function<'_>) -> io::Result<()> {
        if function.start >= function.end {
            return Ok(());
        }
        let record = self.write_record(function)?;
        let (start, end) = (function.start.0, function.end.0);
        self.entries.push(Entry { start, end, record, source: function.source });
        Ok(())
    }

    /// Ranges added so far.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory held, in bytes, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.strings.capacity() * 17
    }

    /// Bytes written so far.
    pub fn written_bytes(&self) -> u64 {
        self.pages.written * PAGE_BYTES as u64
    }

    fn write_record(&mut self, function: &Function<'_>) -> io::Result<u32> {
        let (start, end) = (function.start.0, function.end.0);
        let rows = clip(function.rows, start, end);
        let inlined: Vec<(&Inlined, Vec<(u64, u64)>)> = function
            .inlined
            .iter()
            .map(|call| (call, clip_ranges(&call.ranges, start, end)))
            .filter(|(_, ranges)| !ranges.is_empty())
            .collect();
        let mut flags = if function.name.is_empty() { HAS_NO_NAME } else { 0 };
        flags |= if rows.is_empty() { 0 } else { HAS_ROWS };
        flags |= if inlined.is_empty() { 0 } else { HAS_INLINED };
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        record.extend([flags, function.kind as u8]);
        put(&mut record, start);
        put(&mut record, self.string(function.name)?.into());
        put(&mut record, function.start_line.into());
        if !rows.is_empty() {
            self.put_rows(&mut record, start, &rows, function.files)?;
        }
        if !inlined.is_empty() {
            put(&mut record, inlined.len() as u64);
            for (call, ranges) in &inlined {
                self.put_inlined(&mut record, start, call, ranges, function.files)?;
            }
        }
        let position = self.pages.position()?;
        let mut size = Vec::with_capacity(5);
        put(&mut size, record.len() as u64);
        self.pages.write(&size)?;
        self.pages.write(&record)?;
        self.record = record;
        Ok(position)
    }

    fn put_rows(
        &mut self,
        record: &mut Vec<u8>,
        base: u64,
        rows: &[Row],
        files: &[Vec<u8>],
    ) -> io::Result<()> {
        put(record, rows.len() as u64);
        let (mut address, mut line, mut file) = (base, 0_i64, None);
        for row in rows {
            let changed = file != Some(row.file);
            put(record, (row.address - address) << 1 | u64::from(changed));
            put(record, zigzag(i64::from(row.line) - line));
            if changed {
                let path = self.file(files, row.file)?;
                put(record, path.into());
            }
            (address, line, file) = (row.address, i64::from(row.line), Some(row.file));
        }
        Ok(())
    }

    fn put_inlined(
        &mut self,
        record: &mut Vec<u8>,
        base: u64,
        call: &Inlined,
        ranges: &[(u64, u64)],
        files: &[Vec<u8>],
    ) -> io::Result<()> {
        put(record, call.depth.into());
        put(record, self.string(&call.name)?.into());
        put(record, call.start_line.into());
        put(record, self.file(files, call.call_file)?.into());
        put(record, call.call_line.into());
        put(record, ranges.len() as u64);
        let mut at = base;
        for (start, end) in ranges {
            put(record, start - at);
            put(record, end - start);
            at = *end;
        }
        Ok(())
    }

    /// Position of a path plus one; 0 if it is unknown.
    fn file(&mut self, files: &[Vec<u8>], index: u32) -> io::Result<u32> {
        match files.get(index as usize) {
            Some(path) if !path.is_empty() => Ok(self.string(path)?.saturating_add(1)),
            _ => Ok(0),
        }
    }

    /// Position of a string, written if it is new.
    fn string(&mut self, text: &[u8]) -> io::Result<u32> {
        if text.is_empty() {
            return Ok(0);
        }
        let hash = self.hasher.hash_one(text);
        if let Some(&position) = self.strings.get(&hash) {
            return Ok(position);
        }
        let position = self.pages.position()?;
        let mut size = Vec::with_capacity(5);
        put(&mut size, text.len() as u64);
        self.pages.write(&size)?;
        self.pages.write(text)?;
        self.strings.insert(hash, position);
        Ok(position)
    }

    /// Sorts, and writes the rest. Returns what was written and the writer it was written to.
    ///
    /// # Errors
    ///
    /// What writing fails with.
    pub fn finish(mut self, build_id: &str) -> io::Result<(Summary, W)> {
        drop(std::mem::take(&mut self.strings));
        let entries = flatten(std::mem::take(&mut self.entries));
        let mut summary = Summary {
            build_id: build_id.chars().take(BUILD_ID_BYTES_MAX).filter(char::is_ascii).collect(),
            ..Summary::default()
        };
        for entry in &entries {
            summary.ranges[entry.source as usize] += 1;
            summary.covered_bytes[entry.source as usize] += entry.end - entry.start;
        }
        let mut levels = vec![self.pages.align()?];
        let mut starts = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            if index % ENTRIES == 0 {
                self.pages.align()?;
                starts.push(entry.start);
            }
            let mut bytes = [0; ENTRY_BYTES];
            bytes[..8].copy_from_slice(&entry.start.to_le_bytes());
            let size = u32::try_from(entry.end - entry.start).unwrap_or(u32::MAX);
            bytes[8..12].copy_from_slice(&size.to_le_bytes());
            bytes[12..].copy_from_slice(&entry.record.to_le_bytes());
            self.pages.write(&bytes)?;
        }
        let mut counts = vec![entries.len() as u64];
        drop(entries);
        while starts.len() > 1 {
            if levels.len() == LEVELS_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            levels.push(self.pages.align()?);
            counts.push(starts.len() as u64);
            let mut above = Vec::new();
            for (index, start) in starts.iter().enumerate() {
                if index % FENCES == 0 {
                    self.pages.align()?;
                    above.push(*start);
                }
                self.pages.write(&start.to_le_bytes())?;
            }
            starts = above;
        }
        self.pages.align()?;
        summary.bytes = (self.pages.written + 1) * PAGE_BYTES as u64;
        let content = summary_page(&summary, &levels, &counts);
        self.pages.write(&content)?;
        self.pages.align()?;
        let mut out = self.pages.out;
        out.flush()?;
        Ok((summary, out))
    }
}

fn summary_page(summary: &Summary, levels: &[u32], counts: &[u64]) -> Vec<u8> {
    let mut content = MAGIC.to_vec();
    content.extend(VERSION.to_le_bytes());
    content.extend([FENCE_BYTES as u8, levels.len() as u8]);
    for (page, count) in levels.iter().zip(counts) {
        content.extend(page.to_le_bytes());
        content.extend(count.to_le_bytes());
    }
    for (count, bytes) in summary.ranges.iter().zip(summary.covered_bytes) {
        content.extend(count.to_le_bytes());
        content.extend(bytes.to_le_bytes());
    }
    content.extend(summary.bytes.to_le_bytes());
    content.push(summary.build_id.len() as u8);
    content.extend(summary.build_id.as_bytes());
    content
}

/// Pages on their way out.
#[derive(Debug)]
struct Pages<W> {
    out: W,
    page: Vec<u8>,
    /// Whole pages written.
    written: u64,
}

impl<W: Write> Pages<W> {
    /// Position of the next byte.
    fn position(&self) -> io::Result<u32> {
        let position = self.written * CONTENT_BYTES as u64 + self.page.len() as u64;
        // One below the largest, because references to files add one.
        u32::try_from(position + 1).map(|next| next - 1).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = CONTENT_BYTES - self.page.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.page.extend(now);
            bytes = later;
            if self.page.len() == CONTENT_BYTES {
                self.end_page()?;
            }
        }
        Ok(())
    }

    /// Ends a page that was begun; the number of the next one.
    fn align(&mut self) -> io::Result<u32> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        u32::try_from(self.written).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    fn end_page(&mut self) -> io::Result<()> {
        self.page.resize(CONTENT_BYTES, 0);
        let checksum = crc32fast::hash(&self.page);
        self.page.extend(checksum.to_le_bytes());
        self.out.write_all(&self.page)?;
        self.page.clear();
        self.written += 1;
        Ok(())
    }
}

/// The rows that say something about `start..end`, the first one moved to the start.
fn clip(rows: &[Row], start: u64, end: u64) -> Vec<Row> {
    let first = rows.partition_point(|row| row.address <= start).saturating_sub(1);
    let last = rows.partition_point(|row| row.address < end);
    let mut clipped: Vec<Row> = Vec::new();
    for row in rows.get(first..last).unwrap_or(&[]) {
        let row = Row { address: row.address.max(start), ..*row };
        match clipped.last_mut() {
            Some(before) if before.address == row.address => *before = row,
            Some(before) if (before.file, before.line) == (row.file, row.line) => {}
            _ => clipped.push(row),
        }
    }
    if clipped.iter().all(|row| row.line == 0) {
        clipped.clear();
    }
    clipped
}

fn clip_ranges(ranges: &[(u64, u64)], start: u64, end: u64) -> Vec<(u64, u64)> {
    let mut at = start;
    let mut clipped = Vec::new();
    for (from, to) in ranges {
        let (from, to) = ((*from).max(at), (*to).min(end));
        if from < to {
            clipped.push((from, to));
            at = to;
        }
    }
    clipped
}

/// Makes ranges that do not overlap, ascending: better sources first, then inner ranges.
fn flatten(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_key(|entry| (entry.source, entry.start, Reverse(entry.end)));
    let mut flat: Vec<Entry> = Vec::new();
    for source in Source::ALL {
        let first = entries.partition_point(|entry| entry.source < source);
        let last = entries.partition_point(|entry| entry.source <= source);
        let layer = innermost(&entries[first..last]);
        flat = if flat.is_empty() { layer } else { fill(&flat, &layer) };
    }
    flat
}

/// Cuts nested ranges so that the one that begins last wins.
fn innermost(entries: &[Entry]) -> Vec<Entry> {
    let mut flat: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut open: Vec<Entry> = Vec::new();
    let mut at = 0;
    let close = |open: &mut Vec<Entry>, flat: &mut Vec<Entry>, at: &mut u64, until: u64| {
        while let Some(entry) = open.last().copied() {
            let end = entry.end.min(until);
            if end > *at {
                flat.push(Entry { start: *at, end, ..entry });
                *at = end;
            }
            if entry.end > until {
                break;
            }
            open.pop();
        }
        *at = (*at).max(until);
    };
    for entry in entries {
        // Equal ranges: the first one added wins.
        if open.last().is_some_and(|outer| (outer.start, outer.end) == (entry.start, entry.end)) {
            continue;
        }
        close(&mut open, &mut flat, &mut at, entry.start);
        open.push(*entry);
        // What is nested deeper than anything real is cut short.
        if open.len() > NESTED_MAX {
            open.remove(0);
        }
    }
    close(&mut open, &mut flat, &mut at, u64::MAX);
    flat
}

/// Ranges open at once.
const NESTED_MAX: usize = 64;

/// `better`, with what `worse` knows about the gaps. Both ascend and do not overlap.
fn fill(better: &[Entry], worse: &[Entry]) -> Vec<Entry> {
    let mut filled = Vec::with_capacity(better.len() + worse.len());
    let mut next = better.iter().copied().peekable();
    for entry in worse {
        let mut start = entry.start;
        loop {
            match next.peek().copied() {
                Some(known) if known.end <= start => {
                    filled.push(known);
                    next.next();
                }
                Some(known) if known.start < entry.end => {
                    if known.start > start {
                        filled.push(Entry { start, end: known.start, ..*entry });
                    }
                    start = known.end;
                    if known.end >= entry.end {
                        break;
                    }
                }
                _ => break,
            }
        }
        if start < entry.end {
            filled.push(Entry { start, ..*entry });
        }
    }
    filled.extend(next);
    filled.sort_by_key(|entry| entry.start);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(ranges: &[(u64, u64, u32, Source)]) -> Vec<(u64, u64, u32)> {
        let entries =
            ranges.iter().map(|&(start, end, record, source)| Entry { start, end, record, source }).collect();
        flatten(entries).iter().map(|entry| (entry.start, entry.end, entry.record)).collect()
    }

    #[test]
    #[rustfmt::skip]
    fn better_sources_and_inner_ranges_win() {
        use Source::{Dwarf, Symbols, Unwind};
        assert_eq!(flat(&[]), []);
        assert_eq!(flat(&[(10, 20, 1, Symbols), (30, 40, 2, Symbols)]), [(10, 20, 1), (30, 40, 2)]);
        assert_eq!(flat(&[(10, 40, 1, Symbols), (20, 30, 2, Symbols)]), [(10, 20, 1), (20, 30, 2), (30, 40, 1)]);
        assert_eq!(flat(&[(10, 30, 1, Symbols), (20, 40, 2, Symbols)]), [(10, 20, 1), (20, 40, 2)]);
        assert_eq!(flat(&[(10, 20, 1, Symbols), (10, 20, 2, Symbols)]), [(10, 20, 1)]);
        assert_eq!(flat(&[(10, 40, 1, Symbols), (20, 30, 2, Dwarf)]), [(10, 20, 1), (20, 30, 2), (30, 40, 1)]);
        assert_eq!(flat(&[(10, 40, 1, Dwarf), (20, 30, 2, Symbols)]), [(10, 40, 1)]);
        assert_eq!(flat(&[(10, 20, 1, Dwarf), (5, 50, 2, Unwind), (30, 40, 3, Symbols)]),
                   [(5, 10, 2), (10, 20, 1), (20, 30, 2), (30, 40, 3), (40, 50, 2)]);
        assert_eq!(flat(&[(0, 9, 1, Dwarf), (20, 30, 2, Dwarf), (4, 6, 3, Symbols), (25, 60, 4, Symbols)]),
                   [(0, 9, 1), (20, 30, 2), (30, 60, 4)]);
    }
}
