//! DWARF 4 and 5: functions, inlined calls and lines, a unit at a time.
//!
//! A *unit* is what one run of a compiler made. Debug information is read one unit at a time, so that memory
//! is bounded by the largest unit, not by the program; strings and range lists are read where they are.
//!
//! ```text
//! .debug_info ─▶ unit ─┬─ root: directory, bases, line program, or the name of a split file
//!                      └─ tree: functions ─▶ inlined calls ─▶ their names, maybe in another unit or file
//! .debug_line ─▶ rows
//! ```
//!
//! [`Dwarf::each_function`] walks all units, for an index of everything;
//! [`Dwarf::each_function_around`] only those that cover given addresses, as the roots of units say: for those
//! who want a few addresses of a huge program.
//!
//! What is broken is left out: a unit that cannot be parsed has no functions, and the rest is read. The
//! whole work is bounded by a multiple of the sections' size, because units may share abbreviations, lines
//! and ranges, and hostile ones do.
//!
//! Sources: DWARF 5 §2.17, §3.1, §3.3, §6.2, §7.3; GCC's extensions for DWARF 4 (`DW_AT_GNU_*`).

mod lines;
mod names;
mod unit;
mod walk;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use gimli::{EndianSlice, RunTimeEndian};
use hearth_objfile::{ElfAddress, ObjectFile};

use crate::index::{BuildError, Function, Inputs, Limits, OpenSplit, SplitUnit};
use crate::sections::{Budget, Bytes};
use crate::source::{ReadAt, headers};
use unit::Head;

/// Bytes read of sections, as a multiple of their size.
const WORK_FACTOR: u64 = 16;
/// Bytes that may be read in any case.
const WORK_MIN: u64 = 64 << 20;
/// Heads of units kept, for names in other units.
const HEADS_MAX: usize = 512;

type Slice<'u> = EndianSlice<'u, RunTimeEndian>;
/// Says the raw name of the function at an address, from symbol tables.
pub(crate) type NameAt<'n> = dyn Fn(u64) -> Option<Vec<u8>> + 'n;
/// Takes functions.
pub(crate) type Sink<'f> = dyn FnMut(&Function<'_>) -> Result<(), BuildError> + 'f;

/// The sections of one file.
pub(crate) struct Sections<'a> {
    info: Bytes<'a>,
    abbrev: Bytes<'a>,
    strings: Bytes<'a>,
    string_offsets: Bytes<'a>,
    line: Bytes<'a>,
    line_strings: Bytes<'a>,
    ranges: Bytes<'a>,
    range_lists: Bytes<'a>,
    addresses: Bytes<'a>,
    endian: RunTimeEndian,
    /// Tells this file's offsets from other files' in caches.
    number: u32,
}

/// Where contributions to a package begin.
#[derive(Clone, Copy, Debug, Default)]
struct Bases {
    info: u64,
    abbrev: u64,
    string_offsets: u64,
    range_lists: u64,
}

impl<'a> Sections<'a> {
    fn open(source: &'a dyn ReadAt, object: &ObjectFile, suffix: &str, number: u32, budget: &Budget) -> Self {
        let find = |name: &str| Bytes::find(source, object, &format!(".debug_{name}{suffix}"), budget);
        let endian = if object.little_endian { RunTimeEndian::Little } else { RunTimeEndian::Big };
        Self {
            info: find("info"),
            abbrev: find("abbrev"),
            strings: find("str"),
            string_offsets: find("str_offsets"),
            line: find("line"),
            line_strings: find("line_str"),
            ranges: find("ranges"),
            range_lists: find("rnglists"),
            addresses: find("addr"),
            endian,
            number,
        }
    }

    fn little_endian(&self) -> bool {
        self.endian == RunTimeEndian::Little
    }

    fn size(&self) -> u64 {
        [&self.info, &self.abbrev, &self.line, &self.ranges, &self.range_lists]
            .iter()
            .map(|bytes| bytes.size())
            .sum()
    }

    /// The units of `.debug_info`, as far as their sizes make sense.
    fn places(&self, limits: &Limits) -> Vec<Place> {
        let mut places = Vec::new();
        let mut offset = 0;
        while offset < self.info.size() && places.len() < limits.units_max as usize {
            let Some(length) = self.info.number(offset, 4, self.little_endian()) else { break };
            let (length, header) = if length == u64::from(u32::MAX) {
                (self.info.number(offset + 4, 8, self.little_endian()).unwrap_or(0), 12)
            } else {
                (length, 4)
            };
            let Some(size) = length.checked_add(header).filter(|size| *size > header) else { break };
            if offset.checked_add(size).is_none_or(|end| end > self.info.size()) {
                break;
            }
            places.push(Place { offset, size });
            offset += size;
        }
        places
    }
}

