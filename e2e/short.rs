//! Short processes: their CPU is attributed to functions of the right service, and nothing piles up.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use common::can_sample;
use hearth_sampler::{Sampler, Settings, Target};
use hearth_testkit::{Attribution, ShortProcesses, say, stacks};

/// Often enough that some hundred processes give a narrow interval.
const SAMPLES_PER_SECOND: u32 = 499;

fn start() -> Sampler {
    let target = Target::Processes(vec![std::process::id()]);
    Sampler::start(Settings::new(SAMPLES_PER_SECOND, target)).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs processes that were never seen before, in files that were never seen before.
fn attribution(processes: u32, cpu_us: u32) -> Attribution {
    let programs = ShortProcesses::prepare(8, "").unwrap_or_else(|error| panic!("{error}"));
    let sampler = start();
    let (mut found, mut usage) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        usage.extend(programs.run(processes / 4, 2, cpu_us).unwrap_or_else(|error| panic!("{error}")));
        found.extend(stacks(&sampler.collect().batch));
    }
    Attribution::of(&usage, &found, SAMPLES_PER_SECOND)
}

#[test]
fn cpu_of_short_processes_goes_to_named_functions_of_their_service() {
    if !can_sample("cpu_of_short_processes_goes_to_named_functions_of_their_service") {
        return;
    }
    for (processes, cpu_us, least) in [(160, 100_000, 95.0), (400, 30_000, 85.0)] {
        let found = attribution(processes, cpu_us);
        let text = format!(
            "{processes} processes of {} ms: {:.1} % (± {:.1}) of {:.1} s in named functions, {} of {} samples with their chain",
            cpu_us / 1000,
            found.percent(),
            found.interval(),
            found.used_seconds,
            found.whole_chain,
            found.of_service,
        );
        say(&text);
        assert!(found.percent() >= least, "{text}");
        // A sampler that counts twice would pass the bound above. Interrupts are sampled, but not accounted.
        assert!(found.percent() <= 115.0, "{text}");
        assert!(found.whole_chain * 100 >= found.of_service * 80, "{text}");
    }
}
