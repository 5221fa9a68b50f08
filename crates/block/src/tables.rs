//! The tables of a block: their columns, and the dictionary and series taken apart and rebuilt.

use std::sync::Arc;

use hearth_profile::{
    Dictionary, FrameKind, Function, FunctionId, LabelSetBuilder, Line, Location, LocationId, Mapping,
    MappingId, ProfileType, StackId, StringId, ValueType,
};

use crate::Series;
use crate::table::{Fault, Field, Kind, Table, TableReader, Values, field};

const fn bounded(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, bounds: true }
}

pub(crate) static ROWS: Table = Table {
    name: "rows",
    fields: &[
        bounded("series", Kind::Id),
        field("stack", Kind::Id),
        bounded("slot", Kind::Id),
        field("value", Kind::Sum),
    ],
};
pub(crate) static POINTS: Table = Table {
    name: "points",
    fields: &[bounded("series", Kind::Id), bounded("slot", Kind::Id), field("value", Kind::Address)],
};
pub(crate) static SERIES: Table = Table {
    name: "series",
    fields: &[
        field("name", Kind::Name),
        field("sample_type", Kind::Name),
        field("sample_unit", Kind::Name),
        field("period_type", Kind::Name),
        field("period_unit", Kind::Name),
        field("labels", Kind::Few),
    ],
};
pub(crate) static LABELS: Table =
    Table { name: "labels", fields: &[field("name", Kind::Name), field("value", Kind::Name)] };
pub(crate) static STRINGS: Table = Table { name: "strings", fields: &[field("text", Kind::Text)] };
pub(crate) static FUNCTIONS: Table = Table {
    name: "functions",
    fields: &[
        field("name", Kind::Id),
        field("system_name", Kind::Id),
        field("filename", Kind::Id),
        field("start_line", Kind::Id),
    ],
};
pub(crate) static MAPPINGS: Table = Table {
    name: "mappings",
    fields: &[
        field("filename", Kind::Id),
        field("build_id", Kind::Id),
        field("memory_start", Kind::Address),
        field("memory_limit", Kind::Address),
        field("file_offset", Kind::Address),
    ],
};
pub(crate) static LOCATIONS: Table = Table {
    name: "locations",
    fields: &[
        field("mapping", Kind::Id),
        field("address", Kind::Address),
        field("kind", Kind::Few),
        field("lines", Kind::Few),
    ],
};
pub(crate) static LINES: Table = Table {
    name: "lines",
    fields: &[field("function", Kind::Id), field("line", Kind::Id), field("column", Kind::Few)],
};
pub(crate) static STACKS: Table =
    Table { name: "stacks", fields: &[field("parent_delta", Kind::Id), field("location", Kind::Id)] };

/// Most rows of a row group; a larger table is cut into several.
const GROUP_ROWS_MAX: usize = 1 << 20;

