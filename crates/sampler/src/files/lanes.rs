//! The threads that open and prepare files, and what keeps one file from delaying the others.
//!
//! ```text
//! jobs ─▶ quick lane: open; then prepare what is small, most wanted first
//!                        └─▶ slow lane: prepare what is large
//! ```
//!
//! A file may be made to block whoever opens or reads it (FUSE, a dead network file system). Each lane
//! has one thread; one that has been blocked for seconds is given up, another takes its place, and
//! further files of that device are refused as long as it blocks. When [`BLOCKED_MAX`] threads are left
//! behind like that, only devices that have answered before are read. Preparing is charged to a budget of
//! CPU time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{FileFacts, FileTable, Job, content, open};
use crate::abi::FileKey;
use crate::budget::{CpuBudget, Drops, Reason};
use crate::clerk::is_runnable;
use crate::processes::lock;
use crate::sys;

/// How long a thread may make no progress in a file before it is given up.
const BLOCKED_AFTER: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 3 });
/// Threads left behind in files that block, from which on only trusted devices are read.
const BLOCKED_MAX: usize = 8;
/// Threads left behind from which on nothing is read until one comes back.
const LEFT_MAX: usize = 32;
/// Files that wait for the slow lane; they hold a descriptor each.
const WAITING_MAX: usize = 512;
/// Files that wait to be opened; more are asked for again later.
const TO_OPEN_MAX: usize = 4096;
/// Sections up to this size are prepared in the quick lane: some five milliseconds.
const QUICK_BYTES_MAX: u64 = 1 << 20;

/// What is done with a file once it is open.
pub(crate) trait Prepare: Send + Sync {
    /// Bytes that preparing it would read; 0 if there is nothing to prepare.
    fn bytes(&self, facts: &FileFacts) -> u64;
    /// The file was opened, or given up.
    fn opened(&self, work: &Work, has_rows_to_come: bool);
    /// Prepares it and tells the kernel side.
    fn prepare(&self, work: &Work);
    /// The kernel side must forget a file.
    fn forget(&self, id: u32, key: &FileKey);
}

/// A file that is open and waits to be prepared.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) id: u32,
    pub(crate) key: FileKey,
    pub(crate) facts: Arc<FileFacts>,
    /// When a sample met it, CLOCK_MONOTONIC.
    pub(crate) met_ns: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Quick,
    Slow,
}

#[derive(Debug, Default)]
struct Queue {
    to_open: VecDeque<Job>,
    quick: Vec<Work>,
    slow: Vec<Work>,
    /// How often each waiting file was asked for.
    wanted: HashMap<u32, u64>,
    /// Devices on which a thread is blocked now.
    blocked: HashSet<u64>,
    /// Devices that have answered.
    trusted: HashSet<u64>,
    /// Only trusted devices are read.
    wary: bool,
    stopped: bool,
}

/// A thread of a lane.
#[derive(Debug)]
struct Worker {
    lane: Lane,
    state: Mutex<WorkerState>,
    /// Reads that came back.
    progress: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct WorkerState {
    thread: Option<rustix::thread::Pid>,
    doing: Option<Doing>,
    /// The device on which it was given up.
    given_up: Option<u64>,
}

/// What a thread is at.
#[derive(Debug)]
struct Doing {
    task: Task,
    device: u64,
    since: Instant,
    progress: u64,
}

#[derive(Debug, Default)]
struct Workers {
    all: Vec<Arc<Worker>>,
    threads: Vec<JoinHandle<()>>,
}

/// The lanes.
pub(crate) struct Lanes {
    table: Arc<FileTable>,
    prepare: Arc<dyn Prepare>,
    budget: Arc<CpuBudget>,
    drops: Arc<Drops>,
    queue: Mutex<Queue>,
    to_do: Condvar,
    workers: Mutex<Workers>,
}

impl Lanes {
    /// Starts both lanes.
    pub(crate) fn spawn(
        table: Arc<FileTable>,
        prepare: Arc<dyn Prepare>,
        budget: Arc<CpuBudget>,
        drops: Arc<Drops>,
    ) -> std::io::Result<Arc<Self>> {
        let lanes = Arc::new(Self {
            table,
            prepare,
            budget,
            drops,
            queue: Mutex::default(),
            to_do: Condvar::new(),
            workers: Mutex::default(),
        });
        lanes.add_worker(Lane::Quick)?;
        lanes.add_worker(Lane::Slow)?;
        Ok(lanes)
    }

