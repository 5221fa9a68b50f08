//! `/proc/PID/maps`: which files are mapped where.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use hearth_objfile::{FileOffset, ProcessAddress};

/// Mappings read of one process. Four times the kernel's default `vm.max_map_count`.
const ENTRIES_MAX: usize = 262_144;
/// Bytes of one line: a path has at most 4,096, each possibly escaped by four.
const LINE_BYTES_MAX: u64 = 20 * 1024;

/// A range of a process's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// Its first address.
    pub start: ProcessAddress,
    /// Its end, exclusive.
    pub end: ProcessAddress,
    /// Whether it may be executed.
    pub executable: bool,
    /// Where in the file it begins.
    pub file_offset: FileOffset,
    /// Device of the file: major, minor. As the kernel's file system knows it: `stat` shows another
    /// one on btrfs and overlayfs.
    pub device: (u32, u32),
    /// Inode of the file; 0 if there is none.
    pub inode: u64,
    /// The file's path, or a name in brackets (`[vdso]`, `[heap]`), or empty. Without the kernel's
    /// mark of deletion; invalid UTF-8 replaced.
    pub path: String,
    /// Whether the file was deleted or replaced.
    pub deleted: bool,
}

impl MapEntry {
    /// Whether it maps a file that has a path. Memory of `memfd_create` and System V has an inode
    /// but no path.
    pub fn is_file(&self) -> bool {
        self.inode != 0
            && self.path.starts_with('/')
            && !self.path.starts_with("//")
            && !(self.deleted && (self.path.starts_with("/memfd:") || self.path.starts_with("/SYSV")))
    }
}

/// Why a process's mappings cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapsError {
    /// The file cannot be read: the process has ended, or we may not.
    #[error("reading maps of process {pid}: {source}")]
    Io {
        /// Whose.
        pid: u32,
        /// The system's answer.
        source: io::Error,
    },
    /// More mappings than any sane process has.
    #[error("process {pid} has more than {limit} mappings")]
    TooMany {
        /// Whose.
        pid: u32,
        /// Our bound.
        limit: usize,
    },
}

/// Reads all mappings of a process, ascending by address.
///
/// # Errors
///
/// See [`MapsError`]. A process without user memory has no mappings, which is no error.
pub fn read_maps(pid: u32) -> Result<Vec<MapEntry>, MapsError> {
    let io = |source| MapsError::Io { pid, source };
    let file = File::open(super::process_directory(pid).join("maps")).map_err(io)?;
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut entries = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(io)?;
        if count == 0 {
            return Ok(entries);
        }
        if entries.len() >= ENTRIES_MAX {
            return Err(MapsError::TooMany { pid, limit: ENTRIES_MAX });
        }
        // What is left of a line that is too long does not parse.
        entries.extend(parse_maps_line(line.strip_suffix(b"\n").unwrap_or(&line)));
    }
}

/// Parses a line of `/proc/PID/maps`, without its newline; none if it is not of its form.
pub fn parse_maps_line(line: &[u8]) -> Option<MapEntry> {
    // start-end perms offset major:minor inode    path; the path may contain anything.
    let mut rest = line;
    let mut field = || {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail.strip_prefix(b" ").unwrap_or(tail);
        std::str::from_utf8(word).ok()
    };
    let (range, permissions, offset, device, inode) = (field()?, field()?, field()?, field()?, field()?);
    let (start, end) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    if start >= end || permissions.len() != 4 {
        return None;
    }
    let path = unescaped(rest.trim_ascii_start());
    let (path, deleted) = without_deleted_mark(path);
    Some(MapEntry {
        start: ProcessAddress(start),
        end: ProcessAddress(end),
        executable: permissions.as_bytes()[2] == b'x',
        file_offset: FileOffset(u64::from_str_radix(offset, 16).ok()?),
        device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
        inode: inode.parse().ok()?,
        path,
        deleted,
    })
}

/// The kernel writes a newline in a path as `\012`, and nothing else like that.
fn unescaped(path: &[u8]) -> Vec<u8> {
    const ESCAPED_NEWLINE: &[u8] = b"\\012";
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(byte) = rest.first() {
        if let Some(tail) = rest.strip_prefix(ESCAPED_NEWLINE) {
            out.push(b'\n');
            rest = tail;
        } else {
            out.push(*byte);
            rest = &rest[1..];
        }
    }
    out
}

/// A path as the kernel shows it, without the mark of a deleted file, and whether it had one.
pub(super) fn without_deleted_mark(path: Vec<u8>) -> (String, bool) {
    const MARK: &str = " (deleted)";
    let mut path = String::from_utf8_lossy(&path).into_owned();
    let deleted = path.ends_with(MARK);
    if deleted {
        path.truncate(path.len() - MARK.len());
    }
    (path, deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn lines_of_the_kernel_parse() {
        let cases = [
            ("55a0-55b0 r-xp 00002000 fe:01 1234                     /usr/bin/true", 0x55a0, true, 0x2000, (0xfe, 1), 1234, "/usr/bin/true", false, true),
            ("7f00-7f10 rw-p 00000000 00:00 0 ", 0x7f00, false, 0, (0, 0), 0, "", false, false),
            ("7f00-7f10 r-xp 00000000 00:00 0                          [vdso]", 0x7f00, true, 0, (0, 0), 0, "[vdso]", false, false),
            ("7f00-7f10 r-xp 00000000 08:01 5                          /a b/c (deleted)", 0x7f00, true, 0, (8, 1), 5, "/a b/c", true, true),
            ("7f00-7f10 r-xp 00000000 08:01 5                          /new\\012line", 0x7f00, true, 0, (8, 1), 5, "/new\nline", false, true),
            ("7f00-7f10 rwxs 00000000 00:01 9                          /memfd:jit (deleted)", 0x7f00, true, 0, (0, 1), 9, "/memfd:jit", true, false),
            ("7f00-7f10 rw-s 00000000 00:05 9                          //anon", 0x7f00, false, 0, (0, 5), 9, "//anon", false, false),
            ("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]", 0xffff_ffff_ff60_0000, true, 0, (0, 0), 0, "[vsyscall]", false, false),
        ];
        for (line, start, executable, offset, device, inode, path, deleted, is_file) in cases {
            let entry = parse_maps_line(line.as_bytes()).expect(line);
            assert_eq!((entry.start.0, entry.executable, entry.file_offset.0), (start, executable, offset), "{line}");
            assert_eq!((entry.device, entry.inode, entry.path.as_str(), entry.deleted), (device, inode, path, deleted), "{line}");
            assert_eq!(entry.is_file(), is_file, "{line}");
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            " ",
            "-",
            "1-2",
            "1-2 r-xp",
            "2-1 r-xp 0 0:0 0",
            "1-1 r-xp 0 0:0 0",
            "g-2 r-xp 0 0:0 0",
            "1-2 r-x 0 0:0 0",
            "1-2 r-xp 0 0:0 x",
            "1-2 r-xp 0 00 0",
            "1-2 r-xp 11111111111111111 0:0 0",
            "1-2 \u{e9}xx 0 0:0 -1",
        ] {
            assert_eq!(parse_maps_line(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn own_mappings_contain_our_code() {
        let entries = read_maps(std::process::id()).unwrap();
        let here = own_mappings_contain_our_code as *const () as usize as u64;
        let entry = entries.iter().find(|entry| (entry.start.0..entry.end.0).contains(&here)).unwrap();
        assert!(entry.executable && entry.is_file(), "{entry:?}");
        assert_eq!(entry.path, std::env::current_exe().unwrap().to_string_lossy());
        assert!(read_maps(u32::MAX).is_err());
    }
}
