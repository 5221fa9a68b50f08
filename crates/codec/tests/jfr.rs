//! JFR recordings of async-profiler against what Pyroscope reads in them.
//!
//! The files are not part of the project; the tests say `skipped:` where they are absent.

#![expect(clippy::unwrap_used, reason = "the helpers here are tests too")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hearth_codec::{Limits, folded, jfr, pprof};
use hearth_profile::Tree;

const PERIOD: i64 = 10_000_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/jfr")
}

fn gunzip(name: &str) -> Option<Vec<u8>> {
    let packed = std::fs::read(corpus().join(name)).ok()?;
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap();
    Some(plain)
}

/// How Pyroscope's tests name the types of a recording.
fn suffix(metric: &str, sample_type: &str, event: &str) -> String {
    match (metric, sample_type) {
        ("process_cpu", _) => event.to_owned(),
        ("mutex", "contentions") => "lock_count".to_owned(),
        ("mutex", _) => "lock_duration".to_owned(),
        ("block", "contentions") => "thread_park_count".to_owned(),
        ("block", _) => "thread_park_duration".to_owned(),
        (_, other) => other.to_owned(),
    }
}

/// Folded stacks by type and labels; CPU time as a number of samples.
fn read(bytes: &[u8], labels: &jfr::Labels) -> BTreeMap<String, String> {
    let recording = jfr::decode(bytes, labels, PERIOD, &Limits::default()).unwrap();
    let mut trees: BTreeMap<String, Tree> = BTreeMap::new();
    for (metric, profile) in &recording.profiles {
        let scale = if *metric == "process_cpu" { PERIOD } else { 1 };
        for sample in &profile.samples {
            let labels: Vec<String> =
                sample.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let kind = suffix(metric, &profile.sample_type.name, &recording.event);
            let tree = trees.entry(format!("kafka.app.{kind}{{{}}}", labels.join(","))).or_default();
            tree.add_stacks(&recording.dictionary, [(sample.stack, sample.value / scale)]);
        }
    }
    trees.iter().map(|(name, tree)| (name.clone(), folded::write(tree))).collect()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The clock of a recording, as its header says.
fn ticks_per_second(recording: &[u8]) -> f64 {
    u64::from_be_bytes(recording[56..64].try_into().unwrap()) as f64
}

/// Whether ticks of the recording's clock, which Pyroscope takes for nanoseconds, are the same time
/// as ours, up to one nanosecond for each of at most 2,000 events.
fn is_same_time(recording: &[u8], nanoseconds: i64, ticks: i64) -> bool {
    (ticks as f64 * 1e9 / ticks_per_second(recording) - nanoseconds as f64).abs() < 2_000.0
}

fn same_durations(recording: &[u8], got: &str, want: &str) {
    let parsed = |text: &str| -> Vec<(String, i64)> {
        let line = |line: &str| {
            line.rsplit_once(' ').map(|(stack, value)| (stack.to_owned(), value.parse().unwrap()))
        };
        sorted(text).into_iter().filter_map(line).collect()
    };
    let (mut got, mut want) = (parsed(got), parsed(want));
    got.sort();
    want.sort();
    assert_eq!(got.len(), want.len());
    for ((stack, nanoseconds), (same, ticks)) in got.iter().zip(&want) {
        assert_eq!(stack, same);
        assert!(is_same_time(recording, *nanoseconds, *ticks), "{stack}: {nanoseconds} ns, {ticks} ticks");
    }
}

#[test]
fn recordings_mean_what_pyroscope_reads_in_them() {
    let mut compared = 0;
    for name in ["cortex-dev-01__kafka-0__cpu__0", "cortex-dev-01__kafka-0__cpu_lock0_alloc0__0", "dump1"] {
        let (Some(bytes), Some(expected)) =
            (gunzip(&format!("{name}.jfr.gz")), gunzip(&format!("{name}.json.gz")))
        else {
            println!("skipped: absent: JFR corpus");
            return;
        };
        let labels = gunzip(&format!("{name}.labels.pb.gz")).unwrap_or_default();
        let labels = jfr::Labels::decode(&labels, &Limits::default()).unwrap();
        let got = read(&bytes, &labels);
        let expected: BTreeMap<String, String> = serde_json::from_slice(&expected).unwrap();
        assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
        for (kind, want) in &expected {
            compared += want.lines().count();
            if kind.contains("duration") {
                same_durations(&bytes, &got[kind], want);
                continue;
            }
            assert_eq!(sorted(&got[kind]), sorted(want), "{name} {kind}");
        }
    }
    assert!(compared > 2_000, "{compared} stacks compared");
}

#[test]
fn totals_are_those_of_pyroscopes_pprof() {
    let name = "cortex-dev-01__kafka-0__cpu_lock0_alloc0__0.jfr.gz";
    let Some(bytes) = gunzip(name) else {
        println!("skipped: absent: JFR corpus");
        return;
    };
    let recording = jfr::decode(&bytes, &jfr::Labels::default(), PERIOD, &Limits::default()).unwrap();
    assert_eq!(recording.event, "cpu");
    let mut compared = 0;
    for (metric, profile) in &recording.profiles {
        let (sample, period) = (&profile.sample_type, &profile.period_type);
        let file = format!(
            "{name}.{metric}_{}_{}_{}_{}.17241709254077376921.pb.gz",
            sample.name, sample.unit, period.name, period.unit
        );
        let theirs =
            pprof::decode(&std::fs::read(corpus().join(&file)).unwrap(), &Limits::default()).unwrap();
        let same = theirs.profiles().find(|other| other.sample_type == *sample).unwrap();
        if sample.name == "delay" {
            assert!(is_same_time(&bytes, profile.total(), same.total()), "{file}");
        } else {
            assert_eq!(profile.total(), same.total(), "{file}");
        }
        compared += 1;
    }
    assert_eq!(compared, 9);
}

#[test]
fn damaged_recordings_never_panic() {
    for bytes in [&b""[..], b"FLR\0", b"nonsense", &[b"FLR\0\0\x02\0\0".as_slice(), &[0xff; 60]].concat()] {
        let result = jfr::decode(bytes, &jfr::Labels::default(), PERIOD, &Limits::default());
        assert_eq!(result.is_err(), !bytes.is_empty(), "{bytes:?}");
    }
    let Some(bytes) = gunzip("dump1.jfr.gz") else {
        println!("skipped: absent: JFR corpus");
        return;
    };
    let mut state = 1_u64;
    for _ in 0..60 {
        let mut damaged = bytes.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % damaged.len();
            damaged[at] = (state >> 13) as u8;
        }
        // Whatever comes out, it came out.
        let _ = jfr::decode(&damaged, &jfr::Labels::default(), PERIOD, &Limits::default());
        let cut = (state >> 20) as usize % bytes.len();
        assert!(
            jfr::decode(&bytes[..cut], &jfr::Labels::default(), PERIOD, &Limits::default()).is_err()
                || cut == 0
        );
    }
}
