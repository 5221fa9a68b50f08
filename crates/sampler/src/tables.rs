//! Unwind tables: built from files, placed in pages of kernel memory, published, and given up for others.
//!
//! ```text
//! FileFacts ─▶ rows ─▶ pages ─▶ Pool: chunks shared with the kernel ─▶ entry in the map `files`
//!                                  ▲ evicted by use, after running programs have ended
//! ```
//!
//! A table is published by one update of its file's entry, after all its pages are in place, and given up by
//! another, after which its pages wait until no program that saw the old entry can be running. Every page
//! bears its table's stamp, so that even a program that was asleep all that time notices.

mod build;
mod pool;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aya::maps::{HashMap as BpfHashMap, MapData};
use hearth_unwind::{Arch, Rule, Table, pages};

use crate::abi::{self, FileEntry, FileKey, Rows};
use crate::budget::{Drops, Latencies, Reason, monotonic_ns};
use crate::files::{FileFacts, Prepare, Work};
use crate::processes::lock;
use crate::sys::Page;

pub(crate) use build::function_ranges;
pub(crate) use pool::{KernelChunks, PageId, Pool};

/// The kernel side's map of files.
pub(crate) type FilesMap = BpfHashMap<MapData, FileKey, FileEntry>;

/// Sections from this size on leave megabytes of free memory behind.
const LARGE_BYTES: u64 = 1 << 20;
/// A table that was used in this time is not given up for another.
const HOT: Duration = Duration::from_secs(10);

/// A table in its place.
#[derive(Debug)]
struct Placed {
    key: FileKey,
    arch: Arch,
    root: u32,
    stamp: u32,
    pages: Vec<PageId>,
    /// When it was published, CLOCK_MONOTONIC.
    since_ns: u64,
}

/// What became of a file's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nothing is known yet.
    Awaited,
    /// Its rows can be looked up.
    Ready,
    /// There will be none: frame pointers only.
    Never,
}

#[derive(Debug, Default)]
struct Index {
    placed: HashMap<u32, Placed>,
    /// Files without rows, for good or until there is room.
    without: HashMap<u32, FileKey>,
    next_stamp: u32,
}

/// All tables.
pub(crate) struct Tables {
    pool: Arc<Mutex<Pool<KernelChunks>>>,
    index: Mutex<Index>,
    map: Mutex<FilesMap>,
    drops: Arc<Drops>,
    /// From the sample that met a file to its rows.
    pub(crate) latencies: Latencies,
    /// Rows of all tables ever placed.
    rows: AtomicU64,
    /// Grows with every change, for whoever waits for a file.
    changes: AtomicU64,
}

impl Tables {
    pub(crate) fn new(pool: Arc<Mutex<Pool<KernelChunks>>>, map: FilesMap, drops: Arc<Drops>) -> Self {
        Self {
            pool,
            index: Mutex::default(),
            map: Mutex::new(map),
            drops,
            latencies: Latencies::default(),
            rows: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// A number that grows with every file that becomes ready or never will.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Tables in place, and their bytes.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let tables = lock(&self.index).placed.len() as u64;
        (tables, lock(&self.pool).bytes_used())
    }

    /// Kernel memory of all chunks.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        lock(&self.pool).bytes()
    }

    /// What became of a file's rows.
    pub(crate) fn readiness(&self, id: u32) -> Readiness {
        let index = lock(&self.index);
        if index.placed.contains_key(&id) {
            Readiness::Ready
        } else if index.without.contains_key(&id) {
            Readiness::Never
        } else {
            Readiness::Awaited
        }
    }

    /// The rule at an offset of a file whose rows are ready.
    pub(crate) fn rule(&self, id: u32, offset: u64) -> Option<(Arch, Rule)> {
        let index = lock(&self.index);
        let placed = index.placed.get(&id)?;
        let offset = u32::try_from(offset).ok()?;
        let pool = lock(&self.pool);
        let rule = find(placed, offset, |id| pool.read(id))?;
        Some((placed.arch, rule))
    }

    fn tell(&self, id: u32, key: &FileKey, rows: Rows) {
        if let Err(error) = lock(&self.map).insert(key, abi::file_entry(id, rows), 0) {
            tracing::debug!(%error, "cannot tell the kernel side of a file");
        }
    }

