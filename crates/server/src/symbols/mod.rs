//! Symbols on the server: names for what agents send as addresses.
//!
//! ```text
//! agents, `hearth symbols upload` ─▶ upload ─┐
//! debuginfod (off by default) ─▶ debuginfod ─┴▶ index ─▶ shelf (DIR/symbols) ─▶ Namer ─▶ store
//! ```
//!
//! The store asks the [`Shelf`] whenever somebody reads a dictionary, so names appear in everything
//! stored as soon as symbols are on the shelf, and the store writes them into its blocks by and by.
//! See ADR 0010.
//!
//! # What this module does not do
//!
//! It keeps no file as it was brought: only its index. It names no frame that came with a name.

mod container;
mod debuginfod;
mod hint;
mod index;
mod shelf;
mod stream;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hearth_store::Owner;

pub(crate) use container::{Facts, Origin};
pub(crate) use debuginfod::Debuginfod;
pub(crate) use hint::hint;
pub(crate) use shelf::{Bounds, Kept, Refusal, SHARED, Shelf, Totals};
pub(crate) use stream::Stream;
pub(crate) use upload::{Plain, Rules, Uploads, Wanted, build_id};

/// How symbols are taken and kept.
#[derive(Clone, Debug)]
pub struct SymbolLimits {
    /// Whether uploads are taken. Default yes.
    pub uploads: bool,
    /// Largest file that is taken, in bytes. Default 1 GiB.
    pub upload_bytes_max: u64,
    /// How long a file may take to arrive. Default 10 minutes.
    pub upload_timeout: Duration,
    /// How long an announced upload keeps others from sending the same file. Default 5 minutes.
    pub stale_after: Duration,
    /// Bytes of all symbols kept. Default 10 GiB.
    pub total_bytes_max: u64,
    /// Servers asked for symbols that nobody brought. Default none.
    pub debuginfod_urls: Vec<String>,
    /// How often to look for binaries to ask them for. Default one minute.
    pub debuginfod_interval: Duration,
}

impl Default for SymbolLimits {
    fn default() -> Self {
        Self {
            uploads: true,
            upload_bytes_max: 1 << 30,
            upload_timeout: Duration::from_secs(600),
            stale_after: Duration::from_secs(300),
            total_bytes_max: 10 << 30,
            debuginfod_urls: Vec::new(),
            debuginfod_interval: Duration::from_secs(60),
        }
    }
}

/// The symbols of a server.
#[derive(Debug)]
pub(crate) struct Symbols {
    /// What is kept.
    pub shelf: Arc<Shelf>,
    /// How it gets there.
    pub uploads: Uploads,
}

impl Symbols {
    /// Symbols below a data directory; nothing is read before [`Shelf::load`].
    pub(crate) fn new(data_dir: PathBuf, owner: Option<Owner>, limits: &SymbolLimits) -> Self {
        let bounds =
            Bounds { total_bytes_max: limits.total_bytes_max, upload_bytes_max: limits.upload_bytes_max };
        let shelf = Arc::new(Shelf::new(data_dir.join("symbols"), owner, bounds));
        let rules = Rules {
            enabled: limits.uploads,
            timeout: limits.upload_timeout,
            stale_after: limits.stale_after,
        };
        Self { uploads: Uploads::new(shelf.clone(), rules), shelf }
    }
}
