//! Who a sampled process is, from `/proc`, and the files it runs.
//!
//! ```text
//! stat ─▶ start time, comm, kernel thread?      exe ─▶ executable        cgroup ─▶ container, unit
//! environ ─▶ OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES                 cmdline ─▶ script, jar
//!     └──────────────▶ ProcessInfo {service name, …}
//! maps, map_files, root ─▶ open_mapped_file: the bytes a mapping was made from
//! ```
//!
//! A process chooses almost everything here itself: its command line, environment, names and
//! paths. So every read is bounded, paths are followed inside the process's own root only, and
//! nothing but a regular file is ever opened. What cannot be read (a process that ended, missing
//! privileges) is left out, not an error: a profile without a container ID is still a profile.
//!
//! Reading `cmdline` and `environ` touches the process's memory, which the process may have made
//! slow on purpose. Call from a thread that may wait, never from one that drains samples.
//!
//! # Terms
//!
//! *Kernel thread*: a process without user memory. *Unit*: a systemd service, by its cgroup.
//!
//! Sources: proc(5) and its per-file pages; cgroups(7); OpenTelemetry's resource SDK and
//! environment variable specifications, and its semantic conventions for `process.*`,
//! `container.id` and `service.name`.

mod cgroup;
mod environ;
mod maps;
mod open;
mod service;
mod stat;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

pub use cgroup::{CgroupFacts, parse_cgroup};
pub use environ::{Environment, RESOURCE_ATTRIBUTES_MAX, parse_environ, parse_resource_attributes};
pub use maps::{MapEntry, MapsError, parse_maps_line, read_maps};
pub use open::{OpenError, open_mapped_file};
pub use service::{ServiceNameSource, interpreted_name, kernel_thread_family, service_name};
pub use stat::{Stat, parse_stat};

pub(crate) use open::open_in_root;
pub(crate) use service::base_name;

/// The name all kernel threads share as a service.
pub const KERNEL_SERVICE: &str = "kernel";

const STAT_BYTES_MAX: u64 = 4096;
const CGROUP_BYTES_MAX: u64 = 64 * 1024;
/// Enough for the class path that stands before a Java program's main class.
const COMMAND_LINE_BYTES_MAX: u64 = 64 * 1024;
const ENVIRON_BYTES_MAX: u64 = 128 * 1024;
/// Bytes of the command line that are kept to be shown.
const COMMAND_LINE_SHOWN_MAX: usize = 1024;

/// Identifies a process for as long as the host runs: PIDs are used again, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Process ID in the agent's PID namespace.
    pub pid: u32,
    /// When it started, in clock ticks since the host's start (`stat` field 22).
    pub start_time: u64,
}

/// What is known about a process. Owned: the process may end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Process ID in the agent's PID namespace.
    pub pid: u32,
    /// When it started, in clock ticks since the host's start.
    pub start_time: u64,
    /// Its parent's process ID; 0 if none or outside our PID namespace.
    pub parent_pid: u32,
    /// Its name as the kernel keeps it, at most 15 bytes (more for kernel workers).
    pub comm: String,
    /// Whether it has no user memory.
    pub kernel_thread: bool,
    /// Last part of the executable's path; the comm where the path cannot be read; for kernel
    /// threads their comm without instance numbers ([`kernel_thread_family`]).
    pub executable_name: String,
    /// The executable's path as seen in its mount namespace, without the kernel's mark of
    /// deletion; none for kernel threads and where it cannot be read.
    pub executable_path: Option<String>,
    /// Whether the executable's file was deleted or replaced since it was started.
    pub executable_deleted: bool,
    /// The command line to show, arguments joined by spaces, cut after 1 KiB; empty if unknown.
    pub command_line: String,
    /// The service it belongs to. Never empty. See [`service_name`] for the rule.
    pub service_name: String,
    /// Where the service name comes from.
    pub service_name_source: ServiceNameSource,
    /// ID of the container it runs in.
    pub container_id: Option<String>,
    /// Name of the systemd service it belongs to, without `.service`; none in containers.
    pub systemd_unit: Option<String>,
    /// Paths of its cgroups in all hierarchies, each once; empty if they cannot be read.
    pub cgroups: Vec<String>,
    /// What `OTEL_RESOURCE_ATTRIBUTES` says apart from `service.name`, in its order.
    pub attributes: Vec<(String, String)>,
}

impl ProcessInfo {
    /// Identifies the process.
    pub fn key(&self) -> ProcessKey {
        ProcessKey { pid: self.pid, start_time: self.start_time }
    }
}

/// Reads what `/proc` says about a process; none if it has ended, or ended while it was read.
pub fn read_process(pid: u32) -> Option<ProcessInfo> {
    read_process_under(Path::new("/proc"), pid)
}

/// Identifies the process that has this PID now; none if there is none. Much cheaper than
/// [`read_process`]: use it to see whether a PID was used again.
pub fn read_process_key(pid: u32) -> Option<ProcessKey> {
    let stat = read_stat(&Path::new("/proc").join(pid.to_string()))?;
    Some(ProcessKey { pid, start_time: stat.start_time })
}

