//! What each tenant may: limits with overrides from a file that is read again while the server runs,
//! and rates.
//!
//! A rate is a bucket of bytes that fills with the allowed rate up to the allowed burst. A request
//! larger than what is in it is refused with the time after which it may succeed; one larger than
//! the burst is admitted when the bucket is full, so that nothing is refused for ever.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::{Config, IngestLimits, QueryLimits};

/// Most tenants whose rate is remembered; beyond that the fullest buckets are forgotten.
const BUCKETS_MAX: usize = 10_000;

/// What one tenant may.
#[derive(Clone, Debug)]
pub(crate) struct TenantLimits {
    pub(crate) ingest: Arc<IngestLimits>,
    pub(crate) query: QueryLimits,
}

/// Why a request is refused now.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "the tenant sends more than its limit of {rate} bytes/s with bursts of {burst} bytes; \
     the request has {bytes} bytes; retry after {seconds} s"
)]
pub(crate) struct Refused {
    bytes: usize,
    rate: u64,
    burst: u64,
    /// After how many seconds the request may succeed.
    pub(crate) seconds: u32,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    bytes: f64,
    at: Duration,
}

/// The limits and rates of all tenants.
#[derive(Debug)]
pub(crate) struct Tenants {
    base: TenantLimits,
    overrides: RwLock<HashMap<String, TenantLimits>>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Tenants {
    /// Limits as configured, with the overrides of the file that the configuration names.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let tenants = Self {
            base: TenantLimits { ingest: Arc::new(config.limits.clone()), query: config.query },
            overrides: RwLock::default(),
            buckets: Mutex::default(),
        };
        if let Some(path) = &config.overrides_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("runtime configuration {}: {error}", path.display()))?;
            tenants
                .apply(config, &text)
                .map_err(|reason| format!("runtime configuration {}: {reason}", path.display()))?;
        }
        Ok(tenants)
    }

    /// Replaces all overrides.
    fn apply(&self, config: &Config, text: &str) -> Result<(), String> {
        let overrides = config.overrides(text)?;
        let limits = |config: Config| TenantLimits { ingest: Arc::new(config.limits), query: config.query };
        let overrides = overrides.into_iter().map(|(tenant, config)| (tenant, limits(config))).collect();
        *self.overrides.write().unwrap_or_else(PoisonError::into_inner) = overrides;
        Ok(())
    }

    /// What a tenant may.
    pub(crate) fn limits(&self, tenant: &str) -> TenantLimits {
        let overrides = self.overrides.read().unwrap_or_else(PoisonError::into_inner);
        overrides.get(tenant).unwrap_or(&self.base).clone()
    }

    /// Takes `bytes` out of a tenant's bucket. `now` is the time since any fixed moment.
    pub(crate) fn admit(&self, tenant: &str, bytes: usize, now: Duration) -> Result<(), Refused> {
        let limits = self.limits(tenant).ingest;
        if limits.rate_bytes == 0 {
            return Ok(());
        }
        let (rate, burst) = (limits.rate_bytes as f64, limits.burst_bytes.max(1) as f64);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(tenant) {
            buckets.retain(|_, bucket| bucket.bytes < burst);
        }
        let bucket = buckets.entry(tenant.to_owned()).or_insert(Bucket { bytes: burst, at: now });
        let passed = now.saturating_sub(bucket.at).as_secs_f64();
        bucket.bytes = (bucket.bytes + passed * rate).min(burst);
        bucket.at = now;
        // What is larger than the bucket passes when it is full, and leaves a debt.
        let needed = (bytes as f64).min(burst);
        if bucket.bytes >= needed {
            bucket.bytes -= bytes as f64;
            return Ok(());
        }
        let seconds = ((needed - bucket.bytes) / rate).ceil().clamp(1.0, 3_600.0) as u32;
        Err(Refused { bytes, rate: limits.rate_bytes, burst: limits.burst_bytes, seconds })
    }
}

