//! Configuration: Pyroscope's YAML file and flags, and Hearth's own few.
//!
//! ```text
//! defaults ◀ -config.file (YAML) ◀ flags (single or double dash)  ─▶  Config
//! ```
//!
//! Every setting is one row of [`settings::SETTINGS`]: its flag, its YAML path, what kind of value
//! it takes. What Pyroscope knows and Hearth does not is accepted with a warning that names it;
//! anything else is an error that names the key and what was probably meant.

mod rules;
mod settings;
mod yaml;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use hearth_store::{Owner, SyncPolicy};

use crate::SymbolLimits;
use crate::relabel::{DefaultRules, Rule, with_defaults};
use settings::{Given, SETTINGS, Setting};
use yaml::{Node, Value};

/// Labels that are not stored unless asked: each would make a series of its own per thread or
/// process. Relabeling rules still see them.
const DROPPED_LABELS: [&str; 15] = [
    "cpu.logical_number",
    "process.command",
    "process.command_args",
    "process.command_line",
    "process.creation.time",
    "process.parent_pid",
    "process.pid",
    "process.vpid",
    "process.working_directory",
    "profile.id",
    "profile_id",
    "span_id",
    "thread.id",
    "thread.name",
    "trace_id",
];

/// What a server does, as configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on; empty means all.
    pub listen_host: String,
    /// Port to listen on; 0 lets the system choose.
    pub listen_port: u16,
    /// Further addresses to listen on: those that OTLP senders expect.
    pub otlp_listen: Vec<(String, u16)>,
    /// The file with tokens and passwords; without it nobody is asked.
    pub credentials_file: Option<PathBuf>,
    /// The certificate for TLS, a PEM file.
    pub tls_cert: Option<PathBuf>,
    /// Its key, a PEM file.
    pub tls_key: Option<PathBuf>,
    /// The file with limits of single tenants.
    pub overrides_file: Option<PathBuf>,
    /// How often to look whether it has changed.
    pub overrides_period: Duration,
    /// Where the data is kept.
    pub data_dir: PathBuf,
    /// When the write-ahead log is forced to the disk. Default: before every acknowledgement.
    pub wal_sync: SyncPolicy,
    /// Whether tenants are told apart by `X-Scope-OrgID`.
    pub multitenancy: bool,
    /// Serves the UI from this directory rather than the built-in one.
    pub ui_dir: Option<PathBuf>,
    /// How long a request may take to arrive.
    pub read_timeout: Duration,
    /// How long a request may take to be answered.
    pub write_timeout: Duration,
    /// Largest request body in bytes, before and after decompression.
    pub body_bytes_max: usize,
    /// What is taken in.
    pub limits: IngestLimits,
    /// What queries may ask.
    pub query: QueryLimits,
    /// How symbols are taken and kept.
    pub symbols: SymbolLimits,
    /// How long data is kept; zero keeps everything. Default 31 days.
    pub retention: Duration,
    /// Lowest level of log messages: `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// What was accepted but has no effect, one message each.
    pub warnings: Vec<String>,
}

/// What is taken in.
#[derive(Clone, Debug)]
pub struct IngestLimits {
    /// Rules that change labels, in order, Pyroscope's own included.
    pub rules: Vec<Rule>,
    /// Rules as configured.
    pub(crate) configured_rules: Vec<Rule>,
    /// Rules that keep or drop the profiles of a sample type.
    pub type_rules: Vec<Rule>,
    /// Where Pyroscope's own rules stand.
    pub(crate) default_rules: DefaultRules,
    /// Labels that are removed after relabeling.
    pub dropped_labels: Vec<String>,
    /// Most labels of one series.
    pub label_names_max: usize,
    /// Longest label name in bytes.
    pub label_name_bytes_max: usize,
    /// Longest label value in bytes.
    pub label_value_bytes_max: usize,
    /// Samples older than this are refused; zero takes all.
    pub reject_older_than: Duration,
    /// Samples newer than now by more than this are refused; zero takes all.
    pub reject_newer_than: Duration,
    /// Most distinct samples of one request.
    pub samples_max: usize,
    /// Deepest stack; the middle of deeper ones is folded.
    pub depth_max: usize,
    /// Bytes per second that a tenant may send, after decompression; 0 is no limit.
    pub rate_bytes: u64,
    /// Bytes that may come at once; 0 is as much as in a second.
    pub burst_bytes: u64,
}

