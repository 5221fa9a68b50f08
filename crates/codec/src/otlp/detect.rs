//! Which revision of the messages a request has, decided from its bytes.
//!
//! Path, content type and user agent say nothing: all revisions share them. What tells is which
//! field numbers occur with which wire type. Each rule below is a fact about one revision's field
//! table; where a request's fields mean the same in two revisions, the newer one is taken. The whole
//! request votes: evidence of two revisions is an error, never a guess.

use crate::wire::{Reader, Value};

use super::{DecodeError, Revision};

const VARINT: u8 = 1;
const FIXED64: u8 = 2;
const BYTES: u8 = 4;

/// How many elements of a list are compared with each other.
const REPEATS_MAX: usize = 64;

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
    v1_3: Option<&'static str>,
    v1_4: Option<&'static str>,
    v1_6: Option<&'static str>,
    /// Of v1.7 or, where the tables are elsewhere, v1.6.
    v1_7: Option<&'static str>,
    v1_8_or_newer: Option<&'static str>,
    v1_8: Option<&'static str>,
    v1_9_or_newer: Option<&'static str>,
    old_sample: Option<&'static str>,
    new_sample: Option<&'static str>,
    weak_old_sample: bool,
    weak_new_sample: bool,
    /// A sample has field 2 and no other field that tells layouts apart.
    undecided_sample: bool,
}

/// The top level of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'r, 'a> {
    pub(super) resource_profiles: &'r [&'a [u8]],
    /// Field 2: the dictionary, or a table of v1.6.
    pub(super) dictionary: &'r [&'a [u8]],
    /// Whether one of the fields 3 to 8 occurs.
    pub(super) has_tables: bool,
}

impl<'a> Request<'_, 'a> {
    fn each_profile(self, mut each: impl FnMut(&'a [u8])) {
        for resource in self.resource_profiles {
            each_message(resource, 2, |scope| each_message(scope, 2, &mut each));
        }
    }

    fn each_entry(self, table: u32, mut each: impl FnMut(&'a [u8])) {
        self.dictionary.iter().for_each(|part| each_message(part, table, &mut each));
    }
}

/// Decides the revision of a request.
pub(super) fn detect(request: Request<'_, '_>) -> Result<Revision, DecodeError> {
    let mut evidence = Evidence::default();
    let mut attributes = 0;
    if request.has_tables {
        evidence.v1_6 = Some("the tables are fields 3 to 8 of the request");
    } else {
        attributes = scan_dictionary(request, &mut evidence);
    }
    let has_dictionary = request.has_tables || !request.dictionary.is_empty();
    request.each_profile(|profile| scan_profile(profile, has_dictionary, attributes, &mut evidence));
    evidence.verdict(request, attributes)
}

impl Evidence {
    fn verdict(self, request: Request<'_, '_>, attributes: usize) -> Result<Revision, DecodeError> {
        let mixed = |one, other| Err(DecodeError::MixedRevisions { one, other });
        match (self.v1_3.or(self.v1_4), self.v1_7.or(self.v1_8_or_newer).or(self.v1_6)) {
            (Some(one), Some(other)) => return mixed(one, other),
            (Some(_), None) => {}
            (None, _) => {
                return match (self.v1_6.or(self.v1_7), self.v1_8_or_newer) {
                    (Some(one), Some(other)) => mixed(one, other),
                    (Some(_), None) if self.v1_6.is_some() => Ok(Revision::V1_6),
                    (Some(_), None) => Ok(Revision::V1_7),
                    _ => self.verdict_since_v1_8(request, attributes),
                };
            }
        }
        match (self.v1_3, self.v1_4) {
            (Some(one), Some(other)) => mixed(one, other),
            (Some(_), None) => Ok(Revision::V1_3),
            _ => Ok(Revision::V1_4),
        }
    }

    fn verdict_since_v1_8(
        self,
        request: Request<'_, '_>,
        attributes: usize,
    ) -> Result<Revision, DecodeError> {
        let mixed = |one, other| Err(DecodeError::MixedRevisions { one, other });
        match (self.v1_8, self.v1_9_or_newer.or(self.new_sample)) {
            (Some(one), Some(other)) => return mixed(one, other),
            (Some(_), None) => return Ok(Revision::V1_8),
            _ => {}
        }
        match (self.old_sample, self.new_sample) {
            (Some(one), Some(other)) => mixed(one, other),
            (Some(_), None) => Ok(Revision::V1_9),
            (None, Some(_)) => Ok(Revision::V1_10),
            (None, None) if self.weak_old_sample => Ok(Revision::V1_9),
            (None, None) if self.weak_new_sample || !self.undecided_sample => Ok(Revision::V1_10),
            (None, None) => Ok(by_attributes(request, attributes)),
        }
    }
}

/// Decides whether field 2 of the samples, which is all they have beside stack and timestamps,
/// holds attributes (v1.10) or values (v1.9): attributes have distinct keys, and an attribute that
/// nothing else refers to was put into the table for a sample.
fn by_attributes(request: Request<'_, '_>, attributes: usize) -> Revision {
    let mut keys = Vec::with_capacity(attributes);
    request.each_entry(6, |entry| {
        let mut key = 0;
        each_field(entry, |number, value| {
            if let (1, Value::Varint(index)) = (number, value) {
                key = index;
            }
        });
        keys.push(key);
    });
    let mut elsewhere = vec![false; attributes];
    let mut by_samples = vec![false; attributes];
    let mut mark = |list: Value<'_>| {
        let _ = list.ints("attribute_indices", |index| {
            usize::try_from(index)
                .ok()
                .and_then(|index| elsewhere.get_mut(index))
                .into_iter()
                .for_each(|used| *used = true);
        });
    };
    for (table, list) in [(1, 5), (2, 4)] {
        request.each_entry(table, |entry| {
            each_field(entry, |number, value| {
                if number == list {
                    mark(value)
                }
            });
        });
    }
    let mut repeats_a_key = false;
    request.each_profile(|profile| {
        each_field(profile, |number, value| match (number, value) {
            (11, value) => mark(value),
            (2, Value::Bytes(sample)) => each_field(sample, |number, value| {
                let mut seen: Vec<u64> = Vec::new();
                let _ = value.ints("field 2", |index| {
                    let Some(index) = usize::try_from(index).ok().filter(|_| number == 2) else { return };
                    let Some((key, used)) = keys.get(index).zip(by_samples.get_mut(index)) else { return };
                    *used = true;
                    repeats_a_key |= seen.contains(key);
                    if seen.len() < REPEATS_MAX {
                        seen.push(*key);
                    }
                });
            }),
            _ => {}
        });
    });
    let for_samples = (1..attributes).any(|index| !elsewhere[index]);
    if repeats_a_key || (!for_samples && by_samples.contains(&true)) {
        return Revision::V1_9;
    }
    Revision::V1_10
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

/// Calls `each` with every field, as [`each_message`] does.
fn each_field<'a>(bytes: &'a [u8], mut each: impl FnMut(u32, Value<'a>)) {
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        each(number, value);
    }
}

