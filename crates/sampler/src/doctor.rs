//! What this kernel and these privileges allow, what that costs and how to change it.

use crate::kernel::{self, Capabilities, Capability, Version};
use crate::loader;
use crate::{Overrides, Settings, Target};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// Nothing to do.
    Ok,
    /// Sampling works, but something is lost.
    Degraded,
    /// Sampling does not work without it.
    Missing,
}

impl CheckStatus {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it went.
    pub status: CheckStatus,
    /// What was found.
    pub found: String,
    /// What it means; for a failed check, what it costs.
    pub meaning: String,
    /// What to do; empty if nothing.
    pub remedy: String,
}

/// Checks everything the sampler depends on. Loads the kernel side for a moment.
pub fn doctor() -> Vec<Check> {
    let capabilities = Capabilities::current();
    let mut checks = vec![kernel_version(), btf()];
    checks.extend(CAPABILITIES.iter().map(|need| need.check(capabilities)));
    checks.push(pid_namespace());
    checks.extend([paranoid(capabilities), pointers(capabilities), memlock(capabilities), self_test()]);
    checks
}

fn check(name: &str, status: CheckStatus, found: impl Into<String>, meaning: &str, remedy: &str) -> Check {
    let remedy = if status == CheckStatus::Ok { "" } else { remedy };
    Check { name: name.into(), status, found: found.into(), meaning: meaning.into(), remedy: remedy.into() }
}

fn kernel_version() -> Check {
    let release = kernel::release();
    let (status, meaning) = match Version::parse(&release) {
        None => (CheckStatus::Degraded, "the version cannot be read; 5.10 is assumed"),
        Some(version) if version < Version(5, 10) => {
            (CheckStatus::Missing, "older than 5.10: nothing can be sampled")
        }
        Some(_) => (CheckStatus::Ok, "5.10 or newer is needed"),
    };
    check("kernel", status, release, meaning, "use Linux 5.10 or newer")
}

fn pid_namespace() -> Check {
    let initial = kernel::is_initial_pid_namespace();
    check(
        "PID namespace",
        if initial { CheckStatus::Ok } else { CheckStatus::Degraded },
        if initial { "the host's" } else { "a container's" },
        "the kernel names processes by the host's numbers; elsewhere they mean other processes or none",
        "run with the host's PID namespace: --pid=host, or hostPID: true in Kubernetes",
    )
}

fn btf() -> Check {
    let present = kernel::has_btf();
    let status = if present { CheckStatus::Ok } else { CheckStatus::Missing };
    let found = if present { "present" } else { "absent" };
    check(
        "kernel type information (BTF)",
        status,
        found,
        "the BPF programs find the kernel's fields by it",
        "use a kernel built with CONFIG_DEBUG_INFO_BTF, as those of all large distributions are",
    )
}

/// A capability and what is lost without it.
struct Need {
    capability: Capability,
    without: CheckStatus,
    meaning: &'static str,
}

const CAPABILITIES: [Need; 6] = [
    Need { capability: Capability::Bpf, without: CheckStatus::Missing, meaning: "loads the BPF programs" },
    Need {
        capability: Capability::Perfmon,
        without: CheckStatus::Missing,
        meaning: "samples other processes",
    },
    Need {
        capability: Capability::SysPtrace,
        without: CheckStatus::Degraded,
        meaning: "reads other users' executables and environments; without it their functions and services have no names",
    },
    Need {
        capability: Capability::CheckpointRestore,
        without: CheckStatus::Degraded,
        meaning: "opens mapped files that were deleted or replaced; without it their functions have no names",
    },
    Need {
        capability: Capability::DacReadSearch,
        without: CheckStatus::Degraded,
        meaning: "opens executables only their owner may read; without it their functions have no names",
    },
    Need {
        capability: Capability::Syslog,
        without: CheckStatus::Degraded,
        meaning: "reads kernel symbols; without it kernel functions may have no names",
    },
];

impl Need {
    fn check(&self, capabilities: Capabilities) -> Check {
        let present = capabilities.has(self.capability);
        let status = if present { CheckStatus::Ok } else { self.without };
        let found = if present { "granted" } else { "not granted" };
        let name = self.capability.name();
        check(name, status, found, self.meaning, &format!("run as root or grant {name}"))
    }
}

fn paranoid(capabilities: Capabilities) -> Check {
    let name = "kernel.perf_event_paranoid";
    let meaning = "does not matter with CAP_PERFMON, except where a distribution adds a level 4";
    match kernel::number("/proc/sys/kernel/perf_event_paranoid") {
        None => check(
            name,
            CheckStatus::Missing,
            "absent",
            "this kernel has no perf events",
            "enable CONFIG_PERF_EVENTS",
        ),
        Some(level) => {
            let allowed = level < 0 || capabilities.has(Capability::Perfmon);
            let status = if allowed { CheckStatus::Ok } else { CheckStatus::Missing };
            check(
                name,
                status,
                level.to_string(),
                meaning,
                "grant CAP_PERFMON, or sysctl kernel.perf_event_paranoid=-1",
            )
        }
    }
}

fn pointers(capabilities: Capabilities) -> Check {
    let name = "kernel.kptr_restrict";
    let level = kernel::number("/proc/sys/kernel/kptr_restrict");
    let hidden = match level {
        Some(0) => false,
        Some(1) => !capabilities.has(Capability::Syslog),
        Some(_) => true,
        None => false,
    };
    let status = if hidden { CheckStatus::Degraded } else { CheckStatus::Ok };
    let found = level.map_or_else(|| "absent".to_owned(), |level| level.to_string());
    check(
        name,
        status,
        found,
        "2 hides the names of kernel functions from everyone, 1 from processes without CAP_SYSLOG",
        "sysctl kernel.kptr_restrict=1 and grant CAP_SYSLOG",
    )
}

fn memlock(capabilities: Capabilities) -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let found = limit.map_or_else(|| "unlimited".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    let counts = Version::parse(&kernel::release()).is_none_or(|version| version < Version(5, 11));
    let enough = limit.is_none() || capabilities.has(Capability::SysResource);
    let status = if counts && !enough { CheckStatus::Missing } else { CheckStatus::Ok };
    check(
        "locked-memory limit",
        status,
        found,
        "limits BPF maps before Linux 5.11 only",
        "ulimit -l unlimited (LimitMEMLOCK=infinity in a unit), or grant CAP_SYS_RESOURCE",
    )
}

fn self_test() -> Check {
    let name = "self-test";
    let meaning = "looks up this process' own mappings in the kernel and compares with /proc/self/maps";
    let settings = Settings { target: Target::Processes(Vec::new()), ..Settings::default() };
    match loader::load(&settings, &Overrides::default()) {
        Err(error) => check(
            name,
            CheckStatus::Missing,
            error.to_string(),
            "nothing can be sampled",
            "see what was found",
        ),
        Ok(loaded) => match loaded.degraded {
            None => {
                let found = format!("passed, programs for Linux {} loaded", loaded.level.name());
                check(name, CheckStatus::Ok, found, meaning, "")
            }
            Some(reason) => check(
                name,
                CheckStatus::Degraded,
                reason,
                "addresses are looked up through /proc: slower, and processes of a few milliseconds stay without names",
                "please report this with the kernel's version",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failed_check_says_what_to_do() {
        for check in doctor() {
            assert!(
                !check.name.is_empty() && !check.meaning.is_empty() && !check.found.is_empty(),
                "{check:?}"
            );
            assert_eq!(check.status == CheckStatus::Ok, check.remedy.is_empty(), "{check:?}");
        }
    }
}
