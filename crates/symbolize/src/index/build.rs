//! Building an index from everything that is known about a file.

use std::io::{self, Write};

use hearth_objfile::{ElfAddress, Kind, ObjectFile, pclntab};
use hearth_profile::FrameKind;

use super::{Function, Inlined, Row, Source, Summary, Writer};
use crate::dwarf::Dwarf;
use crate::elf::Functions;
use crate::sections::{Budget, mini_debug_info};
use crate::source::{ReadAt, headers};

/// Opens a split unit's own file.
pub type OpenSplit<'a> = dyn Fn(&SplitUnit) -> Option<Box<dyn ReadAt>> + 'a;

/// What an index is built from. The same build ID, or none, in all of them is the caller's business.
#[derive(Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// The file that is executed; none if only its debug information is there.
    pub binary: Option<&'a dyn ReadAt>,
    /// Its separate debug information.
    pub debug: Option<&'a dyn ReadAt>,
    /// What the debug information shares with others (`.gnu_debugaltlink`, made by `dwz`).
    pub supplementary: Option<&'a dyn ReadAt>,
    /// A package of split debug information (`.dwp`).
    pub package: Option<&'a dyn ReadAt>,
    /// Opens a split unit's own file (`.dwo`).
    pub split: Option<&'a OpenSplit<'a>>,
    /// Where functions begin and end as unwind tables say: code that nothing else knows is grouped by them.
    pub function_ranges: &'a [(ElfAddress, ElfAddress)],
    /// If given, only the units of debug information that cover these addresses are read: for a few
    /// addresses of a huge program.
    pub addresses: Option<&'a [ElfAddress]>,
}

impl std::fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs")
            .field("binary", &self.binary.map(ReadAt::size))
            .field("debug", &self.debug.map(ReadAt::size))
            .field("function_ranges", &self.function_ranges.len())
            .finish_non_exhaustive()
    }
}

/// Which file has a unit's split debug information.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitUnit {
    /// Its path as the compiler wrote it, relative to `directory` if it is relative.
    pub path: Vec<u8>,
    /// The directory in which the compiler ran.
    pub directory: Vec<u8>,
    /// What the unit in it must be called.
    pub id: u64,
}

/// Bounds of one index. The defaults suit a server; an agent allows less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds of its symbol tables.
    pub symbols: crate::Limits,
    /// Bytes of decompressed sections and of MiniDebugInfo.
    pub decompressed_bytes_max: u64,
    /// Bytes of `.debug_info` of one unit, and of its lines: held at once.
    pub unit_bytes_max: u64,
    /// Units read.
    pub units_max: u32,
    /// Bytes of the index.
    pub index_bytes_max: u64,
    /// Ranges of code.
    pub ranges_max: usize,
    /// Whether debug information is read at all.
    pub dwarf: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            symbols: crate::Limits::default(),
            decompressed_bytes_max: 2 << 30,
            unit_bytes_max: 256 << 20,
            units_max: 1 << 20,
            index_bytes_max: 2 << 30,
            ranges_max: 8 << 20,
            dwarf: true,
        }
    }
}

