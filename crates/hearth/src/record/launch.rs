//! A command that is recorded from its first instruction.
//!
//! The sampler selects processes by id, so the command's id must exist before sampling starts and
//! the command must not run before it has. This binary starts itself once more; that process stops
//! itself, is continued once the sampler runs, and then becomes the command, with the same id.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_parent_process_death_signal, waitpid,
};

use super::watch::Ending;

/// A command that waits for its release. It is killed if it is dropped before that.
pub(super) struct Launched {
    name: String,
    child: Child,
    released: bool,
}

/// What became of the command.
pub(super) struct Status {
    /// For the caller of hearth.
    pub(super) code: ExitCode,
    /// For people; empty if it succeeded.
    pub(super) note: String,
}

impl Launched {
    /// Starts a process that will become `command`, and waits until it has stopped itself.
    pub(super) fn spawn(command: &[OsString]) -> Result<Self, String> {
        let program = command.first().ok_or("no command was given")?;
        let name = program.to_string_lossy().into_owned();
        find(program)?;
        let child = Command::new("/proc/self/exe")
            .arg0("hearth")
            .args(["record", "--launched", "--"])
            .args(command)
            .spawn()
            .map_err(|error| format!("cannot launch {name}: {error}"))?;
        let launched = Self { name, child, released: false };
        let pid = Pid::from_child(&launched.child);
        let waited = loop {
            match waitpid(Some(pid), WaitOptions::UNTRACED) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other,
            }
        };
        match waited {
            Ok(Some((_, status))) if status.stopped() => Ok(launched),
            Ok(_) => Err(format!("cannot launch {}: the process that was to become it ended", launched.name)),
            Err(error) => Err(format!("cannot launch {}: {error}", launched.name)),
        }
    }

    /// The process id of the command.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets the command run.
    pub(super) fn release(&mut self) -> Result<(), String> {
        kill_process(Pid::from_child(&self.child), Signal::CONT)
            .map_err(|error| format!("cannot continue {}: {error}", self.name))?;
        self.released = true;
        Ok(())
    }

    /// What became of the command after the recording ended.
    pub(super) fn finish(mut self, ending: Ending) -> Result<Status, String> {
        let failed = |error: io::Error| format!("cannot tell how {} ended: {error}", self.name);
        let ended = match ending {
            Ending::Ended => Some(self.child.wait().map_err(failed)?),
            _ => self.child.try_wait().map_err(failed)?,
        };
        let name = &self.name;
        Ok(match ended {
            None => {
                let note = format!("{name} still runs, as process {}\n", self.child.id());
                Status { code: ExitCode::SUCCESS, note }
            }
            Some(status) => {
                let (code, note) = match (status.code(), status.signal()) {
                    (Some(0), _) => (0, String::new()),
                    (Some(code), _) => (code, format!("{name} ended with exit status {code}\n")),
                    (None, signal) => {
                        let signal = signal.unwrap_or(0);
                        (128 + signal, format!("{name} was ended by signal {signal}\n"))
                    }
                };
                Status { code: ExitCode::from(u8::try_from(code).unwrap_or(1)), note }
            }
        })
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if !self.released {
            // It may have ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Stops, and once continued becomes `command`. Runs in the process that [`Launched::spawn`] made.
pub(super) fn become_command(command: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else { return ExitCode::from(2) };
    // Should the recorder be killed, nobody would continue this process.
    let tied = set_parent_process_death_signal(Some(Signal::KILL));
    let stopped = kill_process(getpid(), Signal::STOP);
    let error = match tied.and(stopped).and_then(|()| set_parent_process_death_signal(None)) {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error.into(),
    };
    let _ = writeln!(io::stderr(), "hearth record: cannot run {}: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

/// Finds the file of a command as `execvp` does, so that a typo is told before anything starts.
fn find(program: &OsStr) -> Result<PathBuf, String> {
    let runnable = |path: &Path| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let shown = program.to_string_lossy();
    if shown.contains('/') {
        let path = PathBuf::from(program);
        return match path.metadata() {
            Err(error) => Err(format!("cannot run {shown}: {error}")),
            Ok(_) if runnable(&path) => Ok(path),
            Ok(_) => Err(format!("cannot run {shown}: it is no executable file")),
        };
    }
    let folders = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let found = env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| runnable(path));
    found.ok_or_else(|| format!("cannot run {shown}: not found in PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_run_is_told_before_anything_starts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, "no program").unwrap();
        let problem = |program: &Path| find(program.as_os_str()).unwrap_err();
        assert!(problem(Path::new("hearth-no-such-command")).ends_with("not found in PATH"));
        assert!(problem(&file).ends_with("it is no executable file"), "{}", problem(&file));
        assert!(problem(&folder.path().join("absent")).contains("No such file"));
        assert!(problem(folder.path()).ends_with("it is no executable file"));
        assert!(find(OsStr::new("sh")).unwrap().is_absolute());
    }
}
