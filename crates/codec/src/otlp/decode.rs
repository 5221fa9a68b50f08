//! Requests from protobuf.

use hearth_profile::{Attributes, Profile, ProfileBatch, ResourceProfiles, Sample, Scope, ValueType};

use crate::Limits;
use crate::limits::within;
use crate::wire::{Reader, Value, WireError};

use super::detect::{Request, detect};
use super::layout::{Home, Layout};
use super::tables::{Reason, Tables, id};
use super::{DecodeError, Decoded, Rejected, Revision, attributes, tables};

/// Sample types of one profile.
const TYPES_MAX: usize = 64;

/// Timestamps of one request.
const TIMESTAMPS_MAX: usize = 16_000_000;

/// Decodes an `ExportProfilesServiceRequest`, or a dump (`ProfilesData`) of v1.6, of any revision.
///
/// Profiles that cannot be decoded are listed in [`Decoded::rejected`]; the others are in
/// [`Decoded::batch`]. A sample with timestamps and no values counts 1 per timestamp. One with a
/// different value per timestamp becomes one sample per timestamp. A profile with several sample
/// types (v1.7 and older) becomes one profile for each; timestamps are kept there only if there are
/// as many as the value says. The middle of a stack deeper than `limits.max_depth` is folded.
///
/// # Errors
///
/// Only if nothing can be decoded: the bytes are no message, exceed `limits` as a whole, or
/// contradict themselves about their revision.
pub fn decode_request(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    decode_as(bytes, limits, None)
}

/// Decodes a request whose revision is known, or has to be detected.
pub(super) fn decode_as(
    bytes: &[u8],
    limits: &Limits,
    revision: Option<Revision>,
) -> Result<Decoded, DecodeError> {
    within("request bytes", bytes.len(), limits.max_bytes)?;
    let mut resource_profiles = Vec::new();
    let mut dictionary = Vec::new();
    let mut has_tables = false;
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => resource_profiles.push(value.bytes("ExportProfilesServiceRequest.resource_profiles")?),
            2 => dictionary.push(value.bytes("ExportProfilesServiceRequest.dictionary")?),
            3..=8 => has_tables = true,
            _ => {}
        }
    }
    let request = Request { resource_profiles: &resource_profiles, dictionary: &dictionary, has_tables };
    let revision = revision.map_or_else(|| detect(request), Ok)?;
    let layout = revision.layout();
    let mut tables = Tables::new(layout, limits);
    match layout.home {
        Home::Dictionary => tables.load(&dictionary)?,
        Home::Request => tables.load(&[bytes])?,
        Home::Profile => {}
    }
    let mut decoder = Decoder {
        tables,
        layout,
        rejected: Vec::new(),
        samples: 0,
        timestamps: 0,
        profiles: 0,
        attribute_bytes: 0,
    };
    let mut resources = Vec::new();
    for (index, bytes) in resource_profiles.iter().enumerate() {
        decoder.resource_profiles(index, bytes, &mut resources)?;
    }
    let batch = ProfileBatch { dictionary: decoder.tables.dictionary, resources };
    Ok(Decoded { batch, revision, rejected: decoder.rejected })
}

/// Why one profile is not in the result.
enum Failure {
    /// It is bad; its siblings may be good.
    Profile(Reason),
    /// The request as a whole is too large.
    Request(DecodeError),
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Profile(reason)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Profile(error.into())
    }
}

impl From<crate::LimitExceeded> for Failure {
    fn from(error: crate::LimitExceeded) -> Self {
        Self::Request(error.into())
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Wire(error) => error.into(),
            other => Self::Request(other),
        }
    }
}

struct Decoder<'a> {
    tables: Tables<'a>,
    layout: &'static Layout,
    rejected: Vec<Rejected>,
    samples: usize,
    timestamps: usize,
    profiles: usize,
    attribute_bytes: usize,
}

