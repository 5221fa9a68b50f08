//! Names of code in files: built off the sampling path, shared by all processes with the same build ID.
//!
//! ```text
//! window ─▶ addresses without a name yet ─▶ a thread per lane ─▶ Binary: index, separate debug
//!    ▲                                                              information, unwind ranges
//!    └────────────────────── names by build ID and address ◀─────────────────┘
//! ```
//!
//! Whoever collects a window asks for its addresses at once and waits a bounded time; what is not named by
//! then goes out by address, and is named in later windows. Small files come first and large ones have a lane
//! of their own, so that a program of hundreds of megabytes holds nobody up.
//!
//! A file with unnamed code is looked at again now and then: its debug information may have been installed
//! meanwhile, and then everything known about it is dropped and built again.

mod binary;
mod debug_files;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hearth_objfile::ElfAddress;
use hearth_symbolize::SourceFrame;

use crate::files::FileFacts;
use crate::processes::{lock, wait_while};
use crate::sys;
use binary::Binary;

/// Names kept, by address. At about 200 bytes each, 6 MB.
const NAMES_MAX: usize = 32_768;
/// Memory of open binaries of a lane above which those used longest ago are closed.
const BINARIES_BYTES_MAX: usize = 8 << 20;
/// Binaries of a lane open at once: each has a file descriptor or two.
const BINARIES_MAX: usize = 128;
/// What is larger goes to the slow lane.
const QUICK_BYTES_MAX: u64 = 4 << 20;
/// How much the slow lane gives way. More, and on a busy machine names come after their window went out.
const SLOW_NICE: i32 = 5;
/// How often a file with unnamed code is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is known about an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// The functions there, innermost first; empty if it has no name.
    pub(crate) frames: Vec<SourceFrame>,
    /// Where the function begins, if it has no name.
    pub(crate) start: Option<ElfAddress>,
}

/// A file, and addresses in it to name.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) key: Arc<str>,
    pub(crate) facts: Arc<FileFacts>,
    /// A process that runs it: debug information may be in its root directory.
    pub(crate) pid: Option<u32>,
    pub(crate) addresses: HashSet<u64>,
}

/// By what a file's names are shared: its build ID and what tells apart files that have it in common; else
/// its id.
pub(crate) fn key(id: u32, facts: &FileFacts) -> Arc<str> {
    match facts.object.as_ref().and_then(|object| object.build_id.as_deref()) {
        Some(build_id) => format!("{build_id} {:x}", facts.fingerprint).into(),
        None => format!("file {id}").into(),
    }
}

/// Names of one file.
#[derive(Debug, Default)]
struct Names {
    by_address: HashMap<u64, Arc<Named>, foldhash::fast::RandomState>,
    has_unnamed: bool,
    looked: Option<Instant>,
}

/// Which thread a file goes to; always the same one for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Quick,
    Slow,
}

#[derive(Default)]
struct State {
    queue: Vec<Wanted>,
    /// Threads that are naming something.
    busy: u32,
    stopped: bool,
    names: HashMap<Arc<str>, Names>,
    count: usize,
    /// Memory of open binaries, by lane.
    bytes: [usize; 2],
}

/// Names of code in files.
#[derive(Default)]
pub(crate) struct Symbols {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
}

impl Wanted {
    fn size(&self) -> u64 {
        self.facts.content.as_ref().and_then(|content| content.len().ok()).unwrap_or(0)
    }

    fn lane(&self) -> Lane {
        if self.size() <= QUICK_BYTES_MAX { Lane::Quick } else { Lane::Slow }
    }
}

impl Symbols {
    /// Starts the threads.
    pub(crate) fn spawn() -> std::io::Result<(Arc<Self>, [JoinHandle<()>; 2])> {
        let symbols = Arc::new(Self::default());
        let start = |name: &str, lane: Lane| {
            let shared = Arc::clone(&symbols);
            std::thread::Builder::new().name(name.into()).spawn(move || {
                if lane == Lane::Slow {
                    sys::lower_priority(SLOW_NICE);
                }
                shared.run(lane);
            })
        };
        let threads = [start("hearth-symbols", Lane::Quick)?, start("hearth-symbols+", Lane::Slow)?];
        Ok((symbols, threads))
    }

