//! `otlp_grpc`: sends profiles as OTLP over gRPC.
//!
//! The request is encoded by `hearth-codec`, so the channel carries raw bytes and needs no
//! generated code. Keys, defaults and the choice what is worth another attempt are the Collector's.

mod settings;
mod tls;

use std::error::Error as _;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use hearth_codec::otlp;
use hearth_profile::ProfileBatch;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use self::settings::{Compression, Settings};
use super::{Helper, SendError, Sender};
use crate::{BuildInfo, ComponentError, CreateExporter, Factory, Stability};

const EXPORT_PATH: &str = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";

/// `otlp_grpc`, formerly `otlp`.
pub(crate) fn factory() -> Factory<CreateExporter> {
    let configure = |section: &mut crate::decode::Section<'_, '_>| -> CreateExporter {
        let settings = Settings::read(section);
        Box::new(move |context| {
            let sender = GrpcSender {
                settings: settings.clone(),
                id: context.id.to_string(),
                build: context.build.clone(),
                client: OnceLock::new(),
            };
            Ok(Arc::new(Helper::new(sender, settings.helper.clone(), &context)))
        })
    };
    Factory { alias: Some("otlp"), ..Factory::new("otlp_grpc", Stability::Alpha, configure) }
}

struct GrpcSender {
    settings: Settings,
    id: String,
    build: BuildInfo,
    client: OnceLock<Client>,
}

#[derive(Clone)]
struct Client {
    channel: Channel,
    headers: MetadataMap,
    path: PathAndQuery,
}

impl GrpcSender {
    fn endpoint(&self) -> Result<Endpoint, ComponentError> {
        let settings = &self.settings;
        let scheme = if settings.uses_tls() { "https" } else { "http" };
        let invalid = |error: &dyn std::fmt::Display| {
            ComponentError::new(format!("endpoint {:?} cannot be used: {error}", settings.address()))
        };
        let uri = format!("{scheme}://{}", settings.address());
        let mut endpoint = Endpoint::from_shared(uri).map_err(|error| invalid(&error))?;
        let user_agent = if settings.user_agent.is_empty() {
            let arch = match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            };
            format!("{}/{} ({}/{arch})", self.build.description, self.build.version, std::env::consts::OS)
        } else {
            settings.user_agent.clone()
        };
        endpoint = endpoint.user_agent(user_agent).map_err(|error| {
            ComponentError::new(format!("user_agent cannot be sent as a header: {error}"))
        })?;
        if !settings.authority.is_empty() {
            let origin = format!("{scheme}://{}", settings.authority).parse();
            endpoint = endpoint.origin(origin.map_err(|error| invalid(&error))?);
        }
        if let Some(keepalive) = &settings.keepalive {
            endpoint = endpoint
                .http2_keep_alive_interval(keepalive.time)
                .keep_alive_timeout(keepalive.timeout)
                .keep_alive_while_idle(keepalive.permit_without_stream);
        }
        if settings.uses_tls() { tls::apply(&settings.tls, endpoint) } else { Ok(endpoint) }
    }

    fn headers(&self) -> Result<MetadataMap, ComponentError> {
        let mut headers = MetadataMap::new();
        for (name, value) in &self.settings.headers {
            let refused = || {
                ComponentError::new(format!("headers: {name:?} or its value cannot be sent as a gRPC header"))
            };
            let key = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| refused())?;
            headers.insert(key, MetadataValue::try_from(value.as_str()).map_err(|_| refused())?);
        }
        Ok(headers)
    }
}

#[async_trait]
impl Sender for GrpcSender {
    fn encode(&self, batch: &ProfileBatch) -> Bytes {
        otlp::encode_request(batch).into()
    }

    async fn start(&self) -> Result<(), ComponentError> {
        let client = Client {
            channel: self.endpoint()?.connect_lazy(),
            headers: self.headers()?,
            path: PathAndQuery::from_static(EXPORT_PATH),
        };
        // Set once: a component is started once.
        let _ = self.client.set(client);
        Ok(())
    }

