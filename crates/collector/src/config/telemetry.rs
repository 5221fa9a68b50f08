//! The section `service::telemetry`: how the service logs and counts.

use crate::confmap::Value;
use crate::decode::{Missing, Section};

/// The least severe messages that are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// The course of events.
    #[default]
    Info,
    /// What somebody should look at.
    Warn,
    /// What failed.
    Error,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogEncoding {
    /// Tab-separated, for people.
    #[default]
    Console,
    /// One JSON object per line.
    Json,
}

/// Where Prometheus scrapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsEndpoint {
    /// Address or name to bind.
    pub host: String,
    /// Port to bind.
    pub port: u16,
    /// Whether the configuration names it. If so, a port in use ends the start; the default port
    /// belongs to whichever collector of the machine came first, and being second is only worth a warning.
    pub explicit: bool,
}

/// What the service says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The least severe messages that are written.
    pub log_level: LogLevel,
    /// How messages are written.
    pub log_encoding: LogEncoding,
    /// Fields that every message carries.
    pub log_fields: Vec<(String, String)>,
    /// Where metrics are served; none if switched off.
    pub metrics: Vec<MetricsEndpoint>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_level: LogLevel::default(),
            log_encoding: LogEncoding::default(),
            log_fields: Vec::new(),
            metrics: vec![MetricsEndpoint { host: "localhost".into(), port: 8888, explicit: false }],
        }
    }
}

impl Telemetry {
    pub(super) fn read(&mut self, section: &mut Section<'_, '_>) {
        section.child("logs", |logs| self.read_logs(logs));
        section.child("metrics", |metrics| self.read_metrics(metrics));
        section.not_implemented("traces", "", Missing::Warn, "the agent writes no traces of itself");
        section.not_implemented("resource", "", Missing::Warn, "remove it");
    }

    fn read_logs(&mut self, logs: &mut Section<'_, '_>) {
        let (mut level, mut encoding) = (String::from("info"), String::from("console"));
        logs.string("level", &mut level);
        logs.string("encoding", &mut encoding);
        self.log_level = match level.to_ascii_lowercase().as_str() {
            "debug" => LogLevel::Debug,
            "info" | "" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            "error" | "dpanic" | "panic" | "fatal" => LogLevel::Error,
            _ => {
                logs.decode_error("level", &format!("unrecognized level: {level:?}"));
                LogLevel::Info
            }
        };
        self.log_encoding = match encoding.as_str() {
            "console" => LogEncoding::Console,
            "json" => LogEncoding::Json,
            _ => {
                logs.decode_error("encoding", &format!("no encoder registered for name {encoding:?}"));
                LogEncoding::Console
            }
        };
        logs.pairs("initial_fields", &mut self.log_fields);
        // Our messages carry neither caller nor stack trace; asking for none is fine.
        for key in ["development", "disable_caller", "disable_stacktrace"] {
            let mut flag = false;
            logs.bool(key, &mut flag);
        }
        let mut paths = vec!["stderr".to_owned()];
        logs.strings("output_paths", &mut paths);
        if paths != ["stderr"] {
            logs.warn("output_paths", "not implemented by Hearth yet; messages go to stderr");
        }
        logs.not_implemented("error_output_paths", "", Missing::Warn, "messages go to stderr");
        logs.not_implemented("processors", "", Missing::Warn, "messages go to stderr");
        logs.child("sampling", |sampling| {
            let (mut enabled, mut every) = (true, std::time::Duration::from_secs(10));
            let (mut initial, mut thereafter) = (10u64, 100u64);
            sampling.bool("enabled", &mut enabled);
            sampling.duration("tick", &mut every);
            sampling.integer("initial", &mut initial);
            sampling.integer("thereafter", &mut thereafter);
            if enabled && (initial, thereafter) != (10, 100) {
                sampling.warn("", "not implemented by Hearth yet: every message is written");
            }
        });
    }

    fn read_metrics(&mut self, metrics: &mut Section<'_, '_>) {
        let mut level = String::from("normal");
        metrics.string("level", &mut level);
        let on = match level.to_ascii_lowercase().as_str() {
            "none" => false,
            "" | "basic" | "normal" | "detailed" => true,
            _ => {
                metrics.decode_error("level", &format!("unknown metrics level {level:?}"));
                true
            }
        };
        if metrics.value("address").is_some() {
            metrics.invalid("address", "removed by the Collector too; use readers with a pull exporter");
        }
        metrics.not_implemented("views", "", Missing::Warn, "remove it");
        if let Some(readers) = metrics.value("readers")
            && !readers.is_null()
        {
            let Value::List(readers) = readers.parsed() else {
                metrics.decode_error("readers", "expected a list");
                return;
            };
            self.metrics.clear();
            for (index, reader) in readers.iter().enumerate() {
                metrics.nested(&format!("readers[{index}]"), reader, |reader| self.read_reader(reader));
            }
        }
        if !on {
            self.metrics.clear();
        }
    }

    fn read_reader(&mut self, reader: &mut Section<'_, '_>) {
        reader.not_implemented("periodic", "", Missing::Warn, "only a Prometheus pull reader is served");
        reader.child("pull", |pull| {
            pull.not_implemented("producers", "", Missing::Warn, "remove it");
            pull.not_implemented("cardinality_limits", "", Missing::Warn, "remove it");
            pull.child("exporter", |exporter| {
                exporter.child("prometheus", |prometheus| {
                    let mut endpoint =
                        MetricsEndpoint { host: "localhost".into(), port: 8888, explicit: true };
                    prometheus.string("host", &mut endpoint.host);
                    prometheus.integer("port", &mut endpoint.port);
                    // Our series have neither units nor suffixes nor scope labels in their names.
                    for key in ["without_units", "without_type_suffix", "without_scope_info"] {
                        let mut flag = true;
                        prometheus.bool(key, &mut flag);
                        if !flag {
                            prometheus.warn(key, "false is not implemented by Hearth yet, has no effect");
                        }
                    }
                    prometheus.not_implemented(
                        "with_resource_constant_labels",
                        "",
                        Missing::Warn,
                        "remove it",
                    );
                    self.metrics.push(endpoint);
                });
            });
        });
    }
}
