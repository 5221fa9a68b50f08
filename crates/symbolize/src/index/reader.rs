//! Reading an index: a look-up reads a handful of pages.

use std::io;

use hearth_objfile::ElfAddress;
use hearth_profile::FrameKind;

use super::{
    BUILD_ID_BYTES_MAX, CONTENT_BYTES, ENTRIES, ENTRY_BYTES, FENCE_BYTES, FENCES, HAS_INLINED, HAS_NO_NAME,
    HAS_ROWS, LEVELS_MAX, MAGIC, PAGE_BYTES, Summary, VERSION, take, unzigzag,
};
use crate::source::ReadAt;
use crate::{SourceFrame, named};

/// Pages kept by a reader: 256 KiB.
const CACHED_PAGES: usize = 64;
/// Largest record that is read. A function of a megabyte of code has one of about this size.
const RECORD_BYTES_MAX: u64 = 16 << 20;
/// Deepest chain of inlined calls that is reported.
const INLINE_DEPTH_MAX: usize = 256;

/// Why an index cannot be used: make it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an index, or one that was cut.
    #[error("no symbol index, or one that was cut")]
    NotAnIndex,
    /// An index of another version of the format.
    #[error("symbol index of version {0}; version {VERSION} is read")]
    Version(u16),
    /// A page's checksum is wrong.
    #[error("page {0} of the symbol index is damaged")]
    Damaged(u64),
    /// A page is whole, but what it says makes no sense.
    #[error("malformed symbol index: {0}")]
    Malformed(&'static str),
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is known about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Functions were appended.
    Functions,
    /// A function without a name begins here: code can be grouped by it.
    Unnamed {
        /// First address of the function.
        start: ElfAddress,
    },
    /// Nothing.
    Nothing,
}

/// A level of entries or fences.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    first_page: u32,
    count: u64,
}

/// An open index. Holds at most 256 KiB, whatever the index's size.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    summary: Summary,
    levels: Vec<Level>,
    cache: Vec<Option<(u64, Box<[u8; PAGE_BYTES]>)>>,
}

