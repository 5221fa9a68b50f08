//! Files whose code was sampled: opened once, kept by the id in frames.
//!
//! ```text
//! file event ─▶ open: through the process ─▶ FileFacts ─▶ prepare: unwind rows ─▶ kernel side
//!                                                └─▶ names, when a window is collected
//! ```
//!
//! Opening must be quick, the process may end any moment; preparing may take a while. Frames already carry
//! the id, so nothing waits for either. A file whose process was gone before it could be opened is asked
//! for again by the kernel side as soon as another process runs it.
//!
//! # What this module does not do
//!
//! It names no function and builds no unwind rows: it hands out [`FileFacts`] to those who do.

mod content;
mod lanes;
mod open;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use hearth_objfile::{ElfAddress, FileOffset, ObjectFile, Section};

use crate::abi::FileKey;
use crate::processes::{lock, wait_while};

pub(crate) use content::Content;
pub(crate) use lanes::{Lanes, Prepare, Work};

/// Files kept, well below the 8192 entries of the kernel side's map.
const FILES_MAX: usize = 6144;
/// Files kept open; those used longest ago are closed above it.
const OPEN_MAX: usize = 768;
/// How often a file is tried before it is given up.
const ATTEMPTS_MAX: u32 = 8;

/// A file to open.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: u32,
    pub(crate) pid: u32,
    pub(crate) vma_start: u64,
    pub(crate) vma_end: u64,
    /// Size by which the file is recognised.
    pub(crate) size: Option<u64>,
    /// Its key in the kernel side's map.
    pub(crate) key: FileKey,
    /// It is the vDSO, which has no file.
    pub(crate) vdso: bool,
    /// Last component of its path.
    pub(crate) name: String,
    /// When it was met, CLOCK_MONOTONIC.
    pub(crate) met_ns: u64,
}

/// What is known about a file.
#[derive(Debug)]
pub(crate) struct FileFacts {
    /// Its path as its process saw it; its name if it was never opened.
    pub(crate) path: String,
    /// Tells apart files with one build ID: the stripped and the whole one, say. 0 if it was never opened.
    pub(crate) fingerprint: u64,
    /// Its ELF header; none if it is not ELF or was never opened.
    pub(crate) object: Option<ObjectFile>,
    /// Its bytes; none if it was never opened or was closed to save descriptors.
    pub(crate) content: Option<Content>,
}

impl FileFacts {
    /// The ELF address of a byte of the file.
    pub(crate) fn elf_address(&self, offset: u64) -> Option<ElfAddress> {
        self.object.as_ref()?.elf_address(FileOffset(offset))
    }

    /// The header of a section that has bytes which can be read as they are.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        let section = self.object.as_ref()?.section(name)?;
        (section.file_size > 0 && !section.compressed).then_some(section)
    }
}

#[derive(Debug)]
struct Slot {
    facts: Arc<FileFacts>,
    key: FileKey,
    /// Not final: another process may give us the file.
    attempts: u32,
    used: u64,
}

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<u32, Slot>,
    /// By inode and device, as the kernel's file systems know them: what /proc/PID/maps shows.
    by_inode: HashMap<(u64, u32), u32>,
    /// Names of files that wait to be opened.
    waiting: HashMap<u32, String>,
    uses: u64,
}

/// All files by id.
#[derive(Debug, Default)]
pub(crate) struct FileTable {
    table: Mutex<Table>,
    idle: Condvar,
}

impl FileTable {
    /// Notes that a file is about to be opened; false if it is being opened already.
    fn expect(&self, job: &Job) -> bool {
        lock(&self.table).waiting.insert(job.id, job.name.clone()).is_none()
    }

    /// Whether a file is neither known for good nor about to be opened.
    pub(crate) fn wants(&self, id: u32) -> bool {
        let table = lock(&self.table);
        !table.waiting.contains_key(&id) && table.slots.get(&id).is_none_or(|slot| slot.attempts > 0)
    }

    /// The name of a file that waits to be opened.
    pub(crate) fn waiting_name(&self, id: u32) -> Option<String> {
        lock(&self.table).waiting.get(&id).cloned()
    }

