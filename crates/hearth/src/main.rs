//! The `hearth` binary: one command for each thing a person wants of a profiler.
//!
//! `up`, `record`, `symbols` and `doctor` live here; `agent` and `server` speak their originals' own command lines
//! and are handed everything that follows them.

mod doctor;
mod record;
mod symbols;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
Examples:
  sudo hearth up                                   profile this host, look at http://localhost:4040
  sudo hearth record -o out.svg -- make -j8        profile one command, draw a flame graph
  sudo hearth record -p 1234 --duration 10s        profile a running process, print the top functions
  hearth agent --config agent.yaml --feature-gates=service.profilesSupport
  hearth server -config.file=/etc/pyroscope.yaml   receive, store, query, draw
  hearth symbols upload target/release/app         names for what was profiled without them
  hearth doctor                                    what this kernel and these privileges allow";

/// Continuous profiler: what burns the CPU, in every process, right now and last Tuesday.
#[derive(Parser)]
#[command(name = "hearth", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Agent, server and UI on this host, in one process
    Up(up::UpArgs),
    /// The agent alone, with the configuration of an OpenTelemetry Collector
    #[command(disable_help_flag = true)]
    Agent(PassedOn),
    /// The server alone, with Pyroscope's flags and YAML
    #[command(disable_help_flag = true)]
    Server(PassedOn),
    /// Profile a command, a process or the whole host now
    Record(record::RecordArgs),
    /// Bring debug information to a server, see what it has
    Symbols(symbols::SymbolsArgs),
    /// What this kernel and these privileges allow, what is degraded and how to fix it
    Doctor(doctor::DoctorArgs),
}

/// Arguments which another grammar reads.
#[derive(Args)]
struct PassedOn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Up(arguments) => up::run(arguments),
        Command::Agent(passed) => {
            let name = OsString::from("hearth agent");
            hearth_agent::cli::main(std::iter::once(name).chain(passed.arguments))
        }
        Command::Server(passed) => hearth_server::cli::main(passed.arguments),
        Command::Record(arguments) => record::run(arguments),
        Command::Symbols(arguments) => symbols::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    }
}
