//! The container of a block: a header, parts one after another, a directory of them, a trailer.
//!
//! Each part is a complete Parquet file. The directory says where each begins and how it divides
//! into chunks with a checksum each, so that every byte of a block is checked before anything
//! decodes it, and a reader that needs one row group reads and checks no more than that.
//! `docs/block-format.md` is the authority.

use std::io::{self, Write};

/// The version this crate writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// First and last bytes of every block.
pub(crate) const MAGIC: [u8; 8] = *b"HEARTHBK";
/// Bytes before the first part: magic, version, zero.
pub(crate) const HEADER_LEN: u64 = 16;
/// Bytes after the directory: its length, its checksum, version, zero, magic.
pub(crate) const TRAILER_LEN: u64 = 24;
/// Longest directory that is read; one chunk takes twelve bytes of it.
const DIRECTORY_LEN_MAX: u64 = 16 << 20;

/// A stretch of a part with its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Length in bytes.
    pub len: u64,
    /// CRC-32 (IEEE) of the bytes.
    pub crc: u32,
}

/// Where a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which table it holds.
    pub name: String,
    /// Its first byte in the block.
    pub offset: u64,
    /// How many rows the table has.
    pub rows: u64,
    /// The chunks of which it consists, without gaps.
    pub chunks: Vec<Chunk>,
}

impl Part {
    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.chunks.iter().fold(0, |sum, chunk| sum.saturating_add(chunk.len))
    }
}

/// What a block holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    /// First and last slot, milliseconds since the Unix epoch.
    pub slot_range_ms: (i64, i64),
    /// The parts, in the order of their offsets, without gaps.
    pub parts: Vec<Part>,
}

pub(crate) fn header() -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header
}

impl Directory {
    /// Directory and trailer.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.slot_range_ms.0.to_le_bytes());
        bytes.extend(self.slot_range_ms.1.to_le_bytes());
        bytes.extend(len_u32(self.parts.len()).to_le_bytes());
        for part in &self.parts {
            bytes.extend(len_u32(part.name.len()).to_le_bytes());
            bytes.extend(part.name.as_bytes());
            bytes.extend(part.offset.to_le_bytes());
            bytes.extend(part.rows.to_le_bytes());
            bytes.extend(len_u32(part.chunks.len()).to_le_bytes());
            for chunk in &part.chunks {
                bytes.extend(chunk.len.to_le_bytes());
                bytes.extend(chunk.crc.to_le_bytes());
            }
        }
        let (len, crc) = (len_u32(bytes.len()), crc32fast::hash(&bytes));
        bytes.extend(len.to_le_bytes());
        bytes.extend(crc.to_le_bytes());
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(MAGIC);
        bytes
    }

    /// Parses the directory of a block of `block_len` bytes and checks that its parts fill it.
    pub(crate) fn decode(bytes: &[u8], block_len: u64) -> Result<Self, String> {
        let mut fields = Fields(bytes);
        let slot_range_ms = (fields.i64()?, fields.i64()?);
        let count = fields.u32()?;
        let (mut parts, mut end) = (Vec::new(), HEADER_LEN);
        for _ in 0..count {
            let name_len = fields.u32()? as usize;
            let name = String::from_utf8_lossy(fields.take(name_len)?).into_owned();
            let (offset, rows, chunk_count) = (fields.u64()?, fields.u64()?, fields.u32()?);
            let mut chunks = Vec::new();
            for _ in 0..chunk_count {
                chunks.push(Chunk { len: fields.u64()?, crc: fields.u32()? });
            }
            let part = Part { name, offset, rows, chunks };
            if part.offset != end {
                return Err(format!(
                    "part {} begins at {}, the one before ends at {end}",
                    part.name, part.offset
                ));
            }
            end = end
                .checked_add(part.len())
                .filter(|&end| end <= block_len)
                .ok_or_else(|| format!("part {} ends beyond the block's {block_len} bytes", part.name))?;
            parts.push(part);
        }
        let directory_at = block_len.checked_sub(TRAILER_LEN + bytes.len() as u64);
        if !fields.0.is_empty() || directory_at != Some(end) {
            return Err(format!("the directory does not fit: parts end at {end} of {block_len} bytes"));
        }
        Ok(Self { slot_range_ms, parts })
    }
}

/// What a trailer says about its directory: length and checksum.
pub(crate) fn decode_trailer(trailer: &[u8], block_len: u64) -> Result<(u64, u32), String> {
    let mut fields = Fields(trailer);
    let (len, crc, version, zero) = (u64::from(fields.u32()?), fields.u32()?, fields.u32()?, fields.u32()?);
    if fields.0 != MAGIC {
        return Err("does not end as a block does: cut off, or no block".into());
    }
    if version > FORMAT_VERSION || version == 0 {
        return Err(format!("format version {version}; expected 1 to {FORMAT_VERSION}"));
    }
    let room = block_len.saturating_sub(HEADER_LEN + TRAILER_LEN).min(DIRECTORY_LEN_MAX);
    if len > room || zero != 0 {
        return Err(format!("a directory of {len} bytes; expected at most {room}"));
    }
    Ok((len, crc))
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Fixed-width little-endian fields of hostile bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("the directory is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, String> {
        self.array().map(i64::from_le_bytes)
    }
}

/// Passes bytes on, counts and checksums them.
#[derive(Debug)]
pub(crate) struct Output<W> {
    inner: W,
    len: u64,
    hasher: crc32fast::Hasher,
    chunk_len: u64,
    chunks: Vec<Chunk>,
}

impl<W: Write> Output<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, len: 0, hasher: crc32fast::Hasher::new(), chunk_len: 0, chunks: Vec::new() }
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Ends a chunk, if it has any bytes.
    pub(crate) fn cut(&mut self) {
        if self.chunk_len > 0 {
            let crc = std::mem::take(&mut self.hasher).finalize();
            self.chunks.push(Chunk { len: self.chunk_len, crc });
            self.chunk_len = 0;
        }
    }

    /// The chunks since the last call, the last one ended.
    pub(crate) fn take_chunks(&mut self) -> Vec<Chunk> {
        self.cut();
        std::mem::take(&mut self.chunks)
    }

    pub(crate) fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        self.len += written as u64;
        self.chunk_len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
