//! The tree of one unit: functions with code, and the calls inlined into them.

use std::collections::HashMap;

use gimli::{EntriesRaw, UnitOffset};
use hearth_objfile::ElfAddress;
use hearth_profile::FrameKind;

use super::lines::Lines;
use super::names::{Name, Reference, read_name};
use super::unit::{Extent, Head};
use super::{Dwarf, NameAt, Sections, Sink, Slice};
use crate::index::{BuildError, Function, Inlined, Source};

/// Inlined calls of one function.
const INLINED_MAX: usize = 1 << 20;
/// Functions within functions.
const OPEN_MAX: usize = 64;

/// A function whose part of the tree is being read.
struct Open {
    depth: isize,
    ranges: Vec<(u64, u64)>,
    name: Name,
    inlined: Vec<Inlined>,
    /// Depths of the inlined calls around the current entry.
    around: Vec<isize>,
}

/// What an entry of interest says.
#[derive(Default)]
struct Entry {
    extent: Extent,
    name: Name,
    reference: Option<Reference>,
    call_file: u32,
    call_line: u32,
}

/// A walk through the tree of one unit.
pub(super) struct Walk<'s, 'a> {
    dwarf: &'s Dwarf<'a>,
    sections: &'s Sections<'s>,
    head: &'s Head,
    skeleton: &'s Head,
    lines: &'s Lines,
    name_at: &'s NameAt<'s>,
    names: HashMap<Reference, Name>,
    open: Vec<Open>,
}

impl<'s, 'a> Walk<'s, 'a> {
    /// `head` is the unit that is walked, `skeleton` the one that stayed in the program if it is split.
    pub(super) fn new(
        dwarf: &'s Dwarf<'a>,
        sections: &'s Sections<'s>,
        head: &'s Head,
        skeleton: &'s Head,
        lines: &'s Lines,
        name_at: &'s NameAt<'s>,
    ) -> Self {
        Self { dwarf, sections, head, skeleton, lines, name_at, names: HashMap::new(), open: Vec::new() }
    }

    /// Gives the unit's functions to `sink`. A malformed entry ends the walk.
    pub(super) fn run(mut self, sink: &mut Sink<'_>) -> Result<(), BuildError> {
        let (place, start) = (self.head.place, self.head.header_bytes);
        if !self.head.has_code || place.size > self.dwarf.limits.unit_bytes_max {
            return Ok(());
        }
        let Some(bytes) = self
            .dwarf
            .work(place.size)
            .and_then(|()| self.sections.info.read(place.offset + start, place.size - start))
        else {
            return Ok(());
        };
        let Ok(offset) = usize::try_from(start) else { return Ok(()) };
        let head = self.head;
        let mut entries = EntriesRaw::new(
            Slice::new(&bytes, self.sections.endian),
            head.encoding,
            &head.abbreviations,
            UnitOffset(offset),
        );
        while !entries.is_empty() {
            let depth = entries.next_depth();
            let Ok(abbreviation) = entries.read_abbreviation() else { break };
            let Some(abbreviation) = abbreviation else { continue };
            self.close(depth, sink)?;
            let tag = abbreviation.tag();
            if !matches!(tag, gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine) {
                if entries.skip_attributes(abbreviation.attributes()).is_err() {
                    break;
                }
                continue;
            }
            let Some(entry) = self.entry(&mut entries, abbreviation.attributes()) else { break };
            if tag == gimli::DW_TAG_subprogram {
                self.begin_function(depth, entry);
            } else {
                self.add_inlined(depth, entry);
            }
        }
        self.close(isize::MIN, sink)
    }

