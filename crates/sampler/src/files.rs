//! Files whose code was sampled: opened once, their symbols indexed, found by the id in frames.
//!
//! ```text
//! file event ─▶ opener: open through the process ─▶ reader: parse, index symbols ─▶ FileTable
//!                                                       └─▶ tell the kernel side that the file is known
//! ```
//!
//! Opening must be quick, the process may end any moment; reading may take a while and is done at low
//! priority. Frames already carry the id, so nothing waits for either: names are looked up when a window is
//! collected. A file whose process was gone before it could be opened is asked for again by the kernel
//! side as soon as another process runs it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::maps::{HashMap as BpfHashMap, MapData};
use hearth_objfile::{ElfAddress, FileOffset, ObjectFile, ProcessAddress};
use hearth_symbolize::{FrameSource as _, Limits, SourceFrame, SymbolTable};
use object::ReadCache;

use crate::abi::{self, FileEntry, FileKey};
use crate::process;
use crate::processes::{lock, wait_while};
use crate::sys;

/// The kernel side's map of files.
pub(crate) type FilesMap = BpfHashMap<MapData, FileKey, FileEntry>;

/// Memory of symbol tables above which those least recently used are dropped.
const SYMBOLS_BYTES_MAX: usize = 24 << 20;
/// Bounds of one file's symbols: its owner decides what is in it.
const SYMBOL_LIMITS: Limits = Limits { symbols_max: 2 << 20, names_bytes_max: 128 << 20 };
/// Files kept, well below the 8192 entries of the kernel side's map.
const FILES_MAX: usize = 6144;
/// Files that are open and wait to be read.
const OPENED_MAX: usize = 256;
/// How often a file is tried before it is given up.
const ATTEMPTS_MAX: u32 = 8;

/// A file to open.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: u32,
    pub(crate) pid: u32,
    pub(crate) vma_start: u64,
    pub(crate) vma_end: u64,
    /// Size by which the file is recognised.
    pub(crate) size: Option<u64>,
    /// Its key in the kernel side's map; none if it did not come from there.
    pub(crate) key: Option<FileKey>,
    /// Last component of its path.
    pub(crate) name: String,
}

/// What is known about a file.
#[derive(Debug)]
pub(crate) struct FileFacts {
    /// Its path as its process saw it; its name if it was never opened.
    pub(crate) path: String,
    /// Its ELF header; none if it is not ELF or was never opened.
    pub(crate) object: Option<ObjectFile>,
    symbols: Option<SymbolTable>,
}

impl FileFacts {
    /// The ELF address of a byte of the file.
    pub(crate) fn elf_address(&self, offset: u64) -> Option<ElfAddress> {
        self.object.as_ref()?.elf_address(FileOffset(offset))
    }

    /// Appends the functions at `address`, innermost first.
    pub(crate) fn frames(&self, address: ElfAddress, out: &mut Vec<SourceFrame>) -> bool {
        self.symbols.as_ref().is_some_and(|symbols| symbols.frames(address, out))
    }

    fn memory_bytes(&self) -> usize {
        self.symbols.as_ref().map_or(0, SymbolTable::memory_bytes)
    }
}

#[derive(Debug)]
struct Slot {
    facts: Arc<FileFacts>,
    key: Option<FileKey>,
    /// Not final: another process may give us the file.
    attempts: u32,
    used: u64,
}

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<u32, Slot>,
    /// Names of files that wait to be read.
    waiting: HashMap<u32, String>,
    pending: usize,
    uses: u64,
    /// `uses` at the beginning of the last window and of this one.
    hot_since: [u64; 2],
}

/// All files by id.
#[derive(Debug)]
pub(crate) struct FileTable {
    table: Mutex<Table>,
    idle: Condvar,
    jobs: Mutex<Option<Sender<Job>>>,
}

impl FileTable {
    /// Starts the opener and the reader; `map` is the kernel side's.
    pub(crate) fn spawn(map: FilesMap) -> std::io::Result<(Arc<Self>, [JoinHandle<()>; 2])> {
        let (jobs, to_open) = channel();
        let (opened, to_read) = sync_channel(OPENED_MAX);
        let files =
            Arc::new(Self { table: Mutex::default(), idle: Condvar::new(), jobs: Mutex::new(Some(jobs)) });
        let opener = std::thread::Builder::new().name("hearth-open".into()).spawn(move || {
            open_files(&to_open, &opened);
        })?;
        let shared = Arc::clone(&files);
        let reader = std::thread::Builder::new().name("hearth-files".into()).spawn(move || {
            sys::lower_priority(10);
            shared.read_files(&to_read, map);
        })?;
        Ok((files, [opener, reader]))
    }

