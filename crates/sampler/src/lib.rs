//! Samples every process on this host with eBPF and turns raw traces into profiles.
//!
//! ```text
//! bpf/ ─▶ sample ring ─▶ ring thread ─▶ calling-context trie ─▶ collect(): symbolize ─▶ ProfileBatch
//!     └─▶ event ring ──▶ opener and reader of files (symbols), identify thread (/proc)
//! ```
//!
//! [`Sampler::start`] loads the kernel side, tests it and begins to sample; [`Sampler::collect`] hands
//! over what was sampled since the previous call. In between nothing is named and nothing is sent.
//!
//! # What this crate does not do
//!
//! It knows no OTLP and no configuration file; `hearth-agent` gives it [`Settings`] that were checked.
//!
//! # Terms
//!
//! *Raw trace*: the kernel's record of one sample, addresses only. *Window*: what lies between two
//! collections. *Incarnation*: a process between two execs.

mod abi;
mod aggregate;
mod collect;
mod cpus;
mod doctor;
mod error;
mod files;
mod kernel;
mod loader;
pub mod process;
mod processes;
mod raw;
mod ring;
mod selftest;
mod sys;

use std::io::{PipeWriter, Write as _};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aya::maps::{MapData, PerCpuArray};
use hearth_profile::ProfileBatch;
use hearth_unwind::StopReason;

use crate::abi::Counter;
use crate::collect::{Builder, Names};
use crate::cpus::CpuTimers;
use crate::files::FileTable;
use crate::loader::Loaded;
use crate::processes::{Identifier, ProcessTable, lock};
use crate::raw::Resolver;
use crate::ring::{Accumulator, Command, Ring, RingCounters, STOPS};

pub use doctor::{Check, CheckStatus, doctor};
pub use error::StartError;
pub use kernel::Capability;
pub use loader::FeatureLevel;

/// Frequencies the sampler takes.
const SAMPLES_PER_SECOND_MAX: u32 = 10_000;
/// How long a collection waits for files and processes that are being read.
const COLLECT_WAIT: Duration = Duration::from_secs(5);
/// How long stopping waits for threads.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// What to sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Samples per second on each CPU that is not idle. Range 1 to 10,000.
    pub samples_per_second: u32,
    /// Which processes.
    pub target: Target,
}

/// Which processes to sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All, and the kernel.
    Host,
    /// These process ids, and the processes they fork from now on.
    Processes(Vec<u32>),
}

/// Departures from what the kernel would allow, for tests and for finding faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Look up addresses through /proc, as if the self-test had failed.
    pub force_fallback: bool,
    /// Use programs for an older kernel.
    pub feature_level: Option<FeatureLevel>,
}

/// A running sampler. Dropping it stops sampling and unloads everything.
pub struct Sampler {
    period_ns: u64,
    commands: Mutex<Sender<Command>>,
    wake: Mutex<PipeWriter>,
    counters: Arc<RingCounters>,
    kernel_counters: Mutex<PerCpuArray<MapData, u64>>,
    reported_lost: Mutex<Lost>,
    files: Arc<FileTable>,
    identifier: Arc<Identifier>,
    names: Mutex<Names>,
    threads: Vec<JoinHandle<()>>,
    level: FeatureLevel,
    degraded: Option<String>,
    map_bytes: u64,
    /// Holds the tracepoints.
    _bpf: aya::Ebpf,
}

