//! `hearth up` on the live kernel: services appear with their flame graphs, in API and browser.

mod common;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{CPU, Server, can_sample, far_future_ms, now_ms};
use hearth_testkit::{Child, Workload, wait_until};

const SERVICE: &str = "hearth-known-shares";

fn overview(server: &Server) -> serde_json::Value {
    server.json(&format!("/api/v1/overview?from={}&to={}&type={CPU}", now_ms() - 600_000, far_future_ms()))
}

fn wait_for_service(server: &Server) -> serde_json::Value {
    let found = wait_until(Duration::from_secs(90), || {
        let services = overview(server)["services"].as_array().cloned().unwrap_or_default();
        services.into_iter().find(|service| service["name"] == SERVICE)
    });
    found.unwrap_or_else(|| panic!("{SERVICE} did not appear: {}\n{}", overview(server), server.child.log()))
}

#[test]
fn a_service_appears_with_its_flame_graph() {
    if !can_sample("a_service_appears_with_its_flame_graph") {
        return;
    }
    let workload = Workload::shares_in_c(SERVICE);
    let _burner = Child::spawn(&mut workload.command(300));
    let data = tempfile::tempdir().expect("a temporary folder");
    let start = Instant::now();
    let mut server = Server::start("up", data.path(), &["--samples-per-second", "97"]);
    let service = wait_for_service(&server);
    println!("service visible {:.1} s after the start, {service}", start.elapsed().as_secs_f64());
    assert!(service["share"].as_f64().is_some_and(|share| share > 0.1), "{service}");

    let values = server.self_values(&format!("{{service_name=\"{SERVICE}\"}}"));
    assert!(values.iter().any(|(name, value)| name == "hearth_spin" && *value > 0), "{values:?}");
    assert!(values.iter().any(|(name, _)| name == "hearth_outer"), "{values:?}");

    // The same weight whichever way it is asked for, over slots into which nothing arrives any more.
    let settled = wait_until(Duration::from_secs(60), || {
        let to = (now_ms() - 10_000) / 5_000 * 5_000;
        let request = serde_json::json!({
            "profileTypeID": CPU, "labelSelector": "{}", "start": to - 600_000, "end": to - 1, "maxNodes": 16,
        });
        let answer = server.query("SelectMergeStacktraces", &request);
        // Protojson leaves out what is zero.
        let total = answer["flamegraph"]["total"].as_str()?.parse::<i64>().ok()?;
        (total > 0).then_some((to, total))
    });
    let (to, total) = settled.expect("samples older than ten seconds");
    let series = server
        .json(&format!("/api/v1/series?q=%7B%7D&type={CPU}&from={}&to={to}&step=5000&by=", to - 600_000));
    let sum: f64 = series["series"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|series| series["values"].as_array().cloned().unwrap_or_default())
        .filter_map(|value| value.as_f64())
        .sum();
    assert!((sum - total as f64).abs() < 1.0, "series sum {sum}, flame graph total {total}");

    let found = server.json("/api/v1/status");
    assert!(found["agents"].as_array().is_some_and(|agents| !agents.is_empty()), "{found}");
    assert_eq!(server.child.terminate(), Some(0), "{}", server.child.log());
    assert!(data.path().join("catalog.sqlite").exists(), "no data left in the folder");
}

#[test]
fn data_made_under_sudo_belongs_to_the_invoking_user() {
    if !can_sample("data_made_under_sudo_belongs_to_the_invoking_user") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let address = format!("127.0.0.1:{}", hearth_testkit::free_port());
    let mut command = common::hearth();
    command
        .arg("up")
        .arg("--data")
        .arg(&data)
        .args(["--listen", &address])
        .env("SUDO_UID", "1234")
        .env("SUDO_GID", "1234");
    let mut child = Child::spawn(&mut command);
    let ready = wait_until(Duration::from_secs(60), || hearth_testkit::get(&address, "/ready").ok());
    assert!(ready.is_some(), "{}", child.log());
    assert_eq!(child.terminate(), Some(0), "{}", child.log());
    let mut pending = vec![data];
    while let Some(path) = pending.pop() {
        let owner = path.metadata().map(|facts| (facts.uid(), facts.gid())).expect("metadata");
        assert_eq!(owner, (1234, 1234), "{}", path.display());
        pending.extend(path.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()));
    }
}

#[test]
fn a_person_finds_the_function_in_the_browser() {
    if !can_sample("a_person_finds_the_function_in_the_browser") {
        return;
    }
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    if !Path::new("/usr/bin/chromium").exists() || Command::new("node").arg("--version").output().is_err() {
        println!("a_person_finds_the_function_in_the_browser: skipped: no chromium or no node");
        return;
    }
    if !ui.join("node_modules/playwright-core").exists() {
        let installed = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&ui)
            .status();
        assert!(installed.is_ok_and(|status| status.success()), "npm ci failed in ui/");
    }
    let workload = Workload::shares_in_c(SERVICE);
    let _burner = Child::spawn(&mut workload.command(300));
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start("up", data.path(), &[]);
    wait_for_service(&server);
    let output = Command::new("node")
        .args(["--test", "test/browser.test.mjs"])
        .current_dir(&ui)
        .env("HEARTH_URL", format!("http://{}", server.address))
        .env("HEARTH_SERVICE", SERVICE)
        .env("HEARTH_FUNCTION", "hearth_spin")
        .output()
        .expect("node starts");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{}", server.child.log());
}
