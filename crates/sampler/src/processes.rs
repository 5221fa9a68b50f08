//! Which processes were sampled and who they are.
//!
//! ```text
//! exec events ─▶ ┌──────────────┐ identity in the event ───────────────────────▶ Identity
//! fork, exit  ─▶ │ ProcessTable │ inherited from the parent ───────────────────▶
//! samples     ─▶ └──────────────┘ older than we are ─▶ identify thread ─▶ /proc ─▶
//! ```
//!
//! A process becomes another *incarnation* with each exec: same PID, other program. Events are drained
//! before samples, so a sample is put to the incarnation which ran when it was taken. The kernel side reads
//! arguments, environment and cgroup at exec, so that a process of a few milliseconds has its name, and
//! /proc is read only for processes that are older than the sampler or whose environment is long.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::abi::{self, ExecEvent, ProcessKey};
use crate::clerk::{self, Answers, Clerk};
use crate::filter::{Filters, Verdict};
use crate::identity::{Identity, Paths, facts_of};
use crate::process;

/// Processes without samples are forgotten above this, oldest first.
const PROCESSES_MAX: usize = 16_384;
/// Windows after which a process without samples is forgotten if its end was not seen.
const IDLE_WINDOWS_MAX: u32 = 120;
/// Generations looked at for somebody to inherit from.
const ANCESTORS_MAX: usize = 64;

/// What a sample or an event says about a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) id: u32,
    pub(crate) key: ProcessKey,
    pub(crate) comm: String,
    /// How it began to execute its program, if we saw it.
    pub(crate) exec: Option<Arc<ExecEvent>>,
    pub(crate) cgroup_id: u64,
    /// The incarnation it was forked from, if it has not executed another program since.
    pub(crate) parent: Option<u32>,
}

#[derive(Debug)]
struct Incarnation {
    key: ProcessKey,
    since_ns: u64,
    previous: Option<u32>,
    subject: Subject,
    asked: bool,
    exited: bool,
    idle_windows: u32,
}

/// All processes the ring thread knows.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    current: HashMap<ProcessKey, u32, foldhash::fast::RandomState>,
    incarnations: HashMap<u32, Incarnation, foldhash::fast::RandomState>,
    next_id: u32,
    identifier: Arc<Identifier>,
    /// The process of the last sample, its incarnation, and since when and before when that is true.
    last: Option<(ProcessKey, u32, u64)>,
}

impl ProcessTable {
    pub(crate) fn new(identifier: Arc<Identifier>) -> Self {
        Self {
            current: HashMap::default(),
            incarnations: HashMap::default(),
            next_id: 1,
            identifier,
            last: None,
        }
    }

