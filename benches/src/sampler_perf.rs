//! Whether our stacks are those of `perf record --call-graph dwarf`: both record the same programs in
//! turn, and the distance between them is compared with perf's distance from itself.

use std::collections::HashMap;
use std::process::Command;

use hearth_testkit::{Comparable, Counts, RealProgram, compile, distance, perf_record, say, stacks};

use crate::sampler::start_on_children;
use crate::{Target, figure, figure_for, wanted_programs};

const SAMPLES_PER_SECOND: u32 = 997;
/// Each side has at least so many samples.
const SAMPLES_MIN: i64 = 5_000;
/// How often a program is recorded at most to get them.
const ROUNDS_MAX: usize = 12;

pub(crate) fn run() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let grammar = folder.path().join("grammar");
    compile("gcc", "-O2 -fomit-frame-pointer -pthread", "grammar.c", &grammar)?;
    let mut command = Command::new(&grammar);
    command.args(["3", "1"]);
    for name in wanted_programs(&["grammar", "sqlite3", "openssl", "zstd", "python-extensions", "rust"]) {
        if name == "grammar" {
            compare(&name, &command)?;
            continue;
        }
        match RealProgram::prepare(&name) {
            Ok(program) => compare(&name, &program.command_to_run())?,
            Err(reason) => say(&format!("{name}: skipped: {reason}")),
        }
    }
    Ok(())
}

fn compare(name: &str, command: &Command) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut comparable = Comparable::default();
    let (mut perf_a, mut perf_b, mut ours) = (Counts::new(), Counts::new(), Counts::new());
    for _ in 0..ROUNDS_MAX {
        if [&perf_a, &perf_b, &ours].iter().all(|counts| total(counts) >= SAMPLES_MIN) {
            break;
        }
        for (side, counts) in [&mut perf_a, &mut perf_b].into_iter().enumerate() {
            if total(counts) < SAMPLES_MIN {
                let script = perf_record(command, SAMPLES_PER_SECOND, folder.path())?;
                add(counts, comparable.perf(&script));
            }
            if side == 0 && total(&ours) < SAMPLES_MIN {
                add(&mut ours, record_ourselves(command, &mut comparable)?);
            }
        }
    }
    for (what, side) in [("perf", &perf_a), ("perf again", &perf_b), ("ours", &ours)] {
        figure(&format!("{name}: samples, {what}"), total(side) as f64, "samples");
    }
    let far = |a: &Counts, b: &Counts| distance(a, b).ok_or_else(|| format!("{name}: no samples"));
    let itself = far(&perf_a, &perf_b)?;
    figure(&format!("{name}: perf from itself, whole stacks"), itself, "of 1");
    let bound = Target::AtMost(itself + 0.05);
    let mut nearest = 1.0_f64;
    for perf in [&perf_a, &perf_b] {
        nearest = nearest.min(far(perf, &ours)?);
    }
    figure_for(&format!("{name}: ours from perf, whole stacks"), nearest, "of 1", bound);
    let (leaf_a, leaf_b, leaf_ours) = (leaves(&perf_a), leaves(&perf_b), leaves(&ours));
    figure(&format!("{name}: perf from itself, leaves"), far(&leaf_a, &leaf_b)?, "of 1");
    figure(&format!("{name}: ours from perf, leaves"), far(&leaf_a, &leaf_ours)?, "of 1");
    if std::env::var_os("HEARTH_BENCH_DIFFERENCES").is_some() {
        say("  perf again, less perf:");
        print_differences(&perf_a, &perf_b);
        say("  ours, less perf:");
        print_differences(&perf_a, &ours);
    }
    Ok(())
}

fn record_ourselves(command: &Command, comparable: &mut Comparable) -> Result<Counts, String> {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    for (key, value) in command.get_envs() {
        value.map(|value| copy.env(key, value));
    }
    let sampler = start_on_children(SAMPLES_PER_SECOND)?;
    let status = copy.status().map_err(|error| format!("{copy:?}: {error}"))?;
    if !status.success() {
        return Err(format!("{copy:?}: {status}"));
    }
    let own = i64::from(std::process::id());
    let mut found = stacks(&sampler.collect().batch);
    found.retain(|stack| stack.pid != own);
    Ok(comparable.ours(&found))
}

fn print_differences(perf: &Counts, ours: &Counts) {
    let (of_perf, of_ours) = (total(perf) as f64, total(ours) as f64);
    let share = |counts: &Counts, key: &String, of: f64| counts.get(key).copied().unwrap_or(0) as f64 / of;
    let mut differences: Vec<(f64, &String)> = Vec::new();
    for key in perf.keys().chain(ours.keys().filter(|key| !perf.contains_key(*key))) {
        differences.push((share(ours, key, of_ours) - share(perf, key, of_perf), key));
    }
    differences.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    for (difference, key) in differences.iter().take(12) {
        say(&format!("    {:+.4} {key}", difference));
    }
}

fn total(counts: &Counts) -> i64 {
    counts.values().sum()
}

fn add(to: &mut Counts, more: Counts) {
    for (key, count) in more {
        *to.entry(key).or_default() += count;
    }
}

fn leaves(counts: &Counts) -> Counts {
    let mut found = HashMap::new();
    for (stack, count) in counts {
        let leaf = stack.rsplit(';').next().unwrap_or_default();
        *found.entry(leaf.to_owned()).or_default() += count;
    }
    found
}
