//! pprof to our model.

use std::collections::HashMap;

use hearth_profile::{
    Attributes, Dictionary, Function, FunctionId, Line, Location, LocationId, Mapping, MappingId, Profile,
    ProfileBatch, ResourceProfiles, Sample, StackId, StringId, ValueType,
};

use crate::limits::within;
use crate::wire::Reader;
use crate::{Limits, depth};

use super::{Error, plain};

/// Decodes a pprof profile, gzip-compressed or not, into one profile per value column.
///
/// Labels become sample attributes; the middle of a stack deeper than `limits.max_depth` is folded. A sample is absent from the columns in which its value is 0.
///
/// # Errors
///
/// If the bytes are no pprof profile, or hold more than `limits` admit.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<ProfileBatch, Error> {
    decode_plain(&plain(bytes, limits)?, limits, false).map(|decoded| decoded.batch)
}

/// What could be read of a profile.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The samples that make sense.
    pub batch: ProfileBatch,
    /// How many samples do not.
    pub dropped: usize,
    /// What is wrong with the first of them.
    pub reason: Option<Error>,
}

/// As [`decode`], but a sample which refers to what is not there, or has another number of values
/// than there are types, does not fail the others: it is counted. A string that is not there is empty.
///
/// # Errors
///
/// If the bytes are no pprof profile, or hold more than `limits` admit.
pub fn decode_what_fits(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    decode_plain(&plain(bytes, limits)?, limits, true)
}

fn decode_plain(bytes: &[u8], limits: &Limits, lenient: bool) -> Result<Decoded, Error> {
    within("bytes", bytes.len(), limits.max_bytes)?;
    let mut parts = Parts::default();
    parts.read(bytes, limits)?;
    let mut decoder = Decoder {
        limits,
        dictionary: Dictionary::default(),
        string_ids: vec![None; parts.strings.len()],
        strings: std::mem::take(&mut parts.strings),
        mappings: HashMap::new(),
        functions: HashMap::new(),
        locations: HashMap::new(),
        attribute_bytes: 0,
        samples: 0,
        lenient,
    };
    for message in &parts.mappings {
        decoder.mapping(message)?;
    }
    for message in &parts.functions {
        decoder.function(message)?;
    }
    for message in &parts.locations {
        match decoder.location(message) {
            // Samples that refer to it will not find it.
            Err(Error::Reference { .. }) if lenient => {}
            result => result?,
        }
    }
    let period_type =
        parts.period_type.map_or(Ok(ValueType::default()), |bytes| decoder.value_type(bytes))?;
    let mut profiles = Vec::new();
    for message in &parts.sample_types {
        profiles.push(Profile {
            sample_type: decoder.value_type(message)?,
            period_type: period_type.clone(),
            period: parts.period,
            time_unix_nano: u64::try_from(parts.time_nanos).unwrap_or(0),
            duration_nano: u64::try_from(parts.duration_nanos).unwrap_or(0),
            ..Profile::default()
        });
    }
    let (mut dropped, mut reason) = (0, None);
    for message in &parts.samples {
        match decoder.sample(message, &mut profiles) {
            Err(error @ Error::Reference { .. }) if lenient => {
                dropped += 1;
                reason.get_or_insert(error);
            }
            result => result?,
        }
    }
    let resources = vec![ResourceProfiles { profiles, ..ResourceProfiles::default() }];
    Ok(Decoded { batch: ProfileBatch { dictionary: decoder.dictionary, resources }, dropped, reason })
}

/// The top level of a profile.
#[derive(Default)]
struct Parts<'a> {
    sample_types: Vec<&'a [u8]>,
    samples: Vec<&'a [u8]>,
    mappings: Vec<&'a [u8]>,
    locations: Vec<&'a [u8]>,
    functions: Vec<&'a [u8]>,
    strings: Vec<&'a [u8]>,
    period_type: Option<&'a [u8]>,
    period: i64,
    time_nanos: i64,
    duration_nanos: i64,
}

impl<'a> Parts<'a> {
    fn read(&mut self, bytes: &'a [u8], limits: &Limits) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            let (list, name, limit) = match number {
                1 => (&mut self.sample_types, "sample_type", 64),
                2 => (&mut self.samples, "sample", limits.max_samples),
                3 => (&mut self.mappings, "mapping", limits.max_table),
                4 => (&mut self.locations, "location", limits.max_table),
                5 => (&mut self.functions, "function", limits.max_table),
                6 => (&mut self.strings, "string_table", limits.max_table),
                9 => {
                    self.time_nanos = value.int("Profile.time_nanos")?;
                    continue;
                }
                10 => {
                    self.duration_nanos = value.int("Profile.duration_nanos")?;
                    continue;
                }
                11 => {
                    self.period_type = Some(value.bytes("Profile.period_type")?);
                    continue;
                }
                12 => {
                    self.period = value.int("Profile.period")?;
                    continue;
                }
                _ => continue,
            };
            list.push(value.bytes(name)?);
            within(name, list.len(), limit)?;
        }
        Ok(())
    }
}

