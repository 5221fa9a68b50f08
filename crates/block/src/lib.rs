//! The on-disk block: Parquet files of rows, points and a dictionary; the traits through which
//! queries read; names that arrive after the data.

mod format;
mod merge;
mod naming;
mod read;
mod rewrite;
mod source;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod write;

pub use format::FORMAT_VERSION;
pub use merge::merge;
pub use naming::{Code, Frames, NamedFrame, Namer, Naming};
pub use read::Block;
pub use source::{Filter, Point, Row, SLOT_MS, Series, Snapshot, Source, slot_of};
pub use table::Blob;
pub use write::Summary;

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
