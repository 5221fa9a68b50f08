//! Profiles in motion: what a sampler makes, a codec carries and a server ingests.

use crate::{Attributes, Dictionary, StackId, ValueType};

/// Profiles of any number of resources over one dictionary.
#[derive(Clone, Debug, Default)]
pub struct ProfileBatch {
    /// The tables which the samples index.
    pub dictionary: Dictionary,
    /// One entry per resource and scope.
    pub resources: Vec<ResourceProfiles>,
}

impl ProfileBatch {
    /// How many samples the batch carries, all profiles together; the Collector's "items".
    pub fn sample_count(&self) -> usize {
        self.profiles().map(|profile| profile.samples.len()).sum()
    }

    /// All profiles of all resources.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.resources.iter().flat_map(|resource| &resource.profiles)
    }
}

/// The profiles of one resource (a process, usually) as observed by one scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceProfiles {
    /// What was observed: `process.pid`, `service.name`, `container.id`, …
    pub resource: Attributes,
    /// Who observed it.
    pub scope: Scope,
    /// The profiles, one per sample type.
    pub profiles: Vec<Profile>,
}

/// The instrumentation scope: the program that took the samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Further facts.
    pub attributes: Attributes,
}

/// Samples of one type, over one stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// What [`Sample::value`] counts.
    pub sample_type: ValueType,
    /// What triggers a sample; empty if unknown.
    pub period_type: ValueType,
    /// How much of `period_type` lies between two samples; 0 if unknown.
    pub period: i64,
    /// Start of the stretch, nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Its length in nanoseconds; 0 if unknown.
    pub duration_nano: u64,
    /// An identity its maker gave, or zeros.
    pub profile_id: [u8; 16],
    /// Further facts.
    pub attributes: Attributes,
    /// The observations.
    pub samples: Vec<Sample>,
}

impl Profile {
    /// The sum of all values; saturates at the bounds of `i64`.
    pub fn total(&self) -> i64 {
        self.samples.iter().fold(0, |sum, sample| sum.saturating_add(sample.value))
    }
}

/// Observations of one stack with one set of attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The stack, in the batch's dictionary.
    pub stack: StackId,
    /// The sum over all observations, in the profile's `sample_type`.
    pub value: i64,
    /// When each observation was made, nanoseconds since the Unix epoch; empty if only the sum is
    /// known. If not empty, every observation has the same weight.
    pub timestamps_unix_nano: Vec<u64>,
    /// `thread.name`, `cpu.logical_number` and the like.
    pub attributes: Attributes,
    /// The span that was active.
    pub link: Option<Link>,
}

/// A span of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Link {
    /// W3C trace id.
    pub trace_id: [u8; 16],
    /// W3C span id.
    pub span_id: [u8; 8],
}
