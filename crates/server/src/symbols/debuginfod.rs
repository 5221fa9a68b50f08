//! Asks debuginfod servers for the symbols of binaries that nobody brought.
//!
//! Off unless servers are configured: a build ID says which software runs here. Only binaries are
//! asked for whose code is without names in what was received lately, heaviest first; what no server
//! has is not asked for again for a day.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use hearth_profile::ProfileType;
use hearth_query::{Cancel, Engine, Query, Range, Selector};
use hearth_store::Store;
use http::StatusCode;
use tokio::sync::watch;

use super::upload::build_id;
use super::{Origin, Plain, SHARED, Symbols};
use crate::client;
use crate::http::now_ms;

/// How far back unnamed code is looked for: at the start, and later.
const FIRST_LOOK_MS: i64 = 24 * 3_600_000;
const LOOK_MS: i64 = 600_000;
/// Binaries asked for in one round.
const ROUND_MAX: usize = 20;
/// How long a binary that no server has is not asked for again; shorter where a server failed.
const ABSENT: Duration = Duration::from_secs(24 * 3600);
const FAILED: Duration = Duration::from_secs(600);
/// Binaries remembered as absent.
const ABSENT_MAX: usize = 100_000;

/// What the task needs.
#[derive(Debug)]
pub(crate) struct Debuginfod {
    pub symbols: Arc<Symbols>,
    pub store: Arc<Store>,
    pub urls: Vec<String>,
    pub interval: Duration,
}

impl Debuginfod {
    /// Works until told to stop.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut absent: HashMap<String, Instant> = HashMap::new();
        let mut look_ms = FIRST_LOOK_MS;
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                () = tokio::time::sleep(self.interval) => {}
            }
            let now = Instant::now();
            absent.retain(|_, until| *until > now);
            for build_id in self.unnamed(look_ms).await {
                if absent.contains_key(&build_id) || absent.len() >= ABSENT_MAX {
                    continue;
                }
                tokio::select! {
                    _ = stopped.changed() => return,
                    found = self.fetch(&build_id) => match found {
                        Ok(true) => tracing::info!(build_id, "got symbols from debuginfod"),
                        Ok(false) => { absent.insert(build_id, now + ABSENT); }
                        Err(error) => {
                            tracing::warn!(build_id, "debuginfod: {error}");
                            absent.insert(build_id, now + FAILED);
                        }
                    },
                }
            }
            look_ms = LOOK_MS;
        }
    }

    /// Binaries with unnamed code of which nothing is known here, heaviest first.
    async fn unnamed(&self, look_ms: i64) -> Vec<String> {
        let (store, shelf) = (self.store.clone(), self.symbols.shelf.clone());
        let work = move || {
            let snapshots = store.clone();
            let engine = Engine::new(Arc::new(move || snapshots.snapshot()));
            let mut wanted = Vec::new();
            for tenant in store.tenants() {
                let now = now_ms();
                let Ok(range) = Range::new(now.saturating_sub(look_ms), now.saturating_add(60_000)) else {
                    continue;
                };
                let selector = Selector::default().with_type(&ProfileType::process_cpu());
                let query = Query { tenant: tenant.clone(), selector, range, cancel: Cancel::default() };
                match engine.unnamed(&query) {
                    Ok(unnamed) => wanted.extend(unnamed.binaries.into_iter().filter_map(|binary| {
                        let id = build_id(&binary.build_id).ok()?;
                        shelf.facts(&tenant, &id).is_none_or(|facts| !facts.has_names()).then_some(id)
                    })),
                    Err(error) => tracing::warn!("looking for code without names: {error}"),
                }
            }
            wanted.truncate(ROUND_MAX);
            wanted
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }

    /// Gets a binary's symbols from the first server that has them; whether one has.
    async fn fetch(&self, build_id: &str) -> Result<bool, String> {
        let mut failure = None;
        for url in &self.urls {
            match self.fetch_from(url, build_id).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(false), Err)
    }

    async fn fetch_from(&self, url: &str, build_id: &str) -> Result<bool, String> {
        let address = format!("{}/buildid/{build_id}/debuginfo", url.trim_end_matches('/'));
        let response = client::get(&address).await.map_err(|error| error.to_string())?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(false),
            status => return Err(format!("{url} answers {status}")),
        }
        let uploads = &self.symbols.uploads;
        let kept = async {
            let incoming = uploads.receive(Plain(Body::new(response.into_body()))).await?;
            let (incoming, brought) = uploads.check(incoming, Some(build_id)).await?;
            let name = format!("{build_id}.debug");
            uploads.keep(SHARED, incoming, brought, name, Origin::Debuginfod).await
        };
        kept.await.map(|_| true).map_err(|refusal| format!("{url}: {refusal}"))
    }
}
