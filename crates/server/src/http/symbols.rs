//! Symbols over HTTP: the `debuginfo` services of agents, and `/api/v1/symbols` for people.
//!
//! ```text
//! debuginfo.v1alpha1        ShouldInitiateUpload ─▶ POST …/Upload/ID ─▶ UploadFinished    (Pyroscope)
//! parca.debuginfo.v1alpha1  ShouldInitiateUpload ─▶ InitiateUpload ─▶ Upload (stream) ─▶ MarkUploadFinished
//! /api/v1/symbols           POST: all at once; GET: what there is; DELETE …/ID
//! ```

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{delete, get, post};
use bytes::Bytes;
use hearth_codec::pyroscope::debuginfo::{
    DeleteDebuginfoRequest, DeleteDebuginfoResponse, FileMetadata, FileType, ListDebuginfoResponse,
    ObjectMetadata, ShouldInitiateUploadRequest, ShouldInitiateUploadResponse, Timestamp,
    UploadFinishedRequest, UploadFinishedResponse, UploadState,
};
use hearth_codec::pyroscope::{from_json, parca, to_json};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::rpc::{Code, Encoding, Protocol, RpcError};
use super::{App, api, reply};
use crate::symbols::{Facts, Kept, Origin, Plain, Refusal, SHARED, Stream, Wanted, build_id};

const PYROSCOPE: &str = "/debuginfo.v1alpha1.DebuginfoService/";
const PARCA: &str = "/parca.debuginfo.v1alpha1.DebuginfoService/";
/// Largest request of a call that is not an upload.
const CALL_BYTES_MAX: usize = 1 << 20;

/// The methods of both services, for metrics.
pub(super) const METHODS: [&str; 7] = [
    "ShouldInitiateUpload",
    "InitiateUpload",
    "Upload",
    "UploadFinished",
    "MarkUploadFinished",
    "ListDebuginfo",
    "DeleteDebuginfo",
];

/// The name of a route of these services for metrics.
pub(super) fn route_name(path: &str) -> Option<String> {
    let (service, method) =
        [PYROSCOPE, PARCA].iter().find_map(|service| Some((service, path.strip_prefix(service)?)))?;
    let method = method.split('/').next().unwrap_or_default();
    let method = METHODS.iter().find(|known| **known == method).unwrap_or(&"other");
    Some(format!("{service}{method}"))
}

/// The routes that are no RPC.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/debuginfo.v1alpha1.DebuginfoService/Upload/{gnu_build_id}", post(raw_upload))
        .route("/api/v1/symbols", get(list).post(upload))
        .route("/api/v1/symbols/{build_id}", delete(forget))
}

impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Wrong(_) | Refusal::OtherBinary { .. } => Code::InvalidArgument,
            Refusal::TooLarge(_) => Code::ResourceExhausted,
            Refusal::Server(_) => Code::Unavailable,
        };
        Self::new(code, refusal.to_string())
    }
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Wrong(_) | Refusal::OtherBinary { .. } => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Server(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Whether a path is a method of one of the services.
pub(super) fn is_method(path: &str) -> bool {
    path.starts_with(PYROSCOPE) || path.starts_with(PARCA)
}

/// A call of one of the services.
pub(super) async fn rpc(
    app: &Arc<App>,
    tenant: String,
    path: &str,
    protocol: Protocol,
    parts: &Parts,
    body: Body,
) -> Result<Bytes, RpcError> {
    if path == "/parca.debuginfo.v1alpha1.DebuginfoService/Upload" {
        return stream_upload(app, &tenant, protocol, body).await;
    }
    let (bytes, _share) = app.bodies.read(body, CALL_BYTES_MAX, app.config.read_timeout).await?;
    let bytes = protocol.message(&parts.headers, bytes, CALL_BYTES_MAX)?;
    let call = Call { app, tenant: &tenant, encoding: protocol.encoding(), bytes: &bytes };
    match (path.strip_prefix(PYROSCOPE), path.strip_prefix(PARCA)) {
        (Some("ShouldInitiateUpload"), _) => call.should_initiate_upload(),
        (Some("UploadFinished"), _) => call.upload_finished().await,
        (Some("ListDebuginfo"), _) => call.list(),
        (Some("DeleteDebuginfo"), _) => call.delete(),
        (_, Some("ShouldInitiateUpload")) => call.parca_should_initiate_upload(),
        (_, Some("InitiateUpload")) => call.parca_initiate_upload(),
        (_, Some("MarkUploadFinished")) => call.parca_finished().await,
        _ => {
            let shown: String = path.chars().take(200).collect();
            Err(RpcError::new(Code::Unimplemented, format!("{shown} is not implemented")))
        }
    }
}

struct Call<'c> {
    app: &'c App,
    tenant: &'c str,
    encoding: Encoding,
    bytes: &'c [u8],
}

