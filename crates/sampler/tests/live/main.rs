//! The sampler on the live kernel: known programs, known chains, known shares.
//!
//! Needs root (or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE) and a C compiler; prints `skipped:` without.
//! Sampling is system-wide state, so the tests take turns.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use hearth_profile::{FrameKind, ProfileBatch, ResourceProfiles};
use hearth_sampler::{Collection, FeatureLevel, Overrides, Sampler, Settings, StartError, Target};

mod files;
mod filters;
mod identity;

static TURN: Mutex<()> = Mutex::new(());

const RUN: Duration = Duration::from_millis(1500);

/// Functions a, b and c burn 60, 30 and 10 percent, in one process; `spin` has no frame of its own.
const SHARES: &str = r"
#include <stdint.h>
volatile uint64_t sink;
void spin(uint64_t n) { for (uint64_t i = 0; i < n; i++) sink += i; }
void a(void) { spin(60000); sink++; }
void b(void) { spin(30000); sink++; }
void c(void) { spin(10000); sink++; }
void outer(void) { a(); b(); c(); sink++; }
int main(void) { for (;;) outer(); }
";

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn take_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compile(name: &str, source: &str) -> Option<PathBuf> {
    compile_with(name, source, &["-fno-omit-frame-pointer"])
}

/// Compiles without inlining, else as `flags` say.
fn compile_with(name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (text, binary) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&text, source).unwrap();
    // A new inode: what an earlier run left may be known by now.
    std::fs::remove_file(&binary).ok();
    let base = ["-O1", "-fno-inline", "-fno-optimize-sibling-calls"];
    match Command::new("cc").args(base).args(flags).arg("-o").arg(&binary).arg(&text).status() {
        Ok(status) => {
            assert!(status.success(), "{name}.c does not compile");
            Some(binary)
        }
        Err(_) => {
            println!("skipped: no C compiler (cc)");
            None
        }
    }
}

