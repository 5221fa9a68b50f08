//! `/api/v1`: what the UI asks. Times are milliseconds since the Unix epoch; values are numbers in
//! the unit of the profile type; errors are `{"error": "…"}` with the thing, its value and range.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Path, Query as Params, Request, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use hearth_codec::{dot, flm1, folded, pprof, speedscope, svg};
use hearth_profile::{LabelSet, ProfileType};
use hearth_query::{Cancel, Query, Range, Selector, SeriesSpec};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::rpc::RpcError;
use super::{App, millis, now_ms, querier, render, reply, unnamed};
use crate::symbols::Totals;

/// What the UI's flame graph asks for by default.
const NODES_DEFAULT: usize = 100_000;
/// Most nodes of one flame graph.
const NODES_MAX: usize = 4_000_000;
/// Most nodes of an SVG: more than a browser draws with pleasure.
const SVG_NODES_MAX: usize = 20_000;
/// Locations of each stack that Go's compiler gets: as many as `profilecli query go-pgo` keeps.
const PGO_LOCATIONS: usize = 5;
/// The time range if a request names none.
const RANGE_DEFAULT_MS: i64 = 3_600_000;

/// The fixed paths below `/api/v1/`, for metrics.
pub(super) const NAMES: [&str; 10] = [
    "types",
    "overview",
    "series",
    "flame",
    "labels",
    "status",
    "export",
    "status/buildinfo",
    "symbols",
    "unnamed",
];

/// The routes of this API.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/types", get(async |state, request| answer(state, request, types).await))
        .route("/api/v1/overview", get(async |state, request| answer(state, request, overview).await))
        .route("/api/v1/series", get(async |state, request| answer(state, request, series).await))
        .route("/api/v1/flame", get(async |state, request| answer(state, request, flame).await))
        .route("/api/v1/labels", get(async |state, request| answer(state, request, labels).await))
        .route("/api/v1/labels/{name}/values", get(values))
        .route("/api/v1/export", get(async |state, request| answer(state, request, export).await))
        .route("/api/v1/unnamed", get(async |state, request| answer(state, request, unnamed::answer).await))
        .route("/api/v1/status", get(async |state, request| answer(state, request, status).await))
        .route("/api/v1/status/buildinfo", get(buildinfo))
}

/// An error in this API's form.
pub(super) fn error(status: StatusCode, message: &str) -> Response {
    reply(&HeaderMap::new(), status, "application/json", json!({"error": message}).to_string().into())
}

/// An error as plain text, for clients that show the body.
pub(super) fn plain_error(status: StatusCode, message: &str) -> Response {
    let mut response = Response::new(axum::body::Body::from(format!("{message}\n")));
    *response.status_mut() = status;
    let media = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// What an endpoint answers.
pub(super) struct Answer {
    media: &'static str,
    bytes: Bytes,
    headers: Vec<(&'static str, String)>,
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self { media: "application/json", bytes: value.to_string().into(), headers: Vec::new() }
    }
}

impl Answer {
    /// Bytes of a media type.
    pub(super) fn new(media: &'static str, bytes: Bytes) -> Self {
        Self { media, bytes, headers: Vec::new() }
    }
}

/// A request with its parameters, on the thread that works on it.
pub(super) struct Asked<'a> {
    pub(super) app: &'a App,
    pub(super) tenant: String,
    params: HashMap<String, String>,
    pub(super) cancel: &'a Cancel,
}

/// What works on a request.
pub(super) type Endpoint = fn(&Asked<'_>) -> Result<Answer, RpcError>;

/// Answers a request with what `endpoint` makes of it.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request, endpoint: Endpoint) -> Response {
    let params = match params(request.uri()) {
        Ok(params) => params,
        Err(message) => return error(StatusCode::BAD_REQUEST, &message),
    };
    run(&app, request.headers(), params, endpoint).await
}

