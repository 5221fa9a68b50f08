//! Which revision of the messages a request has, decided from its bytes.
//!
//! Path, content type and user agent say nothing: all revisions share them. What tells is which
//! field numbers occur with which wire type. Each rule below is a fact about one revision's field
//! table; where a request's fields mean the same in two revisions, the newer one is taken.

use crate::wire::{Reader, Value};

use super::DecodeError;

/// A layout of the messages which can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// opentelemetry-proto v1.8.
    V1_8,
    /// opentelemetry-proto v1.9.
    V1_9,
    /// opentelemetry-proto v1.10 and v1.11.
    V1_10,
}

impl Revision {
    /// For logs and metrics: `v1.10`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_8 => "v1.8",
            Self::V1_9 => "v1.9",
            Self::V1_10 => "v1.10",
        }
    }

    /// The field numbers that differ between these revisions.
    pub(super) fn layout(self) -> Layout {
        let old = Layout {
            profile_id: 8,
            profile_attributes: 12,
            sample_values: 2,
            sample_attributes: 3,
            sample_link: 4,
        };
        match self {
            Self::V1_8 => old,
            Self::V1_9 => Layout { profile_id: 7, profile_attributes: 11, ..old },
            Self::V1_10 => Layout {
                profile_id: 7,
                profile_attributes: 11,
                sample_values: 4,
                sample_attributes: 2,
                sample_link: 3,
            },
        }
    }
}

/// The field numbers that differ between the revisions which can be decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) profile_id: u32,
    pub(super) profile_attributes: u32,
    pub(super) sample_values: u32,
    pub(super) sample_attributes: u32,
    pub(super) sample_link: u32,
}

const VARINT: u8 = 1;
const FIXED64: u8 = 2;
const BYTES: u8 = 4;

/// Which wire types occurred for each field number below 32.
#[derive(Clone, Copy, Debug, Default)]
struct Seen([u8; 32]);

impl Seen {
    fn add(&mut self, number: u32, value: Value<'_>) {
        let kind = match value {
            Value::Varint(_) => VARINT,
            Value::Fixed64(_) => FIXED64,
            Value::Bytes(_) => BYTES,
            Value::Fixed32(_) => 8,
        };
        if let Some(kinds) = self.0.get_mut(number as usize) {
            *kinds |= kind;
        }
    }

    fn has(&self, number: usize, kind: u8) -> bool {
        self.0[number] & kind != 0
    }

    fn has_any(&self, number: usize) -> bool {
        self.0[number] != 0
    }
}

/// What the fields of a request say; each entry is the evidence, if there is any.
#[derive(Debug, Default)]
struct Evidence {
    ancient: Option<(&'static str, &'static str)>,
    v1_7: Option<&'static str>,
    v1_8_or_newer: Option<&'static str>,
    v1_8: Option<&'static str>,
    v1_9_or_newer: Option<&'static str>,
    old_sample: Option<&'static str>,
    new_sample: Option<&'static str>,
    weak_old_sample: Option<&'static str>,
    weak_new_sample: Option<&'static str>,
}

/// The top level of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'r, 'a> {
    pub(super) resource_profiles: &'r [&'a [u8]],
    pub(super) dictionary: &'r [&'a [u8]],
    /// Whether one of the fields 3 to 8 occurs.
    pub(super) has_tables: bool,
}

/// Decides the revision of a request.
pub(super) fn detect(request: Request<'_, '_>) -> Result<Revision, DecodeError> {
    let mut evidence = Evidence::default();
    if request.has_tables {
        evidence.ancient = Some(("v1.6", "the tables are fields 3 to 8 of the request"));
    }
    let attributes = scan_dictionary(request.dictionary, &mut evidence);
    let has_dictionary = !request.dictionary.is_empty();
    for resource in request.resource_profiles {
        each_message(resource, 2, |scope| {
            each_message(scope, 2, |profile| {
                scan_profile(profile, has_dictionary, attributes, &mut evidence)
            });
        });
    }
    evidence.verdict()
}

impl Evidence {
    fn verdict(self) -> Result<Revision, DecodeError> {
        if let Some((found, evidence)) = self.ancient {
            return Err(DecodeError::Revision { found, evidence });
        }
        match (self.v1_7, self.v1_8_or_newer) {
            (Some(one), Some(other)) => return Err(DecodeError::MixedRevisions { one, other }),
            (Some(evidence), None) => return Err(DecodeError::Revision { found: "v1.7", evidence }),
            _ => {}
        }
        match (self.v1_8, self.v1_9_or_newer.or(self.new_sample)) {
            (Some(one), Some(other)) => return Err(DecodeError::MixedRevisions { one, other }),
            (Some(_), None) => return Ok(Revision::V1_8),
            _ => {}
        }
        match (self.old_sample, self.new_sample) {
            (Some(one), Some(other)) => Err(DecodeError::MixedRevisions { one, other }),
            (Some(_), None) => Ok(Revision::V1_9),
            (None, Some(_)) => Ok(Revision::V1_10),
            (None, None) if self.weak_old_sample.is_some() && self.weak_new_sample.is_none() => {
                Ok(Revision::V1_9)
            }
            (None, None) => Ok(Revision::V1_10),
        }
    }
}

