//! The catalog: which blocks exist, up to where the log is in them, which batches were seen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::Error;
use crate::files::Files;
use crate::options::Step;

/// The version this program writes, and the newest it reads.
const CATALOG_VERSION: u64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    file TEXT NOT NULL,
    level INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    first_slot_ms INTEGER NOT NULL,
    last_slot_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    named INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, file)
);
CREATE TABLE IF NOT EXISTS batches (
    tenant TEXT NOT NULL, id BLOB NOT NULL, time_ms INTEGER NOT NULL, PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
";

/// A block's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockRow {
    /// Its identity; 0 before it is inserted.
    pub id: i64,
    pub tenant: Arc<str>,
    /// Its file's name in the tenant's directory.
    pub file: String,
    /// 0: a flushed segment; 1: segments of an hour that goes on; 2: a whole hour.
    pub level: u8,
    pub rows: u64,
    pub bytes: u64,
    pub slot_range_ms: (i64, i64),
    pub created_ms: i64,
    /// Up to which generation of symbols its dictionary has all names.
    pub named: u64,
}

/// An acknowledged batch: tenant, id, when it came.
pub(crate) type Batch = (Arc<str>, [u8; 16], i64);

/// What a flush commits.
#[derive(Debug)]
pub(crate) struct Checkpoint<'a> {
    /// All records up to this number are in blocks.
    pub sequence: u64,
    pub blocks: &'a mut [BlockRow],
    pub batches: &'a [Batch],
    /// Batches that came before this are forgotten.
    pub forget_before_ms: i64,
}

/// The open catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    connection: Connection,
    path: PathBuf,
    files: Files,
}

fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    move |source| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => Error::Full { path: path.display().to_string() },
        _ => Error::Catalog { path: path.display().to_string(), source },
    }
}

