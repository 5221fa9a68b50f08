//! Records of perf that come with no sample: what processes map.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{PerfEventAttr, perf_event_open};

const PERF_COUNT_SW_DUMMY: u64 = 9;
const ATTR_MMAP: u64 = 1 << 8;
const ATTR_SAMPLE_ID_ALL: u64 = 1 << 18;
const ATTR_MMAP2: u64 = 1 << 23;
const ATTR_WATERMARK: u64 = 1 << 14;
const HEADER_BYTES: usize = 8;

/// The kernel's control page of a ring, `struct perf_event_mmap_page`, from its field `data_head` on.
#[repr(C)]
struct Control {
    head: AtomicU64,
    tail: AtomicU64,
    data_offset: u64,
    data_size: u64,
}

const CONTROL_AT: usize = 1024;

/// A ring of records about new executable mappings on one CPU: `PERF_RECORD_MMAP2`, and
/// `PERF_RECORD_LOST` where they outran their reader.
#[derive(Debug)]
pub(crate) struct MappingRecords {
    event: OwnedFd,
    memory: NonNull<u8>,
    bytes: usize,
    data_at: usize,
    data_bytes: usize,
    /// A record that wraps around the ring's end.
    joined: Vec<u8>,
}

// SAFETY: the memory is shared with the kernel only and belongs to no thread; `drain` takes `&mut self`.
unsafe impl Send for MappingRecords {}

impl MappingRecords {
    /// Begins to record on `cpu`, into a ring of `pages` pages, a power of two.
    ///
    /// The descriptor is readable when a quarter of the ring is full.
    ///
    /// # Errors
    ///
    /// What the kernel says, `EPERM` where perf events are not permitted.
    pub(crate) fn open(cpu: u32, pages: u32) -> io::Result<Self> {
        let page_bytes = rustix::param::page_size();
        let data_bytes = page_bytes * pages.next_power_of_two() as usize;
        let attr = PerfEventAttr {
            config: PERF_COUNT_SW_DUMMY,
            sample_type: 1 << 2, // PERF_SAMPLE_TIME
            flags: ATTR_MMAP | ATTR_MMAP2 | ATTR_SAMPLE_ID_ALL | ATTR_WATERMARK,
            wakeup_events: u32::try_from(data_bytes / 4).unwrap_or(u32::MAX),
            ..PerfEventAttr::software()
        };
        let event = perf_event_open(&attr, cpu)?;
        let bytes = page_bytes + data_bytes;
        // SAFETY: the kernel chooses the address of a new mapping; the descriptor is open.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { event, memory, bytes, data_at: page_bytes, data_bytes, joined: Vec::new() })
    }

    fn control(&self) -> &Control {
        // SAFETY: the mapping's first page is larger than this offset.
        let control = unsafe { self.memory.add(CONTROL_AT) };
        // SAFETY: the control page lives as long as `self`, is aligned, and the fields the kernel changes
        // meanwhile are atomics.
        unsafe { control.cast().as_ref() }
    }

    /// Copies `to.len()` bytes of the ring, from `position` on.
    fn copy(&self, position: u64, to: &mut [u8]) {
        let mask = self.data_bytes - 1;
        for (byte, at) in to.iter_mut().zip(position..) {
            #[expect(clippy::cast_possible_truncation, reason = "masked by the ring's size")]
            let place = self.data_at + (at as usize & mask);
            // SAFETY: `place` lies in the ring's pages, which are mapped.
            let source = unsafe { self.memory.add(place) };
            // SAFETY: the kernel writes no byte between tail and head, where `position` lies.
            *byte = unsafe { source.read() };
        }
    }

    /// Calls `take` with the type and the body of each record, in order, and frees their room.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(u32, &[u8])) {
        let head = self.control().head.load(Ordering::Acquire);
        let mut tail = self.control().tail.load(Ordering::Relaxed);
        let mut record = std::mem::take(&mut self.joined);
        while head.wrapping_sub(tail) >= HEADER_BYTES as u64 {
            let mut header = [0; HEADER_BYTES];
            self.copy(tail, &mut header);
            let [a, b, c, d, _, _, low, high] = header;
            let size = usize::from(u16::from_ne_bytes([low, high]));
            if size < HEADER_BYTES || size as u64 > head.wrapping_sub(tail) {
                tail = head;
                break;
            }
            record.resize(size - HEADER_BYTES, 0);
            self.copy(tail.wrapping_add(HEADER_BYTES as u64), &mut record);
            take(u32::from_ne_bytes([a, b, c, d]), &record);
            tail = tail.wrapping_add(size as u64);
        }
        self.joined = record;
        self.control().tail.store(tail, Ordering::Release);
    }
}

impl AsFd for MappingRecords {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for MappingRecords {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made by `open`, whole, and no reference to it outlives `self`.
        let result = unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
        debug_assert_eq!(result, 0, "munmap of a mapping of ours cannot fail");
    }
}