fn seen(bytes: &[u8]) -> Seen {
    let mut seen = Seen::default();
    each_field(bytes, |number, value| seen.add(number, value));
    seen
}

/// Looks at the dictionary's attribute and stack tables; returns how many attributes there are.
fn scan_dictionary(request: Request<'_, '_>, evidence: &mut Evidence) -> usize {
    let mut attributes = 0;
    request.each_entry(6, |attribute| {
        attributes += 1;
        let seen = seen(attribute);
        if seen.has(1, BYTES) {
            evidence.v1_7 = Some("an attribute_table entry has its key inline");
        } else if seen.has(1, VARINT) || seen.has_any(3) {
            evidence.v1_8_or_newer = Some("attribute_table refers to keys by index");
        }
    });
    request.each_entry(7, |stack| {
        let seen = seen(stack);
        if seen.has(2, VARINT) {
            evidence.v1_7 = Some("dictionary field 7 has attribute units");
        } else if seen.has(1, BYTES) {
            evidence.v1_8_or_newer = Some("dictionary field 7 has stacks");
        }
    });
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
        evidence.v1_3 = Some("profiles are wrapped in containers");
        return;
    }
    let own_tables = [3, 4, 6, 10].iter().any(|&number| seen.has(number, BYTES));
    if !has_dictionary && own_tables && !seen.has(3, FIXED64) {
        evidence.v1_4 = Some("each profile has its own tables");
        return;
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
    let mut second: Vec<i64> = Vec::new();
    let (mut seconds, mut timestamps, mut thirds) = (0_usize, 0_usize, 0_usize);
    let (mut impossible, mut repeated) = (false, false);
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        seen.add(number, value);
        let listed = match (number, value) {
            (2, _) => value.ints("field 2", |index| {
                seconds += 1;
                impossible |= usize::try_from(index).map_or(true, |index| index == 0 || index >= attributes);
                repeated |= second.contains(&index);
                if second.len() < REPEATS_MAX {
                    second.push(index);
                }
            }),
            (5, _) => value.fixed64s("timestamps_unix_nano", |_| timestamps += 1),
            (3, Value::Varint(_)) => {
                thirds += 1;
                Ok(())
            }
            _ => Ok(()),
        };
        if listed.is_err() {
            return;
        }
    }
    if seen.has_any(6) {
        evidence.v1_7 = Some("Sample field 6 is present (timestamps)");
    } else if seen.has(3, BYTES) || seen.has(4, VARINT) || thirds > 1 {
        evidence.old_sample = Some("Sample fields 3 and 4 are attributes and a link");
    } else if seen.has(3, VARINT) || seen.has(4, BYTES) {
        evidence.new_sample = Some("Sample fields 3 and 4 are a link and values");
    } else if seconds > 0 {
        evidence.undecided_sample = true;
        // v1.9 wants as many values as timestamps, or no timestamps; v1.10 wants either of them.
        let differ = timestamps != 0 && seconds != timestamps;
        evidence.weak_new_sample |= differ;
        evidence.weak_old_sample |= !differ && (timestamps == 0 || impossible || repeated);
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
            ("container",            |p| p.fixed64(2, 9),                                 None,       "v1.3"),
            ("own string table",     |p| p.bytes(10, b"cpu"),                             None,       "v1.4"),
            ("location indices",     |p| p.packed_ints(3, [1, 2]),                        key_inline, "v1.7"),
            ("inline keys",          |_| (),                                              key_inline, "v1.7"),
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
