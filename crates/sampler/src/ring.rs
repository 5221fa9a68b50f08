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

use crate::abi::{Event, ExecEvent, FILE_ID_USER_MIN, Frame, Sample};
use crate::aggregate::{Aggregate, mark};
use crate::cpus::CpuTimers;
use crate::files::{FileTable, Job};
use crate::processes::{ProcessTable, Subject};
use crate::raw::{Resolved, Resolver};
use crate::sys;

const POLL: Duration = Duration::from_millis(100);
const CPUS_EVERY: Duration = Duration::from_secs(1);
/// Slots for stop reasons; the last one counts numbers we do not know.
pub(crate) const STOPS: usize = 16;

/// What the ring thread counts; read by anyone.
#[derive(Debug, Default)]
pub(crate) struct RingCounters {
    pub(crate) samples: AtomicU64,
    pub(crate) malformed: AtomicU64,
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
    pub(crate) files: Arc<FileTable>,
    pub(crate) counters: Arc<RingCounters>,
    pub(crate) accumulator: Accumulator,
    pub(crate) started: Instant,
}

/// The window that is being filled.
pub(crate) struct Accumulator {
    aggregate: Aggregate,
    processes: ProcessTable,
    resolver: Resolver,
    frames: Vec<Frame>,
    since: Instant,
    since_wall: SystemTime,
}

impl Accumulator {
    pub(crate) fn new(processes: ProcessTable, resolver: Resolver) -> Self {
        Self {
            aggregate: Aggregate::default(),
            processes,
            resolver,
            frames: Vec::new(),
            since: Instant::now(),
            since_wall: SystemTime::now(),
        }
    }

    /// Adds a sample; returns why its walk ended.
    fn add(&mut self, sample: &Sample<'_>) -> u16 {
        let process = self.processes.of_sample(sample);
        let mut stop = sample.stop;
        self.frames.clear();
        let mut is_gone = false;
        for (index, frame) in sample.user_frames().enumerate() {
            match frame {
                Frame::Raw(_) if is_gone => self.frames.push(frame),
                Frame::Raw(address) => match self.resolver.resolve(process, sample.process.pid, address) {
                    Resolved::Frame(frame) => self.frames.push(frame),
                    // Asking again for each of its frames would cost a system call each.
                    Resolved::Unknown => {
                        is_gone = true;
                        self.frames.push(frame);
                    }
                    // The leaf ran, whatever the mappings say now.
                    Resolved::Not(_) if index == 0 => self.frames.push(frame),
                    Resolved::Not(reason) => {
                        stop = reason.number();
                        break;
                    }
                },
                frame => self.frames.push(frame),
            }
        }
        let mark = mark(stop, self.frames.len() + sample.kernel_frames().count());
        let user = self.frames.iter().rev().copied();
        self.aggregate.add(process, mark.into_iter().chain(user).chain(sample.kernel_frames()));
        stop
    }

    fn event(&mut self, event: Event, files: &FileTable) {
        match event {
            Event::File(file) => files.ask(Job {
                id: file.id.min(FILE_ID_USER_MIN - 1),
                pid: file.process.pid,
                vma_start: file.vma_start,
                vma_end: file.vma_end,
                size: Some(file.size),
                key: Some(file.key),
                name: file.name,
            }),
            Event::Exec(exec) => {
                let ExecEvent { process, time_ns, cgroup_id, comm, path, .. } = *exec;
                self.processes.exec(process, time_ns, cgroup_id, comm, path);
            }
            Event::Rows(_) | Event::Mappings { .. } => {}
            Event::Fork { process, parent } => self.processes.fork(process, parent),
            Event::Exit { process } => self.processes.exit(process),
        }
    }

    fn flush(&mut self) -> Window {
        let aggregate = std::mem::take(&mut self.aggregate);
        let mut ids: Vec<u32> = aggregate.counts().map(|(process, ..)| process).collect();
        ids.sort_unstable();
        ids.dedup();
        let subjects = self.processes.subjects(ids.into_iter());
        self.processes.end_window();
        let (now, wall) = (Instant::now(), SystemTime::now());
        let window = Window {
            aggregate,
            subjects,
            start: self.since_wall,
            duration: now.saturating_duration_since(self.since),
        };
        (self.since, self.since_wall) = (now, wall);
        window
    }
}

impl Ring {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut cpus_seen = Instant::now();
        loop {
            let descriptors = [self.wake.as_fd(), self.events.as_fd(), self.samples.as_fd()];
            if let Err(error) = sys::wait_readable(descriptors, POLL) {
                tracing::warn!(%error, "cannot wait for samples");
                std::thread::sleep(POLL);
            }
            self.drain();
            if cpus_seen.elapsed() >= CPUS_EVERY {
                cpus_seen = Instant::now();
                self.timers.refresh();
                self.counters.cpus.store(self.timers.len() as u64, Ordering::Relaxed);
            }
            match self.commands.try_recv() {
                Ok(Command::Flush(reply)) => {
                    self.clear_wake();
                    let window = self.accumulator.flush();
                    // Whoever asked may have given up; the window is lost with it.
                    reply.send(window).ok();
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
                Some(event) => self.accumulator.event(event, &self.files),
                None => _ = self.counters.malformed.fetch_add(1, Ordering::Relaxed),
            }
        }
        // Bounded, so that a flood of samples cannot keep commands waiting.
        const SAMPLES_MAX: usize = 1 << 17;
        for _ in 0..SAMPLES_MAX {
            let Some(record) = self.samples.next() else { break };
            let Some(sample) = Sample::parse(&record) else {
                self.counters.malformed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let stop = usize::from(self.accumulator.add(&sample)).min(STOPS - 1);
            self.counters.stops[stop].fetch_add(1, Ordering::Relaxed);
            if self.counters.samples.fetch_add(1, Ordering::Relaxed) == 0 {
                let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.counters.first_sample_ns.store(elapsed, Ordering::Relaxed);
            }
        }
    }
}

const _: () = assert!(StopReason::ALL.len() < STOPS);
