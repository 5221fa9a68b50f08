//! Selector to plan to merge to tree, series and profile. Writes nothing.
//!
//! ```text
//! text ─▶ Selector ─┐
//! tenant, range ────┴▶ Query ─▶ Engine ─▶ sources of one Snapshot ─▶ sums ─▶ Tree, time series, labels
//! ```
//!
//! Every method of [`Engine`] reads one snapshot from beginning to end, adds exact sums per source
//! in dense vectors, and leaves truncation to the caller, once, at the very end.
//!
//! # What this crate does not do
//!
//! It knows no wire format and no disk format: it reads through `hearth_block`'s traits and returns
//! plain values. It blocks; callers on an async runtime move it to a blocking thread.
//!
//! # Terms
//!
//! *Virtual label*: a label that is not stored but follows from the series' profile type, such as
//! `__profile_type__`; see [`virtual_label`].

mod engine;
mod labels;
mod overview;
mod range;
mod selector;
mod unnamed;

#[cfg(test)]
mod fixture;

pub use engine::{Cancel, DenseSeries, Engine, Limits, Query, SeriesSpec, Snapshots, TimeSeries};
pub use labels::{VIRTUAL_LABELS, virtual_label};
pub use overview::{Hottest, Overview, ServiceOverview};
pub use range::{Range, RangeError};
pub use selector::{MatchOp, Matcher, Selector, SelectorError};
pub use unnamed::{Unnamed, UnnamedBinary};

/// Why a query has no answer.
///
/// [`Selector`](Error::Selector) and [`Range`](Error::Range) are the asker's to fix;
/// [`TooLarge`](Error::TooLarge) too, by asking for less. [`Storage`](Error::Storage) is ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The selector is no selector.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// The time range or the step makes no sense.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The answer would take more memory than one query may use.
    #[error(
        "the query needs more than {limit} {what}, the limit of one query; narrow the time range or the selector"
    )]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much one query may use.
        limit: usize,
    },
    /// Whoever asked is gone.
    #[error("the query was cancelled")]
    Cancelled,
    /// Stored data cannot be read.
    #[error(transparent)]
    Storage(#[from] hearth_block::Error),
}