/// Calls `each` with every message of field `number`; stops at the first malformed field, which
/// the decoder reports.
fn each_message<'a>(bytes: &'a [u8], number: u32, mut each: impl FnMut(&'a [u8])) {
    let mut reader = Reader::new(bytes);
    while let Ok(Some((found, value))) = reader.field() {
        if let (true, Value::Bytes(bytes)) = (found == number, value) {
            each(bytes);
        }
    }
}

fn seen(bytes: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        seen.add(number, value);
    }
    seen
}

/// Looks at the dictionary's attribute and stack tables; returns how many attributes there are.
fn scan_dictionary(dictionary: &[&[u8]], evidence: &mut Evidence) -> usize {
    let mut attributes = 0;
    for part in dictionary {
        each_message(part, 6, |attribute| {
            attributes += 1;
            let seen = seen(attribute);
            if seen.has(1, BYTES) {
                evidence.v1_7 = Some("an attribute_table entry has its key inline");
            } else if seen.has(1, VARINT) || seen.has_any(3) {
                evidence.v1_8_or_newer = Some("attribute_table refers to keys by index");
            }
        });
        each_message(part, 7, |stack| {
            let mut reader = Reader::new(stack);
            match reader.field() {
                Ok(Some((2, Value::Varint(_)))) => {
                    evidence.v1_7 = Some("dictionary field 7 has attribute units")
                }
                Ok(Some((1, Value::Bytes(_)))) => {
                    evidence.v1_8_or_newer = Some("dictionary field 7 has stacks");
                }
                _ => {}
            }
        });
    }
    attributes
}

fn scan_profile(bytes: &[u8], has_dictionary: bool, attributes: usize, evidence: &mut Evidence) {
    let mut seen = Seen::default();
    let mut odd_profile_id = false;
    let mut empty_profile_id = false;
    let mut temporality = false;
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        seen.add(number, value);
        match (number, value) {
            (2, Value::Bytes(sample)) if has_dictionary => scan_sample(sample, attributes, evidence),
            (1 | 5, Value::Bytes(value_type)) => temporality |= self::seen(value_type).has(3, VARINT),
            (7, Value::Bytes(id)) => {
                empty_profile_id |= id.is_empty();
                odd_profile_id |= !matches!(id.len(), 0 | 16);
            }
            _ => {}
        }
    }
    if seen.has(2, FIXED64)
        || (!has_dictionary && seen.has(8, BYTES) && !seen.has(10, BYTES) && !seen.has(2, BYTES))
    {
        evidence.ancient = Some(("v1.3", "profiles are wrapped in containers"));
    } else if !has_dictionary && [3, 4, 6, 10].iter().any(|&number| seen.has(number, BYTES)) {
        evidence.ancient = Some(("v1.4 or v1.5", "each profile has its own tables"));
    }
    if seen.has(3, BYTES) {
        evidence.v1_7 = Some("Profile field 3 is a list (location_indices)");
    } else if seen.has(5, VARINT) || seen.has(6, BYTES) {
        evidence.v1_7 = Some("Profile fields 5 and 6 are the duration and the period type");
    }
    if seen.has(3, FIXED64) || seen.has(5, BYTES) || seen.has(6, VARINT) {
        evidence.v1_8_or_newer =
            Some("Profile fields 3, 5 and 6 are the time, the period type and the period");
    }
    if evidence.v1_7.is_some() {
        return;
    }
    if seen.has(8, BYTES) || seen.has(9, VARINT) || seen.has(12, BYTES) {
        evidence.v1_8 = Some("Profile fields 8, 9 and 12 are profile_id, a count and attribute_indices");
    } else if temporality {
        evidence.v1_8 = Some("a ValueType has an aggregation_temporality");
    } else if odd_profile_id || (seen.has_any(10) && !seen.has(9, BYTES)) {
        evidence.v1_8 = Some("Profile fields 7 and 10 are comments and original_payload_format");
    }
    if seen.has(8, VARINT)
        || seen.has(9, BYTES)
        || empty_profile_id
        || (seen.has(11, BYTES) && !seen.has_any(10))
    {
        evidence.v1_9_or_newer =
            Some("Profile fields 7, 8, 9 and 11 are profile_id, a count, a format and attributes");
    }
}

