//! Requests to protobuf, in the layout of v1.10.
//!
//! Only the part of the dictionary that samples use is written. Resource and scope attributes have
//! their keys inline: receivers exist which do not resolve references there.

use std::collections::HashMap;

use hearth_profile::{
    AttributeValue, Attributes, Dictionary, FunctionId, Link, LocationId, MappingId, Profile, ProfileBatch,
    ResourceProfiles, Sample, StackId, StringId, ValueType,
};

use crate::wire::Writer;

use super::attributes::{encode_key_value, encode_value};

/// Encodes an `ExportProfilesServiceRequest`.
pub fn encode_request(batch: &ProfileBatch) -> Vec<u8> {
    let mut encoder = Encoder::new(&batch.dictionary);
    let mut writer = Writer::default();
    for resource in &batch.resources {
        writer.message(1, |message| encoder.resource_profiles(message, resource));
    }
    writer.message(2, |dictionary| encoder.finish(dictionary));
    writer.into_bytes()
}

/// The entries of one table so far, encoded, and where entries of our dictionary went.
struct Table {
    /// Field number in `ProfilesDictionary`.
    number: u32,
    entries: Writer,
    len: u32,
    /// By index in our table; 0 is "not written yet" (and the null element).
    written: Vec<u32>,
}

impl Table {
    /// With the null element.
    fn new(number: u32, ours: usize) -> Self {
        let mut entries = Writer::default();
        entries.bytes_always(number, &[]);
        Self { number, entries, len: 1, written: vec![0; ours] }
    }

    fn push(&mut self, entry: &[u8]) -> u32 {
        self.entries.bytes_always(self.number, entry);
        self.len += 1;
        self.len - 1
    }

    /// Where the entry with index `ours` went, unless it was not written yet.
    fn find(&self, ours: usize) -> Option<u32> {
        match self.written.get(ours) {
            Some(0) if ours > 0 => None,
            Some(&index) => Some(index),
            None => Some(0),
        }
    }

    fn push_as(&mut self, ours: usize, entry: &[u8]) -> u32 {
        let index = self.push(entry);
        self.written[ours] = index;
        index
    }
}

struct Encoder<'a> {
    ours: &'a Dictionary,
    mappings: Table,
    locations: Table,
    functions: Table,
    links: Table,
    strings: Table,
    attributes: Table,
    stacks: Table,
    /// Strings that are not in our dictionary: types, units, attribute keys.
    other_strings: HashMap<String, u32>,
    attribute_index: HashMap<Vec<u8>, u32>,
    link_index: HashMap<Link, u32>,
}

impl<'a> Encoder<'a> {
    fn new(ours: &'a Dictionary) -> Self {
        Self {
            ours,
            mappings: Table::new(1, ours.mappings().len()),
            locations: Table::new(2, ours.locations().len()),
            functions: Table::new(3, ours.functions().len()),
            links: Table::new(4, 0),
            strings: Table::new(5, ours.strings().len()),
            attributes: Table::new(6, 0),
            stacks: Table::new(7, ours.stacks().len()),
            other_strings: HashMap::new(),
            attribute_index: HashMap::new(),
            link_index: HashMap::new(),
        }
    }

    fn finish(self, dictionary: &mut Writer) {
        for table in [
            self.mappings,
            self.locations,
            self.functions,
            self.links,
            self.strings,
            self.attributes,
            self.stacks,
        ] {
            dictionary.raw(table.entries.as_bytes());
        }
    }

    fn resource_profiles(&mut self, message: &mut Writer, profiles: &ResourceProfiles) {
        message.message(1, |resource| inline_attributes(resource, 1, &profiles.resource));
        message.message(2, |scope_profiles| {
            scope_profiles.message(1, |scope| {
                scope.bytes(1, profiles.scope.name.as_bytes());
                scope.bytes(2, profiles.scope.version.as_bytes());
                inline_attributes(scope, 3, &profiles.scope.attributes);
            });
            for profile in &profiles.profiles {
                scope_profiles.message(2, |message| self.profile(message, profile));
            }
        });
    }

    fn profile(&mut self, message: &mut Writer, profile: &Profile) {
        self.value_type(message, 1, &profile.sample_type);
        for sample in &profile.samples {
            message.message(2, |message| self.sample(message, sample));
        }
        message.fixed64(3, profile.time_unix_nano);
        message.uint(4, profile.duration_nano);
        if !profile.period_type.is_empty() {
            self.value_type(message, 5, &profile.period_type);
        }
        message.int(6, profile.period);
        if profile.profile_id != [0; 16] {
            message.bytes(7, &profile.profile_id);
        }
        let attributes = self.attributes(&profile.attributes);
        message.packed_ints(11, attributes);
    }

    fn value_type(&mut self, message: &mut Writer, number: u32, value_type: &ValueType) {
        let (name, unit) = (self.other_string(&value_type.name), self.other_string(&value_type.unit));
        message.message(number, |message| {
            message.uint(1, name.into());
            message.uint(2, unit.into());
        });
    }

