//! Benchmarks of the whole path. `cargo xtask bench [NAME]…` builds what is measured and runs this; a
//! name stands for all benchmarks it begins, so `sampler` also runs `sampler-stacks`. Each line is a
//! figure with its unit and, where there is one, its target. CPU figures are user and system time of the
//! process measured, which other load on the machine disturbs little; latencies are wall time and are
//! disturbed.

mod sampler;
mod sampler_memory;
mod sampler_perf;
mod sampler_short;
mod sampler_stacks;
mod server;
mod ui;

use std::process::ExitCode;

use hearth_testkit::say;

type Benchmark = fn() -> Result<(), String>;

const ALL: [(&str, Benchmark); 8] = [
    ("sampler-cost", sampler::run),
    ("sampler-programs", sampler_stacks::programs),
    ("sampler-real", sampler_stacks::real),
    ("sampler-perf", sampler_perf::run),
    ("sampler-short", sampler_short::run),
    ("sampler-memory", sampler_memory::run),
    ("server", server::run),
    ("ui", ui::run),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.first().is_some_and(|word| word == sampler_memory::SAMPLER_ALONE) {
        return match sampler_memory::sampler_alone() {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                say(&problem);
                ExitCode::FAILURE
            }
        };
    }
    let is_meant = |name: &str, word: &str| {
        name == word || name.strip_prefix(word).is_some_and(|rest| rest.starts_with('-'))
    };
    if let Some(unknown) = wanted.iter().find(|word| ALL.iter().all(|(name, _)| !is_meant(name, word))) {
        let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        say(&format!("no benchmark {unknown:?}; there are sampler (all of its parts), {}", names.join(", ")));
        return ExitCode::FAILURE;
    }
    let mut outcome = ExitCode::SUCCESS;
    for (name, run) in ALL {
        if !wanted.is_empty() && !wanted.iter().any(|word| is_meant(name, word)) {
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

/// The programs of a benchmark: all, or those named in the variable `HEARTH_BENCH_PROGRAMS`.
fn wanted_programs(all: &[&str]) -> Vec<String> {
    let wanted = std::env::var("HEARTH_BENCH_PROGRAMS").unwrap_or_else(|_| all.join(" "));
    wanted.split_whitespace().map(str::to_owned).collect()
}

/// How many processes a benchmark starts: as many as it says, or as the variable `HEARTH_BENCH_PROCESSES`.
fn wanted_processes(all: u32) -> u32 {
    let wanted = std::env::var("HEARTH_BENCH_PROCESSES").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(all)
}

/// Prints one figure.
fn figure(name: &str, value: f64, unit: &str) {
    say(&line(name, value, unit));
}

fn line(name: &str, value: f64, unit: &str) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if unit == "of 1" {
        3
    } else {
        2
    };
    format!("{name:<58} {value:>12.digits$} {unit}")
}

/// Where a figure should lie.
#[derive(Clone, Copy)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// Prints one figure with its target and whether it was met.
fn figure_for(name: &str, value: f64, unit: &str, target: Target) {
    let (relation, bound, met) = match target {
        Target::AtMost(bound) => ("≤", bound, value <= bound),
        Target::AtLeast(bound) => ("≥", bound, value >= bound),
    };
    let verdict = if met { "" } else { ", MISSED" };
    let bound = (bound * 1000.0).round() / 1000.0;
    say(&format!("{:<80} ({relation} {bound}{verdict})", line(name, value, unit)));
}

/// The `part`-th share (0 to 1) of sorted `values`; 0 if there are none.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).round() as usize).copied().unwrap_or(0.0)
}
