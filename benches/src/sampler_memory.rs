//! What the agent holds as its memory cgroup counts it, BPF maps and unwind tables included: idle, and
//! while tens of thousands of short processes of hundreds of programs come and go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hearth_testkit::{Child, ShortProcesses, say, usage};

use crate::{Target, figure, figure_for, wanted_processes};

const PROCESSES: u32 = 50_000;
const PROGRAMS: usize = 300;
/// Processes between two readings.
const STEP: u32 = 2_500;

const CONFIGURATION: &str = "\
receivers:
  profiling:
    samples_per_second: 97
exporters:
  nop:
service:
  pipelines:
    profiles:
      receivers: [profiling]
      exporters: [nop]
";

pub(crate) fn run() -> Result<(), String> {
    let processes = wanted_processes(PROCESSES);
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let cgroup = Cgroup::create()?;
    let agent = start_agent(folder.path(), &cgroup)?;
    std::thread::sleep(Duration::from_secs(20));
    let idle = cgroup.read()?;
    print_memory("idle", &idle, 60.0);
    figure("idle: RSS", usage(agent.id()).rss_bytes as f64 / 1e6, "MB");

    // A third are static: 800 kB with tables of their own; the others share the C library's.
    let few = ShortProcesses::prepare(PROGRAMS / 3, "-static")?;
    let many = ShortProcesses::prepare(PROGRAMS - PROGRAMS / 3, "")?;
    let before = usage(agent.id()).cpu_seconds;
    let mut readings: Vec<(f64, f64)> = Vec::new();
    for step in 1..=processes / STEP {
        few.run(STEP / 3, 2, 1_000)?;
        many.run(STEP - STEP / 3, 2, 1_000)?;
        let now = cgroup.read()?;
        readings.push((f64::from(step * STEP), now.usage as f64));
        say(&format!(
            "    {:>6} processes: {:.1} MB, of it cache {:.1}, kernel {:.1}, anonymous {:.1}; tables not reclaimable {:.1}",
            step * STEP,
            now.usage as f64 / 1e6,
            now.cache as f64 / 1e6,
            now.kernel as f64 / 1e6,
            now.anonymous as f64 / 1e6,
            (now.usage - now.inactive_file.min(now.usage)) as f64 / 1e6,
        ));
    }
    std::thread::sleep(Duration::from_secs(15));
    let after = cgroup.read()?;
    print_memory(&format!("after {processes} processes of {PROGRAMS} programs"), &after, 80.0);
    figure("peak", after.peak as f64 / 1e6, "MB");
    figure(
        "agent CPU per 1,000 processes",
        (usage(agent.id()).cpu_seconds - before) * 1e6 / f64::from(processes),
        "ms",
    );
    let second_half = readings.split_off(readings.len() / 2);
    let slope = slope(&second_half) * 1000.0 / 1e3;
    figure_for("slope over the second half, per 1,000 processes", slope, "kB", Target::AtMost(10.0));
    drop(agent);
    Ok(())
}

/// The argument that makes this program the sampler alone, sampling the host as an agent would.
pub(crate) const SAMPLER_ALONE: &str = "--sampler-alone";

/// Samples the host until it is killed; each collection is encoded, and dropped.
pub(crate) fn sampler_alone() -> Result<(), String> {
    let settings = hearth_sampler::Settings::new(97, hearth_sampler::Target::Host);
    let sampler = hearth_sampler::Sampler::start(settings).map_err(|error| error.to_string())?;
    loop {
        std::thread::sleep(Duration::from_secs(5));
        drop(hearth_codec::otlp::encode_request(&sampler.collect().batch));
    }
}

fn print_memory(name: &str, memory: &Memory, target: f64) {
    figure_for(
        &format!("{name}: memory of the cgroup"),
        memory.usage as f64 / 1e6,
        "MB",
        Target::AtMost(target),
    );
    let parts = [
        ("anonymous", memory.anonymous),
        ("page cache", memory.cache),
        ("of it inactive", memory.inactive_file),
        ("kernel, BPF maps included", memory.kernel),
    ];
    for (part, bytes) in parts {
        figure(&format!("{name}: {part}"), bytes as f64 / 1e6, "MB");
    }
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let above: f64 = points.iter().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

fn start_agent(folder: &Path, cgroup: &Cgroup) -> Result<Child, String> {
    let configuration = folder.join("agent.yaml");
    fs::write(&configuration, CONFIGURATION).map_err(|error| error.to_string())?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let binary = own.with_file_name("hearth");
    let mut command = Command::new("sh");
    // The shell moves itself first, so that everything the agent allocates is counted.
    command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&cgroup.path);
    if binary.exists() {
        command.arg(binary).args(["agent", "--feature-gates=service.profilesSupport", "--config"]);
        command.arg(&configuration);
    } else {
        say("    no hearth beside this program: the sampler alone is measured");
        command.arg(own).arg(SAMPLER_ALONE);
    }
    let mut agent = Child::spawn(&mut command);
    std::thread::sleep(Duration::from_secs(3));
    if agent.is_running() { Ok(agent) } else { Err(format!("the agent ended: {}", agent.log())) }
}

/// What a memory cgroup counts, bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    usage: u64,
    peak: u64,
    anonymous: u64,
    cache: u64,
    inactive_file: u64,
    kernel: u64,
}

/// A memory cgroup of our own, version 1 or 2; removed when dropped.
struct Cgroup {
    path: PathBuf,
    is_v2: bool,
}

impl Cgroup {
    fn create() -> Result<Self, String> {
        let name = format!("hearth-bench-{}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let is_v2 = !v1.is_dir();
        let path = if is_v2 { Path::new("/sys/fs/cgroup").join(name) } else { v1.join(name) };
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, is_v2 })
    }

    fn read(&self) -> Result<Memory, String> {
        let text = |file: &str| {
            let path = self.path.join(file);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let number = |file: &str| text(file).map(|text| text.trim().parse::<u64>().unwrap_or(0));
        let statistics = text("memory.stat")?;
        let of = |key: &str| {
            let line = statistics.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        let (usage, peak) = match self.is_v2 {
            true => (number("memory.current")?, number("memory.peak").unwrap_or(0)),
            false => (number("memory.usage_in_bytes")?, number("memory.max_usage_in_bytes")?),
        };
        let (anonymous, cache) = if self.is_v2 { (of("anon"), of("file")) } else { (of("rss"), of("cache")) };
        let kernel = usage.saturating_sub(anonymous + cache);
        Ok(Memory { usage, peak, anonymous, cache, inactive_file: of("inactive_file"), kernel })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while the agent has not been reaped; it is killed before, and an empty group costs nothing.
        let _ = fs::remove_dir(&self.path);
    }
}
