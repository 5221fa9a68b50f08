//! Budgets: a token bucket of CPU time, and counts of what had to be left out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::processes::lock;

/// CPU time that may be saved up.
const SAVED_MAX: Duration = Duration::from_secs(2);
/// What files that take long must leave to those that do not.
const RESERVE: Duration = Duration::from_millis(200);

/// A share of one core, saved up while it is not used and overdrawn by at most one file.
#[derive(Debug)]
pub(crate) struct CpuBudget {
    percent: u32,
    /// Nanoseconds left, and since when they grow.
    left: Mutex<(i64, Instant)>,
    spent: AtomicU64,
    stopped: AtomicBool,
}

impl CpuBudget {
    pub(crate) fn new(percent: u32) -> Self {
        let left = Mutex::new((nanoseconds(SAVED_MAX), Instant::now()));
        Self { percent, left, spent: AtomicU64::new(0), stopped: AtomicBool::new(false) }
    }

    /// Whether something may be begun now; `quick` things may use up everything.
    pub(crate) fn allows(&self, quick: bool) -> bool {
        self.refill() > if quick { 0 } else { nanoseconds(RESERVE) } || self.stopped.load(Ordering::Relaxed)
    }

    fn refill(&self) -> i64 {
        let mut left = lock(&self.left);
        let now = Instant::now();
        let earned = now.saturating_duration_since(left.1) * self.percent / 100;
        *left = ((left.0 + nanoseconds(earned)).min(nanoseconds(SAVED_MAX)), now);
        left.0
    }

    /// Runs `work` and takes the CPU time it took.
    pub(crate) fn charge(&self, work: impl FnOnce()) {
        let before = thread_cpu_time();
        work();
        let took = thread_cpu_time().saturating_sub(before);
        lock(&self.left).0 -= nanoseconds(took);
        self.spent.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// CPU time spent so far.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// Makes nobody wait any more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// CPU time of the calling thread.
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nanoseconds of CLOCK_MONOTONIC: the clock of records.
pub(crate) fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $said:literal;)*) => {
        /// What was left out for want of a budget or by a file's own fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in counters.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What is said in the log, the first time.
            fn said(self) -> &'static str {
                match self {
                    $(Self::$variant => $said,)*
                }
            }
        }
    };
}

reasons! {
    /// Unwind rows did not fit.
    TableMemory = "table memory", "unwind tables do not fit the budget (limits::table_memory_mib): code without frame pointers has short stacks";
    /// One file's unwind sections are larger than any budget.
    FileTooBig = "file too big", "a file's unwind sections are too large: its code has short stacks unless it keeps frame pointers";
    /// Unwind sections that make no sense.
    FileMalformed = "file malformed", "a file's unwind sections are malformed: its code has short stacks unless it keeps frame pointers";
    /// Too many files wait.
    FilesWaiting = "files waiting", "too many new files at once: some are prepared later";
    /// A file blocks whoever reads it.
    FileBlocks = "file blocks", "files that block are left out: their functions have no names";
    /// Waiting stacks need too much memory.
    StackMemory = "stack memory", "too many stacks wait for their file (limits::user_memory_mib): they end at it";
    /// A process has too many mappings.
    Mappings = "mappings", "a process has too many mappings: its stacks end early";
    /// The rows of a file were dropped for others.
    Evicted = "table evicted", "unwind tables are dropped for others (limits::table_memory_mib): raise it if this goes on";
}

/// How often each happened; the first time is logged.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    counts: [AtomicU64; Reason::ALL.len()],
}

impl Drops {
    pub(crate) fn count(&self, reason: Reason) {
        if let Some(count) = self.counts.get(reason as usize)
            && count.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!(reason = reason.name(), "{}; said once, counted further", reason.said());
        }
    }

    /// All counts, by name.
    pub(crate) fn named(&self) -> Vec<(&'static str, u64)> {
        Reason::ALL
            .iter()
            .zip(&self.counts)
            .map(|(reason, count)| (reason.name(), count.load(Ordering::Relaxed)))
            .collect()
    }
}

/// A histogram of durations, read by anyone while it is filled.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    buckets: [AtomicU64; Self::BOUNDS_MS.len() + 1],
}

impl Latencies {
    /// Upper bounds of the buckets, in milliseconds; the last one has none.
    pub(crate) const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 30_000];

    pub(crate) fn add(&self, latency: Duration) {
        let ms = latency.as_nanos().div_ceil(1_000_000);
        let at = Self::BOUNDS_MS.partition_point(|bound| u128::from(*bound) < ms);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pairs of an upper bound, none for the last, and how many lie below it and above the one before.
    pub(crate) fn read(&self) -> Vec<(Option<Duration>, u64)> {
        let bounds = Self::BOUNDS_MS.iter().map(|ms| Some(Duration::from_millis(*ms))).chain([None]);
        bounds.zip(self.buckets.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_is_used_up_lets_nothing_begin() {
        let budget = CpuBudget::new(1);
        assert!(budget.allows(true) && budget.allows(false));
        lock(&budget.left).0 = nanoseconds(RESERVE) / 2;
        assert!(budget.allows(true), "quick things may use the reserve");
        assert!(!budget.allows(false));
        lock(&budget.left).0 = -nanoseconds(Duration::from_secs(100));
        assert!(!budget.allows(true));
        budget.stop();
        assert!(budget.allows(false), "nobody waits at the end");
    }

    #[test]
    fn a_budget_is_charged_by_cpu_time() {
        let budget = CpuBudget::new(10);
        budget.charge(|| std::thread::sleep(Duration::from_millis(5)));
        let asleep = budget.spent();
        let mut sum = 0_u64;
        budget.charge(|| {
            for i in 0..3_000_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(i));
            }
        });
        assert!(budget.spent() > asleep);
    }

    #[test]
    fn latencies_fall_into_buckets() {
        let latencies = Latencies::default();
        for ms in [0, 1, 3, 100, 101, 60_000] {
            latencies.add(Duration::from_millis(ms));
        }
        let filled: Vec<_> = latencies.read().into_iter().filter(|(_, count)| *count > 0).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(filled, [(ms(1), 2), (ms(5), 1), (ms(100), 1), (ms(200), 1), (None, 1)]);
    }

    #[test]
    fn drops_are_counted_by_reason() {
        let drops = Drops::default();
        drops.count(Reason::FileBlocks);
        drops.count(Reason::FileBlocks);
        assert!(drops.named().contains(&("file blocks", 2)));
        assert!(drops.named().contains(&("table memory", 0)));
    }
}
