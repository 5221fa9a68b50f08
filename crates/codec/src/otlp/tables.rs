//! The tables of a request or of one profile, resolved into our own dictionary on first use.
//!
//! Entries stay undecoded until a profile refers to them: what nobody uses costs nothing, and a
//! bad entry fails only the profiles that use it. Each entry is decoded once, good or bad.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use hearth_profile::{
    AttributeValue, Attributes, Dictionary, FrameKind, Function, FunctionId, Line, Link, Location,
    LocationId, Mapping, MappingId, StackId, StringId,
};

use crate::depth;
use crate::limits::within;
use crate::wire::{Reader, Value, WireError};
use crate::{LimitExceeded, Limits};

use super::attributes;
use super::layout::Layout;

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
    /// Whether element 0 means "none".
    null_first: bool,
    entries: Vec<&'a [u8]>,
    resolved: Vec<Option<Result<T, Reason>>>,
}

impl<'a, T: Clone + Default> Table<'a, T> {
    fn new(name: &'static str, null_first: bool) -> Self {
        Self { name, null_first, entries: Vec::new(), resolved: Vec::new() }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.resolved.clear();
    }

    /// The entry that `field` refers to; `Err` holds what it became if it was used before (or the
    /// null element, or why `value` is no index).
    fn entry(&self, field: &'static str, value: i64) -> Result<(usize, &'a [u8]), Result<T, Reason>> {
        if value == 0 && self.null_first {
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

/// All tables of a request, or of the profile at hand.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    pub(super) limits: Limits,
    pub(super) layout: &'static Layout,
    pub(super) dictionary: Dictionary,
    mappings: Table<'a, MappingId>,
    locations: Table<'a, LocationId>,
    functions: Table<'a, FunctionId>,
    links: Table<'a, Option<Link>>,
    strings: Table<'a, StringId>,
    attributes: Table<'a, Entry>,
    stacks: Table<'a, StackId>,
    /// Which location each position of a profile's `location_indices` means.
    location_indices: Vec<i64>,
    /// What ranges of them became.
    ranges: HashMap<(u64, u64), Result<StackId, Reason>>,
    frames: usize,
}

/// Frames of all distinct stacks of one request together, inlined ones included. Real requests
/// have a few million; without the bound, stacks that repeat one location of many inlined
/// functions would cost a tree many times what they cost the sender.
const FRAMES_MAX: usize = 16_000_000;

/// Locations of one stack before its middle is folded.
pub(super) const INDICES_MAX: usize = 1_000_000;

/// Inlined functions at one location.
const LINES_MAX: usize = 256;

impl<'a> Tables<'a> {
    /// Empty tables.
    pub(super) fn new(layout: &'static Layout, limits: &Limits) -> Self {
        let null = layout.null_first;
        Self {
            limits: *limits,
            layout,
            dictionary: Dictionary::default(),
            mappings: Table::new("mapping_table", null),
            locations: Table::new("location_table", null),
            functions: Table::new("function_table", null),
            links: Table::new("link_table", null),
            // The first string is empty in all revisions.
            strings: Table::new("string_table", true),
            attributes: Table::new("attribute_table", null),
            stacks: Table::new("stack_table", null),
            location_indices: Vec::new(),
            ranges: HashMap::new(),
            frames: 0,
        }
    }

    /// Reads which entries the messages in `parts` have; what was there before is forgotten.
    pub(super) fn load(&mut self, parts: &[&'a [u8]]) -> Result<(), super::DecodeError> {
        self.mappings.clear();
        self.locations.clear();
        self.functions.clear();
        self.links.clear();
        self.strings.clear();
        self.attributes.clear();
        self.stacks.clear();
        let numbers = self.layout.tables;
        for part in parts {
            let mut reader = Reader::new(part);
            while let Some((number, value)) = reader.field()? {
                let (entries, name) = match number {
                    _ if number == numbers.mapping => (&mut self.mappings.entries, "mapping_table"),
                    _ if number == numbers.location => (&mut self.locations.entries, "location_table"),
                    _ if number == numbers.function => (&mut self.functions.entries, "function_table"),
                    _ if number == numbers.link => (&mut self.links.entries, "link_table"),
                    _ if number == numbers.string => (&mut self.strings.entries, "string_table"),
                    _ if number == numbers.attribute => (&mut self.attributes.entries, "attribute_table"),
                    _ if number == numbers.stack => (&mut self.stacks.entries, "stack_table"),
                    _ => continue,
                };
                entries.push(value.bytes(name)?);
                within(name, entries.len(), self.limits.max_table)?;
            }
        }
        Ok(())
    }

    /// Sets what ranges of locations refer to.
    pub(super) fn set_location_indices(&mut self, indices: Vec<i64>) {
        self.location_indices = indices;
        self.ranges.clear();
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
                ints(value, "Stack.location_indices", &mut indices, INDICES_MAX)?;
            }
        }
        self.push_stack("Stack.location_indices", &indices)
    }

    /// The stack of a sample that names `length` positions of its profile's `location_indices`.
    pub(super) fn range(&mut self, start: u64, length: u64) -> Result<StackId, Reason> {
        if length == 0 {
            return Ok(StackId::NONE);
        }
        if let Some(known) = self.ranges.get(&(start, length)) {
            return known.clone();
        }
        let result = self.decode_range(start, length);
        self.ranges.insert((start, length), result.clone());
        result
    }

    fn decode_range(&mut self, start: u64, length: u64) -> Result<StackId, Reason> {
        let end = start.checked_add(length).and_then(|end| usize::try_from(end).ok());
        let range = usize::try_from(start).ok().zip(end);
        let indices = std::mem::take(&mut self.location_indices);
        let result = match range.and_then(|(start, end)| indices.get(start..end)) {
            Some(indices) => self.push_stack("Profile.location_indices", indices),
            None => {
                let have = indices.len();
                Err(format!("locations {start} and the {length} from there on: there are only {have}").into())
            }
        };
        self.location_indices = indices;
        result
    }

    /// The stack of these locations, leaf first; its middle is folded if it is too deep.
    pub(super) fn push_stack(&mut self, field: &'static str, indices: &[i64]) -> Result<StackId, Reason> {
        if let Some((leaf, root)) = depth::split(indices, self.limits.max_depth) {
            let root = self.push_locations(StackId::NONE, field, root)?;
            let marker = depth::marker(&mut self.dictionary);
            let middle = self.dictionary.push(root, marker);
            return self.push_locations(middle, field, leaf);
        }
        self.push_locations(StackId::NONE, field, indices)
    }

    fn push_locations(
        &mut self,
        caller: StackId,
        field: &'static str,
        leaf_first: &[i64],
    ) -> Result<StackId, Reason> {
        let mut stack = caller;
        for &index in leaf_first.iter().rev() {
            let location = self.location(field, index)?;
            self.frames += self.dictionary.get_location(location).lines.len().max(1);
            if self.frames > FRAMES_MAX {
                return Err(
                    format!("the request's stacks have more than {FRAMES_MAX} frames together").into()
                );
            }
            stack = self.dictionary.push(stack, location);
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
        let fields = self.layout.location;
        let mut location = Location::default();
        let mut mapping = self.layout.mapping_always.then_some(0);
        let mut lines = Vec::new();
        let mut attributes = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                _ if number == fields.mapping => mapping = Some(value.int("Location.mapping_index")?),
                _ if number == fields.address => location.address = value.varint("Location.address")?,
                _ if number == fields.line => {
                    lines.extend(self.decode_line(value.bytes("Location.lines")?)?);
                }
                _ if number == fields.attributes => {
                    let limit = self.limits.max_attributes;
                    ints(value, "Location.attribute_indices", &mut attributes, limit)?;
                }
                _ if number == fields.kind => {
                    let kind = self.string("Location.type_index", value.int("Location.type_index")?)?;
                    location.kind = FrameKind::from_name(&kind);
                }
                _ => {}
            }
            if lines.len() > LINES_MAX {
                return Err(format!("a location has more than {LINES_MAX} lines").into());
            }
        }
        // Without a null element a request may have no mappings, and then 0 means none.
        if let Some(index) = mapping.filter(|&index| index != 0 || !self.mappings.entries.is_empty()) {
            location.mapping = self.mapping("Location.mapping_index", index)?;
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
        let mut function = 0;
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => function = value.int("Line.function_index")?,
                2 => line.line = small(value.int("Line.line")?),
                3 => line.column = small(value.int("Line.column")?),
                _ => {}
            }
        }
        line.function = self.function("Line.function_index", function)?;
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
            match number.wrapping_sub(self.layout.function_offset) {
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
        let fields = self.layout.mapping;
        let mut mapping = Mapping::default();
        let mut attributes = Vec::new();
        let (mut build_id, mut build_id_kind) = (0, 0);
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                _ if number == fields.start => mapping.memory_start = value.varint("Mapping.memory_start")?,
                _ if number == fields.limit => mapping.memory_limit = value.varint("Mapping.memory_limit")?,
                _ if number == fields.offset => mapping.file_offset = value.varint("Mapping.file_offset")?,
                _ if number == fields.filename => {
                    let index = value.int("Mapping.filename_strindex")?;
                    mapping.filename = self.string_id("Mapping.filename_strindex", index)?;
                }
                _ if number == fields.attributes => {
                    let limit = self.limits.max_attributes;
                    ints(value, "Mapping.attribute_indices", &mut attributes, limit)?;
                }
                _ if number == fields.build_id => build_id = value.int("Mapping.build_id")?,
                _ if number == fields.build_id_kind => build_id_kind = value.int("Mapping.build_id_kind")?,
                _ => {}
            }
        }
        // Kind 0 is the linker's build ID, 1 a hash of the file.
        if build_id_kind == 0 {
            mapping.build_id = self.string_id("Mapping.build_id", build_id)?;
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
        if self.layout.inline_keys {
            let (key, value) = attributes::decode_key_value(self, bytes, attributes::DEPTH_MAX)?;
            let size = key.len() + attributes::size_of(&value);
            return Ok(Entry(Rc::new((key, value, size))));
        }
        let mut key = Cow::Borrowed("");
        let mut value = AttributeValue::String(String::new());
        let mut reader = Reader::new(bytes);
        while let Some((number, field)) = reader.field()? {
            match number {
                1 => {
                    let name = "KeyValueAndUnit.key_strindex";
                    key = self.string(name, field.int(name)?)?;
                }
                2 => {
                    value = attributes::decode_value(
                        self,
                        field.bytes("KeyValueAndUnit.value")?,
                        attributes::DEPTH_MAX,
                    )?
                }
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
        let null_first = self.layout.null_first;
        for &index in indices.iter().filter(|&&index| index != 0 || !null_first) {
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

/// Adds the numbers of a list to `out`, at most `limit` together.
pub(super) fn ints(
    value: Value<'_>,
    field: &'static str,
    out: &mut Vec<i64>,
    limit: usize,
) -> Result<(), Reason> {
    value.ints(field, |number| {
        if out.len() <= limit {
            out.push(number);
        }
    })?;
    if out.len() > limit {
        return Err(format!("{field} has more than {limit} entries").into());
    }
    Ok(())
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
