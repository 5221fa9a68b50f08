//! Mappings of processes as /proc shows them, read by a thread that may wait.
//!
//! ```text
//! stack that waits for a file ─┐
//! unknown address (fallback) ──┴▶ ask ─▶ read /proc/PID/maps ─▶ Mappings, by incarnation
//!                                            └─▶ fallback: table of the process for the kernel side
//! ```
//!
//! Where the kernel side looks mappings up itself, they are needed only to finish stacks that met a
//! file before its rows were ready. Where it cannot (its self-test failed, or the fallback was asked for),
//! it looks into per-process tables that are written here, in pages of the pool of unwind tables.
//!
//! Only executable mappings are kept: nothing else can be on a stack. A process can make reading its
//! mappings slow, but not others': one that blocks is left behind like a file that blocks.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::abi::{self, FILE_ID_USER_MIN, Frame, ProcessKey};
use crate::budget::{Drops, Reason, monotonic_ns};
use crate::clerk::{self, Answers, Clerk};
use crate::fallback::ProcessTables;
use crate::files::{FileTable, Job, Lanes};
use crate::process;
use crate::processes::lock;

/// Lines of /proc/PID/maps looked at. A process may have 65,530 mappings unless the limit was raised.
const LINES_MAX: usize = 1 << 17;
/// Executable mappings kept of one process.
const ENTRIES_MAX: usize = 8192;
/// Executable mappings kept of all processes: some 5 MB.
const ENTRIES_ALL_MAX: usize = 1 << 17;
/// How soon the mappings of a process may be read again.
const REFRESH_AFTER: Duration = Duration::from_millis(100);
/// Ids given out; the rest of the 24-bit range below the tags.
const IDS_MAX: u32 = (0xfd << 16) - FILE_ID_USER_MIN;

/// An executable mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The file and the offset of `start` in it; none for memory without a file.
    pub(crate) file: Option<(u32, u64)>,
}

impl Mapping {
    /// The frame for an address in it.
    pub(crate) fn frame(&self, address: u64) -> Frame {
        match self.file {
            Some((id, offset)) => Frame::File { id, offset: address - self.start + offset },
            None => Frame::Anonymous(address),
        }
    }
}

/// The executable mappings of a process.
#[derive(Debug)]
pub(crate) struct Mappings {
    /// Ascending.
    entries: Vec<Mapping>,
    read: Instant,
}

impl Mappings {
    /// Whether nothing is known: the process was gone before it could be asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The mapping that covers `address`.
    pub(crate) fn find(&self, address: u64) -> Option<&Mapping> {
        let after = self.entries.partition_point(|entry| entry.start <= address);
        self.entries.get(after.checked_sub(1)?).filter(|entry| address < entry.end)
    }
}

#[derive(Debug, Default)]
struct Known {
    processes: HashMap<u32, Arc<Mappings>>,
    entries: usize,
    /// Questions without an answer.
    asked: HashMap<u32, Instant>,
    /// Processes that block whoever asks, never asked again.
    blocked: HashSet<u32>,
}

/// Reads and keeps mappings.
pub(crate) struct Mapper {
    known: Mutex<Known>,
    clerk: Clerk<(u32, ProcessKey)>,
    files: Arc<FileTable>,
    lanes: Arc<Lanes>,
    drops: Arc<Drops>,
    /// Files that user space numbered: device, inode, change time.
    ids: Mutex<HashMap<FileIdentity, u32>>,
    /// The kernel side's tables; none where it needs none.
    tables: Option<ProcessTables>,
    /// Grows with every answer.
    changes: AtomicU64,
    /// Processes whose mappings changed while they were fresh.
    stale: Mutex<HashMap<u32, ProcessKey>>,
}

/// What identifies a file's content here: device, inode, change time. By path where that cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FileIdentity {
    device: (u32, u32),
    inode: u64,
    changed: Option<(i64, i64)>,
    path: String,
}

