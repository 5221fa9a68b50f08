//! Why sampling cannot start, said to the operator.

use std::io;

/// Why sampling cannot start: each names the cause and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The kernel does not let this process use BPF or perf events.
    #[error(
        "not permitted to {action}: missing {missing}; run as root, or grant CAP_BPF, CAP_PERFMON, \
         CAP_SYS_PTRACE, CAP_SYSLOG and CAP_CHECKPOINT_RESTORE (in a container: a privileged security context)"
    )]
    NotPermitted {
        /// What was tried.
        action: &'static str,
        /// Which capabilities this process lacks, or what else forbids it.
        missing: String,
    },
    /// The kernel describes its types nowhere.
    #[error(
        "{path} is missing: this kernel was built without CONFIG_DEBUG_INFO_BTF; use a distribution kernel \
         that has it (Debian 11+, Ubuntu 20.10+, RHEL 8.2+, Amazon Linux 2023)"
    )]
    NoBtf {
        /// Where it should be.
        path: &'static str,
    },
    /// Process ids mean other processes to the kernel than to us.
    #[error(
        "not in the host's PID namespace, so process ids cannot be told to the kernel; run with --pid=host \
         (Kubernetes: hostPID: true)"
    )]
    PidNamespace,
    /// The kernel is too old.
    #[error("Linux {found} is too old: 5.10 or newer is needed")]
    KernelTooOld {
        /// What runs.
        found: String,
    },
    /// There are no BPF objects for this machine.
    #[error("no BPF program for {architecture}: x86-64 and arm64 are supported")]
    Architecture {
        /// What this is.
        architecture: &'static str,
    },
    /// A setting is outside its range.
    #[error("{setting}: {value} is out of range; expected {expected}")]
    OutOfRange {
        /// Its name.
        setting: &'static str,
        /// What was given.
        value: u64,
        /// What is allowed.
        expected: &'static str,
    },
    /// The kernel refused the BPF program.
    #[error(
        "the kernel refused the BPF program ({stage}): {reason}; please report this with the output of `hearth doctor`"
    )]
    Load {
        /// What was being loaded.
        stage: &'static str,
        /// What the kernel or the loader said.
        reason: String,
    },
    /// A perf event cannot be opened.
    #[error("cannot sample CPU {cpu}: {source}{hint}")]
    PerfEvent {
        /// Which CPU.
        cpu: u32,
        /// What the kernel said.
        source: io::Error,
        /// What to do, if known.
        hint: &'static str,
    },
    /// Something of the operating system failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}

impl StartError {
    /// For `map_err` on anything that does input or output.
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}
