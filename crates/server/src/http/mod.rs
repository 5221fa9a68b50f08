//! Everything on the one port: RPC, OTLP over HTTP, the UI with its API, health and metrics.
//!
//! ```text
//! /opentelemetry…ProfilesService/Export, /v1development/profiles ─▶ otlp ──┐
//! /push.v1.PusherService/Push (Connect, gRPC, gRPC-Web)          ─▶ push ──┼▶ ingest ─▶ write
//! /ingest (pprof, JFR, folded, trie, tree, lines, speedscope)    ─▶ ingest ┘
//! /querier.v1.QuerierService/*  (Connect, gRPC, gRPC-Web)        ─▶ querier ─▶ query engine
//! /pyroscope/render, render-diff, label-values                   ─▶ render ──▶ query engine
//! /api/v1/*                     (JSON and FLM1, for the UI)      ─▶ api ─────▶ query engine
//! debuginfo.v1alpha1 of Pyroscope and Parca, /api/v1/symbols     ─▶ symbols ─▶ shelf of symbols
//! /, /explore, /status, /assets/*                                ─▶ assets
//! /ready, /metrics
//! ```

mod api;
mod assets;
mod body;
mod ingest;
mod otlp;
mod push;
mod querier;
mod render;
mod rpc;
mod symbols;
mod time;
mod unnamed;
mod write;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use hearth_codec::otlp::Revision;
use hearth_query::{Cancel, Engine};
use hearth_store::Store;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use indexmap::IndexMap;
use tokio::sync::Semaphore;

use crate::access::{self, Access};
use crate::config::{Config, IngestLimits, QueryLimits};
use crate::ingest::{Reason, Sent};
use crate::metrics::Metrics;
use crate::symbols::Symbols;
use crate::tenants::Tenants;
use rpc::{Code, Protocol, RpcError};

/// Most hosts remembered for the status page.
const HOSTS_MAX: usize = 10_000;
/// How many ingest requests are decoded at the same time.
const DECODERS: usize = 4;
/// Most things remembered as said.
const SAID_MAX: usize = 10_000;
/// Largest request of a query, in bytes.
const QUERY_BYTES_MAX: usize = 4 << 20;

/// What an agent's host has sent.
#[derive(Clone, Debug, Default)]
struct Host {
    last_seen_ms: i64,
    sent: Sent,
}

/// What all requests share.
pub(crate) struct App {
    config: Config,
    store: Arc<Store>,
    engine: Engine,
    metrics: Metrics,
    assets: assets::Assets,
    queries: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
    bodies: body::Budget,
    symbols: Arc<Symbols>,
    tenants: Arc<Tenants>,
    access: Access,
    /// What was said already and need not be said again.
    said: Mutex<HashSet<String>>,
    hosts: Mutex<IndexMap<(String, String), Host>>,
    started: Instant,
}

impl App {
    pub(crate) fn new(
        config: Config,
        store: Arc<Store>,
        symbols: Arc<Symbols>,
        tenants: Arc<Tenants>,
        access: Access,
    ) -> Self {
        let snapshots = store.clone();
        let engine = Engine::new(Arc::new(move || snapshots.snapshot()));
        Self {
            assets: assets::Assets::new(config.ui_dir.clone()),
            queries: Arc::new(Semaphore::new(config.query.concurrency)),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            bodies: body::Budget::new(config.body_bytes_max.saturating_mul(2)),
            symbols,
            tenants,
            access,
            said: Mutex::default(),
            hosts: Mutex::default(),
            metrics: Metrics::default(),
            started: Instant::now(),
            config,
            store,
            engine,
        }
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whose data a request is about.
    fn tenant(&self, headers: &HeaderMap) -> Result<String, RpcError> {
        if !self.config.multitenancy {
            return Ok("anonymous".to_owned());
        }
        let tenant = headers.get("x-scope-orgid").map(|value| value.to_str().unwrap_or("\u{fffd}"));
        let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty()) else {
            return Err(RpcError::new(
                Code::Unauthenticated,
                "no org id: the header X-Scope-OrgID is missing",
            ));
        };
        hearth_store::check_tenant(tenant)
            .map_err(|error| RpcError::invalid(format!("X-Scope-OrgID: {error}")))?;
        Ok(tenant.to_owned())
    }