impl<'a> Decoder<'a> {
    fn resource_profiles(
        &mut self,
        resource_index: usize,
        bytes: &'a [u8],
        out: &mut Vec<ResourceProfiles>,
    ) -> Result<(), DecodeError> {
        let mut resource: &[u8] = &[];
        let mut scopes = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => resource = value.bytes("ResourceProfiles.resource")?,
                2 => scopes.push(value.bytes("ResourceProfiles.scope_profiles")?),
                _ => {}
            }
        }
        let resource = self.attributes_at(resource, 1, "Resource.attributes");
        for (scope_index, scope) in scopes.into_iter().enumerate() {
            let at = Rejected {
                resource: resource_index,
                scope: scope_index,
                profile: 0,
                samples: 0,
                reason: String::new(),
            };
            if let Some(profiles) = self.scope_profiles(at, &resource, scope)? {
                out.push(profiles);
            }
        }
        Ok(())
    }

    /// The attributes in field `number` of a resource or scope, with the memory they take.
    fn attributes_at(
        &mut self,
        bytes: &'a [u8],
        number: u32,
        field: &'static str,
    ) -> Result<(Attributes, usize), Reason> {
        let mut entries = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((found, value)) = reader.field()? {
            if found == number {
                entries.push(value.bytes(field)?);
            }
        }
        attributes::decode_list(&self.tables, entries)
            .map_err(|reason| Reason::from(format!("{field}: {}", reason.0)))
    }

    fn scope(&mut self, bytes: &'a [u8]) -> Result<(Scope, usize), Reason> {
        let mut scope = Scope::default();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => scope.name = text(value.bytes("InstrumentationScope.name")?),
                2 => scope.version = text(value.bytes("InstrumentationScope.version")?),
                _ => {}
            }
        }
        let (attributes, size) = self.attributes_at(bytes, 3, "InstrumentationScope.attributes")?;
        scope.attributes = attributes;
        Ok((scope, size))
    }

    fn scope_profiles(
        &mut self,
        mut at: Rejected,
        resource: &Result<(Attributes, usize), Reason>,
        bytes: &'a [u8],
    ) -> Result<Option<ResourceProfiles>, DecodeError> {
        let mut scope: &[u8] = &[];
        let mut profiles = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => scope = value.bytes("ScopeProfiles.scope")?,
                2 => profiles.push(value.bytes("ScopeProfiles.profiles")?),
                _ => {}
            }
        }
        self.profiles += profiles.len();
        within("profiles", self.profiles, self.tables.limits.max_profiles)?;
        let owner = resource.clone().and_then(|resource| Ok((resource, self.scope(scope)?)));
        let ((resource, resource_bytes), (scope, scope_bytes)) = match owner {
            Ok(owner) => owner,
            Err(reason) => {
                for (index, profile) in profiles.into_iter().enumerate() {
                    at.profile = index;
                    self.reject(&at, profile, &reason);
                }
                return Ok(None);
            }
        };
        self.attribute_bytes += resource_bytes + scope_bytes;
        self.tables.within_attribute_bytes(self.attribute_bytes)?;
        let mut result = ResourceProfiles { resource, scope, profiles: Vec::new() };
        for (index, profile) in profiles.into_iter().enumerate() {
            at.profile = index;
            match self.profile(profile) {
                Ok(profiles) => result.profiles.extend(profiles),
                Err(Failure::Profile(reason)) => self.reject(&at, profile, &reason),
                Err(Failure::Request(error)) => return Err(error),
            }
        }
        Ok((!result.profiles.is_empty()).then_some(result))
    }

    fn reject(&mut self, at: &Rejected, profile: &[u8], reason: &Reason) {
        let mut samples = 0;
        let profile = match Container::read(profile) {
            Ok(container) if self.layout.container => container.profile,
            _ => profile,
        };
        let mut reader = Reader::new(profile);
        while let Ok(Some((number, _))) = reader.field() {
            samples += usize::from(number == 2);
        }
        self.rejected.push(Rejected { samples, reason: reason.0.to_string(), ..*at });
    }

    /// Decodes one profile message: one profile of ours, or one per sample type.
    fn profile(&mut self, bytes: &'a [u8]) -> Result<Vec<Profile>, Failure> {
        let container =
            if self.layout.container { Container::read(bytes)? } else { Container::around(bytes) };
        let bytes = container.profile;
        if self.layout.home == Home::Profile {
            self.tables.load(&[bytes])?;
        }
        let (mut profile, types) = self.header(bytes)?;
        if !container.id.is_empty() {
            profile.profile_id = id("ProfileContainer.profile_id", container.id)?;
        }
        if profile.time_unix_nano == 0 && container.start != 0 {
            profile.time_unix_nano = container.start;
            profile.duration_nano = container.end.saturating_sub(container.start);
        }
        let (attributes, size) = attributes::decode_list(&self.tables, container.attributes)?;
        self.charge(size)?;
        attributes.iter().for_each(|(key, value)| profile.attributes.set(key, value.clone()));
        let mut profiles: Vec<Profile> =
            types.into_iter().map(|sample_type| Profile { sample_type, ..profile.clone() }).collect();
        self.charge(size.saturating_mul(profiles.len().saturating_sub(1)))?;
        let mut index = 0_usize;
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            if number == 2 {
                self.sample(value.bytes("Profile.samples")?, &mut profiles)
                    .map_err(|failure| in_sample(failure, index))?;
                index += 1;
            }
        }
        Ok(profiles)
    }

    /// Everything of a profile but its samples, and its sample types.
    fn header(&mut self, bytes: &'a [u8]) -> Result<(Profile, Vec<ValueType>), Failure> {
        let fields = self.layout.profile;
        let mut profile = Profile::default();
        let mut types = Vec::new();
        let (mut indices, mut own, mut locations) = (Vec::new(), Vec::new(), Vec::new());
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => types.push(self.value_type(value.bytes("Profile.sample_type")?)?),
                2 => {}
                _ if number == fields.time => {
                    profile.time_unix_nano = nanos("Profile.time_unix_nano", value)?;
                }
                _ if number == fields.duration => {
                    profile.duration_nano = nanos("Profile.duration_nano", value)?;
                }
                _ if number == fields.period_type => {
                    profile.period_type = self.value_type(value.bytes("Profile.period_type")?)?;
                }
                _ if number == fields.period => profile.period = value.int("Profile.period")?,
                _ if number == fields.id => {
                    profile.profile_id = id("Profile.profile_id", value.bytes("Profile.profile_id")?)?;
                }
                _ if number == fields.attribute_indices => {
                    let limit = self.tables.limits.max_attributes;
                    tables::ints(value, "Profile.attribute_indices", &mut indices, limit)?;
                }
                _ if number == fields.attributes => own.push(value.bytes("Profile.attributes")?),
                _ if number == fields.location_indices => {
                    let limit = self.tables.limits.max_table;
                    tables::ints(value, "Profile.location_indices", &mut locations, limit)?;
                }
                _ => {}
            }
            if types.len() > TYPES_MAX {
                return Err(Reason::from(format!("it has more than {TYPES_MAX} sample types")).into());
            }
        }
        self.tables.set_location_indices(locations);
        profile.attributes = self.attributes("Profile.attribute_indices", &indices)?;
        let (own, size) = attributes::decode_list(&self.tables, own)?;
        self.charge(size)?;
        own.iter().for_each(|(key, value)| profile.attributes.set(key, value.clone()));
        if !self.layout.many_types {
            types = vec![types.pop().unwrap_or_default()];
        }
        Ok((profile, types))
    }

    fn attributes(&mut self, field: &'static str, indices: &[i64]) -> Result<Attributes, Failure> {
        let (attributes, size) = self.tables.attributes(field, indices)?;
        self.charge(size)?;
        Ok(attributes)
    }

    fn charge(&mut self, attribute_bytes: usize) -> Result<(), Failure> {
        self.attribute_bytes = self.attribute_bytes.saturating_add(attribute_bytes);
        Ok(self.tables.within_attribute_bytes(self.attribute_bytes)?)
    }

    fn value_type(&self, bytes: &[u8]) -> Result<ValueType, Reason> {
        let mut value_type = ValueType::default();
        let mut reader = Reader::new(bytes);
        let text = |field, value: Value<'_>| {
            Ok::<_, Reason>(self.tables.string(field, value.int(field)?)?.into_owned())
        };
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => value_type.name = text("ValueType.type_strindex", value)?,
                2 => value_type.unit = text("ValueType.unit_strindex", value)?,
                _ => {}
            }
        }
        Ok(value_type)
    }

    fn sample(&mut self, bytes: &'a [u8], profiles: &mut [Profile]) -> Result<(), Failure> {
        let fields = self.layout.sample;
        let limits = self.tables.limits;
        let mut sample = Sample::default();
        let (mut values, mut attributes, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let (mut list, mut start, mut length) = (Vec::new(), 0, 0);
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                _ if number == fields.stack => {
                    let index = value.int("Sample.stack_index")?;
                    sample.stack = self.tables.stack("Sample.stack_index", index)?;
                }
                _ if number == fields.timestamps => {
                    add_times(value, self.layout.many_types, &mut sample.timestamps_unix_nano)?;
                }
                _ if number == fields.values => {
                    tables::ints(value, "Sample.values", &mut values, TIMESTAMPS_MAX)?;
                }
                _ if number == fields.attributes => {
                    let limit = limits.max_attributes;
                    tables::ints(value, "Sample.attribute_indices", &mut attributes, limit)?;
                }
                _ if number == fields.link => {
                    let index = value.int("Sample.link_index")?;
                    sample.link = self.tables.link("Sample.link_index", index)?;
                }
                _ if number == fields.locations_start => {
                    start = value.varint("Sample.locations_start_index")?
                }
                _ if number == fields.locations_length => length = value.varint("Sample.locations_length")?,
                _ if number == fields.location_list => {
                    tables::ints(value, "Sample.location_index", &mut list, tables::INDICES_MAX)?;
                }
                _ if number == fields.labels => labels.push(value.bytes("Sample.label")?),
                _ => {}
            }
        }
        if length > 0 {
            sample.stack = self.tables.range(start, length)?;
        } else if !list.is_empty() {
            sample.stack = self.tables.push_stack("Sample.location_index", &list)?;
        }
        let (attributes, size) = self.tables.attributes("Sample.attribute_indices", &attributes)?;
        sample.attributes = attributes;
        let size = size + self.labels(&labels, &mut sample.attributes)?;
        self.timestamps += sample.timestamps_unix_nano.len();
        within("timestamps", self.timestamps, TIMESTAMPS_MAX)?;
        if self.layout.many_types {
            let copies = profiles.len();
            self.count(copies, size)?;
            return Ok(spread(sample, &values, profiles)?);
        }
        let copies = copies(&sample, &values)?;
        self.count(copies, size)?;
        if let Some(profile) = profiles.first_mut() {
            weigh(sample, &values, &mut profile.samples);
        }
        Ok(())
    }

    fn count(&mut self, copies: usize, attribute_bytes: usize) -> Result<(), Failure> {
        self.samples += copies;
        within("samples", self.samples, self.tables.limits.max_samples)?;
        self.charge(attribute_bytes.saturating_mul(copies))
    }

    /// pprof's labels, which the oldest revision has.
    fn labels(&self, labels: &[&[u8]], attributes: &mut Attributes) -> Result<usize, Reason> {
        let limit = self.tables.limits.max_attributes;
        if labels.len() > limit {
            return Err(
                format!("Sample.label has {} entries; at most {limit} are accepted", labels.len()).into()
            );
        }
        let mut size = 0;
        for bytes in labels {
            let (mut key, mut text, mut number) = (Default::default(), 0, 0);
            let mut reader = Reader::new(bytes);
            while let Some((field, value)) = reader.field()? {
                match field {
                    1 => key = self.tables.string("Label.key", value.int("Label.key")?)?,
                    2 => text = value.int("Label.str")?,
                    3 => number = value.int("Label.num")?,
                    _ => {}
                }
            }
            let text = self.tables.string("Label.str", text)?;
            size += key.len() + text.len() + 56;
            if text.is_empty() {
                attributes.set(key, number);
            } else {
                attributes.set(key, text.into_owned());
            }
        }
        Ok(size)
    }
}

