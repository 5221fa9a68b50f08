//! Remote procedure calls: gRPC, gRPC-Web and Connect, unary, over one dispatcher.
//!
//! All three carry one message to `/package.Service/Method` and one back; they differ in framing
//! and in where an error goes: trailers (gRPC), a last frame (gRPC-Web), or the HTTP status with a
//! JSON body (Connect). Handlers see bytes and the encoding of messages, nothing else.
//!
//! References: gRPC over HTTP2; PROTOCOL-WEB.md of gRPC; the Connect protocol, unary.

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use hearth_codec::text::to_base64;
use hearth_codec::wire::Writer;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};

use super::body::{self, BodyError};

/// gRPC's status codes, which Connect shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Canceled = 1,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::FailedPrecondition => "failed_precondition",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// The status of an HTTP response, as Connect maps it.
    pub(super) fn http(self) -> StatusCode {
        match self {
            Self::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
            Self::InvalidArgument | Self::FailedPrecondition => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct RpcError {
    /// The kind.
    pub code: Code,
    /// What is wrong, for people.
    pub message: String,
    /// After how many seconds the same request may succeed.
    pub retry_after: Option<u32>,
    /// Whether the request's body is too large, for which HTTP has a status of its own.
    pub too_large: bool,
}

/// Seconds to wait for a server that cannot answer now.
const RETRY_SECONDS: u32 = 5;

impl RpcError {
    /// An error with a message.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let retry_after = (code == Code::Unavailable).then_some(RETRY_SECONDS);
        Self { code, message: message.into(), retry_after, too_large: false }
    }

    /// Too much in too short a time: the same request may succeed after `seconds`.
    pub(super) fn slow_down(message: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(Code::ResourceExhausted, message) }
    }

    /// The status of an HTTP response.
    pub(super) fn http(&self) -> StatusCode {
        if self.too_large { StatusCode::PAYLOAD_TOO_LARGE } else { self.code.http() }
    }

    /// Says in an HTTP response when to try again, if that is known.
    pub(super) fn add_retry_after(&self, response: &mut Response) {
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    /// Adds the details of a `google.rpc.Status`: a `RetryInfo`, if it is known when to try again.
    pub(super) fn write_details(&self, status: &mut Writer) {
        if let Some(seconds) = self.retry_after {
            status.message(3, |any| {
                any.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
                any.message(2, |info| info.message(1, |delay| delay.uint(1, seconds.into())));
            });
        }
    }

    /// The error as an encoded `google.rpc.Status`, if that says more than code and message.
    fn details(&self) -> Option<HeaderValue> {
        self.retry_after?;
        let mut status = Writer::default();
        status.uint(1, self.code as u64);
        status.bytes(2, self.message.as_bytes());
        self.write_details(&mut status);
        let text = to_base64(status.as_bytes());
        HeaderValue::from_str(text.trim_end_matches('=')).ok()
    }

    /// The caller's fault.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }
}

impl From<BodyError> for RpcError {
    fn from(error: BodyError) -> Self {
        let too_large = matches!(error, BodyError::TooLarge { .. });
        let code = match error {
            BodyError::TooLarge { .. } => Code::ResourceExhausted,
            BodyError::Timeout { .. } => Code::DeadlineExceeded,
            BodyError::Busy => Code::Unavailable,
            BodyError::Broken(_) => Code::Canceled,
            BodyError::Encoding(_) => Code::Unimplemented,
            BodyError::Damaged { .. } => Code::InvalidArgument,
        };
        Self { too_large, ..Self::new(code, error.to_string()) }
    }
}

impl From<hearth_query::Error> for RpcError {
    fn from(error: hearth_query::Error) -> Self {
        let code = match error {
            hearth_query::Error::Selector(_) | hearth_query::Error::Range(_) => Code::InvalidArgument,
            hearth_query::Error::TooLarge { .. } => Code::ResourceExhausted,
            hearth_query::Error::Cancelled => Code::Canceled,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// How messages are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Protobuf.
    Proto,
    /// Protobuf's JSON mapping.
    Json,
}

/// How calls are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// gRPC.
    Grpc,
    /// gRPC-Web, binary.
    GrpcWeb,
    /// Connect, unary.
    Connect(Encoding),
}

impl Protocol {
    /// The protocol of a request by its content type.
    pub(super) fn detect(headers: &HeaderMap) -> Option<Self> {
        let media = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "application/grpc" | "application/grpc+proto" => Some(Self::Grpc),
            "application/grpc-web" | "application/grpc-web+proto" => Some(Self::GrpcWeb),
            "application/proto" => Some(Self::Connect(Encoding::Proto)),
            "application/json" => Some(Self::Connect(Encoding::Json)),
            _ => None,
        }
    }

    /// How messages are encoded.
    pub(super) fn encoding(self) -> Encoding {
        match self {
            Self::Connect(encoding) => encoding,
            Self::Grpc | Self::GrpcWeb => Encoding::Proto,
        }
    }

    /// The message within a request body. Decompresses, so it belongs on a blocking thread.
    pub(super) fn message(self, headers: &HeaderMap, bytes: Bytes, limit: usize) -> Result<Bytes, RpcError> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Self::Connect(_) => Ok(body::decompress(bytes, header("content-encoding"), limit)?),
            Self::Grpc | Self::GrpcWeb => unframe(bytes, header("grpc-encoding"), limit),
        }
    }

    /// The response to a call.
    pub(super) fn respond(self, headers: &HeaderMap, result: Result<Bytes, RpcError>) -> Response {
        match self {
            Self::Grpc => grpc(result),
            Self::GrpcWeb => grpc_web(result),
            Self::Connect(encoding) => connect(headers, encoding, result),
        }
    }
}

