//! Per-process tables of mappings, for kernels whose own tree of mappings is not looked into.
//!
//! A table is a tree of pages from the pool of unwind tables: leaves of ascending mappings, above them nodes
//! of page ids. It is replaced as a whole and published by one update of the process' entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aya::maps::{HashMap as BpfHashMap, MapData};

use crate::abi::{
    self, MAPPING_LEAF_ENTRIES, MAPPING_LEVELS_MAX, MAPPING_NODE_ENTRIES, ProcessEntry, ProcessKey,
};
use crate::mappings::Mapping;
use crate::processes::lock;
use crate::sys::{PAGE_BYTES, Page};
use crate::tables::{KernelChunks, PageId, Pool};

/// The kernel side's map of processes.
pub(crate) type ProcessMap = BpfHashMap<MapData, u32, ProcessEntry>;

/// All tables of processes.
pub(crate) struct ProcessTables {
    pool: Arc<Mutex<Pool<KernelChunks>>>,
    map: Mutex<ProcessMap>,
    placed: Mutex<HashMap<u32, (u64, Vec<PageId>)>>,
}

impl ProcessTables {
    pub(crate) fn new(pool: Arc<Mutex<Pool<KernelChunks>>>, map: ProcessMap) -> Self {
        Self { pool, map: Mutex::new(map), placed: Mutex::default() }
    }

    /// Tells the kernel side the mappings of a process, ascending. False if there is no room.
    pub(crate) fn tell(&self, key: ProcessKey, mappings: &[Mapping]) -> bool {
        let tree = Tree::new(mappings);
        let Some(pages) = lock(&self.pool).take(tree.pages()) else { return false };
        let root = tree.write(&pages, |page, bytes| lock(&self.pool).write(page, bytes));
        let entry = abi::process_entry(key.start_ns, root.map_or(0, |page| page.0), tree.levels());
        if let Err(error) = lock(&self.map).insert(key.pid, entry, 0) {
            tracing::debug!(%error, pid = key.pid, "cannot tell the mappings of a process");
            lock(&self.pool).give_back(pages);
            return false;
        }
        let before = lock(&self.placed).insert(key.pid, (key.start_ns, pages));
        if let Some((_, pages)) = before {
            lock(&self.pool).give_back(pages);
        }
        true
    }

    /// The process ended.
    pub(crate) fn forget(&self, key: ProcessKey) {
        let mut placed = lock(&self.placed);
        if placed.get(&key.pid).is_none_or(|(start_ns, _)| *start_ns != key.start_ns) {
            return;
        }
        let Some((_, pages)) = placed.remove(&key.pid) else { return };
        // Fails if the kernel side has forgotten it already.
        lock(&self.map).remove(&key.pid).ok();
        lock(&self.pool).give_back(pages);
    }
}

/// A tree to be written: how many pages each level has, leaves first.
#[derive(Debug)]
struct Tree<'m> {
    mappings: &'m [Mapping],
    levels: Vec<usize>,
}

impl<'m> Tree<'m> {
    fn new(mappings: &'m [Mapping]) -> Self {
        // More than this cannot be told, and is more than is ever read.
        const MAPPINGS_MAX: usize = MAPPING_LEAF_ENTRIES * MAPPING_NODE_ENTRIES * MAPPING_NODE_ENTRIES;
        let mappings = &mappings[..mappings.len().min(MAPPINGS_MAX)];
        let mut levels = vec![mappings.len().div_ceil(MAPPING_LEAF_ENTRIES).max(1)];
        while let Some(count) = levels.last().copied().filter(|count| *count > 1) {
            levels.push(count.div_ceil(MAPPING_NODE_ENTRIES));
        }
        Self { mappings, levels }
    }

    fn pages(&self) -> usize {
        self.levels.iter().sum()
    }

    fn levels(&self) -> u32 {
        u32::try_from(self.levels.len() - 1).unwrap_or(MAPPING_LEVELS_MAX)
    }