    /// Waits until every file that was asked for was tried, at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        wait_while(&self.idle, lock(&self.table), limit, |table| !table.waiting.is_empty());
    }

    /// What is known about a file; none if it has not been tried yet.
    pub(crate) fn get(&self, id: u32) -> Option<Arc<FileFacts>> {
        let mut table = lock(&self.table);
        table.uses += 1;
        let uses = table.uses;
        let slot = table.slots.get_mut(&id)?;
        slot.used = uses;
        Some(Arc::clone(&slot.facts))
    }

    /// The id of a file that the kernel side knows by the inode and device in /proc/PID/maps. `changed` is
    /// the file's change time, if it can be told: one that was rewritten in place is another file.
    pub(crate) fn id_of_inode(
        &self,
        inode: u64,
        device: (u32, u32),
        changed: Option<(i64, i64)>,
    ) -> Option<u32> {
        // The kernel's own numbering of devices: 20 bits of minor number.
        let device = device.0 << 20 | (device.1 & 0xf_ffff);
        let table = lock(&self.table);
        let id = *table.by_inode.get(&(inode, device))?;
        let key = table.slots.get(&id)?.key;
        let same = changed.is_none_or(|(seconds, nanoseconds)| {
            let in_key = [key[1], key[2] & 0xffff_ffff].map(|word| i64::from_ne_bytes(word.to_ne_bytes()));
            in_key == [seconds, nanoseconds]
        });
        same.then_some(id)
    }

    /// How many files are known.
    pub(crate) fn len(&self) -> usize {
        lock(&self.table).slots.len()
    }

    /// Stores what opening a file gave. Returns whether that is final, and the files which the kernel
    /// side must forget because there are too many.
    fn store(&self, job: &Job, facts: Result<Arc<FileFacts>, String>) -> (bool, Vec<(u32, FileKey)>) {
        let mut table = lock(&self.table);
        table.waiting.remove(&job.id);
        let before = table.slots.get(&job.id).map_or(0, |slot| slot.attempts);
        let (facts, attempts) = match facts {
            Ok(facts) => (facts, 0),
            Err(reason) => {
                tracing::debug!(pid = job.pid, file = job.name, %reason, "cannot open a sampled file");
                let facts = FileFacts { path: job.name.clone(), fingerprint: 0, object: None, content: None };
                (Arc::new(facts), if before + 1 < ATTEMPTS_MAX { before + 1 } else { 0 })
            }
        };
        table.uses += 1;
        let used = table.uses;
        table.by_inode.insert(inode_of(&job.key), job.id);
        table.slots.insert(job.id, Slot { facts, key: job.key, attempts, used });
        let forgotten = evict(&mut table);
        if table.waiting.is_empty() {
            self.idle.notify_all();
        }
        (attempts == 0, forgotten)
    }
}

/// Inode and device of a key.
fn inode_of(key: &FileKey) -> (u64, u32) {
    (key[0], u32::try_from(key[2] >> 32).unwrap_or(0))
}

/// Drops the files least recently used while there are too many, and closes those above the number that
/// may be open. The kernel side gives a forgotten file a new id when it is met again.
fn evict(table: &mut Table) -> Vec<(u32, FileKey)> {
    const BATCH: usize = 64;
    let mut forgotten = Vec::new();
    if table.slots.len() > FILES_MAX {
        let mut by_use: Vec<(u64, u32)> = table.slots.iter().map(|(id, slot)| (slot.used, *id)).collect();
        by_use.sort_unstable();
        for (_, id) in by_use.into_iter().take(BATCH) {
            let Some(slot) = table.slots.remove(&id) else { continue };
            if table.by_inode.get(&inode_of(&slot.key)) == Some(&id) {
                table.by_inode.remove(&inode_of(&slot.key));
            }
            forgotten.push((id, slot.key));
        }
    }
    let mut open: Vec<(u64, u32)> = table
        .slots
        .iter()
        .filter(|(_, slot)| matches!(slot.facts.content, Some(Content::File(_))))
        .map(|(id, slot)| (slot.used, *id))
        .collect();
    if open.len() > OPEN_MAX {
        open.sort_unstable();
        for (_, id) in open.into_iter().take(BATCH) {
            if let Some(slot) = table.slots.get_mut(&id) {
                let facts = FileFacts {
                    path: slot.facts.path.clone(),
                    fingerprint: slot.facts.fingerprint,
                    object: slot.facts.object.clone(),
                    content: None,
                };
                slot.facts = Arc::new(facts);
            }
        }
    }
    forgotten
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u32) -> Job {
        let key = [u64::from(id) + 1000, 0, 0x0080_0001 << 32, 0];
        let name = format!("lib{id}.so");
        Job { id, pid: 1, vma_start: 0, vma_end: 0, size: None, key, vdso: false, name, met_ns: 0 }
    }

    fn facts(path: &str) -> Arc<FileFacts> {
        Arc::new(FileFacts { path: path.into(), fingerprint: 0, object: None, content: None })
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_tried_again_but_not_forever() {
        let table = FileTable::default();
        for attempt in 1..=ATTEMPTS_MAX {
            assert!(table.wants(7) && table.expect(&job(7)));
            assert!(!table.wants(7) && !table.expect(&job(7)), "it is being opened");
            let (is_final, _) = table.store(&job(7), Err("gone".into()));
            assert_eq!(is_final, attempt == ATTEMPTS_MAX);
        }
        assert!(!table.wants(7));
        assert_eq!(table.get(7).unwrap().path, "lib7.so");
    }

    #[test]
    fn files_are_found_by_what_maps_shows() {
        let table = FileTable::default();
        table.store(&job(3), Ok(facts("/lib/lib3.so")));
        assert_eq!(table.id_of_inode(1003, (8, 1), None), Some(3));
        assert_eq!(table.id_of_inode(1003, (8, 1), Some((0, 0))), Some(3));
        assert_eq!(table.id_of_inode(1003, (8, 1), Some((0, 1))), None, "rewritten in place");
        assert_eq!(table.id_of_inode(1003, (8, 2), None), None);
    }

    #[test]
    fn files_used_longest_ago_are_forgotten_first() {
        let table = FileTable::default();
        let mut forgotten = Vec::new();
        for id in 1..=u32::try_from(FILES_MAX).unwrap() {
            forgotten.extend(table.store(&job(id), Ok(facts("x"))).1);
        }
        assert!(forgotten.is_empty());
        table.get(1);
        forgotten.extend(table.store(&job(9000), Ok(facts("x"))).1);
        assert_eq!(forgotten.first(), Some(&(2, job(2).key)));
        assert!(table.get(1).is_some() && table.get(2).is_none() && table.len() < FILES_MAX);
    }
}
