//! `hearth symbols`: brings debug information to a server, and lists what it has.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hearth_server::{Remote, RemoteSymbols};

const AFTER_HELP: &str = "\
Profiles of agents that send addresses get names from these files, also profiles stored before. A file is an \
executable or library with debug information, or the separate file of it (objcopy --only-keep-debug); the server \
keeps an index of it, by build ID.

Examples:
  hearth symbols upload target/release/app
  hearth symbols upload --server https://profiles.example.org /usr/lib/debug/.build-id/*/*.debug
  hearth symbols list";

/// Arguments of `hearth symbols`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct SymbolsArgs {
    #[command(subcommand)]
    command: SymbolsCommand,
}

#[derive(Subcommand)]
enum SymbolsCommand {
    /// Send files to the server
    #[command(after_help = AFTER_HELP)]
    Upload {
        #[command(flatten)]
        server: ServerArgs,
        /// Executables, libraries or separate debug files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show what the server has
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Args)]
struct ServerArgs {
    /// Where the server is
    #[arg(long, value_name = "URL", default_value = "http://localhost:4040", env = "HEARTH_SERVER")]
    server: String,

    /// On whose behalf, if the server tells tenants apart
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,

    /// Bearer token, if the server asks for one
    #[arg(long, value_name = "TOKEN", env = "HEARTH_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl ServerArgs {
    fn remote(self) -> Remote {
        Remote { url: self.server, tenant: self.tenant, token: self.token }
    }
}

/// Exit codes: 0 if everything succeeded, else 1.
pub(crate) fn run(arguments: SymbolsArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    match arguments.command {
        SymbolsCommand::Upload { server, files } => runtime.block_on(upload(&server.remote(), &files)),
        SymbolsCommand::List { server } => runtime.block_on(list(&server.remote())),
    }
}

fn fail(problem: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "hearth symbols: {problem}");
    ExitCode::FAILURE
}

async fn upload(remote: &Remote, files: &[PathBuf]) -> ExitCode {
    let mut outcome = ExitCode::SUCCESS;
    for file in files {
        match remote.upload(file).await {
            Ok(kept) => {
                let line = uploaded(&kept);
                let _ = writeln!(std::io::stdout(), "{}: {line}", file.display());
            }
            Err(problem) => outcome = fail(&format!("{}: {problem}", file.display())),
        }
    }
    outcome
}

fn uploaded(kept: &RemoteSymbols) -> String {
    let verdict = if kept.taken { "" } else { "; the server keeps what it had, which is as good" };
    format!("build ID {}, {}{verdict}", kept.build_id, described(kept))
}

fn described(symbols: &RemoteSymbols) -> String {
    let lines = if symbols.lines { " with lines" } else { ", no lines" };
    format!("{} functions{lines}", symbols.functions)
}

async fn list(remote: &Remote) -> ExitCode {
    match remote.list().await {
        Ok(all) => {
            for symbols in &all {
                let RemoteSymbols { build_id, name, origin, bytes, .. } = symbols;
                let kilobytes = bytes.div_ceil(1024);
                let described = described(symbols);
                let _ = writeln!(
                    std::io::stdout(),
                    "{build_id}  {kilobytes:>8} KiB  {origin:<10}  {name}  ({described})"
                );
            }
            ExitCode::SUCCESS
        }
        Err(problem) => fail(&problem),
    }
}