impl<S: ReadAt> Reader<S> {
    /// Opens an index by its last page.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn open(source: S) -> Result<Self, Error> {
        let size = source.size();
        if size == 0 || !size.is_multiple_of(PAGE_BYTES as u64) {
            return Err(Error::NotAnIndex);
        }
        let cache = vec![None; CACHED_PAGES];
        let mut reader = Self { source, summary: Summary::default(), levels: Vec::new(), cache };
        let last = size / PAGE_BYTES as u64 - 1;
        let content = match reader.page(last) {
            Ok(page) => *page,
            Err(Error::Damaged(_)) => return Err(Error::NotAnIndex),
            Err(error) => return Err(error),
        };
        if !content.starts_with(&MAGIC) {
            return Err(Error::NotAnIndex);
        }
        let mut rest = &content[MAGIC.len()..];
        let version = u16::from_le_bytes(array(&mut rest)?);
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let [_, levels] = array(&mut rest)?;
        if usize::from(levels) > LEVELS_MAX {
            return Err(Error::Malformed("it has too many levels"));
        }
        for _ in 0..levels {
            let first_page = u32::from_le_bytes(array(&mut rest)?);
            let count = u64::from_le_bytes(array(&mut rest)?);
            reader.levels.push(Level { first_page, count });
        }
        for index in 0..reader.summary.ranges.len() {
            reader.summary.ranges[index] = u64::from_le_bytes(array(&mut rest)?);
            reader.summary.covered_bytes[index] = u64::from_le_bytes(array(&mut rest)?);
        }
        reader.summary.bytes = u64::from_le_bytes(array(&mut rest)?);
        let [length] = array(&mut rest)?;
        let build_id = rest.get(..usize::from(length)).filter(|id| id.len() <= BUILD_ID_BYTES_MAX);
        let build_id = build_id.ok_or(Error::Malformed("its build ID is too long"))?;
        reader.summary.build_id = String::from_utf8_lossy(build_id).into_owned();
        if reader.summary.bytes != size {
            return Err(Error::NotAnIndex);
        }
        Ok(reader)
    }

    /// What the index says about itself.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Where the index is.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Appends the functions at `address`, innermost inlined function first.
    ///
    /// For a caller, `address` must lie within the call instruction (return address − 1).
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], [`Error::Malformed`] or [`Error::Io`]; nothing is appended then.
    pub fn frames(&mut self, address: ElfAddress, out: &mut Vec<SourceFrame>) -> Result<Found, Error> {
        let Some((start, record)) = self.find(address.0)? else { return Ok(Found::Nothing) };
        let bytes = self.record(record)?;
        let record = Record::parse(&bytes).ok_or(Error::Malformed("a record ends early"))?;
        if record.flags & HAS_NO_NAME != 0 {
            return Ok(Found::Unnamed { start: ElfAddress(record.base.min(start)) });
        }
        let (mut file, mut line, calls) =
            record.lookup(address.0).ok_or(Error::Malformed("a record ends early"))?;
        let first = out.len();
        for call in calls.iter().rev() {
            let name = self.string(call.name)?;
            let frame = named(&name, record.kind);
            let path = self.path(file)?;
            out.push(SourceFrame { file: path, line, start_line: call.start_line, ..frame });
            (file, line) = (call.file, call.line);
        }
        let name = self.string(record.name).inspect_err(|_| out.truncate(first))?;
        let path = self.path(file).inspect_err(|_| out.truncate(first))?;
        let frame = named(&name, record.kind);
        out.push(SourceFrame { file: path, line, start_line: record.start_line, ..frame });
        Ok(Found::Functions)
    }

    /// Start of the entry and position of the record that covers `address`.
    fn find(&mut self, address: u64) -> Result<Option<(u64, u64)>, Error> {
        let mut page = 0_u64;
        for index in (1..self.levels.len()).rev() {
            let level = self.levels[index];
            let count = level.count.saturating_sub(page * FENCES as u64).min(FENCES as u64) as usize;
            let content = self.page(u64::from(level.first_page) + page)?;
            let after = partition(count, |at| number(content, at * FENCE_BYTES) <= address);
            let Some(at) = after.checked_sub(1) else { return Ok(None) };
            page = page * FENCES as u64 + at as u64;
        }
        let Some(level) = self.levels.first().copied() else { return Ok(None) };
        let count = level.count.saturating_sub(page * ENTRIES as u64).min(ENTRIES as u64) as usize;
        if count == 0 {
            return Ok(None);
        }
        let content = self.page(u64::from(level.first_page) + page)?;
        let after = partition(count, |at| number(content, at * ENTRY_BYTES) <= address);
        let Some(at) = after.checked_sub(1) else { return Ok(None) };
        let start = number(content, at * ENTRY_BYTES);
        let rest = number(content, at * ENTRY_BYTES + 8);
        let (size, record) = (rest & u64::from(u32::MAX), rest >> 32);
        Ok((address - start < size).then_some((start, record)))
    }

    fn record(&mut self, position: u64) -> Result<Vec<u8>, Error> {
        self.sized(position, RECORD_BYTES_MAX)
    }

    fn string(&mut self, position: u64) -> Result<String, Error> {
        let bytes = self.sized(position, crate::RAW_NAME_BYTES_MAX as u64 * 4)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// A path by its position plus one.
    fn path(&mut self, reference: u64) -> Result<String, Error> {
        match reference.checked_sub(1) {
            Some(position) => self.string(position),
            None => Ok(String::new()),
        }
    }

    /// Bytes that say their own size.
    fn sized(&mut self, position: u64, limit: u64) -> Result<Vec<u8>, Error> {
        let mut head = Vec::new();
        self.copy(position, 10, &mut head)?;
        let mut rest = head.as_slice();
        let size = take(&mut rest).ok_or(Error::Malformed("a size has no end"))?;
        if size > limit {
            return Err(Error::Malformed("a record or a string is too large"));
        }
        let start = position + (head.len() - rest.len()) as u64;
        let mut bytes = Vec::new();
        self.copy(start, size, &mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(Error::Malformed("a record or a string exceeds the index"));
        }
        Ok(bytes)
    }

    /// Appends `size` bytes of content from `position` on, less at the end of the index.
    fn copy(&mut self, position: u64, size: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        let (mut page, mut at) =
            (position / CONTENT_BYTES as u64, (position % CONTENT_BYTES as u64) as usize);
        let pages = self.source.size() / PAGE_BYTES as u64;
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 && page < pages {
            let content = self.page(page)?;
            let part = &content[at..CONTENT_BYTES];
            let part = &part[..part.len().min(left)];
            out.extend(part);
            left -= part.len();
            (page, at) = (page + 1, 0);
        }
        Ok(())
    }

    fn page(&mut self, number: u64) -> Result<&[u8; PAGE_BYTES], Error> {
        let slot = (number % CACHED_PAGES as u64) as usize;
        if !matches!(&self.cache[slot], Some((cached, _)) if *cached == number) {
            let mut page = match self.cache[slot].take() {
                Some((_, page)) => page,
                None => Box::new([0; PAGE_BYTES]),
            };
            self.source.read_exact_at(page.as_mut_slice(), number * PAGE_BYTES as u64)?;
            let mut checksum = &page[CONTENT_BYTES..];
            if u32::from_le_bytes(array(&mut checksum)?) != crc32fast::hash(&page[..CONTENT_BYTES]) {
                return Err(Error::Damaged(number));
            }
            self.cache[slot] = Some((number, page));
        }
        match &self.cache[slot] {
            Some((_, page)) => Ok(page),
            None => Err(Error::Damaged(number)),
        }
    }
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Error> {
    let (head, rest) = bytes.split_first_chunk().ok_or(Error::NotAnIndex)?;
    *bytes = rest;
    Ok(*head)
}

fn number(content: &[u8; PAGE_BYTES], at: usize) -> u64 {
    content.get(at..).and_then(|tail| tail.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// How many of the first `count` indices satisfy a condition that never holds again once it does not.
fn partition(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// What a record says before its lines.
struct Record<'a> {
    flags: u8,
    kind: FrameKind,
    base: u64,
    name: u64,
    start_line: u32,
    rest: &'a [u8],
}

/// An inlined call that covers the address.
#[derive(Clone, Copy, Default)]
struct Call {
    name: u64,
    start_line: u32,
    file: u64,
    line: u32,
}

impl<'a> Record<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let (&flags, &kind) = (rest.split_off_first()?, rest.split_off_first()?);
        let kind = FrameKind::ALL.get(usize::from(kind)).copied().unwrap_or_default();
        let (base, name) = (take(&mut rest)?, take(&mut rest)?);
        let start_line = line_number(take(&mut rest)?);
        Some(Self { flags, kind, base, name, start_line, rest })
    }

    /// File and line of the instruction, and the inlined calls around it, outermost first.
    fn lookup(&self, address: u64) -> Option<(u64, u32, Vec<Call>)> {
        let mut rest = self.rest;
        let (file, line) =
            if self.flags & HAS_ROWS != 0 { row_at(&mut rest, self.base, address)? } else { (0, 0) };
        let calls =
            if self.flags & HAS_INLINED != 0 { calls_at(rest, self.base, address)? } else { Vec::new() };
        Some((file, line, calls))
    }
}

fn line_number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn row_at(rest: &mut &[u8], base: u64, address: u64) -> Option<(u64, u32)> {
    let count = take(rest)?;
    let (mut at, mut line, mut file) = (base, 0_i64, 0);
    let mut found = (0, 0);
    for _ in 0..count {
        let step = take(rest)?;
        line = line.wrapping_add(unzigzag(take(rest)?));
        if step & 1 == 1 {
            file = take(rest)?;
        }
        at = at.wrapping_add(step >> 1);
        if at <= address {
            found = (file, u32::try_from(line).unwrap_or(0));
        }
    }
    Some(found)
}

fn calls_at(mut rest: &[u8], base: u64, address: u64) -> Option<Vec<Call>> {
    let count = take(&mut rest)?;
    let mut path: Vec<Call> = Vec::new();
    let mut deepest = 0;
    for _ in 0..count {
        let depth = usize::try_from(take(&mut rest)?).ok()?;
        let name = take(&mut rest)?;
        let start_line = line_number(take(&mut rest)?);
        let file = take(&mut rest)?;
        let line = line_number(take(&mut rest)?);
        let ranges = take(&mut rest)?;
        let mut at = base;
        let mut inside = false;
        for _ in 0..ranges {
            let start = at.wrapping_add(take(&mut rest)?);
            at = start.wrapping_add(take(&mut rest)?);
            inside |= (start..at).contains(&address);
        }
        // Callers come first, so the chain grows by one at each depth; siblings do not overlap.
        if inside && depth >= deepest && path.len() < INLINE_DEPTH_MAX {
            path.push(Call { name, start_line, file, line });
            deepest = depth + 1;
        }
    }
    Some(path)
}
