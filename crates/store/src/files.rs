//! Files that survive a power cut, and belong to whom they should.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{chown, fchown};
use std::path::{Path, PathBuf};

use crate::options::{Owner, Probe, Step};
use crate::{Error, Options};

/// The data directory's layout and the rules for its files.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub root: PathBuf,
    owner: Option<Owner>,
    probe: Option<Probe>,
}

impl Files {
    pub(crate) fn new(options: &Options) -> Self {
        Self { root: options.dir.clone(), owner: options.owner, probe: options.probe.clone() }
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.root.join("wal")
    }

    pub(crate) fn blocks_dir(&self) -> PathBuf {
        self.root.join("blocks")
    }

    pub(crate) fn corrupt_dir(&self) -> PathBuf {
        self.root.join("corrupt")
    }

    pub(crate) fn catalog(&self) -> PathBuf {
        self.root.join("catalog.sqlite")
    }

    /// Says that `step` comes next; a test may make it fail.
    pub(crate) fn reach(&self, step: Step) -> io::Result<()> {
        self.probe.as_ref().map_or(Ok(()), |probe| (probe.0)(step))
    }

    /// Gives a file to its owner.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        let Some(Owner { uid, gid }) = self.owner else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).map_err(|source| Error::io("change the owner of", path, source))
    }

    /// Creates a directory and its parents; each that is new survives a power cut.
    pub(crate) fn create_dir(&self, dir: &Path) -> Result<(), Error> {
        match fs::create_dir(dir) {
            Ok(()) => {
                self.own(dir)?;
                sync_dir(dir.parent().unwrap_or(Path::new(".")))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    Some(parent) => {
                        self.create_dir(parent)?;
                        self.create_dir(dir)
                    }
                    None => Err(Error::io("create", dir, error)),
                }
            }
            Err(error) => Err(Error::io("create", dir, error)),
        }
    }

    /// Creates a file that must not exist.
    pub(crate) fn create(&self, path: &Path) -> Result<File, Error> {
        let failed = |source| Error::io("create", path, source);
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        if let Some(Owner { uid, gid }) = self.owner {
            fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
        }
        Ok(file)
    }

    /// Moves a damaged file to `corrupt/`, where people may look at it; returns where it is now.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<PathBuf, Error> {
        let dir = self.corrupt_dir();
        self.create_dir(&dir)?;
        let to = self.free_name(path);
        fs::rename(path, &to).map_err(|source| Error::io("move aside", path, source))?;
        sync_dir(&dir)?;
        if let Some(parent) = path.parent() {
            sync_dir(parent)?;
        }
        Ok(to)
    }

    /// Copies a file that is still needed to `corrupt/`.
    pub(crate) fn copy_aside(&self, path: &Path) -> Result<PathBuf, Error> {
        self.create_dir(&self.corrupt_dir())?;
        let to = self.free_name(path);
        fs::copy(path, &to).map_err(|source| Error::io("copy aside", path, source))?;
        self.own(&to)?;
        Ok(to)
    }

    fn free_name(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dir = self.corrupt_dir();
        let candidates = (1..).map(|number| dir.join(format!("{name}.{number}")));
        std::iter::once(dir.join(&name)).chain(candidates).find(|to| !to.exists()).unwrap_or(dir)
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| Error::io("sync", dir, source))
}

/// Deletes a file; that it does not exist is fine.
pub(crate) fn delete(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("delete", path, error)),
        _ => Ok(()),
    }
}

/// Entries of a directory, sorted; none if it does not exist.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::io("list", dir, source);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    paths.sort_unstable();
    Ok(paths)
}