/// What was sampled since the previous collection.
#[derive(Clone, Debug)]
pub struct Collection {
    /// The profiles, one resource per process.
    pub batch: ProfileBatch,
    /// How many samples they hold: the sum of all values.
    pub samples: u64,
    /// Samples and events lost since the previous collection, by reason; only those that are not 0.
    pub lost: Vec<(&'static str, u64)>,
}

/// Counters since the start, and what is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Samples taken by the kernel side, lost ones included.
    pub samples: u64,
    /// Frames in them, of users and of the kernel.
    pub frames: u64,
    /// Samples and events lost, by reason.
    pub lost: Vec<(&'static str, u64)>,
    /// How often a walk ended for each reason.
    pub stops: Vec<(StopReason, u64)>,
    /// Which programs are loaded.
    pub feature_level: FeatureLevel,
    /// Why addresses are looked up through /proc; none if the kernel side does it.
    pub degraded: Option<String>,
    /// CPUs that are sampled.
    pub cpus: u64,
    /// Time spent in the sampling program, all CPUs together.
    pub bpf_run_time: Duration,
    /// How often it ran.
    pub bpf_run_count: u64,
    /// Look-ups of mappings by the kernel side.
    pub vma_walks: u64,
    /// Look-ups that met a tree in motion, and were not trusted.
    pub vma_walks_changed: u64,
    /// Frames that left the kernel as addresses of a process because its table of files was full.
    pub frames_without_file_id: u64,
    /// Kernel memory of all maps.
    pub map_bytes: u64,
    /// Bytes held by symbols of files and of the kernel.
    pub symbol_bytes: u64,
    /// Files known by name.
    pub files: u64,
    /// From the call of [`Sampler::start`] to the first sample; none if there was none yet.
    pub start_to_first_sample: Option<Duration>,
}

/// Counts of what was lost.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    ring: u64,
    state: u64,
    events: u64,
    malformed: u64,
}

impl Lost {
    fn named(self) -> [(&'static str, u64); 4] {
        [
            ("sample ring full", self.ring),
            ("no working memory", self.state),
            ("event ring full", self.events),
            ("malformed record", self.malformed),
        ]
    }
}

impl Sampler {
    /// Loads the kernel side, tests it and begins to sample.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing stays loaded then.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_with(settings, Overrides::default())
    }

    /// As [`start`](Self::start), with departures from what the kernel would allow.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing stays loaded then.
    pub fn start_with(settings: Settings, overrides: Overrides) -> Result<Self, StartError> {
        let started = Instant::now();
        if !(1..=SAMPLES_PER_SECOND_MAX).contains(&settings.samples_per_second) {
            return Err(StartError::OutOfRange {
                setting: "samples_per_second",
                value: settings.samples_per_second.into(),
                expected: "1 to 10000 per CPU",
            });
        }
        let period_ns = 1_000_000_000 / u64::from(settings.samples_per_second);
        let loaded = loader::load(&settings.target, &overrides)?;
        let Loaded { bpf, sample_program, samples, events, files, counters: kernel_counters, .. } = loaded;
        let (files, [open_thread, read_thread]) =
            FileTable::spawn(files).map_err(StartError::system("start a thread"))?;
        let (identifier, identify_thread) =
            Identifier::spawn().map_err(StartError::system("start a thread"))?;
        let (wake_reader, wake) = std::io::pipe().map_err(StartError::system("open a pipe"))?;
        let (commands, receiver) = channel();
        let counters = Arc::new(RingCounters::default());
        let processes = ProcessTable::new(Arc::clone(&identifier));
        let timers = CpuTimers::start(sample_program, period_ns)?;
        counters.cpus.store(timers.len() as u64, Ordering::Relaxed);
        let ring = Ring {
            samples,
            events,
            wake: wake_reader,
            commands: receiver,
            timers,
            files: Arc::clone(&files),
            counters: Arc::clone(&counters),
            accumulator: Accumulator::new(processes, Resolver::new(Arc::clone(&files))),
            started,
        };
        let ring_thread = std::thread::Builder::new()
            .name("hearth-ring".into())
            .spawn(move || ring.run())
            .map_err(StartError::system("start a thread"))?;
        Ok(Self {
            period_ns,
            commands: Mutex::new(commands),
            wake: Mutex::new(wake),
            counters,
            kernel_counters: Mutex::new(kernel_counters),
            reported_lost: Mutex::default(),
            files,
            identifier,
            names: Mutex::default(),
            threads: vec![ring_thread, open_thread, read_thread, identify_thread],
            level: loaded.level,
            degraded: loaded.degraded,
            map_bytes: loaded.map_bytes,
            _bpf: bpf,
        })
    }