impl Call<'_> {
    fn request<T: Message + Default + DeserializeOwned>(&self) -> Result<T, RpcError> {
        match self.encoding {
            Encoding::Proto => T::decode(self.bytes)
                .map_err(|error| RpcError::invalid(format!("malformed request: {error}"))),
            Encoding::Json => from_json(self.bytes).map_err(|error| RpcError::invalid(error.to_string())),
        }
    }

    fn answer<T: Message + Serialize>(&self, message: &T) -> Result<Bytes, RpcError> {
        encode(self.encoding, message)
    }

    /// Whether a file is wanted; if so, notes that it is about to come.
    fn ask(&self, claimed: &str, name: &str, force: bool) -> Result<Wanted, RpcError> {
        let uploads = &self.app.symbols.uploads;
        let wanted = uploads.wanted(self.tenant, claimed, force);
        if wanted.is_wanted() {
            uploads.announce(self.tenant, claimed, name)?;
        }
        Ok(wanted)
    }

    fn should_initiate_upload(&self) -> Result<Bytes, RpcError> {
        let request: ShouldInitiateUploadRequest = self.request()?;
        let file = request.file.ok_or_else(|| RpcError::invalid("invalid request: file is missing"))?;
        if !matches!(
            FileType::try_from(file.r#type),
            Ok(FileType::ExecutableFull | FileType::ExecutableNoText)
        ) {
            return Err(RpcError::invalid(format!(
                "file.type: {} is not valid; expected 1 (whole executable) or 2 (without code)",
                file.r#type
            )));
        }
        let wanted = self.ask(&build_id(&file.gnu_build_id)?, &file.name, false)?;
        self.answer(&ShouldInitiateUploadResponse {
            should_initiate_upload: wanted.is_wanted(),
            reason: wanted.reason().to_owned(),
        })
    }

    async fn upload_finished(&self) -> Result<Bytes, RpcError> {
        let request: UploadFinishedRequest = self.request()?;
        self.finish(&request.gnu_build_id).await?;
        self.answer(&UploadFinishedResponse::default())
    }

    async fn finish(&self, claimed: &str) -> Result<(), RpcError> {
        let claimed = build_id(claimed)?;
        let uploads = &self.app.symbols.uploads;
        if !uploads.is_announced(self.tenant, &claimed) {
            let message = format!("no upload of build ID {claimed} was announced");
            return Err(RpcError::new(Code::NotFound, message));
        }
        match uploads.finish(self.tenant, &claimed).await? {
            Some(_) => Ok(()),
            None => {
                let message = format!("no file was received for build ID {claimed}");
                Err(RpcError::new(Code::FailedPrecondition, message))
            }
        }
    }

    fn list(&self) -> Result<Bytes, RpcError> {
        let object = |(facts, _): (Arc<Facts>, u64)| {
            let moment = Timestamp::from_ms(facts.arrived.cast_signed());
            ObjectMetadata {
                file: Some(FileMetadata {
                    gnu_build_id: facts.build_id.clone(),
                    name: facts.name.clone(),
                    r#type: FileType::ExecutableFull as i32,
                    ..FileMetadata::default()
                }),
                state: UploadState::Uploaded as i32,
                started_at: Some(moment.clone()),
                finished_at: Some(moment),
                size_bytes: i64::try_from(facts.file_bytes).unwrap_or(i64::MAX),
            }
        };
        let object = self.app.symbols.shelf.list(self.tenant).into_iter().map(object).collect();
        self.answer(&ListDebuginfoResponse { object })
    }

    fn delete(&self) -> Result<Bytes, RpcError> {
        let request: DeleteDebuginfoRequest = self.request()?;
        self.app
            .symbols
            .shelf
            .delete(self.tenant, &build_id(&request.gnu_build_id)?)
            .map_err(|error| RpcError::new(Code::Internal, error.to_string()))?;
        self.answer(&DeleteDebuginfoResponse::default())
    }

    fn parca_should_initiate_upload(&self) -> Result<Bytes, RpcError> {
        let request: parca::ShouldInitiateUploadRequest = self.request()?;
        let wanted =
            self.app.symbols.uploads.wanted(self.tenant, &build_id(&request.build_id)?, request.force);
        self.answer(&ShouldInitiateUploadResponse {
            should_initiate_upload: wanted.is_wanted(),
            reason: wanted.reason().to_owned(),
        })
    }

    fn parca_initiate_upload(&self) -> Result<Bytes, RpcError> {
        let request: parca::InitiateUploadRequest = self.request()?;
        let claimed = build_id(&request.build_id)?;
        let limit = self.app.symbols.shelf.bounds().upload_bytes_max;
        if u64::try_from(request.size).is_ok_and(|size| size > limit) {
            let size = request.size;
            return Err(RpcError::new(
                Code::ResourceExhausted,
                format!("size: {size} bytes exceed the limit of {limit} (debug-info.max-upload-size)"),
            ));
        }
        let wanted = self.ask(&claimed, "", request.force)?;
        if !wanted.is_wanted() {
            return Err(RpcError::new(Code::FailedPrecondition, wanted.reason()));
        }
        let instructions = parca::UploadInstructions {
            build_id: claimed.clone(),
            upload_id: claimed,
            upload_strategy: parca::UploadStrategy::Grpc as i32,
            signed_url: String::new(),
        };
        self.answer(&parca::InitiateUploadResponse { upload_instructions: Some(instructions) })
    }

    async fn parca_finished(&self) -> Result<Bytes, RpcError> {
        let request: parca::MarkUploadFinishedRequest = self.request()?;
        self.finish(&request.build_id).await?;
        self.answer(&parca::MarkUploadFinishedResponse::default())
    }
}

