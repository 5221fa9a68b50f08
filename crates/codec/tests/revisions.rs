//! Every revision of OTLP profiles: written here from the published field tables, number by number,
//! and read by one decoder. The same content gives the same flame graph.

#![expect(clippy::unwrap_used, reason = "the helpers here are tests too")]

use hearth_codec::otlp::{Decoded, Revision, decode_request, decode_request_json};
use hearth_codec::wire::Writer;
use hearth_codec::{Limits, folded};
use hearth_profile::{FrameKind, Tree};
use serde_json::{Value, json};

/// How samples say their weight.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Timestamps,
    Sums,
    Both,
}

/// What a sender may or may not fill in.
#[derive(Clone, Copy, Debug)]
struct Shape {
    style: Style,
    attributes: bool,
    links: bool,
    id: bool,
    time: bool,
    /// As Go's pdata does: fields without a value are written nevertheless.
    empty: bool,
}

const STRINGS: [&str; 16] = [
    "",
    "samples",
    "count",
    "cpu",
    "nanoseconds",
    "main",
    "work",
    "read",
    "/bin/app",
    "thread.name",
    "worker",
    "io",
    "profile.frame.type",
    "kernel",
    "process.executable.build_id.gnu",
    "abcd",
];
/// Names of functions, as indices of [`STRINGS`].
const FUNCTIONS: [u64; 3] = [5, 6, 7];
/// Keys and values, as indices of [`STRINGS`].
const ATTRIBUTES: [(u64, u64); 4] = [(9, 10), (9, 11), (12, 13), (14, 15)];
const FRAME_TYPE: i64 = 2;
const BUILD_ID: i64 = 3;
/// Address and function; the last has no name.
const LOCATIONS: [(u64, Option<u64>); 4] = [(0x10, Some(0)), (0x20, Some(1)), (0x30, Some(2)), (0x40, None)];
/// Locations, leaf first.
const STACKS: [&[i64]; 3] = [&[1, 0], &[2, 1, 0], &[3, 0]];
/// Stack, observations, attribute.
const SAMPLES: [(usize, u64, Option<i64>); 3] = [(0, 3, Some(0)), (1, 2, Some(1)), (2, 1, None)];
const TIME: u64 = 1_700_000_000_000_000_000;
const PERIOD: i64 = 50_000_000;
const ID: [u8; 16] = [7; 16];

fn flame() -> String {
    "main;app+0x40 1\nmain;work 3\nmain;work;read 2\n".to_owned()
}

fn times(count: u64) -> Vec<u64> {
    (0..count).map(|index| TIME + index).collect()
}

fn any_text(writer: &mut Writer, text: &str) {
    writer.message(2, |any| any.bytes_always(1, text.as_bytes()));
}

fn value_type(writer: &mut Writer, number: u32, name: u64, unit: u64) {
    writer.message(number, |kind| {
        kind.uint(1, name);
        kind.uint(2, unit);
    });
}

/// resource_profiles → scope_profiles → profiles, with the service's name inline.
fn envelope(request: &mut Writer, profile: impl FnOnce(&mut Writer)) {
    request.message(1, |resource_profiles| {
        resource_profiles.message(1, |resource| {
            resource.message(1, |attribute| {
                attribute.bytes(1, b"service.name");
                any_text(attribute, "shop");
            });
        });
        resource_profiles.message(2, |scope_profiles| {
            scope_profiles.message(1, |scope| scope.bytes(1, b"tests"));
            scope_profiles.message(2, profile);
        });
    });
}

/// Tables since v1.4; numbers are those of mapping, location, function, link, string and attribute.
fn tables(to: &mut Writer, shape: Shape, numbers: [u32; 6], null: bool, attributes_of_location: u32) {
    let [mapping, location, function, link, string, attribute] = numbers;
    let first = u64::from(null);
    let signed = i64::from(null);
    if null {
        [mapping, location, function, link, attribute]
            .iter()
            .for_each(|&number| to.bytes_always(number, &[]));
    }
    to.message(mapping, |to| {
        to.uint(4, 8);
        to.packed_ints(5, [BUILD_ID + signed]);
    });
    for (address, name) in LOCATIONS {
        to.message(location, |to| {
            to.uint_always(1, first);
            to.uint(2, address);
            if let Some(name) = name {
                to.message(3, |line| line.uint(1, name + first));
            }
            if name == Some(2) {
                to.packed_ints(attributes_of_location, [FRAME_TYPE + signed]);
            }
        });
    }
    FUNCTIONS.iter().for_each(|&name| to.message(function, |to| to.uint(1, name)));
    if shape.links {
        to.message(link, |to| {
            to.bytes(1, &[1; 16]);
            to.bytes(2, &[2; 8]);
        });
    }
    STRINGS.iter().for_each(|text| to.bytes_always(string, text.as_bytes()));
    for (key, value) in ATTRIBUTES {
        to.message(attribute, |to| {
            if null {
                to.uint(1, key);
            } else {
                to.bytes(1, STRINGS[key as usize].as_bytes());
            }
            any_text(to, STRINGS[value as usize]);
        });
    }
}

