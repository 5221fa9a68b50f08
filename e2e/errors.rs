//! The error paths a person meets: each one clear message that names the thing and what to do.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::fs;
use std::net::TcpListener;

use common::hearth;

/// Runs `hearth` with `arguments`; expects failure and every text of `wants` in what it printed.
fn check_refused(arguments: &[&str], wants: &[&str]) {
    let output = hearth().args(arguments).output().expect("the binary starts");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{arguments:?} was accepted:\n{text}");
    assert!(!text.contains("panicked"), "{arguments:?} panicked:\n{text}");
    for want in wants {
        assert!(text.contains(want), "{arguments:?}: {want:?} is not in:\n{text}");
    }
}

fn agent_config(folder: &std::path::Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("the configuration is written");
    path.display().to_string()
}

#[test]
fn wrong_agent_configurations_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = "receivers:\n  profiling:\nexporters:\n  otlp_grpc:\n    endpoint: localhost:4040\n    tls:\n      insecure: true\n\
                service:\n  pipelines:\n    profiles:\n      receivers: [profiling]\n      exporters: [otlp_grpc]\n";
    let gate = "--feature-gates=service.profilesSupport";
    let cases: [(&str, String, &[&str]); 6] = [
        ("unknown key", good.replace("endpoint:", "endpoit:"), &["invalid keys: endpoit"]),
        (
            "no endpoint",
            good.replace("    endpoint: localhost:4040\n", ""),
            &["exporters::otlp_grpc", "requires a non-empty \"endpoint\""],
        ),
        (
            "wrong type",
            good.replace("profiling:\n", "profiling:\n    samples_per_second: many\n"),
            &["samples_per_second"],
        ),
        (
            "out of range",
            good.replace("profiling:\n", "profiling:\n    samples_per_second: 0\n"),
            &["samples_per_second"],
        ),
        (
            "unknown component",
            good.replace("otlp_grpc", "carrier_pigeon"),
            &["unknown type: \"carrier_pigeon\""],
        ),
        ("not YAML", "receivers: [".to_owned(), &["not-YAML.yaml"]),
    ];
    for (case, text, wants) in cases {
        let path = agent_config(folder.path(), &format!("{}.yaml", case.replace(' ', "-")), &text);
        check_refused(&["agent", "--config", &path, gate], wants);
    }
    let path = agent_config(folder.path(), "good.yaml", good);
    check_refused(
        &["agent", "--config", &path],
        &[
            "profiling signal support is at alpha level, gated under the \"service.profilesSupport\" feature gate",
        ],
    );
    check_refused(&["agent"], &["at least one config flag must be provided"]);
    check_refused(&["agent", "--config", "/does/not/exist.yaml", gate], &["/does/not/exist.yaml"]);
    let validated = hearth().args(["agent", "validate", "--config", &path, gate]).output().expect("runs");
    assert!(validated.status.success() && validated.stdout.is_empty(), "{validated:?}");
}

#[test]
fn wrong_server_settings_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data").display().to_string();
    let taken =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr().map(|at| (listener, at)));
    let (_listener, address) = taken.expect("a port");
    let bad = agent_config(folder.path(), "server.yaml", "limits:\n  ingestion_relabelling_rules: []\n");
    check_refused(
        &["server", "--data", &data, "--listen", &address.to_string()],
        &[&address.to_string(), "in use"],
    );
    check_refused(&["server", "--data", &data, "-config.file", &bad], &["ingestion_relabelling_rules"]);
    check_refused(&["server", "-config.file", "/does/not/exist.yaml"], &["/does/not/exist.yaml"]);
    check_refused(&["server", "--no-such-flag"], &["no-such-flag"]);
    check_refused(&["server", "--listen", "localhost:notaport"], &["localhost:notaport"]);
    check_refused(&["up", "--samples-per-second", "0"], &["samples-per-second", "1"]);
    check_refused(&["record", "-o", "out.xyz", "--", "true"], &["out.xyz", ".folded", ".pb.gz", ".svg"]);
    check_refused(&["record"], &["-p", "-a"]);
    check_refused(&["record", "-p", "4294967"], &["4294967"]);
    check_refused(&["frobnicate"], &["frobnicate"]);
}

#[test]
fn two_servers_do_not_share_a_data_folder() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let _first = common::Server::start("server", data.path(), &[]);
    let path = data.path().display().to_string();
    let port = format!("127.0.0.1:{}", hearth_testkit::free_port());
    check_refused(&["server", "--data", &path, "--listen", &port], &[&path, "another"]);
}

#[test]
fn a_user_without_privileges_is_told_what_is_missing() {
    if !hearth_testkit::is_root() || std::process::Command::new("setpriv").arg("--version").output().is_err()
    {
        println!(
            "a_user_without_privileges_is_told_what_is_missing: skipped: needs root and setpriv to drop it"
        );
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("hearth");
    fs::copy(env!("CARGO_BIN_EXE_hearth"), &copy).expect("a copy that nobody may run");
    let open = std::process::Command::new("chmod").args(["-R", "a+rx"]).arg(folder.path()).status();
    assert!(open.is_ok_and(|status| status.success()));
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--inh-caps=-all",
                "--bounding-set=-all",
            ])
            .arg(&copy)
            .args(arguments)
            .current_dir("/")
            .output()
            .expect("setpriv starts");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "{arguments:?} worked without privileges:\n{text}");
        assert!(!text.contains("panicked"), "{arguments:?}:\n{text}");
        text
    };
    for arguments in [&["record", "--", "true"][..], &["doctor"][..]] {
        let text = run(arguments);
        assert!(text.contains("root") || text.contains("CAP_BPF"), "{arguments:?}:\n{text}");
    }
}