    fn insert(&mut self, key: ProcessKey, since_ns: u64, mut subject: Subject) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1).max(1);
        subject.id = id;
        self.last = None;
        let previous = self.current.insert(key, id);
        let incarnation =
            Incarnation { key, since_ns, previous, subject, asked: false, exited: false, idle_windows: 0 };
        self.incarnations.insert(id, incarnation);
        id
    }

    /// A process began to execute a program.
    pub(crate) fn exec(&mut self, event: Arc<ExecEvent>) {
        let key = event.process;
        let subject = Subject {
            id: 0,
            key,
            comm: event.comm.clone(),
            cgroup_id: event.cgroup_id,
            parent: None,
            exec: Some(Arc::clone(&event)),
        };
        let id = self.insert(key, event.time_ns, subject);
        if self.identifier.has_filters() {
            self.ask(id);
        }
    }

    /// A process was forked.
    pub(crate) fn fork(&mut self, key: ProcessKey, parent: ProcessKey) {
        let parent = self.current.get(&parent).copied();
        let of_parent = parent.and_then(|id| self.incarnations.get(&id)).map(|parent| &parent.subject);
        let subject = Subject {
            id: 0,
            key,
            comm: of_parent.map_or_else(String::new, |parent| parent.comm.clone()),
            exec: None,
            cgroup_id: of_parent.map_or(0, |parent| parent.cgroup_id),
            parent: of_parent.map(|parent| parent.id),
        };
        self.insert(key, 0, subject);
    }

    /// A process ended.
    pub(crate) fn exit(&mut self, key: ProcessKey) {
        let mut at = self.current.get(&key).copied();
        while let Some(incarnation) = at.and_then(|id| self.incarnations.get_mut(&id)) {
            incarnation.exited = true;
            at = incarnation.previous;
        }
    }

    /// The id of the incarnation a sample belongs to; asks who it is on its first sample.
    pub(crate) fn of_sample(&mut self, sample: &abi::Sample<'_>) -> u32 {
        if let Some((key, id, since_ns)) = self.last
            && key == sample.process
            && sample.time_ns >= since_ns
        {
            return id;
        }
        let mut id = match self.current.get(&sample.process) {
            Some(id) => *id,
            None => {
                let subject = Subject {
                    id: 0,
                    key: sample.process,
                    comm: abi::text(sample.comm),
                    exec: None,
                    cgroup_id: sample.cgroup_id,
                    parent: None,
                };
                self.insert(sample.process, 0, subject)
            }
        };
        let current = id;
        while let Some(incarnation) = self.incarnations.get(&id)
            && sample.time_ns < incarnation.since_ns
            && let Some(previous) = incarnation.previous
        {
            id = previous;
        }
        if let Some(incarnation) = self.incarnations.get_mut(&id) {
            incarnation.idle_windows = 0;
            incarnation.subject.cgroup_id = sample.cgroup_id;
            if incarnation.subject.comm.is_empty() {
                incarnation.subject.comm = abi::text(sample.comm);
            }
            if id == current {
                self.last = Some((sample.process, id, incarnation.since_ns));
                if !incarnation.asked {
                    self.ask(id);
                }
            }
        }
        id
    }

    /// Asks /proc who an incarnation is, unless that is known already.
    fn ask(&mut self, id: u32) {
        let filtered = self.identifier.has_filters();
        let mut root = id;
        for _ in 0..ANCESTORS_MAX {
            let Some(at) = self.incarnations.get(&root) else { break };
            if at.asked || at.subject.exec.as_ref().is_some_and(|exec| !filtered && !exec_is_cut(exec)) {
                break;
            }
            match at.subject.parent.filter(|parent| self.incarnations.contains_key(parent)) {
                Some(parent) => root = parent,
                // Nobody in the family is known: what this process is, they all are.
                None => {
                    let Some(asking) = self.incarnations.get(&id) else { return };
                    let question = Question { id: root, key: asking.key, subject: at.subject.clone() };
                    self.identifier.ask(question);
                    break;
                }
            }
        }
        for id in [id, root] {
            if let Some(incarnation) = self.incarnations.get_mut(&id) {
                incarnation.asked = true;
            }
        }
    }

    /// What is known here about the processes `ids`, and about the parents they may inherit from.
    pub(crate) fn subjects(&self, ids: impl Iterator<Item = u32>) -> Vec<Subject> {
        let mut subjects: Vec<Subject> = Vec::new();
        let mut seen = HashSet::new();
        for id in ids {
            let mut at = Some(id);
            while let Some(incarnation) = at.and_then(|id| self.incarnations.get(&id)) {
                if !seen.insert(incarnation.subject.id) {
                    break;
                }
                subjects.push(incarnation.subject.clone());
                at = incarnation.subject.parent;
            }
        }
        subjects
    }

    /// Ends a window: forgets processes that have ended or long been idle, and says which.
    pub(crate) fn end_window(&mut self) -> Vec<u32> {
        let crowded = self.incarnations.len() > PROCESSES_MAX;
        self.last = None;
        let mut gone = Vec::new();
        for (id, incarnation) in &mut self.incarnations {
            let superseded = self.current.get(&incarnation.key) != Some(id);
            incarnation.idle_windows += 1;
            let idle = incarnation.idle_windows;
            // One whole window longer, for children that have not been sampled yet.
            if (idle > 2 && (incarnation.exited || superseded))
                || idle > IDLE_WINDOWS_MAX
                || (crowded && idle > 1)
            {
                gone.push(*id);
            }
        }
        for id in &gone {
            if let Some(incarnation) = self.incarnations.remove(id)
                && self.current.get(&incarnation.key) == Some(id)
            {
                self.current.remove(&incarnation.key);
            }
        }
        self.identifier.forget(&gone);
        gone
    }

    /// The incarnation a process is in now; one is made for a process that is not known yet.
    pub(crate) fn id_of(&mut self, key: ProcessKey) -> u32 {
        match self.current.get(&key) {
            Some(id) => *id,
            None => {
                let comm = String::new();
                let subject = Subject { id: 0, key, comm, exec: None, cgroup_id: 0, parent: None };
                self.insert(key, 0, subject)
            }
        }
    }

    /// The latest process with this id, if it is known. Looks at all.
    pub(crate) fn of_pid(&self, pid: u32) -> Option<(u32, ProcessKey)> {
        let of_pid = self.current.iter().filter(|(key, _)| key.pid == pid);
        of_pid.max_by_key(|(key, _)| key.start_ns).map(|(key, id)| (*id, *key))
    }
}