/// `location_indices`, and where each stack begins in it.
fn location_indices() -> (Vec<i64>, Vec<u64>) {
    let mut indices = Vec::new();
    let starts = STACKS.map(|stack| {
        let start = indices.len() as u64;
        indices.extend(stack);
        start
    });
    (indices, starts.to_vec())
}

/// A sample of v1.4 to v1.7.
fn old_sample(to: &mut Writer, shape: Shape, starts: &[u64], index: usize) {
    let (stack, count, attribute) = SAMPLES[index];
    to.uint(1, starts[stack]);
    to.uint(2, STACKS[stack].len() as u64);
    to.packed_ints(3, [count as i64]);
    if shape.attributes {
        to.packed_ints(4, attribute);
    }
    if shape.links && index == 0 {
        to.uint_always(5, 0);
    }
    if shape.style != Style::Sums {
        to.packed_ints(6, times(count).into_iter().map(|time| time as i64));
    }
}

/// v1.3: containers, 0-based indices, ids like pprof's.
fn v1_3(shape: Shape) -> Vec<u8> {
    let mut request = Writer::default();
    let (indices, starts) = location_indices();
    envelope(&mut request, |container| {
        container.bytes(1, if shape.id { &ID } else { &[] });
        container.fixed64(2, if shape.time { TIME } else { 0 });
        container.fixed64(3, if shape.time { TIME + 9 } else { 0 });
        container.message(8, |to| {
            value_type(to, 1, 1, 2);
            for (index, (stack, count, attribute)) in SAMPLES.into_iter().enumerate() {
                to.message(2, |to| {
                    to.packed_ints(2, [count as i64]);
                    to.uint(7, starts[stack]);
                    to.uint(8, STACKS[stack].len() as u64);
                    if shape.attributes {
                        to.packed_ints(10, attribute);
                    }
                    if shape.links && index == 0 {
                        to.uint_always(12, 0);
                    }
                    if shape.style != Style::Sums {
                        to.packed_ints(13, times(count).into_iter().map(|time| time as i64));
                    }
                });
            }
            to.message(3, |to| {
                to.uint(1, 1);
                to.uint(5, 8);
                to.uint(6, 15);
            });
            for (address, name) in LOCATIONS {
                to.message(4, |to| {
                    to.uint(1, 1);
                    to.uint(3, address);
                    if let Some(name) = name {
                        to.message(4, |line| line.uint(1, name));
                    }
                    to.uint(6, if name == Some(2) { 13 } else { 0 });
                });
            }
            FUNCTIONS.iter().for_each(|&name| to.message(5, |to| to.uint(2, name)));
            STRINGS.iter().for_each(|text| to.bytes_always(6, text.as_bytes()));
            value_type(to, 11, 3, 4);
            to.int(12, PERIOD);
            to.packed_ints(15, indices);
            for (key, value) in ATTRIBUTES {
                to.message(16, |to| {
                    to.bytes(1, STRINGS[key as usize].as_bytes());
                    any_text(to, STRINGS[value as usize]);
                });
            }
            if shape.links {
                to.message(18, |to| {
                    to.bytes(1, &[1; 16]);
                    to.bytes(2, &[2; 8]);
                });
            }
        });
    });
    request.into_bytes()
}

