//! The section of a `profiling` receiver: as written, and as meant.

use std::time::Duration;

use hearth_collector::decode::{Missing, Section};
use hearth_collector::duration;

use super::sampling::{self, SamplingSettings};

/// What a failed start of the sampler means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorMode {
    /// The agent does not start.
    Propagate,
    /// The agent runs without profiles.
    Ignore,
}

/// The `profiling` receiver, as written. An empty section means all defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfilingConfig {
    /// On-CPU samples per second on each CPU. Range 1 to 1000. Default 20.
    pub samples_per_second: u32,
    /// Time between two batches. Range 100ms to 1h. Default 5s.
    pub reporter_interval: Duration,
    /// How much longer or shorter an interval may be, as a share of itself. Range 0 to 1. Default 0.2.
    pub reporter_jitter: f64,
    /// `propagate` (the default) or `ignore`.
    pub error_mode: String,
    /// Keys that only Hearth has.
    pub sampling: SamplingSettings,
}

impl Default for ProfilingConfig {
    fn default() -> Self {
        Self {
            samples_per_second: 20,
            reporter_interval: Duration::from_secs(5),
            reporter_jitter: 0.2,
            error_mode: "propagate".into(),
            sampling: SamplingSettings::default(),
        }
    }
}

/// The same, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfilingSettings {
    /// From 1 to 1000.
    pub samples_per_second: u32,
    /// From 100 ms to an hour.
    pub reporter_interval: Duration,
    /// From 0 to 1.
    pub reporter_jitter: f64,
    /// What a failed start means.
    pub error_mode: ErrorMode,
    /// What goes to the sampler as it is.
    pub sampling: SamplingSettings,
}

/// A value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {value} is out of range; expected {expected}")]
pub struct OutOfRange {
    /// The key.
    pub key: &'static str,
    /// What was written.
    pub value: String,
    /// What may be written.
    pub expected: &'static str,
}

