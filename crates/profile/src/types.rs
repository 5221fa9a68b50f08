//! Profile types: what a value counts and in which unit.

use std::fmt;
use std::str::FromStr;

/// What one value of a sample means: `cpu` in `nanoseconds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueType {
    /// What is counted: `samples`, `cpu`, `alloc_space`.
    pub name: String,
    /// Its unit: `count`, `nanoseconds`, `bytes`.
    pub unit: String,
}

impl ValueType {
    /// A value type from its two parts.
    pub fn new(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { name: name.into(), unit: unit.into() }
    }

    /// Whether neither part is set.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.unit.is_empty()
    }
}

/// The type of a profile, written `name:sample_type:sample_unit:period_type:period_unit`.
///
/// Parts may be empty but hold no colon; Pyroscope calls the text form the profile type ID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileType {
    /// The metric: `process_cpu`, `memory`.
    pub name: String,
    /// What a sample's value counts.
    pub sample: ValueType,
    /// What triggers a sample.
    pub period: ValueType,
}

impl ProfileType {
    /// CPU time in nanoseconds, as every CPU profiler's data is stored.
    pub fn process_cpu() -> Self {
        Self {
            name: "process_cpu".into(),
            sample: ValueType::new("cpu", "nanoseconds"),
            period: ValueType::new("cpu", "nanoseconds"),
        }
    }
}

impl fmt::Display for ProfileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, sample, period } = self;
        write!(f, "{name}:{}:{}:{}:{}", sample.name, sample.unit, period.name, period.unit)
    }
}

/// A text that is no profile type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "profile type {text:?} has {parts} parts; expected 5 separated by colons, \
     such as process_cpu:cpu:nanoseconds:cpu:nanoseconds"
)]
pub struct ProfileTypeError {
    /// The text as given.
    pub text: String,
    /// How many parts it has.
    pub parts: usize,
}

impl FromStr for ProfileType {
    type Err = ProfileTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split(':').collect();
        let &[name, sample, sample_unit, period, period_unit] = parts.as_slice() else {
            return Err(ProfileTypeError { text: text.chars().take(200).collect(), parts: parts.len() });
        };
        Ok(Self {
            name: name.into(),
            sample: ValueType::new(sample, sample_unit),
            period: ValueType::new(period, period_unit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_type_round_trips_through_its_text() {
        for text in ["process_cpu:cpu:nanoseconds:cpu:nanoseconds", "off_cpu:off_cpu:nanoseconds::", "::::"] {
            assert_eq!(text.parse::<ProfileType>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        assert!("process_cpu".parse::<ProfileType>().unwrap_err().to_string().contains("has 1 parts"));
    }
}