/// v1.4 and, if `indexed`, v1.5: the profile's own attributes differ.
fn v1_4(shape: Shape, indexed: bool) -> Vec<u8> {
    let mut request = Writer::default();
    let (indices, starts) = location_indices();
    envelope(&mut request, |to| {
        value_type(to, 1, 1, 2);
        (0..SAMPLES.len()).for_each(|index| to.message(2, |to| old_sample(to, shape, &starts, index)));
        tables(to, shape, [3, 4, 6, 9, 10, 7], false, 5);
        to.packed_ints(5, indices);
        to.int(11, if shape.time { TIME as i64 } else { 0 });
        to.int(12, 9);
        value_type(to, 13, 3, 4);
        to.int(14, PERIOD);
        to.bytes(17, if shape.id { &ID } else { &[] });
        if indexed {
            to.packed_ints(22, [0]);
        } else {
            to.message(18, |to| {
                to.bytes(1, b"thread.name");
                any_text(to, "worker");
            });
        }
    });
    request.into_bytes()
}

/// The profile of v1.6 and v1.7.
fn profile_of_v1_7(to: &mut Writer, shape: Shape) {
    let (indices, starts) = location_indices();
    value_type(to, 1, 1, 2);
    (0..SAMPLES.len()).for_each(|index| to.message(2, |to| old_sample(to, shape, &starts, index)));
    to.packed_ints(3, indices);
    to.int(4, if shape.time { TIME as i64 } else { 0 });
    to.int(5, 9);
    value_type(to, 6, 3, 4);
    to.int(7, PERIOD);
    if shape.id || shape.empty {
        to.bytes_always(10, if shape.id { &ID } else { &[] });
    }
}

fn v1_6(shape: Shape) -> Vec<u8> {
    let mut request = Writer::default();
    envelope(&mut request, |to| profile_of_v1_7(to, shape));
    tables(&mut request, shape, [2, 3, 4, 5, 6, 7], false, 5);
    request.into_bytes()
}

fn v1_7(shape: Shape) -> Vec<u8> {
    let mut request = Writer::default();
    envelope(&mut request, |to| profile_of_v1_7(to, shape));
    request.message(2, |to| tables(to, shape, [1, 2, 3, 4, 5, 6], false, 5));
    request.into_bytes()
}

/// v1.8 to v1.10: `id` is the number of `profile_id`, `sample` those of values, attributes and link.
fn new(shape: Shape, id: u32, sample: [u32; 3]) -> Vec<u8> {
    let [values, attributes, link] = sample;
    let mut request = Writer::default();
    envelope(&mut request, |to| {
        value_type(to, 1, 1, 2);
        for (index, (stack, count, attribute)) in SAMPLES.into_iter().enumerate() {
            to.message(2, |to| {
                to.uint(1, stack as u64 + 1);
                match shape.style {
                    Style::Sums => to.packed_ints(values, [count as i64]),
                    Style::Both => to.packed_ints(values, (0..count).map(|_| 1)),
                    Style::Timestamps => {}
                }
                if shape.attributes {
                    to.packed_ints(attributes, attribute.map(|attribute| attribute + 1));
                }
                to.uint(link, u64::from(shape.links && index == 0));
                if shape.style != Style::Sums {
                    to.packed_fixed64s(5, &times(count));
                }
            });
        }
        to.fixed64(3, if shape.time { TIME } else { 0 });
        to.uint(4, 9);
        value_type(to, 5, 3, 4);
        to.int(6, PERIOD);
        if shape.id || shape.empty {
            to.bytes_always(id, if shape.id { &ID } else { &[] });
        }
    });
    request.message(2, |to| {
        tables(to, shape, [1, 2, 3, 4, 5, 6], true, 4);
        to.bytes_always(7, &[]);
        for stack in STACKS {
            to.message(7, |to| to.packed_ints(1, stack.iter().map(|location| location + 1)));
        }
    });
    request.into_bytes()
}

fn encode(revision: Revision, shape: Shape) -> Vec<u8> {
    match revision {
        Revision::V1_3 => v1_3(shape),
        Revision::V1_4 => v1_4(shape, shape.id),
        Revision::V1_6 => v1_6(shape),
        Revision::V1_7 => v1_7(shape),
        Revision::V1_8 => new(shape, 8, [2, 3, 4]),
        Revision::V1_9 => new(shape, 7, [2, 3, 4]),
        Revision::V1_10 => new(shape, 7, [4, 2, 3]),
    }
}

