//! Our pprof reader and writer against profiles from the wild, with what google/pprof says of them.
//!
//! The files are not part of the project; the tests say `skipped:` where they are absent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hearth_codec::{Limits, pprof, pyroscope};
use hearth_profile::{
    Attributes, Function, Line, Location, Mapping, Profile, ProfileBatch, ProfileType, ResourceProfiles,
    Sample, StackId, ValueType,
};
use prost::Message as _;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora")
}

/// Flat and cumulative values by function, as `pprof -top` prints them.
fn top(batch: &ProfileBatch, profile: &Profile) -> BTreeMap<String, (i64, i64)> {
    let mut top: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let dictionary = &batch.dictionary;
    for sample in &profile.samples {
        let locations = dictionary.leaf_first(sample.stack).map(|id| dictionary.names(id));
        let names: Vec<String> = locations.flatten().map(|(name, _)| name).collect();
        if let Some(leaf) = names.first() {
            top.entry(leaf.clone()).or_default().0 += sample.value;
        }
        for name in names.into_iter().collect::<BTreeSet<_>>() {
            top.entry(name).or_default().1 += sample.value;
        }
    }
    top
}

#[test]
fn profiles_from_the_wild_have_the_values_that_pprof_shows() {
    let Ok(entries) = fs::read_dir(corpora().join("pprof/pyroscope-og")) else {
        println!("skipped: no corpora next to the project");
        return;
    };
    let mut compared = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Ok(oracle) = fs::read(corpora().join(format!("oracle/pyroscope-og__{name}.json.gz"))) else {
            continue;
        };
        let mut json = String::new();
        flate2::read::GzDecoder::new(oracle.as_slice()).read_to_string(&mut json).unwrap();
        let oracle: serde_json::Value = serde_json::from_str(&json).unwrap();
        let batch = pprof::decode(&fs::read(&path).unwrap(), &Limits::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = pprof::decode(&pprof::gzip(&pprof::encode(&batch)), &Limits::default()).unwrap();
        for profile in batch.profiles() {
            let of = &profile.sample_type;
            let rows = &oracle["top"][&of.name]["rows_name_flat_cum"];
            if of.unit != "count" || rows.is_null() {
                continue;
            }
            let got = top(&batch, profile);
            for row in rows.as_array().unwrap() {
                let field = |index: usize| row[index].as_str().unwrap();
                let function = field(0).trim_end_matches(" (inline)").trim_end_matches(" (partial-inline)");
                let want = (field(1).parse().unwrap(), field(2).parse().unwrap());
                assert_eq!(got.get(function), Some(&want), "{name} {}: {function}", of.name);
                compared += 1;
            }
            let written = again.profiles().find(|other| other.sample_type == *of).unwrap();
            assert_eq!(top(&again, written), got, "{name}: written and read again");
        }
    }
    assert!(compared > 1_000, "{compared} rows compared");
}

#[test]
fn every_pprof_message_is_read_like_the_generated_type_reads_it() {
    let Ok(entries) = fs::read_dir(corpora().join("pprof/pyroscope-og")) else {
        println!("skipped: no corpora next to the project");
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
            bytes = plain;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            continue;
        }
        let Ok(message) = pyroscope::google::Profile::decode(bytes.as_slice()) else {
            println!("skipped: {}: not UTF-8 throughout, which prost refuses", path.display());
            continue;
        };
        let batch = pprof::decode(&bytes, &Limits::default()).unwrap();
        let sums: Vec<i64> = batch.profiles().map(Profile::total).collect();
        let columns = 0..message.sample_type.len();
        let want: Vec<i64> =
            columns.map(|column| message.sample.iter().map(|sample| sample.value[column]).sum()).collect();
        assert_eq!(sums, want, "{}", path.display());
        let json = pyroscope::to_json(&message).unwrap();
        assert_eq!(pyroscope::from_json::<pyroscope::google::Profile>(&json).unwrap(), message);
    }
}

fn small() -> ProfileBatch {
    let mut batch = ProfileBatch::default();
    let dictionary = &mut batch.dictionary;
    let mapping = Mapping {
        filename: dictionary.string("/bin/app"),
        build_id: dictionary.string("abcd"),
        ..Mapping::default()
    };
    let mapping = dictionary.mapping(mapping);
    let name = dictionary.string("main");
    let function = dictionary.function(Function { name, ..Function::default() });
    let line = Line { function, line: 7, column: 0 };
    let named =
        dictionary.location(Location { mapping, address: 0x10, lines: [line].into(), ..Location::default() });
    let unnamed = dictionary.location(Location { mapping, address: 0x20, ..Location::default() });
    let stack = dictionary.stack(&[unnamed, named]);
    let attributes: Attributes = [("thread.name", "worker")].into_iter().collect();
    let profile = Profile {
        sample_type: ValueType::new("samples", "count"),
        period_type: ValueType::new("cpu", "nanoseconds"),
        period: 10,
        time_unix_nano: 5,
        duration_nano: 100,
        samples: vec![
            Sample { stack, value: 3, attributes, ..Sample::default() },
            Sample { stack, value: 4, ..Sample::default() },
        ],
        ..Profile::default()
    };
    let resource = [("process.pid", 12_i64)].into_iter().collect();
    batch.resources.push(ResourceProfiles {
        resource,
        profiles: vec![profile],
        ..ResourceProfiles::default()
    });
    batch
}

