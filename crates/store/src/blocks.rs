//! Blocks on disk: opened when first needed, deleted when the last reader of a replaced one is gone,
//! set aside when damaged.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use hearth_block::{Blob, Block, Error as BlockError, Filter, Point, Row, Series, Source, Summary, merge};
use hearth_profile::Dictionary;

use crate::Error;
use crate::catalog::BlockRow;
use crate::files::{self, Files};
use crate::naming::with_names;
use crate::options::Step;
use crate::shared::Shared;

/// Memory for dictionaries of blocks, all tenants together.
const DICTIONARY_BYTES_MAX: usize = 128 << 20;

/// A block in the catalog.
#[derive(Debug)]
pub(crate) struct StoredBlock {
    pub row: BlockRow,
    pub path: PathBuf,
    reader: OnceLock<Block>,
    shared: Weak<Shared>,
    /// Whether the catalog no longer has it, so that it goes when its last reader does.
    replaced: AtomicBool,
    /// Up to which generation of symbols its dictionary has all names.
    named: AtomicU64,
    build_ids: OnceLock<Box<[String]>>,
}

/// A file that is opened for each read: a store has more blocks than a process may have open files.
struct BlockFile {
    path: PathBuf,
    size: u64,
}

impl Blob for BlockFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; len];
        File::open(&self.path)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

impl StoredBlock {
    pub(crate) fn new(shared: &Arc<Shared>, row: BlockRow) -> Arc<Self> {
        let path = path_of(&shared.files, &row);
        Arc::new(Self {
            path,
            reader: OnceLock::new(),
            shared: Arc::downgrade(shared),
            replaced: AtomicBool::new(false),
            named: AtomicU64::new(row.named),
            build_ids: OnceLock::new(),
            row,
        })
    }

    /// Up to which generation of symbols its dictionary has all names.
    pub(crate) fn named(&self) -> u64 {
        self.named.load(Ordering::Acquire)
    }

    /// Notes that symbols up to this generation have no name that its dictionary lacks.
    pub(crate) fn set_named(&self, generation: u64) {
        self.named.store(generation, Ordering::Release);
    }

    /// The binaries that its stacks mention.
    pub(crate) fn build_ids(&self) -> Result<&[String], BlockError> {
        if let Some(known) = self.build_ids.get() {
            return Ok(known);
        }
        let read = self.checked(self.reader().and_then(Block::build_ids))?;
        Ok(self.build_ids.get_or_init(|| read.into()))
    }

    /// The dictionary as it is on the disk.
    pub(crate) fn stored_dictionary(&self) -> Result<Arc<Dictionary>, BlockError> {
        self.checked(self.reader().and_then(Block::dictionary))
    }

    /// Writes it with another dictionary; see [`Block::rewrite`].
    pub(crate) fn rewrite(
        &self,
        name: &str,
        dictionary: &Dictionary,
        out: Out,
    ) -> Result<(Out, Summary), BlockError> {
        self.checked(self.reader().and_then(|reader| reader.rewrite(name, dictionary, out)))
    }

    /// Lets the file be deleted as soon as nobody reads it.
    pub(crate) fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    fn reader(&self) -> Result<&Block, BlockError> {
        if let Some(reader) = self.reader.get() {
            return Ok(reader);
        }
        let name = self.path.display().to_string();
        let size = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(source) => return Err(BlockError::Io { path: name, source }),
        };
        let block = Block::open(name, Arc::new(BlockFile { path: self.path.clone(), size }))?;
        Ok(self.reader.get_or_init(|| block))
    }

    /// Reports damage, once, before it is passed on.
    fn checked<T>(&self, result: Result<T, BlockError>) -> Result<T, BlockError> {
        if let (Err(error @ BlockError::Corrupt { .. }), Some(shared)) = (&result, self.shared.upgrade()) {
            shared.withdraw(self.row.id, &self.row.tenant, error.to_string());
        }
        result
    }
}

impl Drop for StoredBlock {
    fn drop(&mut self) {
        if !*self.replaced.get_mut() {
            return;
        }
        let allowed = self.shared.upgrade().map_or(Ok(()), |shared| shared.files.reach(Step::BlockDelete));
        let deleted = allowed.map_err(|source| Error::io("delete", &self.path, source));
        if let Err(error) = deleted.and_then(|()| files::delete(&self.path)) {
            tracing::warn!("{error}; it is deleted at the next start");
        }
    }
}

impl Source for StoredBlock {
    fn slot_range_ms(&self) -> (i64, i64) {
        self.row.slot_range_ms
    }

    fn series(&self) -> Result<Arc<[Series]>, BlockError> {
        self.checked(self.reader().and_then(Block::series))
    }

