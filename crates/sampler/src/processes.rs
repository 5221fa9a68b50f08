//! Which processes were sampled and who they are.
//!
//! ```text
//! exec, fork, exit events ─▶ ┌──────────────┐ first sample ─▶ identify thread ─▶ /proc ─▶ Identity
//! samples ─────────────────▶ │ ProcessTable │
//!                            └──────────────┘ gone before it was read ─▶ exec event, parent, cgroup
//! ```
//!
//! A process becomes another *incarnation* with each exec: same PID, other program. Events are drained
//! before samples, so a sample is put to the incarnation which ran when it was taken.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::abi::{self, ProcessKey};
use crate::process::{self, ProcessInfo};

/// Processes without samples are forgotten above this, oldest first.
const PROCESSES_MAX: usize = 16_384;
/// Windows after which a process without samples is forgotten if its end was not seen.
const IDLE_WINDOWS_MAX: u32 = 120;

/// Who a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    pub(crate) executable_name: Option<String>,
    pub(crate) executable_path: Option<String>,
    pub(crate) service_name: Option<String>,
    pub(crate) container_id: Option<String>,
    /// What the process says about itself in OTEL_RESOURCE_ATTRIBUTES.
    pub(crate) attributes: Vec<(String, String)>,
}

impl From<ProcessInfo> for Identity {
    fn from(info: ProcessInfo) -> Self {
        Self {
            pid: info.pid,
            executable_name: Some(info.executable_name),
            executable_path: info.executable_path,
            service_name: Some(info.service_name),
            container_id: info.container_id,
            attributes: info.attributes,
        }
    }
}

/// What a sample or an event says about a process; used where /proc came too late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) id: u32,
    pub(crate) pid: u32,
    pub(crate) comm: String,
    /// Path given to execve.
    pub(crate) program: Option<String>,
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
    current: HashMap<ProcessKey, u32>,
    incarnations: HashMap<u32, Incarnation>,
    next_id: u32,
    identifier: Arc<Identifier>,
}

impl ProcessTable {
    pub(crate) fn new(identifier: Arc<Identifier>) -> Self {
        Self { current: HashMap::new(), incarnations: HashMap::new(), next_id: 1, identifier }
    }

    fn insert(&mut self, key: ProcessKey, since_ns: u64, mut subject: Subject) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1).max(1);
        subject.id = id;
        let previous = self.current.insert(key, id);
        let incarnation =
            Incarnation { key, since_ns, previous, subject, asked: false, exited: false, idle_windows: 0 };
        self.incarnations.insert(id, incarnation);
        id
    }

    /// A process began to execute a program.
    pub(crate) fn exec(&mut self, key: ProcessKey, time_ns: u64, cgroup_id: u64, comm: String, path: String) {
        let program = Some(path).filter(|path| !path.is_empty());
        self.insert(key, time_ns, Subject { id: 0, pid: key.pid, comm, program, cgroup_id, parent: None });
    }

    /// A process was forked.
    pub(crate) fn fork(&mut self, key: ProcessKey, parent: ProcessKey) {
        let parent = self.current.get(&parent).copied();
        let of_parent = parent.and_then(|id| self.incarnations.get(&id)).map(|parent| parent.subject.clone());
        let subject = match of_parent {
            Some(of_parent) => Subject { id: 0, pid: key.pid, parent, ..of_parent },
            None => Subject {
                id: 0,
                pid: key.pid,
                comm: String::new(),
                program: None,
                cgroup_id: 0,
                parent: None,
            },
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
        let mut id = match self.current.get(&sample.process) {
            Some(id) => *id,
            None => {
                let subject = Subject {
                    id: 0,
                    pid: sample.process.pid,
                    comm: abi::text(sample.comm),
                    program: None,
                    cgroup_id: sample.cgroup_id,
                    parent: None,
                };
                self.insert(sample.process, 0, subject)
            }
        };
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
            if !incarnation.asked {
                incarnation.asked = true;
                // A former incarnation is no longer to be seen in /proc.
                if self.current.get(&sample.process) == Some(&id) {
                    self.identifier.ask(id, sample.process);
                }
            }
        }
        id
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

    /// Ends a window: forgets processes that have ended or long been idle.
    pub(crate) fn end_window(&mut self) {
        let crowded = self.incarnations.len() > PROCESSES_MAX;
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
    }
}

/// Reads /proc for processes, in a thread of its own: a process can make that slow.
#[derive(Debug, Default)]
pub(crate) struct Identifier {
    known: Mutex<Known>,
    idle: Condvar,
    questions: Mutex<Option<Sender<(u32, ProcessKey)>>>,
}

#[derive(Debug, Default)]
struct Known {
    identities: HashMap<u32, Arc<Identity>>,
    /// Which container a cgroup belongs to: processes of one share it.
    containers: HashMap<u64, Option<String>>,
    pending: usize,
}

