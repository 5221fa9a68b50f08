//! What was acknowledged survives `kill -9` in the middle of ingestion, and is there once.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Server, now_ms};
use hearth_profile::{
    Attributes, Dictionary, Function, Line, Location, Profile, ProfileBatch, ResourceProfiles, Sample,
    ValueType,
};

const ROUNDS: u64 = 10;
const PERIOD: i64 = 10_000_000;

/// An export of one sample of a function that no other export has.
fn export(number: u64) -> Vec<u8> {
    let mut dictionary = Dictionary::default();
    let name = dictionary.string(&format!("export_{number}"));
    let function = dictionary.function(Function { name, ..Function::default() });
    let lines = [Line { function, ..Line::default() }].into();
    let location = dictionary.location(Location { lines, ..Location::default() });
    let stack = dictionary.stack(&[location]);
    let resource: Attributes = [("service.name", "crash")].into_iter().collect();
    let profile = Profile {
        sample_type: ValueType::new("samples", "count"),
        period_type: ValueType::new("cpu", "nanoseconds"),
        period: PERIOD,
        time_unix_nano: u64::try_from(now_ms()).unwrap_or(0) * 1_000_000,
        duration_nano: 1_000_000_000,
        samples: vec![Sample { stack, value: 1, ..Sample::default() }],
        ..Profile::default()
    };
    let resources =
        vec![ResourceProfiles { resource, profiles: vec![profile], ..ResourceProfiles::default() }];
    hearth_codec::otlp::encode_request(&ProfileBatch { dictionary, resources })
}

/// Sends exports until told to stop; keeps the numbers of those that were acknowledged.
fn push(address: &str, next: &AtomicU64, stop: &AtomicBool, acknowledged: &Mutex<Vec<u64>>) {
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let answer = hearth_testkit::post(
            address,
            "/v1development/profiles",
            "application/x-protobuf",
            &export(number),
        );
        match answer {
            Ok(answer) if answer.status == 200 => {
                acknowledged.lock().expect("no test thread panicked").push(number)
            }
            Ok(answer) => panic!("export {number}: {} {}", answer.status, answer.text()),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[test]
fn every_acknowledged_export_is_found_once_after_ten_kills() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let (next, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    for round in 0..ROUNDS {
        let mut server = Server::start("server", data.path(), &[]);
        let stop = Arc::new(AtomicBool::new(false));
        let pushers: Vec<_> = (0..4)
            .map(|_| {
                let (address, next) = (server.address.clone(), Arc::clone(&next));
                let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
                std::thread::spawn(move || push(&address, &next, &stop, &acknowledged))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150 + 97 * (round % 5)));
        server.child.kill();
        stop.store(true, Ordering::Relaxed);
        for pusher in pushers {
            pusher.join().expect("no pusher panicked");
        }
    }

    let server = Server::start("server", data.path(), &[]);
    let mut found: HashMap<String, i64> = HashMap::new();
    for (name, value) in server.self_values(r#"{service_name="crash"}"#) {
        *found.entry(name).or_default() += value;
    }
    let acknowledged = acknowledged.lock().expect("no test thread panicked");
    println!(
        "{} exports sent, {} acknowledged in {ROUNDS} rounds",
        next.load(Ordering::Relaxed),
        acknowledged.len()
    );
    assert!(
        acknowledged.len() as u64 > 5 * ROUNDS,
        "too few exports to mean anything: {}",
        acknowledged.len()
    );
    let wrong: Vec<String> = acknowledged
        .iter()
        .map(|number| format!("export_{number}"))
        .filter(|name| found.get(name) != Some(&PERIOD))
        .collect();
    assert!(wrong.is_empty(), "{} acknowledged exports are not there exactly once: {wrong:?}", wrong.len());
    assert!(found.values().all(|&value| value <= PERIOD), "an export is there twice");
}