    fn sample(&mut self, message: &mut Writer, sample: &Sample) {
        let attributes = self.attributes(&sample.attributes);
        message.uint(1, self.stack(sample.stack).into());
        message.packed_ints(2, attributes);
        message.uint(3, sample.link.map_or(0, |link| self.link(link)).into());
        message.packed_ints(4, values(sample));
        message.packed_fixed64s(5, &sample.timestamps_unix_nano);
    }

    fn link(&mut self, link: Link) -> u32 {
        if let Some(&index) = self.link_index.get(&link) {
            return index;
        }
        let mut entry = Writer::default();
        entry.bytes(1, &link.trace_id);
        entry.bytes(2, &link.span_id);
        let index = self.links.push(entry.as_bytes());
        self.link_index.insert(link, index);
        index
    }

    fn attributes(&mut self, attributes: &Attributes) -> Vec<i64> {
        attributes.iter().map(|(key, value)| self.attribute(key, value).into()).collect()
    }

    fn attribute(&mut self, key: &str, value: &AttributeValue) -> u32 {
        let mut entry = Writer::default();
        entry.uint(1, self.other_string(key).into());
        entry.message(2, |any| encode_value(any, value));
        if let Some(&index) = self.attribute_index.get(entry.as_bytes()) {
            return index;
        }
        let index = self.attributes.push(entry.as_bytes());
        self.attribute_index.insert(entry.into_bytes(), index);
        index
    }

    /// Interns a string that is not in our dictionary.
    fn other_string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&index) = self.other_strings.get(text) {
            return index;
        }
        let index = self.strings.push(text.as_bytes());
        self.other_strings.insert(text.to_owned(), index);
        index
    }

    fn string(&mut self, id: StringId) -> u32 {
        if let Some(index) = self.strings.find(id.index()) {
            return index;
        }
        self.strings.push_as(id.index(), self.ours.get_string(id).as_bytes())
    }

    fn stack(&mut self, id: StackId) -> u32 {
        if let Some(index) = self.stacks.find(id.index()) {
            return index;
        }
        let ours = self.ours;
        let locations: Vec<i64> =
            ours.leaf_first(id).map(|location| self.location(location).into()).collect();
        let mut entry = Writer::default();
        entry.packed_ints(1, locations);
        self.stacks.push_as(id.index(), entry.as_bytes())
    }

    fn location(&mut self, id: LocationId) -> u32 {
        if let Some(index) = self.locations.find(id.index()) {
            return index;
        }
        let location = self.ours.get_location(id);
        let mut entry = Writer::default();
        entry.uint(1, self.mapping(location.mapping).into());
        entry.uint(2, location.address);
        for line in &location.lines {
            let function = self.function(line.function);
            entry.message(3, |message| {
                message.uint(1, function.into());
                message.uint(2, line.line.into());
                message.uint(3, line.column.into());
            });
        }
        if !location.kind.name().is_empty() {
            let kind = self.attribute("profile.frame.type", &location.kind.name().into());
            entry.packed_ints(4, [kind.into()]);
        }
        self.locations.push_as(id.index(), entry.as_bytes())
    }

    fn function(&mut self, id: FunctionId) -> u32 {
        if let Some(index) = self.functions.find(id.index()) {
            return index;
        }
        let function = self.ours.get_function(id);
        let mut entry = Writer::default();
        entry.uint(1, self.string(function.name).into());
        entry.uint(2, self.string(function.system_name).into());
        entry.uint(3, self.string(function.filename).into());
        entry.uint(4, function.start_line.into());
        self.functions.push_as(id.index(), entry.as_bytes())
    }

    fn mapping(&mut self, id: MappingId) -> u32 {
        if let Some(index) = self.mappings.find(id.index()) {
            return index;
        }
        let mapping = self.ours.get_mapping(id);
        let mut entry = Writer::default();
        entry.uint(1, mapping.memory_start);
        entry.uint(2, mapping.memory_limit);
        entry.uint(3, mapping.file_offset);
        entry.uint(4, self.string(mapping.filename).into());
        if mapping.build_id != StringId::NONE {
            let build_id = self.ours.get_string(mapping.build_id);
            let attribute = self.attribute("process.executable.build_id.gnu", &build_id.into());
            entry.packed_ints(5, [attribute.into()]);
        }
        self.mappings.push_as(id.index(), entry.as_bytes())
    }
}

fn inline_attributes(message: &mut Writer, number: u32, attributes: &Attributes) {
    for (key, value) in attributes.iter() {
        message.message(number, |entry| encode_key_value(entry, key, value));
    }
}

/// The values of a sample: none where the timestamps say it all, one without timestamps, else one
/// per timestamp that sum up to the sample's value.
fn values(sample: &Sample) -> Vec<i64> {
    let count = i64::try_from(sample.timestamps_unix_nano.len()).unwrap_or(i64::MAX);
    match count {
        0 => vec![sample.value],
        _ if count == sample.value => Vec::new(),
        _ => {
            let (each, rest) = (sample.value.div_euclid(count), sample.value.rem_euclid(count));
            (0..count).map(|index| each + i64::from(index < rest)).collect()
        }
    }
}
