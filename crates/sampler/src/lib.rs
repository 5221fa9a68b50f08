//! Samples every process on this host with eBPF and turns raw traces into profiles.
//!
//! ```text
//! bpf/ ─▶ sample ring ─▶ ring thread ─▶ calling-context trie ─▶ collect(): symbolize ─▶ ProfileBatch
//!  ▲   │                     └─▶ stacks that wait for a file ─┘
//!  │   └─▶ event ring ──▶ lanes: open files, build unwind tables ─┐ identify thread, mappings (/proc)
//!  └─────── pages of kernel memory ◀──────────────────────────────┘
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
mod budget;
mod clerk;
mod collect;
mod cpus;
mod doctor;
mod error;
mod fallback;
mod files;
mod filter;
mod identity;
mod kernel;
mod loader;
mod loss;
mod mappings;
mod pending;
pub mod process;
mod processes;
mod ring;
mod selftest;
mod settings;
mod sideband;
mod status;
mod symbols;
mod sys;
mod tables;

use std::collections::HashMap;
use std::io::{PipeWriter, Write as _};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hearth_profile::ProfileBatch;

use crate::abi::{ProcessKey, process_verdict};
use crate::budget::{CpuBudget, Drops};
use crate::collect::{About, Builder, Names};
use crate::cpus::CpuTimers;
use crate::fallback::ProcessTables;
use crate::files::{FileTable, Lanes};
use crate::filter::Verdict;
use crate::loader::Loaded;
use crate::loss::{Losses, LostOfProcess};
use crate::mappings::Mapper;
use crate::processes::{Identifier, Identities, ProcessTable, TellVerdict, lock};
use crate::ring::{Accumulator, Command, Helpers, Ring, RingCounters, Window};
use crate::sideband::SideBand;
use crate::symbols::Symbols;
use crate::sys::Clock;
use crate::tables::{KernelChunks, Pool, Tables};

pub use doctor::{Check, CheckStatus, doctor};
pub use error::StartError;
pub use filter::{Filters, Pattern, Rule, RuleError};
pub use kernel::Capability;
pub use loader::FeatureLevel;
pub use settings::{Budgets, Event, Overrides, SampleAttributes, Settings, Target};
pub use status::Status;