/// What wraps a profile in the oldest revision.
struct Container<'a> {
    profile: &'a [u8],
    id: &'a [u8],
    start: u64,
    end: u64,
    attributes: Vec<&'a [u8]>,
}

impl<'a> Container<'a> {
    /// No container.
    fn around(profile: &'a [u8]) -> Self {
        Self { profile, id: &[], start: 0, end: 0, attributes: Vec::new() }
    }

    fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut container = Self::around(&[]);
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => container.id = value.bytes("ProfileContainer.profile_id")?,
                2 => container.start = value.fixed64("ProfileContainer.start_time_unix_nano")?,
                3 => container.end = value.fixed64("ProfileContainer.end_time_unix_nano")?,
                4 => container.attributes.push(value.bytes("ProfileContainer.attributes")?),
                8 => container.profile = value.bytes("ProfileContainer.profile")?,
                _ => {}
            }
        }
        Ok(container)
    }
}

/// A time or duration: `fixed64` or varint, depending on revision and field.
fn nanos(field: &'static str, value: Value<'_>) -> Result<u64, WireError> {
    match value {
        Value::Fixed64(nanos) => Ok(nanos),
        other => other.varint(field),
    }
}

/// Adds the timestamps of one field to `out`.
fn add_times(value: Value<'_>, varints: bool, out: &mut Vec<u64>) -> Result<(), Reason> {
    let field = "Sample.timestamps_unix_nano";
    let mut add = |time| {
        if out.len() <= TIMESTAMPS_MAX {
            out.push(time);
        }
    };
    if varints {
        value.ints(field, |time| add(time.cast_unsigned()))?;
    } else {
        value.fixed64s(field, add)?;
    }
    Ok(())
}