fn shapes() -> impl Iterator<Item = Shape> {
    let bools = [false, true];
    [Style::Timestamps, Style::Sums, Style::Both].into_iter().flat_map(move |style| {
        (0..32).map(move |bits: usize| Shape {
            style,
            attributes: bools[bits & 1],
            links: bools[bits >> 1 & 1],
            id: bools[bits >> 2 & 1],
            time: bools[bits >> 3 & 1],
            empty: bools[bits >> 4 & 1],
        })
    })
}

fn flame_of(decoded: &Decoded) -> String {
    let mut tree = Tree::default();
    for profile in decoded.batch.profiles() {
        tree.add_stacks(
            &decoded.batch.dictionary,
            profile.samples.iter().map(|sample| (sample.stack, sample.value)),
        );
    }
    folded::write(&tree)
}

/// What every revision must say, besides the flame graph.
fn check(decoded: &Decoded, shape: Shape, case: &str) {
    assert_eq!(decoded.rejected, [], "{case}");
    assert_eq!(flame_of(decoded), flame(), "{case}");
    let [resource] = &decoded.batch.resources[..] else { panic!("{case}") };
    assert_eq!(resource.resource.get_str("service.name"), Some("shop"), "{case}");
    assert_eq!(resource.scope.name, "tests", "{case}");
    let [profile] = &resource.profiles[..] else { panic!("{case}") };
    assert_eq!((&*profile.period_type.name, profile.period), ("cpu", PERIOD), "{case}");
    assert_eq!(profile.time_unix_nano, if shape.time { TIME } else { 0 }, "{case}");
    assert_eq!(profile.profile_id == ID, shape.id, "{case}");
    let dictionary = &decoded.batch.dictionary;
    for (index, (sample, (_, count, attribute))) in profile.samples.iter().zip(SAMPLES).enumerate() {
        let name = attribute.filter(|_| shape.attributes).map(|index| ["worker", "io"][index as usize]);
        assert_eq!(sample.attributes.get_str("thread.name"), name, "{case}");
        let want = if shape.style == Style::Sums { Vec::new() } else { times(count) };
        assert_eq!(sample.timestamps_unix_nano, want, "{case}");
        assert_eq!(
            sample.link.map(|link| link.trace_id),
            (shape.links && index == 0).then_some([1; 16]),
            "{case}"
        );
        let leaf = dictionary.get_location(dictionary.get_stack(sample.stack).0);
        let mapping = dictionary.get_mapping(leaf.mapping);
        assert_eq!(dictionary.get_string(mapping.filename), "/bin/app", "{case}");
        assert_eq!(dictionary.get_string(mapping.build_id), "abcd", "{case}");
        assert_eq!(leaf.kind == FrameKind::Kernel, index == 1, "{case}");
    }
}

#[test]
fn the_same_content_gives_the_same_flame_graph_whatever_the_revision() {
    let mut decided = 0;
    for shape in shapes() {
        for revision in Revision::ALL {
            let case = format!("{} {shape:?}", revision.name());
            let decoded = decode_request(&encode(revision, shape), &Limits::default()).unwrap();
            check(&decoded, shape, &case);
            // Where nothing tells two revisions apart they mean the same, and the newer is named.
            let same_meaning = revision >= Revision::V1_8 && decoded.revision > revision;
            assert!(decoded.revision == revision || same_meaning, "{case}: {}", decoded.revision.name());
            decided += usize::from(decoded.revision == revision);
        }
    }
    assert!(decided > 500, "{decided}");
}

#[test]
fn the_dictionary_may_come_in_pieces() {
    for shape in shapes().step_by(5) {
        for revision in [Revision::V1_7, Revision::V1_9, Revision::V1_10] {
            let bytes = encode(revision, shape);
            let mut pieces = Writer::default();
            let mut reader = hearth_codec::wire::Reader::new(&bytes);
            while let Some((number, value)) = reader.field().unwrap() {
                let message = value.bytes("a message").unwrap();
                if number == 1 {
                    pieces.bytes_always(1, message);
                    continue;
                }
                let mut dictionary = hearth_codec::wire::Reader::new(message);
                while let Some((table, entry)) = dictionary.field().unwrap() {
                    pieces.message(2, |piece| piece.bytes_always(table, entry.bytes("an entry").unwrap()));
                }
            }
            let decoded = decode_request(pieces.as_bytes(), &Limits::default()).unwrap();
            check(&decoded, shape, revision.name());
        }
    }
}