/// Whether an exec event may lack what names the process: its environment or a cgroup's name is longer
/// than what the kernel side reads.
fn exec_is_cut(exec: &ExecEvent) -> bool {
    const ENVIRONMENT_BYTES_MAX: usize = 3072;
    const CGROUP_NAME_BYTES_MAX: usize = 95;
    let names = || exec.cgroup.iter().chain(&exec.cgroup_v1);
    exec.environment.len() >= ENVIRONMENT_BYTES_MAX || names().any(|name| name.len() >= CGROUP_NAME_BYTES_MAX)
}

/// Who is this?
#[derive(Debug)]
pub(crate) struct Question {
    /// Whom the answer is about.
    id: u32,
    /// A process that has the same identity.
    key: ProcessKey,
    subject: Subject,
}

/// Tells the kernel side whether a process is sampled.
pub(crate) type TellVerdict = Box<dyn Fn(ProcessKey, bool) + Send + Sync>;

/// Reads /proc for processes, in a thread of its own.
pub(crate) struct Identifier {
    known: Mutex<Known>,
    idle: Condvar,
    clerk: Clerk<Question>,
    paths: Mutex<Paths>,
    filters: Filters,
    tell: Option<TellVerdict>,
}

impl Default for Identifier {
    fn default() -> Self {
        Self::new(Filters::default(), None)
    }
}

impl std::fmt::Debug for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identifier").field("filters", &self.filters).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Known {
    identities: HashMap<u32, Arc<Identity>>,
    verdicts: HashMap<u32, Verdict>,
    /// Which container a cgroup belongs to: processes of one share it.
    containers: HashMap<u64, Option<String>>,
    pending: usize,
}

/// Subjects with who they are and whether they are sampled, by id.
pub(crate) type Identities = HashMap<u32, (Arc<Identity>, Verdict)>;

impl Identifier {
    fn new(filters: Filters, tell: Option<TellVerdict>) -> Self {
        Self {
            known: Mutex::default(),
            idle: Condvar::new(),
            clerk: Clerk::new("hearth-identify"),
            paths: Mutex::default(),
            filters,
            tell,
        }
    }

    /// Starts the thread.
    pub(crate) fn spawn(
        filters: Filters,
        tell: Option<TellVerdict>,
    ) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let identifier = Arc::new(Self::new(filters, tell));
        let thread = clerk::start(&identifier)?;
        Ok((identifier, thread))
    }

    fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    fn ask(&self, question: Question) {
        lock(&self.known).pending += 1;
        if !self.clerk.ask(question) {
            lock(&self.known).pending -= 1;
        }
    }

    fn forget(&self, ids: &[u32]) {
        let mut known = lock(&self.known);
        for id in ids {
            known.identities.remove(id);
            known.verdicts.remove(id);
        }
    }

    /// Lets the thread end.
    pub(crate) fn stop(&self) {
        self.clerk.stop();
    }

    /// Waits until every question is answered, at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        wait_while(&self.idle, lock(&self.known), limit, |known| known.pending > 0);
    }

    /// Who the subjects are: from their exec event, from /proc, else from a relative.
    pub(crate) fn identities(&self, subjects: &[Subject]) -> Identities {
        const CONTAINERS_MAX: usize = 4096;
        let mut known = lock(&self.known);
        let mut paths = lock(&self.paths);
        for subject in subjects {
            if let Some(exec) = &subject.exec
                && !known.identities.contains_key(&subject.id)
            {
                let identity = Arc::new(Identity::of_exec(exec, &mut paths));
                known.identities.insert(subject.id, identity);
            }
            if let Some(identity) = known.identities.get(&subject.id) {
                let container = identity.container_id.clone();
                if known.containers.len() < CONTAINERS_MAX
                    || known.containers.contains_key(&subject.cgroup_id)
                {
                    known.containers.insert(subject.cgroup_id, container);
                }
            }
        }
        let by_id: HashMap<u32, &Subject> = subjects.iter().map(|subject| (subject.id, subject)).collect();
        subjects
            .iter()
            .map(|subject| {
                let verdict = match self.filters.is_empty() {
                    true => Verdict::Sample,
                    false => inherited(&by_id, subject, |id| known.verdicts.get(&id).copied())
                        .unwrap_or(Verdict::Undecided),
                };
                (subject.id, (identity(&known, &by_id, subject), verdict))
            })
            .collect()
    }
}

