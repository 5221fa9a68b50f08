//! `POST /ingest`: what Pyroscope's SDKs sent before push.v1, and most still do.
//!
//! ```text
//! name=app.cpu{k=v}, from, until, sampleRate, spyName, format        body, or fields of a form
//!    └▶ service, labels, type by the name's end ─┐                     │
//!       pprof, JFR: types of their own ──────────┴▶ ingest ◀─ batch ◀──┘ decoder of the format
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use hearth_codec::{Limits, folded, jfr, multipart, pprof, speedscope, stacks, trie};
use hearth_profile::{LabelSetBuilder, Profile, ProfileBatch, ResourceProfiles, Sample, Tree, ValueType};
use http::{StatusCode, header};

use super::body::BodyError;
use super::rpc::{Code, RpcError};
use super::{App, api, body, now_ms, time, write};
use crate::ingest::naming::{self, Named, Types};
use crate::ingest::{Pipeline, Prepared};

/// Samples per second if the client does not say.
const SAMPLE_RATE: u32 = 100;

/// Why a request is refused: its HTTP status follows.
#[derive(Debug)]
enum Refusal {
    /// The parameters are wrong.
    Metadata(String),
    /// The profile is.
    Profile(String),
    /// Anything else.
    Rpc(RpcError),
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl Refusal {
    fn response(&self) -> Response {
        match self {
            Self::Metadata(message) => api::plain_error(StatusCode::BAD_REQUEST, message),
            Self::Profile(message) => api::plain_error(StatusCode::UNPROCESSABLE_ENTITY, message),
            Self::Rpc(error) => {
                let mut response = api::plain_error(error.http(), &error.message);
                error.add_retry_after(&mut response);
                response
            }
        }
    }
}

/// What the parameters say.
struct Metadata {
    name: String,
    labels: LabelSetBuilder,
    from_ns: u64,
    duration_ns: u64,
    sample_rate: u32,
    format: Format,
    media: String,
}

impl Metadata {
    /// Nanoseconds between two samples.
    fn period(&self) -> i64 {
        1_000_000_000 / i64::from(self.sample_rate)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Pprof,
    Folded,
    Lines,
    Trie,
    Tree,
    Speedscope,
    Jfr,
}

/// Answers a request.
pub(super) async fn ingest(State(app): State<Arc<App>>, request: Request) -> Response {
    app.metrics.ingest_requests.fetch_add(1, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    match ingest_counted(&app, &parts, body).await {
        Ok(()) => Response::new(Body::empty()),
        Err(refusal) => {
            app.metrics.ingest_rejected.fetch_add(1, Ordering::Relaxed);
            refusal.response()
        }
    }
}

async fn ingest_counted(app: &Arc<App>, parts: &http::request::Parts, body: Body) -> Result<(), Refusal> {
    let tenant = app.tenant(&parts.headers)?;
    let metadata = metadata(parts).map_err(Refusal::Metadata)?;
    let limit = app.config.body_bytes_max;
    let (bytes, share) = app.bodies.read(body, limit, app.config.read_timeout).await.map_err(rpc)?;
    let permit = app.decoders.clone().acquire_owned().await;
    let (shared, owner) = (app.clone(), tenant.clone());
    let packing = parts.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let packing = packing.map(str::to_owned);
    let decoding = tokio::task::spawn_blocking(move || {
        // Held until the work is done, also if the client goes away meanwhile.
        let _held = (permit, share);
        let bytes = body::decompress(bytes, packing.as_deref(), limit).map_err(rpc)?;
        shared.metrics.ingest_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        shared.admit(&owner, bytes.len())?;
        prepare(&shared, &owner, &metadata, &bytes)
    });
    let failed =
        |error| Err(RpcError::new(Code::Internal, format!("decoding the profile failed: {error}")).into());
    let prepared = decoding.await.unwrap_or_else(failed)?;
    let refused = write::commit(app, &tenant, parts, None, prepared).await?;
    if refused.is_empty() {
        return Ok(());
    }
    Err(Refusal::Profile(write::summary(&refused)))
}

fn rpc(error: BodyError) -> Refusal {
    Refusal::Rpc(error.into())
}

fn metadata(parts: &http::request::Parts) -> Result<Metadata, String> {
    let params: HashMap<String, String> = api::params(&parts.uri)?;
    let text = |name: &str| params.get(name).map_or("", String::as_str);
    let (name, mut labels) = naming::parse_application(text("name"))?;
    if !text("spyName").is_empty() {
        labels.set("pyroscope_spy", text("spyName"));
    }
    let now_ns = now_ms().saturating_mul(1_000_000);
    let at = |name: &str| match text(name) {
        "" => Ok(now_ns),
        text => time::parse(text, now_ns).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("{name}: {shown:?} is no time; expected seconds or nanoseconds since 1970, or now-1h")
        }),
    };
    let (from, until) = (at("from")?, at("until")?);
    let sample_rate = match text("sampleRate") {
        "" => SAMPLE_RATE,
        text => text.parse().ok().filter(|rate| (1..=1_000_000_000).contains(rate)).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("sampleRate: {shown:?} is out of range; expected 1 to 1000000000 per second")
        })?,
    };
    let media = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.unwrap_or_default().to_owned();
    Ok(Metadata {
        name,
        labels,
        from_ns: u64::try_from(from).unwrap_or(0),
        duration_ns: u64::try_from(until.saturating_sub(from)).unwrap_or(0),
        sample_rate,
        format: format(text("format"), &media)?,
        media,
    })
}

