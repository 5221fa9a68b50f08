//! Tests of opening what other processes map: real processes, some of which try to escape.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;

fn skipped(why: &str) {
    let _ = writeln!(std::io::stdout(), "skipped: {why}");
}

/// A process that is ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first executable mapping of a file that `path` ends with, once the process runs it.
fn mapping_of(pid: u32, path: &str) -> Option<MapEntry> {
    for _ in 0..500 {
        let found =
            read_maps(pid).ok()?.into_iter().find(|entry| entry.executable && entry.path.ends_with(path));
        if found.is_some() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    None
}

fn contents(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A statically linked program that waits; none if it cannot be built.
fn waiting_program(folder: &Path) -> Option<PathBuf> {
    let (source, program) = (folder.join("wait.c"), folder.join("waiting"));
    std::fs::write(&source, "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n").unwrap();
    let status =
        Command::new("cc").arg("-static").arg("-o").arg(&program).arg(&source).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Some(program),
        _ => {
            skipped("cc cannot link statically here");
            None
        }
    }
}

#[test]
fn the_own_executable_is_opened() {
    let own = std::env::current_exe().unwrap();
    let entry = mapping_of(std::process::id(), &own.to_string_lossy()).unwrap();
    let (mut file, path) = open_mapped_file(std::process::id(), entry.start, entry.end).unwrap();
    assert_eq!(path, own.to_string_lossy());
    assert_eq!(contents(&mut file), std::fs::read(&own).unwrap());
    // Without map_files, by the path.
    let (mut file, path) = open_by_path(std::process::id(), entry.start).unwrap();
    assert_eq!(path, own.to_string_lossy());
    assert_eq!(contents(&mut file).len() as u64, own.metadata().unwrap().len());
}

#[test]
fn what_is_not_mapped_or_has_no_file_is_refused() {
    let pid = std::process::id();
    let refused =
        |start: u64| open_mapped_file(pid, ProcessAddress(start), ProcessAddress(start + 4096)).unwrap_err();
    assert!(matches!(refused(0x1000), OpenError::NoMapping { .. }));
    let stack = read_maps(pid).unwrap().into_iter().find(|entry| entry.path == "[stack]").unwrap();
    assert!(matches!(refused(stack.start.0), OpenError::Unreachable { .. }));
    assert!(matches!(
        open_mapped_file(u32::MAX, ProcessAddress(0), ProcessAddress(1)).unwrap_err(),
        OpenError::Maps(_)
    ));
}

#[test]
fn a_deleted_executable_is_reached_through_map_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("gone");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let child = Running(Command::new(&program).arg("1000").spawn().unwrap());
    let pid = child.0.id();
    let entry = mapping_of(pid, "/gone").unwrap();
    std::fs::remove_file(&program).unwrap();
    // Something else is put in its place.
    std::fs::write(&program, "other").unwrap();
    assert!(matches!(open_by_path(pid, entry.start), Err(OpenError::Unreachable { .. })));
    match open_mapped_file(pid, entry.start, entry.end) {
        Ok((mut file, path)) => {
            assert_eq!(contents(&mut file), std::fs::read("/bin/sleep").unwrap());
            assert_eq!(path, program.to_string_lossy(), "without the mark of deletion");
        }
        Err(OpenError::Unreachable { .. }) => skipped("no privilege to read map_files"),
        Err(error) => panic!("{error}"),
    }
}

/// Starts `program` in a mount namespace of its own, where `root` is the root directory.
fn start_in_root(root: &Path, program: &str, own_namespace: bool) -> Option<Running> {
    let mut command = if own_namespace {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "chroot"]);
        command
    } else {
        Command::new("chroot")
    };
    let child = command.arg(root).arg(program).stderr(Stdio::null()).spawn().ok()?;
    let mut child = Running(child);
    std::thread::sleep(std::time::Duration::from_millis(100));
    match child.0.try_wait() {
        Ok(None) => Some(child),
        _ => {
            skipped("chroot is not allowed here");
            None
        }
    }
}

#[test]
fn paths_are_those_of_the_process_in_another_root() {
    for own_namespace in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let Some(program) = waiting_program(folder.path()) else { return };
        let Some(child) = start_in_root(folder.path(), "/waiting", own_namespace) else { return };
        let pid = child.0.id();
        let entry = mapping_of(pid, "/waiting").unwrap();
        let want = std::fs::read(&program).unwrap();
        for opened in [open_mapped_file(pid, entry.start, entry.end), open_by_path(pid, entry.start)] {
            let (mut file, path) = opened.unwrap();
            assert_eq!(path, "/waiting", "own namespace: {own_namespace}");
            assert_eq!(contents(&mut file), want);
        }
    }
}

#[test]
fn links_and_dots_end_at_the_processs_root() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "outside").unwrap();
    let root = tempfile::tempdir().unwrap();
    let inside = root.path();
    std::fs::create_dir(inside.join("sub")).unwrap();
    std::fs::write(inside.join("secret"), "inside").unwrap();
    symlink("/secret", inside.join("absolute")).unwrap();
    symlink("../../../../../../secret", inside.join("sub/relative")).unwrap();
    symlink(outside.path().join("secret"), inside.join("out")).unwrap();
    symlink("/proc/self/root/etc/passwd", inside.join("magic")).unwrap();
    symlink("loop", inside.join("loop")).unwrap();

    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(inside, flags, Mode::empty()).unwrap();
    let opened = |path: &str| open_in(handle.as_fd(), path).map(|(_, mut file)| contents(&mut file));
    for path in ["/secret", "/absolute", "/sub/relative", "/../../secret", "//secret"] {
        assert_eq!(opened(path).unwrap(), b"inside", "{path}");
    }
    for path in ["/out", "/magic", "/loop", "/missing", ""] {
        assert!(matches!(opened(path), Err(OpenError::Io { .. })), "{path}");
    }
    // A link of /proc that leads out of any root is not followed even where /proc is visible.
    let host = rustix::fs::open("/", flags, Mode::empty()).unwrap();
    assert!(open_in(host.as_fd(), "/proc/self/root/etc/passwd").is_err());
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    if !Command::new("mkfifo").arg(&fifo).status().is_ok_and(|status| status.success()) {
        skipped("no mkfifo");
        return;
    }
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let host = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let paths = [
        fifo.clone(),
        folder.path().join("socket"),
        folder.path().into(),
        "/dev/null".into(),
        "/dev/tty".into(),
    ];
    for path in paths {
        // A FIFO nobody writes to would block for ever if it were opened.
        let error = open_in(host.as_fd(), path.to_str().unwrap()).unwrap_err();
        assert!(
            matches!(error, OpenError::NotRegular { .. } | OpenError::Io { .. }),
            "{}: {error}",
            path.display()
        );
    }
}

#[test]
fn a_replaced_file_is_not_taken_for_the_mapped_one() {
    let own = std::env::current_exe().unwrap();
    let entry = mapping_of(std::process::id(), &own.to_string_lossy()).unwrap();
    let replaced = MapEntry { inode: entry.inode + 1, ..entry };
    let error = open_under_root(std::process::id(), &replaced).unwrap_err();
    assert!(matches!(error, OpenError::Replaced { .. }), "{error}");
}
