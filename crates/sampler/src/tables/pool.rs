//! Pages of kernel memory: taken, given back, and taken again only when no program can still read them.

use std::io;
use std::time::{Duration, Instant};

use aya::maps::{MapData, of_maps::ArrayOfMaps};

use crate::sys::{self, CHUNK_PAGES, Chunk, PAGE_BYTES, Page};

/// Chunks there may be.
const CHUNKS_MAX: u32 = 256;
/// How long given-back pages rest where running programs cannot be waited for.
const REST: Duration = Duration::from_secs(1);
/// Free pages below which another chunk is made ahead of need.
const AHEAD: usize = CHUNK_PAGES as usize / 2;

/// A page's place: its chunk's number and its place there. 0 is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PageId(pub(crate) u32);

/// Where pages are.
pub(crate) trait Chunks {
    /// Adds chunk number `number`.
    fn add(&mut self, number: u32) -> io::Result<()>;
    /// Writes a page.
    fn write(&self, page: PageId, bytes: &Page);
    /// Reads a page back.
    fn read(&self, page: PageId) -> Option<Page>;
    /// Waits until no program runs that was running at the call; false if that cannot be known.
    fn wait_for_programs(&self) -> bool;
}

/// Chunks in kernel memory.
pub(crate) struct KernelChunks {
    map: ArrayOfMaps<MapData>,
    chunks: Vec<Chunk>,
}

impl KernelChunks {
    pub(crate) fn new(map: ArrayOfMaps<MapData>) -> Self {
        Self { map, chunks: Vec::new() }
    }

    fn at(&self, page: PageId) -> Option<(&Chunk, u32)> {
        let chunk = self.chunks.get(usize::try_from(page.0 / CHUNK_PAGES).ok()?)?;
        Some((chunk, page.0 % CHUNK_PAGES))
    }
}

impl Chunks for KernelChunks {
    fn add(&mut self, number: u32) -> io::Result<()> {
        let chunk = Chunk::create()?;
        // Waits for a grace period of the kernel: tens of milliseconds.
        self.map.set(number, chunk.map(), 0).map_err(io::Error::other)?;
        self.chunks.push(chunk);
        Ok(())
    }

    fn write(&self, page: PageId, bytes: &Page) {
        if let Some((chunk, index)) = self.at(page) {
            chunk.write(index, bytes);
        }
    }

    fn read(&self, page: PageId) -> Option<Page> {
        let (chunk, index) = self.at(page)?;
        chunk.read(index)
    }

    fn wait_for_programs(&self) -> bool {
        sys::wait_for_programs().is_ok()
    }
}

/// Pages, within a budget.
#[derive(Debug)]
pub(crate) struct Pool<C> {
    chunks: C,
    made: u32,
    made_max: u32,
    free: Vec<PageId>,
    /// Given back, and since when.
    resting: Vec<(Instant, Vec<PageId>)>,
}

impl<C: Chunks> Pool<C> {
    /// A pool of at most `bytes_max` bytes, with one chunk ready.
    pub(crate) fn new(chunks: C, bytes_max: u64) -> io::Result<Self> {
        let chunk_bytes = u64::from(CHUNK_PAGES) * PAGE_BYTES as u64;
        let made_max = u32::try_from(bytes_max / chunk_bytes).unwrap_or(CHUNKS_MAX).clamp(1, CHUNKS_MAX);
        let mut pool = Self { chunks, made: 0, made_max, free: Vec::new(), resting: Vec::new() };
        pool.prepare_chunk()?;
        Ok(pool)
    }

    /// Whether a chunk should be made ahead of need.
    pub(crate) fn needs_chunk(&self) -> bool {
        self.free.len() < AHEAD && self.made < self.made_max
    }

    /// Makes another chunk. Waits for the kernel.
    pub(crate) fn prepare_chunk(&mut self) -> io::Result<()> {
        let number = self.made;
        self.chunks.add(number)?;
        self.made += 1;
        // Page 0 is never used. The last come first, so that pages are taken in order.
        let first = number * CHUNK_PAGES;
        let ids = (first.max(1)..first + CHUNK_PAGES).rev().map(PageId);
        let mut free: Vec<PageId> = ids.collect();
        free.append(&mut self.free);
        self.free = free;
        Ok(())
    }