    fn add_worker(self: &Arc<Self>, lane: Lane) -> std::io::Result<()> {
        let worker = Arc::new(Worker { lane, state: Mutex::default(), progress: Arc::default() });
        let (shared, own) = (Arc::clone(self), Arc::clone(&worker));
        let name = if lane == Lane::Quick { "hearth-open" } else { "hearth-tables" };
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || shared.work(&own))?;
        let mut workers = lock(&self.workers);
        workers.all.push(worker);
        workers.threads.push(thread);
        Ok(())
    }

    /// Queues a file; one that is queued already is wanted more.
    pub(crate) fn ask(&self, job: Job) {
        let mut queue = lock(&self.queue);
        if queue.stopped {
            return;
        }
        let waits = match queue.wanted.get_mut(&job.id) {
            Some(wanted) => {
                *wanted += 1;
                true
            }
            None => false,
        };
        if waits || !self.table.wants(job.id) {
            return;
        }
        if queue.to_open.len() >= TO_OPEN_MAX {
            self.drops.count(Reason::FilesWaiting);
            return;
        }
        let device = device_of(&job.key);
        if queue.blocked.contains(&device) || (queue.wary && !queue.trusted.contains(&device)) {
            drop(queue);
            self.drops.count(Reason::FileBlocks);
            self.answer(&job, Err("its device blocks".into()));
            return;
        }
        if self.table.expect(&job) {
            queue.wanted.insert(job.id, 1);
            queue.to_open.push_back(job);
            self.to_do.notify_all();
        }
    }

    /// Whether a file is being opened or prepared, or waits for that.
    pub(crate) fn is_coming(&self, id: u32) -> bool {
        lock(&self.queue).wanted.contains_key(&id)
    }

    /// Queues a file that is open to be prepared again.
    pub(crate) fn prepare_again(&self, id: u32, key: FileKey, met_ns: u64) {
        let Some(facts) = self.table.get(id) else { return };
        let mut queue = lock(&self.queue);
        if let Some(wanted) = queue.wanted.get_mut(&id) {
            *wanted += 1;
            return;
        }
        self.enqueue(&mut queue, Work { id, key, bytes: self.prepare.bytes(&facts), facts, met_ns });
    }

    fn enqueue(&self, queue: &mut Queue, work: Work) {
        if queue.stopped || work.bytes == 0 {
            queue.wanted.remove(&work.id);
            return;
        }
        queue.wanted.entry(work.id).or_insert(1);
        let lane = if work.bytes <= QUICK_BYTES_MAX { &mut queue.quick } else { &mut queue.slow };
        if lane.len() >= WAITING_MAX {
            queue.wanted.remove(&work.id);
            self.drops.count(Reason::FilesWaiting);
            // Samples must not carry stack bytes for good.
            self.prepare.opened(&work, false);
            return;
        }
        lane.push(work);
        self.to_do.notify_all();
    }

    /// Lets the threads end; those that are blocked are left behind.
    pub(crate) fn stop(&self) -> Vec<JoinHandle<()>> {
        lock(&self.queue).stopped = true;
        self.to_do.notify_all();
        self.budget.stop();
        std::mem::take(&mut lock(&self.workers).threads)
    }

    fn work(self: Arc<Self>, worker: &Worker) {
        content::watch_progress(Arc::clone(&worker.progress));
        lock(&worker.state).thread = Some(rustix::thread::gettid());
        if worker.lane == Lane::Quick {
            // Processes do not wait to be asked for their files. What it may use is up to the budget.
            sys::lower_priority(-sys::HURRY);
        }
        while let Some(task) = self.next(worker.lane) {
            let id = match &task {
                Task::Open(job) => job.id,
                Task::Prepare(work) => work.id,
            };
            begin(worker, task.clone());
            let result = match task {
                Task::Open(job) => Some((open::open(&job), job)),
                Task::Prepare(work) => {
                    self.budget.charge(|| self.prepare.prepare(&work));
                    None
                }
            };
            // Once given up, the file was answered for by whoever watches.
            if !end(worker) {
                return;
            }
            match result {
                Some((opened, job)) => self.opened(&job, opened),
                None => _ = lock(&self.queue).wanted.remove(&id),
            }
        }
    }

