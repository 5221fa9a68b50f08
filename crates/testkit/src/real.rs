//! Real programs with a fixed amount of work, and programs that state the grammar of their calls: what
//! lies in `e2e/workloads`, prepared and run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Names of the real programs; `storm` is hundreds of short processes, the others run for seconds.
pub const REAL_PROGRAMS: [&str; 14] = [
    "openssl",
    "xz",
    "zstd",
    "sqlite3",
    "gcc",
    "rustc",
    "rust",
    "python",
    "python-extensions",
    "node",
    "postgres",
    "go",
    "java",
    "storm",
];

/// What the service of each real program is called: this and its name.
pub const SERVICE_PREFIX: &str = "real-";

/// The folder of the workloads.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/workloads")
}

/// The path of a source in `e2e/workloads/programs`.
pub fn program_source(file: &str) -> PathBuf {
    folder().join("programs").join(file)
}

/// Whether a command can be found by its name or path.
pub(crate) fn is_present(command: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$0\"", command])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A real program with its input.
#[derive(Debug)]
pub struct RealProgram {
    name: String,
    folder: TempDir,
}

impl RealProgram {
    /// Makes the input of one of [`REAL_PROGRAMS`].
    ///
    /// # Errors
    ///
    /// Which command is absent, or what went wrong.
    pub fn prepare(name: &str) -> Result<Self, String> {
        let needs = output(&mut script(&["needs", name]))?;
        for command in needs.split_whitespace() {
            if !is_present(command) {
                return Err(format!("{command} is absent"));
            }
        }
        let folder = tempfile::tempdir().map_err(|error| format!("temporary folder: {error}"))?;
        let program = Self { name: name.to_owned(), folder };
        output(&mut program.command("prepare"))?;
        Ok(program)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its processes call their service.
    pub fn service(&self) -> String {
        format!("{SERVICE_PREFIX}{}", self.name)
    }

    /// Does its work once.
    ///
    /// # Errors
    ///
    /// What the program wrote, if it failed.
    pub fn run(&self) -> Result<(), String> {
        let mut command = self.command_to_run();
        let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output();
        checked(&command, output).map(drop)
    }

    /// A command that does its work once, for those who start it themselves.
    pub fn command_to_run(&self) -> Command {
        let mut command = self.command("run");
        command.env("OTEL_SERVICE_NAME", self.service());
        command
    }

    fn command(&self, what: &str) -> Command {
        let mut command = script(&[what, &self.name]);
        command.arg(self.folder.path());
        command
    }
}

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(folder().join("real.sh"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs `command` and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output();
    checked(command, output)
}

fn checked(command: &Command, output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let log = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = log.lines().rev().take(5).collect();
    Err(format!("{command:?}: {}: {}", output.status, last.join(" | ")))
}