    /// Everything sampled since the previous call, with names.
    ///
    /// Blocks while files and processes that were met last are being read, at most five seconds. Call
    /// from a thread that may wait.
    pub fn collect(&self) -> Collection {
        let (reply, window) = sync_channel(1);
        self.command(Command::Flush(reply));
        let Ok(window) = window.recv() else {
            // The ring thread has ended, which it does only when told to.
            return Collection { batch: ProfileBatch::default(), samples: 0, lost: Vec::new() };
        };
        let deadline = Instant::now() + COLLECT_WAIT;
        self.files.wait(COLLECT_WAIT);
        self.identifier.wait(deadline.saturating_duration_since(Instant::now()));
        let identities = self.identifier.identities(&window.subjects);
        let mut names = lock(&self.names);
        let batch = Builder::new(&self.files, &mut names).build(&window, &identities, self.period_ns);
        Collection { batch, samples: window.aggregate.samples(), lost: self.newly_lost() }
    }

    fn command(&self, command: Command) {
        // Neither fails while the ring thread runs; if it does not, there is nobody to tell.
        lock(&self.commands).send(command).ok();
        lock(&self.wake).write_all(&[1]).ok();
    }

    fn lost(&self) -> Lost {
        let counters = lock(&self.kernel_counters);
        Lost {
            ring: loader::counter(&counters, Counter::LostRing),
            state: loader::counter(&counters, Counter::LostState),
            events: loader::counter(&counters, Counter::LostEvents),
            malformed: self.counters.malformed.load(Ordering::Relaxed),
        }
    }

    fn newly_lost(&self) -> Vec<(&'static str, u64)> {
        let now = self.lost();
        let before = std::mem::replace(&mut *lock(&self.reported_lost), now);
        let pairs = now.named().into_iter().zip(before.named());
        pairs
            .map(|((reason, now), (_, before))| (reason, now.saturating_sub(before)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Counters since the start, and what is in use.
    pub fn status(&self) -> Status {
        let counters = lock(&self.kernel_counters);
        let count = |counter| loader::counter(&counters, counter);
        let samples = count(Counter::Samples);
        let frames = count(Counter::UserFrames) + count(Counter::KernelFrames);
        let bpf_run_time = Duration::from_nanos(count(Counter::RunNs));
        let (vma_walks, vma_walks_changed) = (count(Counter::VmaWalks), count(Counter::TreeChanged));
        let frames_without_file_id = count(Counter::FilesFull);
        drop(counters);
        let stops = StopReason::ALL
            .iter()
            .zip(&self.counters.stops[..STOPS])
            .map(|(reason, count)| (*reason, count.load(Ordering::Relaxed)))
            .collect();
        let first = self.counters.first_sample_ns.load(Ordering::Relaxed);
        let symbol_bytes = self.files.symbols_bytes() + lock(&self.names).kernel.memory_bytes();
        Status {
            samples,
            frames,
            lost: self.lost().named().to_vec(),
            stops,
            feature_level: self.level,
            degraded: self.degraded.clone(),
            cpus: self.counters.cpus.load(Ordering::Relaxed),
            bpf_run_time,
            bpf_run_count: samples,
            vma_walks,
            vma_walks_changed,
            frames_without_file_id,
            map_bytes: self.map_bytes,
            symbol_bytes: symbol_bytes as u64,
            files: self.files.len() as u64,
            start_to_first_sample: (first > 0).then(|| Duration::from_nanos(first)),
        }
    }
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.command(Command::Stop);
        self.files.stop();
        self.identifier.stop();
        let until = Instant::now() + STOP_WAIT;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
            // A dead file system or a hung process may hold up those that read files and /proc for good;
            // they are left behind. The ring thread, which owns the timers, is the first and never waits.
            if thread.is_finished() {
                // A thread that panicked has said so itself.
                thread.join().ok();
            }
        }
    }
}
