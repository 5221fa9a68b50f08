//! Loads the BPF programs that fit this kernel and tests them before they are trusted.

use std::os::fd::AsFd as _;

use aya::maps::of_maps::ArrayOfMaps;
use aya::maps::{Array, HashMap as BpfHashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::{PerfEvent, Program, ProgramError, ProgramFd, RawTracePoint};
use aya::{Ebpf, EbpfError, EbpfLoader};

use crate::abi::{
    Counter, FilterRule, LostKey, ProcessVerdict, Verdict, pid_namespace_rule, process_verdict,
};
use crate::error::StartError;
use crate::fallback::ProcessMap;
use crate::filter::{Filters, Rule};
use crate::kernel::{self, Capabilities, Capability, Version};
use crate::settings::{Settings, Target};
use crate::tables::FilesMap;
use crate::{Overrides, selftest, sys};

#[cfg(target_arch = "x86_64")]
static OBJECTS: [(FeatureLevel, &[u8]); 2] = [
    (FeatureLevel::V5_15, aya::include_bytes_aligned!("../../../bpf/objects/sampler-x86_64-515.bpf.o")),
    (FeatureLevel::V5_10, aya::include_bytes_aligned!("../../../bpf/objects/sampler-x86_64-510.bpf.o")),
];
#[cfg(target_arch = "aarch64")]
static OBJECTS: [(FeatureLevel, &[u8]); 2] = [
    (FeatureLevel::V5_15, aya::include_bytes_aligned!("../../../bpf/objects/sampler-aarch64-515.bpf.o")),
    (FeatureLevel::V5_10, aya::include_bytes_aligned!("../../../bpf/objects/sampler-aarch64-510.bpf.o")),
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static OBJECTS: [(FeatureLevel, &[u8]); 0] = [];

const RING_BYTES_MIN: u32 = 1 << 20;
const RING_BYTES_PER_CPU: u32 = 1 << 15;
const RING_BYTES_MAX: u32 = 1 << 24;
/// An exec takes up to 5 kB: arguments and environment.
const EVENTS_BYTES: u32 = 1 << 18;
/// Filter rules which the kernel side decides alone.
const RULES_MAX: u32 = 512;
/// Processes on which there is a verdict, where there are filters.
const VERDICTS_MAX: u32 = 16_384;
/// Processes whose mappings user space tells, where the kernel side cannot find them.
const PROCESSES_MAX: u32 = 16_384;

/// What the loaded programs need from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeatureLevel {
    /// Linux 5.10: the place of the user registers is computed.
    V5_10,
    /// Linux 5.15: `bpf_task_pt_regs`.
    V5_15,
}

impl FeatureLevel {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V5_15 => "5.15",
        }
    }
}

/// The kernel side, loaded and tested, not yet sampling.
pub(crate) struct Loaded {
    /// Keeps programs loaded and tracepoints attached.
    pub(crate) bpf: Ebpf,
    pub(crate) sample_program: ProgramFd,
    pub(crate) samples: RingBuf<MapData>,
    pub(crate) events: RingBuf<MapData>,
    pub(crate) files: FilesMap,
    /// Where unwind pages are put.
    pub(crate) chunks: ArrayOfMaps<MapData>,
    /// Mappings of processes, which the kernel side needs only where it is degraded.
    pub(crate) process_mappings: ProcessMap,
    /// Verdicts on processes, where there are filters.
    pub(crate) verdicts: BpfHashMap<MapData, u32, ProcessVerdict>,
    /// Lost samples by process and reason.
    pub(crate) lost: BpfHashMap<MapData, LostKey, u64>,
    pub(crate) counters: PerCpuArray<MapData, u64>,
    pub(crate) level: FeatureLevel,
    /// Why addresses are looked up in user space; none if the kernel side does it.
    pub(crate) degraded: Option<String>,
    pub(crate) map_bytes: u64,
}

