//! The dictionary of a request, resolved into our own on first use.
//!
//! Entries stay undecoded until a profile refers to them: what nobody uses costs nothing, and a
//! bad entry fails only the profiles that use it. Each entry is decoded once, good or bad.

use std::borrow::Cow;
use std::rc::Rc;

use hearth_profile::{
    AttributeValue, Attributes, Dictionary, FrameKind, Function, FunctionId, Line, Link, Location,
    LocationId, Mapping, MappingId, StackId, StringId,
};

use crate::limits::within;
use crate::wire::{Reader, WireError};
use crate::{LimitExceeded, Limits};

use super::attributes;

/// Why a profile is rejected; shared by all profiles that meet the same bad entry.
#[derive(Clone, Debug)]
pub(super) struct Reason(pub(super) Rc<str>);

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<WireError> for Reason {
    fn from(error: WireError) -> Self {
        error.to_string().into()
    }
}

/// One table: its entries' bytes and, for those used, what they became.
#[derive(Debug)]
struct Table<'a, T> {
    name: &'static str,
    entries: Vec<&'a [u8]>,
    resolved: Vec<Option<Result<T, Reason>>>,
}

impl<'a, T: Clone + Default> Table<'a, T> {
    fn new(name: &'static str) -> Self {
        Self { name, entries: Vec::new(), resolved: Vec::new() }
    }

    /// The entry that `field` refers to; `Err` holds what it became if it was used before (or the
    /// null element, or why `value` is no index).
    fn entry(&self, field: &'static str, value: i64) -> Result<(usize, &'a [u8]), Result<T, Reason>> {
        if value == 0 {
            return Err(Ok(T::default()));
        }
        let index = usize::try_from(value).ok().filter(|&index| index < self.entries.len());
        let index = index.ok_or_else(|| Err(out_of_range(field, value, self.name, self.entries.len())))?;
        match self.resolved.get(index) {
            Some(Some(resolved)) => Err(resolved.clone()),
            _ => Ok((index, self.entries[index])),
        }
    }

    fn remember(&mut self, index: usize, result: Result<T, Reason>) -> Result<T, Reason> {
        if self.resolved.is_empty() {
            self.resolved.resize(self.entries.len(), None);
        }
        self.resolved[index] = Some(result.clone());
        result
    }
}

fn out_of_range(field: &'static str, value: i64, table: &'static str, len: usize) -> Reason {
    let last = len.saturating_sub(1);
    format!("{field} {value} is out of range; {table} has {len} entries, expected 0 to {last}").into()
}

/// An attribute of the attribute table with the memory it takes.
#[derive(Clone, Debug)]
pub(super) struct Entry(Rc<(String, AttributeValue, usize)>);

impl Default for Entry {
    fn default() -> Self {
        Self(Rc::new((String::new(), AttributeValue::String(String::new()), 0)))
    }
}

/// All tables of a request.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    pub(super) limits: Limits,
    pub(super) dictionary: Dictionary,
    mappings: Table<'a, MappingId>,
    locations: Table<'a, LocationId>,
    functions: Table<'a, FunctionId>,
    links: Table<'a, Option<Link>>,
    strings: Table<'a, StringId>,
    attributes: Table<'a, Entry>,
    stacks: Table<'a, StackId>,
    frames: usize,
}

/// Frames of all distinct stacks of one request together, inlined ones included. Real requests
/// have a few million; without the bound, stacks that repeat one location of many inlined
/// functions would cost a tree many times what they cost the sender.
const FRAMES_MAX: usize = 16_000_000;

/// Inlined functions at one location.
const LINES_MAX: usize = 256;