async fn values(State(app): State<Arc<App>>, Path(name): Path<String>, request: Request) -> Response {
    let mut params = match params(request.uri()) {
        Ok(params) => params,
        Err(message) => return error(StatusCode::BAD_REQUEST, &message),
    };
    params.insert(" name".to_owned(), name);
    run(&app, request.headers(), params, label_values).await
}

async fn run(
    app: &Arc<App>,
    headers: &HeaderMap,
    params: HashMap<String, String>,
    endpoint: Endpoint,
) -> Response {
    let result = match app.tenant(headers) {
        Ok(tenant) => {
            let work = move |app: &App, cancel: &Cancel| endpoint(&Asked { app, tenant, params, cancel });
            app.query(work).await
        }
        Err(error) => Err(error),
    };
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            let mut response = self::error(error.http(), &error.message);
            error.add_retry_after(&mut response);
            return response;
        }
    };
    let mut response = reply(headers, StatusCode::OK, answer.media, answer.bytes);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

pub(super) fn params(uri: &Uri) -> Result<HashMap<String, String>, String> {
    Params::<HashMap<String, String>>::try_from_uri(uri)
        .map(|Params(params)| params)
        .map_err(|error| format!("query parameters: {error}"))
}

impl Asked<'_> {
    /// A parameter; empty if it is absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    pub(super) fn number(&self, name: &str, default: i64, min: i64, max: i64) -> Result<i64, RpcError> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(default);
        }
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            RpcError::invalid(format!(
                "{name}: {shown:?} is not valid; expected a whole number from {min} to {max}"
            ))
        })
    }

    fn range(&self) -> Result<Range, RpcError> {
        let to = self.number("to", now_ms(), i64::MIN, i64::MAX)?;
        let from = self.number("from", to.saturating_sub(RANGE_DEFAULT_MS), i64::MIN, i64::MAX)?;
        let range = Range::new(from, to).map_err(hearth_query::Error::from)?;
        self.within_length(range)?;
        Ok(range)
    }

    /// Checks that a range is not longer than a query's may be.
    pub(super) fn within_length(&self, range: Range) -> Result<(), RpcError> {
        let (limit, length) = (millis(self.app.query_limits(&self.tenant).length_max), range.length_ms());
        if limit > 0 && length > limit {
            return Err(RpcError::invalid(format!("from, to: {length} ms exceed the limit of {limit} ms")));
        }
        Ok(())
    }

    fn kind(&self) -> Result<ProfileType, RpcError> {
        match self.text("type") {
            "" => Ok(ProfileType::process_cpu()),
            text => text.parse().map_err(|error| RpcError::invalid(format!("type: {error}"))),
        }
    }

    fn query(&self, selector: Selector) -> Result<Query, RpcError> {
        Ok(Query { tenant: self.tenant.clone(), selector, range: self.range()?, cancel: self.cancel.clone() })
    }

    /// The query of `q`, `type`, `from` and `to`.
    pub(super) fn typed(&self) -> Result<Query, RpcError> {
        let selector = Selector::parse(self.text("q"))
            .map_err(|error| RpcError::invalid(format!("q: {error}")))?
            .with_type(&self.kind()?);
        self.query(selector)
    }
}

fn types(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let types = asked.app.engine.profile_types(&asked.query(Selector::default())?)?;
    let types: Vec<String> = types.iter().map(ToString::to_string).collect();
    Ok(json!({"types": types}).into())
}