/// Gives each profile its value of a sample of v1.7 or older.
///
/// A value of zero means that the sample is not of this type. Profilers of that time sent `[1]`
/// whatever the number of timestamps: of `samples` in `count` there are at least as many.
fn spread(mut sample: Sample, values: &[i64], profiles: &mut [Profile]) -> Result<(), Reason> {
    let times = std::mem::take(&mut sample.timestamps_unix_nano);
    let observed = i64::try_from(times.len()).unwrap_or(i64::MAX);
    let counted = [observed];
    let values = if values.is_empty() && observed > 0 { &counted } else { values };
    if values.len() != profiles.len() {
        let (got, expected) = (values.len(), profiles.len());
        return Err(format!("it has {got} values but the profile has {expected} sample types").into());
    }
    let single = profiles.len() == 1;
    for (profile, &value) in profiles.iter_mut().zip(values).filter(|(_, value)| **value != 0 || single) {
        let counts = profile.sample_type.name == "samples" && profile.sample_type.unit == "count";
        let value = if counts { value.max(observed) } else { value };
        let timestamps_unix_nano = if single && value == observed { times.clone() } else { Vec::new() };
        profile.samples.push(Sample { value, timestamps_unix_nano, ..sample.clone() });
    }
    Ok(())
}

/// How many samples of ours a sample with these values becomes: one, or one per timestamp where
/// the values differ.
fn copies(sample: &Sample, values: &[i64]) -> Result<usize, Reason> {
    let times = sample.timestamps_unix_nano.len();
    if values.is_empty() && times == 0 {
        return Err("it has neither values nor timestamps".to_owned().into());
    }
    if !values.is_empty() && times > 0 && values.len() != times {
        let count = values.len();
        return Err(format!("it has {count} values but {times} timestamps; expected equal numbers").into());
    }
    let differ = values.windows(2).any(|pair| pair[0] != pair[1]);
    Ok(if times > 0 && differ { times } else { 1 })
}

/// Gives a sample its value and adds it to `out`, in as many copies as [`copies`] says.
fn weigh(mut sample: Sample, values: &[i64], out: &mut Vec<Sample>) {
    let times = std::mem::take(&mut sample.timestamps_unix_nano);
    if times.is_empty() || values.windows(2).all(|pair| pair[0] == pair[1]) {
        sample.value = match values {
            [] => i64::try_from(times.len()).unwrap_or(i64::MAX),
            values => values.iter().fold(0, |sum, &value| sum.saturating_add(value)),
        };
        sample.timestamps_unix_nano = times;
        out.push(sample);
        return;
    }
    for (&value, &time) in values.iter().zip(&times) {
        out.push(Sample { value, timestamps_unix_nano: vec![time], ..sample.clone() });
    }
}

fn in_sample(failure: Failure, index: usize) -> Failure {
    match failure {
        Failure::Profile(reason) => Failure::Profile(format!("samples[{index}]: {}", reason.0).into()),
        request => request,
    }
}
