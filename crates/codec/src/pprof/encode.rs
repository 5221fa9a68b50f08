//! pprof from our model.

use std::collections::HashMap;

use hearth_profile::{
    AttributeValue, Attributes, Dictionary, FunctionId, Link, LocationId, MappingId, Profile, ProfileBatch,
    ProfileType, ResourceProfiles, StackId, ValueType,
};
use indexmap::{IndexMap, IndexSet};

use crate::wire::Writer;

/// Encodes all profiles of a batch as one pprof profile, uncompressed.
///
/// Each sample type becomes a value column. `samples` in `count` with a period of CPU nanoseconds
/// becomes two: the count and, times the period, `cpu` in `nanoseconds`. Sample attributes become
/// labels, and so do `process.pid` and `process.executable.name` where there are several resources.
/// Times of single observations are not kept.
pub fn encode(batch: &ProfileBatch) -> Vec<u8> {
    let mut columns: IndexSet<ValueType> = IndexSet::new();
    let mut sums: IndexMap<(StackId, Vec<Label>), Vec<i64>> = IndexMap::new();
    for resource in &batch.resources {
        let common = if batch.resources.len() > 1 { resource_labels(resource) } else { Vec::new() };
        for profile in &resource.profiles {
            let scaled = scaled(profile);
            let column = columns.insert_full(profile.sample_type.clone()).0;
            let scaled = scaled.map(|(value_type, period)| (columns.insert_full(value_type).0, period));
            for sample in &profile.samples {
                let mut labels = common.clone();
                labels.extend(sample.attributes.iter().map(|(key, value)| Label::new(key, value)));
                labels.extend(sample.link.iter().flat_map(link_labels));
                let values = sums.entry((sample.stack, labels)).or_default();
                add(values, column, sample.value);
                if let Some((column, period)) = scaled {
                    add(values, column, sample.value.saturating_mul(period));
                }
            }
        }
    }
    let first = batch.profiles().find(|profile| !profile.period_type.is_empty());
    let start =
        batch.profiles().map(|profile| profile.time_unix_nano).filter(|&time| time > 0).min().unwrap_or(0);
    let end =
        batch.profiles().map(|profile| profile.time_unix_nano.saturating_add(profile.duration_nano)).max();
    let mut encoder = Encoder::new(&batch.dictionary);
    for column in &columns {
        encoder.value_type(1, column);
    }
    for ((stack, labels), mut values) in sums {
        values.resize(columns.len(), 0);
        encoder.sample(stack, &values, &labels);
    }
    encoder.finish(&Header {
        time_nanos: start.cast_signed(),
        duration_nanos: end.unwrap_or(0).saturating_sub(start).cast_signed(),
        period_type: first.map(|profile| &profile.period_type),
        period: first.map_or(0, |profile| profile.period),
        default_type: columns.iter().find(|column| column.name == "cpu").map(|column| column.name.as_str()),
    })
}

/// Encodes merged stacks of one profile type as a pprof profile, uncompressed.
///
/// Times are nanoseconds, the start since the Unix epoch; `period` is 0 if unknown.
pub fn encode_merged(
    dictionary: &Dictionary,
    sums: impl IntoIterator<Item = (StackId, i64)>,
    profile_type: &ProfileType,
    period: i64,
    time_nanos: i64,
    duration_nanos: i64,
) -> Vec<u8> {
    let mut encoder = Encoder::new(dictionary);
    encoder.value_type(1, &profile_type.sample);
    for (stack, value) in sums {
        encoder.sample(stack, &[value], &[]);
    }
    let period_type = Some(&profile_type.period).filter(|value_type| !value_type.is_empty());
    encoder.finish(&Header { time_nanos, duration_nanos, period_type, period, default_type: None })
}

fn add(values: &mut Vec<i64>, column: usize, value: i64) {
    if values.len() <= column {
        values.resize(column + 1, 0);
    }
    values[column] = values[column].saturating_add(value);
}

/// The type and factor of the second column that a count of CPU samples has.
fn scaled(profile: &Profile) -> Option<(ValueType, i64)> {
    let counts = profile.sample_type == ValueType::new("samples", "count");
    let of_cpu_time = profile.period_type == ValueType::new("cpu", "nanoseconds");
    (counts && of_cpu_time && profile.period > 0).then(|| (profile.period_type.clone(), profile.period))
}

/// A label of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Label {
    key: String,
    text: String,
    number: i64,
}

impl Label {
    fn new(key: &str, value: &AttributeValue) -> Self {
        let (text, number) = match value {
            AttributeValue::Int(number) => (String::new(), *number),
            other => (other.to_string(), 0),
        };
        Self { key: key.to_owned(), text, number }
    }
}

fn resource_labels(resource: &ResourceProfiles) -> Vec<Label> {
    let of = |attributes: &Attributes, key: &str| attributes.get(key).map(|value| Label::new(key, value));
    ["process.pid", "process.executable.name"].iter().filter_map(|key| of(&resource.resource, key)).collect()
}

fn link_labels(link: &Link) -> [Label; 2] {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    [("trace_id", hex(&link.trace_id)), ("span_id", hex(&link.span_id))]
        .map(|(key, id)| Label::new(key, &id.into()))
}

struct Header<'a> {
    time_nanos: i64,
    duration_nanos: i64,
    period_type: Option<&'a ValueType>,
    period: i64,
    default_type: Option<&'a str>,
}

/// What is known about all locations of a mapping.
#[derive(Clone, Copy)]
struct Facts {
    functions: bool,
    filenames: bool,
    lines: bool,
    inlined: bool,
}