impl Catalog {
    pub(crate) fn open(files: &Files) -> Result<Self, Error> {
        let path = files.catalog();
        let open = || {
            let connection = Connection::open(&path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(SCHEMA)?;
            // Catalogs made before names could arrive late; a program of that time ignores the column.
            if connection.prepare("SELECT named FROM blocks LIMIT 0").is_err() {
                connection.execute_batch("ALTER TABLE blocks ADD COLUMN named INTEGER NOT NULL DEFAULT 0")?;
            }
            Ok(connection)
        };
        let connection = open().map_err(failed(&path))?;
        files.own(&path)?;
        let catalog = Self { connection, path, files: files.clone() };
        match catalog.meta("version")? {
            Some(found) if found > CATALOG_VERSION => {
                let path = catalog.path.display().to_string();
                Err(Error::Version { path, found, supported: CATALOG_VERSION })
            }
            Some(_) => Ok(catalog),
            None => {
                let insert = "INSERT INTO meta VALUES ('version', ?1)";
                catalog
                    .connection
                    .execute(insert, [CATALOG_VERSION.cast_signed()])
                    .map_err(failed(&catalog.path))?;
                Ok(catalog)
            }
        }
    }

    fn meta(&self, key: &str) -> Result<Option<u64>, Error> {
        let row = self.connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0));
        let value: Option<i64> = row.optional().map_err(failed(&self.path))?;
        Ok(value.map(i64::cast_unsigned))
    }

    /// All log records up to this number are in blocks.
    pub(crate) fn checkpoint(&self) -> Result<u64, Error> {
        Ok(self.meta("checkpoint")?.unwrap_or(0))
    }

    pub(crate) fn blocks(&self) -> Result<Vec<BlockRow>, Error> {
        let read = || {
            let mut query = self.connection.prepare(
                "SELECT id, tenant, file, level, rows, bytes, first_slot_ms, last_slot_ms, created_ms, named \
                 FROM blocks ORDER BY id",
            )?;
            let rows = query.query_map([], |row| {
                Ok(BlockRow {
                    id: row.get(0)?,
                    tenant: row.get::<_, String>(1)?.into(),
                    file: row.get(2)?,
                    level: row.get(3)?,
                    rows: row.get::<_, i64>(4)?.cast_unsigned(),
                    bytes: row.get::<_, i64>(5)?.cast_unsigned(),
                    slot_range_ms: (row.get(6)?, row.get(7)?),
                    created_ms: row.get(8)?,
                    named: row.get::<_, i64>(9)?.cast_unsigned(),
                })
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(failed(&self.path))
    }

    /// The batches seen, oldest first.
    pub(crate) fn batches(&self) -> Result<Vec<Batch>, Error> {
        let read = || {
            let mut query =
                self.connection.prepare("SELECT tenant, id, time_ms FROM batches ORDER BY time_ms")?;
            let rows =
                query.query_map([], |row| Ok((row.get::<_, String>(0)?.into(), row.get(1)?, row.get(2)?)))?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(failed(&self.path))
    }

    /// Adds the blocks of a flush and moves the checkpoint, in one transaction.
    pub(crate) fn commit_flush(&mut self, checkpoint: Checkpoint<'_>) -> Result<(), Error> {
        self.files.reach(Step::CatalogCommit).map_err(|source| Error::io("commit", &self.path, source))?;
        let commit = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for block in checkpoint.blocks {
                insert(&transaction, block)?;
            }
            let mut batch =
                transaction.prepare_cached("INSERT OR REPLACE INTO batches VALUES (?1, ?2, ?3)")?;
            for (tenant, id, time_ms) in checkpoint.batches {
                batch.execute(params![&**tenant, id, time_ms])?;
            }
            drop(batch);
            transaction.execute("DELETE FROM batches WHERE time_ms < ?1", [checkpoint.forget_before_ms])?;
            transaction.execute(
                "INSERT OR REPLACE INTO meta VALUES ('checkpoint', ?1)",
                [checkpoint.sequence.cast_signed()],
            )?;
            transaction.commit()
        };
        commit(&mut self.connection).map_err(failed(&self.path))
    }

    /// Replaces blocks by one or none, in one transaction; `false` if not all of them exist still.
    pub(crate) fn replace(&mut self, inputs: &[i64], output: Option<&mut BlockRow>) -> Result<bool, Error> {
        self.files.reach(Step::CatalogCommit).map_err(|source| Error::io("commit", &self.path, source))?;
        let commit = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for id in inputs {
                if transaction.execute("DELETE FROM blocks WHERE id = ?1", [id])? != 1 {
                    return Ok(false);
                }
            }
            if let Some(output) = output {
                insert(&transaction, output)?;
            }
            transaction.commit().map(|()| true)
        };
        commit(&mut self.connection).map_err(failed(&self.path))
    }

    /// Notes that symbols up to this generation have no name that these blocks lack.
    pub(crate) fn set_named(&mut self, ids: &[i64], generation: u64) -> Result<(), Error> {
        let commit = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for id in ids {
                transaction.execute(
                    "UPDATE blocks SET named = ?2 WHERE id = ?1",
                    params![id, generation.cast_signed()],
                )?;
            }
            transaction.commit()
        };
        if ids.is_empty() { Ok(()) } else { commit(&mut self.connection).map_err(failed(&self.path)) }
    }

    /// Whether a block is in the catalog.
    pub(crate) fn find(&self, tenant: &str, file: &str) -> Result<Option<i64>, Error> {
        let select = "SELECT id FROM blocks WHERE tenant = ?1 AND file = ?2";
        let row = self.connection.query_row(select, [tenant, file], |row| row.get(0));
        row.optional().map_err(failed(&self.path))
    }
}

fn insert(transaction: &Transaction<'_>, block: &mut BlockRow) -> rusqlite::Result<()> {
    let (first, last) = block.slot_range_ms;
    transaction.execute(
        "INSERT INTO blocks (tenant, file, level, rows, bytes, first_slot_ms, last_slot_ms, created_ms, named) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            &*block.tenant,
            block.file,
            block.level,
            block.rows.cast_signed(),
            block.bytes.cast_signed(),
            first,
            last,
            block.created_ms,
            block.named.cast_signed()
        ],
    )?;
    block.id = transaction.last_insert_rowid();
    Ok(())
}
