//! The file of one binary's symbols: an index, then what is known about it.
//!
//! ```text
//! index (`hearth_symbolize::index`, checksums of its own) │ facts (JSON) │ footer
//! footer: length of the index u64, length of the facts u32, CRC-32 of the facts u32, version u32, magic
//! ```
//!
//! The index comes first so that it is read where it lies. A file that was cut has no footer, and one
//! whose facts are damaged is recognised before anything of it is used.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use hearth_symbolize::index::Summary;
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 4] = *b"HSYM";
const VERSION: u32 = 1;
const FOOTER_BYTES: u64 = 24;
/// Longest facts that are read.
const FACTS_BYTES_MAX: u64 = 1 << 20;

/// Who brought symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// A person or an agent.
    Upload,
    /// A debuginfod server.
    Debuginfod,
}

/// A range of a file that is mapped as code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CodeSegment {
    /// Where it begins in the file.
    pub file_offset: u64,
    /// Its bytes in the file; 0 in separate debug information.
    pub file_bytes: u64,
    /// Its first ELF address.
    pub start: u64,
    /// Its bytes in memory.
    pub memory_bytes: u64,
}

/// What is known about a binary's symbols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Build ID in lower-case hexadecimal.
    pub build_id: String,
    /// The file's name as it was brought.
    pub name: String,
    /// Who brought it.
    pub origin: Origin,
    /// The generation: when it came, in milliseconds since the Unix epoch, made unique.
    pub arrived: u64,
    /// Bytes of the file that was brought.
    pub file_bytes: u64,
    /// Ranges of code by source, as in the index's summary.
    pub ranges: [u64; 4],
    /// Bytes of code by source, as in the index's summary.
    pub covered_bytes: [u64; 4],
    /// Where the code is.
    pub code: Vec<CodeSegment>,
}

impl Facts {
    /// The index's own view of what it holds.
    fn summary(&self) -> Summary {
        Summary { ranges: self.ranges, covered_bytes: self.covered_bytes, ..Summary::default() }
    }

    /// Whether any function has a name.
    pub(crate) fn has_names(&self) -> bool {
        self.summary().has_names()
    }

    /// Whether lines and inlined calls are known.
    pub(crate) fn has_lines(&self) -> bool {
        self.summary().has_lines()
    }

    /// How many functions have names.
    pub(crate) fn functions(&self) -> u64 {
        self.ranges.iter().take(3).sum()
    }

    /// What makes one file better than another of the same binary: lines, then named code, then any.
    pub(crate) fn rank(&self) -> (bool, u64, u64) {
        let named = self.covered_bytes.iter().take(3).fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
        (self.has_lines(), named, self.ranges.iter().fold(0u64, |sum, count| sum.saturating_add(*count)))
    }
}

/// Appends facts and footer to an index of `index_bytes` bytes.
pub(super) fn finish(out: &mut impl Write, index_bytes: u64, facts: &Facts) -> io::Result<()> {
    let text = serde_json::to_vec(facts).map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    out.write_all(&text)?;
    out.write_all(&index_bytes.to_le_bytes())?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&crc32fast::hash(&text).to_le_bytes())?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&MAGIC)
}

/// Reads the facts of a file, and how long its index is.
pub(super) fn read(path: &Path) -> Result<(Facts, u64), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    let footer_at = size.checked_sub(FOOTER_BYTES).ok_or("too short")?;
    let mut footer = [0; 24];
    file.read_exact_at(&mut footer, footer_at).map_err(|error| error.to_string())?;
    let (index_bytes, rest) = footer.split_at(8);
    let mut words = rest.chunks_exact(4).map(|word| word.try_into().map(u32::from_le_bytes).unwrap_or(0));
    let mut word = || words.next().unwrap_or(0);
    let (length, crc, version) = (word(), word(), word());
    if word().to_le_bytes() != MAGIC {
        return Err("does not end as symbols do: cut off, or something else".to_owned());
    }
    if version != VERSION {
        return Err(format!("version {version}; expected {VERSION}"));
    }
    let index_bytes = index_bytes.try_into().map(u64::from_le_bytes).unwrap_or(0);
    let fits = index_bytes.checked_add(length.into()) == Some(footer_at);
    if !fits || u64::from(length) > FACTS_BYTES_MAX {
        return Err("its parts do not fill the file".to_owned());
    }
    let mut text = vec![0; usize::try_from(length).map_err(|error| error.to_string())?];
    file.read_exact_at(&mut text, index_bytes).map_err(|error| error.to_string())?;
    if crc32fast::hash(&text) != crc {
        return Err("the checksum of its facts does not match".to_owned());
    }
    let facts = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    Ok((facts, index_bytes))
}