fn spawn(command: &mut Command) -> Running {
    Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Both ways to find mappings: in the kernel, and by tables told to it.
const WAYS: [Overrides; 2] = [
    Overrides { force_fallback: false, feature_level: None },
    Overrides { force_fallback: true, feature_level: None },
];

/// A sampler; none, said aloud, where this process may not sample.
fn start(target: Target, overrides: Overrides) -> Option<Sampler> {
    start_with(Settings::new(997, target), overrides)
}

fn start_with(settings: Settings, overrides: Overrides) -> Option<Sampler> {
    match Sampler::start_with(settings, overrides) {
        Ok(sampler) => Some(sampler),
        Err(
            error @ (StartError::NotPermitted { .. }
            | StartError::NoBtf { .. }
            | StartError::KernelTooOld { .. }),
        ) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn resource_of(batch: &ProfileBatch, pid: u32) -> Option<&ResourceProfiles> {
    batch.resources.iter().find(|resource| {
        resource.resource.get("process.pid").is_some_and(|value| value.to_string() == pid.to_string())
    })
}

/// Root-first names of each stack of a process with its weight, whatever it executed.
fn paths(batch: &ProfileBatch, pid: u32) -> HashMap<String, i64> {
    let mut paths = HashMap::new();
    let is = |resource: &&ResourceProfiles| {
        resource.resource.get("process.pid").is_some_and(|value| value.to_string() == pid.to_string())
    };
    let profiles = batch.resources.iter().filter(is).flat_map(|resource| &resource.profiles);
    for sample in profiles.flat_map(|profile| &profile.samples) {
        let mut names: Vec<String> = batch
            .dictionary
            .leaf_first(sample.stack)
            .flat_map(|location| batch.dictionary.names(location))
            .map(|(name, _)| name)
            .collect();
        names.reverse();
        *paths.entry(names.join(";")).or_insert(0) += sample.value;
    }
    paths
}

fn weight_of(paths: &HashMap<String, i64>, part: &str) -> i64 {
    paths.iter().filter(|(path, _)| path.contains(part)).map(|(_, value)| value).sum()
}

fn total(batch: &ProfileBatch) -> i64 {
    batch.profiles().map(hearth_profile::Profile::total).sum()
}

/// Every chain is there, at its share.
fn check_shares(collection: &Collection, pid: u32) {
    let paths = paths(&collection.batch, pid);
    let all: i64 = paths.values().sum();
    assert!(all > 150, "only {all} samples of a program that does nothing but run: {paths:#?}");
    for (function, want) in [("a", 60), ("b", 30), ("c", 10)] {
        let weight = weight_of(&paths, &format!("main;outer;{function};spin"));
        let percent = weight * 100 / all;
        assert!(
            (want - 6..=want + 6).contains(&percent),
            "{function}: {percent} % instead of {want} %: {paths:#?}"
        );
    }
    let chains = weight_of(&paths, "main;outer;");
    assert!(chains * 100 >= all * 97, "{chains} of {all} samples have the whole chain: {paths:#?}");
}

#[test]
fn chains_and_shares_of_a_program_are_found() {
    let _turn = take_turn();
    let Some(binary) = compile("shares", SHARES) else { return };
    let program = spawn(&mut Command::new(&binary));
    let Some(sampler) = start(Target::Host, Overrides::default()) else { return };
    sleep(RUN);
    let collection = sampler.collect();
    check_shares(&collection, program.0.id());

    let resource = &resource_of(&collection.batch, program.0.id()).unwrap().resource;
    assert_eq!(resource.get_str("process.executable.name"), Some("shares"));
    assert_eq!(resource.get_str("process.executable.path"), binary.to_str());
    assert_eq!(resource.get_str("service.name"), Some("shares"));
    let status = sampler.status();
    assert_eq!(status.degraded, None, "the self-test failed");
    assert!(status.frames_by_rows > 0 && status.tables > 0, "{status:?}");
}

#[test]
fn little_kernel_memory_is_held_before_the_first_process() {
    let _turn = take_turn();
    // With room for no more tables than are ready at the start.
    let mut settings = Settings::new(97, Target::Host);
    settings.budgets.table_bytes = 1 << 20;
    let Some(sampler) = start_with(settings, Overrides::default()) else { return };
    let bytes = sampler.status().map_bytes;
    assert!(bytes > 0 && bytes < 4 << 20, "{bytes} bytes of maps");
}

#[test]
fn no_sample_is_lost_between_the_kernel_and_the_profiles() {
    let _turn = take_turn();
    let Some(binary) = compile("weights", SHARES) else { return };
    let program = spawn(&mut Command::new(&binary));
    let Some(sampler) = start(Target::Processes(vec![program.0.id()]), Overrides::default()) else { return };
    sleep(RUN / 2);
    let first = sampler.collect();
    sleep(RUN / 2);
    drop(program);
    // Nothing can be sampled any more, so the counters stand still.
    sleep(Duration::from_millis(50));
    let second = sampler.collect();
    assert_eq!(total(&first.batch), i64::try_from(first.samples).unwrap());
    assert_eq!(total(&second.batch), i64::try_from(second.samples).unwrap());
    let status = sampler.status();
    let lost: u64 = status.lost.iter().map(|(_, count)| count).sum();
    assert_eq!(first.samples + second.samples + lost, status.samples);
    let stops: u64 = status.stops.iter().map(|(_, count)| count).sum();
    assert_eq!(stops, first.samples + second.samples, "every walk ends for one reason: {:?}", status.stops);
    assert!(first.samples > 200, "{first:?}");
}

#[test]
fn told_mappings_find_the_same_chains() {
    let _turn = take_turn();
    let Some(binary) = compile("fallback", SHARES) else { return };
    let program = spawn(&mut Command::new(&binary));
    let Some(sampler) = start(Target::Host, WAYS[1]) else { return };
    sleep(RUN);
    check_shares(&sampler.collect(), program.0.id());
    assert!(sampler.status().degraded.is_some());
}

#[test]
fn programs_for_older_kernels_find_the_same_chains() {
    let _turn = take_turn();
    let Some(binary) = compile("older", SHARES) else { return };
    let program = spawn(&mut Command::new(&binary));
    let overrides = Overrides { feature_level: Some(FeatureLevel::V5_10), ..Overrides::default() };
    let Some(sampler) = start(Target::Host, overrides) else { return };
    sleep(RUN);
    check_shares(&sampler.collect(), program.0.id());
    assert_eq!(sampler.status().feature_level, FeatureLevel::V5_10);
}

#[test]
fn kernel_frames_stand_above_user_frames() {
    let _turn = take_turn();
    let dd = spawn(Command::new("dd").args(["if=/dev/zero", "of=/dev/null", "bs=64k"]));
    let Some(sampler) = start(Target::Processes(vec![dd.0.id()]), Overrides::default()) else { return };
    sleep(RUN);
    let Collection { batch, .. } = sampler.collect();
    let resource = resource_of(&batch, dd.0.id()).expect("dd was sampled");
    let (mut in_kernel, mut all) = (0, 0);
    for sample in resource.profiles.iter().flat_map(|profile| &profile.samples) {
        let kinds: Vec<bool> = batch
            .dictionary
            .leaf_first(sample.stack)
            .map(|location| batch.dictionary.get_location(location).kind == FrameKind::Kernel)
            .collect();
        let kernel = kinds.iter().take_while(|kernel| **kernel).count();
        assert!(!kinds[kernel..].contains(&true), "kernel frames below user frames: {kinds:?}");
        all += sample.value;
        in_kernel += if kernel > 0 && kernel < kinds.len() { sample.value } else { 0 };
    }
    assert!(in_kernel * 10 >= all * 7, "{in_kernel} of {all} samples have kernel frames above user frames");
    let paths = paths(&batch, dd.0.id());
    let named = weight_of(&paths, "read;");
    assert!(named > 0, "no sample of dd's read: {paths:#?}");
}

#[test]
fn only_the_targets_and_their_children_are_sampled() {
    let _turn = take_turn();
    let Some(binary) = compile("child", SHARES) else { return };
    let Some(bystander) = compile("bystander", SHARES) else { return };
    let other = spawn(&mut Command::new(&bystander));
    // The shell is the target; what it starts later is sampled because the shell forked it.
    // It ends by itself, since the shell may be killed first.
    let script = format!("read go; timeout 4 {} & wait", binary.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut shell = Running(command.spawn().unwrap());
    let Some(sampler) = start(Target::Processes(vec![shell.0.id()]), Overrides::default()) else { return };
    shell.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    sleep(RUN);
    let Collection { batch, .. } = sampler.collect();
    let services: Vec<_> =
        batch.resources.iter().map(|resource| resource.resource.get_str("service.name")).collect();
    assert!(services.contains(&Some("child")), "{services:?}");
    assert!(!services.contains(&Some("bystander")), "{services:?}");
    assert!(resource_of(&batch, other.0.id()).is_none());
}

#[test]
fn processes_that_are_gone_keep_their_name_and_functions() {
    let _turn = take_turn();
    // Runs for about a tenth of a second, several times.
    let source = SHARES.replace("for (;;) outer();", "for (int i = 0; i < 800; i++) outer(); return 0;");
    let Some(binary) = compile("shortlived", &source) else { return };
    let Some(sampler) = start(Target::Host, Overrides::default()) else { return };
    for _ in 0..5 {
        Command::new(&binary).status().unwrap();
    }
    let Collection { batch, .. } = sampler.collect();
    let mut weight = 0;
    for resource in &batch.resources {
        if resource.resource.get_str("service.name") == Some("shortlived") {
            let pid: u32 = resource.resource.get("process.pid").unwrap().to_string().parse().unwrap();
            weight += weight_of(&paths(&batch, pid), "main;outer;a;spin");
        }
    }
    let services: Vec<_> =
        batch.resources.iter().map(|resource| resource.resource.get_str("service.name")).collect();
    assert!(weight > 0, "no named sample of a short-lived process: {services:?}");
}

#[test]
fn a_frequency_out_of_range_is_refused() {
    for samples_per_second in [0, 10_001] {
        let error = Sampler::start(Settings { samples_per_second, ..Settings::default() }).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("samples_per_second: {samples_per_second} is out of range; expected 1 to 10000 per CPU")
        );
    }
}