    /// The next thing to do; none when stopped. Opening comes first: processes end.
    fn next(&self, lane: Lane) -> Option<Task> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.stopped {
                return None;
            }
            if lane == Lane::Quick
                && let Some(job) = queue.to_open.pop_front()
            {
                return Some(Task::Open(job));
            }
            let Queue { quick, slow, wanted, .. } = &mut *queue;
            let works = if lane == Lane::Quick { quick } else { slow };
            if let Some(best) = best(works, wanted)
                && self.budget.allows(lane == Lane::Quick)
            {
                return Some(Task::Prepare(works.swap_remove(best)));
            }
            let wait = if works.is_empty() { Duration::from_secs(3600) } else { Duration::from_millis(20) };
            queue = self.to_do.wait_timeout(queue, wait).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// A file was opened, or cannot be.
    fn opened(&self, job: &Job, opened: Result<FileFacts, String>) {
        lock(&self.queue).trusted.insert(device_of(&job.key));
        self.answer(job, opened);
    }

    fn answer(&self, job: &Job, opened: Result<FileFacts, String>) {
        let (is_final, forgotten) = self.table.store(job, opened.map(Arc::new));
        for (id, key) in &forgotten {
            self.prepare.forget(*id, key);
        }
        let mut queue = lock(&self.queue);
        queue.wanted.remove(&job.id);
        drop(queue);
        let Some(facts) = self.table.get(job.id).filter(|_| is_final) else { return };
        let bytes = self.prepare.bytes(&facts);
        let work = Work { id: job.id, key: job.key, facts, met_ns: job.met_ns, bytes };
        self.prepare.opened(&work, bytes > 0);
        let mut queue = lock(&self.queue);
        self.enqueue(&mut queue, work);
    }

    /// Gives up threads that are blocked and starts others in their place. Call about once a second.
    pub(crate) fn watch(self: &Arc<Self>) {
        let all = lock(&self.workers).all.clone();
        for worker in all {
            let Some(blocked) = blocked(&worker) else { continue };
            let name = match &blocked.task {
                Task::Open(job) => &job.name,
                Task::Prepare(work) => &work.facts.path,
            };
            tracing::warn!(
                file = name,
                "a sampled file blocks whoever reads it (FUSE, a dead network file system?): leaving it out"
            );
            self.drops.count(Reason::FileBlocks);
            match blocked.task {
                Task::Open(job) => self.answer(&job, Err("opening it blocks".into())),
                Task::Prepare(work) => {
                    self.prepare.opened(&work, false);
                    lock(&self.queue).wanted.remove(&work.id);
                }
            }
        }
        let mut workers = lock(&self.workers);
        workers.all.retain(|worker| Arc::strong_count(worker) > 1);
        workers.threads.retain(|thread| !thread.is_finished());
        let stuck: Vec<u64> = workers.all.iter().filter_map(|worker| lock(&worker.state).given_up).collect();
        let is_there = |lane: Lane| {
            workers.all.iter().any(|worker| worker.lane == lane && lock(&worker.state).given_up.is_none())
        };
        let missing: Vec<Lane> =
            [Lane::Quick, Lane::Slow].into_iter().filter(|lane| !is_there(*lane)).collect();
        drop(workers);
        for lane in missing {
            if stuck.len() < LEFT_MAX
                && let Err(error) = self.add_worker(lane)
            {
                tracing::warn!(%error, "cannot start a thread that reads files");
            }
        }
        self.refuse(&stuck);
    }

    /// Refuses files on devices on which threads are stuck.
    fn refuse(&self, stuck: &[u64]) {
        let mut queue = lock(&self.queue);
        queue.wary = stuck.len() >= BLOCKED_MAX;
        queue.blocked = stuck.iter().copied().collect();
        if queue.blocked.is_empty() {
            return;
        }
        for device in stuck {
            queue.trusted.remove(device);
        }
        let Queue { to_open, blocked, wanted, .. } = &mut *queue;
        let (refused, kept): (Vec<Job>, Vec<Job>) =
            to_open.drain(..).partition(|job| blocked.contains(&device_of(&job.key)));
        *to_open = kept.into();
        for job in &refused {
            wanted.remove(&job.id);
        }
        drop(queue);
        for job in refused {
            self.drops.count(Reason::FileBlocks);
            self.answer(&job, Err("its device blocks".into()));
        }
    }
}