    /// Notes that a file has no rows and tells the kernel side.
    fn give_up(&self, id: u32, key: &FileKey, rows: Rows) {
        lock(&self.index).without.insert(id, *key);
        self.tell(id, key, rows);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Places a table and publishes it.
    fn publish(&self, work: &Work, arch: Arch, table: &Table) {
        let wanted = table.pages().len();
        let pages = self.take(wanted);
        let Some(pages) = pages else {
            self.drops.count(Reason::TableMemory);
            self.give_up(work.id, &work.key, Rows::TooBig);
            return;
        };
        let ids: Vec<u32> = pages.iter().map(|page| page.0).collect();
        let mut index = lock(&self.index);
        // 0 is in pages that were never written.
        index.next_stamp = index.next_stamp.wrapping_add(1).max(1);
        let stamp = index.next_stamp;
        let pool = lock(&self.pool);
        table.place(stamp, &ids, |id, page| pool.write(id, page));
        drop(pool);
        let (root, levels) = (ids.first().copied().unwrap_or(0), table.levels());
        let now = monotonic_ns();
        let placed = Placed { key: work.key, arch, root, stamp, pages, since_ns: now };
        let replaced = index.placed.insert(work.id, placed);
        index.without.remove(&work.id);
        self.tell(work.id, &work.key, Rows::Ready { root, levels, generation: stamp });
        drop(index);
        if let Some(replaced) = replaced {
            lock(&self.pool).give_back(replaced.pages);
        }
        self.latencies.add(Duration::from_nanos(monotonic_ns().saturating_sub(work.met_ns)));
        self.rows.fetch_add(table.statistics().rows as u64, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Pages for a table; gives up cold tables if there are too few.
    fn take(&self, wanted: usize) -> Option<Vec<PageId>> {
        if let Some(pages) = lock(&self.pool).take(wanted) {
            return Some(pages);
        }
        if !self.evict(wanted) {
            return None;
        }
        // The grace period is over for what was just given up.
        let mut pool = lock(&self.pool);
        pool.take(wanted)
    }

    /// Gives up tables that were not used lately, those used longest ago first, until `wanted` pages are
    /// free. Gives up none if that would not be enough.
    fn evict(&self, wanted: usize) -> bool {
        let mut index = lock(&self.index);
        let now = monotonic_ns();
        let hot = u64::try_from(HOT.as_nanos()).unwrap_or(u64::MAX);
        let map = lock(&self.map);
        let mut cold: Vec<(u64, u32, usize)> = index
            .placed
            .iter()
            .map(|(id, placed)| {
                let used = map.get(&placed.key, 0).map_or(0, |entry| abi::file_used_ns(&entry));
                (used.max(placed.since_ns), *id, placed.pages.len())
            })
            .filter(|(used, ..)| now.saturating_sub(*used) > hot)
            .collect();
        drop(map);
        cold.sort_unstable();
        let mut free = lock(&self.pool).free();
        let mut given_up = Vec::new();
        for (_, id, pages) in cold {
            if free >= wanted {
                break;
            }
            free += pages;
            given_up.push(id);
        }
        if free < wanted {
            return false;
        }
        let mut pages = Vec::new();
        for id in given_up {
            if let Some(placed) = index.placed.remove(&id) {
                self.drops.count(Reason::Evicted);
                self.tell(id, &placed.key, Rows::Evicted);
                pages.extend(placed.pages);
            }
        }
        drop(index);
        let mut pool = lock(&self.pool);
        pool.give_back(pages);
        pool.wait_for_grace();
        true
    }

    /// Tries again the files for which there was no room, and adds a chunk ahead of need. Called from a
    /// thread that may wait for the kernel.
    pub(crate) fn tend(&self) {
        let grown = lock(&self.pool).needs_chunk();
        if grown {
            let chunk = lock(&self.pool).prepare_chunk();
            if let Err(error) = chunk {
                tracing::debug!(%error, "cannot create a chunk of unwind pages");
            }
        }
    }
}

/// Looks up a rule; `read` copies a page out of kernel memory.
fn find(placed: &Placed, offset: u32, read: impl Fn(PageId) -> Option<Page>) -> Option<Rule> {
    // Pages are handed out by reference, so those that turn out to be needed are copied between tries.
    const PAGES_MAX: usize = 12;
    let mut have: Vec<(u32, Page)> = Vec::new();
    loop {
        let missing = std::cell::Cell::new(None);
        let get = |id: u32| {
            let found = have.iter().find(|(known, _)| *known == id).map(|(_, page)| page);
            if found.is_none() {
                missing.set(Some(id));
            }
            found
        };
        let rule = pages::find(placed.arch, get, placed.root, placed.stamp, offset);
        match (rule, missing.get()) {
            (Some(rule), _) => return Some(rule),
            (None, Some(id)) if have.len() < PAGES_MAX => have.push((id, read(PageId(id))?)),
            (None, _) => return None,
        }
    }
}

impl Prepare for Tables {
    fn bytes(&self, facts: &FileFacts) -> u64 {
        build::bytes(facts)
    }

    fn opened(&self, work: &Work, has_rows_to_come: bool) {
        match has_rows_to_come {
            true => self.tell(work.id, &work.key, Rows::Awaited),
            false => self.give_up(work.id, &work.key, Rows::None),
        }
    }

    fn prepare(&self, work: &Work) {
        match build::table(&work.facts) {
            Ok(Some((arch, table))) => self.publish(work, arch, &table),
            Ok(None) => self.give_up(work.id, &work.key, Rows::None),
            Err(reason) => {
                tracing::debug!(path = work.facts.path, reason = reason.name(), "no unwind table");
                self.drops.count(reason);
                let rows = if reason == Reason::FileTooBig { Rows::TooBig } else { Rows::None };
                self.give_up(work.id, &work.key, rows);
            }
        }
        if build::bytes(&work.facts) > LARGE_BYTES {
            crate::sys::release_memory();
        }
        self.tend();
    }

    fn forget(&self, id: u32, key: &FileKey) {
        let placed = {
            let mut index = lock(&self.index);
            index.without.remove(&id);
            index.placed.remove(&id)
        };
        if let Err(error) = lock(&self.map).remove(key) {
            tracing::debug!(%error, "cannot forget a file");
        }
        if let Some(placed) = placed {
            lock(&self.pool).give_back(placed.pages);
        }
    }
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("usage", &self.usage()).finish_non_exhaustive()
    }
}