/// Tells the sample layout of v1.8 and v1.9 (values 2, attributes 3, link 4) from that of v1.10
/// (attributes 2, link 3, values 4).
fn scan_sample(bytes: &[u8], attributes: usize, evidence: &mut Evidence) {
    let mut seen = Seen::default();
    let mut second = Vec::new();
    let mut timestamps = 0;
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        seen.add(number, value);
        let listed = match number {
            2 if second.len() <= 64 => value.ints("field 2", |index| second.push(index)),
            5 => value.fixed64s("timestamps_unix_nano", |_| timestamps += 1),
            _ => Ok(()),
        };
        if listed.is_err() {
            return;
        }
    }
    if seen.has_any(6) {
        evidence.v1_7 = Some("Sample field 6 is present (timestamps)");
    } else if seen.has(3, BYTES) || seen.has(4, VARINT) {
        evidence.old_sample = Some("Sample fields 3 and 4 are attributes and a link");
    } else if seen.has(3, VARINT) || seen.has(4, BYTES) {
        evidence.new_sample = Some("Sample fields 3 and 4 are a link and values");
    } else if !second.is_empty() {
        let impossible =
            |index: i64| usize::try_from(index).map_or(true, |index| index == 0 || index >= attributes);
        let repeated = second.iter().enumerate().any(|(at, index)| second[..at.min(64)].contains(index));
        if timestamps == 0 || repeated || second.iter().any(|&index| impossible(index)) {
            evidence.weak_old_sample = Some("Sample field 2 has values");
        } else if second.len() != timestamps {
            evidence.weak_new_sample = Some("Sample field 2 has attributes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    /// A request with one profile and one attribute-table entry.
    fn check(fields: impl Fn(&mut Writer), attribute: Option<&[u8]>) -> String {
        let mut profile = Writer::default();
        fields(&mut profile);
        let mut resource = Writer::default();
        resource.message(2, |scope| scope.bytes_always(2, profile.as_bytes()));
        let mut dictionary = Writer::default();
        attribute.inspect(|bytes| (0..3).for_each(|_| dictionary.bytes_always(6, bytes)));
        let dictionary: &[&[u8]] = if attribute.is_some() { &[dictionary.as_bytes()] } else { &[] };
        let resource_profiles = &[resource.as_bytes()][..];
        match detect(Request { resource_profiles, dictionary, has_tables: false }) {
            Ok(revision) => revision.name().to_owned(),
            Err(DecodeError::Revision { found, .. }) => format!("refused {found}"),
            Err(DecodeError::MixedRevisions { .. }) => "mixed".to_owned(),
            Err(other) => other.to_string(),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn the_revision_follows_from_the_fields() {
        type Fields = fn(&mut Writer);
        fn sample(profile: &mut Writer, fields: Fields) { profile.message(2, fields); }
        let key_index: Option<&[u8]> = Some(&[0x08, 1]);
        let key_inline: Option<&[u8]> = Some(&[0x0a, 1, b'k']);
        let cases: [(&str, Fields, Option<&[u8]>, &str); 14] = [
            ("container",            |p| p.fixed64(2, 9),                                 None,       "refused v1.3"),
            ("own string table",     |p| p.bytes(10, b"cpu"),                             None,       "refused v1.4 or v1.5"),
            ("location indices",     |p| p.packed_ints(3, [1, 2]),                        key_inline, "refused v1.7"),
            ("inline keys",          |_| (),                                              key_inline, "refused v1.7"),
            ("inline keys, time",    |p| p.fixed64(3, 9),                                 key_inline, "mixed"),
            ("profile_id at 8",      |p| p.bytes(8, &[1; 16]),                            key_index,  "v1.8"),
            ("attributes at 3",      |p| sample(p, |s| s.packed_ints(3, [1])),            key_index,  "v1.9"),
            ("link at 3",            |p| sample(p, |s| s.uint(3, 1)),                     key_index,  "v1.10"),
            ("values at 4",          |p| sample(p, |s| s.packed_ints(4, [1])),            key_index,  "v1.10"),
            ("values at 2 alone",    |p| sample(p, |s| s.packed_ints(2, [1])),            key_index,  "v1.9"),
            ("values beyond table",  |p| sample(p, |s| { s.packed_ints(2, [99]); s.packed_fixed64s(5, &[7]) }), key_index, "v1.9"),
            ("attributes and time",  |p| sample(p, |s| { s.packed_ints(2, [1, 2]); s.packed_fixed64s(5, &[7]) }), key_index, "v1.10"),
            ("only timestamps",      |p| sample(p, |s| s.packed_fixed64s(5, &[7])),       key_index,  "v1.10"),
            ("old id, new sample",   |p| { p.bytes(8, &[1; 16]); sample(p, |s| s.uint(3, 1)) }, key_index, "mixed"),
        ];
        for (case, fields, attribute, want) in cases {
            assert_eq!(check(fields, attribute), want, "{case}");
        }
    }
}
