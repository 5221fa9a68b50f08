//! How much a decoder takes from one message before it refuses.

/// Bounds of what one decoded message may hold.
///
/// The defaults admit what agents and SDKs send with a wide margin and keep the memory that one
/// hostile message can take to a small multiple of `max_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the message, after decompression. Default 64 MiB.
    pub max_bytes: usize,
    /// Samples of all profiles together. Default 1,000,000.
    pub max_samples: usize,
    /// Locations of one stack. Default 2,048.
    pub max_depth: usize,
    /// Entries of one table: strings, functions, mappings, locations, stacks, links, attributes.
    /// Default 4,000,000.
    pub max_table: usize,
    /// Attributes of one resource, scope, profile or sample. Default 256.
    pub max_attributes: usize,
    /// Bytes of all attributes together after each reference became a copy. Default 256 MiB.
    pub max_attribute_bytes: usize,
    /// Profiles of all resources together. Default 100,000.
    pub max_profiles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_samples: 1_000_000,
            max_depth: 2_048,
            max_table: 4_000_000,
            max_attributes: 256,
            max_attribute_bytes: 256 << 20,
            max_profiles: 100_000,
        }
    }
}

/// A message holds more than [`Limits`] admits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {got} exceeds the limit of {limit}")]
pub struct LimitExceeded {
    /// What there is too much of.
    pub what: &'static str,
    /// How much there is, at least.
    pub got: usize,
    /// How much there may be.
    pub limit: usize,
}

/// Checks `got` of `what` against `limit`.
pub(crate) fn within(what: &'static str, got: usize, limit: usize) -> Result<(), LimitExceeded> {
    if got > limit { Err(LimitExceeded { what, got, limit }) } else { Ok(()) }
}
