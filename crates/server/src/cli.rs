//! The command line of `hearth server`.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::{Config, ConfigError, Server};

/// Runs the server until it is told to stop. `args` does not contain the program's name.
///
/// Exit codes: 0 after a stop by signal, 1 if it cannot run, 2 for a wrong configuration.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let config = match Config::from_args(args) {
        Ok(config) => config,
        Err(ConfigError::Help) => {
            let _ = write!(std::io::stdout(), "{}", Config::help());
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error.to_string(), 2),
    };
    let level = config.log_level.parse().unwrap_or(LevelFilter::INFO);
    // Fails only if the program that embeds this has set up logging of its own.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}"), 1),
    };
    let result = runtime.block_on(run(config));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message, 1),
    }
}

async fn run(config: Config) -> Result<(), String> {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (mut terminate, mut interrupt) =
        (terminate.map_err(|error| error.to_string())?, interrupt.map_err(|error| error.to_string())?);
    let server = Server::start(config).await.map_err(|error| error.to_string())?;
    let _ = writeln!(std::io::stderr(), "Hearth is ready: http://{}", server.local_addr());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    server.shutdown().await.map_err(|error| error.to_string())
}

fn fail(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "hearth server: {message}");
    ExitCode::from(code)
}
