//! Pyroscope's API messages: `querier.v1`, `push.v1`, `types.v1`, `debuginfo.v1alpha1` and
//! `google.v1.Profile`.
//!
//! Each struct is one message and knows both encodings of the Connect protocol: protobuf through
//! [`prost::Message`] and JSON through [`from_json`] and [`to_json`], which follow protobuf's JSON
//! mapping: lowerCamel names (the original names are read too), 64-bit integers written as strings
//! and read as strings or numbers, bytes as base64, fields of value zero left out, `null` the same
//! as absent, unknown fields and unknown enum names ignored.

#[macro_use]
mod json;
pub mod capabilities;
pub mod debuginfo;
pub mod google;
pub mod parca;
pub mod push;
pub mod querier;
pub mod types;
pub mod version;

pub use json::{JsonError, from_json, to_json};