/// Loads, tests and attaches everything but the timers.
pub(crate) fn load(settings: &Settings, overrides: &Overrides) -> Result<Loaded, StartError> {
    check_kernel(&settings.target)?;
    if let Err(error) = sys::raise_memlock() {
        tracing::debug!(%error, "cannot raise the limit of locked memory; needed before Linux 5.11 only");
    }
    let forced = overrides.force_fallback.then(|| "asked for".to_owned());
    let mut loaded = load_level(settings, overrides, forced.is_some())?;
    loaded.degraded = match forced {
        Some(reason) => Some(reason),
        None => selftest::run(&mut loaded).err(),
    };
    if let Some(reason) = &loaded.degraded
        && !overrides.force_fallback
    {
        tracing::warn!(reason, "self-test failed: mappings are read from /proc");
        let reason = loaded.degraded.take();
        drop(loaded);
        loaded = load_level(settings, overrides, true)?;
        loaded.degraded = reason;
    }
    attach_tracepoints(&mut loaded.bpf)?;
    sys::release_memory();
    Ok(loaded)
}

/// Refuses kernels and machines on which loading cannot succeed, with the reason.
fn check_kernel(target: &Target) -> Result<(), StartError> {
    if OBJECTS.is_empty() {
        return Err(StartError::Architecture { architecture: std::env::consts::ARCH });
    }
    let release = kernel::release();
    if Version::parse(&release).is_some_and(|version| version < Version(5, 10)) {
        return Err(StartError::KernelTooOld { found: release });
    }
    let missing = Capabilities::current().missing(&[Capability::Bpf, Capability::Perfmon]);
    if !missing.is_empty() {
        return Err(StartError::NotPermitted { action: "load BPF programs", missing });
    }
    if !kernel::has_btf() {
        return Err(StartError::NoBtf { path: kernel::BTF_PATH });
    }
    if !kernel::is_initial_pid_namespace() {
        if matches!(target, Target::Processes(_)) {
            return Err(StartError::PidNamespace);
        }
        tracing::warn!(
            "not in the host's PID namespace: processes and files cannot be named; run with --pid=host \
             (Kubernetes: hostPID: true)"
        );
    }
    Ok(())
}

fn load_level(settings: &Settings, overrides: &Overrides, raw_frames: bool) -> Result<Loaded, StartError> {
    let version = Version::parse(&kernel::release()).unwrap_or(Version(5, 10));
    let newest = if version >= Version(5, 15) { FeatureLevel::V5_15 } else { FeatureLevel::V5_10 };
    let wanted = overrides.feature_level.unwrap_or(newest);
    let (level, object) = OBJECTS
        .iter()
        .find(|(level, _)| *level <= wanted)
        .ok_or(StartError::Architecture { architecture: std::env::consts::ARCH })?;
    let cpus = kernel::possible_cpus().map_err(StartError::system("read how many CPUs there are"))?;
    let ring_bytes =
        cpus.saturating_mul(RING_BYTES_PER_CPU).clamp(RING_BYTES_MIN, RING_BYTES_MAX).next_power_of_two();
    // A process which user space has not judged yet is sampled; what it must not be is dropped there.
    let filter_default = match (&settings.target, settings.filters.is_empty()) {
        (Target::Processes(_), _) => Verdict::Exclude as u32,
        (Target::Host, false) => Verdict::Include as u32,
        (Target::Host, true) => 0,
    };
    let filtered = filter_default != 0;
    let mut bpf = EbpfLoader::new()
        .override_global("possible_cpus", &cpus, true)
        .override_global("filter_default", &filter_default, true)
        .override_global("numbered_mappings", &u32::from(raw_frames), true)
        .override_global("ring_bytes", &ring_bytes, true)
        .override_global("events_bytes", &EVENTS_BYTES, true)
        .map_max_entries("samples", ring_bytes)
        .map_max_entries("events", EVENTS_BYTES)
        .map_max_entries("verdicts", if filtered { VERDICTS_MAX } else { 1 })
        .map_max_entries("filter_rules", if filtered { RULES_MAX } else { 1 })
        .map_max_entries("process_mappings", if raw_frames { PROCESSES_MAX } else { 1 })
        .load(object)
        .map_err(|error| refused("maps and relocations", &error))?;
    let sample_program = load_programs(&mut bpf)?;
    if let Target::Processes(pids) = &settings.target {
        add_targets(&mut bpf, pids)?;
    }
    add_rules(&mut bpf, &settings.filters)?;
    let map_bytes = map_bytes(&bpf);
    Ok(Loaded {
        sample_program,
        samples: take(&mut bpf, "samples")?,
        events: take(&mut bpf, "events")?,
        files: take(&mut bpf, "files")?,
        chunks: take(&mut bpf, "unwind_chunks")?,
        process_mappings: take(&mut bpf, "process_mappings")?,
        verdicts: take(&mut bpf, "verdicts")?,
        lost: take(&mut bpf, "lost")?,
        counters: take(&mut bpf, "counters")?,
        level: *level,
        degraded: None,
        map_bytes,
        bpf,
    })
}

