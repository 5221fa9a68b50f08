//! What must hold on every kernel. `cargo xtask vm` runs these in guests with kernels 5.10 to 7;
//! the same tests run on this machine's own kernel.
//!
//! The programs sampled are those of `e2e/vm/programs`, in `$HEARTH_PROGRAMS` if they are there already.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;
mod programs;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{can_sample, hearth};
use hearth_sampler::{FeatureLevel, Overrides, Sampler, Settings, Status, Target};
use programs::{Stacks, figure, in_guest, program, run};

/// Emulated guests are slow, and their timers late: sample until there is enough.
const SAMPLES_WANTED: i64 = 150;
const WAIT: Duration = Duration::from_secs(40);
const SAMPLES_PER_SECOND: u32 = 997;

/// CPU time of a program's start, in hundredths of a second.
const START_TICKS: u64 = 40;

/// What a program must show: arguments, and a chain that all but a few of its stacks begin with.
const PLACES: [(&str, &str, &str); 10] = [
    ("shares-rows", "", "main;hearth_outer"),
    ("shares-frames", "", "main;hearth_outer"),
    ("shares-static", "", "main;hearth_outer"),
    ("shares-static-pie", "", "main;hearth_outer"),
    ("deep", "300", "main;hearth_deeper;hearth_deeper"),
    ("places", "vdso", "main;hearth_vdso"),
    ("places", "kernel", "main;hearth_kernel"),
    ("places", "fault", "main;hearth_fault"),
    ("places", "signal", "main;hearth_signal"),
    ("places", "orphan", "hearth_orphan"),
];

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release").trim().to_owned()
}

/// Major and minor number of the running kernel.
fn version() -> (u32, u32) {
    let release = release();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// CPU time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn start(overrides: Overrides) -> Sampler {
    Sampler::start_with(Settings::new(SAMPLES_PER_SECOND, Target::Host), overrides)
        .unwrap_or_else(|error| panic!("{}: {error}", release()))
}

/// Runs `name` and samples until there is enough of it; its stacks.
fn sample(sampler: &Sampler, name: &str, argument: &str) -> Stacks {
    let child = run(Command::new(program(name)).args(argument.split_whitespace()));
    let deadline = Instant::now() + WAIT;
    // How it starts is of no interest; a slow guest takes long for that.
    while cpu_ticks(child.id()) < START_TICKS && Instant::now() < deadline {
        sleep(Duration::from_millis(50));
    }
    sampler.collect();
    let mut stacks = Stacks::default();
    while stacks.total() < SAMPLES_WANTED && Instant::now() < deadline {
        sleep(Duration::from_millis(300));
        stacks.add(&sampler.collect().batch, child.id());
    }
    stacks
}