impl ProfilingConfig {
    /// Reads and checks a section; problems go to it, and the first of them is returned.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Result<ProfilingSettings, OutOfRange> {
        let mut config = Self::default();
        section.integer("samples_per_second", &mut config.samples_per_second);
        section.duration("reporter_interval", &mut config.reporter_interval);
        section.float("reporter_jitter", &mut config.reporter_jitter);
        section.string("error_mode", &mut config.error_mode);
        config.sampling = sampling::read(section);
        read_tuning(section);
        read_sampling(section);
        read_content(section);
        read_removed(section);
        config.validate().map_err(|mut problems| {
            for problem in &problems {
                section.invalid(
                    problem.key,
                    format!("{} is out of range; expected {}", problem.value, problem.expected),
                );
            }
            problems.swap_remove(0)
        })
    }

    /// The settings this means.
    ///
    /// # Errors
    ///
    /// All values that are out of range; at least one.
    pub fn validate(&self) -> Result<ProfilingSettings, Vec<OutOfRange>> {
        let mut problems = Vec::new();
        let mut refuse = |key, value: String, expected| problems.push(OutOfRange { key, value, expected });
        if !(1..=1000).contains(&self.samples_per_second) {
            refuse("samples_per_second", self.samples_per_second.to_string(), "1 to 1000 per CPU");
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&self.reporter_interval) {
            refuse("reporter_interval", duration::format(self.reporter_interval), "100ms to 1h");
        }
        if !(0.0..=1.0).contains(&self.reporter_jitter) {
            refuse("reporter_jitter", self.reporter_jitter.to_string(), "0 to 1");
        }
        let error_mode = match self.error_mode.as_str() {
            "propagate" | "" => ErrorMode::Propagate,
            "ignore" => ErrorMode::Ignore,
            other => {
                refuse("error_mode", format!("{other:?}"), "propagate or ignore");
                ErrorMode::Propagate
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(ProfilingSettings {
            samples_per_second: self.samples_per_second,
            reporter_interval: self.reporter_interval,
            reporter_jitter: self.reporter_jitter,
            error_mode,
            sampling: self.sampling.clone(),
        })
    }
}

/// Keys about the insides of the original, which Hearth does not have.
fn read_tuning(section: &mut Section<'_, '_>) {
    let no_such_part = "Hearth has no such part; remove it";
    for (key, default) in [
        ("monitor_interval", "5s"),
        ("frame_cache_size", "16384"),
        ("clock_sync_interval", "3m"),
        ("map_scale_factor", "0"),
        ("max_grpc_retries", "5"),
        ("max_rpc_msg_size", "33554432"),
        ("bpf_fs_root", "/sys/fs/bpf/"),
    ] {
        section.not_implemented(key, default, Missing::Warn, no_such_part);
    }
    section.not_implemented(
        "bpf_verifier_log_level",
        "0",
        Missing::Warn,
        "the verifier's log is shown where it refuses",
    );
    section.not_implemented(
        "verbose_mode",
        "false",
        Missing::Warn,
        "set service::telemetry::logs::level: debug",
    );
    section.not_implemented(
        "no_kernel_version_check",
        "false",
        Missing::Warn,
        "the sampler tests what it needs at start",
    );
    section.not_implemented("obi_process_ctx", "false", Missing::Warn, "spans are not linked");
}

/// Keys about which samples are taken. Where ignoring would take samples that were not asked for, it
/// is an error.
fn read_sampling(section: &mut Section<'_, '_>) {
    section.not_implemented(
        "probabilistic_interval",
        "1m",
        Missing::Warn,
        "lower samples_per_second instead",
    );
    section.not_implemented(
        "probabilistic_threshold",
        "100",
        Missing::Refuse,
        "lower samples_per_second instead",
    );
    section.not_implemented("pin_cpu_ids", "", Missing::Refuse, "every online CPU is sampled; remove it");
    section.not_implemented("off_cpu_threshold", "0", Missing::Warn, "only on-CPU time is sampled");
    section.not_implemented(
        "filter_min_process_age",
        "0",
        Missing::Warn,
        "processes of every age are sampled",
    );
    section.not_implemented("send_idle_frames", "false", Missing::Warn, "idle CPUs are not sampled");
    section.not_implemented("probes", "", Missing::Warn, "only on-CPU time is sampled");
}

/// Keys about what a sample carries.
fn read_content(section: &mut Section<'_, '_>) {
    section.not_implemented(
        "send_error_frames",
        "false",
        Missing::Warn,
        "stacks that end early are counted instead",
    );
    section.not_implemented(
        "include_env_vars",
        "",
        Missing::Warn,
        "service.name is read from OTEL_SERVICE_NAME",
    );
    section.not_implemented(
        "pid_namespace_translation",
        "false",
        Missing::Warn,
        "process ids are the host's",
    );
    section.child("interpreters", |interpreters| {
        for name in ["python", "perl", "php", "hotspot", "ruby", "v8", "dotnet", "beam", "luajit"] {
            interpreters.child(name, |one| {
                // Interpreters are not unwound yet, which is what `disabled: true` asks for.
                let mut disabled = false;
                one.bool("disabled", &mut disabled);
                if name == "ruby" {
                    one.not_implemented("skip_native_resume", "false", Missing::Warn, "remove it");
                }
            });
        }
        interpreters.child("go", |go| {
            go.not_implemented("disabled", "false", Missing::Warn, "Go code is sampled as native code");
            go.not_implemented("labels", "true", Missing::Warn, "Go labels are not read");
            go.not_implemented(
                "symbolization",
                "true",
                Missing::Warn,
                "Go functions are named where the binary says",
            );
        });
    });
}

/// Keys the original had until June 2026 and then removed; files with them are still around.
fn read_removed(section: &mut Section<'_, '_>) {
    for key in ["tracers", "probe_links", "load_probe"] {
        if section.value(key).is_some() {
            section.warn(key, "removed from the profiling receiver, has no effect; remove it");
        }
    }
}