#[test]
fn cpu_samples_get_a_column_of_cpu_time() {
    let message = pyroscope::google::Profile::decode(pprof::encode(&small()).as_slice()).unwrap();
    let text = |index: i64| message.string_table[index as usize].as_str();
    let types: Vec<_> = message.sample_type.iter().map(|of| (text(of.r#type), text(of.unit))).collect();
    assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
    let values: Vec<_> = message.sample.iter().map(|sample| sample.value.as_slice()).collect();
    assert_eq!(values, [[3, 30], [4, 40]]);
    let label = &message.sample[0].label[0];
    assert_eq!((text(label.key), text(label.str)), ("thread.name", "worker"));
    assert_eq!((message.time_nanos, message.duration_nanos, message.period), (5, 100, 10));
    assert_eq!(text(message.default_sample_type), "cpu");
    let mapping = &message.mapping[0];
    assert_eq!(
        (text(mapping.filename), text(mapping.build_id), mapping.has_functions),
        ("/bin/app", "abcd", false)
    );
}

#[test]
fn merged_stacks_become_one_column() {
    let batch = small();
    let sums =
        batch.profiles().flat_map(|profile| &profile.samples).map(|sample| (sample.stack, sample.value));
    let bytes = pprof::encode_merged(&batch.dictionary, sums, &ProfileType::process_cpu(), 10, 5, 100);
    let again = pprof::decode(&bytes, &Limits::default()).unwrap();
    let profile = &again.resources[0].profiles[0];
    assert_eq!((profile.sample_type.name.as_str(), profile.total(), profile.period), ("cpu", 7, 10));
    let names: Vec<String> = again
        .dictionary
        .leaf_first(profile.samples[0].stack)
        .flat_map(|location| again.dictionary.names(location))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["app+0x20", "main"]);
    assert_eq!(again.dictionary.get_stack(StackId::NONE), Default::default());
}

#[test]
#[rustfmt::skip]
fn what_is_no_pprof_is_refused_with_the_reason() {
    let bomb = pprof::gzip(&vec![0; 1 << 20]);
    let limits = Limits { max_bytes: 1 << 16, ..Limits::default() };
    let cases: [(&str, &[u8], &str); 6] = [
        ("text",          b"--- heap profile ---",                         "no pprof profile: "),
        ("a broken gzip", &[0x1f, 0x8b, 8, 0, 0],                          "broken gzip stream"),
        ("a gzip bomb",   &bomb,                                           "decompressed bytes: 65537 exceeds the limit of 65536"),
        ("bad string",    &[0x0a, 2, 0x08, 9, 0x32, 0],                    "ValueType.type is 9; expected an index of string_table, 0 to 0"),
        ("bad location",  &[0x0a, 0, 0x12, 5, 0x0a, 1, 7, 0x10, 1],        "Sample.location_id is 7; expected one of the 0 ids"),
        ("value count",   &[0x0a, 0, 0x12, 3, 0x12, 1, 1, 0x0a, 0],        "length of Sample.value is 1; expected 2"),
    ];
    for (case, bytes, want) in cases {
        let error = pprof::decode(bytes, &limits).unwrap_err().to_string();
        assert!(error.contains(want), "{case}: {error}");
    }
}

/// Names of Go's fields as JSON has them, and what Go's literals leave out.
fn from_go(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            let renamed = fields.iter().map(|(name, field)| {
                let (first, rest) = name.split_at(1);
                let field = match field {
                    Value::Array(list) if list.is_empty() && name == "PeriodType" => serde_json::json!({}),
                    other => from_go(other),
                };
                (first.to_lowercase() + rest, field)
            });
            Value::Object(renamed.collect())
        }
        Value::Array(list) => {
            let is_nothing =
                |element: &Value| element.is_null() || element.as_array().is_some_and(Vec::is_empty);
            let element = |one: &Value| if is_nothing(one) { serde_json::json!({}) } else { from_go(one) };
            list.iter().map(element).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn samples_that_make_no_sense_are_those_which_pyroscope_drops() {
    let Ok(table) = fs::read(corpora().join("tables/pyroscope_pprof_sanitize.json")) else {
        println!("skipped: absent: table of Pyroscope's broken profiles");
        return;
    };
    let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
    let mut compared = 0;
    for case in table["Test_sanitizeReferences"][0].as_array().unwrap() {
        let (name, broken) = (case["name"].as_str().unwrap(), &case["profile"]);
        if broken.is_null() {
            continue;
        }
        let message: pyroscope::google::Profile =
            pyroscope::from_json(from_go(broken).to_string().as_bytes()).unwrap();
        let decoded = pprof::decode_what_fits(&message.encode_to_vec(), &Limits::default()).unwrap();
        let left = case["expected"]["Sample"].as_array().map_or(0, Vec::len);
        assert_eq!(message.sample.len() - decoded.dropped, left, "{name}");
        assert_eq!(decoded.reason.is_some(), decoded.dropped > 0, "{name}");
        compared += 1;
    }
    assert!(compared > 8, "{compared}");
}
