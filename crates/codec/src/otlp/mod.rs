//! OTLP profiles: requests and responses of OpenTelemetry's `ProfilesService`.
//!
//! ```text
//! bytes ─▶ top level ─▶ detect ─▶ layout ─┐
//!            │ dictionary tables ─────────┴▶ decode, profile by profile ─▶ ProfileBatch + rejected
//! JSON ──▶ the same bytes ──▲
//! ProfileBatch ─▶ encode ─▶ bytes (v1.10, inline attribute keys)
//! ```
//!
//! The messages changed field numbers six times, five of them under one package name, so a request
//! of another revision often parses without an error and means something else. [`decode_request`]
//! therefore decides the revision from the bytes first and then reads v1.3 to v1.11 through one
//! visitor over field tables ([`Revision`] lists the distinct layouts).
//!
//! One bad profile does not fail its siblings: it is listed in [`Decoded::rejected`], which a
//! server reports as `partial_success`.
//!
//! Reference: `opentelemetry/proto/profiles/v1development/profiles.proto` and
//! `collector/profiles/v1development/profiles_service.proto`, tags v1.3.0 to v1.11.0.

mod attributes;
mod decode;
mod detect;
mod encode;
mod json;
mod json_detect;
mod json_fields;
mod layout;
mod response;
mod tables;

use hearth_profile::ProfileBatch;

pub use decode::decode_request;
pub use encode::encode_request;
pub use json::decode_request_json;
pub use layout::Revision;
pub use response::{PartialSuccess, decode_response, encode_response, encode_response_json};

use crate::{LimitExceeded, wire::WireError};

/// A decoded request.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The profiles, one [`hearth_profile::ResourceProfiles`] per resource and scope.
    pub batch: ProfileBatch,
    /// The layout the request had.
    pub revision: Revision,
    /// The profiles that could not be decoded.
    pub rejected: Vec<Rejected>,
}

impl Decoded {
    /// What to answer the sender.
    pub fn partial_success(&self) -> PartialSuccess {
        let mut error_message = String::new();
        for (index, rejected) in self.rejected.iter().enumerate().take(10) {
            error_message += if index > 0 { "; " } else { "" };
            error_message += &rejected.to_string();
        }
        if self.rejected.len() > 10 {
            error_message += &format!("; and {} more", self.rejected.len() - 10);
        }
        PartialSuccess { rejected_profiles: self.rejected.len() as i64, error_message }
    }
}

/// A profile that could not be decoded, by its place in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Index in `resource_profiles`.
    pub resource: usize,
    /// Index in its `scope_profiles`.
    pub scope: usize,
    /// Index in its `profiles`.
    pub profile: usize,
    /// How many samples are lost with it.
    pub samples: usize,
    /// Why.
    pub reason: String,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resource, scope, profile, reason, .. } = self;
        write!(f, "resource_profiles[{resource}].scope_profiles[{scope}].profiles[{profile}]: {reason}")
    }
}

/// Why a request or response as a whole cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is too large: the sender may split it.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// It is no protobuf message.
    #[error("malformed request: {0}")]
    Wire(#[from] WireError),
    /// It contradicts itself about its layout.
    #[error(
        "the request mixes revisions of OTLP profiles: {one}, but {other}; send profiles of one revision \
         in one request"
    )]
    MixedRevisions {
        /// One piece of evidence.
        one: &'static str,
        /// What contradicts it.
        other: &'static str,
    },
    /// It is not JSON, or not the JSON of this message.
    #[error("invalid JSON: {0}")]
    Json(#[from] serde_json::Error),
}
