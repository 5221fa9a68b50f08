//! pprof: `google.v1.Profile`, what `go tool pprof`, Pyroscope's SDKs and `SelectMergeProfile` use.
//!
//! One pprof profile has any number of value columns over one set of samples; one of our profiles
//! has one. [`encode`] joins profiles into columns, [`decode`] splits columns into profiles.
//!
//! Reference: `proto/profile.proto` of google/pprof.

mod decode;
mod encode;
mod subtract;

use std::borrow::Cow;
use std::io::{Read, Write};

pub use decode::{Decoded, decode, decode_what_fits};
pub use encode::{encode, encode_merged};
pub use subtract::subtract;

use crate::limits::within;
use crate::wire::WireError;
use crate::{LimitExceeded, Limits};

/// Why bytes are no pprof profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is too large.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The gzip stream is broken.
    #[error("broken gzip stream: {0}")]
    Gzip(String),
    /// It is no protobuf message; old profiles in text or binary form are not supported.
    #[error("no pprof profile: {0}")]
    Wire(#[from] WireError),
    /// A field refers to something that is not there.
    #[error("{field} is {value}; {expected}")]
    Reference {
        /// Message and field.
        field: &'static str,
        /// Its value.
        value: i64,
        /// What it may be.
        expected: String,
    },
}

/// Compresses an encoded profile, as files named `.pb.gz` hold it.
pub fn gzip(profile: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to a vector cannot fail; if it did, the bytes as they are would be a valid profile.
    match encoder.write_all(profile).and_then(|()| encoder.finish()) {
        Ok(bytes) => bytes,
        Err(_) => profile.to_vec(),
    }
}

/// The profile's plain bytes, whether it is gzip-compressed or not; at most `limits.max_bytes`.
///
/// # Errors
///
/// If the gzip stream is broken or the profile is larger.
pub fn plain<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, Error> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return gunzip(bytes, limits).map(Cow::Owned);
    }
    within("bytes", bytes.len(), limits.max_bytes)?;
    Ok(Cow::Borrowed(bytes))
}

/// Decompresses gzip into at most `limits.max_bytes`.
fn gunzip(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    let bound = limits.max_bytes as u64 + 1;
    let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(bound);
    reader.read_to_end(&mut plain).map_err(|error| Error::Gzip(error.to_string()))?;
    within("decompressed bytes", plain.len(), limits.max_bytes)?;
    Ok(plain)
}
