//! How much of the CPU of short processes is attributed to named functions of the right service,
//! against what the kernel accounts to them.

use hearth_testkit::{Attribution, ShortProcesses, say, stacks};

use crate::sampler::start_on_children;
use crate::{Target, figure, figure_for, wanted_processes};

const SAMPLES_PER_SECOND: u32 = 97;
/// How many, where `HEARTH_BENCH_PROCESSES` says nothing else.
const PROCESSES: u32 = 2_000;
const PROGRAMS: usize = 8;

pub(crate) fn run() -> Result<(), String> {
    let processes = wanted_processes(PROCESSES);
    for (cpu_us, target) in [(100_000, 95.0), (30_000, 85.0)] {
        // Compiled anew, so that their files are met for the first time.
        let programs = ShortProcesses::prepare(PROGRAMS, "")?;
        let sampler = start_on_children(SAMPLES_PER_SECOND)?;
        let mut found = Vec::new();
        let mut usage = Vec::new();
        // In parts, as an agent collects every some seconds.
        for _ in 0..10 {
            usage.extend(programs.run(processes / 10, 2, cpu_us)?);
            found.extend(stacks(&sampler.collect().batch));
        }
        let attributed = Attribution::of(&usage, &found, SAMPLES_PER_SECOND);
        let name = |what: &str| format!("{processes} processes of {} ms: {what}", cpu_us / 1000);
        figure(&name("CPU by rusage"), attributed.used_seconds, "s");
        let percent = |count: i64| count as f64 * 100.0 / attributed.expected;
        let interval = attributed.interval();
        figure_for(&name("in named functions"), attributed.percent(), "%", Target::AtLeast(target));
        say(&format!("    ± {interval:.1} % (99 % of the time, if samples were independent)"));
        figure(&name("of the right service"), percent(attributed.of_service), "%");
        figure(&name("with their whole chain"), percent(attributed.whole_chain), "%");
    }
    Ok(())
}
