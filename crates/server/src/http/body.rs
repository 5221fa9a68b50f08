//! Request and response bodies: bounded reading, decompression with a limit, compression.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a [`Budget`] counts in, bytes.
const BUDGET_UNIT: usize = 4_096;
/// Smallest response worth compressing.
const COMPRESS_BYTES_MIN: usize = 1024;

/// Why a request has no usable body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// More bytes than allowed, before or after decompression.
    #[error("the request body exceeds the limit of {limit} bytes{}", if *.decompressed { " after decompression" } else { "" })]
    TooLarge {
        /// The limit.
        limit: usize,
        /// Whether the compressed form was within it.
        decompressed: bool,
    },
    /// Too many requests are being received.
    #[error("the server holds as many bytes of requests as it may; retry later")]
    Busy,
    /// It did not arrive in time.
    #[error("the request body did not arrive within {seconds} s")]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke.
    #[error("reading the request body: {0}")]
    Broken(String),
    /// A compression nobody here knows.
    #[error("unsupported compression {0:?}; supported are gzip, zstd, deflate and identity")]
    Encoding(String),
    /// The compressed form is damaged.
    #[error("the request body is no valid {encoding}: {reason}")]
    Damaged {
        /// The compression.
        encoding: &'static str,
        /// What its decoder says.
        reason: String,
    },
}

/// How much memory all request bodies together may take while they arrive.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// The share of one body, given back when dropped.
pub(crate) type Share = Option<OwnedSemaphorePermit>;

impl Budget {
    /// A budget of this many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / BUDGET_UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// Reads a whole body of at most `limit` bytes within `timeout`.
    pub(crate) async fn read(
        &self,
        body: Body,
        limit: usize,
        timeout: Duration,
    ) -> Result<(Bytes, Share), BodyError> {
        let late = BodyError::Timeout { seconds: timeout.as_secs() };
        tokio::time::timeout(timeout, self.collect(body, limit)).await.unwrap_or(Err(late))
    }

    async fn collect(&self, body: Body, limit: usize) -> Result<(Bytes, Share), BodyError> {
        let mut body = Limited::new(body, limit);
        let mut collected = BytesMut::new();
        let mut share: Share = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    BodyError::TooLarge { limit, decompressed: false }
                } else {
                    BodyError::Broken(error.to_string())
                }
            })?;
            let Ok(data) = frame.into_data() else { continue };
            collected.extend_from_slice(&data);
            let held = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = (collected.len() / BUDGET_UNIT + 1).saturating_sub(held);
            let more = u32::try_from(more).map_err(|_| BodyError::Busy)?;
            let permit = self.0.clone().try_acquire_many_owned(more).map_err(|_| BodyError::Busy)?;
            match &mut share {
                Some(share) => share.merge(permit),
                None => share = Some(permit),
            }
        }
        Ok((collected.freeze(), share))
    }
}

/// Decompresses to at most `limit` bytes. `encoding` is a name of HTTP or gRPC.
pub(super) fn decompress(bytes: Bytes, encoding: Option<&str>, limit: usize) -> Result<Bytes, BodyError> {
    let name = encoding.unwrap_or("identity").trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" => Ok(bytes),
        "gzip" | "x-gzip" => bounded("gzip", MultiGzDecoder::new(&*bytes), limit),
        "deflate" => bounded("deflate", ZlibDecoder::new(&*bytes), limit),
        "zstd" => {
            let decoder = zstd::Decoder::new(&*bytes)
                .map_err(|error| BodyError::Damaged { encoding: "zstd", reason: error.to_string() })?;
            bounded("zstd", decoder, limit)
        }
        _ => Err(BodyError::Encoding(name.chars().take(40).collect())),
    }
}

fn bounded(encoding: &'static str, decoder: impl Read, limit: usize) -> Result<Bytes, BodyError> {
    let mut plain = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| BodyError::Damaged { encoding, reason: error.to_string() })?;
    if plain.len() > limit {
        return Err(BodyError::TooLarge { limit, decompressed: true });
    }
    Ok(plain.into())
}

/// Gzip, at a level that keeps up with a network.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len() / 3 + 64);
    match GzEncoder::new(bytes, Compression::new(4)).read_to_end(&mut packed) {
        Ok(_) => packed,
        // Reading from memory does not fail; an answer without compression would be wrong here.
        Err(_) => Vec::new(),
    }
}

/// Whether whoever asks takes gzip, and compressing is worth it.
pub(super) fn wants_gzip(headers: &HeaderMap, length: usize) -> bool {
    let accepted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let gzip = |choice: &str| {
        let mut parts = choice.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0"))
    };
    length >= COMPRESS_BYTES_MIN && accepted.split(',').map(str::trim).any(gzip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_share_one_budget() {
        let budget = Budget::new(3 * BUDGET_UNIT);
        let read = |length: usize, limit: usize| {
            budget.read(Body::from(vec![0; length]), limit, Duration::from_secs(5))
        };
        let (bytes, share) = read(2 * BUDGET_UNIT - 1, 1 << 20).await.unwrap();
        assert_eq!(bytes.len(), 2 * BUDGET_UNIT - 1);
        assert!(matches!(read(2 * BUDGET_UNIT, 1 << 20).await, Err(BodyError::Busy)));
        drop(share);
        assert!(read(2 * BUDGET_UNIT, 1 << 20).await.is_ok());
        assert!(matches!(read(100, 99).await, Err(BodyError::TooLarge { limit: 99, decompressed: false })));
    }

    #[test]
    fn compressed_bodies_are_bounded_by_what_they_become() {
        let plain = vec![7_u8; 100_000];
        let packed = Bytes::from(gzip(&plain));
        assert!(packed.len() < 1_000);
        assert_eq!(decompress(packed.clone(), Some("gzip"), 100_000).unwrap(), plain);
        let error = decompress(packed, Some("gzip"), 99_999).unwrap_err().to_string();
        assert!(error.contains("limit of 99999 bytes after decompression"), "{error}");
        let packed = Bytes::from(zstd::encode_all(&*plain, 1).unwrap());
        assert_eq!(decompress(packed, Some("zstd"), 100_000).unwrap(), plain);
        for (encoding, want) in
            [("br", "unsupported compression \"br\""), ("gzip", "no valid gzip"), ("zstd", "no valid zstd")]
        {
            let error =
                decompress(Bytes::from_static(b"nonsense"), Some(encoding), 100).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (accepted, want) in [("gzip, br", true), ("br;q=1, gzip;q=0.5", true), ("gzip;q=0", false), ("identity", false), ("", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
            assert_eq!(wants_gzip(&headers, 5_000), want, "{accepted}");
            assert!(!wants_gzip(&headers, 10));
        }
    }
}