    /// Takes `count` pages; none if the budget does not allow as many.
    pub(crate) fn take(&mut self, count: usize) -> Option<Vec<PageId>> {
        self.wake_rested();
        while self.free.len() < count && self.made < self.made_max {
            if let Err(error) = self.prepare_chunk() {
                tracing::debug!(%error, "cannot create a chunk of unwind pages");
                return None;
            }
        }
        if self.free.len() < count {
            return None;
        }
        let mut pages = self.free.split_off(self.free.len() - count);
        pages.reverse();
        Some(pages)
    }

    /// Pages that could be taken, those to be made included.
    pub(crate) fn free(&self) -> usize {
        self.free.len() + (self.made_max - self.made) as usize * CHUNK_PAGES as usize
    }

    /// Gives pages back that no longer can be found by programs which begin from now on.
    pub(crate) fn give_back(&mut self, pages: Vec<PageId>) {
        if !pages.is_empty() {
            self.resting.push((Instant::now(), pages));
        }
    }

    /// Waits until all given-back pages can be taken again.
    pub(crate) fn wait_for_grace(&mut self) {
        if self.resting.is_empty() {
            return;
        }
        if !self.chunks.wait_for_programs() {
            std::thread::sleep(REST);
        }
        for (_, pages) in self.resting.drain(..) {
            self.free.extend(pages);
        }
    }

    fn wake_rested(&mut self) {
        let rested = self.resting.partition_point(|(since, _)| since.elapsed() >= REST);
        for (_, pages) in self.resting.drain(..rested) {
            self.free.extend(pages);
        }
    }

    pub(crate) fn write(&self, page: u32, bytes: &Page) {
        self.chunks.write(PageId(page), bytes);
    }

    pub(crate) fn read(&self, page: PageId) -> Option<Page> {
        self.chunks.read(page)
    }

    /// Bytes of all chunks.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.made) * u64::from(CHUNK_PAGES) * PAGE_BYTES as u64
    }

    /// Bytes of pages that are taken.
    pub(crate) fn bytes_used(&self) -> u64 {
        self.bytes() - (self.free.len() * PAGE_BYTES) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[derive(Default)]
    struct Counted {
        added: u32,
        waits: Cell<u32>,
    }

    impl Chunks for Counted {
        fn add(&mut self, number: u32) -> io::Result<()> {
            assert_eq!(number, self.added);
            self.added += 1;
            Ok(())
        }
        fn write(&self, _: PageId, _: &Page) {}
        fn read(&self, _: PageId) -> Option<Page> {
            None
        }
        fn wait_for_programs(&self) -> bool {
            self.waits.set(self.waits.get() + 1);
            true
        }
    }

    #[test]
    fn pages_are_taken_within_the_budget_and_never_page_0() {
        let mut pool = Pool::new(Counted::default(), 2 << 20).unwrap();
        let first = pool.take(255).unwrap();
        assert_eq!((first[0], first[254]), (PageId(1), PageId(255)));
        assert!(pool.needs_chunk());
        assert_eq!(pool.free(), 256);
        let second = pool.take(256).unwrap();
        assert_eq!((second[0], pool.chunks.added), (PageId(256), 2));
        assert_eq!(pool.take(1), None, "the budget is used up");
        assert_eq!((pool.bytes(), pool.free()), (2 << 20, 0));
    }

    #[test]
    fn pages_given_back_are_not_taken_while_a_program_may_read_them() {
        let mut pool = Pool::new(Counted::default(), 1 << 20).unwrap();
        let all = pool.take(255).unwrap();
        pool.give_back(all);
        assert_eq!(pool.take(1), None);
        pool.wait_for_grace();
        assert_eq!(pool.chunks.waits.get(), 1);
        assert_eq!(pool.take(255).map(|pages| pages.len()), Some(255));
    }
}