impl Answers for Identifier {
    type Question = Question;
    type Answer = (Option<Identity>, Verdict);

    fn answer(&self, question: &Question) -> Self::Answer {
        let Question { key, subject, .. } = question;
        let info = process::read_process(key.pid).filter(|info| same_start(info.start_time, key.start_ns));
        let identity = match (info, &subject.exec) {
            (Some(info), _) => Some(Identity::from(info)),
            (None, Some(exec)) => Some(Identity::of_exec(exec, &mut lock(&self.paths))),
            (None, None) => None,
        };
        let namespace = match &subject.exec {
            Some(exec) => Some(exec.pid_namespace),
            None if self.has_filters() => process::pid_namespace(key.pid),
            None => None,
        };
        let verdict = self.filters.verdict(&facts_of(identity.as_ref(), namespace));
        (identity, verdict)
    }

    fn store(&self, question: &Question, answer: Option<Self::Answer>) {
        let Question { id, key, .. } = question;
        let (identity, verdict) = answer.unwrap_or((None, Verdict::Undecided));
        if let Some(tell) = &self.tell
            && verdict != Verdict::Undecided
        {
            tell(*key, verdict == Verdict::Sample);
        }
        let mut known = lock(&self.known);
        known.verdicts.insert(*id, verdict);
        if let Some(identity) = identity {
            known.identities.insert(*id, Arc::new(identity));
        }
        known.pending -= 1;
        if known.pending == 0 {
            self.idle.notify_all();
        }
    }

    fn clerk(&self) -> &Clerk<Question> {
        &self.clerk
    }
}

/// What `of` knows about a subject, or about the nearest of those it was forked from.
fn inherited<T>(
    by_id: &HashMap<u32, &Subject>,
    subject: &Subject,
    of: impl Fn(u32) -> Option<T>,
) -> Option<T> {
    let mut at = Some(subject.id);
    for _ in 0..ANCESTORS_MAX {
        let id = at?;
        if let Some(found) = of(id) {
            return Some(found);
        }
        at = by_id.get(&id).and_then(|subject| subject.parent);
    }
    None
}

/// Who a subject is.
fn identity(known: &Known, by_id: &HashMap<u32, &Subject>, subject: &Subject) -> Arc<Identity> {
    if let Some(identity) = inherited(by_id, subject, |id| known.identities.get(&id).map(Arc::clone)) {
        return match identity.pid == subject.key.pid {
            true => identity,
            // Forked and not changed since: it is what its parent is.
            false => Arc::new(Identity { pid: subject.key.pid, ..Identity::clone(&identity) }),
        };
    }
    let name = Some(subject.comm.clone()).filter(|name| !name.is_empty());
    Arc::new(Identity {
        pid: subject.key.pid,
        executable_name: name.clone(),
        service_name: name,
        container_id: known.containers.get(&subject.cgroup_id).cloned().flatten(),
        ..Identity::default()
    })
}

/// Whether a start time in clock ticks is the one in nanoseconds.
pub(crate) fn same_start(ticks: u64, start_ns: u64) -> bool {
    /// `USER_HZ` is 100 on every architecture we support.
    const TICK_NS: u64 = 10_000_000;
    ticks.abs_diff(start_ns / TICK_NS) <= 1
}

