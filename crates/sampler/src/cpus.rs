//! A timer on every online CPU, following CPUs that come and go.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use aya::programs::ProgramFd;

use crate::error::StartError;
use crate::sys::Clock;
use crate::{kernel, sys};

/// The timers, by CPU. Dropping it stops sampling.
#[derive(Debug)]
pub(crate) struct CpuTimers {
    program: ProgramFd,
    clock: Clock,
    timers: BTreeMap<u32, Timer>,
}

/// A CPU's timer and how far it had counted when last looked at.
#[derive(Debug)]
struct Timer {
    event: OwnedFd,
    count: Option<u64>,
}

impl Timer {
    /// Whether it counted since the last look. A CPU's clock counts while the CPU is idle, too; it stands
    /// still for good once the CPU was offline, even for a moment or during suspend.
    fn runs(&mut self) -> bool {
        let mut bytes = [0; 8];
        let read = rustix::io::read(&self.event, &mut bytes);
        let now = matches!(read, Ok(8)).then(|| u64::from_ne_bytes(bytes));
        let runs = now.is_some() && now != self.count;
        self.count = now;
        runs
    }
}

impl CpuTimers {
    /// Starts to sample all online CPUs.
    pub(crate) fn start(program: ProgramFd, clock: Clock) -> Result<Self, StartError> {
        let mut timers = Self { program, clock, timers: BTreeMap::new() };
        let online = kernel::online_cpus().map_err(StartError::system("read which CPUs are online"))?;
        for cpu in online {
            timers.open(cpu).map_err(|source| refused(cpu, clock, source))?;
        }
        Ok(timers)
    }

    fn open(&mut self, cpu: u32) -> io::Result<()> {
        let timer = sys::open_clock(cpu, self.clock)?;
        sys::attach(timer.as_fd(), self.program.as_fd())?;
        self.timers.insert(cpu, Timer { event: timer, count: None });
        Ok(())
    }

    /// Follows CPUs that went online or offline.
    pub(crate) fn refresh(&mut self) {
        let Ok(online) = kernel::online_cpus() else { return };
        let always_runs = matches!(self.clock, Clock::Time { .. });
        self.timers.retain(|cpu, timer| online.contains(cpu) && (!always_runs || timer.runs()));
        for cpu in online {
            if !self.timers.contains_key(&cpu) {
                match self.open(cpu) {
                    Ok(()) => tracing::info!(cpu, "sampling a CPU that came online"),
                    Err(error) => tracing::warn!(cpu, %error, "cannot sample a CPU that came online"),
                }
            }
        }
    }

    /// How many CPUs are sampled.
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }
}

fn refused(cpu: u32, clock: Clock, source: io::Error) -> StartError {
    let hint = match source.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "; grant CAP_PERFMON, or set kernel.perf_event_paranoid to -1 (in a container, the seccomp profile \
             must also allow perf_event_open)"
        }
        Some(libc::EMFILE | libc::ENFILE) => "; raise the limit of open files (ulimit -n)",
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) if matches!(clock, Clock::Cycles { .. }) => {
            "; this machine has no counter of cycles (most virtual machines have none): sample by time, with \
             event cpu-clock"
        }
        Some(libc::EINVAL) => {
            "; the sampling frequency may be above what kernel.perf_event_max_sample_rate allows"
        }
        _ => "",
    };
    StartError::PerfEvent { cpu, source, hint }
}
