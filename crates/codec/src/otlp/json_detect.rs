//! Which revision a JSON request has: names say it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::is_original;
use super::{DecodeError, Revision};

/// Decides the revision of a request.
pub(super) fn detect(text: &[u8]) -> Result<Revision, DecodeError> {
    let mut evidence = Evidence::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Probing { probes: REQUEST, evidence: &mut evidence }.deserialize(&mut deserializer)?;
    evidence.verdict()
}

/// The name that shows each fact, if one does.
#[derive(Default)]
struct Evidence([Option<&'static str>; 6]);

/// What a name shows.
#[derive(Clone, Copy)]
enum Fact {
    /// v1.3: a container.
    Container = 0,
    /// v1.4 or v1.5: a profile has tables.
    OwnTables = 1,
    /// v1.6: the dump has tables.
    TopTables = 2,
    /// v1.7 or older.
    Old = 3,
    /// v1.8 or newer.
    New = 4,
    /// v1.8 or older: the samples are called `sample`.
    Singular = 5,
}

use Fact::{Container, New, Old, OwnTables, Singular, TopTables};

impl Evidence {
    fn verdict(&self) -> Result<Revision, DecodeError> {
        let [container, own, top, old, new, singular] = self.0;
        let facts = [
            (container, Revision::V1_3),
            (own, Revision::V1_4),
            (top, Revision::V1_6),
            (new, if singular.is_some() { Revision::V1_8 } else { Revision::V1_10 }),
        ];
        let mut found = facts.iter().filter_map(|(name, revision)| Some(((*name)?, *revision)));
        match (found.next(), found.next()) {
            (Some((one, _)), Some((other, _))) => Err(DecodeError::MixedRevisions { one, other }),
            (Some((one, revision)), None) => match old {
                Some(other) if revision >= Revision::V1_8 => Err(DecodeError::MixedRevisions { one, other }),
                _ => Ok(revision),
            },
            (None, _) if old.is_some() => Ok(Revision::V1_7),
            (None, _) => Ok(Revision::V1_10),
        }
    }
}

/// A name, what it shows, what is below it.
struct Probe(&'static str, Option<Fact>, &'static &'static [Probe]);

static NOTHING: &[Probe] = &[];
static REQUEST: &[Probe] = &[
    Probe("resourceProfiles", None, &RESOURCE),
    Probe("dictionary", None, &DICTIONARY),
    Probe("mappingTable", Some(TopTables), &NOTHING),
    Probe("locationTable", Some(TopTables), &NOTHING),
    Probe("functionTable", Some(TopTables), &NOTHING),
    Probe("linkTable", Some(TopTables), &NOTHING),
    Probe("stringTable", Some(TopTables), &NOTHING),
    Probe("attributeTable", Some(TopTables), &NOTHING),
];
static DICTIONARY: &[Probe] = &[
    Probe("attributeTable", None, &ATTRIBUTE),
    Probe("attributeUnits", Some(Old), &NOTHING),
    Probe("stackTable", Some(New), &NOTHING),
];
static ATTRIBUTE: &[Probe] = &[Probe("key", Some(Old), &NOTHING), Probe("keyStrindex", Some(New), &NOTHING)];
static RESOURCE: &[Probe] = &[Probe("scopeProfiles", None, &SCOPE)];
static SCOPE: &[Probe] = &[Probe("profiles", None, &PROFILE)];
static PROFILE: &[Probe] = &[
    Probe("profile", Some(Container), &NOTHING),
    Probe("startTimeUnixNano", Some(Container), &NOTHING),
    Probe("stringTable", Some(OwnTables), &NOTHING),
    Probe("mappingTable", Some(OwnTables), &NOTHING),
    Probe("locationTable", Some(OwnTables), &NOTHING),
    Probe("functionTable", Some(OwnTables), &NOTHING),
    Probe("timeNanos", Some(Old), &NOTHING),
    Probe("durationNanos", Some(Old), &NOTHING),
    Probe("locationIndices", Some(Old), &NOTHING),
    Probe("timeUnixNano", Some(New), &NOTHING),
    Probe("durationNano", Some(New), &NOTHING),
    Probe("samples", None, &SAMPLE),
    Probe("sample", Some(Singular), &SAMPLE),
];
static SAMPLE: &[Probe] = &[
    Probe("locationsStartIndex", Some(Old), &NOTHING),
    Probe("locationsLength", Some(Old), &NOTHING),
    Probe("value", Some(Old), &NOTHING),
    Probe("stackIndex", Some(New), &NOTHING),
    Probe("values", Some(New), &NOTHING),
];

/// Looks at the names within a value; says whether the value is anything but `null`.
struct Probing<'e> {
    probes: &'static [Probe],
    evidence: &'e mut Evidence,
}

impl<'de> DeserializeSeed<'de> for Probing<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Probing<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Self { probes, evidence } = self;
        while list.next_element_seed(Probing { probes, evidence })?.is_some() {}
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let probe =
                self.probes.iter().find(|Probe(known, ..)| *known == name || is_original(known, &name));
            let Some(&Probe(name, fact, below)) = probe else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let is_there = map.next_value_seed(Probing { probes: below, evidence: self.evidence })?;
            if let Some(fact) = fact.filter(|_| is_there) {
                self.evidence.0[fact as usize] = Some(name);
            }
        }
        Ok(true)
    }
}
