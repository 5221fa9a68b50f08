//! `hearth agent` with the configuration published for Pyroscope, sending to an OTLP backend that is
//! not ours (the Collector's own decoder, `e2e/otlp-peer`) and to our server.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Server, can_sample, hearth};
use hearth_testkit::{Child, Workload, free_port, say, wait_until};

/// As published, but for the name of the host that receives.
const PUBLISHED: &str = "\
receivers:
  profiling:
    samples_per_second: 97

exporters:
  otlp_grpc:
    endpoint: pyroscope:4040
    tls:
      insecure: true

service:
  pipelines:
    profiles:
      receivers: [profiling]
      exporters: [otlp_grpc]
";

const SERVICE: &str = "hearth-agent-workload";

fn start_agent(folder: &Path, address: &str) -> Child {
    let config = folder.join("collector.yaml");
    fs::write(&config, PUBLISHED.replace("pyroscope:4040", address)).expect("the configuration is written");
    let gate = "--feature-gates=service.profilesSupport";
    Child::spawn(hearth().arg("agent").arg("--config").arg(&config).arg(gate))
}

/// Builds the peer; `None`, said aloud, where there is no Go.
fn build_peer(test: &str, folder: &Path) -> Option<PathBuf> {
    if Command::new("go").arg("version").output().is_err() {
        say(&format!("{test}: skipped: no go to build the Collector's decoder with"));
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/otlp-peer");
    let program = folder.join("otlp-peer");
    let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(&source).output();
    let built = built.expect("go starts");
    assert!(built.status.success(), "go build: {}", String::from_utf8_lossy(&built.stderr));
    Some(program)
}

#[test]
fn the_collectors_own_decoder_understands_what_we_send() {
    let test = "the_collectors_own_decoder_understands_what_we_send";
    let workload = Workload::shares_in_c(SERVICE);
    if !can_sample(test) {
        return;
    }
    let Some(program) = build_peer(test, workload.folder()) else { return };
    let address = format!("127.0.0.1:{}", free_port());
    let lines = workload.folder().join("understood.jsonl");
    let output = fs::File::create(&lines).expect("a file for what the peer understood");
    let peer = Child::spawn_into(Command::new(program).arg(&address), output);
    let _burner = Child::spawn(&mut workload.command(120));
    let mut agent = start_agent(workload.folder(), &address);

    let understood = wait_until(Duration::from_secs(60), || {
        let text = fs::read_to_string(&lines).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|export| export["services"][SERVICE].as_i64().unwrap_or(0) > 50)
    });
    let understood = understood.unwrap_or_else(|| {
        panic!("no export of {SERVICE} understood\nagent:\n{}\npeer:\n{}", agent.log(), peer.log())
    });
    let functions = understood["functions"].as_array().cloned().unwrap_or_default();
    for function in ["main", "hearth_outer", "hearth_a", "hearth_spin"] {
        assert!(functions.iter().any(|name| name == function), "{function} is not in {functions:?}");
    }
    assert!(understood["types"].as_array().is_some_and(|types| types.iter().all(|name| name == "samples")));
    assert_eq!(agent.terminate(), Some(0), "{}", agent.log());
}

#[test]
fn the_published_configuration_and_relabel_rule_give_services_by_executable() {
    if !can_sample("the_published_configuration_and_relabel_rule_give_services_by_executable") {
        return;
    }
    let workload = Workload::shares_in_c(SERVICE);
    let config = workload.folder().join("pyroscope.yaml");
    let rule = "limits:\n  ingestion_relabeling_rules:\n    - action: labelmap\n      regex: ^process.executable.name$\n      replacement: service_name\n";
    fs::write(&config, rule).expect("the configuration is written");
    let data = workload.folder().join("data");
    let config = config.display().to_string();
    let server =
        Server::start("server", &data, &["-self-profiling.disable-push=true", "-config.file", &config]);
    let mut burn = workload.command(120);
    let _burner = Child::spawn(burn.env("OTEL_SERVICE_NAME", "named-by-its-environment"));
    let mut agent = start_agent(workload.folder(), &server.address);
    let values = wait_until(Duration::from_secs(60), || {
        let values = server.self_values(&format!("{{service_name=\"{SERVICE}\"}}"));
        values.iter().any(|(name, _)| name == "hearth_spin").then_some(values)
    });
    assert!(values.is_some(), "the rule did not apply:\n{}\n{}", agent.log(), server.child.log());
    assert_eq!(agent.terminate(), Some(0), "{}", agent.log());
}