fn encode<T: Message + Serialize>(encoding: Encoding, message: &T) -> Result<Bytes, RpcError> {
    match encoding {
        Encoding::Proto => Ok(message.encode_to_vec().into()),
        Encoding::Json => {
            let json = to_json(message).map_err(|error| RpcError::new(Code::Internal, error.to_string()))?;
            Ok(json.into())
        }
    }
}

/// Parca's upload: a stream of messages.
async fn stream_upload(
    app: &Arc<App>,
    tenant: &str,
    protocol: Protocol,
    body: Body,
) -> Result<Bytes, RpcError> {
    if protocol.encoding() == Encoding::Json || matches!(protocol, Protocol::Connect(_)) {
        return Err(RpcError::new(Code::Unimplemented, "Upload is a stream: use gRPC"));
    }
    let uploads = &app.symbols.uploads;
    let _slot = uploads.slot()?;
    let mut stream = Stream::new(body);
    let info = tokio::time::timeout(app.config.read_timeout, stream.info()).await;
    let info = info.map_err(|_| RpcError::new(Code::DeadlineExceeded, "no message arrived in time"))??;
    let claimed = build_id(&info.build_id)?;
    if !uploads.is_announced(tenant, &claimed) {
        let message = format!("no upload of build ID {claimed} was announced");
        return Err(RpcError::new(Code::FailedPrecondition, message));
    }
    let incoming = uploads.receive(stream).await?;
    let (incoming, brought) = uploads.check(incoming, Some(&claimed)).await?;
    let answer = parca::UploadResponse { build_id: claimed.clone(), size: brought.bytes };
    uploads.hold(tenant, &claimed, (incoming, brought));
    encode(Encoding::Proto, &answer)
}

