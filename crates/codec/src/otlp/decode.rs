//! Requests from protobuf.

use hearth_profile::{Attributes, Profile, ProfileBatch, ResourceProfiles, Sample, Scope, ValueType};

use crate::Limits;
use crate::limits::within;
use crate::wire::{Reader, Value, WireError};

use super::detect::{Layout, Request, detect};
use super::tables::{Reason, Tables, id};
use super::{DecodeError, Decoded, Rejected, Revision, attributes};

/// Decodes an `ExportProfilesServiceRequest`.
///
/// Profiles that cannot be decoded are listed in [`Decoded::rejected`]; the others are in
/// [`Decoded::batch`]. A sample with timestamps and no values counts 1 per timestamp. One with a
/// different value per timestamp becomes one sample per timestamp.
///
/// # Errors
///
/// Only if nothing can be decoded: the bytes are no message, exceed `limits` as a whole, or have
/// the layout of an unsupported revision.
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
    let mut decoder = Decoder {
        tables: Tables::new(&dictionary, limits)?,
        layout: revision.layout(),
        rejected: Vec::new(),
        samples: 0,
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

struct Decoder<'a> {
    tables: Tables<'a>,
    layout: Layout,
    rejected: Vec<Rejected>,
    samples: usize,
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
                Ok(profile) => result.profiles.push(profile),
                Err(Failure::Profile(reason)) => self.reject(&at, profile, &reason),
                Err(Failure::Request(error)) => return Err(error),
            }
        }
        Ok((!result.profiles.is_empty()).then_some(result))
    }

    fn reject(&mut self, at: &Rejected, profile: &[u8], reason: &Reason) {
        let mut samples = 0;
        let mut reader = Reader::new(profile);
        while let Ok(Some((number, _))) = reader.field() {
            samples += usize::from(number == 2);
        }
        self.rejected.push(Rejected { samples, reason: reason.0.to_string(), ..*at });
    }

    fn profile(&mut self, bytes: &'a [u8]) -> Result<Profile, Failure> {
        let mut profile = Profile::default();
        let mut attributes = Vec::new();
        let mut index = 0_usize;
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => profile.sample_type = self.value_type(value.bytes("Profile.sample_type")?)?,
                2 => {
                    self.sample(value.bytes("Profile.samples")?, &mut profile.samples)
                        .map_err(|failure| in_sample(failure, index))?;
                    index += 1;
                }
                3 => profile.time_unix_nano = value.fixed64("Profile.time_unix_nano")?,
                4 => profile.duration_nano = value.varint("Profile.duration_nano")?,
                5 => profile.period_type = self.value_type(value.bytes("Profile.period_type")?)?,
                6 => profile.period = value.int("Profile.period")?,
                _ if number == self.layout.profile_id => {
                    profile.profile_id = id("Profile.profile_id", value.bytes("Profile.profile_id")?)?;
                }
                _ if number == self.layout.profile_attributes => {
                    value.ints("Profile.attribute_indices", |index| attributes.push(index))?;
                }
                _ => {}
            }
        }
        profile.attributes = self.attributes("Profile.attribute_indices", &attributes)?;
        Ok(profile)
    }

    fn attributes(&mut self, field: &'static str, indices: &[i64]) -> Result<Attributes, Failure> {
        let (attributes, size) = self.tables.attributes(field, indices)?;
        self.charge(size)?;
        Ok(attributes)
    }

    fn charge(&mut self, attribute_bytes: usize) -> Result<(), Failure> {
        self.attribute_bytes += attribute_bytes;
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

    fn sample(&mut self, bytes: &[u8], out: &mut Vec<Sample>) -> Result<(), Failure> {
        let mut sample = Sample::default();
        let mut values = Vec::new();
        let mut attributes = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => {
                    let index = value.int("Sample.stack_index")?;
                    sample.stack = self.tables.stack("Sample.stack_index", index)?;
                }
                5 => value.fixed64s("Sample.timestamps_unix_nano", |time| {
                    sample.timestamps_unix_nano.push(time);
                })?,
                _ if number == self.layout.sample_values => {
                    value.ints("Sample.values", |value| values.push(value))?;
                }
                _ if number == self.layout.sample_attributes => {
                    value.ints("Sample.attribute_indices", |index| attributes.push(index))?;
                }
                _ if number == self.layout.sample_link => {
                    let index = value.int("Sample.link_index")?;
                    sample.link = self.tables.link("Sample.link_index", index)?;
                }
                _ => {}
            }
        }
        let (attributes, size) = self.tables.attributes("Sample.attribute_indices", &attributes)?;
        sample.attributes = attributes;
        let copies = copies(&sample, &values)?;
        self.samples += copies;
        within("samples", self.samples, self.tables.limits.max_samples)?;
        self.charge(size.saturating_mul(copies))?;
        weigh(sample, &values, out);
        Ok(())
    }
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
