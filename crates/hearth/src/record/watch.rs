//! When a recording ends: with its processes, after a time, or on a signal.

use std::pin::Pin;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, Sleep};

/// How often samples are taken over, so that files and processes are still there to be named.
const COLLECT_EVERY: Duration = Duration::from_secs(5);
/// How long a command may take to end once a signal asked for it.
const LET_END: Duration = Duration::from_secs(1);

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All its processes ended.
    Ended,
    /// The time was up.
    Time,
    /// A signal asked for it.
    Signal(Signal),
}

/// Waits for the end of a recording.
pub(super) struct Watch {
    /// Processes which have not been seen to end, as descriptors that become readable then.
    processes: Vec<Receiver>,
    has_processes: bool,
    time: Option<Pin<Box<Sleep>>>,
    interrupt: SignalStream,
    terminate: SignalStream,
    collect: Interval,
}

impl Watch {
    /// For a recording of `pids`, or of the whole host if there is none. Must be called within a
    /// runtime.
    pub(super) fn new(pids: &[u32], duration: Option<Duration>) -> Result<Self, String> {
        let processes = pids.iter().map(|&pid| open(pid)).collect::<Result<Vec<_>, _>>()?;
        let watch = |kind| signal(kind).map_err(|error| format!("cannot watch for signals: {error}"));
        let mut collect = tokio::time::interval(COLLECT_EVERY);
        collect.set_missed_tick_behavior(MissedTickBehavior::Delay);
        collect.reset();
        Ok(Self {
            has_processes: !processes.is_empty(),
            processes,
            time: duration.map(|duration| Box::pin(tokio::time::sleep(duration))),
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
            collect,
        })
    }

    /// The end, or `None` when it is time to take over samples.
    pub(super) async fn next(&mut self) -> Option<Ending> {
        let Self { processes, has_processes, time, interrupt, terminate, collect } = self;
        tokio::select! {
            () = all_ended(processes), if *has_processes => Some(Ending::Ended),
            () = passed(time), if time.is_some() => Some(Ending::Time),
            _ = interrupt.recv() => Some(Ending::Signal(Signal::INT)),
            _ = terminate.recv() => Some(Ending::Signal(Signal::TERM)),
            _ = collect.tick() => None,
        }
    }

    /// Starts the time anew: what went before was preparation.
    pub(super) fn start(&mut self, duration: Option<Duration>) {
        if let (Some(time), Some(duration)) = (&mut self.time, duration) {
            time.as_mut().reset(tokio::time::Instant::now() + duration);
        }
        self.collect.reset();
    }

    /// Gives the command `pid` a moment to end after `signal`. The terminal sends Ctrl-C to it too;
    /// anything else it gets from here.
    pub(super) async fn let_end(&mut self, pid: u32, signal: Signal) {
        if signal != Signal::INT
            && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
        // Whether it ended or not, the recording does.
        let _ = tokio::time::timeout(LET_END, all_ended(&mut self.processes)).await;
    }
}

async fn passed(time: &mut Option<Pin<Box<Sleep>>>) {
    if let Some(time) = time {
        time.as_mut().await;
    }
}

async fn all_ended(processes: &mut Vec<Receiver>) {
    while let Some(process) = processes.last() {
        // A descriptor that cannot be waited for is taken for ended, so that nobody waits forever.
        let _ = process.readable().await;
        processes.pop();
    }
}

fn open(pid: u32) -> Result<Receiver, String> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(format!("{pid} is no process id"))?;
    let descriptor = pidfd_open(id, PidfdFlags::empty()).map_err(|error| match error {
        rustix::io::Errno::SRCH => format!("there is no process {pid}"),
        // A thread's id, or on old kernels a process about to be gone.
        rustix::io::Errno::INVAL => format!("{pid} is no process"),
        error => format!("cannot watch process {pid}: {error}"),
    })?;
    // Of a pipe's receiver only its readiness is used, which any descriptor for epoll has.
    Receiver::from_owned_fd_unchecked(descriptor)
        .map_err(|error| format!("cannot watch process {pid}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_recording_ends_with_its_last_process() {
        let spawn = |seconds| std::process::Command::new("sleep").arg(seconds).spawn().unwrap();
        let (mut short, mut long) = (spawn("0.1"), spawn("30"));
        let mut watch = Watch::new(&[short.id(), long.id()], None).unwrap();
        long.kill().unwrap();
        assert_eq!(watch.next().await, Some(Ending::Ended));
        assert!(short.try_wait().unwrap().is_some());
        long.wait().unwrap();
        assert_eq!(Watch::new(&[4_194_304], None).err().unwrap(), "there is no process 4194304");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_recording_ends_when_its_time_is_up() {
        let duration = Some(Duration::from_millis(20));
        let mut watch = Watch::new(&[std::process::id()], duration).unwrap();
        watch.start(duration);
        assert_eq!(watch.next().await, Some(Ending::Time));
    }
}
