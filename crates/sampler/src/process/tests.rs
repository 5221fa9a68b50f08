//! Tests of whole processes: real ones, and made-up directories of `/proc`.

use std::process::{Child, Command, Stdio};

use super::*;

/// A process that is ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command and waits until it runs its own program rather than a copy of the test.
fn start(command: &mut Command) -> Running {
    let child = Running(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let own = std::env::current_exe().unwrap();
    for _ in 0..500 {
        let exe = std::fs::read_link(format!("/proc/{}/exe", child.0.id()));
        if exe.is_ok_and(|exe| exe != own) {
            return child;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{command:?} did not start");
}

#[test]
fn a_process_says_who_it_is() {
    let child = start(
        Command::new("sleep")
            .arg("1000")
            .env_clear()
            .env("OTEL_SERVICE_NAME", "shop")
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=ignored,deployment.environment=pr%6fd"),
    );
    let info = read_process(child.0.id()).unwrap();
    assert_eq!(info.pid, child.0.id());
    assert_eq!(info.parent_pid, std::process::id());
    assert_eq!(info.command_line, "sleep 1000");
    assert_eq!(
        (info.service_name.as_str(), info.service_name_source),
        ("shop", ServiceNameSource::Environment)
    );
    assert_eq!(info.attributes, [("deployment.environment".to_owned(), "prod".to_owned())]);
    let path = info.executable_path.clone().unwrap();
    assert_eq!(Some(info.executable_name.as_str()), path.rsplit('/').next());
    assert!(!info.kernel_thread && !info.executable_deleted);
    assert_eq!(read_process_key(child.0.id()), Some(info.key()));
}

#[test]
fn a_script_names_its_interpreter() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("report.sh");
    std::fs::write(&script, "while read line; do :; done\n").unwrap();
    let child = start(Command::new("sh").arg("-u").arg(&script).env_clear());
    let info = read_process(child.0.id()).unwrap();
    assert_eq!(
        (info.service_name.as_str(), info.service_name_source),
        ("report.sh", ServiceNameSource::CommandLine)
    );
}

#[test]
fn a_deleted_executable_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("gone");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let child = start(Command::new(&program).arg("1000").env_clear());
    std::fs::remove_file(&program).unwrap();
    let info = read_process(child.0.id()).unwrap();
    assert_eq!(info.executable_name, "gone");
    assert_eq!(info.executable_path.as_deref(), program.to_str());
    assert!(info.executable_deleted);
}

#[test]
fn an_ended_process_is_none() {
    assert_eq!(read_process(0), None);
    assert_eq!(read_process(u32::MAX), None);
    assert_eq!(read_process_key(u32::MAX), None);
}

#[test]
fn kernel_threads_are_one_service() {
    let Some(info) = read_process(2).filter(|info| info.kernel_thread) else {
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), "skipped: kernel threads are not visible in this PID namespace");
        return;
    };
    assert_eq!((info.service_name.as_str(), info.executable_name.as_str()), ("kernel", "kthreadd"));
    assert_eq!((info.executable_path, info.container_id), (None, None));
}

/// A directory like `/proc/17`, with these files.
fn made_up(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let proc = tempfile::tempdir().unwrap();
    let directory = proc.path().join("17");
    std::fs::create_dir(&directory).unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
    proc
}

const STAT: &[u8] = b"17 (my prog) S 1 17 17 0 -1 4194304 5 0 0 0 1 2 0 0 20 0 3 0 4711 1000 200 1 1";

#[test]
fn what_cannot_be_read_is_left_out() {
    let proc = made_up(&[("stat", STAT)]);
    let info = read_process_under(proc.path(), 17).unwrap();
    assert_eq!((info.executable_name.as_str(), info.service_name.as_str()), ("my prog", "my prog"));
    assert_eq!((info.executable_path, info.container_id, info.command_line.as_str()), (None, None, ""));
    assert_eq!(info.start_time, 4711);
    assert_eq!(read_process_under(made_up(&[("stat", b"nonsense")]).path(), 17), None);
    assert_eq!(read_process_under(made_up(&[]).path(), 17), None);
}

#[test]
fn huge_files_are_read_in_part() {
    let command_line = "a\0".repeat(1 << 20);
    let mut environ = "X=y\0".repeat(1 << 20);
    environ.push_str("OTEL_SERVICE_NAME=too far\0");
    let cgroup = "1:cpu:/\n".repeat(1 << 18);
    let proc = made_up(&[
        ("stat", STAT),
        ("cmdline", command_line.as_bytes()),
        ("environ", environ.as_bytes()),
        ("cgroup", cgroup.as_bytes()),
    ]);
    let info = read_process_under(proc.path(), 17).unwrap();
    assert!(info.command_line.len() <= COMMAND_LINE_SHOWN_MAX + '…'.len_utf8());
    assert!(info.command_line.ends_with('…'));
    assert_eq!(info.service_name, "my prog");
}

#[test]
fn arguments_end_at_the_last_that_is_not_empty() {
    assert_eq!(split_arguments(b""), Vec::<String>::new());
    assert_eq!(split_arguments(b"\0\0"), Vec::<String>::new());
    assert_eq!(split_arguments(b"a\0\0b\0"), ["a", "", "b"]);
    assert_eq!(split_arguments(b"nginx: worker\0\0\0\0"), ["nginx: worker"]);
    assert_eq!(split_arguments(b"\xff"), ["\u{fffd}"]);
}
