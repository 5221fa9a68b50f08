//! What sampling costs: CPU per sample in the kernel and in user space, memory, start-up.

use std::time::{Duration, Instant};

use hearth_sampler::{Sampler, Settings, Status, Target as Sampled};
use hearth_testkit::{Child, compile, usage};

use crate::{Target, figure, figure_for};

/// Seconds of sampling per frequency; long enough for about 2,000 samples at 97 Hz on two CPUs.
const SECONDS: u64 = 12;

/// Samples this process and all its later children.
pub(crate) fn start_on_children(samples_per_second: u32) -> Result<Sampler, String> {
    let target = Sampled::Processes(vec![std::process::id()]);
    Sampler::start(Settings::new(samples_per_second, target)).map_err(|error| error.to_string())
}

pub(crate) fn run() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let program = folder.path().join("chain");
    compile("gcc", "-O2 -fomit-frame-pointer", "chain.c", &program)?;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // 16 calls, main and start code: 20 frames.
    let burner = || Child::spawn(std::process::Command::new(&program).args(["600", "16"]));
    let _burners: Vec<Child> = (0..cpus).map(|_| burner()).collect();
    for samples_per_second in [97, 997] {
        measure(samples_per_second)?;
    }
    Ok(())
}

struct Interval {
    samples: u64,
    lost: u64,
    before: Status,
    after: Status,
    cpu_seconds: f64,
}

/// Collects every four seconds for [`SECONDS`].
fn sample(sampler: &Sampler) -> Interval {
    let own = std::process::id();
    let (before, cpu_before) = (sampler.status(), usage(own).cpu_seconds);
    let (mut samples, mut lost) = (0, 0);
    let from = Instant::now();
    while from.elapsed() < Duration::from_secs(SECONDS) {
        std::thread::sleep(Duration::from_secs(4));
        let collection = sampler.collect();
        samples += collection.samples;
        lost += collection.lost.iter().map(|(_, count)| count).sum::<u64>();
    }
    let cpu_seconds = usage(own).cpu_seconds - cpu_before;
    Interval { samples, lost, before, after: sampler.status(), cpu_seconds }
}

fn measure(samples_per_second: u32) -> Result<(), String> {
    let own = std::process::id();
    let before = usage(own);
    let settings = Settings::new(samples_per_second, Sampled::Host);
    let sampler = Sampler::start(settings).map_err(|error| error.to_string())?;
    let map_bytes = sampler.status().map_bytes;
    std::thread::sleep(Duration::from_secs(2));
    sampler.collect();
    let started = usage(own);
    let Interval { samples, lost, before: kernel_before, after: status, cpu_seconds } = sample(&sampler);
    let after = usage(own);
    let runs = (status.bpf_run_count - kernel_before.bpf_run_count).max(1) as f64;
    let in_kernel = (status.bpf_run_time - kernel_before.bpf_run_time).as_secs_f64() / runs;
    let frames = (status.frames - kernel_before.frames) as f64 / runs;
    let per_sample = cpu_seconds / samples.max(1) as f64;

    let at_default = samples_per_second == 97;
    let name = |what: &str| format!("{samples_per_second} Hz: {what}");
    let aimed = |what: &str, value: f64, unit: &str, target: Target| match at_default {
        true => figure_for(&name(what), value, unit, target),
        false => figure(&name(what), value, unit),
    };
    figure(&name("samples"), samples as f64, "samples");
    figure(&name("lost"), lost as f64, "samples");
    figure(&name("frames per sample"), frames, "frames");
    aimed("BPF run time per sample", in_kernel * 1e6, "µs", Target::AtMost(20.0));
    aimed("agent CPU per 1,000 samples", per_sample * 1e6, "ms", Target::AtMost(5.0));
    let share = (in_kernel + per_sample) * f64::from(samples_per_second) * 100.0;
    aimed("both, of each busy core", share, "%", Target::AtMost(0.3));
    figure(&name("RSS"), after.rss_bytes as f64 / 1e6, "MB");
    figure(&name("RSS, anonymous part"), after.anonymous_bytes as f64 / 1e6, "MB");
    aimed("BPF map memory before the first process", map_bytes as f64 / 1e6, "MB", Target::AtMost(4.0));
    figure(&name("BPF map memory"), status.map_bytes as f64 / 1e6, "MB");
    figure(&name("symbols held"), status.symbol_bytes as f64 / 1e6, "MB");
    let first_sample = status.start_to_first_sample.unwrap_or_default();
    aimed("start to first sample", first_sample.as_secs_f64() * 1e3, "ms", Target::AtMost(1000.0));
    let start_cpu = started.cpu_seconds - before.cpu_seconds;
    aimed("CPU of start-up and first 2 s", start_cpu * 1e3, "ms", Target::AtMost(300.0));
    Ok(())
}
