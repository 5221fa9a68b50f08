//! How queries read stored data: `hearth-store` implements these traits, `hearth-query` reads
//! through them, and neither knows the other.

use std::sync::Arc;

use hearth_profile::{Dictionary, LabelSet, ProfileType, StackId};

use crate::Error;

/// Length of the slots into which sample times are rounded down, in milliseconds.
pub const SLOT_MS: i64 = 5_000;

/// The start of the slot that contains `time_ms` (milliseconds since the Unix epoch).
pub fn slot_of(time_ms: i64) -> i64 {
    time_ms.div_euclid(SLOT_MS).saturating_mul(SLOT_MS)
}

/// A stream of values: one profile type with one label set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// What the values mean.
    pub profile_type: ProfileType,
    /// Whose they are; always contains `service_name`.
    pub labels: LabelSet,
}

/// The summed value of one stack in one slot of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Index into [`Source::series`].
    pub series: u32,
    /// Stack, in [`Source::dictionary`].
    pub stack: StackId,
    /// Start of the slot, milliseconds since the Unix epoch.
    pub slot_ms: i64,
    /// The sum, in the unit of the series' profile type.
    pub value: i64,
}

/// The summed value of all stacks in one slot of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Index into [`Source::series`].
    pub series: u32,
    /// Start of the slot, milliseconds since the Unix epoch.
    pub slot_ms: i64,
    /// The sum.
    pub value: i64,
}

/// Which rows a scan delivers: those of a set of series, with `start_ms <= slot_ms < end_ms`.
#[derive(Clone, Debug)]
pub struct Filter {
    /// By series index, whether its rows are wanted. Shorter than the series list means "not".
    pub series: Vec<bool>,
    /// First slot, inclusive.
    pub start_ms: i64,
    /// Last slot, exclusive.
    pub end_ms: i64,
}

impl Filter {
    /// Whether a row of `series` at `slot_ms` is wanted.
    pub fn wants(&self, series: u32, slot_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&slot_ms)
            && self.series.get(series as usize).copied().unwrap_or(false)
    }
}

/// One immutable piece of a tenant's data: the head at one moment, a segment or a block.
pub trait Source: Send + Sync {
    /// First and last slot that occur (both inclusive), milliseconds since the Unix epoch.
    fn slot_range_ms(&self) -> (i64, i64);

    /// All series; a row names one by its index here. The same series may occur in many sources.
    fn series(&self) -> Result<Arc<[Series]>, Error>;

    /// The dictionary which the stacks of this source index; loaded on first use.
    fn dictionary(&self) -> Result<Arc<Dictionary>, Error>;

    /// Calls `row` for every wanted row, in no particular order; a stack may come many times.
    fn rows(&self, filter: &Filter, row: &mut dyn FnMut(Row)) -> Result<(), Error>;

    /// Calls `point` for every wanted slot, without reading stacks where the format allows.
    fn points(&self, filter: &Filter, point: &mut dyn FnMut(Point)) -> Result<(), Error>;
}

/// What is stored at one moment. Every acknowledged row is in exactly one of its sources.
pub trait Snapshot: Send + Sync {
    /// The tenant's sources that may hold rows with `start_ms <= slot_ms < end_ms`.
    fn sources(&self, tenant: &str, start_ms: i64, end_ms: i64) -> Result<Vec<Arc<dyn Source>>, Error>;
}
