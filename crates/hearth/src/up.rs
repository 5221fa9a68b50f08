//! `hearth up`: agent, server and UI of one host in one process.
//!
//! The two halves meet on the wire, over loopback, exactly as they would on two machines: the agent's
//! pipeline ends in an `otlp_grpc` exporter that sends to this server.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hearth_agent::{Agent, ConfigSource};
use hearth_collector::Gates;
use hearth_server::{Config, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

const AFTER_HELP: &str = "\
Needs root, or the capabilities that `hearth doctor` lists. Stops on Ctrl-C; what was sampled stays in the data \
folder and is there again after the next start. The same port takes OTLP profiles of other agents and answers \
Pyroscope's query API.

Examples:
  sudo hearth up
  sudo hearth up --listen 0.0.0.0:4040 --data /var/lib/hearth
  sudo hearth up --samples-per-second 20 --agent-config extra.yaml";

/// Arguments of `hearth up`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct UpArgs {
    /// Folder where profiles are kept; made if absent
    #[arg(long, value_name = "DIR", default_value = "./hearth-data")]
    data: PathBuf,

    /// Where the UI and the APIs listen; beyond loopback nothing asks for a password
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4040")]
    listen: String,

    /// Samples per second on each CPU, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 97, value_parser = clap::value_parser!(u32).range(1..=1000))]
    samples_per_second: u32,

    /// Collector configuration merged over the built-in one; may be repeated
    #[arg(long, value_name = "FILE")]
    agent_config: Vec<PathBuf>,

    /// Server configuration in Pyroscope's YAML
    #[arg(long, value_name = "FILE")]
    server_config: Option<PathBuf>,
}

/// Runs until a signal asks to stop.
pub(crate) fn run(arguments: UpArgs) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // Fails only if logging is set up already, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))
        .and_then(|runtime| {
            let outcome = runtime.block_on(serve(&arguments));
            runtime.shutdown_timeout(Duration::from_millis(200));
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "hearth up: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &UpArgs) -> Result<(), String> {
    let mut stop = [watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?];
    let server = start_server(arguments).await?;
    let address = server.local_addr();
    let agent = match start_agent(arguments, address).await {
        Ok(agent) => agent,
        Err(problem) => {
            // The server holds nothing yet; its own outcome would only hide the cause.
            let _ = server.shutdown().await;
            return Err(problem);
        }
    };
    announce(arguments, address);
    let [interrupt, terminate] = &mut stop;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    // The agent first: its last samples are still to arrive.
    agent.shutdown().await;
    server.shutdown().await.map_err(|error| error.to_string())
}

fn watch(kind: SignalKind) -> Result<Signal, String> {
    signal(kind).map_err(|error| format!("cannot watch for signals: {error}"))
}

async fn start_server(arguments: &UpArgs) -> Result<Server, String> {
    let mut flags: Vec<OsString> = vec!["--data".into(), arguments.data.clone().into()];
    flags.extend(["--listen".into(), arguments.listen.clone().into()]);
    if let Some(file) = &arguments.server_config {
        flags.extend(["-config.file".into(), file.clone().into()]);
    }
    let config = Config::from_args(flags).map_err(|error| error.to_string())?;
    Server::start(config).await.map_err(|error| error.to_string())
}

async fn start_agent(arguments: &UpArgs, server: SocketAddr) -> Result<Agent, String> {
    let mut sources = vec![ConfigSource::yaml(&built_in_config(arguments.samples_per_second, server))];
    let files = arguments.agent_config.iter();
    sources.extend(files.map(|file| ConfigSource::location(format!("file:{}", file.display()))));
    Agent::start(sources, Gates::with_profiles()).await.map_err(|error| error.to_string())
}

/// The agent's configuration: sample this host, send to this server, keep what it refuses for a while.
fn built_in_config(samples_per_second: u32, server: SocketAddr) -> String {
    format!(
        "
receivers:
  profiling:
    samples_per_second: {samples_per_second}
exporters:
  otlp_grpc:
    endpoint: \"{}\"
    compression: none
    tls:
      insecure: true
service:
  telemetry:
    logs:
      level: warn
    metrics:
      level: none
  pipelines:
    profiles:
      receivers: [profiling]
      exporters: [otlp_grpc]
",
        reachable(server)
    )
}

/// Where this host reaches a socket that listens on `address`: an unspecified address is reached by
/// loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn announce(arguments: &UpArgs, address: SocketAddr) {
    let shown = reachable(address);
    let host = if shown.ip().is_loopback() { "localhost".to_owned() } else { shown.ip().to_string() };
    let _ = writeln!(
        std::io::stdout(),
        "Hearth {} is up: http://{host}:{}\n  sampling  every process of this host, {} times a second on each CPU\n  \
         data      {}\n  stop      Ctrl-C",
        env!("CARGO_PKG_VERSION"),
        shown.port(),
        arguments.samples_per_second,
        arguments.data.display(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn an_unspecified_address_is_reached_by_loopback() {
        let cases = [
            ("0.0.0.0:4040",   "127.0.0.1:4040"),
            ("[::]:4040",      "[::1]:4040"),
            ("10.1.2.3:80",    "10.1.2.3:80"),
        ];
        for (listening, want) in cases {
            let listening: SocketAddr = listening.parse().expect("an address");
            assert_eq!(reachable(listening).to_string(), want);
        }
    }
}
