//! Rows: what an executable says about its stacks, by file offset.

use std::ops::Range;

use hearth_objfile::{ElfAddress, Segment};

use crate::cfi;
use crate::rule::{Arch, Rule, WIDE, WIDE_MIN};

/// A section's bytes and where it is in its file's address space.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Its address.
    pub address: ElfAddress,
    /// What it holds, not compressed.
    pub bytes: &'a [u8],
}

/// What rows are built from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Whose instructions the file holds.
    pub arch: Arch,
    /// What the kernel maps, from the file's program headers.
    pub segments: &'a [Segment],
    /// `.eh_frame`. Where only `.eh_frame_hdr` is known, the bytes from
    /// [`eh_frame_address`](crate::eh_frame_address) to the end of their segment.
    pub eh_frame: Option<Section<'a>>,
    /// `.debug_frame`; used where `.eh_frame` says nothing.
    pub debug_frame: Option<Section<'a>>,
    /// Address of `.text`, which few tables are relative to.
    pub text: Option<ElfAddress>,
}

/// Bounds on what is built from one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of each section.
    pub section_bytes_max: usize,
    /// Functions with rows.
    pub functions_max: usize,
    /// Rows; each takes 6 bytes while the table is built.
    pub rows_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { section_bytes_max: 256 << 20, functions_max: 4 << 20, rows_max: 16 << 20 }
    }
}

/// Why an executable has no usable rows.
///
/// [`Absent`](Self::Absent) is normal: such code can only be walked by frame pointers. The rest is a
/// broken or hostile file, or one beyond our limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The executable carries no unwind information at all.
    #[error("no .eh_frame, .debug_frame or .gopclntab section with a function in it")]
    Absent,
    /// There is more than one file may have.
    #[error("{what}: {count} are more than {limit}, the most one executable may have")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many there are, or were when counting stopped.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// What was met in building rows. All count occurrences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Functions with rows.
    pub functions: usize,
    /// Entries that contradict the format and were left out.
    pub malformed: usize,
    /// Functions outside every segment, or beyond 4 GiB of the file.
    pub unreachable: usize,
    /// Rows whose rule is not understood.
    pub unsupported: usize,
}

/// The rows of one file, sorted by file offset.
#[derive(Clone, Debug)]
pub struct Rows {
    pub(crate) arch: Arch,
    /// Where rows begin; strictly ascending.
    pub(crate) offsets: Vec<u32>,
    /// The rule of each: compact, or [`WIDE`] | [`WIDE_MIN`] + index into `wide`.
    pub(crate) codes: Vec<u16>,
    pub(crate) wide: Vec<Rule>,
    pub(crate) functions: Vec<Range<u32>>,
    pub(crate) statistics: Statistics,
}

impl Rows {
    pub(crate) fn new(arch: Arch) -> Self {
        let (offsets, codes, wide, functions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { arch, offsets, codes, wide, functions, statistics: Statistics::default() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// All rows: the file offset where each begins, ascending, and its rule, which holds to the next.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Rule)> {
        self.offsets.iter().zip(&self.codes).map(|(offset, code)| (*offset, self.rule(*code)))
    }

    /// The file offsets of each function that has rows: ascending, not overlapping.
    ///
    /// Code without a name is grouped by these.
    pub fn functions(&self) -> &[Range<u32>] {
        &self.functions
    }

    /// What was met in building them.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    pub(crate) fn rule(&self, code: u16) -> Rule {
        Rule::from_compact(code, self.arch).unwrap_or_else(|| {
            let index = usize::from((code & !WIDE).wrapping_sub(WIDE_MIN));
            self.wide.get(index).copied().unwrap_or(Rule::Unsupported)
        })
    }
}

/// Builds the rows of a file.
///
/// Functions may come in any order; where two overlap, each holds up to where the next begins.
/// Between functions further apart than padding, [`Rule::None`] says that nothing is known.
///
/// Time and memory are linear in the size of the sections, whatever they hold.
///
/// # Errors
///
/// [`Error::Absent`] if there is not one function; [`Error::TooLarge`] beyond `limits`.
pub fn build(input: &Input<'_>, limits: &Limits) -> Result<Rows, Error> {
    let rows = cfi::build(input, limits)?;
    if rows.is_empty() { Err(Error::Absent) } else { Ok(rows) }
}
