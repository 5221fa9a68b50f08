//! The ring thread: empties the rings every tenth of a second and aggregates what is in them.
//!
//! Samples wake nobody: the thread polls, so that a sample costs the sampled program nothing but
//! itself. Only a file that is met for the first time wakes it, and a ring that fills up faster than it
//! is polled. Per sample nothing is allocated; the tables grow until they hold what a window needs.

use std::io::PipeReader;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use aya::maps::{MapData, RingBuf};
use hearth_unwind::StopReason;

use crate::abi::{self, Event, FILE_ID_USER_MIN, FileEvent, Frame, Sample};
use crate::aggregate::{Aggregate, mark};
use crate::budget::Drops;
use crate::clerk;
use crate::cpus::CpuTimers;
use crate::files::{Job, Lanes};
use crate::mappings::Mapper;
use crate::pending::{Met, Owner, Pending, Stack};
use crate::processes::{Identifier, ProcessTable, Subject};
use crate::settings::SampleAttributes;
use crate::sideband::SideBand;
use crate::sys;
use crate::tables::Tables;

const POLL: Duration = Duration::from_millis(100);
/// While a window waits for stacks that are about to be finished.
const POLL_CLOSING: Duration = Duration::from_millis(10);
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a window is kept open for files that are being prepared.
const CLOSE_WITHIN: Duration = Duration::from_secs(4);
/// Slots for stop reasons; the last one counts numbers we do not know.
pub(crate) const STOPS: usize = 32;

/// What the ring thread counts; read by anyone.
#[derive(Debug, Default)]
pub(crate) struct RingCounters {
    pub(crate) samples: AtomicU64,
    pub(crate) malformed: AtomicU64,
    /// Samples of processes on which filters could not decide.
    pub(crate) undecided: AtomicU64,
    /// Samples of processes that filters leave out, taken before the kernel side knew.
    pub(crate) left_out: AtomicU64,
    pub(crate) stops: [AtomicU64; STOPS],
    pub(crate) cpus: AtomicU64,
    /// Nanoseconds from the start of the sampler to its first sample; 0 if there was none.
    pub(crate) first_sample_ns: AtomicU64,
}

/// What others ask of the ring thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// Ends the window and hands it over.
    Flush(SyncSender<Window>),
    /// Ends the thread, and sampling.
    Stop,
}

/// Everything sampled between two flushes.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) aggregate: Aggregate,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) start: SystemTime,
    pub(crate) duration: Duration,
}

/// The ring thread's own things.
pub(crate) struct Ring {
    pub(crate) samples: RingBuf<MapData>,
    pub(crate) events: RingBuf<MapData>,
    pub(crate) wake: PipeReader,
    pub(crate) commands: Receiver<Command>,
    pub(crate) timers: CpuTimers,
    pub(crate) counters: Arc<RingCounters>,
    pub(crate) accumulator: Accumulator,
    pub(crate) identifier: Arc<Identifier>,
    /// What processes map, where the kernel side does not find that itself.
    pub(crate) side_band: Option<SideBand>,
    pub(crate) started: Instant,
}

/// What finishes stacks and prepares files.
#[derive(Clone)]
pub(crate) struct Helpers {
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) mapper: Arc<Mapper>,
    pub(crate) drops: Arc<Drops>,
}

/// The window that is being filled, and the one that is being closed.
pub(crate) struct Accumulator {
    aggregate: Aggregate,
    pending: Pending,
    closing: Option<Closing>,
    processes: ProcessTable,
    helpers: Helpers,
    attributes: SampleAttributes,
    pending_bytes_max: usize,
    counters: Arc<RingCounters>,
    frames: Vec<Frame>,
    since: Instant,
    since_wall: SystemTime,
}

/// A window that waits for its last stacks.
struct Closing {
    window: Window,
    pending: Pending,
    reply: SyncSender<Window>,
    until: Instant,
}

