//! The table of settings, and what Pyroscope has besides them.

use std::time::Duration;

use hearth_store::SyncPolicy;

use super::rules::rules_from;
use super::yaml::{self, Node};
use super::{Config, yaml::Value as YamlValue};
use crate::relabel::{DefaultRules, Rule};

/// What a setting's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Integer { min: u64, max: u64 },
    Text,
    Duration,
    TextList,
    Rules,
}

/// A value of the right kind.
pub(super) enum Meant {
    Bool(bool),
    Integer(u64),
    Text(String),
    Duration(Duration),
    TextList(Vec<String>),
    Rules(Vec<Rule>),
}

/// A value as written.
pub(super) enum Given<'n> {
    Text { text: String, plain: bool },
    Node(&'n Node),
}

impl<'n> From<&'n Node> for Given<'n> {
    fn from(node: &'n Node) -> Self {
        match &node.value {
            YamlValue::Scalar { text, plain } => Self::Text { text: text.clone(), plain: *plain },
            _ => Self::Node(node),
        }
    }
}

/// One setting. `flag` or `yaml` may be empty: then it cannot be given that way.
pub(super) struct Setting {
    pub(super) flag: &'static str,
    pub(super) yaml: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) set: fn(&mut Config, Meant) -> Result<(), String>,
}

/// Stands for a flag of Pyroscope that means nothing here; its value is its name.
pub(super) static IGNORED: Setting = Setting {
    flag: "",
    yaml: "",
    kind: Kind::Text,
    help: "",
    set: |config, value| {
        if let Meant::Text(name) = value {
            config.warnings.push(format!("{name} is a flag of Pyroscope that has no effect here"));
        }
        Ok(())
    },
};

macro_rules! settings {
    ($($flag:literal $yaml:literal $kind:expr, $help:literal, |$config:ident, $value:ident: $meant:ident| $set:expr;)*) => {
        /// Every setting.
        pub(super) static SETTINGS: &[Setting] = &[$(Setting {
            flag: $flag,
            yaml: $yaml,
            kind: $kind,
            help: $help,
            set: |$config, given| {
                let Meant::$meant($value) = given else { return Err("has a value of another kind".to_owned()) };
                $set;
                Ok(())
            },
        }),*];
    };
}

const SIZE: Kind = Kind::Integer { min: 1, max: 1 << 40 };
const SIZE_OR_NONE: Kind = Kind::Integer { min: 0, max: 1 << 40 };
const PORT: Kind = Kind::Integer { min: 0, max: 65_535 };

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

