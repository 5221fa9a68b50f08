//! Looking up addresses in user space, for frames the kernel side could not look up.
//!
//! Normally that is next to nothing. When the start-up self-test fails (a kernel whose mappings are laid
//! out in a way we do not know), every frame takes this path: slower, and blind to processes which end
//! before their mappings are read, but the same frames.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_unwind::StopReason;

use crate::abi::{FILE_ID_USER_MIN, Frame};
use crate::files::{FileTable, Job};
use crate::process::{self, MapEntry};

/// Device, inode and path of a mapped file.
type FileIdentity = ((u32, u32), u64, String);

/// How soon the mappings of a process may be read again.
const REFRESH_AFTER: Duration = Duration::from_millis(500);
/// Processes whose mappings are kept.
const PROCESSES_MAX: usize = 512;
/// Mappings of all processes together that are kept: some 30 MB.
const ENTRIES_MAX: usize = 200_000;
/// Ids given out; the rest of the 24-bit range below the tags.
const IDS_MAX: u32 = (0xfd << 16) - FILE_ID_USER_MIN;

#[derive(Debug)]
struct Mappings {
    entries: Vec<MapEntry>,
    read: Instant,
}

/// Mappings of processes and the ids of the files in them.
#[derive(Debug)]
pub(crate) struct Resolver {
    files: Arc<FileTable>,
    ids: HashMap<FileIdentity, (u32, Instant)>,
    processes: HashMap<u32, Mappings>,
}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// Code.
    Frame(Frame),
    /// Not code: what was taken for a return address is none.
    Not(StopReason),
    /// The mappings cannot be read: the process is gone.
    Unknown,
}

impl Resolver {
    pub(crate) fn new(files: Arc<FileTable>) -> Self {
        Self { files, ids: HashMap::new(), processes: HashMap::new() }
    }

    /// Looks up an address of incarnation `process`, which has this PID.
    pub(crate) fn resolve(&mut self, process: u32, pid: u32, address: u64) -> Resolved {
        let known = self.processes.get(&process).and_then(|mappings| find(&mappings.entries, address));
        if known.is_none() && !self.refresh(process, pid) {
            return match self.processes.contains_key(&process) {
                true => Resolved::Not(StopReason::NoMapping),
                false => Resolved::Unknown,
            };
        }
        let Some(entry) = self.processes.get(&process).and_then(|mappings| find(&mappings.entries, address))
        else {
            return Resolved::Not(StopReason::NoMapping);
        };
        if !entry.executable {
            return Resolved::Not(StopReason::NotExecutable);
        }
        let entry = entry.clone();
        Resolved::Frame(self.frame(pid, &entry, address))
    }

    fn frame(&mut self, pid: u32, entry: &MapEntry, address: u64) -> Frame {
        let vdso = entry.path == "[vdso]";
        if entry.inode == 0 && !vdso {
            return Frame::Anonymous(address);
        }
        let key = (entry.device, entry.inode, entry.path.clone());
        let offset = address - entry.start.0 + if vdso { 0 } else { entry.file_offset.0 };
        if let Some((id, asked)) = self.ids.get_mut(&key) {
            let id = *id;
            // Its process may have been gone before it could be opened: this one may have it still.
            if asked.elapsed() >= REFRESH_AFTER && self.files.wants(id) {
                *asked = Instant::now();
                self.ask(id, pid, entry);
            }
            return Frame::File { id, offset };
        }
        let given = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        if given >= IDS_MAX {
            return Frame::Raw(address);
        }
        let id = FILE_ID_USER_MIN + given;
        self.ids.insert(key, (id, Instant::now()));
        self.ask(id, pid, entry);
        Frame::File { id, offset }
    }

    fn ask(&self, id: u32, pid: u32, entry: &MapEntry) {
        let vdso = entry.path == "[vdso]";
        self.files.ask(Job {
            id,
            pid,
            vma_start: entry.start.0,
            vma_end: entry.end.0,
            size: None,
            key: vdso.then_some([1, 0, u64::from(u32::MAX) << 32, 0]),
            name: entry.path.rsplit('/').next().unwrap_or(&entry.path).to_owned(),
        });
    }

    /// Reads the mappings of a process if they are not fresh. Returns whether they were read.
    fn refresh(&mut self, process: u32, pid: u32) -> bool {
        if self.processes.get(&process).is_some_and(|mappings| mappings.read.elapsed() < REFRESH_AFTER) {
            return false;
        }
        let kept: usize = self.processes.values().map(|mappings| mappings.entries.len()).sum();
        if self.processes.len() >= PROCESSES_MAX || kept >= ENTRIES_MAX {
            self.processes.clear();
        }
        match process::read_maps(pid) {
            Ok(entries) if !entries.is_empty() => {
                self.processes.insert(process, Mappings { entries, read: Instant::now() });
                true
            }
            _ => false,
        }
    }
}

/// The mapping that covers `address`; entries ascend.
fn find(entries: &[MapEntry], address: u64) -> Option<&MapEntry> {
    let after = entries.partition_point(|entry| entry.start.0 <= address);
    entries.get(after.checked_sub(1)?).filter(|entry| address < entry.end.0)
}
