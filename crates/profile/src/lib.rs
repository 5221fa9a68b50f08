//! The vocabulary of a profile, shared by agent, codecs, store and query.
//!
//! One model from the kernel's raw trace to the flame graph, so that no part translates another
//! part's idea of a stack:
//!
//! ```text
//! Dictionary (strings, functions, mappings, locations, stacks)
//!     ▲ indexed by
//! ProfileBatch ─▶ ResourceProfiles ─▶ Profile ─▶ Sample {stack, value}      agent, codec, ingest
//! Series {profile type, label set} ─▶ rows {stack, slot, value}            store, block
//! Tree (functions, self and total)                                          query, UI
//! ```
//!
//! # What this crate does not do
//!
//! It performs no I/O, holds no clock and knows neither a wire nor a disk format: those are
//! `hearth-codec` and `hearth-block`.
//!
//! # Terms
//!
//! *Stack*: leaf-first list of locations, stored as a node of a parent-pointer trie. *Path*: the
//! same, root-first. *Location*: an address in a mapping with one or more lines, innermost inlined
//! function first. `docs/glossary.md` has the rest.

mod attributes;
mod batch;
mod dictionary;
mod labels;
mod layer;
mod placeholder;
mod tree;
mod types;

pub use attributes::{AttributeValue, Attributes};
pub use batch::{Link, Profile, ProfileBatch, ResourceProfiles, Sample, Scope};
pub use dictionary::{
    Dictionary, FrameKind, Function, FunctionId, Line, Location, LocationId, Mapping, MappingId, Remap,
    StackId, StringId,
};
pub use labels::{LabelSet, LabelSetBuilder};
pub use layer::Layer;
pub use placeholder::{is_placeholder, unknown_address, unknown_function};
pub use tree::{NodeId, OTHER, Tree};
pub use types::{ProfileType, ProfileTypeError, ValueType};
