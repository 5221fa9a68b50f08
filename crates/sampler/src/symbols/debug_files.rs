//! Debug information that is not in the executed file: where distributions and compilers put it.
//!
//! Looked for in our own root directory and in that of a process that runs the file, which for a container is
//! another one. Paths come from files of strangers, so they are resolved inside that root and must lead to
//! regular files; what is found must bear the same build ID, or, where there is none, the checksum that the
//! stripped file remembers.

use std::fs::File;
use std::sync::Arc;

use hearth_objfile::ObjectFile;
use hearth_symbolize::index::SplitUnit;
use hearth_symbolize::{ReadAt, headers};

use super::binary::Bytes;
use crate::files::FileFacts;
use crate::process::open_in_root;

/// Longest path in a section that names another file.
const LINK_BYTES_MAX: u64 = 4096;
/// Largest file whose checksum is computed.
const CHECKSUM_BYTES_MAX: u64 = 1 << 30;

/// Root directories to look in: ours, and a process's if it has another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roots {
    pid: Option<u32>,
}

impl Roots {
    pub(super) fn new(pid: Option<u32>) -> Self {
        let root = |of: &str| {
            let status = rustix::fs::stat(format!("/proc/{of}/root/").as_str()).ok()?;
            Some((status.st_dev, status.st_ino))
        };
        let ours = root("self");
        let pid = pid.filter(|pid| {
            let theirs = root(&pid.to_string());
            theirs.is_some() && theirs != ours
        });
        Self { pid }
    }

    /// Opens the first regular file at `path` for which `accept` holds: in the process's root, then in ours.
    fn open(self, path: &str, accept: &dyn Fn(&Bytes) -> bool) -> Option<Bytes> {
        let own = std::process::id();
        self.pid
            .into_iter()
            .chain([own])
            .filter_map(|pid| Bytes::of(Arc::new(open_in_root(pid, path).ok()?)))
            .find(|bytes| accept(bytes))
    }
}

/// The separate debug information of a file.
pub(super) fn separate(facts: &FileFacts, binary: &Bytes, roots: Roots) -> Option<Bytes> {
    let object = facts.object.as_ref()?;
    if let Some(build_id) = &object.build_id {
        let same = |found: &Bytes| has_build_id(found, build_id);
        if let Some(found) = by_build_id(build_id).and_then(|path| roots.open(&path, &same)) {
            return Some(found);
        }
    }
    let (name, checksum) = debug_link(binary, object)?;
    let directory = facts.path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let accept = |found: &Bytes| match &object.build_id {
        Some(build_id) => has_build_id(found, build_id),
        None => checksum_of(found) == Some(checksum),
    };
    [
        format!("{directory}/{name}"),
        format!("{directory}/.debug/{name}"),
        format!("/usr/lib/debug{directory}/{name}"),
    ]
    .iter()
    .filter(|path| **path != facts.path)
    .find_map(|path| roots.open(path, &accept))
}

/// What debug information shares with that of other files.
pub(super) fn supplementary(debug: &Bytes, path: &str, roots: Roots) -> Option<Bytes> {
    let object = ObjectFile::parse(&headers(debug)).ok()?;
    let bytes = section(debug, &object, ".gnu_debugaltlink")?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&bytes[..end]).ok()?;
    let build_id: String = bytes[end + 1..].iter().map(|byte| format!("{byte:02x}")).collect();
    let accept = |found: &Bytes| has_build_id(found, &build_id);
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let named = if name.starts_with('/') { name.to_owned() } else { format!("{directory}/{name}") };
    let base = name.rsplit('/').next().unwrap_or(name);
    by_build_id(&build_id)
        .into_iter()
        .chain([named, format!("/usr/lib/debug/.dwz/{base}")])
        .find_map(|path| roots.open(&path, &accept))
}

/// The package of split units beside a file.
pub(super) fn package(path: &str, roots: Roots) -> Option<Bytes> {
    roots.open(&format!("{path}.dwp"), &|_| true)
}

/// A split unit's own file.
pub(super) fn split(unit: &SplitUnit, roots: Roots) -> Option<Bytes> {
    let path = std::str::from_utf8(&unit.path).ok()?;
    let directory = std::str::from_utf8(&unit.directory).ok()?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    roots.open(&path, &|_| true)
}

fn by_build_id(build_id: &str) -> Option<String> {
    let (first, rest) = build_id.split_at_checked(2)?;
    (!rest.is_empty()).then(|| format!("/usr/lib/debug/.build-id/{first}/{rest}.debug"))
}

fn has_build_id(found: &Bytes, build_id: &str) -> bool {
    ObjectFile::parse(&headers(found)).is_ok_and(|object| object.build_id.as_deref() == Some(build_id))
}

fn section(bytes: &Bytes, object: &ObjectFile, name: &str) -> Option<Vec<u8>> {
    let section = object.section(name)?;
    if section.file_size > LINK_BYTES_MAX {
        return None;
    }
    let mut content = vec![0; usize::try_from(section.file_size).ok()?];
    bytes.read_exact_at(&mut content, section.file_offset.0).ok()?;
    Some(content)
}

/// Name and checksum of the separate file, as the stripped one remembers them.
fn debug_link(bytes: &Bytes, object: &ObjectFile) -> Option<(String, u32)> {
    let content = section(bytes, object, ".gnu_debuglink")?;
    let end = content.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&content[..end]).ok()?;
    let checksum = content.last_chunk()?;
    let checksum =
        if object.little_endian { u32::from_le_bytes(*checksum) } else { u32::from_be_bytes(*checksum) };
    (!name.is_empty() && !name.contains('/')).then(|| (name.to_owned(), checksum))
}

fn checksum_of(bytes: &Bytes) -> Option<u32> {
    const PIECE: usize = 1 << 20;
    if bytes.size() > CHECKSUM_BYTES_MAX {
        return None;
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < bytes.size() {
        let count = usize::try_from(bytes.size() - at).unwrap_or(PIECE).min(PIECE);
        bytes.read_exact_at(&mut piece[..count], at).ok()?;
        hasher.update(&piece[..count]);
        at += count as u64;
    }
    Some(hasher.finalize())
}

/// A file of ours without a name: an index that takes no memory and leaves nothing behind.
pub(super) fn scratch_file() -> Option<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    ["/var/tmp", "/tmp"]
        .iter()
        .find_map(|folder| rustix::fs::open(*folder, flags, Mode::RUSR | Mode::WUSR).ok())
        .map(File::from)
}
