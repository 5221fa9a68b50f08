//! One binary: everything that names its code.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use hearth_objfile::{ElfAddress, FileOffset, ObjectFile};
use hearth_symbolize::index::{self, Found, Inputs, Limits, Reader, SplitUnit};
use hearth_symbolize::{ReadAt, headers};

use super::Named;
use super::debug_files::{self, Roots};
use crate::files::{Content, FileFacts};
use crate::tables::function_ranges;

/// Debug information up to this size is indexed whole; of larger programs, only the units that cover
/// sampled addresses are read.
const WHOLE_BYTES_MAX: u64 = 48 << 20;
/// Bounds of what is read of one binary: its owner decides what is in it.
const LIMITS: Limits = Limits {
    symbols: hearth_symbolize::Limits { symbols_max: 4 << 20, names_bytes_max: 256 << 20 },
    decompressed_bytes_max: 192 << 20,
    unit_bytes_max: 64 << 20,
    units_max: 1 << 18,
    index_bytes_max: 256 << 20,
    ranges_max: 2 << 20,
    dwarf: true,
};
/// Largest index that is kept in memory where no file can be made for it.
const MEMORY_BYTES_MAX: u64 = 8 << 20;

/// Bytes of a file, which their owner may change or cut while they are read: that is an error, no more.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    File(Arc<File>, u64),
    Image(Arc<[u8]>),
}

impl Bytes {
    pub(super) fn of(file: Arc<File>) -> Option<Self> {
        let size = file.metadata().ok()?.len();
        Some(Self::File(file, size))
    }

    fn of_content(content: &Content) -> Option<Self> {
        match content {
            Content::File(file) => Self::of(Arc::clone(file)),
            Content::Image(image) => Some(Self::Image(Arc::clone(image))),
        }
    }
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        match self {
            Self::File(_, size) => *size,
            Self::Image(image) => image.len() as u64,
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.read_exact_at(buffer, offset),
            Self::Image(image) => ReadAt::read_exact_at(&**image, buffer, offset),
        }
    }
}

/// What names the code of one binary.
pub(super) struct Binary {
    index: Option<Reader<Bytes>>,
    binary: Option<Bytes>,
    debug: Option<Bytes>,
    package: Option<Bytes>,
    roots: Roots,
    /// Debug information is too large for the index: units are read when they are needed.
    by_unit: bool,
    /// File offsets of functions by unwind information; none until the first code without a name is met.
    functions: Option<Vec<Range<u32>>>,
}

impl Binary {
    /// Builds the index of a file. Without one, nothing has a name.
    pub(super) fn open(facts: &FileFacts, pid: Option<u32>) -> Self {
        let roots = Roots::new(pid);
        let binary = facts.content.as_ref().filter(|_| facts.object.is_some()).and_then(Bytes::of_content);
        let debug = match (&binary, &facts.object) {
            (Some(bytes), Some(object)) if debug_bytes(object) == 0 => {
                debug_files::separate(facts, bytes, roots)
            }
            _ => None,
        };
        let separate = debug.as_ref().and_then(|debug| ObjectFile::parse(&headers(debug)).ok());
        let bytes = separate.as_ref().or(facts.object.as_ref()).map_or(0, debug_bytes);
        let by_unit = bytes > WHOLE_BYTES_MAX;
        let package = if bytes > 0 { debug_files::package(&facts.path, roots) } else { None };
        let mut opened = Self { index: None, binary, debug, package, roots, by_unit, functions: None };
        opened.index = opened.build_index(facts);
        opened
    }

    /// Looks for debug information that was not there before; true if everything must be named again.
    pub(super) fn look_again(&mut self, facts: &FileFacts, pid: Option<u32>) -> bool {
        let came_open = self.binary.is_none() && facts.content.is_some();
        let may_come = self.debug.is_none() && facts.object.as_ref().is_some_and(|o| debug_bytes(o) == 0);
        let came = || {
            let binary = self.binary.as_ref().filter(|_| may_come)?;
            debug_files::separate(facts, binary, Roots::new(pid))
        };
        if !came_open && came().is_none() {
            return false;
        }
        *self = Self::open(facts, pid);
        true
    }

    /// What is at each of `addresses`, in their order.
    pub(super) fn name(&mut self, facts: &FileFacts, addresses: &[ElfAddress]) -> Vec<Named> {
        let mut units = if self.by_unit { self.read_units(addresses) } else { None };
        let mut named = Vec::with_capacity(addresses.len());
        for address in addresses {
            let mut frames = Vec::new();
            for index in units.iter_mut().chain(&mut self.index) {
                match index.frames(*address, &mut frames) {
                    Ok(Found::Functions) => break,
                    Ok(_) => {}
                    Err(error) => tracing::debug!(path = facts.path, %error, "an index cannot be read"),
                }
            }
            let start = if frames.is_empty() { self.function_start(facts, *address) } else { None };
            named.push(Named { frames, start });
        }
        named
    }

