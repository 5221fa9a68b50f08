//! Opening a data directory: lock, version, catalog, replay of the log.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Error;
use crate::blocks::{StoredBlock, path_of};
use crate::catalog::{BlockRow, Catalog};
use crate::commit::{BATCH_MEMORY_MS, Batches, Frozen};
use crate::files::{self, Files};
use crate::log;
use crate::payload::Entry;
use crate::shared::{Shared, now_ms};

/// The version of the directory's layout.
const DIR_VERSION: u64 = 1;
const DIR_VERSION_TEXT: &str = "hearth data directory, version ";

/// Locks the directory for this process.
pub(crate) fn lock(files: &Files) -> Result<File, Error> {
    let path = files.root.join("lock");
    let failed = |source| Error::io("lock", &path, source);
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    files.own(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is is a help only; the lock speaks for itself.
            let known = file.read_to_string(&mut holder).is_ok() && holder.trim().parse::<u32>().is_ok();
            let holder = if known { format!(" (process {})", holder.trim()) } else { String::new() };
            return Err(Error::Locked { path: files.root.display().to_string(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // A full disk must not keep anybody from reading what is there.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Refuses a directory of a newer version, marks a new one.
pub(crate) fn check_version(files: &Files) -> Result<(), Error> {
    let path = files.root.join("VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => {
            let found = text.strip_prefix(DIR_VERSION_TEXT).and_then(|number| number.trim().parse().ok());
            match found {
                Some(found) if found > DIR_VERSION => {
                    let path = files.root.display().to_string();
                    Err(Error::Version { path, found, supported: DIR_VERSION })
                }
                Some(_) => Ok(()),
                None => corrupt(&path, format!("expected \"{DIR_VERSION_TEXT}{DIR_VERSION}\"")),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let temporary = path.with_extension("tmp");
            files::delete(&temporary)?;
            let mut file = files.create(&temporary)?;
            writeln!(file, "{DIR_VERSION_TEXT}{DIR_VERSION}")
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&temporary, &path))
                .map_err(|source| Error::io("write", &path, source))?;
            files::sync_dir(&files.root)
        }
        Err(source) => Err(Error::io("read", &path, source)),
    }
}

fn corrupt<T>(path: &Path, reason: String) -> Result<T, Error> {
    Err(Error::Corrupt { path: path.display().to_string(), reason })
}

/// Opens the catalog; refuses to make a new one where blocks show that there was one.
pub(crate) fn open_catalog(files: &Files) -> Result<Catalog, Error> {
    let path = files.catalog();
    let any_block = || -> Result<bool, Error> {
        let tenants = files::list(&files.blocks_dir())?;
        Ok(tenants
            .iter()
            .map(|dir| files::list(dir))
            .collect::<Result<Vec<_>, _>>()?
            .iter()
            .any(|blocks| !blocks.is_empty()))
    };
    let absent = std::fs::metadata(&path).map_or(true, |facts| facts.len() == 0);
    if absent && any_block()? {
        let reason =
            "missing or empty although there are blocks; put it back, or move the directory blocks away"
                .into();
        return corrupt(&path, reason);
    }
    Catalog::open(files)
}

/// Shows the blocks of the catalog, deletes those that are not in it, reports those that are missing.
pub(crate) fn load_blocks(shared: &Arc<Shared>) -> Result<(), Error> {
    let rows = shared.catalog().blocks()?;
    let known: HashSet<PathBuf> = rows.iter().map(|row| path_of(&shared.files, row)).collect();
    for dir in files::list(&shared.files.blocks_dir())? {
        for path in files::list(&dir)?.into_iter().filter(|path| !known.contains(path)) {
            // A flush or compaction that was not committed, or inputs of one that was.
            tracing::debug!("deleting {}, which is not in the catalog", path.display());
            files::delete(&path)?;
        }
    }
    for row in rows {
        match check_block(&shared.files, &row) {
            Ok(()) => {
                let mut state = shared.state();
                let tenant = state.tenants.entry(Arc::clone(&row.tenant)).or_default();
                let block = StoredBlock::new(shared, row);
                tenant.blocks = Arc::new(tenant.blocks.iter().cloned().chain([block]).collect());
            }
            Err(error @ Error::Corrupt { .. }) => {
                shared.report_damage(error.to_string());
                let path = path_of(&shared.files, &row);
                shared.catalog().replace(&[row.id], None)?;
                if path.exists() {
                    shared.files.set_aside(&path)?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn check_block(files: &Files, row: &BlockRow) -> Result<(), Error> {
    let path = path_of(files, row);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() == row.bytes => Ok(()),
        Ok(metadata) => corrupt(&path, format!("{} bytes; the catalog says {}", metadata.len(), row.bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => corrupt(&path, "missing".into()),
        Err(source) => Err(Error::io("read", &path, source)),
    }
}

/// What replaying the log left to do.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// Number of the last record.
    pub sequence: u64,
    /// Number of the last log file.
    pub log_number: u64,
    pub batches: Batches,
    /// The rows to flush; `None` if there are none.
    pub frozen: Option<Frozen>,
}

/// Reads the log files after the checkpoint into heads, which are shown at once.
pub(crate) fn replay(shared: &Arc<Shared>) -> Result<Replayed, Error> {
    let checkpoint = shared.catalog().checkpoint()?;
    let mut replay = Replay { shared, checkpoint, batches: Batches::default(), new_batches: Vec::new() };
    for batch in shared.catalog().batches()? {
        replay.batches.add(batch);
    }
    let logs = log::list(&shared.files)?;
    let (mut last, mut sequence) = (0, checkpoint);
    for (index, (_, path)) in logs.iter().enumerate() {
        last = replay.file(path, last, index + 1 == logs.len())?;
        sequence = sequence.max(last);
    }
    let Replay { batches, new_batches, .. } = replay;
    let log_number = logs.last().map_or(0, |(number, _)| *number);
    let mut heads = Vec::new();
    for (name, tenant) in &mut shared.state().tenants {
        if tenant.active.rows() > 0 {
            let head = std::mem::take(&mut tenant.active);
            shared.head_bytes.fetch_add(head.bytes(), Ordering::Relaxed);
            tenant.frozen = Some(Arc::clone(&head));
            heads.push((Arc::clone(name), head));
        }
    }
    let frozen = (!logs.is_empty()).then_some(Frozen {
        heads,
        sequence,
        log_number,
        batches: new_batches,
        uncertain: Vec::new(),
    });
    Ok(Replayed { sequence, log_number, batches, frozen })
}

struct Replay<'a> {
    shared: &'a Arc<Shared>,
    checkpoint: u64,
    batches: Batches,
    new_batches: Vec<(Arc<str>, [u8; 16], i64)>,
}

impl Replay<'_> {
    /// Replays one file; returns the number of the last record so far.
    fn file(&mut self, path: &Path, after: u64, is_last: bool) -> Result<u64, Error> {
        let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
        let log::Scan { records, good_len, mut damage } = log::scan(path, &bytes, after)?;
        let mut last = after;
        for (sequence, payload) in records {
            last = sequence;
            match bytes.get(payload).and_then(Entry::decode) {
                Some(entry) => self.entry(sequence, entry),
                None => damage.push(format!("record {sequence} cannot be decoded")),
            }
        }
        let torn = bytes.len() - good_len;
        if torn > 0 && !is_last {
            damage.push(format!("{torn} bytes at its end are no records"));
        }
        if !damage.is_empty() {
            let copy = self.shared.files.copy_aside(path)?;
            let damage = damage.join("; ");
            let copy = copy.display();
            self.shared.report_damage(format!("{}: corrupt log: {damage}; a copy is {copy}", path.display()));
        } else if torn > 0 {
            tracing::info!("{}: cutting {torn} bytes of a write that was not finished", path.display());
            self.shared.state().stats.torn_bytes += torn as u64;
        }
        if torn > 0 {
            log::cut(path, good_len)?;
        }
        Ok(last)
    }

    fn entry(&mut self, sequence: u64, entry: Entry) {
        if sequence <= self.checkpoint {
            return;
        }
        if let Some(id) = entry.batch_id {
            if self.batches.knows(&entry.tenant, id) {
                return;
            }
            let batch = (Arc::clone(&entry.tenant), id, entry.time_ms);
            self.batches.add(batch.clone());
            if entry.time_ms >= now_ms() - BATCH_MEMORY_MS {
                self.new_batches.push(batch);
            }
        }
        let tenant = Arc::clone(&entry.tenant);
        let head = Arc::clone(&self.shared.state().tenants.entry(tenant).or_default().active);
        head.append(&entry.write);
    }
}