impl<'a> Tables<'a> {
    /// Reads which entries the `parts` of a request's dictionary have.
    pub(super) fn new(parts: &[&'a [u8]], limits: &Limits) -> Result<Self, super::DecodeError> {
        let mut tables = Self {
            limits: *limits,
            dictionary: Dictionary::default(),
            mappings: Table::new("mapping_table"),
            locations: Table::new("location_table"),
            functions: Table::new("function_table"),
            links: Table::new("link_table"),
            strings: Table::new("string_table"),
            attributes: Table::new("attribute_table"),
            stacks: Table::new("stack_table"),
            frames: 0,
        };
        for part in parts {
            let mut reader = Reader::new(part);
            while let Some((number, value)) = reader.field()? {
                let (entries, name) = match number {
                    1 => (&mut tables.mappings.entries, "mapping_table"),
                    2 => (&mut tables.locations.entries, "location_table"),
                    3 => (&mut tables.functions.entries, "function_table"),
                    4 => (&mut tables.links.entries, "link_table"),
                    5 => (&mut tables.strings.entries, "string_table"),
                    6 => (&mut tables.attributes.entries, "attribute_table"),
                    7 => (&mut tables.stacks.entries, "stack_table"),
                    _ => continue,
                };
                entries.push(value.bytes(name)?);
                within(name, entries.len(), limits.max_table)?;
            }
        }
        Ok(tables)
    }

    /// The text that `field` refers to. What is not UTF-8 is replaced: names come from binaries.
    pub(super) fn string(&self, field: &'static str, value: i64) -> Result<Cow<'a, str>, Reason> {
        match usize::try_from(value).ok().and_then(|index| self.strings.entries.get(index)) {
            _ if value == 0 => Ok(Cow::Borrowed("")),
            Some(bytes) => Ok(String::from_utf8_lossy(bytes)),
            None => Err(out_of_range(field, value, "string_table", self.strings.entries.len())),
        }
    }

    /// As [`Self::string`], interned.
    fn string_id(&mut self, field: &'static str, value: i64) -> Result<StringId, Reason> {
        let (index, bytes) = match self.strings.entry(field, value) {
            Ok(entry) => entry,
            Err(resolved) => return resolved,
        };
        let id = self.dictionary.string(&String::from_utf8_lossy(bytes));
        self.strings.remember(index, Ok(id))
    }

    /// The stack that `field` refers to.
    pub(super) fn stack(&mut self, field: &'static str, value: i64) -> Result<StackId, Reason> {
        let (index, bytes) = match self.stacks.entry(field, value) {
            Ok(entry) => entry,
            Err(resolved) => return resolved,
        };
        let result = self.decode_stack(bytes);
        self.stacks.remember(index, result)
    }

    fn decode_stack(&mut self, bytes: &[u8]) -> Result<StackId, Reason> {
        let mut indices = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            if number == 1 {
                value.ints("Stack.location_indices", |index| indices.push(index))?;
            }
        }
        let depth = indices.len();
        if depth > self.limits.max_depth {
            return Err(format!(
                "a stack has {depth} locations; at most {} are accepted",
                self.limits.max_depth
            )
            .into());
        }
        let mut stack = StackId::NONE;
        for index in indices.into_iter().rev() {
            let location = self.location("Stack.location_indices", index)?;
            self.frames += self.dictionary.get_location(location).lines.len().max(1);
            stack = self.dictionary.push(stack, location);
        }
        if self.frames > FRAMES_MAX {
            return Err(format!("the request's stacks have more than {FRAMES_MAX} frames together").into());
        }
        Ok(stack)
    }

    fn location(&mut self, field: &'static str, value: i64) -> Result<LocationId, Reason> {
        let (index, bytes) = match self.locations.entry(field, value) {
            Ok(entry) => entry,
            Err(resolved) => return resolved,
        };
        let result = self.decode_location(bytes);
        self.locations.remember(index, result)
    }

    fn decode_location(&mut self, bytes: &[u8]) -> Result<LocationId, Reason> {
        let mut location = Location::default();
        let mut lines = Vec::new();
        let mut attributes = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => {
                    let index = value.int("Location.mapping_index")?;
                    location.mapping = self.mapping("Location.mapping_index", index)?;
                }
                2 => location.address = value.varint("Location.address")?,
                3 => lines.extend(self.decode_line(value.bytes("Location.lines")?)?),
                4 => value.ints("Location.attribute_indices", |index| attributes.push(index))?,
                _ => {}
            }
            if lines.len() > LINES_MAX {
                return Err(format!("a location has more than {LINES_MAX} lines").into());
            }
        }
        for index in attributes {
            let entry = self.attribute("Location.attribute_indices", index)?;
            if let ("profile.frame.type", Some(kind)) = (&*entry.0.0, entry.0.1.as_str()) {
                location.kind = FrameKind::from_name(kind);
            }
        }
        location.lines = lines.into();
        Ok(self.dictionary.location(location))
    }

    /// A line; none if it names no function.
    fn decode_line(&mut self, bytes: &[u8]) -> Result<Option<Line>, Reason> {
        let mut line = Line::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => {
                    let index = value.int("Line.function_index")?;
                    line.function = self.function("Line.function_index", index)?;
                }
                2 => line.line = small(value.int("Line.line")?),
                3 => line.column = small(value.int("Line.column")?),
                _ => {}
            }
        }
        Ok((self.dictionary.get_function(line.function).name != StringId::NONE).then_some(line))
    }

    fn function(&mut self, field: &'static str, value: i64) -> Result<FunctionId, Reason> {
        let (index, bytes) = match self.functions.entry(field, value) {
            Ok(entry) => entry,
            Err(resolved) => return resolved,
        };
        let result = self.decode_function(bytes);
        self.functions.remember(index, result)
    }

    fn decode_function(&mut self, bytes: &[u8]) -> Result<FunctionId, Reason> {
        let mut function = Function::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => {
                    let index = value.int("Function.name_strindex")?;
                    function.name = self.string_id("Function.name_strindex", index)?;
                }
                2 => {
                    let index = value.int("Function.system_name_strindex")?;
                    function.system_name = self.string_id("Function.system_name_strindex", index)?;
                }
                3 => {
                    let index = value.int("Function.filename_strindex")?;
                    function.filename = self.string_id("Function.filename_strindex", index)?;
                }
                4 => function.start_line = small(value.int("Function.start_line")?),
                _ => {}
            }
        }
        if function.name == StringId::NONE {
            function.name = function.system_name;
        }
        if function.system_name == function.name {
            function.system_name = StringId::NONE;
        }
        Ok(self.dictionary.function(function))
    }

    fn mapping(&mut self, field: &'static str, value: i64) -> Result<MappingId, Reason> {
        let (index, bytes) = match self.mappings.entry(field, value) {
            Ok(entry) => entry,
            Err(resolved) => return resolved,
        };
        let result = self.decode_mapping(bytes);
        self.mappings.remember(index, result)
    }

    fn decode_mapping(&mut self, bytes: &[u8]) -> Result<MappingId, Reason> {
        let mut mapping = Mapping::default();
        let mut attributes = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => mapping.memory_start = value.varint("Mapping.memory_start")?,
                2 => mapping.memory_limit = value.varint("Mapping.memory_limit")?,
                3 => mapping.file_offset = value.varint("Mapping.file_offset")?,
                4 => {
                    let index = value.int("Mapping.filename_strindex")?;
                    mapping.filename = self.string_id("Mapping.filename_strindex", index)?;
                }
                5 => value.ints("Mapping.attribute_indices", |index| attributes.push(index))?,
                _ => {}
            }
        }
        for index in attributes {
            let entry = self.attribute("Mapping.attribute_indices", index)?;
            if let ("process.executable.build_id.gnu", Some(build_id)) = (&*entry.0.0, entry.0.1.as_str()) {
                mapping.build_id = self.dictionary.string(build_id);
            }
        }
        Ok(self.dictionary.mapping(mapping))
    }

    /// The link that `field` refers to.
    pub(super) fn link(&mut self, field: &'static str, value: i64) -> Result<Option<Link>, Reason> {
        let (index, bytes) = match self.links.entry(field, value) {
            Ok(entry) => entry,
            Err(resolved) => return resolved,
        };
        let result = decode_link(bytes).map(Some);
        self.links.remember(index, result)
    }

    fn attribute(&mut self, field: &'static str, value: i64) -> Result<Entry, Reason> {
        let (index, bytes) = match self.attributes.entry(field, value) {
            Ok(entry) => entry,
            Err(resolved) => return resolved,
        };
        let result = self.decode_attribute(bytes);
        self.attributes.remember(index, result)
    }

    fn decode_attribute(&self, bytes: &[u8]) -> Result<Entry, Reason> {
        let mut key = Cow::Borrowed("");
        let mut value = AttributeValue::String(String::new());
        let mut reader = Reader::new(bytes);
        while let Some((number, field)) = reader.field()? {
            match number {
                1 => {
                    let name = "KeyValueAndUnit.key_strindex";
                    key = self.string(name, field.int(name)?)?;
                }
                2 => value = attributes::decode_value(self, field.bytes("KeyValueAndUnit.value")?, 16)?,
                _ => {}
            }
        }
        let size = key.len() + attributes::size_of(&value);
        Ok(Entry(Rc::new((key.into_owned(), value, size))))
    }

    /// The attributes that `field` refers to, and the memory they take.
    pub(super) fn attributes(
        &mut self,
        field: &'static str,
        indices: &[i64],
    ) -> Result<(Attributes, usize), Reason> {
        let limit = self.limits.max_attributes;
        if indices.len() > limit {
            return Err(format!("{field} has {} entries; at most {limit} are accepted", indices.len()).into());
        }
        let mut attributes = Attributes::default();
        let mut size = 0;
        for &index in indices.iter().filter(|&&index| index != 0) {
            let entry = self.attribute(field, index)?;
            size += entry.0.2;
            attributes.set(entry.0.0.clone(), entry.0.1.clone());
        }
        Ok((attributes, size))
    }

    /// Checks the memory of all attributes so far.
    pub(super) fn within_attribute_bytes(&self, bytes: usize) -> Result<(), LimitExceeded> {
        within("bytes of attributes", bytes, self.limits.max_attribute_bytes)
    }
}

/// A line or column; what does not fit is unknown.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn decode_link(bytes: &[u8]) -> Result<Link, Reason> {
    let mut link = Link::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => link.trace_id = id("Link.trace_id", value.bytes("Link.trace_id")?)?,
            2 => link.span_id = id("Link.span_id", value.bytes("Link.span_id")?)?,
            _ => {}
        }
    }
    Ok(link)
}

/// An id of exactly `N` bytes; an empty one is all zeros.
pub(super) fn id<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Reason> {
    match bytes.try_into() {
        Ok(id) => Ok(id),
        Err(_) if bytes.is_empty() => Ok([0; N]),
        Err(_) => Err(format!("{field} has {} bytes; expected {N} or none", bytes.len()).into()),
    }
}
