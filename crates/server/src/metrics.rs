//! What the server counts, and its text for Prometheus.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_store::Stats;

use crate::ingest::Reason;
use crate::symbols::Totals;

/// Beyond this many pairs of reason and tenant, tenants are counted together.
const DISCARDED_MAX: usize = 10_000;

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, u16), (u64, f64)>>,
    discarded: Mutex<BTreeMap<(&'static str, String), u64>>,
    revisions: Mutex<BTreeMap<&'static str, u64>>,
    /// Requests with profiles received.
    pub ingest_requests: AtomicU64,
    /// Those of which something was refused.
    pub ingest_rejected: AtomicU64,
    /// Their bytes after decompression.
    pub ingest_bytes: AtomicU64,
    /// Samples accepted.
    pub samples: AtomicU64,
    /// Rows appended to the store.
    pub rows: AtomicU64,
}

/// Locks without regard to panics elsewhere: counters are always consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// Counts a request. `route` is one of few names, never a path from outside.
    pub(crate) fn request(&self, route: &str, status: u16, took: Duration) {
        let mut requests = lock(&self.requests);
        let (count, seconds) = requests.entry((route.to_owned(), status)).or_default();
        *count += 1;
        *seconds += took.as_secs_f64();
    }

    /// Counts a request of a revision of OTLP profiles.
    pub(crate) fn revision(&self, name: &'static str) {
        *lock(&self.revisions).entry(name).or_default() += 1;
    }

    /// Counts samples that are not stored.
    pub(crate) fn discard(&self, tenant: &str, discarded: &HashMap<Reason, u64>) {
        let mut counts = lock(&self.discarded);
        let tenant = if counts.len() < DISCARDED_MAX { tenant } else { "other" };
        for (reason, samples) in discarded {
            *counts.entry((reason.name(), tenant.to_owned())).or_default() += samples;
        }
    }

    /// All metrics in Prometheus' text format.
    pub(crate) fn text(&self, stats: &Stats, symbols: &Totals, uptime: Duration) -> String {
        let mut text = String::new();
        text += "# HELP pyroscope_request_duration_seconds Time spent on requests.\n";
        text += "# TYPE pyroscope_request_duration_seconds summary\n";
        for ((route, status), (count, seconds)) in lock(&self.requests).iter() {
            let labels = format!("{{route={route:?},status_code=\"{status}\"}}");
            let _ = writeln!(text, "pyroscope_request_duration_seconds_sum{labels} {seconds}");
            let _ = writeln!(text, "pyroscope_request_duration_seconds_count{labels} {count}");
        }
        text += "# HELP pyroscope_discarded_samples_total Samples that were not stored.\n";
        text += "# TYPE pyroscope_discarded_samples_total counter\n";
        for ((reason, tenant), samples) in lock(&self.discarded).iter() {
            let _ = writeln!(
                text,
                "pyroscope_discarded_samples_total{{reason={reason:?},tenant={tenant:?}}} {samples}"
            );
        }
        text += "# HELP hearth_otlp_requests_total Requests of OTLP profiles by revision.\n";
        text += "# TYPE hearth_otlp_requests_total counter\n";
        for (revision, count) in lock(&self.revisions).iter() {
            let _ = writeln!(text, "hearth_otlp_requests_total{{revision={revision:?}}} {count}");
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(text, "# TYPE hearth_build_info gauge\nhearth_build_info{{version={version:?}}} 1");
        let series: [(&str, &str, u64); 18] = [
            ("hearth_ingest_requests_total", "Requests with profiles received", load(&self.ingest_requests)),
            (
                "hearth_ingest_rejected_requests_total",
                "Requests with something refused",
                load(&self.ingest_rejected),
            ),
            (
                "hearth_ingest_bytes_total",
                "Bytes of requests with profiles after decompression",
                load(&self.ingest_bytes),
            ),
            ("hearth_ingest_samples_total", "Samples accepted", load(&self.samples)),
            ("hearth_ingest_rows_total", "Rows appended to the store", load(&self.rows)),
            ("hearth_store_head_rows", "Rows in memory", stats.head_rows as u64),
            ("hearth_store_wal_bytes", "Bytes of the write-ahead log", stats.wal_bytes),
            ("hearth_store_segments", "Segments and blocks", stats.segments as u64),
            ("hearth_store_bytes", "Bytes of segments and blocks", stats.bytes_on_disk),
            ("hearth_store_appends_total", "Writes acknowledged", stats.appends),
            ("hearth_store_duplicates_total", "Writes recognised as repeated", stats.duplicates),
            ("hearth_store_refused_total", "Writes refused or failed", stats.refused),
            ("hearth_store_corrupt_files_total", "Files found damaged", stats.corrupt_files),
            (
                "hearth_store_flush_failures_total",
                "Flushes and compactions that failed",
                stats.flush_failures,
            ),
            ("hearth_store_blocks_named_total", "Blocks that got names late", stats.blocks_named),
            ("hearth_symbols_files", "Binaries whose symbols are kept", symbols.files),
            ("hearth_symbols_bytes", "Bytes of all symbols", symbols.bytes),
            ("hearth_symbols_damaged_total", "Files of symbols found damaged", symbols.damaged),
        ];
        for (name, help, value) in series {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}");
        }
        let _ = writeln!(
            text,
            "# TYPE hearth_uptime_seconds gauge\nhearth_uptime_seconds {}",
            uptime.as_secs_f64()
        );
        text
    }
}