    /// What a tenant may send.
    fn limits(&self, tenant: &str) -> Arc<IngestLimits> {
        self.tenants.limits(tenant).ingest.clone()
    }

    /// What a tenant may ask.
    fn query_limits(&self, tenant: &str) -> QueryLimits {
        self.tenants.limits(tenant).query
    }

    /// Takes `bytes` from what a tenant may send in this second.
    fn admit(&self, tenant: &str, bytes: usize) -> Result<(), RpcError> {
        self.tenants.admit(tenant, bytes, self.started.elapsed()).map_err(|refused| {
            let discarded = [(Reason::RateLimited, 1)].into_iter().collect();
            self.metrics.discard(tenant, &discarded);
            RpcError::slow_down(refused.to_string(), refused.seconds)
        })
    }

    /// Whether this was not said before; there is room for so many things only.
    fn is_first(&self, said: String) -> bool {
        let mut known = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < SAID_MAX && known.insert(said)
    }

    /// Counts a request of a revision of OTLP profiles, and says once for each peer which it sends.
    fn saw_revision(&self, peer: &str, revision: Revision) {
        self.metrics.revision(revision.name());
        if self.is_first(format!("{peer}\n{}", revision.name())) {
            tracing::info!(peer, revision = revision.name(), "receives OTLP profiles of this revision");
        }
    }

    /// Runs a query on a blocking thread; it is cancelled when nobody waits for it any more.
    async fn query<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &Cancel) -> Result<T, RpcError> + Send + 'static,
    ) -> Result<T, RpcError> {
        let app = self.clone();
        let timeout = self.config.write_timeout;
        let run = async move {
            let permit = app.queries.clone().acquire_owned().await;
            let cancel = Cancel::default();
            let guard = CancelOnDrop(cancel.clone());
            let result = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work(&app, &cancel)
            });
            let result = result.await;
            drop(guard);
            result.unwrap_or_else(|error| {
                Err(RpcError::new(Code::Internal, format!("the query failed: {error}")))
            })
        };
        tokio::time::timeout(timeout, run).await.unwrap_or_else(|_| {
            let message =
                format!("the query took longer than {} s; narrow the time range", timeout.as_secs());
            Err(RpcError::new(Code::DeadlineExceeded, message))
        })
    }

    /// Remembers that a host has sent something.
    fn saw_host(&self, tenant: &str, host: &str, sent: &Sent) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.to_owned(), host.to_owned());
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(&key) {
            hosts.shift_remove_index(0);
        }
        let entry = hosts.entry(key).or_default();
        entry.last_seen_ms = now_ms();
        entry.sent.add(sent);
    }

    fn hosts_of(&self, tenant: &str) -> Vec<(String, Host)> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = hosts.iter().filter(|((owner, _), _)| owner == tenant);
        let mut mine: Vec<_> = mine.map(|((_, host), seen)| (host.clone(), seen.clone())).collect();
        mine.sort_by(|a, b| a.0.cmp(&b.0));
        mine
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The address of whoever is on the other side of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) std::net::IpAddr);

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/ready", get(async || plain(StatusCode::OK, "ready\n")))
        .route("/metrics", get(metrics))
        .route("/v1development/profiles", post(otlp::http))
        .route("/v1experimental/profiles", post(otlp::http))
        .route("/ingest", post(ingest::ingest))
        .route("/pyroscope/ingest", post(ingest::ingest))
        .merge(api::routes())
        .merge(render::routes())
        .merge(symbols::routes())
        .fallback(fallback)
        .layer(middleware::from_fn_with_state(app.clone(), count))
        .with_state(app)
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.text(&app.store.stats(), &app.symbols.shelf.totals(), app.started.elapsed());
    let mut response = Response::new(Body::from(text));
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// Counts and times every request under the name of its route; turns away whoever may not ask.
async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = route_name(request.uri().path());
    let started = Instant::now();
    let allowed = app.access.allows(request.uri().path(), request.headers());
    let response = if allowed { next.run(request).await } else { access::refusal(request.headers()) };
    app.metrics.request(&route, response.status().as_u16(), started.elapsed());
    response
}

/// The paths that are metrics' names for themselves.
const ROUTES: [&str; 13] = [
    "/ready",
    "/metrics",
    "/v1development/profiles",
    "/v1experimental/profiles",
    "/ingest",
    "/pyroscope/ingest",
    "/pyroscope/render",
    "/pyroscope/render-diff",
    "/pyroscope/label-values",
    push::PUSH,
    "/",
    "/explore",
    "/status",
];

