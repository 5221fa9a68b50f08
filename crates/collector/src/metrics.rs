//! Counting what the collector does, in Prometheus' text format.
//!
//! Names and labels are the Collector's (`otelcol_exporter_sent_profile_samples{exporter="…"}`), so
//! that existing dashboards and alerts work. Counters have no `_total` suffix, as there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Adds `count`, which may be negative.
    pub fn add(&self, count: i64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
enum Cell {
    Counter(Counter),
    Gauge(Gauge),
}

/// Name without prefix, then labels as written inside the braces.
type Key = (&'static str, String);

#[derive(Debug)]
struct Registered {
    started: Instant,
    cells: Mutex<BTreeMap<Key, Cell>>,
    target: String,
}

/// All counters and gauges of a service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Registered>);

/// `# HELP` of the metrics that have been in the Collector for long.
const HELP: [(&str, &str); 10] = [
    (
        "exporter_enqueue_failed_profile_samples",
        "Number of profile samples failed to be added to the sending queue.",
    ),
    ("exporter_queue_capacity", "Fixed capacity of the sending queue, in requests."),
    ("exporter_queue_size", "Current size of the sending queue, in requests."),
    (
        "exporter_send_failed_profile_samples",
        "Number of profile samples in failed attempts to send to destination.",
    ),
    ("exporter_sent_profile_samples", "Number of profile samples successfully sent to destination."),
    ("process_cpu_seconds", "Total CPU user and system time in seconds."),
    ("process_memory_rss", "Total physical memory (resident set size)."),
    ("process_uptime", "Uptime of the process in seconds."),
    ("receiver_accepted_profile_samples", "Number of profile samples successfully pushed into the pipeline."),
    (
        "receiver_refused_profile_samples",
        "Number of profile samples that could not be pushed into the pipeline.",
    ),
];

impl Metrics {
    /// An empty registry. `service`, `version` and `instance` describe the program in `target_info`.
    pub fn new(service: &str, version: &str, instance: &str) -> Self {
        let target = labels(&[
            ("service_instance_id", instance),
            ("service_name", service),
            ("service_version", version),
        ]);
        Self(Arc::new(Registered { started: Instant::now(), cells: Mutex::default(), target }))
    }

    fn cell(&self, name: &'static str, pairs: &[(&str, &str)], new: impl FnOnce() -> Cell) -> Cell {
        let mut cells = self.0.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.entry((name, labels(pairs))).or_insert_with(new).clone()
    }

    /// The counter with this name (without the prefix `otelcol_`) and these labels.
    pub fn counter(&self, name: &'static str, labels: &[(&str, &str)]) -> Counter {
        match self.cell(name, labels, || Cell::Counter(Counter::default())) {
            Cell::Counter(counter) => counter,
            Cell::Gauge(_) => Counter::default(),
        }
    }

    /// The gauge with this name and these labels.
    pub fn gauge(&self, name: &'static str, labels: &[(&str, &str)]) -> Gauge {
        match self.cell(name, labels, || Cell::Gauge(Gauge::default())) {
            Cell::Gauge(gauge) => gauge,
            Cell::Counter(_) => Gauge::default(),
        }
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut lines: BTreeMap<&str, (&str, Vec<String>)> = BTreeMap::new();
        {
            let cells = self.0.cells.lock().unwrap_or_else(PoisonError::into_inner);
            for ((name, labels), cell) in cells.iter() {
                let (kind, value) = match cell {
                    Cell::Counter(counter) => ("counter", counter.get().to_string()),
                    Cell::Gauge(gauge) => ("gauge", gauge.get().to_string()),
                };
                let line = format!("otelcol_{name}{labels} {value}");
                lines.entry(name).or_insert((kind, Vec::new())).1.push(line);
            }
        }
        let mut process = |name: &'static str, kind: &'static str, value: f64| {
            lines.insert(name, (kind, vec![format!("otelcol_{name} {value}")]));
        };
        process("process_uptime", "counter", self.0.started.elapsed().as_secs_f64());
        if let Some(usage) = ProcessUsage::read() {
            process("process_cpu_seconds", "counter", usage.cpu_seconds);
            process("process_memory_rss", "gauge", usage.rss_bytes);
        }
        let mut out = String::new();
        for (name, (kind, samples)) in lines {
            if let Some((_, help)) = HELP.iter().find(|(known, _)| *known == name) {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "# HELP otelcol_{name} {help}");
            }
            let _ = writeln!(out, "# TYPE otelcol_{name} {kind}\n{}", samples.join("\n"));
        }
        let _ = writeln!(
            out,
            "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{} 1",
            self.0.target
        );
        out
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let written: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", written.join(","))
}

struct ProcessUsage {
    cpu_seconds: f64,
    rss_bytes: f64,
}

impl ProcessUsage {
    /// `None` where `/proc` is not mounted.
    fn read() -> Option<Self> {
        /// The kernel scales `/proc/PID/stat` times to this many per second on every architecture we run on.
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        // The command, in parentheses, may hold spaces; fields are counted after it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: f64 = rss.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(Self { cpu_seconds: ticks / TICKS_PER_SECOND, rss_bytes: kib * 1024.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_render_in_prometheus_text_format() {
        let metrics = Metrics::new("hearth", "1", "i");
        metrics.counter("exporter_sent_profile_samples", &[("exporter", "otlp_grpc/a\"b")]).add(3);
        metrics.counter("exporter_sent_profile_samples", &[("exporter", "otlp_grpc/a\"b")]).add(4);
        metrics.gauge("exporter_queue_size", &[("exporter", "x"), ("data_type", "profiles")]).add(-1);
        let text = metrics.render();
        for want in [
            "# TYPE otelcol_exporter_sent_profile_samples counter\notelcol_exporter_sent_profile_samples{exporter=\"otlp_grpc/a\\\"b\"} 7\n",
            "# TYPE otelcol_exporter_queue_size gauge\notelcol_exporter_queue_size{exporter=\"x\",data_type=\"profiles\"} -1\n",
            "# TYPE otelcol_process_uptime counter\notelcol_process_uptime ",
            "otelcol_process_memory_rss ",
            "target_info{service_instance_id=\"i\",service_name=\"hearth\",service_version=\"1\"} 1\n",
        ] {
            assert!(text.contains(want), "{want}\nnot in\n{text}");
        }
    }
}