/// Why no index was built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Neither the file nor its debug information could be read as ELF, or they are input of the linker.
    #[error("{0}")]
    Object(&'static str),
    /// Headers are unusable.
    #[error(transparent)]
    Headers(#[from] hearth_objfile::Error),
    /// Something exceeds [`Limits`].
    #[error("{what} exceeds the limit of {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Builds an index of everything that is known and writes it to `out`.
///
/// Memory: what one unit takes, decompressed sections, 24 bytes per range of code and 16 per distinct string.
/// Debug information that is broken in places is used where it is not.
///
/// # Errors
///
/// See [`BuildError`]. What was written by then is no index.
pub fn build<W: Write>(inputs: &Inputs<'_>, limits: &Limits, out: W) -> Result<(Summary, W), BuildError> {
    let mut builder = Builder { writer: Writer::new(out), limits };
    let files: Vec<Input<'_>> =
        [inputs.debug, inputs.binary].into_iter().flatten().map(Input::parse).collect::<Result<_, _>>()?;
    let Some(main) = files.last() else {
        return Err(BuildError::Object("neither a file nor its debug information is given"));
    };
    if files.iter().any(|file| file.object.kind == Kind::Relocatable) {
        return Err(BuildError::Object("a relocatable object: its addresses mean nothing"));
    }
    let is_go = main.object.is_go();
    let build_id = files.iter().find_map(|file| file.object.build_id.clone()).unwrap_or_default();
    let mini = inputs
        .binary
        .zip(files.last())
        .and_then(|(binary, file)| mini_debug_info(binary, &file.object, limits.decompressed_bytes_max / 8));
    let mini = mini.as_ref().map(|bytes| Input::parse(bytes)).and_then(Result::ok);
    let caches: Vec<_> = files.iter().chain(&mini).map(|file| headers(file.source)).collect();
    let mut tables = Vec::new();
    for (file, cache) in files.iter().chain(&mini).zip(&caches) {
        // A file without usable symbols may still have debug information, or the other file has them.
        tables.extend(Functions::read(cache, &file.object, &limits.symbols));
    }
    if limits.dwarf {
        let budget = Budget::new(limits.decompressed_bytes_max);
        let with_dwarf = files.iter().find(|file| Dwarf::is_in(&file.object));
        if let Some(file) = with_dwarf {
            let dwarf = Dwarf::open(file.source, &file.object, inputs, limits, &budget);
            let name_at =
                |address| tables.iter().find_map(|table| table.name_at(address)).map(<[u8]>::to_vec);
            let mut sink = |function: &Function<'_>| builder.add(function);
            match inputs.addresses {
                None => dwarf.each_function(&name_at, &mut sink)?,
                Some(addresses) => dwarf.each_function_around(addresses, &name_at, &mut sink)?,
            }
        }
    }
    if is_go && let Some(binary) = inputs.binary {
        builder.add_go(binary, &main.object)?;
    }
    let kind = if is_go { FrameKind::Go } else { FrameKind::Unknown };
    for table in &tables {
        for (start, end, name) in table.iter() {
            builder.add(&Function { kind, ..bare(start, end, name, Source::Symbols) })?;
        }
    }
    drop(tables);
    drop(caches);
    for (start, end) in inputs.function_ranges {
        builder.add(&bare(start.0, end.0, b"", Source::Unwind))?;
    }
    Ok(builder.writer.finish(&build_id)?)
}

pub(crate) fn bare(start: u64, end: u64, name: &[u8], source: Source) -> Function<'_> {
    Function {
        start: ElfAddress(start),
        end: ElfAddress(end),
        name,
        kind: FrameKind::Unknown,
        source,
        start_line: 0,
        rows: &[],
        files: &[],
        inlined: &[],
    }
}

/// A file and what its headers say.
struct Input<'a> {
    source: &'a dyn ReadAt,
    object: ObjectFile,
}

impl<'a> Input<'a> {
    fn parse(source: &'a dyn ReadAt) -> Result<Self, hearth_objfile::Error> {
        let object = ObjectFile::parse(&headers(source))?;
        Ok(Self { source, object })
    }
}

struct Builder<'l, W> {
    writer: Writer<W>,
    limits: &'l Limits,
}

impl<W: Write> Builder<'_, W> {
    fn add(&mut self, function: &Function<'_>) -> Result<(), BuildError> {
        if self.writer.len() >= self.limits.ranges_max {
            return Err(BuildError::TooLarge {
                what: "ranges of code",
                limit: self.limits.ranges_max as u64,
            });
        }
        if self.writer.written_bytes() > self.limits.index_bytes_max {
            return Err(BuildError::TooLarge { what: "the index", limit: self.limits.index_bytes_max });
        }
        Ok(self.writer.add(function)?)
    }

    /// Functions of Go's own table, with their lines and inlined calls.
    fn add_go(&mut self, binary: &dyn ReadAt, object: &ObjectFile) -> Result<(), BuildError> {
        let cache = headers(binary);
        let table = pclntab::locate(object, &cache).and_then(|located| located.read(&cache));
        let Some(table) = table else { return Ok(()) };
        let mut scratch = GoScratch {
            rows: Vec::new(),
            files: Vec::new(),
            inlined: Vec::new(),
            numbers: Vec::new(),
            left: GO_ALL_RANGES_MAX,
        };
        for function in table.iter() {
            scratch.read(&table, &function);
            self.add(&Function {
                kind: FrameKind::Go,
                start_line: table.start_line(&function),
                rows: &scratch.rows,
                files: &scratch.files,
                inlined: &scratch.inlined,
                ..bare(
                    function.start.0,
                    function.end.0,
                    table.name(&function).unwrap_or("").as_bytes(),
                    Source::Go,
                )
            })?;
        }
        Ok(())
    }
}