settings! {
    "listen" "" Kind::Text, "address and port to listen on; default 0.0.0.0:4040",
        |config, value: Text| (config.listen_host, config.listen_port) = host_and_port(&value)?;
    "data" "" Kind::Text, "directory for the data; default ./hearth-data",
        |config, value: Text| config.data_dir = not_empty(value)?.into();
    "wal-sync" "" Kind::Text, "when an acknowledged write is on the disk: always (default), a duration such as 5ms, or off",
        |config, value: Text| config.wal_sync = sync_policy(&value)?;
    "ui-dir" "" Kind::Text, "serve the UI from this directory",
        |config, value: Text| config.ui_dir = Some(not_empty(value)?.into());
    "config.file" "" Kind::Text, "YAML file to read first",
        |_config, value: Text| no_effect(value);
    "config.expand-env" "" Kind::Bool, "expand ${NAME} in the file",
        |_config, value: Bool| no_effect(value);
    "target" "target" Kind::Text, "which parts to run; only all",
        |_config, value: Text| only("all", &value)?;
    "auth.multitenancy-enabled" "multitenancy_enabled" Kind::Bool, "tell tenants apart by X-Scope-OrgID",
        |config, value: Bool| config.multitenancy = value;
    "server.http-listen-address" "server.http_listen_address" Kind::Text, "address to listen on",
        |config, value: Text| config.listen_host = if value.is_empty() { "0.0.0.0".to_owned() } else { value };
    "server.http-listen-port" "server.http_listen_port" PORT, "port to listen on",
        |config, value: Integer| config.listen_port = u16::try_from(value).unwrap_or(u16::MAX);
    "server.http-read-timeout" "server.http_server_read_timeout" Kind::Duration, "longest time a request may take to arrive",
        |config, value: Duration| config.read_timeout = at_least_a_second(value)?;
    "server.http-write-timeout" "server.http_server_write_timeout" Kind::Duration, "longest time an answer may take",
        |config, value: Duration| config.write_timeout = at_least_a_second(value)?;
    "log.level" "server.log_level" Kind::Text, "debug, info, warn or error",
        |config, value: Text| config.log_level = one_of(&["debug", "info", "warn", "error"], value)?;
    "storage.backend" "storage.backend" Kind::Text, "where data is kept; only filesystem",
        |_config, value: Text| only("filesystem", &value)?;
    "storage.filesystem.dir" "storage.filesystem.dir" Kind::Text, "same as -data",
        |config, value: Text| config.data_dir = not_empty(value)?.into();
    "self-profiling.disable-push" "self_profiling.disable_push" Kind::Bool, "accepted: Hearth never profiles itself",
        |_config, value: Bool| no_effect(value);
    "usage-stats.enabled" "analytics.reporting_enabled" Kind::Bool, "accepted: Hearth never reports usage",
        |_config, value: Bool| no_effect(value);
    "debug-info.enabled" "debug_info.enabled" Kind::Bool, "take uploads of debug information; default true",
        |config, value: Bool| config.symbols.uploads = value;
    "debug-info.max-upload-size" "debug_info.max_upload_size" SIZE, "largest file of debug information in bytes; default 1 GiB",
        |config, value: Integer| config.symbols.upload_bytes_max = value;
    "debug-info.upload-timeout" "debug_info.upload_timeout" Kind::Duration, "longest time such a file may take to arrive; default 10m",
        |config, value: Duration| config.symbols.upload_timeout = at_least_a_second(value)?;
    "debug-info.upload-stale-period" "debug_info.upload_stale_period" Kind::Duration, "how long an announced upload keeps others from sending the same file; default 5m",
        |config, value: Duration| config.symbols.stale_after = value;
    "symbols.max-bytes" "symbols.max_bytes" SIZE, "bytes of all symbols kept; default 10 GiB; beyond it those not used for the longest time go",
        |config, value: Integer| config.symbols.total_bytes_max = value;
    "symbols.debuginfod-urls" "symbols.debuginfod_urls" Kind::TextList, "debuginfod servers to ask for symbols that nobody brought; default none",
        |config, value: TextList| config.symbols.debuginfod_urls = value;
    "otlp.listen" "" Kind::TextList, "further addresses for OTLP, such as 0.0.0.0:4317,0.0.0.0:4318; each takes gRPC and HTTP; default none",
        |config, value: TextList| config.otlp_listen = value.iter().map(|text| host_and_port(text)).collect::<Result<_, _>>()?;
    "auth.credentials-file" "" Kind::Text, "file of who may ask, a line each: bearer TOKEN, or basic USER:PASSWORD; default: everybody",
        |config, value: Text| config.credentials_file = Some(not_empty(value)?.into());
    "server.http-tls-cert-path" "server.http_tls_config.cert_file" Kind::Text, "PEM file with the certificate for TLS",
        |config, value: Text| config.tls_cert = (!value.is_empty()).then(|| value.into());
    "server.http-tls-key-path" "server.http_tls_config.key_file" Kind::Text, "PEM file with its key",
        |config, value: Text| config.tls_key = (!value.is_empty()).then(|| value.into());
    "runtime-config.file" "runtime_config.file" Kind::Text, "YAML file with limits of single tenants under overrides:, read again when it changes",
        |config, value: Text| config.overrides_file = (!value.is_empty()).then(|| value.into());
    "runtime-config.reload-period" "runtime_config.period" Kind::Duration, "how often to look whether that file has changed; default 10s",
        |config, value: Duration| config.overrides_period = at_least_a_second(value)?;
    "distributor.ingestion-rate-limit-mb" "limits.ingestion_rate_mb" Kind::Text, "MB of profiles per second that a tenant may send; 0 is no limit, the default",
        |config, value: Text| config.limits.rate_bytes = megabytes(&value)?;
    "distributor.ingestion-burst-size-mb" "limits.ingestion_burst_size_mb" Kind::Text, "MB that may come at once; default as much as in a second",
        |config, value: Text| config.limits.burst_bytes = megabytes(&value)?;
    "retention-period" "limits.retention_period" Kind::Duration, "how long data is kept; 0 keeps everything",
        |config, value: Duration| config.retention = value;
    "distributor.ingestion-body-limit-mb" "limits.ingestion_body_limit_mb" Kind::Integer { min: 1, max: 4_096 }, "largest request body in MB; default 256",
        |config, value: Integer| config.body_bytes_max = size(value << 20);
    "distributor.ingestion-relabeling-rules" "limits.ingestion_relabeling_rules" Kind::Rules, "rules that change labels",
        |config, value: Rules| config.limits.configured_rules = value;
    "distributor.ingestion-relabeling-default-rules-position" "limits.ingestion_relabeling_default_rules_position" Kind::Text, "first, last or disabled",
        |config, value: Text| config.limits.default_rules = match one_of(&["", "first", "last", "disabled"], value)?.as_str() {
            "last" => DefaultRules::Last,
            "disabled" => DefaultRules::Disabled,
            _ => DefaultRules::First,
        };
    "distributor.sample-type-relabeling-rules" "limits.sample_type_relabeling_rules" Kind::Rules, "rules that keep or drop sample types by __type__, __unit__ and labels",
        |config, value: Rules| {
            crate::relabel::check_type_rules(&value)?;
            config.limits.type_rules = value;
        };
    "distributor.ingestion-dropped-labels" "limits.ingestion_dropped_labels" Kind::TextList, "labels removed after relabeling; default thread.id, process.pid and the like",
        |config, value: TextList| config.limits.dropped_labels = value;
    "validation.max-label-names-per-series" "limits.max_label_names_per_series" SIZE, "most labels of a series; default 30",
        |config, value: Integer| config.limits.label_names_max = size(value);
    "validation.max-length-label-name" "limits.max_label_name_length" SIZE, "longest label name; default 1024",
        |config, value: Integer| config.limits.label_name_bytes_max = size(value);
    "validation.max-length-label-value" "limits.max_label_value_length" SIZE, "longest label value; default 2048",
        |config, value: Integer| config.limits.label_value_bytes_max = size(value);
    "validation.reject-older-than" "limits.reject_older_than" Kind::Duration, "refuse samples older than this; 0 takes all, the default",
        |config, value: Duration| config.limits.reject_older_than = value;
    "validation.reject-newer-than" "limits.reject_newer_than" Kind::Duration, "refuse samples this far in the future; default 10m",
        |config, value: Duration| config.limits.reject_newer_than = value;
    "validation.max-profile-stacktrace-samples" "limits.max_profile_stacktrace_samples" SIZE_OR_NONE, "most samples of a request; default 1,000,000",
        |config, value: Integer| config.limits.samples_max = if value == 0 { 10_000_000 } else { size(value) };
    "validation.max-profile-stacktrace-depth" "limits.max_profile_stacktrace_depth" Kind::Integer { min: 1, max: 65_536 }, "deepest stack; default 2048",
        |config, value: Integer| config.limits.depth_max = size(value);
    "querier.max-flamegraph-nodes-default" "limits.max_flamegraph_nodes_default" SIZE_OR_NONE, "nodes of a flame graph if the request does not say; default 8192",
        |config, value: Integer| config.query.nodes_default = size(value);
    "querier.max-flamegraph-nodes-max" "limits.max_flamegraph_nodes_max" SIZE_OR_NONE, "most nodes of a flame graph; default 1048576",
        |config, value: Integer| config.query.nodes_max = size(value);
    "querier.max-query-length" "limits.max_query_length" Kind::Duration, "longest time range of a query; 0 is no limit, the default",
        |config, value: Duration| config.query.length_max = value;
}

