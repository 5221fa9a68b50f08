//! Where symbols are kept: one file per binary, by owner and build ID, within a budget.
//!
//! ```text
//! DIR/symbols/OWNER/BUILD_ID.symbols     what names data; OWNER is a tenant, or @shared
//! DIR/symbols/@incoming/N                what is being received
//! ```
//!
//! What a tenant brings names that tenant's data only: nobody can put names into somebody else's
//! profiles, or learn names by knowing a build ID. What comes from debuginfod is shared.
//!
//! A file is written beside, synced and renamed, so it is there as a whole or not at all. Beyond the
//! budget, files go that were not used for the longest time, of the owner who has most.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use hearth_block::{Code, Frames, Namer};
use hearth_store::Owner;
use hearth_symbolize::index::Limits;

use super::container::{self, Facts, Origin};
use super::index::{self, Brought, Index};
use crate::http::now_ms;

/// The owner of what every tenant may use; no tenant can have this name.
pub(crate) const SHARED: &str = "@shared";
/// Where files are received.
const INCOMING: &str = "@incoming";
const EXTENSION: &str = "symbols";
/// Indexes kept open, each with at most a few hundred kilobytes.
const OPEN_MAX: usize = 128;
/// How often the time of last use is written to the file.
const USE_NOTED: Duration = Duration::from_secs(3600);

/// What the symbols may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of all files together.
    pub total_bytes_max: u64,
    /// Bytes of one file as it is brought.
    pub upload_bytes_max: u64,
}

/// Why symbols were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Whoever brought them brought something wrong.
    #[error("{0}")]
    Wrong(String),
    /// The file is of another binary than was said.
    #[error("the file has build ID {found}, not {claimed}")]
    OtherBinary {
        /// What the file says.
        found: String,
        /// What was said.
        claimed: String,
    },
    /// More than the bounds allow.
    #[error("{0}")]
    TooLarge(String),
    /// The server could not.
    #[error("{0}")]
    Server(String),
}

/// How much there is, of all owners.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files found damaged since the start.
    pub damaged: u64,
}

/// What became of symbols that were brought.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// What is there now.
    pub facts: Arc<Facts>,
    /// Whether that is what was brought; otherwise there was something better.
    pub taken: bool,
}

/// A file of symbols.
#[derive(Debug)]
struct Entry {
    facts: Arc<Facts>,
    path: PathBuf,
    index_bytes: u64,
    bytes: u64,
    /// Milliseconds since the Unix epoch.
    used_ms: AtomicU64,
    /// When that was last written to the file.
    noted_ms: AtomicU64,
    index: Mutex<Option<Arc<Index>>>,
}

#[derive(Debug, Default)]
struct Entries {
    owners: BTreeMap<String, BTreeMap<String, Arc<Entry>>>,
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    owner: Option<Owner>,
    bounds: Bounds,
    entries: RwLock<Entries>,
    generation: AtomicU64,
    /// Held while a file is made and shown, so that generations appear in their order.
    making: Mutex<()>,
    incoming: AtomicU64,
    damaged: AtomicU64,
}

/// A file of symbols that somebody brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'o> {
    /// The file.
    pub incoming: &'o Incoming,
    /// What it says about itself.
    pub brought: &'o Brought,
    /// What its bringer calls it.
    pub name: &'o str,
    /// Who brings it.
    pub origin: Origin,
}

/// A file that is being received; deleted when dropped.
#[derive(Debug)]
pub(crate) struct Incoming {
    path: PathBuf,
}

impl Incoming {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{}: {error}; it is deleted at the next start", self.path.display());
        }
    }
}

impl Shelf {
    /// A shelf in `dir`, empty until [`Self::load`].
    pub(crate) fn new(dir: PathBuf, owner: Option<Owner>, bounds: Bounds) -> Self {
        Self {
            dir,
            owner,
            bounds,
            entries: RwLock::default(),
            generation: AtomicU64::new(0),
            making: Mutex::default(),
            incoming: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
        }
    }

