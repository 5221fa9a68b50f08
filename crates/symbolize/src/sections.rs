//! Sections of one file, read as far as they are needed, decompressed if they must be.
//!
//! A section that is stored plainly is read in chunks, of which the last few are kept. A compressed one can
//! only be decompressed whole: its size is checked before, against what the header says and what is left of
//! the caller's budget, so that a bomb costs nothing.

use std::cell::{Cell, RefCell};
use std::io::Read as _;

use hearth_objfile::{ObjectFile, Section};

use crate::source::{ReadAt, read_range};

/// Bytes read at a time.
const CHUNK_BYTES: u64 = 16 * 1024;
/// Chunks kept of one section: 1 MiB.
const CHUNKS_MAX: usize = 64;
/// Longest string that is read.
const STRING_BYTES_MAX: usize = 64 * 1024;

/// Bytes that decompressed sections may still take.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self(Cell::new(bytes))
    }

    /// Takes `bytes` if there are so many left.
    fn take(&self, bytes: u64) -> Option<()> {
        self.0.set(self.0.get().checked_sub(bytes)?);
        Some(())
    }
}

/// The bytes of one section.
pub(crate) enum Bytes<'a> {
    /// It is absent, or unusable.
    None,
    /// It is in memory.
    Memory(Vec<u8>),
    /// It is in the file.
    File { source: &'a dyn ReadAt, offset: u64, size: u64, chunks: RefCell<Vec<(u64, Vec<u8>)>> },
}

impl<'a> Bytes<'a> {
    /// The section with this name, or its old compressed form (`.zdebug_…` for `.debug_…`).
    pub(crate) fn find(source: &'a dyn ReadAt, object: &ObjectFile, name: &str, budget: &Budget) -> Self {
        if let Some(section) = object.section(name) {
            return Self::open(source, object, section, budget).unwrap_or(Self::None);
        }
        let old = name.strip_prefix(".debug_").and_then(|rest| object.section(&format!(".zdebug_{rest}")));
        old.and_then(|section| old_compressed(source, section, budget)).map_or(Self::None, Self::Memory)
    }

    fn open(source: &'a dyn ReadAt, object: &ObjectFile, section: &Section, budget: &Budget) -> Option<Self> {
        if section.compressed {
            return compressed(source, object, section, budget).map(Self::Memory);
        }
        if section.file_size == 0 || section.file_offset.0.checked_add(section.file_size)? > source.size() {
            return None;
        }
        let (offset, size) = (section.file_offset.0, section.file_size);
        Some(Self::File { source, offset, size, chunks: RefCell::default() })
    }

    /// Its size; 0 if it is absent.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// `size` bytes from `offset` on; none if the section ends before.
    pub(crate) fn read(&self, offset: u64, size: u64) -> Option<Vec<u8>> {
        let end = offset.checked_add(size)?;
        if end > self.size() {
            return None;
        }
        match self {
            Self::None => None,
            Self::Memory(bytes) => {
                Some(bytes.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)?.to_vec())
            }
            Self::File { source, offset: start, .. } if size > CHUNK_BYTES => {
                read_range(*source, start.checked_add(offset)?, size)
            }
            Self::File { .. } => {
                let mut bytes = Vec::with_capacity(usize::try_from(size).ok()?);
                self.chunked(offset, |part| {
                    let left = size as usize - bytes.len();
                    bytes.extend(&part[..part.len().min(left)]);
                    bytes.len() < size as usize
                })?;
                (bytes.len() as u64 == size).then_some(bytes)
            }
        }
    }

    /// At most `size` bytes from `offset` on: less at the end of the section.
    pub(crate) fn read_up_to(&self, offset: u64, size: u64) -> Option<Vec<u8>> {
        self.read(offset, size.min(self.size().checked_sub(offset)?))
    }

    /// The string that begins at `offset` and ends before a zero byte.
    pub(crate) fn string(&self, offset: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        if let Self::Memory(bytes) = self {
            let tail = bytes.get(usize::try_from(offset).ok()?..)?;
            let tail = &tail[..tail.len().min(STRING_BYTES_MAX)];
            let end = tail.iter().position(|byte| *byte == 0).unwrap_or(tail.len());
            return Some(tail[..end].to_vec());
        }
        if offset >= self.size() {
            return None;
        }
        self.chunked(offset, |part| {
            let end = part.iter().position(|byte| *byte == 0);
            text.extend(&part[..end.unwrap_or(part.len())]);
            end.is_none() && text.len() < STRING_BYTES_MAX
        })?;
        Some(text)
    }

    /// A number of `size` bytes at `offset`.
    pub(crate) fn number(&self, offset: u64, size: u8, little_endian: bool) -> Option<u64> {
        let bytes = self.read(offset, size.into())?;
        let digits = bytes.iter().map(|byte| u64::from(*byte));
        Some(if little_endian {
            digits.rev().fold(0, |value, byte| value << 8 | byte)
        } else {
            digits.fold(0, |value, byte| value << 8 | byte)
        })
    }

    /// Gives the bytes from `offset` on in parts, until `more` says no or the section ends.
    fn chunked(&self, offset: u64, mut more: impl FnMut(&[u8]) -> bool) -> Option<()> {
        let Self::File { source, offset: start, size, chunks } = self else { return None };
        let mut at = offset;
        let mut chunks = chunks.borrow_mut();
        while at < *size {
            let number = at / CHUNK_BYTES;
            let index = match chunks.iter().position(|(known, _)| *known == number) {
                Some(index) => index,
                None => {
                    let first = number * CHUNK_BYTES;
                    let bytes =
                        read_range(*source, start.checked_add(first)?, CHUNK_BYTES.min(*size - first))?;
                    if chunks.len() >= CHUNKS_MAX {
                        chunks.remove(0);
                    }
                    chunks.push((number, bytes));
                    chunks.len() - 1
                }
            };
            let (_, bytes) = &chunks[index];
            let part = bytes.get((at % CHUNK_BYTES) as usize..)?;
            if part.is_empty() || !more(part) {
                return Some(());
            }
            at += part.len() as u64;
        }
        Some(())
    }
}

