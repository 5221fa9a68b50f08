//! Whether stacks are whole and right: programs that state the grammar of their calls, and real ones.

use std::collections::BTreeMap;

use hearth_profile::ProfileBatch;
use hearth_testkit::{Completeness, PROGRAMS, REAL_PROGRAMS, RealProgram, run_programs, say, stacks};

use crate::sampler::start_on_children;
use crate::{Target, figure_for, wanted_programs};

const SAMPLES_PER_SECOND: u32 = 499;
/// All programs share the CPUs for so long: about 3,000 samples each on two.
const SECONDS: u32 = 60;

pub(crate) fn programs() -> Result<(), String> {
    let sampler = start_on_children(SAMPLES_PER_SECOND)?;
    let verdicts = run_programs(&PROGRAMS, SECONDS, || sampler.collect().batch)?;
    let mut wrong = 0;
    for (verdict, program) in verdicts.iter().zip(&PROGRAMS) {
        say(&verdict.line());
        wrong += verdict.wrong;
        if verdict.absent.is_none() {
            let name = format!("{}: complete", verdict.name);
            figure_for(&name, verdict.completeness.percent(), "%", Target::AtLeast(program.complete_min));
        }
    }
    figure_for("samples whose stack breaks its grammar", wrong as f64, "samples", Target::AtMost(0.0));
    Ok(())
}

pub(crate) fn real() -> Result<(), String> {
    let prepared: Vec<_> = wanted_programs(&REAL_PROGRAMS)
        .into_iter()
        .map(|name| {
            let program = RealProgram::prepare(&name);
            (name, program)
        })
        .collect();
    let sampler = start_on_children(SAMPLES_PER_SECOND)?;
    let mut all = Completeness::default();
    for (name, program) in prepared {
        let program = match program {
            Ok(program) => program,
            Err(reason) => {
                say(&format!("{name:<18} skipped: {reason}"));
                continue;
            }
        };
        for warm in [false, true] {
            program.run()?;
            let (found, misplaced) = completeness(&sampler.collect().batch, &program.service());
            let label = format!("{name}, {}", if warm { "second run" } else { "first run" });
            // Compilers start hundreds of short processes; Java's compiled code needs more than native tables.
            let target = match name.as_str() {
                "storm" | "gcc" => 99.0,
                "java" => 0.0,
                _ => 99.5,
            };
            figure_for(&format!("{label}: complete"), found.percent(), "%", Target::AtLeast(target));
            say(&format!("    {} samples, {}", found.samples, found.reasons()));
            if !misplaced.is_empty() {
                say(&format!("    of them not put to its service: {misplaced:?}"));
            }
            if warm && name != "java" {
                merge(&mut all, &found);
            }
        }
    }
    figure_for("all second runs but Java's: complete", all.percent(), "%", Target::AtLeast(99.5));
    say(&format!("    {} samples, {}", all.samples, all.reasons()));
    Ok(())
}

/// Counts all samples of this process' children, and by service those which do not go by the name that
/// the program's environment says.
fn completeness(batch: &ProfileBatch, service: &str) -> (Completeness, BTreeMap<String, i64>) {
    let own = i64::from(std::process::id());
    let (mut found, mut misplaced) = (Completeness::default(), BTreeMap::new());
    for stack in stacks(batch).iter().filter(|stack| stack.pid != own) {
        found.add(stack);
        if stack.service != service {
            *misplaced.entry(stack.service.clone()).or_default() += stack.count;
        }
    }
    (found, misplaced)
}

fn merge(all: &mut Completeness, one: &Completeness) {
    all.samples += one.samples;
    all.complete += one.complete;
    all.frames += one.frames;
    for (reason, count) in &one.stops {
        *all.stops.entry(reason.clone()).or_default() += count;
    }
}