    /// What it may take.
    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Finds what is there. Damaged files are set aside and reported.
    pub(crate) fn load(&self) -> io::Result<()> {
        let incoming = self.dir.join(INCOMING);
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        self.create_dir(&incoming)?;
        let (mut generation, mut found) = (0, Entries::default());
        for owner in list(&self.dir)?.into_iter().filter(|path| path.is_dir() && *path != incoming) {
            let Some(name) = owner.file_name().and_then(|name| name.to_str()) else { continue };
            for path in list(&owner)? {
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("tmp") => fs::remove_file(&path)?,
                    Some(EXTENSION) => match self.entry(&path) {
                        Ok(entry) => {
                            generation = generation.max(entry.facts.arrived);
                            found.bytes += entry.bytes;
                            let of_owner = found.owners.entry(name.to_owned()).or_default();
                            of_owner.insert(entry.facts.build_id.clone(), Arc::new(entry));
                        }
                        Err(reason) => self.set_aside(&path, &reason),
                    },
                    _ => {}
                }
            }
        }
        *self.write() = found;
        self.generation.store(generation, Ordering::Release);
        Ok(())
    }

    fn entry(&self, path: &Path) -> Result<Entry, String> {
        let (facts, index_bytes) = container::read(path)?;
        let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
        let used_ms =
            metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let used_ms = used_ms.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        if path.file_stem().and_then(|stem| stem.to_str()) != Some(&facts.build_id) {
            return Err(format!("is about {}, not what its name says", facts.build_id));
        }
        Ok(Entry {
            facts: Arc::new(facts),
            path: path.to_owned(),
            index_bytes,
            bytes: metadata.len(),
            used_ms: AtomicU64::new(used_ms),
            noted_ms: AtomicU64::new(used_ms),
            index: Mutex::default(),
        })
    }

    fn set_aside(&self, path: &Path, reason: &str) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        let aside = path.with_extension("damaged");
        tracing::error!(
            "{}: {reason}; moved to {}; bring these symbols again",
            path.display(),
            aside.display()
        );
        if let Err(error) = fs::rename(path, &aside) {
            tracing::error!("{}: cannot be moved: {error}", path.display());
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, tenant: &str, build_id: &str) -> Option<(String, Arc<Entry>)> {
        let lower =
            build_id.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| build_id.to_ascii_lowercase());
        let build_id = lower.as_deref().unwrap_or(build_id);
        let entries = self.read();
        let find = |owner: &str| entries.owners.get(owner)?.get(build_id).cloned();
        match find(tenant) {
            Some(entry) => Some((tenant.to_owned(), entry)),
            None => Some((SHARED.to_owned(), find(SHARED)?)),
        }
    }

    /// What is known about a binary of a tenant's data.
    pub(crate) fn facts(&self, tenant: &str, build_id: &str) -> Option<Arc<Facts>> {
        self.find(tenant, build_id).map(|(_, entry)| Arc::clone(&entry.facts))
    }

    /// All that names a tenant's data, with the bytes each takes here; by build ID.
    pub(crate) fn list(&self, tenant: &str) -> Vec<(Arc<Facts>, u64)> {
        let entries = self.read();
        let mut all = BTreeMap::new();
        for owner in [SHARED, tenant] {
            for (build_id, entry) in entries.owners.get(owner).into_iter().flatten() {
                all.insert(build_id.clone(), (Arc::clone(&entry.facts), entry.bytes));
            }
        }
        all.into_values().collect()
    }

    /// How much there is.
    pub(crate) fn totals(&self) -> Totals {
        let entries = self.read();
        let files = entries.owners.values().map(BTreeMap::len).sum::<usize>() as u64;
        Totals { files, bytes: entries.bytes, damaged: self.damaged.load(Ordering::Relaxed) }
    }

    /// Forgets a tenant's own symbols of a binary; whether there were any. Names stay where they are.
    pub(crate) fn delete(&self, tenant: &str, build_id: &str) -> io::Result<bool> {
        let mut entries = self.write();
        let Some(entry) = entries.owners.get_mut(tenant).and_then(|owned| owned.remove(build_id)) else {
            return Ok(false);
        };
        entries.bytes = entries.bytes.saturating_sub(entry.bytes);
        drop(entries);
        fs::remove_file(&entry.path).map(|()| true)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        if let Some(Owner { uid, gid }) = self.owner {
            for dir in [dir, &self.dir] {
                std::os::unix::fs::chown(dir, Some(uid), Some(gid))?;
            }
        }
        sync_dir(&self.dir)?;
        self.dir.parent().map_or(Ok(()), sync_dir)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        if let Some(Owner { uid, gid }) = self.owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        Ok(file)
    }

    /// A file to receive into.
    pub(crate) fn receive(&self) -> io::Result<(Incoming, File)> {
        let number = self.incoming.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(INCOMING).join(number.to_string());
        let file = self.create(&path)?;
        Ok((Incoming { path }, file))
    }

    /// Takes a file that was received. Blocks for as long as reading its debug information takes.
    ///
    /// Where there are better symbols of the same binary already, those stay.
    pub(crate) fn take(&self, owner: &str, offer: &Offer<'_>) -> Result<Kept, Refusal> {
        let brought = offer.brought;
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = self.read().owners.get(owner).and_then(|owned| owned.get(&brought.build_id)).cloned();
        let failed = |error: io::Error| Refusal::Server(format!("cannot keep the symbols: {error}"));
        let dir = self.dir.join(owner);
        self.create_dir(&dir).map_err(failed)?;
        let path = dir.join(&brought.build_id).with_extension(EXTENSION);
        let temporary = path.with_extension("tmp");
        let out = BufWriter::new(self.create(&temporary).map_err(failed)?);
        let made = self.make(&path, out, offer, earlier.as_deref());
        if !matches!(made, Ok(Some(_))) {
            // Absent if it could not be made.
            let _ = fs::remove_file(&temporary);
        }
        match (made?, earlier) {
            (Some(entry), _) => {
                let facts = Arc::clone(&entry.facts);
                self.show(owner, entry);
                Ok(Kept { facts, taken: true })
            }
            (None, Some(earlier)) => Ok(Kept { facts: Arc::clone(&earlier.facts), taken: false }),
            (None, None) => Err(Refusal::Wrong(
                "it names no function: it has neither debug information nor symbols, and no unwind table"
                    .to_owned(),
            )),
        }
    }

    /// Makes the file; `None` if it would be no gain.
    fn make(
        &self,
        path: &Path,
        out: BufWriter<File>,
        offer: &Offer<'_>,
        earlier: Option<&Entry>,
    ) -> Result<Option<Entry>, Refusal> {
        let failed = |error: io::Error| Refusal::Server(format!("cannot keep the symbols: {error}"));
        let Offer { incoming, brought, name, origin } = *offer;
        let limits = Limits { index_bytes_max: self.bounds.total_bytes_max, ..Limits::default() };
        let (summary, mut out) =
            index::write(incoming.path(), brought, &limits, out).map_err(Refusal::Wrong)?;
        let arrived = self.generation().saturating_add(1).max(now_ms().cast_unsigned());
        let facts = Facts {
            build_id: brought.build_id.clone(),
            name: name.chars().take(256).collect(),
            origin,
            arrived,
            file_bytes: brought.bytes,
            ranges: summary.ranges,
            covered_bytes: summary.covered_bytes,
            code: brought.code(earlier.map(|entry| &*entry.facts)),
        };
        if earlier.map_or((false, 0, 0), |entry| entry.facts.rank()) >= facts.rank() {
            return Ok(None);
        }
        container::finish(&mut out, summary.bytes, &facts).map_err(failed)?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes > self.bounds.total_bytes_max {
            let limit = self.bounds.total_bytes_max;
            return Err(Refusal::TooLarge(format!(
                "its symbols take {bytes} bytes; all together may take {limit} (symbols.max-bytes)"
            )));
        }
        file.sync_all().and_then(|()| fs::rename(path.with_extension("tmp"), path)).map_err(failed)?;
        path.parent().map_or(Ok(()), sync_dir).map_err(failed)?;
        self.entry(path).map(Some).map_err(Refusal::Server)
    }

    /// Shows a file that is on the disk, and makes room for it.
    fn show(&self, owner: &str, entry: Entry) {
        let (arrived, build_id) = (entry.facts.arrived, entry.facts.build_id.clone());
        let mut entries = self.write();
        entries.bytes += entry.bytes;
        let before =
            entries.owners.entry(owner.to_owned()).or_default().insert(build_id.clone(), Arc::new(entry));
        entries.bytes -= before.map_or(0, |before| before.bytes);
        while entries.bytes > self.bounds.total_bytes_max {
            let Some(gone) = entries.least_used(owner, &build_id) else { break };
            entries.bytes = entries.bytes.saturating_sub(gone.bytes);
            tracing::info!("{} goes: symbols take more than symbols.max-bytes", gone.path.display());
            if let Err(error) = fs::remove_file(&gone.path) {
                tracing::warn!("{}: {error}", gone.path.display());
            }
        }
        drop(entries);
        self.generation.store(arrived, Ordering::Release);
    }

    /// The open index of a binary.
    fn index(&self, entry: &Entry) -> Option<Arc<Index>> {
        let now = now_ms().cast_unsigned();
        entry.used_ms.store(now, Ordering::Relaxed);
        let mut open = lock(&entry.index);
        if let Some(index) = open.as_ref() {
            return Some(Arc::clone(index));
        }
        match Index::open(&entry.path, entry.index_bytes, &entry.facts) {
            Ok(index) => {
                let index = Arc::new(index);
                *open = Some(Arc::clone(&index));
                drop(open);
                self.note_use(entry, now);
                self.close_some();
                Some(index)
            }
            Err(error) => {
                tracing::warn!("{}: {error}", entry.path.display());
                None
            }
        }
    }

    /// Writes the time of last use to the file, so that a restart knows it.
    fn note_use(&self, entry: &Entry, now: u64) {
        let before = entry.noted_ms.swap(now, Ordering::Relaxed);
        if now.saturating_sub(before) >= u64::try_from(USE_NOTED.as_millis()).unwrap_or(u64::MAX) {
            let noted = File::options().append(true).open(&entry.path);
            // Only the choice of what goes first depends on it.
            let _ = noted.and_then(|file| file.set_modified(SystemTime::now()));
        }
    }

    /// Closes the indexes not used for the longest time beyond the bound.
    fn close_some(&self) {
        let entries = self.read();
        let mut open: Vec<&Arc<Entry>> = entries
            .owners
            .values()
            .flat_map(BTreeMap::values)
            .filter(|entry| entry.index.try_lock().is_ok_and(|index| index.is_some()))
            .collect();
        open.sort_by_key(|entry| entry.used_ms.load(Ordering::Relaxed));
        for entry in open.iter().take(open.len().saturating_sub(OPEN_MAX)) {
            *lock(&entry.index) = None;
        }
    }

    /// Takes damaged symbols out of use.
    fn withdraw(&self, owner: &str, entry: &Arc<Entry>, reason: &str) {
        let mut entries = self.write();
        let owned = entries.owners.get_mut(owner);
        let same = |found: &Arc<Entry>| Arc::ptr_eq(found, entry);
        let Some(owned) = owned.filter(|owned| owned.get(&entry.facts.build_id).is_some_and(same)) else {
            return;
        };
        owned.remove(&entry.facts.build_id);
        entries.bytes = entries.bytes.saturating_sub(entry.bytes);
        drop(entries);
        self.set_aside(&entry.path, reason);
    }
}

