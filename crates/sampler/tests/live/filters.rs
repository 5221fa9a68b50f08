//! Filters, and attributes of single samples.

use super::*;
use hearth_sampler::{Filters, Pattern, Rule, SampleAttributes};

fn executable(pattern: &str) -> Rule {
    Rule { executable: Some(Pattern::new(pattern).unwrap()), ..Rule::default() }
}

fn names(batch: &ProfileBatch) -> Vec<String> {
    let name = |resource: &ResourceProfiles| {
        resource.resource.get_str("process.executable.name").unwrap_or("").to_owned()
    };
    batch.resources.iter().map(name).collect()
}

#[test]
fn excluded_processes_never_appear_and_cost_next_to_nothing() {
    let _turn = take_turn();
    let (Some(hidden), Some(shown)) = (compile("hidden", SHARES), compile("shown", SHARES)) else { return };
    for way in WAYS {
        let exclude = vec![executable("**/hidden")];
        let filters = Filters { include: Vec::new(), exclude };
        let settings = Settings { filters, ..Settings::new(997, Target::Host) };
        // One runs when the sampler starts, one is started later.
        let _before = spawn(&mut Command::new(&hidden));
        let Some(sampler) = start_with(settings, way) else { return };
        let _after = spawn(&mut Command::new(&hidden));
        let visible = spawn(&mut Command::new(&shown));
        sleep(RUN);
        let first = sampler.collect();
        let left_out = sampler.status().left_out;
        sleep(RUN);
        let second = sampler.collect();
        for batch in [&first.batch, &second.batch] {
            let names = names(batch);
            assert!(!names.contains(&"hidden".to_owned()), "{way:?}: {names:?}");
            let strings: Vec<&str> = batch.dictionary.strings().collect();
            assert!(!strings.iter().any(|text| text.contains("/hidden")), "{way:?}: {strings:?}");
            assert!(total(batch) > 0);
            assert!(weight_of(&paths(batch, visible.0.id()), "main;outer") > 20, "{way:?}");
        }
        let later = sampler.status().left_out - left_out;
        assert!(later < 20, "{way:?}: the kernel side still takes samples of it: {later}");
        assert_eq!(i64::try_from(second.samples).unwrap(), total(&second.batch));
    }
}

#[test]
fn only_what_is_included_is_sampled() {
    let _turn = take_turn();
    let Some(binary) = compile("included", SHARES) else { return };
    let filters = Filters { include: vec![executable("**/included")], exclude: Vec::new() };
    let settings = Settings { filters, ..Settings::new(997, Target::Host) };
    let Some(sampler) = start_with(settings, WAYS[0]) else { return };
    let program = spawn(&mut Command::new(&binary));
    sleep(RUN);
    let batch = sampler.collect().batch;
    check_shares_of(&batch, program.0.id());
    let mut names = names(&batch);
    names.dedup();
    assert_eq!(names, ["included"]);
}

fn check_shares_of(batch: &ProfileBatch, pid: u32) {
    let paths = paths(batch, pid);
    assert!(weight_of(&paths, "main;outer;a;spin") > 50, "{paths:#?}");
}

#[test]
fn samples_carry_thread_and_cpu_where_that_is_asked_for() {
    let _turn = take_turn();
    let Some(binary) = compile("tagged", SHARES) else { return };
    let attributes = SampleAttributes { thread_id: true, thread_name: true, cpu: true };
    let settings = Settings { attributes, ..Settings::new(997, Target::Host) };
    let program = spawn(&mut Command::new(&binary));
    let Some(sampler) = start_with(settings, WAYS[0]) else { return };
    sleep(RUN / 2);
    let batch = sampler.collect().batch;
    let samples: Vec<_> = resource_of(&batch, program.0.id())
        .unwrap()
        .profiles
        .iter()
        .flat_map(|profile| &profile.samples)
        .collect();
    assert!(!samples.is_empty());
    let cpus = std::thread::available_parallelism().unwrap().get();
    for sample in samples {
        let text = |key: &str| sample.attributes.get(key).unwrap().to_string();
        assert_eq!(text("thread.id"), program.0.id().to_string());
        assert_eq!(sample.attributes.get_str("thread.name"), Some("tagged"));
        assert!(text("cpu.logical_number").parse::<usize>().unwrap() < cpus.max(64));
    }
}