#[test]
fn samples_whose_second_field_is_all_they_have_are_told_apart_by_their_attributes() {
    // Worst case: as many attributes as timestamps, or values, and nothing else in any sample.
    let request = |attributes: &[u64], second: &[&[i64]]| {
        let mut request = Writer::default();
        envelope(&mut request, |to| {
            for list in second {
                to.message(2, |to| {
                    to.packed_ints(2, list.iter().copied());
                    to.packed_fixed64s(5, &times(list.len() as u64));
                });
            }
        });
        request.message(2, |to| {
            to.bytes_always(6, &[]);
            for &key in attributes {
                to.message(6, |to| to.uint(1, key));
            }
            STRINGS.iter().for_each(|text| to.bytes_always(5, text.as_bytes()));
        });
        decode_request(request.as_bytes(), &Limits::default()).unwrap().revision
    };
    assert_eq!(request(&[9, 12], &[&[1, 2], &[2, 1]]), Revision::V1_10, "distinct keys, all of them used");
    assert_eq!(request(&[9, 9, 12], &[&[1, 2]]), Revision::V1_9, "two attributes of one key");
    assert_eq!(request(&[9, 12], &[&[1, 1]]), Revision::V1_9, "one attribute twice");
    assert_eq!(request(&[9, 12], &[&[7, 2]]), Revision::V1_9, "more than there are attributes");
}

#[test]
fn one_request_is_of_one_revision() {
    let shape =
        Shape { style: Style::Both, attributes: true, links: true, id: true, time: true, empty: false };
    for (one, other) in [
        (Revision::V1_3, Revision::V1_4),
        (Revision::V1_3, Revision::V1_10),
        (Revision::V1_6, Revision::V1_9),
        (Revision::V1_7, Revision::V1_8),
        (Revision::V1_8, Revision::V1_9),
        (Revision::V1_9, Revision::V1_10),
    ] {
        // Go's empty id tells v1.9 from v1.8; one of 16 bytes could be a comment of v1.8.
        let theirs = Shape { id: false, empty: true, ..shape };
        let bytes = [encode(one, shape), encode(other, theirs)].concat();
        let error = decode_request(&bytes, &Limits::default()).unwrap_err().to_string();
        assert!(error.starts_with("the request mixes revisions"), "{one:?} {other:?}: {error}");
        assert!(error.contains(", but "), "{error}");
    }
}

