//! What sampling costs: CPU per sample in the kernel and in user space, memory, start-up.

use std::time::{Duration, Instant};

use hearth_sampler::{Sampler, Settings, Target};
use hearth_testkit::{Child, Workload, usage};

use crate::figure;

/// Seconds of sampling per frequency; long enough for about 2,000 samples at 97 Hz on two CPUs.
const SECONDS: u64 = 12;

pub(crate) fn run() -> Result<(), String> {
    let workload = Workload::shares_in_c("burner");
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let _burners: Vec<Child> = (0..cpus).map(|_| Child::spawn(&mut workload.command(600))).collect();
    for samples_per_second in [97, 997] {
        measure(samples_per_second)?;
    }
    Ok(())
}

fn measure(samples_per_second: u32) -> Result<(), String> {
    let own = std::process::id();
    let before = usage(own);
    let settings = Settings { samples_per_second, target: Target::Host };
    let sampler = Sampler::start(settings).map_err(|error| error.to_string())?;
    std::thread::sleep(Duration::from_secs(2));
    sampler.collect();
    let started = usage(own);

    let mut samples = 0;
    let mut lost = 0;
    let measured_from = Instant::now();
    let (kernel_before, cpu_before) = (sampler.status(), usage(own).cpu_seconds);
    while measured_from.elapsed() < Duration::from_secs(SECONDS) {
        std::thread::sleep(Duration::from_secs(4));
        let collection = sampler.collect();
        samples += collection.samples;
        lost += collection.lost.iter().map(|(_, count)| count).sum::<u64>();
    }
    let (status, after) = (sampler.status(), usage(own));
    let runs = (status.bpf_run_count - kernel_before.bpf_run_count).max(1);
    let in_kernel = (status.bpf_run_time - kernel_before.bpf_run_time).as_secs_f64() / runs as f64;
    let cpu_ms = (after.cpu_seconds - cpu_before) * 1e3;

    let name = |what: &str| format!("{samples_per_second} Hz: {what}");
    figure(&name("samples"), samples as f64, "samples");
    figure(&name("lost"), lost as f64, "samples");
    figure(&name("BPF run time per sample"), in_kernel * 1e6, "µs");
    figure(&name("agent CPU per 1,000 samples"), cpu_ms / (samples.max(1) as f64 / 1e3), "ms");
    figure(&name("RSS"), after.rss_bytes as f64 / 1e6, "MB");
    figure(&name("RSS, anonymous part"), after.anonymous_bytes as f64 / 1e6, "MB");
    figure(&name("BPF map memory"), status.map_bytes as f64 / 1e6, "MB");
    figure(&name("symbols held"), status.symbol_bytes as f64 / 1e6, "MB");
    let first_sample = status.start_to_first_sample.unwrap_or_default();
    figure(&name("start to first sample"), first_sample.as_secs_f64() * 1e3, "ms");
    figure(&name("CPU of start-up and first 2 s"), (started.cpu_seconds - before.cpu_seconds) * 1e3, "ms");
    Ok(())
}