fn overview(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let points = asked.number("points", 60, 1, 2_000)?;
    let (query, kind) = (asked.typed()?, asked.kind()?);
    let overview = asked.app.engine.overview(&query, usize::try_from(points).unwrap_or(60))?;
    // The time that has data, not the time asked for: a profiler that just started is not idle.
    let data_ms = (overview.data_ms.1.min(query.range.end_ms())
        - overview.data_ms.0.max(query.range.start_ms()))
    .max(1);
    let nanoseconds = kind.sample.unit == "nanoseconds";
    let cores = |total: i64| if nanoseconds { total as f64 / (data_ms as f64 * 1e6) } else { 0.0 };
    let services: Vec<Value> = overview
        .services
        .iter()
        .map(|service| {
            let hottest =
                service.hottest.as_ref().map(|hot| json!({"name": hot.name, "self": hot.self_value}));
            json!({
                "name": service.name,
                "total": service.total,
                "cores": cores(service.total),
                "share": service.total as f64 / (overview.total.max(1)) as f64,
                "values": service.values,
                "layers": service.layers,
                "hottest": hottest,
            })
        })
        .collect();
    Ok(json!({
        "from": query.range.start_ms(),
        "to": query.range.end_ms(),
        "type": kind.to_string(),
        "step_ms": overview.step_ms,
        "total": overview.total,
        "cores": cores(overview.total),
        "hosts": overview.hosts,
        "services": services,
    })
    .into())
}

fn series(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let query = asked.typed()?;
    let step_ms = asked.number("step", 15_000, 1, i64::MAX)?;
    let limit = asked.number("limit", 0, 0, 100_000)?;
    let by = asked.text("by");
    let group_by = if by.is_empty() { Vec::new() } else { vec![by.to_owned()] };
    let spec = SeriesSpec { step_ms, group_by, limit: usize::try_from(limit).unwrap_or(0) };
    let series = asked.app.engine.dense_series(&query, &spec)?;
    let object = |labels: &LabelSet| -> Value {
        labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
    };
    let series: Vec<Value> =
        series.iter().map(|one| json!({"labels": object(&one.labels), "values": one.values})).collect();
    Ok(json!({"step_ms": step_ms, "start": query.range.start_ms(), "series": series}).into())
}

fn flame(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let most = i64::try_from(NODES_MAX).unwrap_or(i64::MAX);
    let nodes = asked.number("max_nodes", i64::try_from(NODES_DEFAULT).unwrap_or(0), 0, most)?;
    let tree = asked.app.engine.merge_tree(&asked.typed()?)?;
    let bytes = flm1::encode(&tree.pruned(usize::try_from(nodes).unwrap_or(NODES_DEFAULT)));
    let headers =
        vec![("x-hearth-total", tree.total().to_string()), ("x-hearth-nodes", tree.len().to_string())];
    Ok(Answer { media: "application/octet-stream", bytes: bytes.into(), headers })
}

fn labels(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let counts = asked.app.engine.label_counts(&asked.typed()?)?;
    let visible = counts.iter().filter(|(name, _)| !name.starts_with("__"));
    let labels: Vec<Value> = visible.map(|(name, values)| json!({"name": name, "values": values})).collect();
    Ok(json!({"labels": labels}).into())
}

fn label_values(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let totals = asked.app.engine.label_totals(&asked.typed()?, asked.text(" name"))?;
    let values: Vec<Value> =
        totals.iter().map(|(value, total)| json!({"value": value, "total": total})).collect();
    Ok(json!({"values": values}).into())
}

