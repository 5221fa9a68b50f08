//! The write-ahead log: numbered files of checksummed records.
//!
//! A record is `length u32 | CRC-32 of all else u32 | sequence number u64 | payload`, after a header
//! of 16 bytes per file. Sequence numbers only grow.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::files::{self, Files};
use crate::options::Step;

/// The version this program writes, and the newest it reads.
const LOG_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"HEARTHWL";
const HEADER_LEN: usize = 16;
const RECORD_HEADER_LEN: usize = 16;
/// A file that is longer is followed by another.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Between two records of a log lie fewer sequence numbers than this, even after failures.
const SEQUENCE_GAP_MAX: u64 = 1 << 32;

/// A record ready to be written.
pub(crate) fn record(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(RECORD_HEADER_LEN + payload.len());
    bytes.extend(len.to_le_bytes());
    bytes.extend(checksum(len, sequence, payload).to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn checksum(len: u32, sequence: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The log file that is written at present.
#[derive(Debug)]
pub(crate) struct Log {
    files: Files,
    file: File,
    path: PathBuf,
    number: u64,
    /// Length of the file up to which all is well.
    len: u64,
    /// Whether anything is written that is not synced.
    dirty: bool,
    /// Why nothing more may be written to this file.
    broken: Option<String>,
}

impl Log {
    /// Creates file `number`.
    pub(crate) fn create(files: &Files, number: u64) -> Result<Self, Error> {
        let path = files.log_dir().join(format!("{number:020}.log"));
        let failed = |source| Error::io("write", &path, source);
        files.reach(Step::LogRotate).map_err(failed)?;
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&LOG_VERSION.to_le_bytes());
        let mut file = files.create(&path)?;
        let written = file.write_all(&header).and_then(|()| file.sync_all()).map_err(failed);
        if let Err(error) = written.and_then(|()| files::sync_dir(&files.log_dir())) {
            // It holds nothing; the next attempt shall find its name free.
            files::delete(&path)?;
            return Err(error);
        }
        Ok(Self {
            files: files.clone(),
            file,
            path,
            number,
            len: HEADER_LEN as u64,
            dirty: false,
            broken: None,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether something was written to this file.
    pub(crate) fn is_used(&self) -> bool {
        self.len > HEADER_LEN as u64
    }

    /// Why nothing can be written.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Appends records and, if `sync`, forces them to the disk. On failure none of them is in the log.
    pub(crate) fn append(&mut self, records: &[u8], sync: bool) -> Result<(), Error> {
        if let Some(reason) = &self.broken {
            return Err(Error::LogFailed { reason: reason.clone() });
        }
        if self.is_used() && self.len + records.len() as u64 > FILE_BYTES_MAX {
            self.rotate()?;
        }
        let written = self.files.reach(Step::LogWrite).and_then(|()| self.file.write_all(records));
        if let Err(source) = written {
            // Cut what was written of it, so that the file stays good.
            if let Err(error) = self.cut() {
                self.broken = Some(format!("{}: {source}; then: {error}", self.path.display()));
            }
            return Err(Error::io("write", &self.path, source));
        }
        self.dirty = true;
        if sync {
            self.sync()?;
        }
        self.len += records.len() as u64;
        Ok(())
    }

    /// Forces everything written to the disk.
    ///
    /// After a failure the system may have dropped what it could not write and would report
    /// success the next time, so this file is never synced again: see [`Self::recover`].
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        if !self.dirty {
            return Ok(());
        }
        if let Err(source) = self.files.reach(Step::LogSync).and_then(|()| self.file.sync_data()) {
            let error = Error::io("sync", &self.path, source);
            self.broken = Some(error.to_string());
            return Err(error);
        }
        self.dirty = false;
        Ok(())
    }

    /// Cuts the file to what is known to be good.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.len)).map(|_| ())
    }

    /// Goes on in a new file.
    pub(crate) fn rotate(&mut self) -> Result<(), Error> {
        self.sync()?;
        *self = Self::create(&self.files, self.number + 1)?;
        Ok(())
    }

    /// After a failure: cuts the file to its good part and goes on in a new one.
    pub(crate) fn recover(&mut self) -> Result<(), Error> {
        let failed = |source| Error::io("cut", &self.path, source);
        self.file.set_len(self.len).and_then(|()| self.file.sync_all()).map_err(failed)?;
        *self = Self::create(&self.files, self.number + 1)?;
        Ok(())
    }
}

/// The log files of a directory with their numbers, oldest first.
pub(crate) fn list(files: &Files) -> Result<Vec<(u64, PathBuf)>, Error> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".log")?.parse().ok();
    let paths = files::list(&files.log_dir())?;
    Ok(paths.into_iter().filter_map(|path| Some((number(&path)?, path))).collect())
}

/// What one log file says.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Sequence numbers and payloads of all good records.
    pub records: Vec<(u64, std::ops::Range<usize>)>,
    /// Length up to the end of the last good record.
    pub good_len: usize,
    /// What is wrong between good records: damage, not a torn write.
    pub damage: Vec<String>,
}

