//! Opening a sampled file and reading its ELF header.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;

use hearth_objfile::{ObjectFile, ProcessAddress};
use object::ReadCache;

use super::{Content, FileFacts, Job};
use crate::process;

/// Opens the file a job names and reads its header.
///
/// What is not ELF (a JIT's cache, a Java archive) keeps its path and has no header.
pub(super) fn open(job: &Job) -> Result<FileFacts, String> {
    if job.vdso {
        let image = vdso_image().map_err(|error| error.to_string())?;
        return Ok(facts("[vdso]".into(), Content::Image(image.into())));
    }
    let (start, end) = (ProcessAddress(job.vma_start), ProcessAddress(job.vma_end));
    let opened = process::open_mapped_file(job.pid, start, end).or_else(|error| {
        // The main thread may have ended before the others, and has nothing mapped any more.
        let thread = process::surviving_thread(job.pid).ok_or(error)?;
        process::open_mapped_file(thread, start, end)
    });
    let (file, path) = opened.map_err(|error| error.to_string())?;
    check(job, &file, &path)?;
    Ok(facts(path, Content::File(Arc::new(file))))
}

/// The process may have executed something else meanwhile, with the same addresses, or the file may have
/// been rewritten in place.
fn check(job: &Job, file: &File, path: &str) -> Result<(), String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if let Some(expected) = job.size
        && expected != metadata.len()
    {
        return Err(format!("{path} has {} bytes, the sampled file had {expected}", metadata.len()));
    }
    let changed = u64::from_ne_bytes(metadata.ctime().to_ne_bytes());
    if job.size.is_some() && job.key[1] != 0 && job.key[1] != changed {
        return Err(format!("{path} was changed since it was sampled"));
    }
    Ok(())
}

fn facts(path: String, content: Content) -> FileFacts {
    let object = ObjectFile::parse(&ReadCache::new(content.reader()))
        .inspect_err(|error| tracing::debug!(path, %error, "not an object file"))
        .ok();
    let fingerprint = fingerprint(&content);
    FileFacts { path, fingerprint, object, content: Some(content) }
}

/// Size and checksum of the end, where names of symbols and the section table are. Linkers compute a build ID
/// before they write symbols, and stripping a file keeps it.
fn fingerprint(content: &Content) -> u64 {
    const TAIL_BYTES: u64 = 4096;
    let size = content.len().unwrap_or(0);
    let tail = size.min(TAIL_BYTES);
    let bytes = content.read_range(size - tail, tail, TAIL_BYTES).unwrap_or_default();
    size << 32 | u64::from(crc32fast::hash(&bytes))
}

/// The vDSO, which the kernel maps into every process: read from our own memory.
fn vdso_image() -> io::Result<Vec<u8>> {
    const VDSO_BYTES_MAX: u64 = 1 << 16;
    let mut maps = String::new();
    File::open("/proc/self/maps")?.read_to_string(&mut maps)?;
    let range = maps.lines().find(|line| line.ends_with("[vdso]")).and_then(|line| line.split(' ').next());
    let (start, end) = range
        .and_then(|range| range.split_once('-'))
        .and_then(|(start, end)| {
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
        })
        .ok_or_else(|| io::Error::other("this process has no vDSO"))?;
    let size = end.saturating_sub(start).min(VDSO_BYTES_MAX);
    let mut image = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    File::open("/proc/self/mem")?.read_exact_at(&mut image, start)?;
    Ok(image)
}
