//! The command line, as the Collector's: flags, sub-commands, messages, exit codes.

mod show;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hearth_collector::confmap::{Resolved, set_location};
use hearth_collector::{Gates, Registry, Service};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::{self, Agent, ConfigSource, registry};
use crate::logging;

/// Profiles this host and sends OTLP profiles, configured as the OpenTelemetry eBPF profiler.
#[derive(Debug, Parser)]
#[command(name = "hearth-agent", disable_version_flag = true, args_conflicts_with_subcommands = false)]
struct Cli {
    #[command(flatten)]
    flags: Flags,

    /// Print the version.
    #[arg(short = 'v', long)]
    version: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args, Clone, Debug, Default)]
struct Flags {
    /// Where configuration comes from: a path, file:PATH, env:NAME or yaml:TEXT. Later ones win.
    #[arg(long, global = true, value_name = "SOURCE")]
    config: Vec<String>,

    /// A single key, over all sources: processors.batch.timeout=2s.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Feature gates to switch: +NAME or NAME on, -NAME off, separated by commas.
    #[arg(long, global = true, value_name = "GATES", allow_hyphen_values = true)]
    feature_gates: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration without running it.
    Validate,
    /// List the components.
    Components,
    /// Print the configuration after merging and expansion.
    #[command(alias = "print-initial-config")]
    PrintConfig {
        /// Whether secrets are shown.
        #[arg(long, value_enum, default_value_t = Mode::Redacted)]
        mode: Mode,
        /// Output format.
        #[arg(long, value_enum, default_value_t = Format::Yaml)]
        format: Format,
        /// Check the configuration first.
        #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
        validate: bool,
    },
    /// Show feature gates.
    Featuregate {
        /// Only this one.
        id: Option<String>,
    },
}

/// Whether secrets are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Secrets are replaced.
    Redacted,
    /// Everything is shown.
    Unredacted,
}

/// How a configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

/// Runs the command line; `args` begins with the command's own name.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    match run(cli) {
        Ok(output) => {
            // A closed pipe (`| head`) is the reader's choice.
            let _ = std::io::stdout().write_all(output.as_bytes());
            ExitCode::SUCCESS
        }
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    // Nothing is left to tell the failure to.
    let _ = writeln!(std::io::stderr(), "Error: {message}");
    ExitCode::FAILURE
}

/// Help is an answer; anything else is a mistake of the caller.
fn explain(error: &clap::Error) -> ExitCode {
    if error.exit_code() == 0 {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    fail(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
}

fn run(cli: Cli) -> Result<String, String> {
    if cli.version {
        return Ok(format!("hearth-agent version {}\n", env!("CARGO_PKG_VERSION")));
    }
    let mut gates = Gates::default();
    for flag in &cli.flags.feature_gates {
        gates.apply(flag).map_err(|error| error.to_string())?;
    }
    match cli.command {
        Some(Command::Components) => Ok(show::components(&registry())),
        Some(Command::Featuregate { id }) => show::feature_gates(id.as_deref(), &gates),
        Some(Command::Validate) => {
            let resolved = resolve(&cli.flags, &gates)?;
            validate(&resolved, &gates).map(|()| String::new())
        }
        Some(Command::PrintConfig { mode, format, validate: check }) => {
            let resolved = resolve(&cli.flags, &gates)?;
            if check {
                validate(&resolved, &gates)?;
            }
            Ok(show::config(resolved.config, mode, format))
        }
        None => serve(&cli.flags, &gates).map(|()| String::new()),
    }
}

fn sources(flags: &Flags) -> Result<Vec<ConfigSource>, String> {
    if flags.config.is_empty() {
        return Err("at least one config flag must be provided".into());
    }
    let mut sources: Vec<ConfigSource> = flags.config.iter().map(ConfigSource::location).collect();
    for argument in &flags.set {
        let location = set_location(argument)
            .map_err(|error| format!("invalid argument {argument:?} for \"--set\" flag: {error}"))?;
        sources.push(ConfigSource::location(location));
    }
    Ok(sources)
}

fn resolve(flags: &Flags, gates: &Gates) -> Result<Resolved, String> {
    let resolved = agent::resolve_sources(&sources(flags)?, gates);
    resolved.map_err(|error| agent::Error::Resolve(error).to_string())
}

/// Makes every component and starts none.
fn validate(resolved: &Resolved, gates: &Gates) -> Result<(), String> {
    let config = agent::load(resolved, &registry(), gates).map_err(|error| error.bare())?;
    Service::build(config, agent::build_info()).map_err(|error| error.to_string())?;
    Ok(())
}

fn serve(flags: &Flags, gates: &Gates) -> Result<(), String> {
    let resolved = resolve(flags, gates)?;
    // Read once more when it starts; here only to know how to log.
    let config = agent::load(&resolved, &registry(), gates).map_err(|error| error.to_string())?;
    logging::install(&config.telemetry);
    drop(config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("hearth-agent")
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the async runtime: {error}"))?;
    runtime.block_on(run_until_signal(flags, gates, resolved))
}

fn listen(kind: SignalKind, name: &str) -> Result<Signal, String> {
    signal(kind).map_err(|error| format!("cannot listen for {name}: {error}"))
}

async fn run_until_signal(flags: &Flags, gates: &Gates, resolved: Resolved) -> Result<(), String> {
    let mut terminate = listen(SignalKind::terminate(), "SIGTERM")?;
    let mut interrupt = listen(SignalKind::interrupt(), "SIGINT")?;
    let mut hangup = listen(SignalKind::hangup(), "SIGHUP")?;
    let registry = registry();
    let start = Agent::start_resolved(resolved, gates, &registry);
    let mut agent = tokio::select! {
        started = start => started.map_err(|error| error.to_string())?,
        // Leaving drops what was started; the kernel side goes with its descriptors.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let name = loop {
        tokio::select! {
            _ = terminate.recv() => break "terminated",
            _ = interrupt.recv() => break "interrupt",
            _ = hangup.recv() => agent = reload(agent, flags, gates, &registry).await?,
        }
    };
    tracing::info!(signal = name, "Received signal from OS");
    agent.shutdown().await;
    Ok(())
}

/// SIGHUP: the new configuration if it runs, else the one that ran.
///
/// The Collector exits on a broken configuration; an agent that keeps profiling is the safer choice.
async fn reload(agent: Agent, flags: &Flags, gates: &Gates, registry: &Registry) -> Result<Agent, String> {
    let next = resolve(flags, gates).and_then(|resolved| validate(&resolved, gates).map(|()| resolved));
    let next = match next {
        Ok(next) => next,
        Err(error) => {
            tracing::error!(error, "The new configuration cannot run; the old one keeps running");
            return Ok(agent);
        }
    };
    tracing::warn!("Config updated, restart service");
    let previous = Resolved { config: agent.config().clone(), unset_variables: Vec::new() };
    agent.shutdown().await;
    match Agent::start_resolved(next, gates, registry).await {
        Ok(agent) => Ok(agent),
        Err(error) => {
            tracing::error!(
                error = error.to_string(),
                "The new configuration did not start; going back to the old one"
            );
            Agent::start_resolved(previous, gates, registry).await.map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