/// Pyroscope's upload: the file as the body.
async fn raw_upload(State(app): State<Arc<App>>, Path(claimed): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let tenant = match app.tenant(&parts.headers) {
        Ok(tenant) => tenant,
        Err(error) => return text(error.code.http(), error.message),
    };
    let received = async {
        let claimed = build_id(&claimed)?;
        let uploads = &app.symbols.uploads;
        let _slot = uploads.slot()?;
        if !uploads.is_announced(&tenant, &claimed) {
            return Ok(false);
        }
        let incoming = uploads.receive(plain(&parts.headers, body)?).await?;
        let file = uploads.check(incoming, Some(&claimed)).await?;
        uploads.hold(&tenant, &claimed, file);
        Ok(true)
    };
    let received: Result<bool, Refusal> = received.await;
    match received {
        Ok(true) => text(StatusCode::OK, String::new()),
        Ok(false) => text(StatusCode::PRECONDITION_FAILED, "no pending upload for this build ID".to_owned()),
        Err(refusal) => text(status_of(&refusal), refusal.to_string()),
    }
}

fn plain(headers: &HeaderMap, body: Body) -> Result<Plain, Refusal> {
    match headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?")) {
        None | Some("identity") => Ok(Plain(body)),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            Err(Refusal::Wrong(format!("the file is sent with the encoding {shown:?}; send it as it is")))
        }
    }
}

fn text(status: StatusCode, message: String) -> Response {
    let newline = if message.is_empty() { "" } else { "\n" };
    let mut response = Response::new(Body::from(format!("{message}{newline}")));
    *response.status_mut() = status;
    response
}

/// `POST /api/v1/symbols?name=`: a file, as a whole, in one step.
async fn upload(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (tenant, params) = match (app.tenant(&parts.headers), api::params(&parts.uri)) {
        (Ok(tenant), Ok(params)) => (tenant, params),
        (Err(error), _) => return api::error(error.code.http(), &error.message),
        (_, Err(message)) => return api::error(StatusCode::BAD_REQUEST, &message),
    };
    let name = params.get("name").cloned().unwrap_or_default();
    let kept = async {
        let uploads = &app.symbols.uploads;
        let _slot = uploads.slot()?;
        let claimed = params.get("build_id").map(|claimed| build_id(claimed)).transpose()?;
        let incoming = uploads.receive(plain(&parts.headers, body)?).await?;
        let (incoming, brought) = uploads.check(incoming, claimed.as_deref()).await?;
        uploads.keep(&tenant, incoming, brought, name, Origin::Upload).await
    };
    match kept.await {
        Ok(Kept { facts, taken }) => {
            let mut object = object(&facts);
            object["taken"] = taken.into();
            reply(&parts.headers, StatusCode::OK, "application/json", object.to_string().into())
        }
        Err(refusal) => api::error(status_of(&refusal), &refusal.to_string()),
    }
}

fn object(facts: &Facts) -> Value {
    json!({
        "build_id": facts.build_id,
        "name": facts.name,
        "origin": facts.origin,
        "arrived_ms": facts.arrived,
        "file_bytes": facts.file_bytes,
        "functions": facts.functions(),
        "lines": facts.has_lines(),
    })
}

/// `GET /api/v1/symbols`: what there is.
async fn list(State(app): State<Arc<App>>, request: Request) -> Response {
    let tenant = match app.tenant(request.headers()) {
        Ok(tenant) => tenant,
        Err(error) => return api::error(error.code.http(), &error.message),
    };
    let all: Vec<Value> = app
        .symbols
        .shelf
        .list(&tenant)
        .into_iter()
        .map(|(facts, bytes)| {
            let mut object = object(&facts);
            object["bytes"] = bytes.into();
            object
        })
        .collect();
    reply(request.headers(), StatusCode::OK, "application/json", json!({"symbols": all}).to_string().into())
}

/// `DELETE /api/v1/symbols/ID`.
async fn forget(State(app): State<Arc<App>>, Path(claimed): Path<String>, request: Request) -> Response {
    let deleted = app.tenant(request.headers()).and_then(|tenant| {
        let claimed = build_id(&claimed)?;
        let deleted = app.symbols.shelf.delete(&tenant, &claimed);
        deleted.map_err(|error| RpcError::new(Code::Internal, error.to_string()))
    });
    match deleted {
        Ok(true) => reply(request.headers(), StatusCode::OK, "application/json", "{}".into()),
        Ok(false) => {
            let owner = if app.config.multitenancy { "this tenant has" } else { "there are" };
            let message = format!("{owner} no symbols of this build ID (those of {SHARED} stay)");
            api::error(StatusCode::NOT_FOUND, &message)
        }
        Err(error) => api::error(error.code.http(), &error.message),
    }
}