fn read_process_under(proc: &Path, pid: u32) -> Option<ProcessInfo> {
    let directory = proc.join(pid.to_string());
    let stat = read_stat(&directory)?;
    let info = if stat.kernel_thread {
        kernel_thread(pid, stat)
    } else {
        // What is left of a main thread that ended before the others tells nothing.
        let alive = stat.zombie.then(|| thread_alive(&directory)).flatten();
        let thread = alive.map(|tid| directory.join("task").join(tid.to_string()));
        user_process(thread.as_deref().unwrap_or(&directory), pid, stat)
    };
    // The same process until the end: its PID may have been given to another one meanwhile.
    let again = read_stat(&directory)?;
    (again.start_time == info.start_time).then_some(info)
}

/// A thread of a process by which its memory and files can be had: the process id itself, else a thread
/// that outlives the main one. None if there is none, or the process is not a zombie.
pub(crate) fn surviving_thread(pid: u32) -> Option<u32> {
    let directory = process_directory(pid);
    read_stat(&directory)?.zombie.then(|| thread_alive(&directory)).flatten()
}

fn thread_alive(directory: &Path) -> Option<u32> {
    const THREADS_MAX: usize = 64;
    let threads = std::fs::read_dir(directory.join("task")).ok()?.take(THREADS_MAX).flatten();
    let mut ids = threads.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|tid| read_stat(&directory.join("task").join(tid.to_string())).is_some_and(|stat| !stat.zombie))
}

/// The inode of the PID namespace a process is in; none if it has ended or may not be asked.
pub(crate) fn pid_namespace(pid: u32) -> Option<u32> {
    let link = std::fs::read_link(process_directory(pid).join("ns/pid")).ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

fn read_stat(directory: &Path) -> Option<Stat> {
    parse_stat(&read_bounded(&directory.join("stat"), STAT_BYTES_MAX).ok()?)
}

fn kernel_thread(pid: u32, stat: Stat) -> ProcessInfo {
    ProcessInfo {
        pid,
        start_time: stat.start_time,
        parent_pid: stat.parent_pid,
        kernel_thread: true,
        executable_name: kernel_thread_family(&stat.comm).to_owned(),
        executable_path: None,
        executable_deleted: false,
        command_line: String::new(),
        service_name: KERNEL_SERVICE.to_owned(),
        service_name_source: ServiceNameSource::Kernel,
        container_id: None,
        systemd_unit: None,
        cgroups: Vec::new(),
        attributes: Vec::new(),
        comm: stat.comm,
    }
}

fn user_process(directory: &Path, pid: u32, stat: Stat) -> ProcessInfo {
    let (executable_path, executable_deleted) = match std::fs::read_link(directory.join("exe")) {
        Ok(path) => {
            let (path, deleted) = maps::without_deleted_mark(path.into_os_string().into_vec());
            (Some(path), deleted)
        }
        Err(_) => (None, false),
    };
    let base_name = executable_path.as_deref().and_then(service::base_name);
    let executable_name = base_name.unwrap_or(&stat.comm).to_owned();
    let read = |name: &str, bytes_max| read_bounded(&directory.join(name), bytes_max).unwrap_or_default();
    let arguments = split_arguments(&read("cmdline", COMMAND_LINE_BYTES_MAX));
    let environment = parse_environ(&read("environ", ENVIRON_BYTES_MAX));
    let cgroup = parse_cgroup(&read("cgroup", CGROUP_BYTES_MAX));
    let (name, source) =
        service_name(&environment, &executable_name, &arguments, cgroup.systemd_unit.as_deref());
    ProcessInfo {
        pid,
        start_time: stat.start_time,
        parent_pid: stat.parent_pid,
        comm: stat.comm,
        kernel_thread: false,
        executable_name,
        executable_path,
        executable_deleted,
        command_line: shown_command_line(&arguments),
        service_name: name,
        service_name_source: source,
        container_id: cgroup.container_id,
        systemd_unit: cgroup.systemd_unit,
        cgroups: cgroup.paths,
        attributes: environment.attributes,
    }
}

/// Reads a file of `/proc`, at most `bytes_max` bytes of it.
fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The arguments of a `cmdline`: ended by NULs. Programs that overwrite theirs to show a title may
/// leave NULs at the end.
pub(crate) fn split_arguments(cmdline: &[u8]) -> Vec<String> {
    let end = cmdline.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return Vec::new();
    }
    cmdline[..end].split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

fn shown_command_line(arguments: &[String]) -> String {
    let mut shown = arguments.join(" ");
    if shown.len() > COMMAND_LINE_SHOWN_MAX {
        let mut end = COMMAND_LINE_SHOWN_MAX;
        while !shown.is_char_boundary(end) {
            end -= 1;
        }
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// The directory of a process under `/proc`.
fn process_directory(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

#[cfg(test)]
mod tests;