struct Decoder<'a> {
    limits: &'a Limits,
    dictionary: Dictionary,
    strings: Vec<&'a [u8]>,
    string_ids: Vec<Option<StringId>>,
    mappings: HashMap<u64, MappingId>,
    functions: HashMap<u64, FunctionId>,
    locations: HashMap<u64, LocationId>,
    attribute_bytes: usize,
    samples: usize,
    /// Whether a string that is not there is empty.
    lenient: bool,
}

/// What refers to an id refers to `ids`; 0 is none.
fn by_id<T: Copy + Default>(field: &'static str, id: u64, ids: &HashMap<u64, T>) -> Result<T, Error> {
    match ids.get(&id) {
        Some(&found) => Ok(found),
        None if id == 0 => Ok(T::default()),
        None => {
            let expected = format!("expected one of the {} ids that the profile defines", ids.len());
            Err(Error::Reference { field, value: id.cast_signed(), expected })
        }
    }
}

impl Decoder<'_> {
    fn string_index(&self, field: &'static str, value: i64) -> Result<usize, Error> {
        let index = usize::try_from(value).ok().filter(|&index| index < self.strings.len());
        let expected =
            || format!("expected an index of string_table, 0 to {}", self.strings.len().saturating_sub(1));
        index.ok_or_else(|| Error::Reference { field, value, expected: expected() })
    }

    /// Whether an index means no string: 0, as the first string has to be empty, or one beyond the
    /// table where that is tolerated.
    fn is_none(&self, value: i64) -> bool {
        let first_is_empty = self.strings.first().is_none_or(|text| text.is_empty());
        (value == 0 && first_is_empty) || (self.lenient && self.string_index("", value).is_err())
    }

    fn text(&self, field: &'static str, value: i64) -> Result<String, Error> {
        if self.is_none(value) {
            return Ok(String::new());
        }
        Ok(String::from_utf8_lossy(self.strings[self.string_index(field, value)?]).into_owned())
    }

    fn string(&mut self, field: &'static str, value: i64) -> Result<StringId, Error> {
        if self.is_none(value) {
            return Ok(StringId::NONE);
        }
        let index = self.string_index(field, value)?;
        if let Some(id) = self.string_ids[index] {
            return Ok(id);
        }
        let id = self.dictionary.string(&String::from_utf8_lossy(self.strings[index]));
        self.string_ids[index] = Some(id);
        Ok(id)
    }

    fn value_type(&self, bytes: &[u8]) -> Result<ValueType, Error> {
        let mut value_type = ValueType::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => value_type.name = self.text("ValueType.type", value.int("ValueType.type")?)?,
                2 => value_type.unit = self.text("ValueType.unit", value.int("ValueType.unit")?)?,
                _ => {}
            }
        }
        Ok(value_type)
    }

    fn mapping(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (mut id, mut mapping) = (0, Mapping::default());
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => id = value.varint("Mapping.id")?,
                2 => mapping.memory_start = value.varint("Mapping.memory_start")?,
                3 => mapping.memory_limit = value.varint("Mapping.memory_limit")?,
                4 => mapping.file_offset = value.varint("Mapping.file_offset")?,
                5 => mapping.filename = self.string("Mapping.filename", value.int("Mapping.filename")?)?,
                6 => mapping.build_id = self.string("Mapping.build_id", value.int("Mapping.build_id")?)?,
                _ => {}
            }
        }
        self.mappings.insert(id, self.dictionary.mapping(mapping));
        Ok(())
    }

    fn function(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (mut id, mut function) = (0, Function::default());
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => id = value.varint("Function.id")?,
                2 => function.name = self.string("Function.name", value.int("Function.name")?)?,
                3 => {
                    let index = value.int("Function.system_name")?;
                    function.system_name = self.string("Function.system_name", index)?;
                }
                4 => function.filename = self.string("Function.filename", value.int("Function.filename")?)?,
                5 => function.start_line = u32::try_from(value.int("Function.start_line")?).unwrap_or(0),
                _ => {}
            }
        }
        if function.name == StringId::NONE {
            function.name = function.system_name;
        }
        if function.system_name == function.name {
            function.system_name = StringId::NONE;
        }
        // Old .NET SDKs leave the id out and mean the position, counted from 1.
        let id = if id == 0 { self.functions.len() as u64 + 1 } else { id };
        self.functions.insert(id, self.dictionary.function(function));
        Ok(())
    }

    fn location(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (mut id, mut location, mut lines) = (0, Location::default(), Vec::new());
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => id = value.varint("Location.id")?,
                2 => {
                    let mapping = value.varint("Location.mapping_id")?;
                    location.mapping = by_id("Location.mapping_id", mapping, &self.mappings)?;
                }
                3 => location.address = value.varint("Location.address")?,
                4 => lines.extend(self.line(value.bytes("Location.line")?)?),
                _ => {}
            }
            within("lines of a location", lines.len(), 256)?;
        }
        location.lines = lines.into();
        if id != 0 || !self.lenient {
            self.locations.insert(id, self.dictionary.location(location));
        }
        Ok(())
    }

    /// A line; none if it names no function.
    fn line(&self, bytes: &[u8]) -> Result<Option<Line>, Error> {
        let mut line = Line::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => {
                    let function = value.varint("Line.function_id")?;
                    line.function = by_id("Line.function_id", function, &self.functions)?;
                }
                2 => line.line = u32::try_from(value.int("Line.line")?).unwrap_or(0),
                3 => line.column = u32::try_from(value.int("Line.column")?).unwrap_or(0),
                _ => {}
            }
        }
        Ok((self.dictionary.get_function(line.function).name != StringId::NONE).then_some(line))
    }

    fn sample(&mut self, bytes: &[u8], profiles: &mut [Profile]) -> Result<(), Error> {
        let (mut locations, mut values, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => value.ints("Sample.location_id", |id| locations.push(id.cast_unsigned()))?,
                2 => value.ints("Sample.value", |value| values.push(value))?,
                3 => labels.push(value.bytes("Sample.label")?),
                _ => {}
            }
        }
        within("labels of a sample", labels.len(), self.limits.max_attributes)?;
        if values.len() != profiles.len() {
            let expected = format!("expected {}, one per sample_type", profiles.len());
            return Err(Error::Reference {
                field: "length of Sample.value",
                value: values.len() as i64,
                expected,
            });
        }
        let stack = match depth::split(&locations, self.limits.max_depth) {
            None => self.push(StackId::NONE, &locations)?,
            Some((leaf, root)) => {
                let root = self.push(StackId::NONE, root)?;
                let marker = depth::marker(&mut self.dictionary);
                let middle = self.dictionary.push(root, marker);
                self.push(middle, leaf)?
            }
        };
        let (attributes, size) = self.labels(&labels)?;
        for (profile, value) in profiles.iter_mut().zip(values).filter(|(_, value)| *value != 0) {
            self.samples += 1;
            within("samples of all columns", self.samples, self.limits.max_samples)?;
            self.attribute_bytes += size;
            within("bytes of labels", self.attribute_bytes, self.limits.max_attribute_bytes)?;
            let attributes = attributes.clone();
            profile.samples.push(Sample { stack, value, attributes, ..Sample::default() });
        }
        Ok(())
    }

    fn push(&mut self, caller: StackId, leaf_first: &[u64]) -> Result<StackId, Error> {
        let mut stack = caller;
        for &id in leaf_first.iter().rev() {
            if id == 0 && self.lenient {
                let expected = "expected the id of a location".to_owned();
                return Err(Error::Reference { field: "Sample.location_id", value: 0, expected });
            }
            stack = self.dictionary.push(stack, by_id("Sample.location_id", id, &self.locations)?);
        }
        Ok(stack)
    }

    fn labels(&self, labels: &[&[u8]]) -> Result<(Attributes, usize), Error> {
        let mut attributes = Attributes::default();
        let mut size = 0;
        for bytes in labels {
            let (mut key, mut text, mut number) = (String::new(), 0, 0);
            let mut reader = Reader::new(bytes);
            while let Some((field, value)) = reader.field()? {
                match field {
                    1 => key = self.text("Label.key", value.int("Label.key")?)?,
                    2 => text = value.int("Label.str")?,
                    3 => number = value.int("Label.num")?,
                    _ => {}
                }
            }
            let text = self.text("Label.str", text)?;
            size += key.len() + text.len() + 56;
            within("bytes of labels", self.attribute_bytes + size, self.limits.max_attribute_bytes)?;
            if text.is_empty() {
                attributes.set(key, number);
            } else {
                attributes.set(key, text);
            }
        }
        Ok((attributes, size))
    }
}