/// A section with a compression header (`SHF_COMPRESSED`).
fn compressed(
    source: &dyn ReadAt,
    object: &ObjectFile,
    section: &Section,
    budget: &Budget,
) -> Option<Vec<u8>> {
    const ZLIB: u64 = 1;
    const ZSTD: u64 = 2;
    let bytes = read_range(source, section.file_offset.0, section.file_size)?;
    let header_bytes = if object.class64 { 24 } else { 12 };
    let number = |at: usize, size: usize| {
        let digits = bytes.get(at..at + size)?.iter().map(|byte| u64::from(*byte));
        Some(if object.little_endian {
            digits.rev().fold(0, |value, byte| value << 8 | byte)
        } else {
            digits.fold(0, |value, byte| value << 8 | byte)
        })
    };
    let kind = number(0, 4)?;
    let size = if object.class64 { number(8, 8)? } else { number(4, 4)? };
    let rest = bytes.get(header_bytes..)?;
    budget.take(size)?;
    match kind {
        ZLIB => inflate(rest, size),
        ZSTD => {
            let capacity = usize::try_from(size).ok()?;
            let mut decoder = zstd::stream::read::Decoder::with_buffer(rest).ok()?;
            decoder.window_log_max(27).ok()?;
            exactly(decoder, capacity)
        }
        _ => None,
    }
}

/// A section as GNU tools compressed it before there was a standard: `ZLIB`, its size, data.
fn old_compressed(source: &dyn ReadAt, section: &Section, budget: &Budget) -> Option<Vec<u8>> {
    let bytes = read_range(source, section.file_offset.0, section.file_size)?;
    let rest = bytes.strip_prefix(b"ZLIB")?;
    let (size, rest) = rest.split_first_chunk()?;
    let size = u64::from_be_bytes(*size);
    budget.take(size)?;
    inflate(rest, size)
}

fn inflate(bytes: &[u8], size: u64) -> Option<Vec<u8>> {
    exactly(flate2::read::ZlibDecoder::new(bytes), usize::try_from(size).ok()?)
}

/// Exactly `size` bytes. Memory grows with what really comes, so that a header alone cannot claim it.
fn exactly(decoder: impl std::io::Read, size: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder.take(size as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() == size).then_some(bytes)
}

/// The ELF file in `.gnu_debugdata`: function names of stripped libraries of some distributions, xz.
pub(crate) fn mini_debug_info(source: &dyn ReadAt, object: &ObjectFile, limit: u64) -> Option<Vec<u8>> {
    let section = object.section(".gnu_debugdata")?;
    if section.file_size > limit {
        return None;
    }
    let bytes = read_range(source, section.file_offset.0, section.file_size)?;
    let mut out = Limited { bytes: Vec::new(), left: usize::try_from(limit).ok()? };
    lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut out).ok()?;
    Some(out.bytes)
}

/// Bytes that stop growing.
struct Limited {
    bytes: Vec<u8>,
    left: usize,
}

impl std::io::Write for Limited {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.left = self.left.checked_sub(part.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
        self.bytes.extend(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