/// Something to do.
#[derive(Clone, Debug)]
enum Task {
    Open(Job),
    Prepare(Work),
}

fn device_of(key: &FileKey) -> u64 {
    key[2] >> 32
}

/// The work to do first: little to read, and wanted often.
fn best(works: &[Work], wanted: &HashMap<u32, u64>) -> Option<usize> {
    let cost = |work: &Work| work.bytes / wanted.get(&work.id).copied().unwrap_or(1).max(1);
    (0..works.len()).min_by_key(|at| works.get(*at).map(cost))
}

fn begin(worker: &Worker, task: Task) {
    let device = match &task {
        Task::Open(job) => device_of(&job.key),
        Task::Prepare(work) => device_of(&work.key),
    };
    let progress = worker.progress.load(Ordering::Relaxed);
    lock(&worker.state).doing = Some(Doing { task, device, since: Instant::now(), progress });
}

/// Returns whether the thread is still wanted.
fn end(worker: &Worker) -> bool {
    let mut state = lock(&worker.state);
    state.doing = None;
    state.given_up.is_none()
}

/// Gives a thread up if it is blocked; says at what it was.
fn blocked(worker: &Worker) -> Option<Doing> {
    let mut state = lock(&worker.state);
    let thread = state.thread?;
    let doing = state.doing.as_mut()?;
    let progress = worker.progress.load(Ordering::Relaxed);
    if progress != doing.progress {
        (doing.progress, doing.since) = (progress, Instant::now());
        return None;
    }
    if doing.since.elapsed() < BLOCKED_AFTER || is_runnable(thread) {
        return None;
    }
    state.given_up = Some(doing.device);
    state.doing.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Takes what it is given; file 1 blocks for good.
    #[derive(Default)]
    struct Taken {
        prepared: Mutex<Vec<u32>>,
        released: AtomicBool,
    }

    impl Prepare for Taken {
        fn bytes(&self, facts: &FileFacts) -> u64 {
            facts.content.as_ref().and_then(|content| content.len().ok()).unwrap_or(0)
        }
        fn opened(&self, _: &Work, _: bool) {}
        fn prepare(&self, work: &Work) {
            while work.id == 1 && !self.released.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            lock(&self.prepared).push(work.id);
        }
        fn forget(&self, _: u32, _: &FileKey) {}
    }

    fn job(id: u32) -> Job {
        let pid = std::process::id();
        let key = [1, 0, u64::from(id) << 32, 0];
        let name = "x".to_owned();
        // The vDSO is what can always be opened; each on a device of its own.
        Job { id, pid, vma_start: 0, vma_end: 0, size: None, key, vdso: true, name, met_ns: 0 }
    }

    fn wait(what: impl Fn() -> bool) {
        while !what() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_file_that_blocks_does_not_keep_others_waiting_for_good() {
        let taken = Arc::new(Taken::default());
        let (table, drops) = (Arc::new(FileTable::default()), Arc::new(Drops::default()));
        let budget = Arc::new(CpuBudget::new(100));
        let lanes =
            Lanes::spawn(Arc::clone(&table), Arc::clone(&taken) as _, budget, Arc::clone(&drops)).unwrap();
        lanes.ask(job(1));
        wait(|| table.get(1).is_some());
        lanes.ask(job(2));
        wait(|| {
            lanes.watch();
            *lock(&taken.prepared) == [2]
        });
        assert!(drops.named().contains(&("file blocks", 1)));
        // What comes back is welcome, its thread is not.
        taken.released.store(true, Ordering::Relaxed);
        wait(|| lock(&taken.prepared).len() == 2);
        for thread in lanes.stop() {
            thread.join().unwrap();
        }
    }

    #[test]
    fn what_is_small_and_wanted_comes_first() {
        let facts = Arc::new(FileFacts { path: "x".into(), fingerprint: 0, object: None, content: None });
        let work = |id, bytes| Work { id, key: [0; 4], facts: Arc::clone(&facts), met_ns: 0, bytes };
        let works = [work(1, 1000), work(2, 100), work(3, 5000)];
        assert_eq!(best(&works, &HashMap::new()), Some(1));
        assert_eq!(best(&works, &HashMap::from([(3, 100)])), Some(2));
        assert_eq!(best(&[], &HashMap::new()), None);
    }
}