/// Every program shows its chain; what is not complete is named.
fn check_places(sampler: &Sampler, what: &str) {
    let mut wrong = Vec::new();
    // Makes the C library known; from then on nothing may be missed.
    sample(sampler, "shares-rows", "");
    for (name, argument, chain) in PLACES {
        let stacks = sample(sampler, name, argument);
        let (all, whole) = (stacks.total(), stacks.weight(|path| path.contains(chain)));
        let stopped = stacks.weight(|path| path.contains("[stopped:"));
        figure(&format!("{what}: {name} {argument}: {whole} of {all} samples whole, {stopped} stopped"));
        if whole * 100 < all * 98 || stopped * 100 > all * 2 || all < SAMPLES_WANTED / 4 {
            wrong.push(format!("{what}: {name} {argument}: want {chain}\n{}", stacks.shown(12)));
        }
        if name.starts_with("shares") {
            wrong.extend(wrong_shares(&stacks).map(|text| format!("{what}: {name}: {text}")));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", release(), wrong.join("\n"));
}

/// Functions whose share is off by more than nine points: the samples are few, the guests' clocks coarse.
fn wrong_shares(stacks: &Stacks) -> Option<String> {
    let all = stacks.total();
    let share = |function: &str| {
        let chain = format!("main;hearth_outer;{function};");
        (function.to_owned(), stacks.weight(|path| path.contains(&chain)) * 100 / all.max(1))
    };
    let found: BTreeMap<String, i64> = ["hearth_a", "hearth_b", "hearth_c"].map(share).into();
    let off = |(function, want): (&str, i64)| (found[function] - want).abs() > 9;
    let any = [("hearth_a", 60), ("hearth_b", 30), ("hearth_c", 10)].into_iter().any(off);
    any.then(|| format!("shares {found:?} in percent\n{}", stacks.shown(12)))
}

fn figures(what: &str, status: &Status, started: Duration) {
    let per_sample = status.bpf_run_time.as_micros() / u128::from(status.bpf_run_count.max(1));
    figure(&format!(
        "{what}: Linux {}, level {}, started in {} ms, maps {} KiB, {per_sample} us of BPF per sample, \
         look-ups {} of which changed {}, lost {:?}",
        release(),
        status.feature_level.name(),
        started.as_millis(),
        status.map_bytes / 1024,
        status.vma_walks,
        status.vma_walks_changed,
        status.lost.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>(),
    ));
}

#[test]
fn stacks_are_whole_in_every_place() {
    if !can_sample("stacks_are_whole_in_every_place") {
        return;
    }
    let began = Instant::now();
    let sampler = start(Overrides::default());
    let started = began.elapsed();
    check_places(&sampler, "main path");
    let status = sampler.status();
    figures("main path", &status, started);
    assert_eq!(status.degraded, None, "the self-test failed on {}", release());
    let newest = if version() >= (5, 15) { FeatureLevel::V5_15 } else { FeatureLevel::V5_10 };
    assert_eq!(status.feature_level, newest, "on {}", release());
}

#[test]
fn stacks_are_whole_in_every_place_on_the_fallback() {
    if !can_sample("stacks_are_whole_in_every_place_on_the_fallback") {
        return;
    }
    let began = Instant::now();
    let sampler = start(Overrides { force_fallback: true, ..Overrides::default() });
    let started = began.elapsed();
    check_places(&sampler, "fallback");
    figures("fallback", &sampler.status(), started);
    assert!(sampler.status().degraded.is_some());
}

#[test]
fn objects_for_older_kernels_work_on_newer_ones() {
    // With FRED (6.9 and later) the registers of a task in the kernel lie where 5.10 does not look.
    if !can_sample("objects_for_older_kernels_work_on_newer_ones") || !((5, 15)..(6, 9)).contains(&version())
    {
        return;
    }
    let sampler = start(Overrides { feature_level: Some(FeatureLevel::V5_10), ..Overrides::default() });
    let stacks = sample(&sampler, "places", "kernel");
    let whole = stacks.weight(|path| path.contains("main;hearth_kernel"));
    assert!(whole * 100 >= stacks.total() * 98, "{}", stacks.shown(12));
    assert_eq!(sampler.status().feature_level, FeatureLevel::V5_10);
}

#[test]
fn a_32_bit_process_is_a_marked_stop_and_nothing_else_suffers() {
    if !can_sample("a_32_bit_process_is_a_marked_stop_and_nothing_else_suffers") {
        return;
    }
    let Ok(mut runs) = Command::new(program("compat")).spawn() else {
        println!("skipped: compat: absent or this kernel runs no 32-bit programs");
        return;
    };
    runs.kill().and_then(|()| runs.wait()).expect("it ends");
    let sampler = start(Overrides::default());
    let _other = run(Command::new(program("compat")).arg("beside"));
    let stacks = sample(&sampler, "compat", "");
    let marked = stacks.weight(|path| path.contains("[stopped: 32-bit process]"));
    figure(&format!("32-bit: {marked} of {} samples marked", stacks.total()));
    assert!(marked > 0 && marked == stacks.total(), "{}", stacks.shown(12));
    let beside = sample(&sampler, "shares-rows", "");
    let whole = beside.weight(|path| path.contains("main;hearth_outer;"));
    assert!(whole * 100 >= beside.total() * 98, "{}", beside.shown(12));
}

#[test]
fn short_processes_are_sampled_whole_and_named() {
    const PROCESSES: i64 = 40;
    if !can_sample("short_processes_are_sampled_whole_and_named") {
        return;
    }
    let sampler = start(Overrides::default());
    // The first one makes its files known.
    for _ in 0..=PROCESSES {
        let status = Command::new(program("shares-rows")).arg("50").status().expect("it runs");
        assert!(status.success());
    }
    sleep(Duration::from_millis(300));
    let collection = sampler.collect();
    let mut stacks = Stacks::default();
    for resource in &collection.batch.resources {
        if resource.resource.get_str("process.executable.name") == Some("shares-rows") {
            stacks.add_resource(&collection.batch, resource);
        }
    }
    // Half of what was burnt must be there under its name even where timers are late.
    let wanted = PROCESSES * 50 * i64::from(SAMPLES_PER_SECOND) / 1000 / 2;
    let main = stacks.weight(|path| path.contains("main;hearth_outer;"));
    let starting = stacks.weight(|path| !path.contains("main"));
    let stopped = stacks.weight(|path| path.contains("[stopped:"));
    figure(&format!(
        "{PROCESSES} processes of 50 ms: {} samples, {main} in main, {starting} before it, {stopped} stopped",
        stacks.total()
    ));
    assert!(main >= wanted, "{main} samples in main, wanted {wanted}\n{}", stacks.shown(12));
    assert!(stopped * 100 <= stacks.total() * 2, "{}", stacks.shown(20));
}

#[test]
fn the_binary_records_and_the_doctor_is_well() {
    if !can_sample("the_binary_records_and_the_doctor_is_well") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folded = folder.path().join("out.folded");
    let output = hearth()
        .args(["record", "-F", "499", "-o"])
        .arg(&folded)
        .arg("--")
        .arg(program("shares-rows"))
        .arg("1500")
        .output()
        .expect("the binary starts");
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}");
    let text = fs::read_to_string(&folded).expect("the folded stacks");
    let shown: String = text.chars().take(4_000).collect();
    assert!(text.contains("main;hearth_outer;hearth_a;hearth_spin "), "{printed}\n{shown}");

    let output = hearth().arg("doctor").output().expect("the binary starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains(&release()), "the doctor does not name kernel {}:\n{printed}", release());
}

/// Guests only: hides the kernel's type information, as a kernel without CONFIG_DEBUG_INFO_BTF would.
#[test]
fn a_kernel_without_type_information_is_refused_with_what_to_do() {
    if !in_guest("a_kernel_without_type_information_is_refused_with_what_to_do") {
        return;
    }
    let shell = |script: &str| Command::new("sh").args(["-c", script]).status().expect("sh runs").success();
    assert!(shell("mount -t tmpfs none /sys/kernel/btf"), "cannot hide /sys/kernel/btf");
    let record = hearth().args(["record", "--", "true"]).output().expect("the binary starts");
    let doctor = hearth().arg("doctor").output().expect("the binary starts");
    assert!(shell("umount /sys/kernel/btf"), "cannot show /sys/kernel/btf again");
    let said = String::from_utf8_lossy(&record.stderr);
    assert!(!record.status.success());
    assert!(said.contains("/sys/kernel/btf/vmlinux") && said.contains("CONFIG_DEBUG_INFO_BTF"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(!doctor.status.success() && said.contains("BTF"), "{said}");
}

/// Guests only: a CPU goes and comes back while it is sampled.
#[test]
fn a_cpu_may_go_and_come_back() {
    const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";
    if !in_guest("a_cpu_may_go_and_come_back") {
        return;
    }
    let sampler = start(Overrides::default());
    let _busy: Vec<_> = (0..2).map(|_| run(&mut Command::new(program("shares-rows")))).collect();
    sleep(Duration::from_secs(1));
    assert_eq!(sampler.status().cpus, 2);
    for (state, cpus) in [("0", 1), ("1", 2)] {
        fs::write(ONLINE, state).expect("the CPU can be switched");
        let deadline = Instant::now() + WAIT;
        while sampler.status().cpus != cpus && Instant::now() < deadline {
            sleep(Duration::from_millis(200));
        }
        assert_eq!(sampler.status().cpus, cpus, "after {state} was written to {ONLINE}");
        sampler.collect();
        let before = sampler.status().samples;
        sleep(Duration::from_secs(2));
        let grown = sampler.status().samples - before;
        figure(&format!("hot-plug: {grown} samples in 2 s with {cpus} CPUs"));
        assert!(grown > 50, "sampling stopped with {cpus} CPUs");
    }
    // Whoever is pinned to the CPU that came back is sampled again.
    let pinned = run(Command::new("taskset").args(["2"]).arg(program("shares-rows")));
    sampler.collect();
    sleep(Duration::from_secs(2));
    let mut stacks = Stacks::default();
    stacks.add(&sampler.collect().batch, pinned.id());
    assert!(stacks.total() > 20, "nothing was sampled on the CPU that came back: {}", stacks.shown(5));
}