#[test]
fn a_profile_of_several_types_becomes_one_for_each() {
    let mut request = Writer::default();
    envelope(&mut request, |to| {
        value_type(to, 1, 1, 2);
        value_type(to, 1, 3, 4);
        for (start, values) in [(0, vec![1, 500]), (2, vec![0, 7]), (0, vec![3])] {
            to.message(2, |to| {
                to.uint(1, start);
                to.uint(2, 2);
                to.packed_ints(3, values);
            });
        }
        to.packed_ints(3, [1, 0, 2, 0]);
    });
    let shape =
        Shape { style: Style::Sums, attributes: false, links: false, id: false, time: false, empty: false };
    request.message(2, |to| tables(to, shape, [1, 2, 3, 4, 5, 6], false, 5));
    let decoded = decode_request(request.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(decoded.rejected.len(), 1);
    assert!(
        decoded.rejected[0].reason.contains("samples[2]: it has 1 values but the profile has 2 sample types")
    );
    assert_eq!(decoded.rejected[0].samples, 3);
}

#[test]
fn a_value_of_one_with_many_timestamps_counts_them_all() {
    // What the eBPF profiler sent before v1.8.
    let mut request = Writer::default();
    let shape =
        Shape { style: Style::Sums, attributes: false, links: false, id: false, time: false, empty: false };
    envelope(&mut request, |to| {
        value_type(to, 1, 1, 2);
        to.message(2, |to| {
            to.uint(2, 2);
            to.packed_ints(3, [1]);
            to.packed_ints(6, [5, 6, 7]);
        });
        to.packed_ints(3, [1, 0]);
    });
    request.message(2, |to| tables(to, shape, [1, 2, 3, 4, 5, 6], false, 5));
    let decoded = decode_request(request.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(flame_of(&decoded), "main;work 3\n");
}

#[test]
fn locations_beyond_the_table_of_a_profile_are_refused() {
    for (start, length) in [(3, 3), (u64::MAX, 2), (0, u64::MAX), (5, 1)] {
        let mut request = Writer::default();
        envelope(&mut request, |to| {
            to.message(2, |to| {
                to.uint(1, start);
                to.uint(2, length);
                to.packed_ints(3, [1]);
            });
            to.packed_ints(3, [0, 0, 0, 0]);
        });
        request.message(2, |to| to.bytes_always(5, &[]));
        let decoded = decode_request(request.as_bytes(), &Limits::default()).unwrap();
        assert!(decoded.rejected[0].reason.contains("there are only 4"), "{start} {length}");
    }
}

fn json_old(revision: Revision) -> Value {
    let attribute = |(key, value): (u64, u64)| json!({"key": STRINGS[key as usize], "value": {"stringValue": STRINGS[value as usize]}});
    let (indices, starts) = location_indices();
    let locations: Vec<Value> = LOCATIONS
        .iter()
        .map(|(address, name)| {
            let lines = name.map_or_else(Vec::new, |name| vec![json!({"functionIndex": name})]);
            let kind = if *name == Some(2) { vec![FRAME_TYPE] } else { Vec::new() };
            json!({"mappingIndex": 0, "address": address.to_string(), "line": lines, "attributeIndices": kind})
        })
        .collect();
    let tables = json!({
        "mappingTable": [{"filenameStrindex": 8, "attributeIndices": [BUILD_ID]}],
        "locationTable": locations,
        "functionTable": FUNCTIONS.map(|name| json!({"nameStrindex": name})),
        "linkTable": [{"traceId": "01".repeat(16), "spanId": "0202020202020202"}],
        "stringTable": STRINGS,
        "attributeTable": ATTRIBUTES.map(attribute),
        "attributeUnits": [],
    });
    let samples: Vec<Value> = SAMPLES
        .iter()
        .enumerate()
        .map(|(index, (stack, count, attribute))| {
            let times: Vec<String> = times(*count).iter().map(u64::to_string).collect();
            let mut sample = json!({
                "locationsStartIndex": starts[*stack], "locationsLength": STACKS[*stack].len(),
                "value": [count.to_string()], "attributeIndices": attribute.iter().collect::<Vec<_>>(),
                "timestampsUnixNano": times,
            });
            if index == 0 {
                sample["linkIndex"] = json!(0);
            }
            sample
        })
        .collect();
    let mut profile = json!({
        "sampleType": [{"typeStrindex": 1, "unitStrindex": 2}], "sample": samples, "locationIndices": indices,
        "timeNanos": TIME.to_string(), "durationNanos": "9", "periodType": {"typeStrindex": 3, "unitStrindex": 4},
        "period": PERIOD.to_string(), "profileId": "07".repeat(16),
    });
    let mut request = json!({});
    match revision {
        Revision::V1_4 => merge(&mut profile, &tables),
        Revision::V1_6 => merge(&mut request, &tables),
        _ => request["dictionary"] = tables,
    }
    json_envelope(request, profile)
}

fn json_v1_3() -> Value {
    let (indices, starts) = location_indices();
    let samples: Vec<Value> = SAMPLES
        .iter()
        .enumerate()
        .map(|(index, (stack, count, attribute))| {
            let mut sample = json!({
                "locationsStartIndex": starts[*stack].to_string(), "locationsLength": STACKS[*stack].len(),
                "value": [count], "attributes": attribute.iter().collect::<Vec<_>>(),
                "timestampsUnixNano": times(*count),
            });
            if index == 0 {
                sample["link"] = json!("0");
            }
            sample
        })
        .collect();
    let attribute = |(key, value): (u64, u64)| json!({"key": STRINGS[key as usize], "value": {"stringValue": STRINGS[value as usize]}});
    let locations: Vec<Value> = LOCATIONS
        .iter()
        .map(|(address, name)| {
            let lines = name.map_or_else(Vec::new, |name| vec![json!({"functionIndex": name})]);
            json!({"id": "1", "address": address, "line": lines, "typeIndex": if *name == Some(2) { 13 } else { 0 }})
        })
        .collect();
    let profile = json!({
        "sampleType": [{"type": "1", "unit": "2"}], "sample": samples, "mapping": [{"filename": "8", "buildId": "15"}],
        "location": locations, "function": FUNCTIONS.map(|name| json!({"name": name})), "stringTable": STRINGS,
        "periodType": {"type": 3, "unit": 4}, "period": PERIOD, "locationIndices": indices,
        "attributeTable": ATTRIBUTES.map(attribute),
        "linkTable": [{"traceId": "01".repeat(16), "spanId": "0202020202020202"}],
    });
    let container = json!({
        "profileId": "07".repeat(16), "startTimeUnixNano": TIME.to_string(), "endTimeUnixNano": (TIME + 9).to_string(),
        "profile": profile,
    });
    json_envelope(json!({}), container)
}

fn json_new(revision: Revision) -> Value {
    let samples: Vec<Value> = SAMPLES
        .iter()
        .enumerate()
        .map(|(index, (stack, count, attribute))| {
            json!({
                "stackIndex": stack + 1, "linkIndex": usize::from(index == 0),
                "attributeIndices": attribute.iter().map(|index| index + 1).collect::<Vec<_>>(),
                "timestampsUnixNano": times(*count).iter().map(u64::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    let lines = if revision == Revision::V1_8 { "line" } else { "lines" };
    let mut locations = vec![json!({})];
    for (address, name) in LOCATIONS {
        let named = name.map_or_else(Vec::new, |name| vec![json!({"functionIndex": name + 1})]);
        let kind = if name == Some(2) { vec![FRAME_TYPE + 1] } else { Vec::new() };
        locations
            .push(json!({"mappingIndex": 1, "address": address, lines: named, "attributeIndices": kind}));
    }
    let with_null =
        |entries: Vec<Value>| -> Vec<Value> { std::iter::once(json!({})).chain(entries).collect() };
    let attribute = |(key, value): &(u64, u64)| json!({"keyStrindex": key, "value": {"stringValue": STRINGS[*value as usize]}});
    let dictionary = json!({
        "mappingTable": [{}, {"filenameStrindex": 8, "attributeIndices": [BUILD_ID + 1]}],
        "locationTable": locations,
        "functionTable": with_null(FUNCTIONS.iter().map(|name| json!({"nameStrindex": name})).collect()),
        "linkTable": [{}, {"traceId": "01".repeat(16), "spanId": "AgICAgICAgI="}],
        "stringTable": STRINGS,
        "attributeTable": with_null(ATTRIBUTES.iter().map(attribute).collect()),
        "stackTable": with_null(STACKS.iter().map(|stack| {
            json!({"locationIndices": stack.iter().map(|location| location + 1).collect::<Vec<_>>()})
        }).collect()),
    });
    let name = if revision == Revision::V1_8 { "sample" } else { "samples" };
    let profile = json!({
        "sampleType": {"typeStrindex": 1, "unitStrindex": 2}, name: samples, "timeUnixNano": TIME.to_string(),
        "durationNano": 9, "periodType": {"typeStrindex": 3, "unitStrindex": 4}, "period": PERIOD,
        "profileId": "07".repeat(16),
    });
    json_envelope(json!({"dictionary": dictionary}), profile)
}

fn merge(into: &mut Value, from: &Value) {
    let from = from.as_object().unwrap().clone();
    into.as_object_mut().unwrap().extend(from);
}

fn json_envelope(mut request: Value, profile: Value) -> Value {
    request["resourceProfiles"] = json!([{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeProfiles": [{"scope": {"name": "tests"}, "profiles": [profile], "future": {"stringTable": [1]}}],
    }]);
    request
}

#[test]
fn json_of_every_revision_is_recognised_by_its_names() {
    let shape =
        Shape { style: Style::Timestamps, attributes: true, links: true, id: true, time: true, empty: false };
    for revision in Revision::ALL {
        let request = match revision {
            Revision::V1_3 => json_v1_3(),
            Revision::V1_4 | Revision::V1_6 | Revision::V1_7 => json_old(revision),
            Revision::V1_8 | Revision::V1_9 | Revision::V1_10 => json_new(revision),
        };
        let decoded = decode_request_json(request.to_string().as_bytes(), &Limits::default()).unwrap();
        check(&decoded, shape, revision.name());
        let newest = revision == Revision::V1_9 && decoded.revision == Revision::V1_10;
        assert!(decoded.revision == revision || newest, "{revision:?}: {:?}", decoded.revision);
    }
    let mut mixed = json_new(Revision::V1_10);
    merge(&mut mixed, &json!({"stringTable": [""]}));
    let error =
        decode_request_json(mixed.to_string().as_bytes(), &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("mixes revisions of OTLP profiles: stringTable, but"), "{error}");
}
