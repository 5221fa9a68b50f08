//! The on-disk block: Parquet files of rows, points and a dictionary; the traits through which
//! queries read.

mod source;

pub use source::{Filter, Point, Row, SLOT_MS, Series, Snapshot, Source, slot_of};

/// Why stored data cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no block, or a damaged one.
    #[error("{path}: corrupt block: {reason}")]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}
