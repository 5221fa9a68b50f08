//! What the server costs: CPU per row ingested, bytes per row at rest, time from push to queryable.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hearth_testkit::{Child, Generator, free_port, get_json, post, usage, wait_until};

use crate::{figure, quantile};

const CPU_TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
/// Exports pushed to measure ingestion: 10 hosts for 100 seconds.
const EXPORTS: u64 = 200;

pub(crate) fn run() -> Result<(), String> {
    let data = tempfile::tempdir().map_err(|error| error.to_string())?;
    let address = format!("127.0.0.1:{}", free_port());
    let start = Instant::now();
    let mut server = spawn(data.path(), &address);
    wait_until(Duration::from_secs(30), || post(&address, "/ready", "text/plain", b"").ok())
        .ok_or_else(|| format!("the server did not start: {}", server.log()))?;
    figure("start to ready", start.elapsed().as_secs_f64() * 1e3, "ms");
    figure("RSS, idle", usage(server.id()).rss_bytes as f64 / 1e6, "MB");

    let rows = ingest(&address, server.id())?;
    freshness(&address)?;
    figure("RSS, after ingestion", usage(server.id()).rss_bytes as f64 / 1e6, "MB");
    let stop = Instant::now();
    server.terminate();
    figure("stop, with flush", stop.elapsed().as_secs_f64() * 1e3, "ms");
    figure("bytes per row at rest", folder_bytes(&data.path().join("blocks")) as f64 / rows as f64, "B");
    Ok(())
}

fn spawn(data: &Path, address: &str) -> Child {
    let binary = std::env::current_exe().map(|path| path.with_file_name("hearth"));
    let binary = binary.unwrap_or_else(|_| PathBuf::from("hearth"));
    Child::spawn(Command::new(binary).arg("server").arg("--data").arg(data).args(["--listen", address]))
}

fn now_nanos() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Pushes exports of 20 processes with 60 distinct stacks each, and returns how many rows they made.
fn ingest(address: &str, pid: u32) -> Result<u64, String> {
    let mut generator = Generator::new(7, 20, 60);
    let begin = now_nanos() - EXPORTS * 5_000_000_000;
    let bodies: Vec<Vec<u8>> = (0..EXPORTS)
        .map(|slot| hearth_codec::otlp::encode_request(&generator.batch(begin + slot * 5_000_000_000)))
        .collect();
    let sent: usize = bodies.iter().map(Vec::len).sum();
    let before = usage(pid).cpu_seconds;
    let mut latencies = Vec::new();
    for body in &bodies {
        let start = Instant::now();
        let answer = post(address, "/v1development/profiles", "application/x-protobuf", body);
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("push: {} {}", answer.status, answer.text()));
        }
        latencies.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let cpu_ms = (usage(pid).cpu_seconds - before) * 1e3;
    let status = get_json(address, "/api/v1/status").map_err(|error| error.to_string())?;
    let rows = status["ingest"]["rows"].as_u64().unwrap_or(0).max(1);
    figure("rows ingested", rows as f64, "rows");
    figure("server CPU per 1,000 rows ingested", cpu_ms / (rows as f64 / 1e3), "ms");
    figure("OTLP bytes per row, uncompressed", sent as f64 / rows as f64, "B");
    figure("push acknowledged, p50", quantile(&mut latencies, 0.5), "ms");
    figure("push acknowledged, p99", quantile(&mut latencies, 0.99), "ms");
    Ok(rows)
}

/// Pushes single exports and asks for them until they are there.
fn freshness(address: &str) -> Result<(), String> {
    let mut latencies = Vec::new();
    for seed in 0..100 {
        let body =
            hearth_codec::otlp::encode_request(&Generator::new(1_000 + seed, 1, 10).batch(now_nanos()));
        let total = || -> Option<f64> {
            let path =
                format!("/api/v1/overview?type={CPU_TYPE}&from=0&to={}", now_nanos() / 1_000_000 + 60_000);
            get_json(address, &path).ok()?["total"].as_f64()
        };
        let before = total().ok_or("the overview has no total")?;
        let start = Instant::now();
        post(address, "/v1development/profiles", "application/x-protobuf", &body)
            .map_err(|error| error.to_string())?;
        wait_until(Duration::from_secs(10), || (total()? > before).then_some(()))
            .ok_or("a push never became visible")?;
        latencies.push(start.elapsed().as_secs_f64() * 1e3);
    }
    figure("push to queryable (push and query), p50", quantile(&mut latencies, 0.5), "ms");
    figure("push to queryable (push and query), p99", quantile(&mut latencies, 0.99), "ms");
    Ok(())
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() { folder_bytes(&path) } else { entry.metadata().map_or(0, |facts| facts.len()) }
        })
        .sum()
}