    fn entry(
        &self,
        entries: &mut EntriesRaw<'_, Slice<'_>>,
        specs: &[gimli::AttributeSpecification],
    ) -> Option<Entry> {
        let mut entry = Entry::default();
        for spec in specs {
            let attribute = entries.read_attribute(*spec).ok()?;
            let number = |value: gimli::AttributeValue<Slice<'_>>| match value {
                gimli::AttributeValue::FileIndex(index) => u32::try_from(index).ok(),
                value => value.udata_value().and_then(|value| u32::try_from(value).ok()),
            };
            match attribute.name() {
                gimli::DW_AT_call_file => entry.call_file = number(attribute.value()).unwrap_or(u32::MAX),
                gimli::DW_AT_call_line => entry.call_line = number(attribute.value()).unwrap_or(0),
                name @ (gimli::DW_AT_low_pc | gimli::DW_AT_high_pc | gimli::DW_AT_ranges) => {
                    entry.extent.read(name, &attribute.value());
                }
                _ => {
                    let next = read_name(self.dwarf, self.sections, self.head, &attribute, &mut entry.name);
                    entry.reference = next.or(entry.reference);
                }
            }
        }
        Some(entry)
    }

    fn ranges(&self, extent: &Extent) -> Vec<(u64, u64)> {
        self.dwarf.ranges(self.sections, self.head, self.skeleton, extent).unwrap_or_default()
    }

    /// The entry's name, completed by what it refers to.
    fn name(&mut self, entry: Entry) -> Name {
        let mut name = entry.name;
        let Some(reference) = entry.reference else { return name };
        if let Some(known) = self.names.get(&reference) {
            let own_line = name.line;
            name = known.clone();
            name.line = if own_line > 0 { own_line } else { name.line };
            return name;
        }
        self.dwarf.follow(self.sections, self.head, reference, &mut name);
        self.names.insert(reference, name.clone());
        name
    }

    fn begin_function(&mut self, depth: isize, entry: Entry) {
        let ranges = self.ranges(&entry.extent);
        if ranges.is_empty() || self.open.len() >= OPEN_MAX {
            return;
        }
        let name = self.name(entry);
        self.open.push(Open { depth, ranges, name, inlined: Vec::new(), around: Vec::new() });
    }

    fn add_inlined(&mut self, depth: isize, entry: Entry) {
        if self.open.last().is_none_or(|function| function.inlined.len() >= INLINED_MAX) {
            return;
        }
        let ranges = self.ranges(&entry.extent);
        if ranges.is_empty() {
            return;
        }
        let (call_file, call_line) = (entry.call_file, entry.call_line);
        let name = self.name(entry);
        let Some(function) = self.open.last_mut() else { return };
        let around = u32::try_from(function.around.len()).unwrap_or(u32::MAX);
        function.around.push(depth);
        function.inlined.push(Inlined {
            depth: around,
            name: name.best().to_vec(),
            start_line: name.line,
            call_file,
            call_line,
            ranges,
        });
    }

    /// Ends what an entry at `depth` is not part of.
    fn close(&mut self, depth: isize, sink: &mut Sink<'_>) -> Result<(), BuildError> {
        while let Some(function) = self.open.last_mut() {
            while function.around.last().is_some_and(|around| *around >= depth) {
                function.around.pop();
            }
            if function.depth < depth {
                return Ok(());
            }
            let Some(function) = self.open.pop() else { return Ok(()) };
            self.emit(&function, sink)?;
        }
        Ok(())
    }

    fn emit(&self, function: &Open, sink: &mut Sink<'_>) -> Result<(), BuildError> {
        let language = self.head.language.or(self.skeleton.language);
        let kind = match language {
            Some(gimli::DW_LANG_Rust) => FrameKind::Rust,
            Some(gimli::DW_LANG_Go) => FrameKind::Go,
            _ => FrameKind::Native,
        };
        let start = function.ranges.iter().map(|range| range.0).min().unwrap_or(0);
        let known = function.name.linkage.is_some();
        // With few details, compilers leave the linker's name to the symbol table.
        let linkage = if known { None } else { (self.name_at)(start) }
            .filter(|name| name.starts_with(b"_Z") || name.starts_with(b"_R"));
        let name = linkage.as_deref().unwrap_or_else(|| function.name.best());
        for (start, end) in &function.ranges {
            sink(&Function {
                start: ElfAddress(*start),
                end: ElfAddress(*end),
                name,
                kind,
                source: Source::Dwarf,
                start_line: function.name.line,
                rows: &self.lines.rows,
                files: &self.lines.files,
                inlined: &function.inlined,
            })?;
        }
        Ok(())
    }
}