    /// Queues a file to be opened.
    pub(crate) fn ask(&self, job: Job) {
        let jobs = lock(&self.jobs);
        let Some(sender) = jobs.as_ref() else { return };
        let mut table = lock(&self.table);
        table.pending += 1;
        table.waiting.insert(job.id, job.name.clone());
        if sender.send(job).is_err() {
            table.pending -= 1;
        }
    }

    /// Whether a file is neither known for good nor about to be read.
    pub(crate) fn wants(&self, id: u32) -> bool {
        let table = lock(&self.table);
        !table.waiting.contains_key(&id) && table.slots.get(&id).is_none_or(|slot| slot.attempts > 0)
    }

    /// The name of a file that waits to be read.
    pub(crate) fn waiting_name(&self, id: u32) -> Option<String> {
        lock(&self.table).waiting.get(&id).cloned()
    }

    /// Lets both threads end when their queues are empty.
    pub(crate) fn stop(&self) {
        lock(&self.jobs).take();
    }

    /// Waits until every queued file was tried, at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        {
            let mut table = lock(&self.table);
            table.hot_since = [table.hot_since[1], table.uses];
        }
        wait_while(&self.idle, lock(&self.table), limit, |table| table.pending > 0);
    }

    /// What is known about a file; none if it has not been tried yet.
    pub(crate) fn get(&self, id: u32) -> Option<Arc<FileFacts>> {
        let mut table = lock(&self.table);
        table.uses += 1;
        let uses = table.uses;
        let slot = table.slots.get_mut(&id)?;
        slot.used = uses;
        Some(Arc::clone(&slot.facts))
    }

    /// Bytes held by symbol tables.
    pub(crate) fn symbols_bytes(&self) -> usize {
        lock(&self.table).slots.values().map(|slot| slot.facts.memory_bytes()).sum()
    }

    /// How many files are known.
    pub(crate) fn len(&self) -> usize {
        lock(&self.table).slots.len()
    }

    /// Reads files until there are no more, the smallest first: a library of a hundred megabytes must not
    /// keep the names of everybody else waiting.
    fn read_files(&self, opened: &Receiver<(Job, Opened)>, mut map: FilesMap) {
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() {
                let Ok(next) = opened.recv() else { return };
                waiting.push(next);
            }
            waiting.extend(opened.try_iter().take(OPENED_MAX.saturating_sub(waiting.len())));
            let sizes = waiting.iter().map(|(job, _): &(Job, Opened)| job.size.unwrap_or(0));
            let Some((smallest, _)) = sizes.enumerate().min_by_key(|(_, size)| *size) else { continue };
            let (job, opened) = waiting.swap_remove(smallest);
            let attempts = match lock(&self.table).slots.get(&job.id) {
                Some(slot) => slot.attempts,
                None => 1,
            };
            if attempts > 0 {
                self.read_file(&job, opened, attempts, &mut map);
            }
            let mut table = lock(&self.table);
            table.pending -= 1;
            table.waiting.remove(&job.id);
            if table.pending == 0 {
                self.idle.notify_all();
                drop(table);
                // Symbol tables are read whole to be sorted: megabytes that are free again now.
                sys::release_memory();
            }
        }
    }

    fn read_file(&self, job: &Job, opened: Opened, attempts: u32, map: &mut FilesMap) {
        let (facts, attempts) = match opened.and_then(Source::read) {
            Ok(facts) => (facts, 0),
            Err(reason) => {
                tracing::debug!(pid = job.pid, file = job.name, %reason, "cannot open a sampled file");
                let facts = FileFacts { path: job.name.clone(), object: None, symbols: None };
                (facts, if attempts < ATTEMPTS_MAX { attempts + 1 } else { 0 })
            }
        };
        if attempts == 0
            && let Some(key) = &job.key
            && let Err(error) = map.insert(key, abi::known_entry(job.id), 0)
        {
            tracing::debug!(%error, "cannot mark a file as known");
        }
        let mut table = lock(&self.table);
        table.uses += 1;
        let used = table.uses;
        table.slots.insert(job.id, Slot { facts: Arc::new(facts), key: job.key, attempts, used });
        evict(&mut table, map);
    }
}