impl Mapper {
    /// Starts the thread that reads.
    pub(crate) fn spawn(
        files: Arc<FileTable>,
        lanes: Arc<Lanes>,
        drops: Arc<Drops>,
        tables: Option<ProcessTables>,
    ) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let mapper = Arc::new(Self {
            known: Mutex::default(),
            clerk: Clerk::new("hearth-mappings"),
            files,
            lanes,
            drops,
            ids: Mutex::default(),
            tables,
            changes: AtomicU64::new(0),
            stale: Mutex::default(),
        });
        let thread = clerk::start(&mapper)?;
        Ok((mapper, thread))
    }

    /// What is known of a process.
    pub(crate) fn get(&self, process: u32) -> Option<Arc<Mappings>> {
        lock(&self.known).processes.get(&process).cloned()
    }

    /// A number that grows with every answer.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The mappings of a process changed: they are read again, soon but not more often than they are fresh.
    pub(crate) fn changed(&self, process: u32, key: ProcessKey) {
        const PROCESSES_MAX: usize = 4096;
        let mut stale = lock(&self.stale);
        if stale.len() < PROCESSES_MAX {
            stale.insert(process, key);
        }
    }

    /// Asks for what has changed and is no longer fresh. Call some ten times a second.
    pub(crate) fn tend(&self) {
        let mut stale = lock(&self.stale);
        if stale.is_empty() {
            return;
        }
        let all = std::mem::take(&mut *stale);
        drop(stale);
        for (process, key) in all {
            if !self.ask(process, key) {
                lock(&self.stale).insert(process, key);
            }
        }
    }

    /// Asks for the mappings of incarnation `process`, unless that was done just now.
    /// Returns whether it was asked.
    pub(crate) fn ask(&self, process: u32, key: ProcessKey) -> bool {
        let mut known = lock(&self.known);
        let fresh = known.processes.get(&process).is_some_and(|known| known.read.elapsed() < REFRESH_AFTER);
        if fresh || known.asked.contains_key(&process) || known.blocked.contains(&process) {
            return known.blocked.contains(&process);
        }
        known.asked.insert(process, Instant::now());
        drop(known);
        if !self.clerk.ask((process, key)) {
            lock(&self.known).asked.remove(&process);
        }
        true
    }

    /// Whether an answer about a process is still to come.
    pub(crate) fn is_asked(&self, process: u32) -> bool {
        lock(&self.known).asked.contains_key(&process)
    }

    /// Forgets processes that have ended.
    pub(crate) fn forget(&self, processes: &[u32]) {
        let mut known = lock(&self.known);
        for process in processes {
            known.blocked.remove(process);
            if let Some(gone) = known.processes.remove(process) {
                known.entries = known.entries.saturating_sub(gone.entries.len());
            }
        }
    }

    /// A process ended, so that the kernel side needs its table no more.
    pub(crate) fn exited(&self, key: ProcessKey) {
        if let Some(tables) = &self.tables {
            tables.forget(key);
        }
    }

    /// Lets the thread end.
    pub(crate) fn stop(&self) {
        self.clerk.stop();
    }

    /// The executable mappings of a process; none if it is gone.
    fn read(&self, key: ProcessKey) -> Option<Vec<Mapping>> {
        let mut directory = key.pid;
        let mut lines = executable_lines(directory, &self.drops).ok()?;
        if lines.is_empty() {
            directory = process::surviving_thread(key.pid)?;
            lines = executable_lines(directory, &self.drops).ok()?;
        }
        let own = process::read_process_key(key.pid)?;
        if !crate::processes::same_start(own.start_time, key.start_ns) {
            return None;
        }
        let mut entries = Vec::with_capacity(lines.len());
        for line in &lines {
            let Some(entry) = process::parse_maps_line(line) else { continue };
            let (start, end) = (entry.start.0, entry.end.0);
            let vdso = entry.path == "[vdso]";
            let file = if entry.inode == 0 && !vdso {
                None
            } else {
                let offset = if vdso { 0 } else { entry.file_offset.0 };
                Some((self.file_id(directory, &entry)?, offset))
            };
            entries.push(Mapping { start, end, file });
        }
        Some(entries)
    }

    /// The id of a mapping's file: the kernel side's if it has one, else one of our own.
    fn file_id(&self, pid: u32, entry: &process::MapEntry) -> Option<u32> {
        let vdso = entry.path == "[vdso]";
        let (start, end) = (entry.start.0, entry.end.0);
        let link = format!("/proc/{pid}/map_files/{start:x}-{end:x}");
        let metadata = if vdso { None } else { std::fs::metadata(link).ok() };
        let changed = metadata.as_ref().map(|data| (data.ctime(), data.ctime_nsec()));
        // What the kernel side calls the vDSO.
        let (inode, device) = if vdso { (1, (0xfff, 0xf_ffff)) } else { (entry.inode, entry.device) };
        if self.tables.is_none()
            && let Some(id) = self.files.id_of_inode(inode, device, changed)
        {
            return Some(id);
        }
        let identity = FileIdentity {
            device: entry.device,
            inode: entry.inode,
            changed,
            path: if metadata.is_some() { String::new() } else { entry.path.clone() },
        };
        let mut ids = lock(&self.ids);
        let given = u32::try_from(ids.len()).ok().filter(|given| *given < IDS_MAX)?;
        let id = *ids.entry(identity).or_insert(FILE_ID_USER_MIN + given);
        drop(ids);
        if self.files.wants(id) {
            self.lanes.ask(Job {
                id,
                pid,
                vma_start: start,
                vma_end: end,
                size: metadata.map(|data| data.len()),
                key: abi::numbered_key(id),
                vdso,
                name: entry.path.rsplit('/').next().unwrap_or(&entry.path).to_owned(),
                met_ns: monotonic_ns(),
            });
        }
        Some(id)
    }
}