    /// Writes all pages, the root last; returns the root.
    fn write(&self, pages: &[PageId], mut put: impl FnMut(u32, &Page)) -> Option<PageId> {
        let mut below: Vec<(u64, PageId)> = Vec::new();
        let mut free = pages.iter().copied();
        let mut leaves = self.mappings.chunks(MAPPING_LEAF_ENTRIES);
        for _ in 0..*self.levels.first()? {
            let entries = leaves.next().unwrap_or_default();
            let page = free.next()?;
            put(page.0, &leaf(entries));
            below.push((entries.first().map_or(0, |entry| entry.start), page));
        }
        while below.len() > 1 {
            let mut above = Vec::new();
            for children in below.chunks(MAPPING_NODE_ENTRIES) {
                let page = free.next()?;
                put(page.0, &node(children));
                above.push((children[0].0, page));
            }
            below = above;
        }
        below.first().map(|(_, page)| *page)
    }
}

fn leaf(entries: &[Mapping]) -> Page {
    let mut page = [0xff; PAGE_BYTES];
    for (bytes, entry) in page.as_chunks_mut::<32>().0.iter_mut().zip(entries) {
        let words = abi::mapping_entry(entry.start, entry.end, entry.file, true);
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_ne_bytes();
        }
    }
    page
}

fn node(children: &[(u64, PageId)]) -> Page {
    let mut page = [0xff; PAGE_BYTES];
    let (starts, ids) = page.split_at_mut(MAPPING_NODE_ENTRIES * 8);
    for (index, (start, id)) in children.iter().enumerate() {
        starts[index * 8..index * 8 + 8].copy_from_slice(&start.to_ne_bytes());
        ids[index * 4..index * 4 + 4].copy_from_slice(&id.0.to_ne_bytes());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(page: &Page, at: usize) -> u64 {
        u64::from_ne_bytes(page[at * 8..at * 8 + 8].try_into().unwrap())
    }

    /// Looks an address up as the kernel side does.
    fn find(pages: &HashMap<u32, Page>, root: u32, levels: u32, address: u64) -> Option<[u64; 4]> {
        let mut page = &pages[&root];
        for _ in 0..levels {
            let below = (0..MAPPING_NODE_ENTRIES).take_while(|at| word(page, *at) <= address).last()?;
            let at = MAPPING_NODE_ENTRIES * 8 + below * 4;
            page = &pages[&u32::from_ne_bytes(page[at..at + 4].try_into().unwrap())];
        }
        let entry = (0..MAPPING_LEAF_ENTRIES).take_while(|at| word(page, at * 4) <= address).last()?;
        let entry = [0, 1, 2, 3].map(|part| word(page, entry * 4 + part));
        (address < entry[1]).then_some(entry)
    }

    #[test]
    fn every_mapping_is_found_in_trees_of_every_size() {
        for count in [0_u64, 1, 127, 128, 129, 40_000] {
            let mappings: Vec<Mapping> = (0..count)
                .map(|at| Mapping { start: at * 100 + 10, end: at * 100 + 60, file: Some((7, at)) })
                .collect();
            let tree = Tree::new(&mappings);
            let ids: Vec<PageId> = (1..=u32::try_from(tree.pages()).unwrap()).map(PageId).collect();
            let mut pages = HashMap::new();
            let root = tree.write(&ids, |id, page| _ = pages.insert(id, *page)).unwrap().0;
            assert_eq!(pages.len(), tree.pages(), "{count}");
            for at in 0..count {
                let entry = find(&pages, root, tree.levels(), at * 100 + 59).unwrap();
                assert_eq!((entry[2], entry[3]), (at, 7 | 1 << 32), "{count}");
                assert_eq!(find(&pages, root, tree.levels(), at * 100 + 60), None);
            }
            assert_eq!(find(&pages, root, tree.levels(), 5), None);
        }
    }
}