struct Encoder<'a> {
    ours: &'a Dictionary,
    writer: Writer,
    strings: IndexSet<String>,
    /// By our index: whether the entry is written. Ids are our indices, which are never 0.
    functions: Vec<bool>,
    locations: Vec<bool>,
    mappings: HashMap<MappingId, Facts>,
}

impl<'a> Encoder<'a> {
    fn new(ours: &'a Dictionary) -> Self {
        Self {
            ours,
            writer: Writer::default(),
            strings: [String::new()].into_iter().collect(),
            functions: vec![false; ours.functions().len()],
            locations: vec![false; ours.locations().len()],
            mappings: HashMap::new(),
        }
    }

    fn string(&mut self, text: &str) -> u64 {
        let index = match self.strings.get_index_of(text) {
            Some(index) => index,
            None => self.strings.insert_full(text.to_owned()).0,
        };
        index as u64
    }

    fn value_type(&mut self, number: u32, value_type: &ValueType) {
        let (name, unit) = (self.string(&value_type.name), self.string(&value_type.unit));
        self.writer.message(number, |message| {
            message.uint(1, name);
            message.uint(2, unit);
        });
    }

    fn sample(&mut self, stack: StackId, values: &[i64], labels: &[Label]) {
        let ours = self.ours;
        // The null location stands for a frame about which nothing is known; pprof has no such id.
        let locations: Vec<LocationId> =
            ours.leaf_first(stack).filter(|&id| id != LocationId::NONE).collect();
        for &location in &locations {
            self.location(location);
        }
        let labels: Vec<_> = labels
            .iter()
            .map(|label| (self.string(&label.key), self.string(&label.text), label.number))
            .collect();
        self.writer.message(2, |message| {
            message.packed_ints(1, locations.iter().map(|location| i64::from(location.0)));
            message.packed_ints(2, values.iter().copied());
            for (key, text, number) in labels {
                message.message(3, |label| {
                    label.uint(1, key);
                    label.uint(2, text);
                    label.int(3, number);
                });
            }
        });
    }

    fn location(&mut self, id: LocationId) {
        if std::mem::replace(&mut self.locations[id.index()], true) {
            return;
        }
        let location = self.ours.get_location(id);
        let named = |of: &dyn Fn(FunctionId) -> bool| {
            !location.lines.is_empty() && location.lines.iter().all(|line| of(line.function))
        };
        let facts = Facts {
            functions: named(&|_| true),
            filenames: named(&|function| self.ours.get_function(function).filename.0 != 0),
            lines: !location.lines.is_empty() && location.lines.iter().all(|line| line.line != 0),
            inlined: location.lines.len() > 1,
        };
        let known = self.mappings.entry(location.mapping).or_insert(facts);
        known.functions &= facts.functions;
        known.filenames &= facts.filenames;
        known.lines &= facts.lines;
        known.inlined |= facts.inlined;
        for line in &location.lines {
            self.function(line.function);
        }
        self.writer.message(4, |message| {
            message.uint(1, id.0.into());
            message.uint(2, location.mapping.0.into());
            message.uint(3, location.address);
            for line in &location.lines {
                message.message(4, |message| {
                    message.uint(1, line.function.0.into());
                    message.uint(2, line.line.into());
                    message.uint(3, line.column.into());
                });
            }
        });
    }

    fn function(&mut self, id: FunctionId) {
        if id == FunctionId::NONE || std::mem::replace(&mut self.functions[id.index()], true) {
            return;
        }
        let function = self.ours.get_function(id);
        let name = self.string(self.ours.get_string(function.name));
        let system_name = match function.system_name.0 {
            0 => name,
            _ => self.string(self.ours.get_string(function.system_name)),
        };
        let filename = self.string(self.ours.get_string(function.filename));
        self.writer.message(5, |message| {
            message.uint(1, id.0.into());
            message.uint(2, name);
            message.uint(3, system_name);
            message.uint(4, filename);
            message.uint(5, function.start_line.into());
        });
    }

    fn write_mappings(&mut self) {
        let mut mappings: Vec<_> = self.mappings.drain().filter(|(id, _)| *id != MappingId::NONE).collect();
        mappings.sort_by_key(|(id, _)| *id);
        for (id, facts) in mappings {
            let mapping = self.ours.get_mapping(id);
            let filename = self.string(self.ours.get_string(mapping.filename));
            let build_id = self.string(self.ours.get_string(mapping.build_id));
            self.writer.message(3, |message| {
                message.uint(1, id.0.into());
                message.uint(2, mapping.memory_start);
                message.uint(3, mapping.memory_limit);
                message.uint(4, mapping.file_offset);
                message.uint(5, filename);
                message.uint(6, build_id);
                message.uint(7, facts.functions.into());
                message.uint(8, facts.filenames.into());
                message.uint(9, facts.lines.into());
                message.uint(10, facts.inlined.into());
            });
        }
    }

    fn finish(mut self, header: &Header<'_>) -> Vec<u8> {
        self.write_mappings();
        if let Some(period_type) = header.period_type {
            self.value_type(11, period_type);
        }
        let default_type = header.default_type.map_or(0, |name| self.string(name));
        let mut writer = self.writer;
        for text in &self.strings {
            writer.bytes_always(6, text.as_bytes());
        }
        writer.int(9, header.time_nanos);
        writer.int(10, header.duration_nanos);
        writer.int(12, header.period);
        writer.uint(14, default_type);
        writer.into_bytes()
    }
}