    /// Lets the threads end after what they are doing.
    pub(crate) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.work.notify_all();
    }

    /// Bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        const NAME_BYTES: usize = 200;
        let state = lock(&self.state);
        state.bytes.iter().sum::<usize>() + state.count * NAME_BYTES
    }

    /// Asks for names and waits until they are there, at most `limit`.
    pub(crate) fn resolve(&self, wanted: Vec<Wanted>, limit: Duration) {
        let mut state = lock(&self.state);
        for mut wanted in wanted {
            let known = state.names.get(&wanted.key);
            let look_again = known.is_some_and(|names| {
                names.has_unnamed && names.looked.is_none_or(|looked| looked.elapsed() > LOOK_AGAIN)
            });
            // Looking again may drop what is known, so all of it is asked for.
            if let Some(names) = known.filter(|_| !look_again) {
                wanted.addresses.retain(|address| !names.by_address.contains_key(address));
            }
            if look_again || !wanted.addresses.is_empty() {
                state.queue.push(wanted);
            }
        }
        self.work.notify_all();
        wait_while(&self.done, state, limit, |state| state.busy > 0 || !state.queue.is_empty());
    }

    /// What is known about an address; none if it was not asked for or is not known yet.
    pub(crate) fn get(&self, key: &str, address: u64) -> Option<Arc<Named>> {
        lock(&self.state).names.get(key)?.by_address.get(&address).cloned()
    }

    fn run(&self, lane: Lane) {
        let mut binaries: HashMap<Arc<str>, (Binary, Instant)> = HashMap::new();
        while let Some(wanted) = self.next(lane) {
            let entry = binaries.entry(Arc::clone(&wanted.key));
            let (binary, used) =
                entry.or_insert_with(|| (Binary::open(&wanted.facts, wanted.pid), Instant::now()));
            *used = Instant::now();
            if self.should_look_again(&wanted.key) && binary.look_again(&wanted.facts, wanted.pid) {
                self.forget(&wanted.key);
            }
            let mut addresses = self.unknown(&wanted);
            addresses.sort_unstable();
            let named = binary.name(&wanted.facts, &addresses);
            self.store(&wanted.key, addresses.into_iter().zip(named));
            close(&mut binaries, &wanted.key);
            let bytes = binaries.values().map(|(binary, _)| binary.memory_bytes()).sum();
            let mut state = lock(&self.state);
            state.bytes[lane as usize] = bytes;
            state.busy -= 1;
        }
    }

    /// The smallest file of `lane` with addresses to name; none when stopped. Counts the thread as busy.
    fn next(&self, lane: Lane) -> Option<Wanted> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                state.queue.clear();
                self.done.notify_all();
                return None;
            }
            let of_lane = state.queue.iter().enumerate().filter(|(_, wanted)| wanted.lane() == lane);
            if let Some((smallest, _)) = of_lane.min_by_key(|(_, wanted)| wanted.size()) {
                state.busy += 1;
                return Some(state.queue.swap_remove(smallest));
            }
            self.done.notify_all();
            sys::release_memory();
            state = self.work.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn should_look_again(&self, key: &str) -> bool {
        let mut state = lock(&self.state);
        let Some(names) = state.names.get_mut(key) else { return false };
        let due = names.has_unnamed && names.looked.is_none_or(|looked| looked.elapsed() > LOOK_AGAIN);
        if due {
            names.looked = Some(Instant::now());
        }
        due
    }

    /// The wanted addresses that are not known yet.
    fn unknown(&self, wanted: &Wanted) -> Vec<ElfAddress> {
        let state = lock(&self.state);
        let known = state.names.get(&wanted.key);
        let is_known = |address: &u64| known.is_some_and(|names| names.by_address.contains_key(address));
        let addresses = wanted.addresses.iter().copied();
        addresses.filter(|address| !is_known(address)).map(ElfAddress).collect()
    }

    fn forget(&self, key: &str) {
        let mut state = lock(&self.state);
        if let Some(names) = state.names.remove(key) {
            state.count -= names.by_address.len();
        }
    }

    fn store(&self, key: &Arc<str>, named: impl Iterator<Item = (ElfAddress, Named)>) {
        let mut state = lock(&self.state);
        // What is still needed is named again at once; nothing else knows what was used last.
        if state.count > NAMES_MAX {
            state.names.clear();
            state.count = 0;
        }
        let names = state.names.entry(Arc::clone(key)).or_default();
        let before = names.by_address.len();
        for (address, named) in named {
            names.has_unnamed |= named.frames.is_empty();
            names.by_address.insert(address.0, Arc::new(named));
        }
        let added = names.by_address.len() - before;
        names.looked.get_or_insert_with(Instant::now);
        state.count += added;
    }
}

/// Closes the binaries used longest ago while they take too much, but not `current`.
fn close(binaries: &mut HashMap<Arc<str>, (Binary, Instant)>, current: &Arc<str>) {
    loop {
        let bytes: usize = binaries.values().map(|(binary, _)| binary.memory_bytes()).sum();
        if bytes <= BINARIES_BYTES_MAX && binaries.len() <= BINARIES_MAX {
            return;
        }
        let others = binaries.iter().filter(|(key, _)| *key != current);
        let Some(oldest) = others.min_by_key(|(_, (_, used))| *used).map(|(key, _)| Arc::clone(key)) else {
            return;
        };
        binaries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