    async fn send(&self, request: Bytes) -> Result<(), SendError> {
        let Some(client) = self.client.get().cloned() else {
            return Err(SendError::Permanent("exporter is not started".into()));
        };
        let mut grpc = tonic::client::Grpc::new(client.channel)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        match self.settings.compression {
            Compression::Gzip => grpc = grpc.send_compressed(CompressionEncoding::Gzip),
            Compression::Zstd => grpc = grpc.send_compressed(CompressionEncoding::Zstd),
            Compression::None => {}
        }
        grpc.ready().await.map_err(|error| SendError::Retryable {
            message: format!("rpc error: code = Unavailable desc = {}", with_causes(&error)),
            after: None,
        })?;
        let id = batch_id(&request);
        let mut request = Request::new(request);
        *request.metadata_mut() = client.headers;
        if let Ok(id) = MetadataValue::try_from(id) {
            request.metadata_mut().insert(BATCH_ID, id);
        }
        match grpc.unary(request, client.path, RawCodec).await {
            Ok(response) => {
                self.report_partial_success(response.get_ref());
                Ok(())
            }
            Err(status) => Err(judge(&status)),
        }
    }
}

/// Header by which a Hearth server recognises a repeated export; others ignore it.
const BATCH_ID: &str = "x-hearth-batch-id";

/// An identity of a request's bytes, the same for each attempt to send them: an export that was stored
/// but whose answer was lost is not stored twice. The keys are this process's own, so that equal bytes of
/// two agents are two batches.
fn batch_id(request: &[u8]) -> String {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    let keys = KEYS.get_or_init(RandomState::new);
    format!("{:016x}{:016x}", keys.hash_one((0u8, request)), keys.hash_one((1u8, request)))
}

impl GrpcSender {
    fn report_partial_success(&self, response: &[u8]) {
        let (message, dropped) = match otlp::decode_response(response) {
            Ok(partial) => (partial.error_message, partial.rejected_profiles),
            Err(error) => (format!("the server's answer cannot be decoded: {error}"), 0),
        };
        if !message.is_empty() || dropped != 0 {
            tracing::warn!(
                "otelcol.component.id" = self.id,
                "otelcol.component.kind" = "exporter",
                "otelcol.signal" = "profiles",
                message_from_server = message,
                dropped_profiles = dropped,
                "Partial success response"
            );
        }
    }
}

/// An error with what caused it, as one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Whether a failed call is worth another attempt.
fn judge(status: &Status) -> SendError {
    // A status with a cause was made on this side: no connection, or one that broke.
    let local = status.source().is_some();
    let code = if local { Code::Unavailable } else { status.code() };
    let detail = status.source().map(|cause| format!(": {}", with_causes(cause))).unwrap_or_default();
    let message = format!("rpc error: code = {code:?} desc = {}{detail}", status.message());
    let after = retry_delay(status.details());
    let retryable = match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => after.is_some(),
        _ => false,
    };
    if retryable { SendError::Retryable { message, after } } else { SendError::Permanent(message) }
}

/// `google.rpc.Status`, what gRPC carries in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// The wait the server asks for; a zero or negative one counts as "retry, you choose when".
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    let nanos = u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999);
    Some(Duration::new(seconds, nanos))
}

/// Passes messages as they are.
#[derive(Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.len());
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_info(seconds: i64, nanos: i32) -> Bytes {
        let info = RetryInfo { retry_delay: Some(ProtoDuration { seconds, nanos }) };
        let any =
            Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info.encode_to_vec() };
        RpcStatus { details: vec![any] }.encode_to_vec().into()
    }

    #[test]
    #[rustfmt::skip]
    fn status_codes_are_judged_as_by_the_collector() {
        let retry = |after: Option<Duration>| Some(after);
        let cases = [
            (Code::Unavailable,       Bytes::new(),       retry(None)),
            (Code::Unavailable,       retry_info(7, 5),   retry(Some(Duration::new(7, 5)))),
            (Code::DeadlineExceeded,  Bytes::new(),       retry(None)),
            (Code::Cancelled,         Bytes::new(),       retry(None)),
            (Code::DataLoss,          Bytes::new(),       retry(None)),
            (Code::ResourceExhausted, Bytes::new(),       None),
            (Code::ResourceExhausted, retry_info(1, 0),   retry(Some(Duration::from_secs(1)))),
            (Code::ResourceExhausted, retry_info(-1, -1), retry(Some(Duration::ZERO))),
            (Code::InvalidArgument,   retry_info(1, 0),   None),
            (Code::Unimplemented,     Bytes::new(),       None),
            (Code::Unauthenticated,   Bytes::new(),       None),
            (Code::Unavailable,       Bytes::from_static(b"\xff\xff"), retry(None)),
        ];
        for (code, details, want) in cases {
            let got = match judge(&Status::with_details(code, "why", details)) {
                SendError::Retryable { after, message } => {
                    assert_eq!(message, format!("rpc error: code = {code:?} desc = why"));
                    Some(after)
                }
                SendError::Permanent(_) => None,
            };
            assert_eq!(got, want, "{code:?}");
        }
    }
}