fn load_programs(bpf: &mut Ebpf) -> Result<ProgramFd, StartError> {
    for (name, program) in bpf.programs_mut() {
        let result = match program {
            Program::PerfEvent(program) => program.load(),
            Program::RawTracePoint(program) => program.load(),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        if let Err(error) = result {
            let stage = if name == "sample_cpu" { "sampling program" } else { "tracepoint program" };
            return Err(refused(stage, &error.into()));
        }
    }
    let program: &mut PerfEvent = bpf
        .program_mut("sample_cpu")
        .ok_or(ProgramError::NotLoaded)
        .and_then(TryInto::try_into)
        .map_err(|error| refused("sampling program", &error.into()))?;
    let fd = program.fd().map_err(|error| refused("sampling program", &error.into()))?;
    fd.try_clone().map_err(StartError::system("duplicate a program's descriptor"))
}

fn attach_tracepoints(bpf: &mut Ebpf) -> Result<(), StartError> {
    for (name, tracepoint) in [
        ("process_exec", "sched_process_exec"),
        ("process_fork", "sched_process_fork"),
        ("process_exit", "sched_process_exit"),
    ] {
        let program: &mut RawTracePoint = bpf
            .program_mut(name)
            .ok_or(ProgramError::NotLoaded)
            .and_then(TryInto::try_into)
            .map_err(|error| refused("tracepoints", &error.into()))?;
        program.attach(tracepoint).map_err(|error| refused("tracepoints", &error.into()))?;
    }
    Ok(())
}

fn add_targets(bpf: &mut Ebpf, pids: &[u32]) -> Result<(), StartError> {
    let map = bpf.map_mut("verdicts").ok_or_else(|| missing("verdicts"))?;
    let mut verdicts: BpfHashMap<_, u32, ProcessVerdict> =
        BpfHashMap::try_from(map).map_err(|error| refused("verdicts", &error.into()))?;
    let target = process_verdict(0, Verdict::Target, 0);
    for pid in pids {
        verdicts.insert(pid, target, 0).map_err(|error| refused("verdicts", &error.into()))?;
    }
    Ok(())
}

/// Gives the kernel side the rules that it can decide alone, on a process' first sample.
fn add_rules(bpf: &mut Ebpf, filters: &Filters) -> Result<(), StartError> {
    let map = bpf.map_mut("filter_rules").ok_or_else(|| missing("filter_rules"))?;
    let mut rules: BpfHashMap<_, FilterRule, u32> =
        BpfHashMap::try_from(map).map_err(|error| refused("filter_rules", &error.into()))?;
    for rule in &filters.exclude {
        if let Rule { cgroup: None, container_id: None, executable: None, pid_namespace: Some(inode) } = rule
        {
            let exclude = Verdict::Exclude as u32;
            rules
                .insert(pid_namespace_rule(*inode), exclude, 0)
                .map_err(|error| refused("filter_rules", &error.into()))?;
        }
    }
    Ok(())
}

fn take<T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    bpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, StartError> {
    let map = bpf.take_map(name).ok_or_else(|| missing(name))?;
    T::try_from(map).map_err(|error| refused(name, &error.into()))
}

fn missing(name: &'static str) -> StartError {
    StartError::Load { stage: name, reason: "the object has no such map".into() }
}

/// An error of the loader for people: a refusal for lack of privileges is one, all else is a report.
fn refused(stage: &'static str, error: &EbpfError) -> StartError {
    let mut reason = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(error);
    let mut denied = false;
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            denied |= matches!(io.raw_os_error(), Some(libc::EPERM | libc::EACCES));
        }
        let text = error.to_string();
        if !reason.contains(&text) {
            reason = if reason.is_empty() { text } else { format!("{reason}: {text}") };
        }
        source = error.source();
    }
    let has_log = reason.contains("processed ") && reason.contains(" insns");
    if denied && !has_log {
        let wanted = [Capability::Bpf, Capability::Perfmon, Capability::SysAdmin];
        let missing = match Capabilities::current().missing(&wanted) {
            missing if missing.is_empty() => {
                "nothing this process could be granted (a security module, kernel lockdown or seccomp forbids it; \
                 before Linux 5.11 also the locked-memory limit, ulimit -l)"
                    .into()
            }
            missing => missing,
        };
        return StartError::NotPermitted { action: "load BPF programs", missing };
    }
    const REASON_BYTES_MAX: usize = 2000;
    let from = reason.len().saturating_sub(REASON_BYTES_MAX);
    let from = (from..reason.len()).find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
    StartError::Load { stage, reason: reason.get(from..).unwrap_or(&reason).to_owned() }
}

