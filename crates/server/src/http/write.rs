//! The common end of all doors: what was prepared is appended, counted and reported.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;

use super::rpc::{Code, RpcError};
use super::{App, Peer};
use crate::ingest::{Prepared, Sent};

/// Most reasons named in one answer.
const REASONS_MAX: usize = 10;

/// Appends what was prepared; says what was refused of it, or why nothing is stored.
pub(super) async fn commit(
    app: &Arc<App>,
    tenant: &str,
    parts: &http::request::Parts,
    batch_id: Option<[u8; 16]>,
    prepared: Prepared,
) -> Result<Vec<String>, RpcError> {
    app.metrics.discard(tenant, &prepared.discarded);
    for (reason, detail) in &prepared.reasons {
        if app.is_first(format!("{tenant}\n{}", reason.name())) {
            tracing::warn!(tenant, reason = reason.name(), %detail, "profiles refused; said once per tenant and reason");
        }
    }
    let rows = prepared.write.rows.len() as u64;
    if rows > 0 {
        let appended = app.store.append(tenant, batch_id, prepared.write).await.map_err(|error| {
            let code = if error.is_retryable() { Code::Unavailable } else { Code::InvalidArgument };
            RpcError::new(code, error.to_string())
        })?;
        if appended.duplicate {
            return Ok(prepared.refused);
        }
    }
    app.metrics.samples.fetch_add(prepared.accepted_samples, Ordering::Relaxed);
    app.metrics.rows.fetch_add(rows, Ordering::Relaxed);
    saw(app, tenant, parts, prepared.hosts);
    Ok(prepared.refused)
}

/// The address of whoever sent a request.
pub(super) fn peer(parts: &http::request::Parts) -> String {
    parts.extensions.get::<Peer>().map_or_else(|| "unknown".to_owned(), |peer| peer.0.to_string())
}

fn saw(app: &App, tenant: &str, parts: &http::request::Parts, hosts: HashMap<Option<String>, Sent>) {
    let peer = peer(parts);
    for (host, sent) in hosts {
        app.saw_host(tenant, &host.unwrap_or_else(|| peer.clone()), &sent);
    }
}

/// All reasons in one text, the first few in full.
pub(super) fn summary(reasons: &[String]) -> String {
    let mut distinct: Vec<&str> = reasons.iter().map(String::as_str).collect();
    distinct.dedup();
    let mut text = distinct.iter().take(REASONS_MAX).copied().collect::<Vec<_>>().join("; ");
    if distinct.len() > REASONS_MAX {
        text += &format!("; and {} more", distinct.len() - REASONS_MAX);
    }
    text
}

/// The identity a sender gave the request, by which a repetition is recognised.
pub(super) fn batch_id(headers: &HeaderMap) -> Result<Option<[u8; 16]>, RpcError> {
    let Some(value) = headers.get("x-hearth-batch-id") else { return Ok(None) };
    let text: String = value.to_str().unwrap_or_default().chars().filter(|char| *char != '-').collect();
    let wrong = || RpcError::invalid("x-hearth-batch-id: expected 32 hexadecimal digits");
    if text.len() != 32 || !text.is_ascii() {
        return Err(wrong());
    }
    u128::from_str_radix(&text, 16).map(|id| Some(id.to_be_bytes())).map_err(|_| wrong())
}