impl Entries {
    /// Takes out what was not used for the longest time, of the owner who has most; never the one
    /// just brought.
    fn least_used(&mut self, owner: &str, build_id: &str) -> Option<Arc<Entry>> {
        let others = |name: &str, entry: &Entry| name != owner || entry.facts.build_id != build_id;
        let heaviest = self
            .owners
            .iter()
            .filter(|(name, owned)| owned.values().any(|entry| others(name, entry)))
            .max_by_key(|(_, owned)| owned.values().map(|entry| entry.bytes).sum::<u64>())
            .map(|(name, _)| name.clone())?;
        let owned = self.owners.get_mut(&heaviest)?;
        let oldest = owned
            .values()
            .filter(|entry| others(&heaviest, entry))
            .min_by_key(|entry| entry.used_ms.load(Ordering::Relaxed))
            .map(|entry| entry.facts.build_id.clone())?;
        owned.remove(&oldest)
    }
}

impl Namer for Shelf {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn arrived(&self, tenant: &str, build_id: &str) -> Option<u64> {
        self.facts(tenant, build_id).map(|facts| facts.arrived)
    }

    fn frames(&self, tenant: &str, code: &Code<'_>) -> Option<Frames> {
        let (owner, entry) = self.find(tenant, code.build_id)?;
        match self.index(&entry)?.frames(code) {
            Ok(frames) => frames,
            Err(error) => {
                self.withdraw(&owner, &entry, &error.to_string());
                None
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries of a directory; none if it does not exist.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| entry.map(|entry| entry.path())).collect()
}

/// Makes the names in a directory durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all())
}
