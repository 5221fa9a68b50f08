//! Opening the file a mapping was made from, without trusting whose mapping it is.
//!
//! Two ways. `/proc/PID/map_files/START-END` leads to the very file, whatever its path is now
//! (deleted, replaced, in another mount namespace), but needs `CAP_CHECKPOINT_RESTORE` or
//! `CAP_SYS_ADMIN`. Else the path from `maps`, resolved inside the process's root directory: a
//! container's `/usr/lib/x → /etc/shadow` then means the container's `/etc/shadow`, and `..` ends at
//! its root. The inode must be the mapping's, so that a replaced file is not taken for it.
//!
//! Both ways first make a handle that opens nothing (`O_PATH`) and go on only if it is a regular
//! file: opening a FIFO can block, opening a device can do anything.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use hearth_objfile::ProcessAddress;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::maps::{MapEntry, MapsError, read_maps, without_deleted_mark};

/// Why a mapping's file cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The process has no such mapping (any more).
    #[error("process {pid} has no mapping at {start}")]
    NoMapping {
        /// Whose.
        pid: u32,
        /// Where.
        start: ProcessAddress,
    },
    /// The mapping has no file, or one that can be reached through `map_files` only: memory, or a
    /// file that was deleted or replaced.
    #[error("mapping of {path:?} has no file that can be reached")]
    Unreachable {
        /// As the kernel names it.
        path: String,
    },
    /// Something else is at the path now.
    #[error("{path:?} is not the mapped file (inode {found}, not {expected})")]
    Replaced {
        /// As the process saw it.
        path: String,
        /// The inode there.
        found: u64,
        /// The mapping's.
        expected: u64,
    },
    /// A device, FIFO, socket or directory.
    #[error("{path:?} is no regular file")]
    NotRegular {
        /// As the process saw it.
        path: String,
    },
    /// The process's mappings cannot be read.
    #[error(transparent)]
    Maps(#[from] MapsError),
    /// The system refuses.
    #[error("opening {path:?}: {source}")]
    Io {
        /// What was opened.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl OpenError {
    fn io(path: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Io { path: path.into(), source: errno.into() }
    }
}

/// Opens the file mapped at `start..end` of a process, for reading, and names its path.
///
/// The path is as the process sees it where that is known, else as we see it; without the kernel's
/// mark of deletion. The file is a regular one and the mapping's own. `start` and `end` should be
/// the mapping's exact bounds; a mapping that merely contains `start` is found too, but not if its
/// file was deleted.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open_mapped_file(
    pid: u32,
    start: ProcessAddress,
    end: ProcessAddress,
) -> Result<(File, String), OpenError> {
    match open_map_file(pid, start, end)? {
        Some((file, path)) => Ok((file, seen_from_root(pid, path))),
        None => open_by_path(pid, start),
    }
}

/// Through `map_files`; none if that way is closed (no privilege, no such entry).
fn open_map_file(
    pid: u32,
    start: ProcessAddress,
    end: ProcessAddress,
) -> Result<Option<(File, String)>, OpenError> {
    let link = format!("/proc/{pid}/map_files/{:x}-{:x}", start.0, end.0);
    let Ok(target) = std::fs::read_link(&link) else { return Ok(None) };
    let (path, _) = without_deleted_mark(target.into_os_string().into_vec());
    // The kernel follows this link to the file itself, never by its path.
    let Ok(handle) = rustix::fs::open(&link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        return Ok(None);
    };
    Ok(Some((regular(&handle, &path)?.1, path)))
}

/// By the path in `maps`, inside the process's root.
fn open_by_path(pid: u32, start: ProcessAddress) -> Result<(File, String), OpenError> {
    let entries = read_maps(pid)?;
    let entry = entries
        .into_iter()
        .find(|entry| entry.start <= start && start < entry.end)
        .ok_or(OpenError::NoMapping { pid, start })?;
    if !entry.is_file() || entry.deleted {
        return Err(OpenError::Unreachable { path: entry.path });
    }
    open_under_root(pid, &entry)
}

fn open_under_root(pid: u32, entry: &MapEntry) -> Result<(File, String), OpenError> {
    let root = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&root, flags, Mode::empty()).map_err(OpenError::io(root))?;
    let path = seen_from_root(pid, entry.path.clone());
    let (inode, file) = open_in(root.as_fd(), &path)?;
    if inode != entry.inode {
        return Err(OpenError::Replaced { path, found: inode, expected: entry.inode });
    }
    Ok((file, path))
}

/// Opens a regular file at a path as a process sees it, inside its root directory.
///
/// # Errors
///
/// See [`OpenError`].
pub(crate) fn open_in_root(pid: u32, path: &str) -> Result<File, OpenError> {
    let root = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&root, flags, Mode::empty()).map_err(OpenError::io(root))?;
    Ok(open_in(root.as_fd(), path)?.1)
}

/// Opens a regular file at a path that is resolved as if `root` were `/`; also says its inode.
fn open_in(root: impl AsFd, path: &str) -> Result<(u64, File), OpenError> {
    let relative = path.trim_start_matches('/');
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let handle = rustix::fs::openat2(root, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
        .map_err(OpenError::io(path))?;
    regular(&handle, path)
}

/// Opens for reading what a handle stands for, if it is a regular file; also says its inode.
fn regular(handle: &OwnedFd, path: &str) -> Result<(u64, File), OpenError> {
    let status = rustix::fs::fstat(handle).map_err(OpenError::io(path))?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(OpenError::NotRegular { path: path.to_owned() });
    }
    let own = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(&own, flags, Mode::empty()).map_err(OpenError::io(path))?;
    Ok((status.st_ino, File::from(file)))
}

/// A path as the process sees it. For a process that changed its root directory (`chroot`) but not
/// its mount namespace, the kernel shows paths from our root, so its root is a prefix.
fn seen_from_root(pid: u32, path: String) -> String {
    let Ok(root) = std::fs::read_link(Path::new("/proc").join(pid.to_string()).join("root")) else {
        return path;
    };
    let inside = root.to_str().filter(|root| *root != "/").and_then(|root| path.strip_prefix(root));
    match inside {
        Some(inside) if inside.starts_with('/') => inside.to_owned(),
        _ => path,
    }
}

#[cfg(test)]
mod tests;