/// Keys of Pyroscope that have no effect here. A key stands for everything below it.
pub(super) const KNOWN_KEYS: [&str; 74] = [
    "adaptive_placement",
    "admin_server",
    "analytics",
    "api",
    "architecture_storage",
    "compaction_worker",
    "compactor",
    "debug_info",
    "distributor",
    "embedded_grafana",
    "frontend",
    "frontend_worker",
    "ingester",
    "memberlist",
    "metastore",
    "modules",
    "overrides_exporter",
    "pyroscopedb",
    "querier",
    "query_backend",
    "query_scheduler",
    "segment_writer",
    "show_banner",
    "shutdown_delay",
    "store_gateway",
    "symbolizer",
    "tenant_settings",
    "tracing",
    "self_profiling.mutex_profile_fraction",
    "self_profiling.block_profile_rate",
    "self_profiling.use_k6_middleware",
    "limits.ingestion_limit",
    "limits.ingestion_tenant_shard_size",
    "limits.distributor_usage_groups",
    "limits.distributor_aggregation_window",
    "limits.distributor_aggregation_period",
    "limits.distributor_sampling",
    "limits.max_sessions_per_series",
    "limits.max_profile_size_bytes",
    "limits.max_profile_stacktrace_sample_labels",
    "limits.max_profile_symbol_value_length",
    "limits.max_local_series_per_tenant",
    "limits.max_global_series_per_tenant",
    "limits.max_query_lookback",
    "limits.max_query_parallelism",
    "limits.max_flamegraph_nodes_on_select_merge_profile",
    "limits.query_analysis_enabled",
    "limits.query_analysis_series_enabled",
    "limits.query_sanitize_on_merge",
    "limits.store_gateway_tenant_shard_size",
    "limits.split_queries_by_interval",
    "limits.compactor_blocks_retention_period",
    "limits.compactor_split_and_merge_shards",
    "limits.compactor_split_groups",
    "limits.compactor_tenant_shard_size",
    "limits.compactor_partial_block_deletion_delay",
    "limits.compactor_downsampler_enabled",
    "limits.disable_label_sanitization",
    "limits.recording_rules",
    "limits.symbolizer",
    "limits.write_path",
    "server.grpc_listen_address",
    "server.grpc_listen_port",
    "server.http_listen_network",
    "server.http_listen_conn_limit",
    "server.http_server_idle_timeout",
    "server.graceful_shutdown_timeout",
    "server.log_format",
    "server.register_instrumentation",
    "server.grpc_server_max_recv_msg_size",
    "server.grpc_server_max_send_msg_size",
    "storage.prefix",
    "storage.s3",
    "storage.gcs",
];

