//! Facts about the running kernel and our privileges.

use std::fs;
use std::path::Path;

/// Where the kernel describes its types.
pub(crate) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Major and minor number of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32);

impl Version {
    /// Parses `6.1.0-13-amd64`.
    pub(crate) fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// The running kernel's release text, `6.1.0-13-amd64`.
pub(crate) fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// Whether the kernel describes its types.
pub(crate) fn has_btf() -> bool {
    Path::new(BTF_PATH).exists()
}

/// Whether process ids mean the same here as to BPF programs. `PROC_PID_INIT_INO` in the kernel's
/// `include/linux/proc_ns.h` gives the first PID namespace its fixed number.
pub(crate) fn is_initial_pid_namespace() -> bool {
    std::fs::read_link("/proc/self/ns/pid").map_or(true, |link| link.as_os_str() == "pid:[4026531836]")
}

/// Capabilities that matter to a profiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the kernel's own; their meaning is in `name` and the doctor")]
pub enum Capability {
    DacReadSearch,
    SysPtrace,
    SysAdmin,
    SysResource,
    Syslog,
    Perfmon,
    Bpf,
    CheckpointRestore,
}

impl Capability {
    /// Its bit in the kernel's masks.
    fn bit(self) -> u32 {
        match self {
            Self::DacReadSearch => 2,
            Self::SysPtrace => 19,
            Self::SysAdmin => 21,
            Self::SysResource => 24,
            Self::Syslog => 34,
            Self::Perfmon => 38,
            Self::Bpf => 39,
            Self::CheckpointRestore => 40,
        }
    }

    /// Its name, as in capabilities(7).
    pub fn name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Syslog => "CAP_SYSLOG",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
            Self::CheckpointRestore => "CAP_CHECKPOINT_RESTORE",
        }
    }
}

/// Which capabilities this process has in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// Reads those of this process; none if /proc is not readable.
    pub(crate) fn current() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_else(|_| String::new());
        Self::parse(&status).unwrap_or(Self(0))
    }

    /// Finds `CapEff` in the text of /proc/PID/status.
    fn parse(status: &str) -> Option<Self> {
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(mask.trim(), 16).ok().map(Self)
    }

    /// Whether `capability` is in effect. CAP_SYS_ADMIN includes CAP_BPF, CAP_PERFMON, CAP_SYSLOG and
    /// CAP_CHECKPOINT_RESTORE, which were once parts of it.
    pub(crate) fn has(self, capability: Capability) -> bool {
        let own = self.0 >> capability.bit() & 1 == 1;
        let from_admin = matches!(
            capability,
            Capability::Bpf | Capability::Perfmon | Capability::Syslog | Capability::CheckpointRestore
        );
        own || (from_admin && self.0 >> Capability::SysAdmin.bit() & 1 == 1)
    }

    /// The names of those of `wanted` that are missing, joined by commas.
    pub(crate) fn missing(self, wanted: &[Capability]) -> String {
        let names: Vec<&str> =
            wanted.iter().filter(|capability| !self.has(**capability)).map(|c| c.name()).collect();
        names.join(", ")
    }
}

/// A number in a file of /proc or /sys; none if it is not there.
pub(crate) fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The numbers in a list such as `0-3,5`; what is malformed is left out.
pub(crate) fn cpu_list(text: &str) -> Vec<u32> {
    const CPUS_MAX: u32 = 1 << 16;
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last.min(CPUS_MAX));
        }
    }
    cpus
}

/// The CPUs that are online.
pub(crate) fn online_cpus() -> std::io::Result<Vec<u32>> {
    fs::read_to_string("/sys/devices/system/cpu/online").map(|text| cpu_list(&text))
}

/// How many CPUs there can ever be.
pub(crate) fn possible_cpus() -> std::io::Result<u32> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible")?;
    Ok(cpu_list(&text).last().map_or(1, |last| last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(Version::parse("6.1.0-13-amd64"), Some(Version(6, 1)));
        assert_eq!(Version::parse("5.10.262"), Some(Version(5, 10)));
        assert_eq!(Version::parse("unknown"), None);
        assert!(Version(5, 9) < Version(5, 10) && Version(5, 15) < Version(6, 0));
    }

    #[test]
    fn cpu_lists_hold_ranges_and_single_numbers() {
        assert_eq!(cpu_list("0-2,5,7-8\n"), [0, 1, 2, 5, 7, 8]);
        assert_eq!(cpu_list(""), Vec::<u32>::new());
    }

    #[test]
    fn sys_admin_includes_what_was_split_off_it() {
        let admin = Capabilities::parse("Name:\tx\nCapEff:\t0000000000200000\n").unwrap();
        assert!(admin.has(Capability::Bpf) && !admin.has(Capability::SysPtrace));
        assert_eq!(admin.missing(&[Capability::Perfmon, Capability::SysPtrace]), "CAP_SYS_PTRACE");
    }
}
