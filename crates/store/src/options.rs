//! How a store is set up, and what it says about itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hearth_block::Namer;

/// When the log is forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before every acknowledgement: what was acknowledged survives a power cut.
    #[default]
    Always,
    /// At least this often: a power cut may lose that much, a crash of the process nothing.
    Interval(Duration),
    /// When the system likes: a power cut may lose half a minute, a crash of the process nothing.
    Off,
}

/// The user and group to whom new files shall belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A step that makes something durable; see [`Options::probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Records are written to the log.
    LogWrite,
    /// The log is forced to the disk.
    LogSync,
    /// A new log file is created.
    LogRotate,
    /// A segment or block is written under its temporary name.
    BlockWrite,
    /// It gets its final name.
    BlockRename,
    /// The catalog's transaction is committed.
    CatalogCommit,
    /// Log files that are no longer needed are deleted.
    LogDelete,
    /// Blocks that are no longer in the catalog are deleted.
    BlockDelete,
}

/// Called before each [`Step`]; an error makes the step fail as if the system had reported it.
#[derive(Clone)]
pub struct Probe(pub Arc<dyn Fn(Step) -> std::io::Result<()> + Send + Sync>);

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// How a store is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; created if absent.
    pub dir: PathBuf,
    /// When the log is forced to the disk. Default always.
    pub sync: SyncPolicy,
    /// How long rows stay in the head at most. Default 30 s.
    pub flush_interval: Duration,
    /// How large the heads of all tenants grow, together, before they are flushed. Default 64 MiB;
    /// at four times as much, writes are refused.
    pub flush_bytes: usize,
    /// How many bytes of writes may wait for the log. Default 64 MiB.
    pub queue_bytes: usize,
    /// A tenant with more segments than this in one hour gets them merged. Default 20.
    pub compact_segments: usize,
    /// How long data is kept, counted from its time or its arrival, whichever is later, so that what
    /// is imported is not deleted at once. Default 31 days; `None` means for ever.
    pub retention: Option<Duration>,
    /// To whom new files shall belong. Default: whom the process runs as.
    pub owner: Option<Owner>,
    /// Who knows names for addresses that came without. Default: nobody.
    pub namer: Option<Arc<dyn Namer>>,
    /// Lets tests stop or fail the store at any step.
    pub probe: Option<Probe>,
}

impl Options {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("hearth-data"),
            sync: SyncPolicy::Always,
            flush_interval: Duration::from_secs(30),
            flush_bytes: 64 << 20,
            queue_bytes: 64 << 20,
            compact_segments: 20,
            retention: Some(Duration::from_secs(31 * 24 * 60 * 60)),
            owner: None,
            namer: None,
            probe: None,
        }
    }
}

/// What the store says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows in memory, not yet in a segment.
    pub head_rows: usize,
    /// Bytes of all log files.
    pub wal_bytes: u64,
    /// Segments and blocks.
    pub segments: usize,
    /// Bytes of all segments and blocks.
    pub bytes_on_disk: u64,
    /// Rows in segments and blocks, plus `head_rows`.
    pub rows_total: u64,
    /// Writes acknowledged since the store was opened, duplicates not counted.
    pub appends: u64,
    /// Rows acknowledged since the store was opened.
    pub appended_rows: u64,
    /// Writes recognised as repeated since the store was opened.
    pub duplicates: u64,
    /// Writes refused or failed since the store was opened.
    pub refused: u64,
    /// First and last slot stored, milliseconds since the Unix epoch.
    pub slot_range_ms: Option<(i64, i64)>,
    /// Files found damaged since the store was opened.
    pub corrupt_files: u64,
    /// The last of them: its path and what is wrong.
    pub last_corruption: Option<String>,
    /// Bytes cut from the end of the log at the last start: a write that was never acknowledged.
    pub torn_bytes: u64,
    /// Flushes and compactions that failed since the store was opened.
    pub flush_failures: u64,
    /// Blocks that got names after they were written, since the store was opened.
    pub blocks_named: u64,
    /// Why the last flush or compaction failed; `None` after one that succeeded.
    pub last_flush_error: Option<String>,
    /// Why writes are refused at present.
    pub log_error: Option<String>,
}