/// Kernel memory of all maps, as the kernel reports it.
fn map_bytes(bpf: &Ebpf) -> u64 {
    use aya::maps::Map;
    bpf.maps()
        .filter_map(|(_, map)| match map {
            Map::RingBuf(data) | Map::HashMap(data) | Map::Array(data) | Map::PerCpuArray(data) => {
                std::fs::read_to_string(format!(
                    "/proc/self/fdinfo/{}",
                    std::os::fd::AsRawFd::as_raw_fd(&data.fd().as_fd())
                ))
                .ok()
            }
            _ => None,
        })
        .filter_map(|info| {
            let bytes = info.lines().find_map(|line| line.strip_prefix("memlock:"))?;
            bytes.trim().parse::<u64>().ok()
        })
        .sum()
}

/// Sums a per-CPU counter.
pub(crate) fn counter(counters: &PerCpuArray<MapData, u64>, counter: Counter) -> u64 {
    counters.get(&(counter as u32), 0).map_or(0, |values| values.iter().sum())
}

/// Runs a test program on the calling thread, and reads what it left in a map.
pub(crate) fn run_test<T: aya::Pod>(
    bpf: &mut Ebpf,
    name: &str,
    arguments: &[u64],
    answer: &str,
) -> Result<T, String> {
    use aya::programs::{RawTracePointRunOptions, TestRun as _};
    let program: &mut RawTracePoint = bpf
        .program_mut(name)
        .ok_or_else(|| format!("no program {name}"))?
        .try_into()
        .map_err(|error: ProgramError| error.to_string())?;
    let mut options = RawTracePointRunOptions::new();
    for (to, from) in options.args.iter_mut().zip(arguments) {
        *to = *from;
    }
    let result = program.test_run(options).map_err(|error| format!("cannot run {name}: {error}"))?;
    if result.return_value != 0 {
        return Err(format!("{name} answered {}", result.return_value));
    }
    let map = bpf.map(answer).ok_or_else(|| format!("no map {answer}"))?;
    let answers: Array<_, T> = Array::try_from(map).map_err(|error| error.to_string())?;
    answers.get(&0, 0).map_err(|error| error.to_string())
}