/// Drops the files least recently used while there are too many; the kernel side forgets them too and
/// gives them a new id when they are met again.
fn evict(table: &mut Table, map: &mut FilesMap) {
    let mut bytes: usize = table.slots.values().map(|slot| slot.facts.memory_bytes()).sum();
    while (bytes > SYMBOLS_BYTES_MAX || table.slots.len() > FILES_MAX) && table.slots.len() > 1 {
        let Some((&id, oldest)) = table.slots.iter().min_by_key(|(_, slot)| slot.used) else { return };
        // What the last windows used is needed again at once: dropping it would only mean reading it again.
        let is_hot = oldest.used >= table.hot_since[0];
        if is_hot && bytes <= 3 * SYMBOLS_BYTES_MAX && table.slots.len() <= FILES_MAX {
            return;
        }
        if let Some(slot) = table.slots.remove(&id) {
            bytes -= slot.facts.memory_bytes();
            if let Some(key) = slot.key
                && let Err(error) = map.remove(&key)
            {
                tracing::debug!(%error, "cannot forget a file");
            }
        }
    }
}

/// Where the bytes of a sampled file come from.
enum Source {
    Vdso,
    File(File, String),
}

type Opened = Result<Source, String>;

fn open_files(jobs: &Receiver<Job>, opened: &SyncSender<(Job, Opened)>) {
    while let Ok(job) = jobs.recv() {
        let source = open(&job);
        if opened.send((job, source)).is_err() {
            return;
        }
    }
}

fn open(job: &Job) -> Opened {
    if job.key.as_ref().is_some_and(abi::is_vdso) {
        return Ok(Source::Vdso);
    }
    let (file, path) =
        process::open_mapped_file(job.pid, ProcessAddress(job.vma_start), ProcessAddress(job.vma_end))
            .map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    // The process may have executed something else meanwhile, with the same addresses.
    match job.size {
        Some(expected) if expected != size => {
            Err(format!("{path} has {size} bytes, the sampled file had {expected}"))
        }
        _ => Ok(Source::File(file, path)),
    }
}

impl Source {
    fn read(self) -> Result<FileFacts, String> {
        match self {
            Self::Vdso => {
                let image = vdso_image().map_err(|error| error.to_string())?;
                Ok(facts("[vdso]".into(), image.as_slice()))
            }
            Self::File(file, path) => Ok(facts(path, &ReadCache::new(file))),
        }
    }
}

/// What is not ELF (a JIT's cache, a Java archive) keeps its path and stays without names.
fn facts<'d, R: object::ReadRef<'d>>(path: String, data: R) -> FileFacts {
    match ObjectFile::parse(data) {
        Ok(object) => {
            let symbols = SymbolTable::from_elf_with(data, &SYMBOL_LIMITS)
                .inspect_err(|error| tracing::debug!(path, %error, "no symbols"))
                .ok()
                .filter(|table| {
                    let bytes = table.memory_bytes();
                    if bytes > SYMBOLS_BYTES_MAX {
                        tracing::warn!(
                            path,
                            bytes,
                            "its symbols take too much memory: functions have no names"
                        );
                    }
                    bytes <= SYMBOLS_BYTES_MAX
                });
            FileFacts { path, object: Some(object), symbols }
        }
        Err(error) => {
            tracing::debug!(path, %error, "not an object file");
            FileFacts { path, object: None, symbols: None }
        }
    }
}

/// The vDSO, which the kernel maps into every process: read from our own memory.
fn vdso_image() -> std::io::Result<Vec<u8>> {
    const VDSO_BYTES_MAX: u64 = 1 << 16;
    let mut maps = String::new();
    File::open("/proc/self/maps")?.read_to_string(&mut maps)?;
    let range = maps.lines().find(|line| line.ends_with("[vdso]")).and_then(|line| line.split(' ').next());
    let (start, end) = range
        .and_then(|range| range.split_once('-'))
        .and_then(|(start, end)| {
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
        })
        .ok_or_else(|| std::io::Error::other("this process has no vDSO"))?;
    let size = end.saturating_sub(start).min(VDSO_BYTES_MAX);
    let mut image = vec![0; usize::try_from(size).map_err(std::io::Error::other)?];
    File::open("/proc/self/mem")?.read_exact_at(&mut image, start)?;
    Ok(image)
}