/// The format, by its name or else by the body's media type.
fn format(name: &str, media: &str) -> Result<Format, String> {
    Ok(match (name, media) {
        ("trie", _) | (_, "binary/octet-stream+trie") => Format::Trie,
        ("tree", _) | (_, "binary/octet-stream+tree") => Format::Tree,
        ("lines", _) => Format::Lines,
        ("pprof", _) => Format::Pprof,
        ("speedscope", _) => Format::Speedscope,
        ("jfr", _) => Format::Jfr,
        ("groups" | "folded", _) => Format::Folded,
        ("", media) if multipart::is_form(media) => Format::Pprof,
        ("", _) => Format::Folded,
        (other, _) => {
            let shown: String = other.chars().take(40).collect();
            return Err(format!(
                "format: {shown:?} is not supported; expected pprof, jfr, folded, groups, lines, trie, tree or speedscope"
            ));
        }
    })
}

fn prepare(app: &App, tenant: &str, metadata: &Metadata, bytes: &Bytes) -> Result<Prepared, Refusal> {
    let limits = app.limits(tenant);
    let mut pipeline = Pipeline::new(&limits, now_ms());
    let bounds = Limits {
        max_bytes: app.config.body_bytes_max,
        max_samples: limits.samples_max,
        max_depth: limits.depth_max,
        ..Limits::default()
    };
    let added = match metadata.format {
        Format::Pprof => add_pprof(&mut pipeline, metadata, bytes, &bounds),
        Format::Speedscope => add_speedscope(&mut pipeline, metadata, bytes, &bounds),
        Format::Jfr => add_jfr(&mut pipeline, metadata, bytes, &bounds),
        _ => add_tree(&mut pipeline, metadata, bytes, &bounds),
    };
    added.map_err(|reason| {
        app.metrics.discard(tenant, &[(crate::ingest::Reason::MalformedProfile, 1)].into_iter().collect());
        Refusal::Profile(reason)
    })?;
    Ok(pipeline.finish())
}

/// A profile in a field of a form, or as the whole body.
fn add_pprof(
    pipeline: &mut Pipeline<'_>,
    metadata: &Metadata,
    bytes: &[u8],
    bounds: &Limits,
) -> Result<(), String> {
    let (mut profile, mut previous, mut types) = (bytes, &[][..], Types::default());
    if multipart::is_form(&metadata.media) {
        profile = &[];
        for (name, value) in multipart::fields(&metadata.media, bytes)? {
            match name.as_str() {
                "profile" => profile = value,
                "prev_profile" => previous = value,
                "sample_type_config" if !value.is_empty() => {
                    types =
                        Types::from_json(value).map_err(|error| format!("sample_type_config: {error}"))?;
                }
                _ => {}
            }
        }
    }
    if profile.is_empty() {
        return Err("the request has no profile".to_owned());
    }
    let decoded = pprof::decode_what_fits(profile, bounds).map_err(|error| format!("profile: {error}"))?;
    pipeline.pass_over(decoded.dropped, decoded.reason);
    let mut batch = decoded.batch;
    if !previous.is_empty() {
        let previous = pprof::decode(previous, bounds).map_err(|error| format!("prev_profile: {error}"))?;
        pprof::subtract(&mut batch, &previous, |kind| types.is_cumulative(&kind.name));
    }
    let names: Vec<String> = batch.profiles().map(|profile| profile.sample_type.name.clone()).collect();
    let mut labels = metadata.labels.clone();
    labels.set("__name__", naming::metric(names.iter().map(String::as_str), &types));
    labels.set("service_name", metadata.name.as_str());
    for profile in batch.resources.iter_mut().flat_map(|resource| &mut resource.profiles) {
        if profile.time_unix_nano == 0 {
            profile.time_unix_nano = metadata.from_ns;
        }
        if profile.duration_nano == 0 {
            profile.duration_nano = metadata.duration_ns;
        }
    }
    pipeline.add_labelled(&labels, &batch);
    Ok(())
}

