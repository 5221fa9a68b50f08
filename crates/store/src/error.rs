//! Why the store cannot do what it was asked, sorted by what the caller does next.

use std::path::Path;

/// Why the store refuses or fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tenant's name is not allowed.
    #[error("tenant {name:?}: {reason}; expected 1 to 150 of [0-9A-Za-z!_.*'()-], but not \".\" or \"..\"")]
    Tenant {
        /// The name, cut to 200 characters.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The write contradicts itself; sending it again is useless.
    #[error("invalid write: {reason}")]
    Invalid {
        /// What is wrong, with the value and the allowed range.
        reason: String,
    },
    /// More is waiting than the store may hold in memory; send again later.
    #[error("overloaded: {what} holds {bytes} bytes, the limit is {limit}; retry later")]
    Overloaded {
        /// What is full.
        what: &'static str,
        /// How much it holds.
        bytes: usize,
        /// How much it may hold.
        limit: usize,
    },
    /// The disk is full: nothing was stored, what is stored stays readable; send again later.
    #[error("{path}: no space left on the device; writes are refused until there is, reads go on")]
    Full {
        /// The file or directory that could not grow.
        path: String,
    },
    /// The log cannot be written; writes are refused until it can. Nothing acknowledged is lost.
    #[error("the write-ahead log failed, writes are refused: {reason}")]
    LogFailed {
        /// The first failure.
        reason: String,
    },
    /// The store was shut down.
    #[error("the store is shut down")]
    Closed,
    /// Another process uses the directory.
    #[error("{path}: in use by another process{holder}; stop it or choose another data directory")]
    Locked {
        /// The directory.
        path: String,
        /// ` (process N)`, or nothing if unknown.
        holder: String,
    },
    /// The directory was written by a newer version.
    #[error(
        "{path}: format version {found} is newer than {supported}, the newest this program reads; use a newer version"
    )]
    Version {
        /// What carries the version.
        path: String,
        /// The version found.
        found: u64,
        /// The newest version known.
        supported: u64,
    },
    /// A damaged file.
    #[error("{path}: corrupt: {reason}")]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The file system failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The catalog failed.
    #[error("{path}: {source}")]
    Catalog {
        /// The catalog's file.
        path: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A block cannot be read or written.
    #[error(transparent)]
    Block(#[from] hearth_block::Error),
}

impl Error {
    /// Whether the same write may succeed later; otherwise it never will.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Tenant { .. } | Self::Invalid { .. })
    }

    /// Of an I/O failure; a full disk is told apart from the rest.
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { action, path, source },
        }
    }

    /// Of a block; a full disk is told apart here, too.
    pub(crate) fn of_block(error: hearth_block::Error) -> Self {
        match error {
            hearth_block::Error::Io { path, source } => Self::io("write", Path::new(&path), source),
            error => Self::Block(error),
        }
    }

    /// The same error once more, for each of a group of writes.
    pub(crate) fn repeated(&self) -> Self {
        match self {
            Self::Full { path } => Self::Full { path: path.clone() },
            Self::LogFailed { reason } => Self::LogFailed { reason: reason.clone() },
            error => Self::LogFailed { reason: error.to_string() },
        }
    }
}