/// Where a unit is in `.debug_info`.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    size: u64,
}

/// A package of split units.
struct Package<'a> {
    sections: Sections<'a>,
    index: Vec<u8>,
}

/// The debug information of one program.
pub(crate) struct Dwarf<'a> {
    main: Sections<'a>,
    supplementary: Option<Sections<'a>>,
    package: Option<Package<'a>>,
    split: Option<&'a OpenSplit<'a>>,
    limits: &'a Limits,
    /// Addresses of code: everything else is what linkers leave of code they dropped.
    code: Vec<(u64, u64)>,
    places: Vec<Place>,
    supplementary_places: Vec<Place>,
    heads: RefCell<HashMap<(u32, u64), Rc<Head>>>,
    abbreviations: RefCell<HashMap<(u32, u64), Rc<gimli::Abbreviations>>>,
    work_left: Cell<u64>,
    split_opened: Cell<u32>,
    budget: &'a Budget,
    skip_go: bool,
}

impl<'a> Dwarf<'a> {
    /// Whether a file has debug information.
    pub(crate) fn is_in(object: &ObjectFile) -> bool {
        [".debug_info", ".zdebug_info"]
            .iter()
            .any(|name| object.section(name).is_some_and(|section| section.file_size > 0))
    }

    /// Opens the sections of `source`, whose headers are `object`, and finds its units.
    pub(crate) fn open(
        source: &'a dyn ReadAt,
        object: &ObjectFile,
        inputs: &Inputs<'a>,
        limits: &'a Limits,
        budget: &'a Budget,
    ) -> Self {
        let main = Sections::open(source, object, "", 0, budget);
        let supplementary = inputs.supplementary.and_then(|source| {
            let object = ObjectFile::parse(&headers(source)).ok()?;
            Some(Sections::open(source, &object, "", 1, budget))
        });
        let package = inputs.package.and_then(|source| {
            let object = ObjectFile::parse(&headers(source)).ok()?;
            let index = Bytes::find(source, &object, ".debug_cu_index", budget);
            let index = index.read(0, index.size())?;
            Some(Package { sections: Sections::open(source, &object, ".dwo", 2, budget), index })
        });
        let size = main.size()
            + supplementary.as_ref().map_or(0, Sections::size)
            + package.as_ref().map_or(0, |package| package.sections.size());
        let places = main.places(limits);
        let supplementary_places =
            supplementary.as_ref().map_or_else(Vec::new, |sections| sections.places(limits));
        Self {
            main,
            supplementary,
            package,
            split: inputs.split,
            limits,
            code: code(object),
            places,
            supplementary_places,
            heads: RefCell::default(),
            abbreviations: RefCell::default(),
            work_left: Cell::new(size.saturating_mul(WORK_FACTOR).max(WORK_MIN)),
            split_opened: Cell::new(3),
            budget,
            skip_go: object.is_go(),
        }
    }

    /// Gives every function of every unit to `sink`, with its lines and inlined calls.
    ///
    /// # Errors
    ///
    /// What `sink` fails with.
    pub(crate) fn each_function(&self, name_at: &NameAt<'_>, sink: &mut Sink<'_>) -> Result<(), BuildError> {
        for index in 0..self.places.len() {
            self.each_function_of(index, name_at, sink)?;
        }
        Ok(())
    }

    /// Gives the functions of the units that cover any of `addresses` to `sink`.
    ///
    /// # Errors
    ///
    /// What `sink` fails with.
    pub(crate) fn each_function_around(
        &self,
        addresses: &[ElfAddress],
        name_at: &NameAt<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), BuildError> {
        let mut sorted: Vec<u64> = addresses.iter().map(|address| address.0).collect();
        sorted.sort_unstable();
        let (covered, unknown) = self.units();
        let mut wanted: Vec<u32> = covered
            .into_iter()
            .filter(|(start, end, _)| {
                let next = sorted.partition_point(|address| address < start);
                sorted.get(next).is_some_and(|address| address < end)
            })
            .map(|(.., unit)| unit)
            .chain(unknown)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        for unit in wanted {
            self.each_function_of(unit as usize, name_at, sink)?;
        }
        Ok(())
    }

    /// Gives the functions of one unit to `sink`.
    fn each_function_of(
        &self,
        index: usize,
        name_at: &NameAt<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), BuildError> {
        let Some(place) = self.places.get(index) else { return Ok(()) };
        let Some(head) = self.head(&self.main, *place) else { return Ok(()) };
        if self.skip_go && head.language == Some(gimli::DW_LANG_Go) {
            return Ok(());
        }
        let lines = self.lines(&head).unwrap_or_default();
        if let Some(split) = &head.split {
            return self.walk_split(&head, split, &lines, name_at, sink);
        }
        walk::Walk::new(self, &self.main, &head, &head, &lines, name_at).run(sink)
    }

