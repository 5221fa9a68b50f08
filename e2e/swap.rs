//! The truth of the walk: whatever other threads do to a process' mappings, a look-up names the file
//! that is mapped there, or says that it does not know.
//!
//! The kernel side reads the kernel's tree of mappings without its locks. Here a program swaps two
//! libraries at one address in every way there is, and other threads keep the trees in motion:
//!
//! - *look-ups*: the kernel side's own code looks up that address millions of times, from a BPF program
//!   which knows by an epoch in shared memory which file is there (`bpf/tests/truth.bpf.c`);
//! - *samples*: threads run in the libraries, called by a function whose name tells which one it is.
//!
//! The tests here are short; `cargo xtask vm --swap` runs the long ones, which are ignored, on every kernel.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;
#[expect(dead_code, reason = "each test program uses a part of it")]
mod programs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::maps::Array;
use aya::programs::RawTracePoint;
use aya::{Ebpf, EbpfLoader};
use common::can_sample;
use hearth_sampler::{Overrides, Sampler, Settings, Target};
use hearth_testkit::say;
use programs::{Stacks, figure, program, run};

/// 8-byte words of `struct truth` before its counters, its counters, and its last wrong answer.
const FILES_WORDS: usize = 10;
const COUNTS: [&str; 8] =
    ["look-ups", "still", "right", "gave up", "not seen", "wrong", "swapped", "swapped and wrong"];
const WRONG_WORDS: usize = 8;

/// A BPF program in the BPF file system, where another process finds it.
struct Pinned {
    bpf: Ebpf,
    path: PathBuf,
}

impl Pinned {
    fn load(object: &Path) -> Self {
        let bytes = std::fs::read(object).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
        let mut bpf = EbpfLoader::new().load(&bytes).expect("the object loads");
        let path = PathBuf::from(format!("/sys/fs/bpf/hearth-truth-{}", std::process::id()));
        let program: &mut RawTracePoint =
            bpf.program_mut("truth").expect("a program").try_into().expect("a raw tracepoint");
        program.load().expect("the kernel takes it");
        program
            .pin(&path)
            .unwrap_or_else(|error| panic!("{} (is a bpf file system there?): {error}", path.display()));
        Self { bpf, path }
    }

    /// The counters by name, and the last wrong answer.
    fn truth(&self) -> (Vec<(&'static str, u64)>, Vec<u64>) {
        const WORDS: usize = FILES_WORDS + COUNTS.len() + WRONG_WORDS;
        let map = self.bpf.map("truths").expect("the map");
        let truths: Array<_, [u64; WORDS]> = Array::try_from(map).expect("an array of this size");
        let words = truths.get(&0, 0).expect("an entry");
        let counts = COUNTS.into_iter().zip(words[FILES_WORDS..].iter().copied()).collect();
        (counts, words[FILES_WORDS + COUNTS.len()..].to_vec())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

fn libraries() -> [PathBuf; 2] {
    [program("first.so"), program("second.so")]
}

/// Looks up `count` times; panics at the first answer that was not true.
fn look_up(count: u64) {
    let object = program("truth.bpf.o");
    if !object.exists() {
        say("skipped: truth.bpf.o is absent: no clang-14");
        return;
    }
    let pinned = Pinned::load(&object);
    let output = Command::new(program("swap"))
        .arg("lookups")
        .arg(&pinned.path)
        .args(libraries())
        .arg(count.to_string())
        .output()
        .expect("the program starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let (counts, last_wrong) = pinned.truth();
    let of = |name: &str| counts.iter().find(|(found, _)| *found == name).map_or(0, |(_, count)| *count);
    figure(&format!("truth of look-ups: {counts:?} with {}", printed.trim()));
    assert!(of("look-ups") >= count);
    assert_eq!(
        of("wrong") + of("swapped and wrong"),
        0,
        "{counts:?}; of the last wrong one epoch, offset, inode, start, end, offset of start, result, kind: {last_wrong:x?}"
    );
    assert!(of("swapped") > 0 && of("still") > 0, "nothing was put to the test: {counts:?}");
    // It may say that it does not know, but seldom.
    assert!((of("gave up") + of("not seen")) * 20 <= of("still"), "{counts:?}");
}

/// Samples until there are `count`; panics if one names the library that was not there.
fn sample(count: i64, overrides: Overrides) {
    let swap = run(Command::new(program("swap")).arg("samples").args(libraries()));
    let settings = Settings::new(1999, Target::Processes(vec![swap.id()]));
    let sampler = Sampler::start_with(settings, overrides).unwrap_or_else(|error| panic!("{error}"));
    // The first window reads the files.
    sleep(Duration::from_secs(1));
    sampler.collect();
    let mut stacks = Stacks::default();
    let deadline = Instant::now() + Duration::from_secs(u64::try_from(count).unwrap_or(0) / 50 + 60);
    let judged = |stacks: &Stacks| stacks.weight(|path| path.contains("hearth_expect_"));
    while judged(&stacks) < count && Instant::now() < deadline {
        sleep(Duration::from_secs(1));
        stacks.add(&sampler.collect().batch, swap.id());
    }
    let first = |path: &str| path.contains("hearth_expect_first");
    let right = stacks.weight(|path| {
        let library = if first(path) { "hearth_in_first" } else { "hearth_in_second" };
        path.contains("hearth_expect_") && path.contains(library)
    });
    let wrong = |path: &str| {
        let other = if first(path) { "second" } else { "first" };
        path.contains("hearth_expect_")
            && (path.contains(&format!("hearth_in_{other}")) || path.contains(&format!("{other}.so")))
    };
    let wrong_weight = stacks.weight(wrong);
    let status = sampler.status();
    figure(&format!(
        "truth of samples: {} samples, {right} name the library, {wrong_weight} the other one, {} stopped; \
         look-ups {}, changed {}; {}",
        stacks.total(),
        stacks.weight(|path| path.contains("[stopped:")),
        status.vma_walks,
        status.vma_walks_changed,
        status.degraded.unwrap_or_else(|| "main path".to_owned()),
    ));
    let shown: Vec<(&String, &i64)> = stacks.0.iter().filter(|(path, _)| wrong(path)).collect();
    assert_eq!(wrong_weight, 0, "{shown:#?}");
    assert!(right * 10 >= count * 9, "only {right} samples were put to the test\n{}", stacks.shown(20));
}

#[test]
fn look_ups_of_swapped_files_are_true() {
    if can_sample("look_ups_of_swapped_files_are_true") {
        look_up(500_000);
    }
}

#[test]
fn samples_in_swapped_files_are_true() {
    if can_sample("samples_in_swapped_files_are_true") {
        sample(1_000, Overrides::default());
    }
}

#[test]
#[ignore = "takes minutes; cargo xtask vm --swap runs it"]
fn ten_million_look_ups_of_swapped_files_are_true() {
    look_up(10_000_000);
}

#[test]
#[ignore = "takes minutes; cargo xtask vm --swap runs it"]
fn many_samples_in_swapped_files_are_true() {
    sample(50_000, Overrides::default());
}