/// The name of a route for metrics: one of few, whatever the path.
fn route_name(path: &str) -> String {
    if ROUTES.contains(&path) {
        return path.to_owned();
    }
    if let Some(method) = path.strip_prefix("/querier.v1.QuerierService/") {
        let method = if querier::METHODS.contains(&method) { method } else { "other" };
        return format!("/querier.v1.QuerierService/{method}");
    }
    if let Some(name) = symbols::route_name(path) {
        return name;
    }
    if otlp::is_export(path) {
        return "/opentelemetry.proto.collector.profiles/Export".to_owned();
    }
    for prefix in ["/api/v1/labels", "/api/v1/", "/assets/"] {
        if let Some(rest) = path.strip_prefix(prefix) {
            let fixed = prefix == "/api/v1/" && api::NAMES.contains(&rest);
            return if fixed { path.to_owned() } else { format!("{prefix}*") };
        }
    }
    "other".to_owned()
}

/// RPC calls, UI pages, and what does not exist.
async fn fallback(State(app): State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.split_once('/'))
        && service.contains('.')
        && !method.contains('/')
    {
        return call(app, request, &path).await;
    }
    if matches!(*request.method(), Method::GET | Method::HEAD)
        && let Some(response) = app.assets.serve(&path, request.headers()).await
    {
        return response;
    }
    if path.starts_with("/api/v1/") {
        return api::error(StatusCode::NOT_FOUND, &format!("there is no {path} here"));
    }
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// One RPC, from its HTTP request to its HTTP response.
async fn call(app: Arc<App>, request: Request, path: &str) -> Response {
    if request.method() != Method::POST {
        let mut response =
            plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed, supported: [POST]\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let Some(protocol) = Protocol::detect(request.headers()) else {
        let mut response = plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "415 unsupported media type, supported: [application/json, application/proto, application/grpc, \
             application/grpc-web+proto]\n",
        );
        let accept = HeaderValue::from_static("application/json, application/proto");
        response.headers_mut().insert("accept-post", accept);
        return response;
    };
    let (parts, body) = request.into_parts();
    let result = dispatch(&app, path, protocol, &parts, body).await;
    protocol.respond(&parts.headers, result)
}

async fn dispatch(
    app: &Arc<App>,
    path: &str,
    protocol: Protocol,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Bytes, RpcError> {
    let tenant = app.tenant(&parts.headers)?;
    if otlp::is_export(path) {
        return otlp::rpc(app, tenant, protocol, parts, body).await;
    }
    if path == push::PUSH {
        return push::push(app, tenant, protocol, parts, body).await;
    }
    if symbols::is_method(path) {
        return symbols::rpc(app, tenant, path, protocol, parts, body).await;
    }
    if let Some(answer) = querier::about(path, protocol.encoding()) {
        return answer;
    }
    let method = path.strip_prefix("/querier.v1.QuerierService/");
    let Some(method) = method.filter(|method| querier::METHODS.contains(method)) else {
        let shown: String = path.chars().take(200).collect();
        return Err(RpcError::new(Code::Unimplemented, format!("{shown} is not implemented")));
    };
    let limit = app.config.body_bytes_max.min(QUERY_BYTES_MAX);
    let (bytes, share) = app.bodies.read(body, limit, app.config.read_timeout).await?;
    let call = querier::Call {
        tenant,
        method: method.to_owned(),
        encoding: protocol.encoding(),
        utf8_names: querier::takes_utf8_names(&parts.headers)?,
    };
    let headers = parts.headers.clone();
    app.query(move |app, cancel| {
        let message = protocol.message(&headers, bytes, limit)?;
        drop(share);
        querier::answer(app, &call, &message, cancel)
    })
    .await
}

/// A response in plain text.
fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A response of some media type, compressed if whoever asks takes that.
fn reply(headers: &HeaderMap, status: StatusCode, media: &'static str, bytes: Bytes) -> Response {
    let packed = body::wants_gzip(headers, bytes.len())
        .then(|| body::gzip(&bytes))
        .filter(|packed| !packed.is_empty());
    let is_packed = packed.is_some();
    let mut response = Response::new(packed.map_or_else(|| Body::from(bytes), Body::from));
    *response.status_mut() = status;
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_packed {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A duration in whole milliseconds.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