/// Whether Pyroscope has a key that Hearth ignores.
pub(super) fn known_key(path: &str) -> bool {
    KNOWN_KEYS
        .iter()
        .any(|known| path == *known || path.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')))
        || ["storage.azure", "storage.swift", "storage.cos", "storage.storage_prefix"].contains(&path)
        || path.starts_with("server.grpc_")
}

/// Flags of Pyroscope's reference that have no effect here.
const LISTED_FLAGS: [&str; 21] = [
    "admin-server.mode",
    "architecture.storage",
    "async-ingest",
    "debug-info.enabled",
    "enable-query-backend-from",
    "metastore.data-dir",
    "metastore.index.cleanup-interval",
    "metastore.min-ready-duration",
    "modules",
    "querier.max-query-lookback",
    "segment-writer.min-ready-duration",
    "server.grpc-listen-address",
    "server.grpc-listen-port",
    "server.graceful-shutdown-timeout",
    "server.path-prefix",
    "storage.prefix",
    "storage.s3.endpoint",
    "symbolizer.enabled",
    "validation.disable-label-sanitization",
    "version",
    "write-path",
];

/// Beginnings of further flags of Pyroscope.
const FLAG_PREFIXES: [&str; 37] = [
    "adaptive-placement.",
    "admin-server.",
    "api.",
    "architecture.",
    "auth.",
    "compaction-worker.",
    "compactor.",
    "consul.",
    "debug-info.",
    "distributor.",
    "embedded-grafana.",
    "etcd.",
    "frontend.",
    "frontend-worker.",
    "ingester.",
    "log.",
    "memberlist.",
    "metastore.",
    "overrides-exporter.",
    "pyroscopedb.",
    "querier.",
    "query-backend.",
    "query-frontend.",
    "query-scheduler.",
    "ring.",
    "runtime-config.",
    "segment-writer.",
    "self-profiling.",
    "server.",
    "storage.",
    "store-gateway.",
    "symbolizer.",
    "tenant-settings.",
    "tracing.",
    "usage-stats.",
    "validation.",
    "write-path",
];

/// Whether Pyroscope has, or seems to have, a flag that Hearth ignores.
pub(super) fn known_flag(flag: &str) -> bool {
    listed_flag(flag) || FLAG_PREFIXES.iter().any(|prefix| flag.starts_with(prefix))
}

/// Whether exactly this flag of Pyroscope is known to be ignored.
pub(super) fn listed_flag(flag: &str) -> bool {
    LISTED_FLAGS.contains(&flag)
}

/// Turns what is written into what is meant.
pub(super) fn convert(kind: Kind, given: Given<'_>) -> Result<Meant, String> {
    if let (Kind::Rules, Given::Node(node)) = (kind, &given) {
        return rules_from(node).map(Meant::Rules);
    }
    if let (Kind::TextList, Given::Node(node)) = (kind, &given) {
        return text_list(node).map(Meant::TextList);
    }
    let (text, plain) = match given {
        Given::Text { text, plain } => (text, plain),
        Given::Node(node) => return Err(format!("is {}; expected {}", node.kind(), expected(kind))),
    };
    let wrong = || format!("{text:?} is not valid; expected {}", expected(kind));
    match kind {
        Kind::Text => Ok(Meant::Text(text)),
        Kind::Bool if !plain => Err(wrong()),
        Kind::Bool => match text.as_str() {
            "true" | "True" | "TRUE" => Ok(Meant::Bool(true)),
            "false" | "False" | "FALSE" => Ok(Meant::Bool(false)),
            _ => Err(wrong()),
        },
        Kind::Integer { min, max } => {
            let number = text.parse::<u64>().ok().filter(|number| plain && (min..=max).contains(number));
            number.map(Meant::Integer).ok_or_else(wrong)
        }
        Kind::Duration => duration(&text).map(Meant::Duration).ok_or_else(wrong),
        Kind::TextList => Ok(Meant::TextList(
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
        )),
        Kind::Rules => {
            let node = yaml::parse(&text).map_err(|error| error.to_string())?;
            rules_from(&node).map(Meant::Rules)
        }
    }
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false, without quotes".to_owned(),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}, without quotes"),
        Kind::Text => "a single value".to_owned(),
        Kind::Duration => "a duration such as 90s, 1h30m or 31d".to_owned(),
        Kind::TextList => "a list of texts".to_owned(),
        Kind::Rules => "a list of relabeling rules".to_owned(),
    }
}