/// What queries may ask.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Nodes of a flame graph if the request does not say.
    pub nodes_default: usize,
    /// Most nodes of a flame graph; 0 is no limit.
    pub nodes_max: usize,
    /// Longest time range; zero is no limit.
    pub length_max: Duration,
    /// How many queries run at the same time.
    pub concurrency: usize,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            rules: with_defaults(DefaultRules::First, Vec::new()),
            configured_rules: Vec::new(),
            type_rules: Vec::new(),
            default_rules: DefaultRules::First,
            dropped_labels: DROPPED_LABELS.map(str::to_owned).to_vec(),
            label_names_max: 30,
            label_name_bytes_max: 1024,
            label_value_bytes_max: 2048,
            reject_older_than: Duration::ZERO,
            reject_newer_than: Duration::from_secs(600),
            samples_max: 1_000_000,
            depth_max: 2_048,
            rate_bytes: 0,
            burst_bytes: 0,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen_host: "0.0.0.0".to_owned(),
            listen_port: 4040,
            otlp_listen: Vec::new(),
            credentials_file: None,
            tls_cert: None,
            tls_key: None,
            overrides_file: None,
            overrides_period: Duration::from_secs(10),
            data_dir: PathBuf::from("hearth-data"),
            wal_sync: SyncPolicy::Always,
            multitenancy: false,
            ui_dir: None,
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            body_bytes_max: 256 << 20,
            limits: IngestLimits::default(),
            query: QueryLimits {
                nodes_default: 8_192,
                nodes_max: 1 << 20,
                length_max: Duration::ZERO,
                concurrency: 8,
            },
            symbols: SymbolLimits::default(),
            retention: Duration::from_secs(31 * 86_400),
            log_level: "info".to_owned(),
            warnings: Vec::new(),
        }
    }
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The user asked for help.
    #[error("help requested")]
    Help,
    /// A flag that nobody knows.
    #[error("unknown flag {flag}{suggestion}; --help lists all")]
    UnknownFlag {
        /// As given.
        flag: String,
        /// What was probably meant, or nothing.
        suggestion: String,
    },
    /// A flag's value is missing or wrong.
    #[error("flag {flag}: {reason}")]
    Flag {
        /// The flag.
        flag: String,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be read.
    #[error("configuration file {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Config {
    /// Reads flags and the file they name. `args` does not contain the program's name.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, naming flag or key, value and what is expected.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, ConfigError> {
        let flags = flags(args)?;
        let mut config = Self::default();
        let text = |flag: &str| {
            flags.iter().rev().find(|given| given.setting.flag == flag).map(|given| &given.value)
        };
        if let Some(path) = text("config.file").filter(|path| !path.is_empty()) {
            let expand = text("config.expand-env").is_some_and(|value| value == "true");
            let file = |reason: String| ConfigError::File { path: path.clone(), reason };
            let content = std::fs::read_to_string(path).map_err(|error| file(error.to_string()))?;
            config.apply_file(&content, expand).map_err(file)?;
        }
        for Flag { setting, name, value } in flags {
            let given = Given::Text { text: value, plain: true };
            config.set(setting, given).map_err(|reason| ConfigError::Flag { flag: name, reason })?;
        }
        config.finish();
        Ok(config)
    }

    /// What `--help` prints.
    pub fn help() -> String {
        format!(
            "Usage: hearth server [flags]\n\nFlags, with one dash or two; those of Pyroscope that are not listed are \
             accepted with a warning:\n\n{}",
            settings::help()
        )
    }

    /// How the store is opened. What root writes under `sudo` belongs to the user who called it.
    pub fn store_options(&self) -> hearth_store::Options {
        hearth_store::Options {
            sync: self.wal_sync,
            owner: invoking_user(|name| std::env::var(name).ok()),
            retention: (!self.retention.is_zero()).then_some(self.retention),
            ..hearth_store::Options::new(self.data_dir.clone())
        }
    }

    /// Applies the text of a configuration file.
    fn apply_file(&mut self, text: &str, expand: bool) -> Result<(), String> {
        let expanded = if expand {
            yaml::expand_env(text, |name| std::env::var(name).ok()).map_err(|error| error.to_string())?
        } else {
            text.to_owned()
        };
        let root = yaml::parse(&expanded).map_err(|error| error.to_string())?;
        self.apply_node("", &root)
    }

    fn apply_node(&mut self, path: &str, node: &Node) -> Result<(), String> {
        if node.is_null() {
            return Ok(());
        }
        let Value::Map(entries) = &node.value else {
            let name = if path.is_empty() { "the document" } else { path };
            return Err(format!("line {}: {name} is {}; expected a mapping", node.line, node.kind()));
        };
        for (key, node) in entries {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let inside = format!("{path}.");
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.yaml == path) {
                if !node.is_null() {
                    self.set(setting, Given::from(node))
                        .map_err(|reason| format!("line {}: {path}: {reason}", node.line))?;
                }
            } else if SETTINGS.iter().any(|setting| setting.yaml.starts_with(&inside)) {
                self.apply_node(&path, node)?;
            } else if settings::known_key(&path) {
                self.warnings.push(format!(
                    "{path} (line {}) is a setting of Pyroscope that has no effect here",
                    node.line
                ));
            } else {
                let known = SETTINGS.iter().map(|setting| setting.yaml).chain(settings::KNOWN_KEYS);
                let suggestion = suggestion(&path, known);
                return Err(format!("line {}: unknown key {path}{suggestion}", node.line));
            }
        }
        Ok(())
    }

    /// The limits of single tenants: this configuration with what `text` says for each of them.
    pub(crate) fn overrides(&self, text: &str) -> Result<Vec<(String, Self)>, String> {
        let root = yaml::parse(text).map_err(|error| error.to_string())?;
        let entries = |name: &str, node: &Node| match &node.value {
            Value::Map(entries) => Ok(entries.clone()),
            _ if node.is_null() => Ok(Vec::new()),
            _ => Err(format!("line {}: {name} is {}; expected a mapping", node.line, node.kind())),
        };
        let mut tenants = Vec::new();
        for (key, node) in entries("the document", &root)? {
            if key != "overrides" {
                let suggestion = suggestion(&key, ["overrides"].into_iter());
                return Err(format!("line {}: unknown key {key}{suggestion}", node.line));
            }
            for (tenant, node) in entries("overrides", &node)? {
                hearth_store::check_tenant(&tenant)
                    .map_err(|error| format!("line {}: {error}", node.line))?;
                let mut config = self.clone();
                for (key, node) in entries(&tenant, &node)? {
                    let reason = config.set_override(&key, &node).err();
                    if let Some(reason) = reason {
                        return Err(format!(
                            "line {}: {}",
                            node.line,
                            reason.replace("{key}", &format!("{key} of tenant {tenant}"))
                        ));
                    }
                }
                config.finish();
                tenants.push((tenant, config));
            }
        }
        Ok(tenants)
    }

    /// Sets one limit of a tenant. The reason of an error names the key as `{key}`.
    fn set_override(&mut self, key: &str, node: &Node) -> Result<(), String> {
        let path = format!("limits.{key}");
        let Some(setting) = SETTINGS.iter().find(|setting| setting.yaml == path) else {
            if settings::known_key(&path) {
                tracing::warn!(key, "a limit of Pyroscope that has no effect here");
                return Ok(());
            }
            let known = SETTINGS.iter().filter_map(|setting| setting.yaml.strip_prefix("limits."));
            return Err(format!("unknown key {{key}}{}", suggestion(key, known)));
        };
        if ["limits.retention_period", "limits.ingestion_body_limit_mb"].contains(&setting.yaml) {
            return Err("{key}: applies to all tenants; set it in -config.file".to_owned());
        }
        self.set(setting, Given::from(node)).map_err(|reason| format!("{{key}}: {reason}"))
    }

    fn set(&mut self, setting: &Setting, given: Given<'_>) -> Result<(), String> {
        let value = settings::convert(setting.kind, given)?;
        (setting.set)(self, value)
    }

    /// Draws the conclusions from single settings.
    fn finish(&mut self) {
        self.limits.rules = with_defaults(self.limits.default_rules, self.limits.configured_rules.clone());
        if self.limits.burst_bytes == 0 {
            self.limits.burst_bytes = self.limits.rate_bytes;
        }
    }
}

