//! Development tasks, run as `cargo xtask TASK`.

mod tidy;
mod vm;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
Usage: cargo xtask TASK

Tasks:
  tidy           check the rules of the tree: layers, purity, module docs, where unsafe may stand
  bench [ARGS]   build the release binaries and print the figures of benches/ (needs root for the sampler's)
  bpf [--check]  rebuild the committed BPF objects, or check that a rebuild is identical
  ui [--check]   rebuild the committed ui/dist, or check that a rebuild is identical
  vm [ARGS]      boot kernels of Debian under QEMU and run the tests of kernels there (vm --help)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("tidy") => tidy::run(&root()),
        Some("bench") => bench(rest),
        Some("bpf") => run(Command::new("bpf/build.sh").args(rest)),
        Some("ui") => run(Command::new("ui/build.sh").args(rest)),
        Some("vm") => vm::run(&root(), rest),
        Some("help" | "--help" | "-h") => {
            say(HELP);
            Ok(())
        }
        Some(other) => Err(format!("unknown task {other:?}\n\n{HELP}")),
        None => Err(HELP.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

fn say(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.current_dir(root()).status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

fn bench(arguments: &[String]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    run(Command::new(&cargo).args([
        "build",
        "--release",
        "--package",
        "hearth",
        "--package",
        "hearth-benches",
    ]))?;
    run(Command::new("target/release/hearth-benches").args(arguments))
}