/// Finds all good records of a log file. `after` is the last sequence number before it.
///
/// # Errors
///
/// [`Error::Version`] for a newer format.
pub(crate) fn scan(path: &Path, bytes: &[u8], after: u64) -> Result<Scan, Error> {
    let mut scan = Scan::default();
    let version = bytes.get(8..12).and_then(|version| version.try_into().ok()).map(u32::from_le_bytes);
    match (bytes.get(..8) == Some(&MAGIC), version) {
        (true, Some(found)) if found > LOG_VERSION => {
            let path = path.display().to_string();
            return Err(Error::Version { path, found: found.into(), supported: LOG_VERSION.into() });
        }
        (true, Some(_)) => {}
        // Created but not yet filled when the machine stopped.
        _ if bytes.len() < HEADER_LEN || bytes.iter().all(|&byte| byte == 0) => return Ok(scan),
        _ => scan.damage.push("does not begin as a log file does".into()),
    }
    let (mut at, mut last) = (HEADER_LEN.min(bytes.len()), after);
    scan.good_len = at;
    while at < bytes.len() {
        // Almost always the record is where it should be; otherwise look for the next one.
        let found = (at..bytes.len()).find_map(|start| Some((start, good_record(bytes, start, last)?)));
        let Some((start, (sequence, payload))) = found else { break };
        if start > at {
            scan.damage.push(format!("{} bytes at {at} are no records", start - at));
        }
        at = payload.end;
        last = sequence;
        scan.good_len = at;
        scan.records.push((sequence, payload));
    }
    Ok(scan)
}

/// The record at `start`, if one is there whose number may follow `last`.
fn good_record(bytes: &[u8], start: usize, last: u64) -> Option<(u64, std::ops::Range<usize>)> {
    let header: [u8; RECORD_HEADER_LEN] = bytes.get(start..start + RECORD_HEADER_LEN)?.try_into().ok()?;
    let [l0, l1, l2, l3, c0, c1, c2, c3, sequence @ ..] = header;
    let sequence = u64::from_le_bytes(sequence);
    // The first record of a log may have any number: what came before it is in blocks.
    if sequence <= last || (last > 0 && sequence - last > SEQUENCE_GAP_MAX) {
        return None;
    }
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    let from = start + RECORD_HEADER_LEN;
    let payload = from..from.checked_add(len as usize)?;
    let found = checksum(len, sequence, bytes.get(payload.clone())?);
    (found == u32::from_le_bytes([c0, c1, c2, c3])).then_some((sequence, payload))
}

/// Cuts a torn write off the end of a log file, for good.
pub(crate) fn cut(path: &Path, len: usize) -> Result<(), Error> {
    let cut = || {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len as u64)?;
        file.sync_all()
    };
    cut().map_err(|source| Error::io("cut", path, source))
}