/// A recording in a field of a form, with the labels of its contexts in another, or as the whole body.
fn add_jfr(
    pipeline: &mut Pipeline<'_>,
    metadata: &Metadata,
    bytes: &[u8],
    bounds: &Limits,
) -> Result<(), String> {
    let (mut recording, mut contexts) = (bytes, &[][..]);
    if multipart::is_form(&metadata.media) {
        recording = &[];
        for (name, value) in multipart::fields(&metadata.media, bytes)? {
            match name.as_str() {
                "jfr" => recording = value,
                "labels" => contexts = value,
                _ => {}
            }
        }
    }
    if recording.is_empty() {
        return Err("the request has no recording".to_owned());
    }
    let recording = pprof::plain(recording, bounds).map_err(|error| format!("jfr: {error}"))?;
    let contexts = pprof::plain(contexts, bounds).map_err(|error| format!("labels: {error}"))?;
    let contexts = jfr::Labels::decode(&contexts, bounds).map_err(|error| error.to_string())?;
    let recording = jfr::decode(&recording, &contexts, metadata.period(), bounds)
        .map_err(|error| format!("jfr: {error}"))?;
    let mut labels = metadata.labels.clone();
    labels.set("service_name", metadata.name.as_str());
    labels.set("jfr_event", recording.event.as_str());
    let mut batch = ProfileBatch { dictionary: recording.dictionary, ..ProfileBatch::default() };
    for (metric, mut profile) in recording.profiles {
        labels.set("__name__", metric);
        if profile.time_unix_nano == 0 {
            profile.time_unix_nano = metadata.from_ns;
        }
        batch.resources = vec![ResourceProfiles { profiles: vec![profile], ..ResourceProfiles::default() }];
        pipeline.add_labelled(&labels, &batch);
    }
    Ok(())
}

/// Stacks of names, of the type that the application's name says.
fn add_tree(
    pipeline: &mut Pipeline<'_>,
    metadata: &Metadata,
    bytes: &[u8],
    bounds: &Limits,
) -> Result<(), String> {
    let tree = match metadata.format {
        Format::Trie => trie::read_trie(bytes, bounds).map_err(|error| error.to_string())?,
        Format::Tree => trie::read_tree(bytes, bounds).map_err(|error| error.to_string())?,
        Format::Lines => folded::read_lines(bytes, bounds).map_err(|error| error.to_string())?,
        _ => folded::read(bytes, bounds).map_err(|error| error.to_string())?,
    };
    let (service, named) = naming::split_application(&metadata.name);
    add_named(pipeline, metadata, (service, named), metadata.labels.clone(), &tree);
    Ok(())
}

/// Adds a tree. Values of timed types count samples and become time.
fn add_named(
    pipeline: &mut Pipeline<'_>,
    metadata: &Metadata,
    (service, named): (&str, Named),
    mut labels: LabelSetBuilder,
    tree: &Tree,
) {
    let factor = if named.timed { metadata.period() } else { 1 };
    labels.set("__name__", named.metric);
    labels.set("service_name", service);
    let batch = batch(metadata, tree, named.sample_type(), named.period_type(), factor);
    pipeline.add_labelled(&labels, &batch);
}

fn batch(
    metadata: &Metadata,
    tree: &Tree,
    sample_type: ValueType,
    period_type: ValueType,
    factor: i64,
) -> ProfileBatch {
    let (dictionary, sums) = stacks::from_tree(tree);
    let sample =
        |(stack, value): (_, i64)| Sample { stack, value: value.saturating_mul(factor), ..Sample::default() };
    let profile = Profile {
        period: if period_type.is_empty() { 0 } else { metadata.period() },
        sample_type,
        period_type,
        time_unix_nano: metadata.from_ns,
        duration_nano: metadata.duration_ns,
        samples: sums.into_iter().map(sample).collect(),
        ..Profile::default()
    };
    let resources = vec![ResourceProfiles { profiles: vec![profile], ..ResourceProfiles::default() }];
    ProfileBatch { dictionary, resources }
}

/// All profiles of a file; their units say what they count.
fn add_speedscope(
    pipeline: &mut Pipeline<'_>,
    metadata: &Metadata,
    bytes: &[u8],
    bounds: &Limits,
) -> Result<(), String> {
    for profile in speedscope::read(bytes, bounds).map_err(|error| error.to_string())? {
        let mut labels = metadata.labels.clone();
        labels.set("profile_name", profile.name.as_str());
        let (service, mut named) = naming::split_application(&metadata.name);
        match profile.unit {
            speedscope::Unit::Samples => {}
            speedscope::Unit::Nanoseconds => named.timed = false,
            speedscope::Unit::Bytes if named.sample.1 == "bytes" => {}
            speedscope::Unit::Bytes => named = naming::MEMORY,
        }
        add_named(pipeline, metadata, (service, named), labels, &profile.tree);
    }
    Ok(())
}
