//! Memory that is shared with BPF programs: chunks of unwind pages.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use aya::maps::{Array, IterableMap as _, MapData, MapError};

/// Bytes of a page.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Pages of a chunk.
pub(crate) const CHUNK_PAGES: u32 = 256;
const CHUNK_BYTES: usize = PAGE_BYTES * CHUNK_PAGES as usize;
const WORDS: usize = PAGE_BYTES / 4;

/// A page, as BPF programs see it.
pub(crate) type Page = [u8; PAGE_BYTES];

/// 1 MiB of pages: an inner map of `unwind_chunks`, written without system calls.
pub(crate) struct Chunk {
    map: Array<MapData, Page>,
    memory: NonNull<[AtomicU32; WORDS]>,
}

// SAFETY: the memory is shared with the kernel for as long as the chunk lives, belongs to no thread, and is
// only touched through atomics.
unsafe impl Send for Chunk {}
// SAFETY: as above; concurrent writers of one page would mix their words, which atomics make harmless.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Creates an empty chunk; BPF programs see it once it is in the map `unwind_chunks`.
    ///
    /// # Errors
    ///
    /// What the kernel says when memory or address space is exhausted.
    pub(crate) fn create() -> io::Result<Self> {
        const BPF_F_MMAPABLE: u32 = 1 << 10;
        let map = Array::create(CHUNK_PAGES, BPF_F_MMAPABLE).map_err(|error| match error {
            MapError::CreateError { io_error, .. } => io_error,
            other => io::Error::other(other),
        })?;
        let fd = map.map().fd().as_fd().as_raw_fd();
        // SAFETY: the kernel chooses the address of a new mapping of `CHUNK_BYTES` bytes, which is how many
        // the map has; the descriptor is open.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                CHUNK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { map, memory })
    }

    /// What is put into `unwind_chunks`.
    pub(crate) fn map(&self) -> &MapData {
        self.map.map()
    }

    fn words(&self, index: u32) -> Option<&[AtomicU32; WORDS]> {
        if index >= CHUNK_PAGES {
            return None;
        }
        // SAFETY: `index` is below the number of pages, so the result lies in the mapping, aligned to a page.
        let page = unsafe { self.memory.add(index as usize) };
        // SAFETY: the mapping lives as long as `self`, is never written but through atomics by this process,
        // and any bits are valid in it.
        Some(unsafe { page.as_ref() })
    }

    /// Writes a page; `false` if `index` is not below [`CHUNK_PAGES`].
    ///
    /// The first word, by which a reader recognises a page that was replaced under it, is cleared before and
    /// written after the others.
    pub(crate) fn write(&self, index: u32, page: &Page) -> bool {
        let Some(words) = self.words(index) else { return false };
        words[0].store(0, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let bytes = page.as_chunks::<4>().0;
        for (word, bytes) in words.iter().zip(bytes).skip(1) {
            word.store(u32::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        words[0].store(u32::from_ne_bytes(bytes[0]), Ordering::Release);
        true
    }

    /// Reads a page back; none if `index` is not below [`CHUNK_PAGES`].
    pub(crate) fn read(&self, index: u32) -> Option<Page> {
        let words = self.words(index)?;
        let mut page = [0; PAGE_BYTES];
        for (bytes, word) in page.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        Some(page)
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk").finish_non_exhaustive()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made by `create`, whole, and no reference to it outlives `self`.
        let result = unsafe { libc::munmap(self.memory.as_ptr().cast(), CHUNK_BYTES) };
        debug_assert_eq!(result, 0, "munmap of a mapping of ours cannot fail");
    }
}