    /// Memory held. Each open index caches pages, and those without a file are in memory whole.
    pub(super) fn memory_bytes(&self) -> usize {
        const CACHE_BYTES: usize = 128 << 10;
        let index = match &self.index {
            Some(reader) if reader.is_in_memory() => usize::try_from(reader.summary().bytes).unwrap_or(0),
            _ => 0,
        };
        let functions = self.functions.as_ref().map_or(0, |ranges| ranges.len() * size_of::<Range<u32>>());
        size_of::<Self>() + CACHE_BYTES + index + functions
    }

    fn build_index(&self, facts: &FileFacts) -> Option<Reader<Bytes>> {
        let limits = Limits { dwarf: !self.by_unit, ..LIMITS };
        let log = |error: &dyn std::fmt::Display| {
            tracing::debug!(path = facts.path, %error, "its functions have no names");
        };
        if let Some(file) = debug_files::scratch_file() {
            let (_, out) = self
                .build(&limits, None, BufWriter::with_capacity(64 << 10, file))
                .inspect_err(|error| log(error))
                .ok()?;
            let file = out.into_inner().inspect_err(|error| log(error)).ok()?;
            return Reader::open(Bytes::of(Arc::new(file))?).inspect_err(|error| log(error)).ok();
        }
        let limits = Limits { index_bytes_max: MEMORY_BYTES_MAX, ..limits };
        self.build_in_memory(&limits, None).inspect_err(|error| log(error)).ok()
    }

    /// An index of the units that cover `addresses`.
    fn read_units(&self, addresses: &[ElfAddress]) -> Option<Reader<Bytes>> {
        self.build_in_memory(&LIMITS, Some(addresses))
            .inspect_err(|error| tracing::debug!(%error, "debug information cannot be read"))
            .ok()
    }

    fn build_in_memory(
        &self,
        limits: &Limits,
        addresses: Option<&[ElfAddress]>,
    ) -> Result<Reader<Bytes>, Box<dyn std::error::Error>> {
        let (_, bytes) = self.build(limits, addresses, Vec::new())?;
        Ok(Reader::open(Bytes::Image(bytes.into()))?)
    }

    fn build<W: Write>(
        &self,
        limits: &Limits,
        addresses: Option<&[ElfAddress]>,
        out: W,
    ) -> Result<(index::Summary, W), index::BuildError> {
        let roots = self.roots;
        let main = self.debug.as_ref().or(self.binary.as_ref());
        let supplementary = main.and_then(|main| debug_files::supplementary(main, "", roots));
        let open = |unit: &SplitUnit| {
            debug_files::split(unit, roots).map(|bytes| Box::new(bytes) as Box<dyn ReadAt>)
        };
        let inputs = Inputs {
            binary: self.binary.as_ref().map(|bytes| bytes as &dyn ReadAt),
            debug: self.debug.as_ref().map(|bytes| bytes as &dyn ReadAt),
            supplementary: supplementary.as_ref().map(|bytes| bytes as &dyn ReadAt),
            package: self.package.as_ref().map(|bytes| bytes as &dyn ReadAt),
            split: Some(&open),
            addresses,
            ..Inputs::default()
        };
        index::build(&inputs, limits, out)
    }

    /// Where the function around `address` begins, by unwind information.
    fn function_start(&mut self, facts: &FileFacts, address: ElfAddress) -> Option<ElfAddress> {
        let object = facts.object.as_ref()?;
        let offset = u32::try_from(object.file_offset(address)?.0).ok()?;
        let functions = self.functions.get_or_insert_with(|| function_ranges(facts));
        let after = functions.partition_point(|range| range.start <= offset);
        let range = functions.get(after.checked_sub(1)?)?;
        if offset >= range.end {
            return None;
        }
        object.elf_address(FileOffset(range.start.into()))
    }
}

/// Bytes of debug information in a file.
fn debug_bytes(object: &ObjectFile) -> u64 {
    [".debug_info", ".zdebug_info", ".debug_line", ".zdebug_line"]
        .iter()
        .filter_map(|name| object.section(name))
        .map(|section| section.file_size)
        .sum()
}

/// An index which is in memory, rather than in a file.
trait InMemory {
    fn is_in_memory(&self) -> bool;
}

impl InMemory for Reader<Bytes> {
    fn is_in_memory(&self) -> bool {
        matches!(self.source(), Bytes::Image(_))
    }
}