impl Accumulator {
    pub(crate) fn new(
        processes: ProcessTable,
        helpers: Helpers,
        attributes: SampleAttributes,
        pending_bytes_max: usize,
        counters: Arc<RingCounters>,
    ) -> Self {
        Self {
            aggregate: Aggregate::default(),
            pending: Pending::default(),
            closing: None,
            processes,
            helpers,
            attributes,
            pending_bytes_max,
            counters,
            frames: Vec::new(),
            since: Instant::now(),
            since_wall: SystemTime::now(),
        }
    }

    /// Adds a sample.
    fn add(&mut self, sample: &Sample<'_>) {
        let process = self.processes.of_sample(sample);
        let owner = Owner { process, tag: self.aggregate.tag(sample, self.attributes) };
        if let Some(tail) = &sample.tail {
            let user: Vec<Frame> = sample.user_frames().collect();
            let kernel = sample.kernel_frames().collect();
            let stack = Stack::new(owner, sample.process, user, kernel, tail);
            self.helpers.mapper.ask(process, sample.process);
            if let Some(stack) = self.pending.add(stack, self.pending_bytes_max, &self.helpers.drops) {
                finish(&mut self.aggregate, &self.counters, &stack, sample.stop);
            }
            return;
        }
        self.frames.clear();
        self.frames.extend(sample.user_frames());
        let mark = mark(sample.stop, self.frames.len() + sample.kernel_frames().len());
        let user = self.frames.iter().rev().copied();
        self.aggregate.add(owner, mark.into_iter().chain(user).chain(sample.kernel_frames()));
        self.counters.count_stop(sample.stop);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::File(file) => {
                self.learn(&file);
                self.helpers.lanes.ask(job(file));
            }
            Event::Rows(file) => {
                self.helpers.lanes.prepare_again(file.id, file.key, file.time_ns);
            }
            Event::Mappings { process, .. } => {
                let id = self.processes.id_of(process);
                if !self.helpers.mapper.ask(id, process) {
                    self.helpers.mapper.changed(id, process);
                }
            }
            Event::Exec(exec) => {
                self.helpers.mapper.exited(exec.process);
                self.processes.exec(Arc::new(*exec));
            }
            Event::Fork { process, parent } => self.processes.fork(process, parent),
            Event::Exit { process } => {
                self.helpers.mapper.exited(process);
                self.processes.exit(process);
            }
        }
    }

    /// Remembers the range through which a file was met, for stacks whose process may be gone soon.
    fn learn(&mut self, event: &FileEvent) {
        let id = self.processes.id_of(event.process);
        self.pending.met(id, Met { start: event.vma_start, end: event.vma_end, file: event.id });
    }

    /// Walks waiting stacks on; closes the window that waits for them.
    fn advance(&mut self) {
        let Helpers { tables, mapper, .. } = &self.helpers;
        let (aggregate, counters) = (&mut self.aggregate, &self.counters);
        self.pending.advance(tables, mapper, |stack, reason| {
            finish(aggregate, counters, &stack, reason.number());
        });
        let Some(closing) = &mut self.closing else { return };
        let aggregate = &mut closing.window.aggregate;
        closing.pending.advance(tables, mapper, |stack, reason| {
            finish(aggregate, counters, &stack, reason.number());
        });
        let Helpers { lanes, .. } = &self.helpers;
        if !closing.pending.has_hope(lanes, mapper) || Instant::now() >= closing.until {
            self.close();
        }
    }

    /// Hands over the window that is being closed.
    fn close(&mut self) {
        let Some(mut closing) = self.closing.take() else { return };
        let aggregate = &mut closing.window.aggregate;
        closing.pending.give_up(|stack, reason| {
            finish(aggregate, &self.counters, &stack, reason.number());
        });
        // Whoever asked may have given up; the window is lost with it.
        closing.reply.send(closing.window).ok();
    }

    /// Ends the window; it is handed over when its waiting stacks are finished.
    fn flush(&mut self, reply: SyncSender<Window>) {
        self.close();
        let aggregate = std::mem::take(&mut self.aggregate);
        let pending = std::mem::take(&mut self.pending);
        let mut ids: Vec<u32> = aggregate.counts().map(|(process, ..)| process).collect();
        ids.extend(pending.processes());
        ids.sort_unstable();
        ids.dedup();
        let subjects = self.processes.subjects(ids.into_iter());
        let gone = self.processes.end_window();
        self.helpers.mapper.forget(&gone);
        let (now, wall) = (Instant::now(), SystemTime::now());
        let window = Window {
            aggregate,
            subjects,
            start: self.since_wall,
            duration: now.saturating_duration_since(self.since),
        };
        (self.since, self.since_wall) = (now, wall);
        self.closing = Some(Closing { window, pending, reply, until: now + CLOSE_WITHIN });
        self.advance();
    }
}

