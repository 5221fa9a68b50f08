//! The symbol index: what is known about the code of one file, read page by page.
//!
//! Debug information is made for debuggers: to name one address, a reader has to parse a unit of megabytes.
//! The index holds what a profiler asks for and nothing else, sorted by address, so that a look-up reads a
//! handful of pages however large the program is. Agents keep indexes on disk between runs, servers keep
//! them for what was uploaded; both write the same format.
//!
//! ```text
//! DWARF, pclntab, .symtab, .dynsym, unwind tables ─▶ build ─▶ index ─▶ Reader ─▶ frames of an address
//! ```
//!
//! # Format, version 1
//!
//! The file is a sequence of *pages* of 4,096 bytes: 4,092 of content and their CRC-32, little-endian. All
//! numbers are little-endian or LEB128. Content is addressed by its *position*: page × 4,092 + offset.
//! Addresses are ELF addresses; nothing depends on where a process has the file.
//!
//! ```text
//! data      strings (length, bytes) and records of functions, in the order they were added
//! entries   16 bytes each, ascending, not overlapping: start u64, size u32, position of the record u32;
//!           255 in a page
//! fences    first starts of the pages of the level below, u64; 511 in a page; levels until one page is left
//! summary   the last page: magic, version, build ID, counts, where each level begins
//! ```
//!
//! The summary comes last so that an index is written without seeking and knows nothing in advance. A
//! *record*: size of the rest, flags, kind, base address, name, file, first line, then rows of lines (address
//! delta, line delta, file if it changed), then inlined calls in the order of a walk through the tree (depth,
//! name, first line, file and line of the call, ranges).
//!
//! A file that is cut, or of another version, is refused when it is opened; a page with a wrong checksum when
//! it is read. The content is not trusted beyond that: lengths are checked, and depths and counts bounded.

mod build;
mod reader;
mod writer;

pub use build::{BuildError, Inputs, Limits, OpenSplit, SplitUnit, build};
pub use reader::{Error, Found, Reader};
pub use writer::{Function, Inlined, Row, Writer};

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// Bytes of a page that are content; the rest is its checksum.
pub(crate) const CONTENT_BYTES: usize = PAGE_BYTES - 4;
/// First bytes of the last page.
pub(crate) const MAGIC: [u8; 8] = *b"HearthSI";
/// Version of the format that is written, and the only one that is read.
pub const VERSION: u16 = 1;
/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 16;
/// Entries in a page.
pub(crate) const ENTRIES: usize = CONTENT_BYTES / ENTRY_BYTES;
/// Bytes of a fence.
pub(crate) const FENCE_BYTES: usize = 8;
/// Fences in a page.
pub(crate) const FENCES: usize = CONTENT_BYTES / FENCE_BYTES;
/// Levels above the data, entries included. Three hold 66 million entries.
pub(crate) const LEVELS_MAX: usize = 4;
/// Bytes of a build ID in the summary, as text.
pub(crate) const BUILD_ID_BYTES_MAX: usize = 128;

/// Flags of a record.
pub(crate) const HAS_NO_NAME: u8 = 1;
pub(crate) const HAS_ROWS: u8 = 2;
pub(crate) const HAS_INLINED: u8 = 4;

/// Where a name comes from: the best source that covers an address wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Source {
    /// Debug information: names, lines and inlined calls.
    Dwarf = 0,
    /// Go's table of functions: the same for Go.
    Go = 1,
    /// `.symtab` or `.dynsym`, of the file, of its separate debug information or of its MiniDebugInfo.
    Symbols = 2,
    /// Unwind tables: where functions begin and end, without names.
    Unwind = 3,
}

impl Source {
    /// All sources, best first.
    pub const ALL: [Self; 4] = [Self::Dwarf, Self::Go, Self::Symbols, Self::Unwind];
}

/// What an index says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Build ID of the file it is about, in lower-case hexadecimal; empty if it has none.
    pub build_id: String,
    /// Ranges of code of each source, in the order of [`Source::ALL`].
    pub ranges: [u64; 4],
    /// Bytes of code covered by each source; what a better one covers is not counted again.
    pub covered_bytes: [u64; 4],
    /// Size of the index in bytes.
    pub bytes: u64,
}

impl Summary {
    /// Whether any address has a name.
    pub fn has_names(&self) -> bool {
        self.ranges[..Source::Unwind as usize].iter().any(|count| *count > 0)
    }

    /// Whether lines are known for any address.
    pub fn has_lines(&self) -> bool {
        self.ranges[Source::Dwarf as usize] > 0 || self.ranges[Source::Go as usize] > 0
    }
}

/// Appends a LEB128 number.
pub(crate) fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads a LEB128 number.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Small numbers of either sign as small numbers.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests;