/// The dictionary's tables, taken apart piece by piece; element 0 of each is implied.
pub(crate) fn dictionary_tables(
    dictionary: &Dictionary,
    mut group: impl FnMut(&'static Table, Vec<Values>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let strings: Vec<&str> = dictionary.strings().skip(1).collect();
    for piece in pieces(&strings) {
        group(&STRINGS, vec![Values::text(piece.iter().copied())])?;
    }
    let functions: Vec<Function> = dictionary.functions().skip(1).collect();
    for piece in pieces(&functions) {
        let columns = vec![
            Values::u32(piece.iter().map(|function| function.name.0)),
            Values::u32(piece.iter().map(|function| function.system_name.0)),
            Values::u32(piece.iter().map(|function| function.filename.0)),
            Values::u32(piece.iter().map(|function| function.start_line)),
        ];
        group(&FUNCTIONS, columns)?;
    }
    let mappings: Vec<Mapping> = dictionary.mappings().skip(1).collect();
    for piece in pieces(&mappings) {
        let columns = vec![
            Values::u32(piece.iter().map(|mapping| mapping.filename.0)),
            Values::u32(piece.iter().map(|mapping| mapping.build_id.0)),
            Values::u64(piece.iter().map(|mapping| mapping.memory_start)),
            Values::u64(piece.iter().map(|mapping| mapping.memory_limit)),
            Values::u64(piece.iter().map(|mapping| mapping.file_offset)),
        ];
        group(&MAPPINGS, columns)?;
    }
    location_tables(dictionary, &mut group)?;
    let stacks: Vec<(u32, u32)> = (0u32..)
        .zip(dictionary.stacks())
        .skip(1)
        .map(|(id, (location, parent))| (id.saturating_sub(parent.0), location.0))
        .collect();
    for piece in pieces(&stacks) {
        let columns = vec![
            Values::u32(piece.iter().map(|(delta, _)| *delta)),
            Values::u32(piece.iter().map(|(_, location)| *location)),
        ];
        group(&STACKS, columns)?;
    }
    Ok(())
}

fn location_tables(
    dictionary: &Dictionary,
    group: &mut impl FnMut(&'static Table, Vec<Values>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let locations: Vec<&Location> = dictionary.locations().skip(1).collect();
    for piece in pieces(&locations) {
        let lines = piece.iter().map(|location| u32::try_from(location.lines.len()).unwrap_or(u32::MAX));
        let columns = vec![
            Values::u32(piece.iter().map(|location| location.mapping.0)),
            Values::u64(piece.iter().map(|location| location.address)),
            Values::u32(piece.iter().map(|location| location.kind as u32)),
            Values::u32(lines),
        ];
        group(&LOCATIONS, columns)?;
    }
    let lines: Vec<Line> = locations.iter().flat_map(|location| location.lines.iter().copied()).collect();
    for piece in pieces(&lines) {
        let columns = vec![
            Values::u32(piece.iter().map(|line| line.function.0)),
            Values::u32(piece.iter().map(|line| line.line)),
            Values::u32(piece.iter().map(|line| line.column)),
        ];
        group(&LINES, columns)?;
    }
    Ok(())
}

/// One empty piece if there is nothing, so that every table exists.
fn pieces<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    all.is_empty().then_some(all).into_iter().chain(all.chunks(GROUP_ROWS_MAX))
}

/// The tables of series.
pub(crate) fn series_tables(
    series: &[Series],
    mut group: impl FnMut(&'static Table, Vec<Values>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let types = || series.iter().map(|series| &series.profile_type);
    let columns = vec![
        Values::text(types().map(|profile_type| profile_type.name.as_str())),
        Values::text(types().map(|profile_type| profile_type.sample.name.as_str())),
        Values::text(types().map(|profile_type| profile_type.sample.unit.as_str())),
        Values::text(types().map(|profile_type| profile_type.period.name.as_str())),
        Values::text(types().map(|profile_type| profile_type.period.unit.as_str())),
        Values::u32(series.iter().map(|series| u32::try_from(series.labels.len()).unwrap_or(u32::MAX))),
    ];
    group(&SERIES, columns)?;
    let labels: Vec<(&str, &str)> = series.iter().flat_map(|series| series.labels.iter()).collect();
    for piece in pieces(&labels) {
        let columns = vec![
            Values::text(piece.iter().map(|(name, _)| *name)),
            Values::text(piece.iter().map(|(_, value)| *value)),
        ];
        group(&LABELS, columns)?;
    }
    Ok(())
}

/// Rebuilds the series.
pub(crate) fn read_series(
    open: impl Fn(&'static Table) -> Result<TableReader, Fault>,
) -> Result<Arc<[Series]>, Fault> {
    let mut labels: Vec<(Box<str>, Box<str>)> = Vec::new();
    open(&LABELS)?.each(|group, row| {
        labels.push((group.text(0, row)?.into(), group.text(1, row)?.into()));
        Ok(())
    })?;
    let (mut labels, mut series) = (labels.into_iter(), Vec::new());
    open(&SERIES)?.each(|group, row| {
        let part = |column| group.text(column, row).map(str::to_owned);
        let profile_type = ProfileType {
            name: part(0)?,
            sample: ValueType::new(part(1)?, part(2)?),
            period: ValueType::new(part(3)?, part(4)?),
        };
        let (mut builder, count) = (LabelSetBuilder::default(), group.u32(5, row)?);
        for _ in 0..count {
            let (name, value) = labels.next().ok_or("more labels announced than there are")?;
            builder.set(name, value);
        }
        series.push(Series { profile_type, labels: builder.build() });
        Ok(())
    })?;
    match labels.len() {
        0 => Ok(series.into()),
        left => Err(Fault::Corrupt(format!("labels: {left} belong to no series"))),
    }
}

/// Rebuilds the dictionary. Every index is checked, and every entry must get the id it had.
pub(crate) fn read_dictionary(
    open: impl Fn(&'static Table) -> Result<TableReader, Fault>,
) -> Result<Dictionary, Fault> {
    let mut to = Dictionary::default();
    let mut ids = Ids::default();
    open(&STRINGS)?.each(|group, row| {
        let id = to.string(group.text(0, row)?).0;
        ids.next(id)
    })?;
    let strings = ids.restart();
    open(&FUNCTIONS)?.each(|group, row| {
        let function = Function {
            name: StringId(index(group.u32(0, row)?, strings)?),
            system_name: StringId(index(group.u32(1, row)?, strings)?),
            filename: StringId(index(group.u32(2, row)?, strings)?),
            start_line: group.u32(3, row)?,
        };
        ids.next(to.function(function).0)
    })?;
    let functions = ids.restart();
    open(&MAPPINGS)?.each(|group, row| {
        let mapping = Mapping {
            filename: StringId(index(group.u32(0, row)?, strings)?),
            build_id: StringId(index(group.u32(1, row)?, strings)?),
            memory_start: group.i64(2, row)?.cast_unsigned(),
            memory_limit: group.i64(3, row)?.cast_unsigned(),
            file_offset: group.i64(4, row)?.cast_unsigned(),
        };
        ids.next(to.mapping(mapping).0)
    })?;
    let mappings = ids.restart();
    let locations = read_locations(&open, &mut to, functions, mappings)?;
    ids.restart();
    open(&STACKS)?.each(|group, row| {
        let delta = group.u32(0, row)?;
        let id = ids.expected();
        let parent = id.checked_sub(delta).filter(|&parent| parent < id);
        let parent = parent.ok_or_else(|| format!("stack {id}: caller {delta} before it"))?;
        let location = LocationId(index(group.u32(1, row)?, locations)?);
        ids.next(to.push(StackId(parent), location).0)
    })?;
    Ok(to)
}

fn read_locations(
    open: &impl Fn(&'static Table) -> Result<TableReader, Fault>,
    to: &mut Dictionary,
    functions: u32,
    mappings: u32,
) -> Result<u32, Fault> {
    let mut lines = Vec::new();
    open(&LINES)?.each(|group, row| {
        let function = FunctionId(index(group.u32(0, row)?, functions)?);
        lines.push(Line { function, line: group.u32(1, row)?, column: group.u32(2, row)? });
        Ok(())
    })?;
    let (mut rest, mut ids) = (lines.as_slice(), Ids::default());
    open(&LOCATIONS)?.each(|group, row| {
        let count = group.u32(3, row)? as usize;
        let (own, others) = rest.split_at_checked(count).ok_or("more lines announced than there are")?;
        rest = others;
        let kind = group.u32(2, row)?;
        let location = Location {
            mapping: MappingId(index(group.u32(0, row)?, mappings)?),
            address: group.i64(1, row)?.cast_unsigned(),
            lines: own.into(),
            kind: FrameKind::ALL.get(kind as usize).copied().ok_or_else(|| format!("frame kind {kind}"))?,
        };
        ids.next(to.location(location).0)
    })?;
    match rest.len() {
        0 => Ok(ids.restart()),
        left => Err(Fault::Corrupt(format!("lines: {left} belong to no location"))),
    }
}

fn index(value: u32, len: u32) -> Result<u32, String> {
    if value < len { Ok(value) } else { Err(format!("index {value} of {len}")) }
}

/// Checks that entries get the ids they had: an entry that repeats an earlier one would not.
#[derive(Debug, Default)]
struct Ids {
    last: u32,
}

impl Ids {
    fn expected(&self) -> u32 {
        self.last.saturating_add(1)
    }

    fn next(&mut self, id: u32) -> Result<(), String> {
        let expected = self.expected();
        self.last = expected;
        if id == expected { Ok(()) } else { Err(format!("entry {expected} repeats entry {id}")) }
    }

    /// The length of the table just read, with its null element.
    fn restart(&mut self) -> u32 {
        let len = self.expected();
        self.last = 0;
        len
    }
}
