//! What the end-to-end tests share: starting the real binary and asking its server.

use std::process::Command;
use std::time::Duration;

use hearth_testkit::{Child, free_port, get_json, wait_until};

/// The binary under test.
pub(crate) fn hearth() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hearth"))
}

/// Whether BPF programs can be loaded here; says so when not.
pub(crate) fn can_sample(test: &str) -> bool {
    let output = hearth().arg("doctor").output().expect("the binary starts");
    let able = output.status.success();
    if !able {
        hearth_testkit::say(&format!(
            "{test}: skipped: no permission to load BPF programs: {}",
            String::from_utf8_lossy(&output.stdout)
        ));
    }
    able
}

/// A running `hearth up` or `hearth server` with a data folder of its own.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Server {
    /// Starts `hearth COMMAND` on a free port and waits until it is ready.
    pub(crate) fn start(command: &str, data: &std::path::Path, more: &[&str]) -> Self {
        Self::start_at(command, data, free_port(), more)
    }

    /// The same on a given port.
    pub(crate) fn start_at(command: &str, data: &std::path::Path, port: u16, more: &[&str]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let child = Child::spawn(
            hearth().arg(command).arg("--data").arg(data).args(["--listen", &address]).args(more),
        );
        let mut server = Self { child, address };
        let ready = wait_until(Duration::from_secs(60), || {
            let answer = hearth_testkit::get(&server.address, "/ready");
            if !server.child.is_running() {
                return Some(false);
            }
            answer.is_ok_and(|answer| answer.status == 200).then_some(true)
        });
        assert_eq!(ready, Some(true), "hearth {command} did not become ready:\n{}", server.child.log());
        server
    }

    /// GET of a JSON document.
    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        get_json(&self.address, path).unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.child.log()))
    }

    /// A call of Pyroscope's querier over Connect JSON.
    pub(crate) fn query(&self, method: &str, request: &serde_json::Value) -> serde_json::Value {
        let path = format!("/querier.v1.QuerierService/{method}");
        let body = request.to_string();
        let answer = hearth_testkit::post(&self.address, &path, "application/json", body.as_bytes())
            .unwrap_or_else(|error| panic!("{method}: {error}\n{}", self.child.log()));
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("an answer in JSON")
    }

    /// Function names with self values of the flame graph of `selector`, all time, nothing pruned.
    pub(crate) fn self_values(&self, selector: &str) -> Vec<(String, i64)> {
        let request = serde_json::json!({
            "profileTypeID": CPU, "labelSelector": selector, "start": 1, "end": far_future_ms(), "maxNodes": 1_000_000,
        });
        let answer = self.query("SelectMergeStacktraces", &request);
        let graph = &answer["flamegraph"];
        let names: Vec<&str> =
            graph["names"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
        let mut found = Vec::new();
        for level in graph["levels"].as_array().into_iter().flatten() {
            let values: Vec<i64> = level["values"].as_array().into_iter().flatten().map(number).collect();
            for bar in values.chunks_exact(4) {
                let name = usize::try_from(bar[3]).ok().and_then(|index| names.get(index));
                found.push(((*name.expect("a name for every bar")).to_owned(), bar[2]));
            }
        }
        found
    }
}

/// The profile type of CPU samples.
pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

/// Protojson writes 64-bit integers as strings.
pub(crate) fn number(value: &serde_json::Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no integer"))
}

/// An hour from now, milliseconds since the Unix epoch.
pub(crate) fn far_future_ms() -> i64 {
    now_ms() + 3_600_000
}

/// Now, milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
