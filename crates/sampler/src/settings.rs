//! What to sample, at what price: the sampler's settings, checked before anything is loaded.

use crate::error::StartError;
use crate::filter::Filters;

/// Frequencies the sampler takes.
const SAMPLES_PER_SECOND_MAX: u32 = 10_000;

/// What to sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Samples per second on each CPU that is not idle. Range 1 to 10,000. Default 97.
    pub samples_per_second: u32,
    /// Which processes. Default all.
    pub target: Target,
    /// Which of them are left out. Default none.
    pub filters: Filters,
    /// What samples carry besides their stack. Default nothing.
    pub attributes: SampleAttributes,
    /// What a sample counts. Default [`Event::CpuClock`].
    pub event: Event,
    /// What the sampler may use.
    pub budgets: Budgets,
}

impl Settings {
    /// All defaults but these.
    pub const fn new(samples_per_second: u32, target: Target) -> Self {
        Self {
            samples_per_second,
            target,
            filters: Filters { include: Vec::new(), exclude: Vec::new() },
            attributes: SampleAttributes { thread_id: false, thread_name: false, cpu: false },
            event: Event::CpuClock,
            budgets: Budgets::DEFAULT,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(97, Target::Host)
    }
}

/// Which processes to sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All, and the kernel.
    Host,
    /// These process ids, and the processes they fork from now on.
    Processes(Vec<u32>),
}

/// Attributes of single samples. Each multiplies the number of distinct samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleAttributes {
    /// `thread.id`, as the initial PID namespace counts.
    pub thread_id: bool,
    /// `thread.name`.
    pub thread_name: bool,
    /// `cpu.logical_number`.
    pub cpu: bool,
}

impl SampleAttributes {
    /// Whether samples are kept apart by more than process and stack.
    pub(crate) fn any(self) -> bool {
        self.thread_id || self.thread_name || self.cpu
    }
}

/// What makes a CPU take a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Event {
    /// Time during which the CPU is not idle, by a timer. Works everywhere.
    #[default]
    CpuClock,
    /// CPU cycles, by the hardware's counter; also samples code that runs with interrupts off. Refused
    /// where there is no such counter, as in most virtual machines.
    Cycles,
}

/// What the sampler may use. What has to be left out when a budget is hit is counted by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Bytes of kernel memory for unwind tables, beyond the fixed 4 MB. Range 1 MiB to 255 MiB, in whole
    /// MiB. Default 32 MiB.
    pub table_bytes: u64,
    /// Bytes of our own memory for symbols, waiting stacks and mappings. Range 4 MiB to 1 GiB.
    /// Default 24 MiB.
    pub user_bytes: u64,
    /// CPU time for reading files, as a percentage of one core; saved up to two seconds. Range 1 to 100.
    /// Default 10.
    pub preparation_percent: u32,
}

impl Budgets {
    const DEFAULT: Self = Self { table_bytes: 32 << 20, user_bytes: 24 << 20, preparation_percent: 10 };
}

impl Default for Budgets {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Settings {
    /// Checks every value against its range.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let refuse = |setting, value, expected| Err(StartError::OutOfRange { setting, value, expected });
        if !(1..=SAMPLES_PER_SECOND_MAX).contains(&self.samples_per_second) {
            return refuse("samples_per_second", self.samples_per_second.into(), "1 to 10000 per CPU");
        }
        let budgets = &self.budgets;
        if !(1 << 20..=255 << 20).contains(&budgets.table_bytes) {
            return refuse("table_bytes", budgets.table_bytes, "1048576 to 267386880");
        }
        if !(4 << 20..=1 << 30).contains(&budgets.user_bytes) {
            return refuse("user_bytes", budgets.user_bytes, "4194304 to 1073741824");
        }
        if !(1..=100).contains(&budgets.preparation_percent) {
            return refuse("preparation_percent", budgets.preparation_percent.into(), "1 to 100");
        }
        Ok(())
    }
}

/// Departures from what the kernel would allow, for tests and for finding faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Look up mappings in tables filled from /proc, as if the self-test had failed.
    pub force_fallback: bool,
    /// Use programs for an older kernel.
    pub feature_level: Option<crate::FeatureLevel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn every_value_out_of_range_is_refused_by_name() {
        let base = Settings::default();
        let budgets = |table_bytes, user_bytes, preparation_percent| Settings {
            budgets: Budgets { table_bytes, user_bytes, preparation_percent },
            ..Settings::default()
        };
        let cases = [
            (Settings { samples_per_second: 0, ..base.clone() },      "samples_per_second: 0 is out of range; expected 1 to 10000 per CPU"),
            (Settings { samples_per_second: 10_001, ..base.clone() }, "samples_per_second: 10001 is out of range; expected 1 to 10000 per CPU"),
            (budgets(0, 8 << 20, 10),         "table_bytes: 0 is out of range; expected 1048576 to 267386880"),
            (budgets(256 << 20, 8 << 20, 10), "table_bytes: 268435456 is out of range; expected 1048576 to 267386880"),
            (budgets(8 << 20, 1, 10),         "user_bytes: 1 is out of range; expected 4194304 to 1073741824"),
            (budgets(8 << 20, 8 << 20, 0),    "preparation_percent: 0 is out of range; expected 1 to 100"),
        ];
        for (settings, want) in cases {
            assert_eq!(settings.check().unwrap_err().to_string(), want);
        }
        assert!(base.check().is_ok());
    }
}