fn text_list(node: &Node) -> Result<Vec<String>, String> {
    let YamlValue::List(items) = &node.value else {
        return Err(format!("is {}; expected a list of texts", node.kind()));
    };
    let text = |item: &Node| match &item.value {
        YamlValue::Scalar { text, .. } => Ok(text.clone()),
        _ => Err(format!("line {}: is {}; expected a text", item.line, item.kind())),
    };
    items.iter().map(text).collect()
}

/// Reads `always`, `off` or the longest time between two syncs.
fn sync_policy(text: &str) -> Result<SyncPolicy, String> {
    const LONGEST: Duration = Duration::from_secs(10);
    match text {
        "always" => Ok(SyncPolicy::Always),
        "off" => Ok(SyncPolicy::Off),
        _ => duration(text)
            .filter(|interval| (Duration::from_millis(1)..=LONGEST).contains(interval))
            .map(SyncPolicy::Interval)
            .ok_or_else(|| {
                format!("{text:?} is out of range; expected always, off or a duration of 1ms to 10s")
            }),
    }
}

/// Reads Prometheus' durations: `31d`, `1h30m`, `500ms`, `0`.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|char: char| char.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit_ms) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}

/// For settings that only have to be valid.
fn no_effect<T>(_: T) {}

fn only(expected: &str, value: &str) -> Result<(), String> {
    if value.is_empty() || value == expected {
        return Ok(());
    }
    Err(format!("{value:?} is not supported; expected {expected}"))
}

fn one_of(allowed: &[&str], value: String) -> Result<String, String> {
    if allowed.contains(&value.as_str()) {
        return Ok(value);
    }
    Err(format!("{value:?} is not valid; expected one of {}", allowed.join(", ")))
}

fn not_empty(value: String) -> Result<String, String> {
    if value.is_empty() { Err("is empty".to_owned()) } else { Ok(value) }
}

fn at_least_a_second(value: Duration) -> Result<Duration, String> {
    if value < Duration::from_secs(1) {
        return Err(format!("{value:?} is out of range; expected 1s or more"));
    }
    Ok(value)
}

/// Reads megabytes, of a million bytes each.
fn megabytes(text: &str) -> Result<u64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1e6).contains(number));
    let number =
        number.ok_or_else(|| format!("{text:?} is not valid; expected a number from 0 to 1000000"))?;
    Ok((number * 1e6) as u64)
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{text:?} is not valid; expected ADDRESS:PORT such as 127.0.0.1:4040");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
}

/// What `--help` prints: every flag with what it does.
pub(crate) fn help() -> String {
    let width = SETTINGS.iter().map(|setting| setting.flag.len()).max().unwrap_or(0);
    SETTINGS.iter().map(|setting| format!("  -{:<width$}  {}\n", setting.flag, setting.help)).collect()
}
