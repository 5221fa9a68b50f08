//! The `hearth-agent` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    hearth_agent::cli::main(std::env::args_os())
}