impl Answers for Mapper {
    type Question = (u32, ProcessKey);
    type Answer = (Instant, Option<Vec<Mapping>>);

    fn answer(&self, (_, key): &Self::Question) -> Self::Answer {
        // Before reading, so that what changes meanwhile counts as newer.
        let read = Instant::now();
        (read, self.read(*key))
    }

    fn store(&self, (process, key): &Self::Question, answer: Option<Self::Answer>) {
        let is_blocked = answer.is_none();
        let (read, entries) = answer.unwrap_or((Instant::now(), None));
        if let (Some(tables), Some(entries)) = (&self.tables, &entries)
            && !tables.tell(*key, entries)
        {
            self.drops.count(Reason::TableMemory);
        }
        let entries = entries.unwrap_or_default();
        let mut known = lock(&self.known);
        known.asked.remove(process);
        if is_blocked {
            known.blocked.insert(*process);
        }
        if known.entries + entries.len() > ENTRIES_ALL_MAX {
            known.processes.clear();
            known.entries = 0;
        }
        known.entries += entries.len();
        if let Some(before) = known.processes.insert(*process, Arc::new(Mappings { entries, read })) {
            known.entries = known.entries.saturating_sub(before.entries.len());
        }
        drop(known);
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn clerk(&self) -> &Clerk<Self::Question> {
        &self.clerk
    }
}

/// The lines of executable mappings in /proc/PID/maps.
fn executable_lines(pid: u32, drops: &Drops) -> std::io::Result<Vec<Vec<u8>>> {
    const LINE_BYTES_MAX: u64 = 20 * 1024;
    let file = File::open(format!("/proc/{pid}/maps"))?;
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    for _ in 0..LINES_MAX {
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(lines);
        }
        // start-end rwxp …
        let permissions = line.iter().position(|byte| *byte == b' ').unwrap_or(0);
        if line.get(permissions + 3) != Some(&b'x') {
            continue;
        }
        if lines.len() >= ENTRIES_MAX {
            break;
        }
        lines.push(line.strip_suffix(b"\n").unwrap_or(&line).to_vec());
    }
    drops.count(Reason::Mappings);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_the_mapping_that_covers_them() {
        let mapping = |start, end, file| Mapping { start, end, file };
        let entries = vec![mapping(0x1000, 0x2000, Some((7, 0x500))), mapping(0x3000, 0x4000, None)];
        let mappings = Mappings { entries, read: Instant::now() };
        let frame = |address| mappings.find(address).map(|mapping| mapping.frame(address));
        assert_eq!(frame(0xfff), None);
        assert_eq!(frame(0x1010), Some(Frame::File { id: 7, offset: 0x510 }));
        assert_eq!(frame(0x2000), None);
        assert_eq!(frame(0x3fff), Some(Frame::Anonymous(0x3fff)));
    }

    #[test]
    fn our_own_executable_mappings_are_read() {
        let drops = Drops::default();
        let lines = executable_lines(std::process::id(), &drops).unwrap();
        let here = our_own_executable_mappings_are_read as *const () as usize as u64;
        let entries: Vec<_> = lines.iter().filter_map(|line| process::parse_maps_line(line)).collect();
        assert!(entries.iter().all(|entry| entry.executable));
        assert!(entries.iter().any(|entry| (entry.start.0..entry.end.0).contains(&here)));
    }
}
