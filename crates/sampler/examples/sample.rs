//! Samples this host and prints the hottest stacks: `cargo run -p hearth-sampler --example sample`.
//!
//! Arguments: seconds (5), samples per second (97), `raw` to look up mappings through /proc.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use hearth_profile::{Dictionary, StackId};
use hearth_sampler::{Overrides, Sampler, Settings};

const STACKS_SHOWN: usize = 12;
const WINDOW_SECONDS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds: u64 = arguments.first().map_or(Ok(5), |text| text.parse())?;
    let samples_per_second = arguments.get(1).map_or(Ok(97), |text| text.parse())?;
    let overrides = Overrides {
        force_fallback: arguments.get(2).is_some_and(|text| text == "raw"),
        ..Overrides::default()
    };
    let mut out = std::io::stdout().lock();

    let began = Instant::now();
    let sampler = Sampler::start_with(Settings { samples_per_second, ..Settings::default() }, overrides)?;
    writeln!(out, "started in {:?}, {:?} of CPU", began.elapsed(), cpu_time()?)?;
    let windows = seconds.div_ceil(WINDOW_SECONDS).max(1);
    let mut collection = None;
    for window in 0..windows {
        let before = cpu_time()?;
        std::thread::sleep(Duration::from_secs(seconds.min(WINDOW_SECONDS)));
        let collected = sampler.collect();
        let cpu = cpu_time()?.saturating_sub(before);
        writeln!(
            out,
            "window {window}: {} samples, {} processes, {:.2} ms of CPU per 1,000, lost {:?}",
            collected.samples,
            collected.batch.resources.len(),
            cpu.as_secs_f64() * 1e6 / collected.samples.max(1) as f64,
            collected.lost
        )?;
        collection = Some(collected);
    }
    let Some(collection) = collection else { return Ok(()) };

    let mut hottest: Vec<(i64, String)> = Vec::new();
    for resource in &collection.batch.resources {
        let service = resource.resource.get_str("service.name").unwrap_or("?");
        for sample in resource.profiles.iter().flat_map(|profile| &profile.samples) {
            let path = path(&collection.batch.dictionary, sample.stack);
            hottest.push((sample.value, format!("{service}: {path}")));
        }
    }
    hottest.sort_by(|a, b| b.cmp(a));
    for (value, path) in hottest.iter().take(STACKS_SHOWN) {
        writeln!(out, "{value:6} {path}")?;
    }
    let status = sampler.status();
    writeln!(out, "{status:#?}")?;
    let per_sample = status.bpf_run_time.as_nanos() / u128::from(status.bpf_run_count.max(1));
    writeln!(out, "BPF {per_sample} ns per sample; all CPU {:?}", cpu_time()?)?;
    let memory = fs::read_to_string("/proc/self/status")?;
    for line in memory.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon")) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The names of a stack, root first.
fn path(dictionary: &Dictionary, stack: StackId) -> String {
    let mut names: Vec<String> = dictionary
        .leaf_first(stack)
        .flat_map(|location| dictionary.names(location))
        .map(|(name, _)| name)
        .collect();
    names.reverse();
    names.join(";")
}

/// CPU time of this process, user and system.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace().collect();
    let ticks: u64 =
        fields.get(11).unwrap_or(&"0").parse::<u64>()? + fields.get(12).unwrap_or(&"0").parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