/// How long a collection waits for files and processes that are being read.
const COLLECT_WAIT: Duration = Duration::from_secs(5);
/// How long collecting waits for names in any case.
const NAMES_WAIT_MIN: Duration = Duration::from_secs(1);
/// How long stopping waits for threads.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A running sampler. Dropping it stops sampling and unloads everything.
pub struct Sampler {
    settings: Settings,
    commands: Mutex<Sender<Command>>,
    wake: Mutex<PipeWriter>,
    counters: Arc<RingCounters>,
    losses: Losses,
    /// Losses of processes that had no samples since.
    unreported: Mutex<HashMap<ProcessKey, LostOfProcess>>,
    files: Arc<FileTable>,
    helpers: Helpers,
    budget: Arc<CpuBudget>,
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
        settings.check()?;
        let period_ns = 1_000_000_000 / u64::from(settings.samples_per_second);
        let loaded = loader::load(&settings, &overrides)?;
        let Loaded { bpf, sample_program, samples, events, level, degraded, map_bytes, .. } = loaded;
        let spawned = StartError::system("start a thread");
        let tell = tell_verdict(&settings, loaded.verdicts);
        let (identifier, identify_thread) =
            Identifier::spawn(settings.filters.clone(), tell).map_err(spawned)?;
        let budget = Arc::new(CpuBudget::new(settings.budgets.preparation_percent));
        let files = Arc::new(FileTable::default());
        let tables = degraded.is_some().then_some(loaded.process_mappings);
        let (helpers, mapper_thread) =
            helpers(&settings, &files, &budget, loaded.chunks, loaded.files, tables)?;
        let (wake_reader, wake) = std::io::pipe().map_err(StartError::system("open a pipe"))?;
        let (commands, receiver) = channel();
        let counters = Arc::new(RingCounters::default());
        let clock = match settings.event {
            Event::CpuClock => Clock::Time { period_ns },
            Event::Cycles => Clock::Cycles { per_second: settings.samples_per_second.into() },
        };
        let timers = CpuTimers::start(sample_program, clock)?;
        counters.cpus.store(timers.len() as u64, Ordering::Relaxed);
        let pending_bytes = usize::try_from(settings.budgets.user_bytes / 6).unwrap_or(usize::MAX);
        let ring = Ring {
            samples,
            events,
            wake: wake_reader,
            commands: receiver,
            timers,
            counters: Arc::clone(&counters),
            accumulator: Accumulator::new(
                ProcessTable::new(Arc::clone(&identifier)),
                helpers.clone(),
                settings.attributes,
                pending_bytes,
                Arc::clone(&counters),
            ),
            identifier: Arc::clone(&identifier),
            side_band: degraded.is_some().then(SideBand::open).transpose()?,
            started,
        };
        let (symbols, [quick_names, slow_names]) =
            Symbols::spawn().map_err(StartError::system("start a thread"))?;
        let ring_thread = std::thread::Builder::new()
            .name("hearth-ring".into())
            .spawn(move || ring.run())
            .map_err(StartError::system("start a thread"))?;
        Ok(Self {
            settings,
            commands: Mutex::new(commands),
            wake: Mutex::new(wake),
            counters,
            losses: Losses::new(loaded.counters, loaded.lost),
            unreported: Mutex::default(),
            files,
            helpers,
            budget,
            identifier,
            names: Mutex::new(Names::new(symbols)),
            threads: vec![ring_thread, mapper_thread, identify_thread, quick_names, slow_names],
            level,
            degraded,
            map_bytes,
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
        let left_out = self.count_left_out(&window, &identities);
        let lost = self.lost_of(&window);
        let mut names = lock(&self.names);
        let about = About {
            identities: &identities,
            lost: &lost,
            attributes: self.settings.attributes,
            period_ns: 1_000_000_000 / u64::from(self.settings.samples_per_second),
        };
        let limit = deadline.saturating_duration_since(Instant::now()).max(NAMES_WAIT_MIN);
        let batch = Builder::new(&self.files, &mut names, limit).build(&window, &about);
        drop(names);
        let samples = window.aggregate.samples() - left_out;
        Collection { batch, samples, lost: self.losses.newly_lost(&self.counters) }
    }

    /// Counts the samples which filters keep away; returns how many there are.
    fn count_left_out(&self, window: &Window, identities: &Identities) -> u64 {
        let mut all = 0;
        for (process, _, _, count) in window.aggregate.counts() {
            let counter = match identities.get(&process).map(|(_, verdict)| *verdict) {
                None | Some(Verdict::Sample) => continue,
                Some(Verdict::LeaveOut) => &self.counters.left_out,
                Some(Verdict::Undecided) => &self.counters.undecided,
            };
            counter.fetch_add(count, Ordering::Relaxed);
            all += count;
        }
        all
    }

    /// Lost samples of the window's processes, by incarnation; the latest of a process takes them.
    fn lost_of(&self, window: &Window) -> HashMap<u32, LostOfProcess> {
        const UNREPORTED_MAX: usize = 4096;
        let mut unreported = lock(&self.unreported);
        for (key, lost) in self.losses.of_processes(&self.counters) {
            if unreported.len() < UNREPORTED_MAX || unreported.contains_key(&key) {
                let known = unreported.entry(key).or_default();
                for (reason, count) in lost {
                    match known.iter_mut().find(|(other, _)| *other == reason) {
                        Some((_, sum)) => *sum += count,
                        None => known.push((reason, count)),
                    }
                }
            }
        }
        let mut lost = HashMap::new();
        if !unreported.is_empty() {
            let mut sampled: Vec<u32> = window.aggregate.counts().map(|(process, ..)| process).collect();
            sampled.sort_unstable();
            for subject in window.subjects.iter().rev() {
                if sampled.binary_search(&subject.id).is_ok()
                    && let Some(of_process) = unreported.remove(&subject.key)
                {
                    lost.insert(subject.id, of_process);
                }
            }
        }
        lost
    }

    fn command(&self, command: Command) {
        // Neither fails while the ring thread runs; if it does not, there is nobody to tell.
        lock(&self.commands).send(command).ok();
        lock(&self.wake).write_all(&[1]).ok();
    }
}

/// What prepares files and finishes stacks.
fn helpers(
    settings: &Settings,
    files: &Arc<FileTable>,
    budget: &Arc<CpuBudget>,
    chunks: aya::maps::of_maps::ArrayOfMaps<aya::maps::MapData>,
    map: tables::FilesMap,
    process_map: Option<fallback::ProcessMap>,
) -> Result<(Helpers, JoinHandle<()>), StartError> {
    let drops = Arc::new(Drops::default());
    let pool = Pool::new(KernelChunks::new(chunks), settings.budgets.table_bytes)
        .map_err(StartError::system("create memory for unwind tables"))?;
    let pool = Arc::new(Mutex::new(pool));
    let tables = Arc::new(Tables::new(Arc::clone(&pool), map, Arc::clone(&drops)));
    let lanes =
        Lanes::spawn(Arc::clone(files), Arc::clone(&tables) as _, Arc::clone(budget), Arc::clone(&drops))
            .map_err(StartError::system("start a thread"))?;
    let process_tables = process_map.map(|map| ProcessTables::new(pool, map));
    let (mapper, thread) =
        Mapper::spawn(Arc::clone(files), Arc::clone(&lanes), Arc::clone(&drops), process_tables)
            .map_err(StartError::system("start a thread"))?;
    Ok((Helpers { lanes, tables, mapper, drops }, thread))
}

/// How the kernel side learns what filters say of a process; none if there are none, or if it samples
/// only targets anyway.
fn tell_verdict(
    settings: &Settings,
    map: aya::maps::HashMap<aya::maps::MapData, u32, abi::ProcessVerdict>,
) -> Option<TellVerdict> {
    if settings.filters.is_empty() || settings.target != Target::Host {
        return None;
    }
    let map = Mutex::new(map);
    Some(Box::new(move |key, is_sampled| {
        let verdict = if is_sampled { abi::Verdict::Include } else { abi::Verdict::Exclude };
        if let Err(error) = lock(&map).insert(key.pid, process_verdict(key.start_ns, verdict, 0), 0) {
            tracing::debug!(%error, pid = key.pid, "cannot tell the kernel side a verdict");
        }
    }))
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.command(Command::Stop);
        self.threads.extend(self.helpers.lanes.stop());
        self.helpers.mapper.stop();
        self.identifier.stop();
        lock(&self.names).symbols.stop();
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
