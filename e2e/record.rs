//! `hearth record` on the live kernel: known chains at known shares, names, kernel frames, totals.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::fs;
use std::path::Path;

use common::{can_sample, hearth};
use hearth_testkit::{Workload, shares};

/// Runs `hearth record` and returns what it printed; fails the test with it if it fails.
fn record(arguments: &[&str], command: &[&str]) -> String {
    let output =
        hearth().arg("record").args(arguments).arg("--").args(command).output().expect("the binary starts");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn total(folded: &str) -> i64 {
    folded.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse::<i64>().ok()).sum()
}

#[test]
fn a_c_program_shows_its_chains_at_its_shares() {
    if !can_sample("a_c_program_shows_its_chains_at_its_shares") {
        return;
    }
    let workload = Workload::shares_in_c("known-shares");
    let path = |name: &str| workload.folder().join(name).display().to_string();
    let (folded, pprof, svg) = (path("out.folded"), path("out.pb.gz"), path("out.svg"));
    let program = workload.program().display().to_string();
    let printed = record(&["-F", "997", "-o", &folded, "-o", &pprof, "-o", &svg], &[&program, "6"]);
    let text = read(Path::new(&folded));

    for function in ["hearth_a", "hearth_b", "hearth_c"] {
        let chain = format!("main;hearth_outer;{function};hearth_spin ");
        assert!(text.contains(&chain), "no chain {chain:?} in\n{text}");
    }
    let found = shares(&text, &["hearth_a", "hearth_b", "hearth_c"]);
    println!("shares of {} samples: {found:?}", total(&text));
    for (function, want) in [("hearth_a", 0.6), ("hearth_b", 0.3), ("hearth_c", 0.1)] {
        assert!((found[function] - want).abs() < 0.03, "{function}: {found:?}");
    }
    assert!(printed.contains("hearth_spin"), "no top functions in\n{printed}");
    assert!(
        printed.contains(&format!("{} samples", total(&text))),
        "folded total {} is not in\n{printed}",
        total(&text)
    );

    let profile = hearth_codec::pprof::decode(
        &fs::read(&pprof).expect("the pprof file"),
        &hearth_codec::Limits::default(),
    )
    .expect("a valid pprof file");
    let counts: i64 = profile.profiles().next().expect("a profile").total();
    assert_eq!(counts, total(&text), "pprof and folded disagree");
    assert!(read(Path::new(&svg)).contains("hearth_spin"), "the SVG has no frame of hearth_spin");
}

#[test]
fn rust_names_are_demangled() {
    if !can_sample("rust_names_are_demangled") {
        return;
    }
    let workload = Workload::generic_in_rust("rusty");
    let folded = workload.folder().join("out.folded");
    let program = workload.program().display().to_string();
    record(&["-F", "499", "-o", &folded.display().to_string()], &[&program, "2"]);
    let text = read(&folded);
    let grinds =
        text.lines().filter(|line| line.contains("hearth_workload::Engine<") && line.contains("::grind"));
    let weight: i64 = grinds.filter_map(|line| line.rsplit_once(' ')?.1.parse::<i64>().ok()).sum();
    assert!(weight * 10 > total(&text) * 8, "grind has {weight} of {} in\n{text}", total(&text));
    assert!(!text.contains("_ZN") && !text.contains("17h"), "mangled names in\n{text}");
}

#[test]
fn kernel_frames_stand_above_user_frames() {
    if !can_sample("kernel_frames_stand_above_user_frames") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folded = folder.path().join("out.folded");
    let dd = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64k", "count=400000"];
    record(&["-F", "499", "-o", &folded.display().to_string()], &dd);
    let text = read(&folded);
    let in_kernel = |frame: &str| {
        frame.contains("read_zero") || frame.contains("read_iter_zero") || frame.contains("clear_user")
    };
    let deep: Vec<&str> = text.lines().filter(|line| line.split(';').any(in_kernel)).collect();
    assert!(!deep.is_empty(), "no kernel frame of /dev/zero in\n{text}");
    for line in deep {
        let frames: Vec<&str> = line.split(';').collect();
        let user = frames
            .iter()
            .position(|frame| frame.contains("read") && !in_kernel(frame) || frame.contains("libc"));
        let kernel = frames.iter().position(|frame| in_kernel(frame));
        assert!(user < kernel, "kernel frames are not above user frames in {line}");
    }
}

#[test]
fn a_running_process_and_the_whole_host_can_be_recorded() {
    if !can_sample("a_running_process_and_the_whole_host_can_be_recorded") {
        return;
    }
    let workload = Workload::shares_in_c("attached");
    let child = hearth_testkit::Child::spawn(&mut workload.command(30));
    let folded = workload.folder().join("out.folded").display().to_string();
    for target in [vec!["-p".to_owned(), child.id().to_string()], vec!["-a".to_owned()]] {
        let output = hearth()
            .arg("record")
            .args(&target)
            .args(["--duration", "2s", "-o", &folded])
            .output()
            .expect("runs");
        assert!(output.status.success(), "{target:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(read(Path::new(&folded)).contains("hearth_outer;hearth_a;hearth_spin"), "{target:?}");
    }
}
