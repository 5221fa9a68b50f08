//! `push.v1.PusherService`: what Alloy and Pyroscope's newer SDKs send.
//!
//! Good profiles of a request are stored whatever their siblings are. As the response has no place
//! for what was refused, a request with a bad profile is answered with an error that says what was
//! wrong and that the rest is stored; it is of a kind that clients do not send again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use bytes::Bytes;
use hearth_codec::pyroscope::push::{PushRequest, RawSample};
use hearth_codec::{Limits, pprof};
use hearth_profile::LabelSetBuilder;

use super::rpc::{Code, Protocol, RpcError};
use super::{App, now_ms, querier, write};
use crate::ingest::{Pipeline, Prepared};
use crate::md5::md5;

/// The path of the only method.
pub(super) const PUSH: &str = "/push.v1.PusherService/Push";

/// Answers a push.
pub(super) async fn push(
    app: &Arc<App>,
    tenant: String,
    protocol: Protocol,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Bytes, RpcError> {
    app.metrics.ingest_requests.fetch_add(1, Ordering::Relaxed);
    let result = push_counted(app, &tenant, protocol, parts, body).await;
    if result.is_err() {
        app.metrics.ingest_rejected.fetch_add(1, Ordering::Relaxed);
    }
    result
}

async fn push_counted(
    app: &Arc<App>,
    tenant: &str,
    protocol: Protocol,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Bytes, RpcError> {
    let (bytes, share) = app.bodies.read(body, app.config.body_bytes_max, app.config.read_timeout).await?;
    let permit = app.decoders.clone().acquire_owned().await;
    let (shared, headers, owner) = (app.clone(), parts.headers.clone(), tenant.to_owned());
    let decoding = tokio::task::spawn_blocking(move || {
        // Held until the work is done, also if the client goes away meanwhile.
        let _held = (permit, share);
        let message = protocol.message(&headers, bytes, shared.config.body_bytes_max)?;
        shared.metrics.ingest_bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
        shared.admit(&owner, message.len())?;
        prepare(&shared, &owner, &querier::decode(protocol.encoding(), &message)?)
    });
    let failed = |error| Err(RpcError::new(Code::Internal, format!("decoding the request failed: {error}")));
    let (id, prepared) = decoding.await.unwrap_or_else(failed)?;
    let stored = prepared.accepted_samples;
    let refused = write::commit(app, tenant, parts, id, prepared).await?;
    if refused.is_empty() {
        return Ok(match protocol.encoding() {
            super::rpc::Encoding::Proto => Bytes::new(),
            super::rpc::Encoding::Json => Bytes::from_static(b"{}"),
        });
    }
    let rest = if stored > 0 { "; the rest is stored" } else { "" };
    Err(RpcError::invalid(format!("{}{rest}", write::summary(&refused))))
}

fn prepare(app: &App, tenant: &str, request: &PushRequest) -> Result<(Option<[u8; 16]>, Prepared), RpcError> {
    let samples = || request.series.iter().flat_map(|series| &series.samples);
    if samples().next().is_none() {
        return Err(RpcError::invalid("no profiles received"));
    }
    let limits = app.limits(tenant);
    let mut pipeline = Pipeline::new(&limits, now_ms());
    let mut left = app.config.body_bytes_max;
    for (at, series) in request.series.iter().enumerate() {
        let mut labels = LabelSetBuilder::default();
        let mut twice = None;
        for label in &series.labels {
            if labels.get(&label.name).is_some() {
                twice = Some(label.name.chars().take(60).collect::<String>());
            }
            labels.set(label.name.as_str(), label.value.as_str());
        }
        for (index, sample) in series.samples.iter().enumerate() {
            if let Some(name) = &twice {
                pipeline.refuse_labels(format!("series[{at}]: label {name:?} occurs twice"));
                continue;
            }
            let bounds = Limits {
                max_bytes: left,
                max_samples: limits.samples_max,
                max_depth: limits.depth_max,
                ..Limits::default()
            };
            let decoded = pprof::plain(&sample.raw_profile, &bounds).and_then(|plain| {
                left = left.saturating_sub(plain.len());
                pprof::decode_what_fits(&plain, &bounds)
            });
            match decoded {
                Ok(decoded) => {
                    pipeline.pass_over(decoded.dropped, decoded.reason);
                    pipeline.add_labelled(&labels, &decoded.batch);
                }
                Err(error) => pipeline.refuse_profile(format!("series[{at}].samples[{index}]: {error}")),
            }
        }
    }
    Ok((identity(samples()), pipeline.finish()))
}

/// The identity of a request all of whose profiles have one: whoever sends them again sends the same.
fn identity<'s>(samples: impl Iterator<Item = &'s RawSample>) -> Option<[u8; 16]> {
    let mut ids = Vec::new();
    for sample in samples {
        let digits = sample.id.bytes().filter(u8::is_ascii_hexdigit).count();
        if digits != 32 || sample.id.bytes().all(|byte| matches!(byte, b'0' | b'-')) {
            return None;
        }
        ids.extend_from_slice(sample.id.as_bytes());
        ids.push(b'\n');
    }
    Some(md5(&ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_ids_identify_a_request() {
        let sample = |id: &str| RawSample { id: id.to_owned(), ..RawSample::default() };
        let one = "7c4b9c5e-9a4f-4a8e-9e38-0d8a6c3f1b2a";
        let two = "11111111-9a4f-4a8e-9e38-0d8a6c3f1b2a";
        let of = |ids: &[&str]| identity(ids.iter().map(|id| sample(id)).collect::<Vec<_>>().iter());
        assert!(of(&[one]).is_some());
        assert_eq!(of(&[one, two]), of(&[one, two]));
        assert_ne!(of(&[one, two]), of(&[two, one]));
        for ids in [&[""][..], &[one, ""], &["00000000-0000-0000-0000-000000000000"], &["x"]] {
            assert_eq!(of(ids), None, "{ids:?}");
        }
    }
}