/// Locks, also after a panic elsewhere: all data behind our locks is valid between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `condition` while `busy` holds, at most `limit`.
pub(crate) fn wait_while<T>(
    condition: &Condvar,
    mut guard: std::sync::MutexGuard<'_, T>,
    limit: Duration,
    busy: impl Fn(&T) -> bool,
) {
    let until = Instant::now() + limit;
    while busy(&guard) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        guard = condition.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(pid: u32, time_ns: u64, path: &str) -> Arc<ExecEvent> {
        Arc::new(ExecEvent {
            process: ProcessKey { pid, start_ns: 77 },
            time_ns,
            cgroup_id: 9,
            cgroup_v1_id: 0,
            pid_namespace: 1,
            comm: "comm".into(),
            path: path.into(),
            cgroup: Vec::new(),
            cgroup_v1: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
        })
    }

    fn subject(id: u32, parent: Option<u32>, program: Option<&str>) -> Subject {
        let exec = program.map(|path| exec(id, 0, path));
        let key = ProcessKey { pid: id, start_ns: 77 };
        Subject { id, key, comm: "comm".into(), exec, cgroup_id: 9, parent }
    }

    fn service(identifier: &Identifier, subjects: &[Subject]) -> Option<String> {
        identifier.identities(subjects)[&subjects[0].id].0.service_name.clone()
    }

    #[test]
    fn a_process_that_is_gone_is_named_by_what_is_left() {
        let identifier = Identifier::default();
        assert_eq!(service(&identifier, &[subject(1, None, Some("/usr/bin/ls"))]).as_deref(), Some("ls"));
        assert_eq!(service(&identifier, &[subject(2, None, None)]).as_deref(), Some("comm"));
        let parent = Identity { pid: 5, service_name: Some("shop".into()), ..Identity::default() };
        lock(&identifier.known).identities.insert(5, Arc::new(parent));
        let family = [subject(3, Some(4), None), subject(4, Some(5), None)];
        assert_eq!(service(&identifier, &family).as_deref(), Some("shop"));
        assert_eq!(identifier.identities(&family)[&3].0.pid, 3);
    }

    fn sample_of(table: &mut ProcessTable, key: ProcessKey, time_ns: u64) -> u32 {
        let mut record = vec![0; 56];
        record[0..8].copy_from_slice(&time_ns.to_ne_bytes());
        record[8..16].copy_from_slice(&key.start_ns.to_ne_bytes());
        record[24..28].copy_from_slice(&key.pid.to_ne_bytes());
        table.of_sample(&abi::Sample::parse(&record).unwrap())
    }

    #[test]
    fn samples_belong_to_the_program_that_ran_then() {
        let mut table = ProcessTable::new(Arc::default());
        let key = ProcessKey { pid: 5, start_ns: 77 };
        table.fork(key, ProcessKey { pid: 1, start_ns: 1 });
        table.exec(exec(5, 1000, "/bin/new"));
        let before = sample_of(&mut table, key, 999);
        let after = sample_of(&mut table, key, 1001);
        assert_eq!((before, after), (1, 2));
        // Also when the process was the last one met.
        assert_eq!(sample_of(&mut table, key, 999), 1);
        let programs: Vec<_> = table
            .subjects([1, 2].into_iter())
            .into_iter()
            .map(|s| s.exec.map(|exec| exec.path.clone()))
            .collect();
        assert_eq!(programs, [None, Some("/bin/new".to_owned())]);
    }

    #[test]
    fn a_pid_that_is_used_again_is_another_process() {
        let mut table = ProcessTable::new(Arc::default());
        let first = sample_of(&mut table, ProcessKey { pid: 5, start_ns: 77 }, 100);
        let second = sample_of(&mut table, ProcessKey { pid: 5, start_ns: 78 }, 200);
        assert_ne!(first, second);
        assert_eq!(sample_of(&mut table, ProcessKey { pid: 5, start_ns: 77 }, 300), first);
    }

    #[test]
    fn processes_that_ended_are_forgotten_after_two_windows() {
        let mut table = ProcessTable::new(Arc::default());
        for pid in 0..1000 {
            let key = ProcessKey { pid, start_ns: 77 };
            table.exec(exec(pid, 1, "/bin/true"));
            table.exit(key);
        }
        for _ in 0..3 {
            table.end_window();
        }
        assert_eq!(table.incarnations.len() + table.current.len(), 0);
    }
}
