//! System calls that have no safe wrapper: the only home of `unsafe` in the project.
//!
//! Each function owns what it opens, checks what the kernel returns and keeps no pointer.
#![expect(
    unsafe_code,
    reason = "perf_event_open, its ioctls, shared memory, poll, membarrier and malloc_trim have no safe wrapper here"
)]

mod chunk;
mod sideband;

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

pub(crate) use chunk::{CHUNK_PAGES, Chunk, PAGE_BYTES, Page};
pub(crate) use sideband::MappingRecords;

const PERF_TYPE_HARDWARE: u32 = 0;
const PERF_COUNT_HW_CPU_CYCLES: u64 = 0;
const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_ENABLE: u32 = 0x2400;
const PERF_EVENT_IOC_SET_BPF: u32 = 0x4004_2408;
const ATTR_DISABLED: u64 = 1 << 0;
const ATTR_EXCLUDE_IDLE: u64 = 1 << 7;
const ATTR_FREQUENCY: u64 = 1 << 10;

/// `struct perf_event_attr`, the first published version (`PERF_ATTR_SIZE_VER0`).
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
}

impl PerfEventAttr {
    const BYTES: u32 = 64;

    fn software() -> Self {
        Self { kind: PERF_TYPE_SOFTWARE, size: Self::BYTES, ..Self::default() }
    }
}

const _: () = assert!(size_of::<PerfEventAttr>() == PerfEventAttr::BYTES as usize);

/// What makes a CPU's timer fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Every so many nanoseconds of time.
    Time { period_ns: u64 },
    /// Cycles of the CPU, about so often in a second in which it is never idle. Needs a hardware counter.
    Cycles { per_second: u64 },
}

/// Opens a disabled timer on `cpu`, which does not fire while the CPU is idle.
pub(crate) fn open_clock(cpu: u32, clock: Clock) -> io::Result<OwnedFd> {
    let attr = match clock {
        Clock::Time { period_ns } => PerfEventAttr {
            config: PERF_COUNT_SW_CPU_CLOCK,
            sample_period: period_ns,
            flags: ATTR_DISABLED | ATTR_EXCLUDE_IDLE,
            ..PerfEventAttr::software()
        },
        Clock::Cycles { per_second } => PerfEventAttr {
            kind: PERF_TYPE_HARDWARE,
            size: PerfEventAttr::BYTES,
            config: PERF_COUNT_HW_CPU_CYCLES,
            sample_period: per_second,
            flags: ATTR_DISABLED | ATTR_EXCLUDE_IDLE | ATTR_FREQUENCY,
            ..PerfEventAttr::default()
        },
    };
    perf_event_open(&attr, cpu)
}

/// Opens an event on all that runs on `cpu`.
fn perf_event_open(attr: &PerfEventAttr, cpu: u32) -> io::Result<OwnedFd> {
    // SAFETY: `attr` points to a live `perf_event_attr` whose `size` field the kernel checks before
    // reading, and the kernel keeps no reference to it. The other arguments are plain integers.
    let result = unsafe {
        libc::syscall(libc::SYS_perf_event_open, std::ptr::from_ref(attr), -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the call succeeded, so `fd` is open, and nothing else has seen it: we own it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until every BPF program that is running now has ended, some milliseconds.
///
/// What was taken out of a map before the call is not in use after it.
///
/// # Errors
///
/// `EINVAL` on kernels with CPUs that are never interrupted (`nohz_full`), `ENOSYS` on some built without
/// it; waiting a second serves as well.
pub(crate) fn wait_for_programs() -> io::Result<()> {
    // The kernel implements this command by waiting for readers of RCU, which running programs are.
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: the arguments are integers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs a loaded BPF program whenever `event` fires, and starts the event.
pub(crate) fn attach(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open for the duration of the call; the argument is an integer.
    let set = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF as _, program.as_raw_fd()) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open; this request takes no pointer.
    let enabled = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_ENABLE as _, 0) };
    if enabled < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits until one of `descriptors` is readable or `timeout` has passed.
pub(crate) fn wait_readable<const N: usize>(
    descriptors: [BorrowedFd<'_>; N],
    timeout: Duration,
) -> io::Result<()> {
    let mut polled =
        descriptors.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `polled` is an array of N initialised entries which outlives the call.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout_ms) };
    match result {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
    }
}

/// Gives memory that was freed back to the system: loading leaves megabytes of type information.
pub(crate) fn release_memory() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: takes no pointer; glibc documents it as safe to call from any thread.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Lifts the limit on locked memory, which BPF maps count against before Linux 5.11.
pub(crate) fn raise_memlock() -> io::Result<()> {
    let unlimited = Rlimit { current: None, maximum: None };
    setrlimit(Resource::Memlock, unlimited).map_err(io::Error::from)
}

/// By how much threads go before others whose work is small but must not come too late: processes end.
pub(crate) const HURRY: i32 = 5;

/// Lowers the priority of the calling thread, or raises it if negative and permitted.
pub(crate) fn lower_priority(by: i32) {
    // Failure costs nothing but politeness.
    rustix::process::nice(by).ok();
}