    fn dictionary(&self) -> Result<Arc<Dictionary>, BlockError> {
        let Some(shared) = self.shared.upgrade() else { return self.reader()?.dictionary() };
        let generation = shared.generation();
        let kept = shared.dictionaries().get(self.row.id);
        let (after, dictionary) = match kept {
            Some((named, dictionary)) if named >= generation => return Ok(dictionary),
            Some(kept) => kept,
            None => (self.named(), self.stored_dictionary()?),
        };
        let dictionary = with_names(shared.options.namer.as_ref(), &self.row.tenant, after, dictionary);
        shared.dictionaries().put(self.row.id, generation, &dictionary);
        Ok(dictionary)
    }

    fn rows(&self, filter: &Filter, row: &mut dyn FnMut(Row)) -> Result<(), BlockError> {
        self.checked(self.reader().and_then(|reader| reader.rows(filter, row)))
    }

    fn points(&self, filter: &Filter, point: &mut dyn FnMut(Point)) -> Result<(), BlockError> {
        self.checked(self.reader().and_then(|reader| reader.points(filter, point)))
    }
}

/// Dictionaries read last, up to a bound.
#[derive(Debug, Default)]
pub(crate) struct Dictionaries {
    kept: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    block: i64,
    /// Up to which generation of symbols it has all names.
    named: u64,
    dictionary: Arc<Dictionary>,
    bytes: usize,
}

impl Dictionaries {
    /// A block's dictionary with the generation of symbols up to which it has all names.
    fn get(&mut self, block: i64) -> Option<(u64, Arc<Dictionary>)> {
        let at = self.kept.iter().position(|kept| kept.block == block)?;
        let entry = self.kept.remove(at)?;
        let found = (entry.named, Arc::clone(&entry.dictionary));
        self.kept.push_back(entry);
        Some(found)
    }

    fn put(&mut self, block: i64, named: u64, dictionary: &Arc<Dictionary>) {
        let text: usize = dictionary.strings().map(str::len).sum();
        let entries =
            dictionary.strings().len() * 2 + dictionary.locations().len() * 3 + dictionary.stacks().len();
        let bytes = text + entries * 32;
        if let Some(at) = self.kept.iter().position(|kept| kept.block == block) {
            let newer = self.kept.get(at).is_some_and(|kept| kept.named >= named);
            if newer {
                return;
            }
            self.bytes -= self.kept.remove(at).map_or(0, |kept| kept.bytes);
        }
        if bytes > DICTIONARY_BYTES_MAX {
            return;
        }
        self.bytes += bytes;
        self.kept.push_back(Kept { block, named, dictionary: Arc::clone(dictionary), bytes });
        while self.bytes > DICTIONARY_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }
}

pub(crate) fn path_of(files: &Files, row: &BlockRow) -> PathBuf {
    files.blocks_dir().join(&*row.tenant).join(&row.file)
}

/// What a block is written to.
pub(crate) type Out = BufWriter<File>;

/// Merges sources into a durable block that is not in the catalog yet.
pub(crate) fn write_block(
    shared: &Shared,
    tenant: &Arc<str>,
    sources: &[Arc<dyn Source>],
    level: u8,
    created_ms: i64,
) -> Result<BlockRow, Error> {
    // Sources read from now on have these names at least.
    let named = shared.generation();
    let row = write_durably(shared, tenant, |name, out| merge(name, sources, out))?;
    Ok(BlockRow { level, created_ms, named, ..row })
}

/// Makes a block that `fill` writes durable; its level and history are for the caller to say.
pub(crate) fn write_durably(
    shared: &Shared,
    tenant: &Arc<str>,
    fill: impl FnOnce(&str, Out) -> Result<(Out, Summary), BlockError>,
) -> Result<BlockRow, Error> {
    let files = &shared.files;
    let dir = files.blocks_dir().join(&**tenant);
    files.create_dir(&dir)?;
    let file = format!("{:016x}.block", shared.unique());
    let path = dir.join(&file);
    let temporary = path.with_extension("tmp");
    let write = || {
        files.reach(Step::BlockWrite).map_err(|source| Error::io("write", &temporary, source))?;
        let out = BufWriter::new(files.create(&temporary)?);
        let (out, summary) = fill(&temporary.display().to_string(), out).map_err(Error::of_block)?;
        let synced =
            out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.map_err(|source| Error::io("write", &temporary, source))?;
        let renamed = files.reach(Step::BlockRename).and_then(|()| std::fs::rename(&temporary, &path));
        renamed.map_err(|source| Error::io("rename", &temporary, source))?;
        files::sync_dir(&dir)?;
        Ok(summary)
    };
    match write() {
        Ok(summary) => Ok(BlockRow {
            id: 0,
            tenant: Arc::clone(tenant),
            file,
            level: 0,
            rows: summary.rows,
            bytes: summary.bytes,
            slot_range_ms: summary.slot_range_ms,
            created_ms: 0,
            named: 0,
        }),
        Err(error) => {
            files::delete(&temporary)?;
            files::delete(&path)?;
            Err(error)
        }
    }
}