fn export(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let (query, kind) = (asked.typed()?, asked.kind()?);
    let (media, extension, bytes): (_, _, Vec<u8>) = match asked.text("format") {
        "pprof" | "" => {
            let (dictionary, sums) = asked.app.engine.merge_stacks(&query)?;
            let profile = querier::encode_pprof(&dictionary, sums, &kind, query.range);
            ("application/vnd.google.protobuf", "pb.gz", pprof::gzip(&profile))
        }
        "folded" => {
            let tree = asked.app.engine.merge_tree(&query)?;
            ("text/plain; charset=utf-8", "folded", folded::write(&tree).into_bytes())
        }
        "svg" => {
            let tree = asked.app.engine.merge_tree(&query)?.pruned(SVG_NODES_MAX);
            let title = format!("{} {}", kind.name, asked.text("q"));
            ("image/svg+xml", "svg", svg::write(&tree, title.trim(), &kind.sample).into_bytes())
        }
        "speedscope" => {
            let tree = asked.app.engine.merge_tree(&query)?;
            let title = format!("{} {}", kind.name, asked.text("q"));
            let text = speedscope::write(&tree, title.trim(), &kind.sample);
            ("application/json", "speedscope.json", text.into_bytes())
        }
        "json" => {
            let file = render::file(&asked.app.engine.merge_tree(&query)?, &kind, 0);
            ("application/json", "json", file.to_string().into_bytes())
        }
        "dot" => {
            let tree = asked.app.engine.merge_tree(&query)?;
            let text = dot::write(&tree, &kind.name, &kind.sample, querier::DOT_NODES);
            ("text/vnd.graphviz; charset=utf-8", "dot", text.into_bytes())
        }
        "pgo" => {
            let (dictionary, sums) = asked.app.engine.merge_stacks(&query)?;
            let profile = querier::go_pgo(&dictionary, sums, &kind, query.range, PGO_LOCATIONS, true);
            let headers = vec![(
                header::CONTENT_DISPOSITION.as_str(),
                "attachment; filename=\"default.pgo\"".to_owned(),
            )];
            let bytes = pprof::gzip(&profile).into();
            return Ok(Answer { media: "application/vnd.google.protobuf", bytes, headers });
        }
        format => {
            let shown: String = format.chars().take(40).collect();
            return Err(RpcError::invalid(format!(
                "format: {shown:?} is unknown; expected pprof, folded, speedscope, json, svg, dot or pgo"
            )));
        }
    };
    let name = format!("attachment; filename=\"profile.{extension}\"");
    Ok(Answer { media, bytes: bytes.into(), headers: vec![(header::CONTENT_DISPOSITION.as_str(), name)] })
}

fn status(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let Asked { app, tenant, .. } = asked;
    let stats = app.store.stats();
    let bounds = app.engine.bounds(tenant)?;
    let Totals { files, bytes, damaged } = app.symbols.shelf.totals();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let agents: Vec<Value> = app
        .hosts_of(tenant)
        .into_iter()
        // Of agents that do not say what they lost, "0" would be a claim.
        .map(|(host, seen)| {
            let lost = seen.sent.lost.as_ref();
            json!({
                "host": host,
                "last_seen_ms": seen.last_seen_ms,
                "samples": seen.sent.samples,
                "lost": lost.map(|lost| lost.values().fold(0u64, |sum, count| sum.saturating_add(*count))),
                "lost_by_reason": lost,
            })
        })
        .collect();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": millis(app.started.elapsed()),
        "ready": true,
        "ingest": {
            "requests": count(&app.metrics.ingest_requests),
            "rejected": count(&app.metrics.ingest_rejected),
            "samples": count(&app.metrics.samples),
            "rows": count(&app.metrics.rows),
        },
        "agents": agents,
        "storage": {
            "dir": app.config.data_dir.display().to_string(),
            "bytes": stats.bytes_on_disk.saturating_add(stats.wal_bytes),
            "segments": stats.segments,
            "head_rows": stats.head_rows,
            "error": stats.log_error.as_ref().or(stats.last_flush_error.as_ref()),
            "corruption": stats.last_corruption,
        },
        "symbols": {"files": files, "bytes": bytes, "damaged": damaged},
        "oldest_ms": bounds.map(|bounds| bounds.0),
        "newest_ms": bounds.map(|bounds| bounds.1),
    })
    .into())
}

/// What the program is, in the form of Prometheus' API, which data sources read.
async fn buildinfo(request: Request) -> Response {
    let info = json!({"status": "success", "data": {
        "version": env!("CARGO_PKG_VERSION"),
        "revision": "",
        "branch": "",
        "buildDate": "",
        "goVersion": "",
    }});
    reply(request.headers(), StatusCode::OK, "application/json", info.to_string().into())
}
