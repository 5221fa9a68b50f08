//! Files: new, deleted, replaced, rewritten in place; and what stacks look like that met them first.

use super::*;
use std::path::Path;

/// A chain of functions that keep no frame pointer and use the stack.
fn chain(prefix: &str, rounds: &str) -> String {
    format!(
        r"
#include <stdint.h>
#include <string.h>
volatile uint64_t sink;
void {prefix}_leaf(uint64_t n) {{ char room[64]; memset(room, (int)n, 64); for (uint64_t i = 0; i < n; i++) sink += room[i & 63]; }}
void {prefix}_inner(uint64_t n) {{ char room[200]; memset(room, (int)n, 200); {prefix}_leaf(n); sink += room[n & 127]; }}
void {prefix}_outer(uint64_t n) {{ char room[40]; memset(room, (int)n, 40); {prefix}_inner(n); sink += room[n & 31]; }}
int main(void) {{ for ({rounds}) {prefix}_outer(20000); return 0; }}
"
    )
}

/// Weight of the whole chain, and of all samples of processes with this executable.
fn whole(batch: &ProfileBatch, name: &str, prefix: &str) -> (i64, i64, HashMap<String, i64>) {
    let mut all = HashMap::new();
    for resource in &batch.resources {
        if resource.resource.get_str("process.executable.name") == Some(name) {
            let pid = resource.resource.get("process.pid").unwrap().to_string().parse().unwrap();
            for (path, weight) in paths(batch, pid) {
                *all.entry(path).or_insert(0) += weight;
            }
        }
    }
    let chain = format!("main;{prefix}_outer;{prefix}_inner;{prefix}_leaf");
    (weight_of(&all, &chain), weight_of(&all, &format!("{prefix}_")), all)
}

#[track_caller]
fn check_whole(batch: &ProfileBatch, name: &str, prefix: &str, percent: i64) {
    let (chain, all, paths) = whole(batch, name, prefix);
    assert!(all > 5 && chain * 100 >= all * percent, "{chain} of {all} are whole: {paths:#?}");
}

const NO_FRAME_POINTER: &[&str] = &["-fomit-frame-pointer"];

#[test]
fn the_first_samples_of_programs_nobody_ran_before_are_whole() {
    let _turn = take_turn();
    for (round, way) in WAYS.into_iter().enumerate() {
        let mut programs = Vec::new();
        for number in 0..6 {
            let prefix = format!("fresh{round}{number}");
            let source = chain(&prefix, "int i = 0; i < 1500; i++");
            let Some(binary) = compile_with(&prefix, &source, NO_FRAME_POINTER) else { return };
            programs.push((prefix, binary));
        }
        let Some(sampler) = start(Target::Host, way) else { return };
        // The C library's rows are there; what is new is the program.
        Command::new("true").status().unwrap();
        sleep(Duration::from_millis(500));
        for (_, binary) in &programs {
            Command::new(binary).status().unwrap();
        }
        let batch = sampler.collect().batch;
        let mut sums = (0, 0);
        for (prefix, _) in &programs {
            let (chain, all, _) = whole(&batch, prefix, prefix);
            sums = (sums.0 + chain, sums.1 + all);
        }
        let status = sampler.status();
        assert!(sums.1 > 30, "{way:?}: only {} samples", sums.1);
        // On a machine that is busy with other things, some end before they can be asked for their mappings,
        // which the fallback depends on.
        let percent = if way.force_fallback { 50 } else { 80 };
        assert!(sums.0 * 100 >= sums.1 * percent, "{way:?}: {sums:?} whole; {status:#?}");
    }
}

#[test]
fn a_deleted_program_keeps_its_chains() {
    let _turn = take_turn();
    let source = chain("gone", ";;");
    for way in WAYS {
        let Some(binary) = compile_with("deleted", &source, NO_FRAME_POINTER) else { return };
        let program = spawn(&mut Command::new(&binary));
        std::fs::remove_file(&binary).unwrap();
        let Some(sampler) = start(Target::Processes(vec![program.0.id()]), way) else { return };
        sleep(RUN);
        check_whole(&sampler.collect().batch, "deleted", "gone", 90);
    }
}

#[test]
fn a_program_that_was_replaced_is_told_from_the_new_one() {
    let _turn = take_turn();
    let (old, new) = (chain("old", ";;"), chain("new", ";;"));
    for way in WAYS {
        let Some(sampler) = start(Target::Host, way) else { return };
        let Some(binary) = compile_with("replaced", &old, NO_FRAME_POINTER) else { return };
        let running_old = spawn(&mut Command::new(&binary));
        sleep(Duration::from_millis(300));
        let Some(binary) = compile_with("replaced", &new, NO_FRAME_POINTER) else { return };
        let running_new = spawn(&mut Command::new(&binary));
        sleep(RUN);
        let batch = sampler.collect().batch;
        for (process, prefix, other) in [(&running_old, "old_", "new_"), (&running_new, "new_", "old_")] {
            let paths = paths(&batch, process.0.id());
            assert!(weight_of(&paths, prefix) > 20, "{way:?}: {paths:#?}");
            assert_eq!(weight_of(&paths, other), 0, "{way:?}: {paths:#?}");
        }
    }
}

/// Overwrites a file's bytes; its inode stays.
fn rewrite(file: &Path, with: &Path) {
    let bytes = std::fs::read(with).unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(file).unwrap();
    file.write_all(&bytes).unwrap();
}

#[test]
fn a_program_rewritten_in_place_is_not_taken_for_what_it_was() {
    let _turn = take_turn();
    let (before, after) =
        (chain("before", "int i = 0; i < 4000; i++"), chain("newer1", "int i = 0; i < 4000; i++"));
    for way in WAYS {
        let Some(sampler) = start(Target::Host, way) else { return };
        let Some(binary) = compile_with("rewritten", &before, NO_FRAME_POINTER) else { return };
        let Some(other) = compile_with("rewritten-to", &after, NO_FRAME_POINTER) else { return };
        Command::new(&binary).status().unwrap();
        check_whole(&sampler.collect().batch, "rewritten", "before", 80);
        rewrite(&binary, &other);
        Command::new(&binary).status().unwrap();
        let batch = sampler.collect().batch;
        check_whole(&batch, "rewritten", "newer1", 80);
        let (_, stale, paths) = whole(&batch, "rewritten", "before");
        assert_eq!(stale, 0, "{way:?}: {paths:#?}");
    }
}

#[test]
fn memory_for_tables_has_a_bound_and_what_does_not_fit_is_counted() {
    let _turn = take_turn();
    let source = chain("bounded", ";;");
    let Some(binary) = compile_with("bounded", &source, NO_FRAME_POINTER) else { return };
    let mut settings = Settings::new(997, Target::Host);
    settings.budgets.table_bytes = 1 << 20;
    let Some(sampler) = start_with(settings, WAYS[0]) else { return };
    // Larger than everything there may be.
    let mut large = Command::new("python3");
    large.args(["-c", "import ctypes, glob\nfor f in glob.glob('/usr/lib/*/lib*.so*')[:400]:\n try: ctypes.CDLL(f)\n except OSError: pass"]);
    large.stderr(Stdio::null()).status().ok();
    let program = spawn(&mut Command::new(&binary));
    sleep(RUN);
    let batch = sampler.collect().batch;
    let status = sampler.status();
    assert!(status.table_bytes <= 1 << 20, "{status:#?}");
    assert!(weight_of(&paths(&batch, program.0.id()), "bounded_leaf") > 100);
}