/// The user who called `sudo`, as `sudo` says in the environment.
fn invoking_user(variable: impl Fn(&str) -> Option<String>) -> Option<Owner> {
    let id = |name| variable(name)?.parse().ok();
    Some(Owner { uid: id("SUDO_UID")?, gid: id("SUDO_GID")? })
}

/// A flag as given.
struct Flag {
    setting: &'static Setting,
    name: String,
    value: String,
}

/// Splits arguments into flags. Flags of Pyroscope that mean nothing here become warnings.
fn flags(args: impl IntoIterator<Item = OsString>) -> Result<Vec<Flag>, ConfigError> {
    let mut args = args.into_iter();
    let mut flags = Vec::new();
    while let Some(arg) = args.next() {
        let arg = arg.to_string_lossy().into_owned();
        let Some(bare) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            let reason = "arguments without a leading dash are not expected".to_owned();
            return Err(ConfigError::Flag { flag: arg, reason });
        };
        let (bare, inline) = match bare.split_once('=') {
            Some((bare, value)) => (bare, Some(value.to_owned())),
            None => (bare, None),
        };
        if matches!(bare, "h" | "help" | "help-all") {
            return Err(ConfigError::Help);
        }
        let name = format!("-{bare}");
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.flag == bare) {
            let value = match inline {
                Some(value) => value,
                None if setting.kind == settings::Kind::Bool => "true".to_owned(),
                None => match args.next() {
                    Some(value) => value.to_string_lossy().into_owned(),
                    None => return Err(ConfigError::Flag { flag: name, reason: "needs a value".to_owned() }),
                },
            };
            flags.push(Flag { setting, name, value });
            continue;
        }
        let suggestion = suggestion(bare, SETTINGS.iter().map(|setting| setting.flag));
        if !settings::known_flag(bare) || (!suggestion.is_empty() && !settings::listed_flag(bare)) {
            return Err(ConfigError::UnknownFlag { flag: name, suggestion });
        }
        // Whether its value follows is not known here: a value never begins with a dash.
        let mut rest = args.collect::<Vec<_>>().into_iter().peekable();
        if inline.is_none() {
            rest.next_if(|next| !next.to_string_lossy().starts_with('-'));
        }
        flags.push(Flag { setting: &settings::IGNORED, name: name.clone(), value: name });
        let rest: Vec<OsString> = rest.collect();
        flags.extend(self::flags(rest)?);
        return Ok(flags);
    }
    Ok(flags)
}

/// `; did you mean x?` for the closest of `known`, if any is close.
fn suggestion<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> String {
    let close = given.chars().count() / 5 + 1;
    let best = known
        .filter(|known| !known.is_empty())
        .map(|known| (distance(given, known), known))
        .filter(|(distance, _)| *distance <= close.min(3))
        .min();
    best.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}

/// How many insertions, deletions and replacements lead from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, char) in from.chars().take(200).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(char != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