/// One Go function's lines and inlined calls.
struct GoScratch {
    rows: Vec<Row>,
    files: Vec<Vec<u8>>,
    inlined: Vec<Inlined>,
    /// Numbers of `files`.
    numbers: Vec<i32>,
    /// Ranges that may still be read of all functions together: their tables may overlap.
    left: usize,
}

/// Ranges of instructions read of one Go function.
const GO_RANGES_MAX: usize = 1 << 16;
/// Ranges of instructions read of one program.
const GO_ALL_RANGES_MAX: usize = 1 << 26;

/// The value at `address` of ranges that ascend.
fn value_at(ranges: &[pclntab::Value], address: u64) -> Option<i32> {
    let after = ranges.partition_point(|range| range.start.0 <= address);
    let range = ranges.get(after.checked_sub(1)?)?;
    (address < range.end.0).then_some(range.value)
}

impl GoScratch {
    fn read(&mut self, table: &pclntab::Table<'_>, function: &pclntab::Function) {
        self.rows.clear();
        self.files.clear();
        self.inlined.clear();
        self.numbers.clear();
        let files = self.ranges(table.files(function));
        let lines = self.ranges(table.lines(function));
        let calls = self.ranges(table.inline_indices(function));
        let mut starts: Vec<u64> = files.iter().chain(&lines).map(|range| range.start.0).collect();
        starts.sort_unstable();
        starts.dedup();
        for address in starts {
            let (file, line) = self.place(table, function, (&files, &lines), address);
            self.rows.push(Row { address, file, line });
        }
        for range in calls.iter().filter(|range| range.value >= 0) {
            let mut chain = Vec::new();
            let mut index = Some(range.value);
            while let Some(number) = index.and_then(|index| u32::try_from(index).ok())
                && let Some(call) = table.inlined(function, number)
                && chain.len() < pclntab::INLINE_DEPTH_MAX
            {
                chain.push(call);
                index = value_at(&calls, call.caller.0);
            }
            for (depth, call) in chain.iter().rev().enumerate() {
                let (call_file, call_line) = self.place(table, function, (&files, &lines), call.caller.0);
                self.inlined.push(Inlined {
                    depth: u32::try_from(depth).unwrap_or(u32::MAX),
                    name: call.name.as_bytes().to_vec(),
                    start_line: call.start_line,
                    call_file,
                    call_line,
                    ranges: vec![(range.start.0, range.end.0)],
                });
            }
        }
    }

    fn ranges(&mut self, values: pclntab::Values<'_>) -> Vec<pclntab::Value> {
        let ranges: Vec<_> = values.take(GO_RANGES_MAX.min(self.left)).collect();
        self.left -= ranges.len();
        ranges
    }

    /// Index of the path, and the line, at an address.
    fn place(
        &mut self,
        table: &pclntab::Table<'_>,
        function: &pclntab::Function,
        (files, lines): (&[pclntab::Value], &[pclntab::Value]),
        address: u64,
    ) -> (u32, u32) {
        let line = value_at(lines, address).and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
        let number = value_at(files, address).unwrap_or(-1);
        let index = self.numbers.iter().position(|known| *known == number).unwrap_or_else(|| {
            self.numbers.push(number);
            self.files.push(table.file(function, number).unwrap_or("").as_bytes().to_vec());
            self.numbers.len() - 1
        });
        (u32::try_from(index).unwrap_or(u32::MAX), line)
    }
}