impl Identifier {
    /// Starts the thread.
    pub(crate) fn spawn() -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let identifier = Arc::new(Self { questions: Mutex::new(Some(sender)), ..Self::default() });
        let shared = Arc::clone(&identifier);
        let thread = std::thread::Builder::new()
            .name("hearth-identify".into())
            .spawn(move || shared.run(&receiver))?;
        Ok((identifier, thread))
    }

    fn run(&self, questions: &Receiver<(u32, ProcessKey)>) {
        while let Ok((id, key)) = questions.recv() {
            let info =
                process::read_process(key.pid).filter(|info| same_start(info.start_time, key.start_ns));
            let mut known = lock(&self.known);
            if let Some(info) = info {
                known.identities.insert(id, Arc::new(Identity::from(info)));
            }
            known.pending -= 1;
            if known.pending == 0 {
                self.idle.notify_all();
            }
        }
    }

    fn ask(&self, id: u32, key: ProcessKey) {
        let questions = lock(&self.questions);
        let Some(sender) = questions.as_ref() else { return };
        lock(&self.known).pending += 1;
        if sender.send((id, key)).is_err() {
            lock(&self.known).pending -= 1;
        }
    }

    fn forget(&self, ids: &[u32]) {
        let mut known = lock(&self.known);
        for id in ids {
            known.identities.remove(id);
        }
    }

    /// Lets the thread end.
    pub(crate) fn stop(&self) {
        lock(&self.questions).take();
    }

    /// Waits until every question is answered, at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        wait_while(&self.idle, lock(&self.known), limit, |known| known.pending > 0);
    }

    /// Who the subjects are, in their order: from /proc, else from what a relative or an event says.
    pub(crate) fn identities(&self, subjects: &[Subject]) -> Vec<Arc<Identity>> {
        const CONTAINERS_MAX: usize = 4096;
        let mut known = lock(&self.known);
        for subject in subjects {
            if let Some(identity) = known.identities.get(&subject.id) {
                let container = identity.container_id.clone();
                if known.containers.len() < CONTAINERS_MAX
                    || known.containers.contains_key(&subject.cgroup_id)
                {
                    known.containers.insert(subject.cgroup_id, container);
                }
            }
        }
        subjects.iter().map(|subject| identity(&known, subjects, subject)).collect()
    }
}

/// Who a subject is.
fn identity(known: &Known, subjects: &[Subject], subject: &Subject) -> Arc<Identity> {
    if let Some(identity) = known.identities.get(&subject.id) {
        return Arc::clone(identity);
    }
    // Forked and not changed since: it is what its parent is.
    let mut ancestor = subject.parent;
    while let Some(id) = ancestor {
        if let Some(identity) = known.identities.get(&id) {
            return Arc::new(Identity { pid: subject.pid, ..Identity::clone(identity) });
        }
        ancestor = subjects.iter().find(|other| other.id == id).and_then(|parent| parent.parent);
    }
    let name = match &subject.program {
        Some(path) => path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(&subject.comm),
        None => &subject.comm,
    };
    let name = Some(name.to_owned()).filter(|name| !name.is_empty());
    Arc::new(Identity {
        pid: subject.pid,
        executable_name: name.clone(),
        executable_path: subject.program.clone().filter(|path| path.starts_with('/')),
        service_name: name,
        container_id: known.containers.get(&subject.cgroup_id).cloned().flatten(),
        attributes: Vec::new(),
    })
}

/// Whether a start time in clock ticks is the one in nanoseconds.
fn same_start(ticks: u64, start_ns: u64) -> bool {
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

    fn subject(id: u32, parent: Option<u32>, program: Option<&str>) -> Subject {
        Subject { id, pid: id, comm: "comm".into(), program: program.map(Into::into), cgroup_id: 9, parent }
    }

    fn service(known: &Known, subjects: &[Subject]) -> Option<String> {
        identity(known, subjects, &subjects[0]).service_name.clone()
    }

    #[test]
    fn a_process_that_is_gone_is_named_by_what_is_left() {
        let mut known = Known::default();
        assert_eq!(service(&known, &[subject(1, None, Some("/usr/bin/ls"))]).as_deref(), Some("ls"));
        assert_eq!(service(&known, &[subject(1, None, None)]).as_deref(), Some("comm"));
        let parent = Identity { pid: 3, service_name: Some("shop".into()), ..Identity::default() };
        known.identities.insert(3, Arc::new(parent));
        let family = [subject(1, Some(2), None), subject(2, Some(3), None)];
        assert_eq!(service(&known, &family).as_deref(), Some("shop"));
        assert_eq!(identity(&known, &family, &family[0]).pid, 1);
    }

    #[test]
    fn samples_belong_to_the_program_that_ran_then() {
        let mut table = ProcessTable::new(Arc::default());
        let key = ProcessKey { pid: 5, start_ns: 77 };
        table.fork(key, ProcessKey { pid: 1, start_ns: 1 });
        table.exec(key, 1000, 0, "new".into(), "/bin/new".into());
        let mut record = vec![0; 56];
        record[8..16].copy_from_slice(&77_u64.to_ne_bytes());
        record[24..28].copy_from_slice(&5_u32.to_ne_bytes());
        record[0..8].copy_from_slice(&999_u64.to_ne_bytes());
        let before = table.of_sample(&abi::Sample::parse(&record).unwrap());
        record[0..8].copy_from_slice(&1001_u64.to_ne_bytes());
        let after = table.of_sample(&abi::Sample::parse(&record).unwrap());
        assert_eq!((before, after), (1, 2));
        let programs: Vec<_> = table.subjects([1, 2].into_iter()).into_iter().map(|s| s.program).collect();
        assert_eq!(programs, [None, Some("/bin/new".to_owned())]);
    }
}