/// Reads the overrides again whenever their file changes, until `stopped`.
pub(crate) async fn watch_file(tenants: Arc<Tenants>, config: Config, mut stopped: watch::Receiver<bool>) {
    let Some(path) = config.overrides_file.clone() else { return };
    let mut known = read(&path).await.ok();
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(config.overrides_period) => {}
        }
        let text = match read(&path).await {
            Ok(text) => text,
            Err(error) => {
                if known.take().is_some() {
                    tracing::warn!(file = %path.display(), %error, "runtime configuration unreadable; the last one stays");
                }
                continue;
            }
        };
        if known.as_ref() == Some(&text) {
            continue;
        }
        match tenants.apply(&config, &text) {
            Ok(()) => tracing::info!(file = %path.display(), "runtime configuration read again"),
            Err(reason) => {
                tracing::warn!(file = %path.display(), %reason, "runtime configuration refused; the last one stays");
            }
        }
        known = Some(text);
    }
}

async fn read(path: &PathBuf) -> std::io::Result<String> {
    tokio::fs::read_to_string(path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(rate_bytes: u64, burst_bytes: u64) -> Tenants {
        let mut config = Config::default();
        config.limits.rate_bytes = rate_bytes;
        config.limits.burst_bytes = burst_bytes;
        Tenants::new(&config).unwrap()
    }

    #[test]
    fn a_bucket_refills_with_time() {
        let tenants = tenants(100, 250);
        let at = Duration::from_secs;
        assert_eq!(tenants.admit("a", 200, at(10)), Ok(()));
        assert_eq!(tenants.admit("a", 200, at(10)).unwrap_err().seconds, 2);
        assert_eq!(tenants.admit("b", 200, at(10)), Ok(()));
        assert_eq!(tenants.admit("a", 200, at(12)), Ok(()));
        let error = tenants.admit("a", 60, at(12)).unwrap_err().to_string();
        assert!(error.contains("limit of 100 bytes/s") && error.contains("retry after 1 s"), "{error}");
    }

    #[test]
    fn what_exceeds_the_burst_passes_when_the_bucket_is_full() {
        let tenants = tenants(100, 250);
        let at = Duration::from_secs;
        assert_eq!(tenants.admit("a", 1_000, at(0)), Ok(()));
        assert_eq!(tenants.admit("a", 1, at(5)).unwrap_err().seconds, 3);
        assert_eq!(tenants.admit("a", 1, at(8)), Ok(()));
        assert_eq!(self::tenants(0, 0).admit("a", usize::MAX, at(0)), Ok(()));
    }

    #[test]
    fn overrides_change_single_limits_of_single_tenants() {
        let mut config = Config::default();
        config.limits.label_names_max = 7;
        let tenants = Tenants::new(&config).unwrap();
        let text = "overrides:\n  big:\n    max_label_names_per_series: 99\n    ingestion_rate_mb: 0.5\n    max_query_length: 1h\n  small: {}\n";
        tenants.apply(&config, text).unwrap();
        let names = |tenant: &str| tenants.limits(tenant).ingest.label_names_max;
        assert_eq!((names("big"), names("small"), names("other")), (99, 7, 7));
        assert_eq!(tenants.limits("big").ingest.rate_bytes, 500_000);
        assert_eq!(tenants.limits("big").query.length_max, Duration::from_secs(3_600));
        for (text, want) in [
            ("overides: {}", "unknown key overides"),
            ("overrides:\n  a:\n    max_label_nmes: 1", "line 3: unknown key max_label_nmes of tenant a"),
            (
                "overrides:\n  a:\n    max_label_names_per_series: many",
                "line 3: max_label_names_per_series of tenant a: \"many\"",
            ),
            (
                "overrides:\n  a:\n    retention_period: 1d",
                "retention_period of tenant a: applies to all tenants; set it in -config.file",
            ),
            ("overrides: [1]", "overrides is a list; expected a mapping"),
            ("overrides:\n  a/b: {}", "tenant \"a/b\""),
        ] {
            let error = tenants.apply(&config, text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert_eq!(names("big"), 99);
    }
}