/// The only message of a gRPC request: flag, length, bytes.
fn unframe(bytes: Bytes, encoding: Option<&str>, limit: usize) -> Result<Bytes, RpcError> {
    let Some((&[flag, a, b, c, d], _)) = bytes.split_first_chunk::<5>() else {
        return Err(RpcError::invalid("the gRPC request has no message"));
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if bytes.len() - 5 != length {
        let message = format!("the gRPC message has {} bytes, its header says {length}", bytes.len() - 5);
        return Err(RpcError::invalid(message));
    }
    let message = bytes.slice(5..);
    match flag {
        0 => Ok(message),
        1 => Ok(body::decompress(message, Some(encoding.unwrap_or("gzip")), limit)?),
        _ => Err(RpcError::invalid(format!("unknown flag {flag} of a gRPC message"))),
    }
}

fn frame(flag: u8, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(flag);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// `grpc-status`, `grpc-message` and, where they say more, the details.
fn status(error: Option<&RpcError>) -> Vec<(HeaderName, HeaderValue)> {
    let code = error.map_or(0, |error| error.code as u16);
    let message = percent_encode(error.map_or("", |error| &error.message));
    let message = HeaderValue::from_str(&message).unwrap_or(HeaderValue::from_static(""));
    let mut trailers = vec![
        (HeaderName::from_static("grpc-status"), HeaderValue::from(code)),
        (HeaderName::from_static("grpc-message"), message),
    ];
    if let Some(details) = error.and_then(RpcError::details) {
        trailers.push((HeaderName::from_static("grpc-status-details-bin"), details));
    }
    trailers
}

/// Escapes what a header cannot carry, as gRPC wants it.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes().take(4_096) {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn grpc(result: Result<Bytes, RpcError>) -> Response {
    let mut response = match result {
        Ok(message) => {
            let trailers: HeaderMap = status(None).into_iter().collect();
            let body = Full::new(frame(0, &message)).with_trailers(async move { Some(Ok(trailers)) });
            Response::new(Body::new(body))
        }
        Err(error) => {
            let mut response = Response::new(Body::empty());
            response.headers_mut().extend(status(Some(&error)));
            response
        }
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn grpc_web(result: Result<Bytes, RpcError>) -> Response {
    let mut body = BytesMut::new();
    if let Ok(message) = &result {
        body.put_slice(&frame(0, message));
    }
    let mut trailers = Vec::new();
    for (name, value) in status(result.as_ref().err()) {
        trailers.extend_from_slice(format!("{name}: ").as_bytes());
        trailers.extend_from_slice(value.as_bytes());
        trailers.extend_from_slice(b"\r\n");
    }
    body.put_slice(&frame(0x80, &trailers));
    let mut response = Response::new(Body::from(body.freeze()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc-web+proto"));
    response
}

fn connect(headers: &HeaderMap, encoding: Encoding, result: Result<Bytes, RpcError>) -> Response {
    match result {
        Ok(message) => {
            let media = match encoding {
                Encoding::Proto => "application/proto",
                Encoding::Json => "application/json",
            };
            super::reply(headers, StatusCode::OK, media, message)
        }
        Err(error) => connect_error(headers, &error),
    }
}

/// An error as Connect sends it, whatever the encoding of messages.
pub(super) fn connect_error(headers: &HeaderMap, error: &RpcError) -> Response {
    let body = serde_json::json!({"code": error.code.name(), "message": error.message}).to_string();
    let mut response = super::reply(headers, error.http(), "application/json", body.into());
    error.add_retry_after(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_checked() {
        assert_eq!(unframe(frame(0, b"abc"), None, 10), Ok(Bytes::from_static(b"abc")));
        let packed = frame(1, &body::gzip(b"abc"));
        assert_eq!(unframe(packed, Some("gzip"), 10), Ok(Bytes::from_static(b"abc")));
        for (bytes, want) in
            [(&b"\0\0"[..], "no message"), (b"\0\0\0\0\x05abc", "has 3 bytes"), (b"\x07\0\0\0\0", "flag 7")]
        {
            let error = unframe(Bytes::copy_from_slice(bytes), None, 10).unwrap_err();
            assert!(error.message.contains(want), "{error}");
        }
        assert_eq!(percent_encode("100% ä\n"), "100%25 %C3%A4%0A");
    }
}