    /// Which addresses each unit covers, as (start, end, unit), ascending; and the units that do not say.
    fn units(&self) -> (Vec<(u64, u64, u32)>, Vec<u32>) {
        let mut covered = Vec::new();
        let mut unknown = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            let Some(head) = self.head(&self.main, *place) else { continue };
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            match self.ranges(&self.main, &head, &head, &head.extent) {
                Some(ranges) if !ranges.is_empty() => {
                    covered.extend(ranges.into_iter().map(|(start, end)| (start, end, index)));
                }
                _ if head.has_code => unknown.push(index),
                _ => {}
            }
        }
        covered.sort_unstable();
        (covered, unknown)
    }

    /// Takes `bytes` of the work that is left.
    fn work(&self, bytes: u64) -> Option<()> {
        self.work_left.set(self.work_left.get().checked_sub(bytes.max(64))?);
        Some(())
    }

    fn is_code(&self, address: u64) -> bool {
        let after = self.code.partition_point(|(start, _)| *start <= address);
        after.checked_sub(1).and_then(|at| self.code.get(at)).is_some_and(|(_, end)| address < *end)
    }

    /// Where the unit around `offset` is, in the file that `sections` are of.
    fn place_around(&self, sections: &Sections<'_>, offset: u64) -> Option<Place> {
        let places = match sections.number {
            0 => &self.places,
            1 => &self.supplementary_places,
            _ => return None,
        };
        let after = places.partition_point(|place| place.offset <= offset);
        let place = places.get(after.checked_sub(1)?)?;
        (offset - place.offset < place.size).then_some(*place)
    }

    /// Functions of a unit that is split: from the package, or from its own file.
    fn walk_split(
        &self,
        skeleton: &Head,
        split: &SplitUnit,
        lines: &lines::Lines,
        name_at: &NameAt<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), BuildError> {
        if let Some(package) = &self.package
            && let Some((bases, place)) = package.find(split.id)
        {
            let sections = &package.sections;
            if let Some(head) = self.head_at(sections, place, bases) {
                return walk::Walk::new(self, sections, &head, skeleton, lines, name_at).run(sink);
            }
        }
        let Some(file) = self.split.and_then(|open| open(split)) else { return Ok(()) };
        let Ok(object) = ObjectFile::parse(&headers(&*file)) else { return Ok(()) };
        let number = self.split_opened.get();
        self.split_opened.set(number.saturating_add(1));
        let sections = Sections::open(&*file, &object, ".dwo", number, self.budget);
        for place in sections.places(self.limits) {
            let Some(head) = self.head_at(&sections, place, Bases::default()) else { continue };
            if head.is_full && head.id.is_none_or(|id| id == split.id) {
                return walk::Walk::new(self, &sections, &head, skeleton, lines, name_at).run(sink);
            }
        }
        Ok(())
    }
}

impl Package<'_> {
    /// Where the contributions of the unit with this id are.
    fn find(&self, id: u64) -> Option<(Bases, Place)> {
        let index = gimli::DebugCuIndex::new(&self.index, self.sections.endian).index().ok()?;
        let mut bases = Bases::default();
        let mut place = None;
        for section in index.sections(index.find(id)?).ok()? {
            let offset = u64::from(section.offset);
            match section.section {
                gimli::IndexSectionId::DebugInfo => {
                    bases.info = offset;
                    place = Some(Place { offset, size: section.size.into() });
                }
                gimli::IndexSectionId::DebugAbbrev => bases.abbrev = offset,
                gimli::IndexSectionId::DebugStrOffsets => bases.string_offsets = offset,
                gimli::IndexSectionId::DebugRngLists => bases.range_lists = offset,
                _ => {}
            }
        }
        Some((bases, place?))
    }
}

/// Ranges of code by sections, else by segments, ascending and joined where they touch.
fn code(object: &ObjectFile) -> Vec<(u64, u64)> {
    let end = |start: u64, size: u64| (start, start.saturating_add(size));
    let executable = |section: &&hearth_objfile::Section| section.executable && section.allocated;
    let sections = object.sections.iter().filter(executable);
    let mut code: Vec<_> = sections.map(|section| end(section.elf_address.0, section.size)).collect();
    if code.is_empty() {
        let segments = object.segments.iter().filter(|segment| segment.executable);
        code = segments.map(|segment| end(segment.elf_address.0, segment.memory_size)).collect();
    }
    code.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in code {
        match joined.last_mut() {
            Some(before) if start <= before.1 => before.1 = before.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}
