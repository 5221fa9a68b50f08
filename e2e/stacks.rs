//! Stacks are whole and right: programs that state the grammar of their calls, compiled in every way
//! that matters to unwinding, and real programs, on the live kernel.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use common::can_sample;
use hearth_profile::ProfileBatch;
use hearth_sampler::{Sampler, Settings, Target};
use hearth_testkit::{
    Comparable, Completeness, Counts, PROGRAMS, RealProgram, distance, perf_record, run_programs, say, stacks,
};

const SAMPLES_PER_SECOND: u32 = 997;

/// A sampler of this process and all its later children.
fn start() -> Sampler {
    let target = Target::Processes(vec![std::process::id()]);
    Sampler::start(Settings::new(SAMPLES_PER_SECOND, target)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_stack_obeys_the_grammar_of_its_program() {
    if !can_sample("every_stack_obeys_the_grammar_of_its_program") {
        return;
    }
    let sampler = start();
    let verdicts = run_programs(&PROGRAMS, 40, || sampler.collect().batch).expect("the programs run");
    let mut problems = Vec::new();
    for (verdict, program) in verdicts.iter().zip(&PROGRAMS) {
        say(&verdict.line());
        problems.extend(verdict.problems(program));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Counts the samples of this process' children.
fn completeness(batch: &ProfileBatch) -> Completeness {
    let own = i64::from(std::process::id());
    let mut found = Completeness::default();
    stacks(batch).iter().filter(|stack| stack.pid != own).for_each(|stack| found.add(stack));
    found
}

#[test]
fn stacks_of_real_programs_reach_their_root() {
    if !can_sample("stacks_of_real_programs_reach_their_root") {
        return;
    }
    // Some hundred samples each leave these room for chance. OpenSSL's assembly counts frames from registers
    // that are not followed; rustc's libraries have tables that take seconds to build.
    let programs = [
        ("openssl", 80.0),
        ("xz", 98.5),
        ("zstd", 98.5),
        ("sqlite3", 98.5),
        ("gcc", 97.0),
        ("rustc", 0.0),
        ("rust", 98.5),
        ("python", 98.5),
        ("python-extensions", 98.5),
        ("node", 97.0),
        ("postgres", 98.0),
        ("go", 88.0),
        ("storm", 96.0),
    ];
    let sampler = start();
    let mut problems = Vec::new();
    for (name, least) in programs {
        let program = match RealProgram::prepare(name) {
            Ok(program) => program,
            Err(reason) => {
                say(&format!("stacks_of_real_programs_reach_their_root: skipped: {name}: {reason}"));
                continue;
            }
        };
        // The files of short programs are known only after a first run; steady state is the second.
        program.run().unwrap_or_else(|error| panic!("{error}"));
        sampler.collect();
        program.run().unwrap_or_else(|error| panic!("{error}"));
        let whole = completeness(&sampler.collect().batch);
        let text = format!(
            "{name:<18} {:>6} samples {:>7.2} % complete  {}",
            whole.samples,
            whole.percent(),
            whole.reasons()
        );
        say(&text);
        if whole.samples < 100 || whole.percent() < least {
            problems.push(text);
        }
    }
    assert!(problems.is_empty(), "not whole often enough:\n{}", problems.join("\n"));
}

#[test]
fn stacks_are_those_of_perf() {
    let test = "stacks_are_those_of_perf";
    if !can_sample(test) {
        return;
    }
    let program = match RealProgram::prepare("sqlite3") {
        Ok(program) => program,
        Err(reason) => return say(&format!("{test}: skipped: {reason}")),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut comparable = Comparable::default();
    let (mut perf, mut ours) = ([Counts::new(), Counts::new()], Counts::new());
    let total = |counts: &Counts| counts.values().sum::<i64>();
    let add = |to: &mut Counts, more: Counts| {
        more.into_iter().for_each(|(key, count)| *to.entry(key).or_default() += count);
    };
    // In turn, so that both meet the same machine; each more than once to have samples enough.
    for _ in 0..20 {
        for counts in perf.iter_mut().filter(|counts| total(counts) < 5_000) {
            let script = match perf_record(&program.command_to_run(), SAMPLES_PER_SECOND, folder.path()) {
                Ok(script) => script,
                Err(reason) if reason.ends_with("absent") => {
                    return say(&format!("{test}: skipped: {reason}"));
                }
                Err(reason) => panic!("{reason}"),
            };
            // In about half of its recordings perf 6.1 cannot unwind the C library at all: those are nothing
            // to compare with.
            let recording = comparable.perf(&script);
            let whole = recording.iter().filter(|(stack, _)| stack.starts_with("sqlite3!"));
            if whole.map(|(_, count)| count).sum::<i64>() * 10 >= total(&recording) * 9 {
                add(counts, recording);
            }
        }
        if total(&ours) < 5_000 {
            let sampler = start();
            program.run().unwrap_or_else(|error| panic!("{error}"));
            let mut found = stacks(&sampler.collect().batch);
            found.retain(|stack| stack.service == program.service());
            add(&mut ours, comparable.ours(&found));
        }
    }
    if perf.iter().any(|counts| total(counts) < 5_000) {
        return say(&format!("{test}: skipped: whole stacks are absent from perf's recordings"));
    }
    let [perf, again] = &perf;
    let itself = distance(perf, again).expect("samples");
    let from_perf = distance(perf, &ours).expect("samples");
    say(&format!(
        "whole stacks: perf from itself {itself:.3}, ours from perf {from_perf:.3}; {}, {} and {} samples",
        total(perf),
        total(again),
        total(&ours)
    ));
    assert!(from_perf <= itself + 0.05, "{from_perf} is more than {itself} + 0.05");
}