/// Counts a stack that waited.
fn finish(aggregate: &mut Aggregate, counters: &RingCounters, stack: &Stack, stop: u16) {
    let mark = mark(stop, stack.user.len() + stack.kernel.len());
    let user = stack.user.iter().rev().copied();
    aggregate.add(stack.owner, mark.into_iter().chain(user).chain(stack.kernel.iter().copied()));
    counters.count_stop(stop);
}

fn job(file: FileEvent) -> Job {
    Job {
        id: file.id.min(FILE_ID_USER_MIN - 1),
        pid: file.process.pid,
        vma_start: file.vma_start,
        vma_end: file.vma_end,
        size: Some(file.size),
        vdso: abi::is_vdso(&file.key),
        key: file.key,
        name: file.name,
        met_ns: file.time_ns,
    }
}

impl RingCounters {
    fn count_stop(&self, stop: u16) {
        let at = usize::from(stop).min(STOPS - 1);
        self.stops[at].fetch_add(1, Ordering::Relaxed);
    }
}

impl Ring {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut checked = Instant::now();
        sys::lower_priority(-sys::HURRY);
        loop {
            let descriptors = [self.wake.as_fd(), self.events.as_fd(), self.samples.as_fd()];
            let poll = if self.accumulator.closing.is_some() { POLL_CLOSING } else { POLL };
            if let Err(error) = sys::wait_readable(descriptors, poll) {
                tracing::warn!(%error, "cannot wait for samples");
                std::thread::sleep(POLL);
            }
            self.drain();
            self.accumulator.advance();
            if checked.elapsed() >= CHECK_EVERY {
                checked = Instant::now();
                self.timers.refresh();
                self.counters.cpus.store(self.timers.len() as u64, Ordering::Relaxed);
                self.accumulator.helpers.lanes.watch();
                clerk::watch(&self.accumulator.helpers.mapper);
                clerk::watch(&self.identifier);
            }
            match self.commands.try_recv() {
                Ok(Command::Flush(reply)) => {
                    self.clear_wake();
                    self.accumulator.flush(reply);
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
        }
    }

    /// Takes the byte which came with a command out of the pipe.
    fn clear_wake(&mut self) {
        use std::io::Read as _;
        self.wake.read_exact(&mut [0]).ok();
    }

    fn drain(&mut self) {
        while let Some(record) = self.events.next() {
            match Event::parse(&record) {
                Some(event) => self.accumulator.event(event),
                None => _ = self.counters.malformed.fetch_add(1, Ordering::Relaxed),
            }
        }
        if let Some(side_band) = &mut self.side_band {
            let Accumulator { processes, helpers, .. } = &mut self.accumulator;
            side_band.drain(|pid| {
                if let Some((id, key)) = processes.of_pid(pid) {
                    helpers.mapper.changed(id, key);
                }
            });
            helpers.mapper.tend();
        }
        // Bounded, so that a flood of samples cannot keep commands waiting.
        const SAMPLES_MAX: usize = 1 << 17;
        for _ in 0..SAMPLES_MAX {
            let Some(record) = self.samples.next() else { break };
            let Some(sample) = Sample::parse(&record) else {
                self.counters.malformed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.accumulator.add(&sample);
            if self.counters.samples.fetch_add(1, Ordering::Relaxed) == 0 {
                let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.counters.first_sample_ns.store(elapsed, Ordering::Relaxed);
            }
        }
    }
}

const _: () = assert!(StopReason::ALL.len() < STOPS);
