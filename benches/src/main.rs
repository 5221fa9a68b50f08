//! Benchmarks of the whole path. `cargo xtask bench [sampler|server|ui]…` builds what is measured and
//! runs this; each line is a figure with its unit. CPU figures are user and system time of the process
//! measured, which other load on the machine disturbs little; latencies are wall time and are disturbed.

mod sampler;
mod server;
mod ui;

use std::process::ExitCode;

use hearth_testkit::say;

type Benchmark = fn() -> Result<(), String>;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let all: [(&str, Benchmark); 3] = [("sampler", sampler::run), ("server", server::run), ("ui", ui::run)];
    if let Some(unknown) = wanted.iter().find(|name| all.iter().all(|(known, _)| known != name)) {
        say(&format!("no benchmark {unknown:?}; there are sampler, server and ui"));
        return ExitCode::FAILURE;
    }
    let mut outcome = ExitCode::SUCCESS;
    for (name, run) in all {
        if !wanted.is_empty() && !wanted.iter().any(|one| one == name) {
            continue;
        }
        say(&format!("\n== {name}"));
        if let Err(problem) = run() {
            say(&format!("{name}: {problem}"));
            outcome = ExitCode::FAILURE;
        }
    }
    outcome
}

/// Prints one figure.
fn figure(name: &str, value: f64, unit: &str) {
    let digits = if value.abs() >= 100.0 { 0 } else { 2 };
    say(&format!("{name:<58} {value:>12.digits$} {unit}"));
}

/// The `part`-th share (0 to 1) of sorted `values`; 0 if there are none.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).round() as usize).copied().unwrap_or(0.0)
}
