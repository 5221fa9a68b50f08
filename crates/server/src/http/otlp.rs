//! OTLP profiles over gRPC and HTTP.
//!
//! The answer comes when the store has made everything durable. What cannot be stored is counted
//! in `partial_success`, with reasons; senders are asked to retry only what may succeed later.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use hearth_codec::Limits;
use hearth_codec::otlp::{
    Decoded, PartialSuccess, decode_request, decode_request_json, encode_response, encode_response_json,
};
use hearth_codec::wire::Writer;
use http::{HeaderMap, StatusCode, header};

use super::rpc::{Code, Encoding, Protocol, RpcError};
use super::{App, body, now_ms, reply, write};
use crate::config::IngestLimits;
use crate::ingest;

/// Whether a path is the export method of any revision's service.
pub(super) fn is_export(path: &str) -> bool {
    matches!(
        path,
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
            | "/opentelemetry.proto.collector.profiles.v1experimental.ProfilesService/Export"
    )
}

/// An export as an RPC.
pub(super) async fn rpc(
    app: &Arc<App>,
    tenant: String,
    protocol: Protocol,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Bytes, RpcError> {
    let unframe = {
        let headers = parts.headers.clone();
        move |bytes, limit| protocol.message(&headers, bytes, limit)
    };
    let done = export(app, tenant, protocol.encoding(), parts, body, unframe).await?;
    Ok(match protocol.encoding() {
        Encoding::Proto => encode_response(&done).into(),
        Encoding::Json => encode_response_json(&done).into(),
    })
}

/// An export as a plain POST.
pub(super) async fn http(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let media =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let encoding = match media.as_str() {
        "application/x-protobuf" | "application/protobuf" => Encoding::Proto,
        "application/json" => Encoding::Json,
        _ => {
            return super::plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "415 unsupported media type, supported: [application/json, application/x-protobuf]\n",
            );
        }
    };
    let unpack = {
        let headers = parts.headers.clone();
        move |bytes, limit| {
            let packing = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
            Ok(body::decompress(bytes, packing, limit)?)
        }
    };
    let result = match app.tenant(&parts.headers) {
        Ok(tenant) => export(&app, tenant, encoding, &parts, body, unpack).await,
        Err(error) => Err(error),
    };
    match (result, encoding) {
        (Ok(done), Encoding::Proto) => {
            reply(&parts.headers, StatusCode::OK, "application/x-protobuf", encode_response(&done).into())
        }
        (Ok(done), Encoding::Json) => {
            reply(&parts.headers, StatusCode::OK, "application/json", encode_response_json(&done).into())
        }
        (Err(error), encoding) => failure(&parts.headers, encoding, &error),
    }
}

/// A `google.rpc.Status` in the encoding of the request.
fn failure(headers: &HeaderMap, encoding: Encoding, error: &RpcError) -> Response {
    let status = match error.code {
        // What OTLP senders give up on, apart from what they send again.
        Code::Unimplemented => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
        _ => error.http(),
    };
    let mut response = match encoding {
        Encoding::Proto => {
            let mut writer = Writer::default();
            writer.int(1, error.code as i64);
            writer.bytes(2, error.message.as_bytes());
            error.write_details(&mut writer);
            reply(headers, status, "application/x-protobuf", writer.into_bytes().into())
        }
        Encoding::Json => {
            let body = serde_json::json!({"code": error.code as i32, "message": error.message}).to_string();
            reply(headers, status, "application/json", body.into())
        }
    };
    error.add_retry_after(&mut response);
    response
}

/// Decodes, prepares and appends. `unpack` gives the message within the body.
async fn export(
    app: &Arc<App>,
    tenant: String,
    encoding: Encoding,
    parts: &http::request::Parts,
    body: Body,
    unpack: impl FnOnce(Bytes, usize) -> Result<Bytes, RpcError> + Send + 'static,
) -> Result<PartialSuccess, RpcError> {
    app.metrics.ingest_requests.fetch_add(1, Ordering::Relaxed);
    let result = export_counted(app, &tenant, encoding, parts, body, unpack).await;
    if !matches!(&result, Ok(done) if done.rejected_profiles == 0) {
        app.metrics.ingest_rejected.fetch_add(1, Ordering::Relaxed);
    }
    result
}

async fn export_counted(
    app: &Arc<App>,
    tenant: &str,
    encoding: Encoding,
    parts: &http::request::Parts,
    body: Body,
    unpack: impl FnOnce(Bytes, usize) -> Result<Bytes, RpcError> + Send + 'static,
) -> Result<PartialSuccess, RpcError> {
    let batch_id = write::batch_id(&parts.headers)?;
    let (bytes, share) = app.bodies.read(body, app.config.body_bytes_max, app.config.read_timeout).await?;
    let permit = app.decoders.clone().acquire_owned().await;
    let (shared, owner) = (app.clone(), tenant.to_owned());
    let decoding = tokio::task::spawn_blocking(move || {
        // Held until the work is done, also if the client goes away meanwhile.
        let _held = (permit, share);
        let message = unpack(bytes, shared.config.body_bytes_max)?;
        shared.metrics.ingest_bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        shared.admit(&owner, message.len())?;
        let limits = shared.limits(&owner);
        let decoded = decode(&shared, &limits, encoding, &message)?;
        let prepared = ingest::prepare(&decoded.batch, &limits, now_ms());
        Ok((decoded.partial_success(), decoded.revision, prepared))
    });
    let failed = |error| Err(RpcError::new(Code::Internal, format!("decoding the request failed: {error}")));
    let (mut done, revision, prepared) = decoding.await.unwrap_or_else(failed)?;
    let done_with = write::commit(app, tenant, parts, batch_id, prepared);
    app.saw_revision(&write::peer(parts), revision);
    report(&mut done, &done_with.await?);
    Ok(done)
}

fn decode(app: &App, limits: &IngestLimits, encoding: Encoding, message: &[u8]) -> Result<Decoded, RpcError> {
    let limits = Limits {
        max_bytes: app.config.body_bytes_max,
        max_samples: limits.samples_max,
        max_depth: limits.depth_max,
        ..Limits::default()
    };
    let decoded = match encoding {
        Encoding::Proto => decode_request(message, &limits),
        Encoding::Json => decode_request_json(message, &limits),
    };
    decoded.map_err(|error| RpcError::invalid(error.to_string()))
}

/// Adds what was refused after decoding to the answer.
fn report(done: &mut PartialSuccess, refused: &[String]) {
    done.rejected_profiles =
        done.rejected_profiles.saturating_add(i64::try_from(refused.len()).unwrap_or(i64::MAX));
    if refused.is_empty() {
        return;
    }
    if !done.error_message.is_empty() {
        done.error_message += "; ";
    }
    done.error_message += &write::summary(refused);
}
