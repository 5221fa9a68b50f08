//! Our OTLP encoder and decoder against the generated types of `opentelemetry-proto`.

#![expect(clippy::unwrap_used, reason = "the helpers here are tests too")]

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use hearth_codec::Limits;
use hearth_codec::otlp::{
    self, DecodeError, PartialSuccess, Revision, decode_request, decode_request_json, encode_request,
};
use hearth_profile::{
    AttributeValue, Attributes, FrameKind, Function, Line, Link, Location, Mapping, Profile, ProfileBatch,
    ResourceProfiles, Sample, Scope, StackId, ValueType,
};
use opentelemetry_proto::tonic::collector::profiles::v1development as collector;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::profiles::v1development as proto;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message as _;

type Request = collector::ExportProfilesServiceRequest;

/// Everything a batch says, as text.
fn shown(batch: &ProfileBatch) -> String {
    let mut text = String::new();
    for resource in &batch.resources {
        let scope = &resource.scope;
        writeln!(text, "resource {}", attributes(&resource.resource)).unwrap();
        writeln!(text, "scope {}@{} {}", scope.name, scope.version, attributes(&scope.attributes)).unwrap();
        for profile in &resource.profiles {
            let Profile { sample_type, period_type, period, time_unix_nano, duration_nano, .. } = profile;
            let id = hex(&profile.profile_id);
            let types = format!(
                "{}/{} every {period} {}/{}",
                sample_type.name, sample_type.unit, period_type.name, period_type.unit
            );
            let own = attributes(&profile.attributes);
            writeln!(text, "  profile {types} at {time_unix_nano}+{duration_nano} id {id} {own}").unwrap();
            for sample in &profile.samples {
                writeln!(text, "    {}", sample_text(batch, sample)).unwrap();
            }
        }
    }
    text
}

fn attributes(attributes: &Attributes) -> String {
    let shown = |value: &AttributeValue| match value {
        AttributeValue::String(text) => format!("{text:?}"),
        AttributeValue::Bytes(bytes) => hex(bytes),
        other => other.to_string(),
    };
    let list: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
    format!("[{}]", list.join(" "))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sample_text(batch: &ProfileBatch, sample: &Sample) -> String {
    let dictionary = &batch.dictionary;
    let text = |id| dictionary.get_string(id);
    let mut frames = Vec::new();
    for id in dictionary.leaf_first(sample.stack) {
        let location = dictionary.get_location(id);
        let mapping = dictionary.get_mapping(location.mapping);
        let range = (mapping.memory_start, mapping.memory_limit, mapping.file_offset);
        let (file, build_id) = (text(mapping.filename), text(mapping.build_id));
        let mut frame = format!("{file}({build_id}){range:?}+{:x}{}", location.address, location.kind.name());
        for line in &location.lines {
            let function = dictionary.get_function(line.function);
            let (name, system) = (text(function.name), text(function.system_name));
            let place = (text(function.filename), function.start_line, line.line, line.column);
            write!(frame, " {name}|{system}{place:?}").unwrap();
        }
        frames.push(frame);
    }
    let link = sample.link.map_or(String::new(), |link| hex(&link.trace_id) + &hex(&link.span_id));
    let own = attributes(&sample.attributes);
    format!("{} {:?} {own} {link} {}", sample.value, sample.timestamps_unix_nano, frames.join(" < "))
}

/// The same text from the generated types, read by the specification and nothing of ours.
fn shown_proto(request: &Request) -> String {
    let empty = proto::ProfilesDictionary::default();
    let view = View(request.dictionary.as_ref().unwrap_or(&empty));
    let mut text = String::new();
    for resource in &request.resource_profiles {
        for scopes in &resource.scope_profiles {
            let scope = scopes.scope.clone().unwrap_or_default();
            let of_resource = resource.resource.as_ref().map(|resource| resource.attributes.as_slice());
            writeln!(text, "resource {}", view.inline(of_resource.unwrap_or_default())).unwrap();
            let own = view.inline(&scope.attributes);
            writeln!(text, "scope {}@{} {own}", scope.name, scope.version).unwrap();
            for profile in &scopes.profiles {
                view.profile(&mut text, profile);
            }
        }
    }
    text
}

struct View<'a>(&'a proto::ProfilesDictionary);

impl View<'_> {
    fn text(&self, index: i32) -> &str {
        self.0.string_table.get(index as usize).map_or("", String::as_str)
    }

    fn inline(&self, list: &[common::KeyValue]) -> String {
        let list: Vec<String> =
            list.iter().map(|entry| format!("{}={}", entry.key, value_text(entry.value.as_ref()))).collect();
        format!("[{}]", list.join(" "))
    }

    fn indexed(&self, indices: &[i32]) -> Vec<(String, String)> {
        let of = |&index: &i32| &self.0.attribute_table[index as usize];
        let pair = |entry: &proto::KeyValueAndUnit| {
            (self.text(entry.key_strindex).to_owned(), value_text(entry.value.as_ref()))
        };
        indices.iter().map(of).map(pair).collect()
    }

    fn indexed_text(&self, indices: &[i32]) -> String {
        let list: Vec<String> =
            self.indexed(indices).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("[{}]", list.join(" "))
    }

    fn one(&self, indices: &[i32], key: &str) -> String {
        let found = self.indexed(indices).into_iter().find(|(name, _)| name == key);
        found.map_or(String::new(), |(_, value)| value.trim_matches('"').to_owned())
    }

    fn profile(&self, text: &mut String, profile: &proto::Profile) {
        let (of, by) = (profile.sample_type.unwrap_or_default(), profile.period_type.unwrap_or_default());
        let types = format!(
            "{}/{} every {} {}/{}",
            self.text(of.type_strindex),
            self.text(of.unit_strindex),
            profile.period,
            self.text(by.type_strindex),
            self.text(by.unit_strindex)
        );
        let time = (profile.time_unix_nano, profile.duration_nano);
        let id = if profile.profile_id.is_empty() { "0".repeat(32) } else { hex(&profile.profile_id) };
        let own = self.indexed_text(&profile.attribute_indices);
        writeln!(text, "  profile {types} at {}+{} id {id} {own}", time.0, time.1).unwrap();
        for sample in &profile.samples {
            writeln!(text, "    {}", self.sample(sample)).unwrap();
        }
    }

    fn sample(&self, sample: &proto::Sample) -> String {
        let value = match sample.values.as_slice() {
            [] => sample.timestamps_unix_nano.len() as i64,
            values => values.iter().sum(),
        };
        let link = self.0.link_table.get(sample.link_index as usize).filter(|_| sample.link_index != 0);
        let link = link.map_or(String::new(), |link| hex(&link.trace_id) + &hex(&link.span_id));
        let stack = self.0.stack_table.get(sample.stack_index as usize).cloned().unwrap_or_default();
        let frames: Vec<String> = stack.location_indices.iter().map(|&index| self.location(index)).collect();
        let own = self.indexed_text(&sample.attribute_indices);
        format!("{value} {:?} {own} {link} {}", sample.timestamps_unix_nano, frames.join(" < "))
    }

    fn location(&self, index: i32) -> String {
        let location = &self.0.location_table[index as usize];
        let mapping = &self.0.mapping_table[location.mapping_index as usize];
        let range = (mapping.memory_start, mapping.memory_limit, mapping.file_offset);
        let build_id = self.one(&mapping.attribute_indices, "process.executable.build_id.gnu");
        let kind = self.one(&location.attribute_indices, "profile.frame.type");
        let file = self.text(mapping.filename_strindex);
        let mut frame = format!("{file}({build_id}){range:?}+{:x}{kind}", location.address);
        for line in &location.lines {
            let function = &self.0.function_table[line.function_index as usize];
            let (name, system) =
                (self.text(function.name_strindex), self.text(function.system_name_strindex));
            let place = (self.text(function.filename_strindex), function.start_line, line.line, line.column);
            write!(frame, " {name}|{system}{place:?}").unwrap();
        }
        frame
    }
}

fn value_text(value: Option<&common::AnyValue>) -> String {
    use common::any_value::Value;
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => format!("{text:?}"),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(Value::BytesValue(bytes)) => hex(bytes),
        other => format!("{other:?}"),
    }
}

fn pairs(ids: &[u8]) -> Attributes {
    let value = |id: u8| match id % 5 {
        0 => AttributeValue::String(format!("text {id}")),
        1 => AttributeValue::Int(-i64::from(id)),
        2 => AttributeValue::Bool(id > 9),
        3 => AttributeValue::Double(f64::from(id) / 2.0),
        _ => AttributeValue::Bytes(vec![id; 3]),
    };
    ids.iter().map(|&id| (format!("key.{id}"), value(id))).collect()
}

#[derive(Clone, Debug)]
struct Frame {
    mapping: u8,
    address: u64,
    kind: usize,
    lines: Vec<(u8, u32)>,
}

#[derive(Clone, Debug)]
struct Spec {
    frames: Vec<Frame>,
    weight: i64,
    times: Vec<u64>,
    attributes: Vec<u8>,
    link: Option<u8>,
}

fn build(owners: &[(Vec<u8>, Vec<u8>, Vec<Spec>)]) -> ProfileBatch {
    let mut batch = ProfileBatch::default();
    for (resource, own, specs) in owners {
        let samples = specs.iter().map(|spec| sample(&mut batch, spec)).collect();
        let counts = resource.len().is_multiple_of(2);
        let period_type = ValueType::new("cpu", "nanoseconds");
        let profile = Profile {
            sample_type: ValueType::new("samples", "count"),
            period_type: if counts { period_type } else { ValueType::default() },
            period: if counts { 52_631_578 } else { 0 },
            time_unix_nano: 1_700_000_000_000_000_000 + own.len() as u64,
            duration_nano: own.len() as u64 * 1_000,
            profile_id: [own.len() as u8; 16],
            attributes: pairs(own),
            samples,
        };
        batch.resources.push(ResourceProfiles {
            resource: pairs(resource),
            scope: Scope { name: "hearth".into(), version: "1".into(), attributes: pairs(own) },
            profiles: vec![profile],
        });
    }
    batch
}

fn sample(batch: &mut ProfileBatch, spec: &Spec) -> Sample {
    let dictionary = &mut batch.dictionary;
    let mut leaf_first = Vec::new();
    for frame in &spec.frames {
        let mapping = Mapping {
            filename: dictionary.string(&format!("/bin/{}", frame.mapping)),
            build_id: dictionary.string(&"ab".repeat(usize::from(frame.mapping % 3))),
            memory_start: u64::from(frame.mapping) << 40,
            memory_limit: u64::from(frame.mapping) << 41,
            file_offset: u64::from(frame.mapping),
        };
        let mut lines = Vec::new();
        for &(name, line) in &frame.lines {
            let function = Function {
                name: dictionary.string(&format!("f{name}")),
                system_name: dictionary.string(if name.is_multiple_of(2) { "_Z" } else { "" }),
                filename: dictionary.string(if name > 3 { "a.rs" } else { "" }),
                start_line: u32::from(name),
            };
            lines.push(Line { function: dictionary.function(function), line, column: line / 2 });
        }
        let location = Location {
            mapping: dictionary.mapping(mapping),
            address: frame.address,
            lines: lines.into(),
            kind: FrameKind::ALL[frame.kind],
        };
        leaf_first.push(dictionary.location(location));
    }
    let count = spec.times.len().max(1) as i64;
    Sample {
        stack: dictionary.stack(&leaf_first),
        value: spec.weight * count,
        timestamps_unix_nano: spec.times.clone(),
        attributes: pairs(&spec.attributes),
        link: spec.link.map(|id| Link { trace_id: [id; 16], span_id: [id; 8] }),
    }
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::btree_set(0_u8..20, 0..4).prop_map(|set| set.into_iter().collect())
}

fn spec() -> impl Strategy<Value = Spec> {
    let lines = prop::collection::vec((0_u8..8, 0_u32..500), 0..3);
    let frame = (1_u8..4, any::<u64>(), 0..FrameKind::ALL.len(), lines)
        .prop_map(|(mapping, address, kind, lines)| Frame { mapping, address, kind, lines });
    let times = prop::collection::vec(any::<u64>(), 0..4);
    (prop::collection::vec(frame, 0..5), -9_i64..100, times, keys(), prop::option::of(1_u8..5)).prop_map(
        |(frames, weight, times, attributes, link)| Spec { frames, weight, times, attributes, link },
    )
}

proptest! {
    #[test]
    fn requests_mean_the_same_to_both(
        owners in prop::collection::vec((keys(), keys(), prop::collection::vec(spec(), 0..6)), 0..4)
    ) {
        let batch = build(&owners);
        let want = shown(&batch);
        let bytes = encode_request(&batch);
        let request = Request::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(&shown_proto(&request), &want);
        for bytes in [bytes, request.encode_to_vec()] {
            let decoded = decode_request(&bytes, &Limits::default()).unwrap();
            prop_assert_eq!(&decoded.rejected, &vec![]);
            prop_assert_eq!(decoded.revision, Revision::V1_10);
            prop_assert_eq!(&shown(&decoded.batch), &want);
        }
    }

    #[test]
    fn damaged_requests_never_panic(
        owners in prop::collection::vec((keys(), keys(), prop::collection::vec(spec(), 1..4)), 1..3),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode_request(&build(&owners));
        for (at, byte) in damage {
            *at.get_mut(&mut bytes) = byte;
        }
        // Whatever comes out, it came out: a result or an error with a text.
        match decode_request(&bytes, &Limits::default()) {
            Ok(decoded) => prop_assert!(shown(&decoded.batch).len() < 1 << 20),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

fn text(text: &str) -> Option<common::AnyValue> {
    let value = Some(common::any_value::Value::StringValue(text.into()));
    Some(common::AnyValue { value })
}

/// A request with one profile as the eBPF profiler sends it; `change` may spoil it.
fn request(change: impl FnOnce(&mut Request)) -> Vec<u8> {
    let strings = [
        "",
        "samples",
        "count",
        "cpu",
        "nanoseconds",
        "main",
        "/bin/app",
        "thread.name",
        "service.name",
        "shop",
    ];
    let attribute =
        |key_strindex, value| proto::KeyValueAndUnit { key_strindex, value: text(value), unit_strindex: 0 };
    let value_type = |type_strindex, unit_strindex| proto::ValueType { type_strindex, unit_strindex };
    let line = proto::Line { function_index: 1, line: 7, column: 0 };
    let dictionary = proto::ProfilesDictionary {
        mapping_table: vec![
            Default::default(),
            proto::Mapping { filename_strindex: 6, ..Default::default() },
        ],
        location_table: vec![
            Default::default(),
            proto::Location { mapping_index: 1, address: 0x10, lines: vec![line], ..Default::default() },
            proto::Location { mapping_index: 1, address: 0x20, ..Default::default() },
        ],
        function_table: vec![Default::default(), proto::Function { name_strindex: 5, ..Default::default() }],
        link_table: vec![Default::default()],
        string_table: strings.map(String::from).to_vec(),
        attribute_table: vec![Default::default(), attribute(7, "worker"), attribute(7, "io")],
        stack_table: vec![Default::default(), proto::Stack { location_indices: vec![2, 1] }],
    };
    let sample = proto::Sample {
        stack_index: 1,
        attribute_indices: vec![1],
        timestamps_unix_nano: vec![5, 6, 7],
        ..Default::default()
    };
    let profile = proto::Profile {
        sample_type: Some(value_type(1, 2)),
        period_type: Some(value_type(3, 4)),
        period: 50,
        samples: vec![sample],
        time_unix_nano: 4,
        duration_nano: 9,
        ..Default::default()
    };
    let scope = proto::ScopeProfiles { profiles: vec![profile.clone(), profile], ..Default::default() };
    let resource = Resource {
        attributes: vec![common::KeyValue { key: "process.pid".into(), value: text("12"), key_strindex: 0 }],
        ..Default::default()
    };
    let mut request = Request {
        resource_profiles: vec![proto::ResourceProfiles {
            resource: Some(resource),
            scope_profiles: vec![scope],
            ..Default::default()
        }],
        dictionary: Some(dictionary),
    };
    change(&mut request);
    request.encode_to_vec()
}

fn profiles(request: &mut Request) -> &mut Vec<proto::Profile> {
    &mut request.resource_profiles[0].scope_profiles[0].profiles
}

fn check(change: impl FnOnce(&mut Request), want: Expect) {
    let decoded = decode_request(&request(change), &Limits::default()).unwrap();
    let mut text = shown(&decoded.batch);
    for rejected in &decoded.rejected {
        writeln!(text, "rejected ({} samples) {rejected}", rejected.samples).unwrap();
    }
    want.assert_eq(&text);
}

#[test]
fn timestamps_without_values_count_one_each() {
    check(
        |request| profiles(request).truncate(1),
        expect![[r#"
            resource [process.pid="12"]
            scope @ []
              profile samples/count every 50 cpu/nanoseconds at 4+9 id 00000000000000000000000000000000 []
                3 [5, 6, 7] [thread.name="worker"]  /bin/app()(0, 0, 0)+20 < /bin/app()(0, 0, 0)+10 main|("", 0, 7, 0)
        "#]],
    );
}

#[test]
fn values_of_different_weight_become_one_sample_each() {
    check(
        |request| {
            profiles(request).truncate(1);
            profiles(request)[0].samples[0].values = vec![10, 20, 10];
        },
        expect![[r#"
            resource [process.pid="12"]
            scope @ []
              profile samples/count every 50 cpu/nanoseconds at 4+9 id 00000000000000000000000000000000 []
                10 [5] [thread.name="worker"]  /bin/app()(0, 0, 0)+20 < /bin/app()(0, 0, 0)+10 main|("", 0, 7, 0)
                20 [6] [thread.name="worker"]  /bin/app()(0, 0, 0)+20 < /bin/app()(0, 0, 0)+10 main|("", 0, 7, 0)
                10 [7] [thread.name="worker"]  /bin/app()(0, 0, 0)+20 < /bin/app()(0, 0, 0)+10 main|("", 0, 7, 0)
        "#]],
    );
}

#[test]
fn references_in_resource_attributes_are_resolved() {
    check(
        |request| {
            profiles(request).truncate(1);
            profiles(request)[0].samples.clear();
            let value = Some(common::any_value::Value::StringValueStrindex(9));
            let by_reference = common::KeyValue {
                key: String::new(),
                key_strindex: 8,
                value: Some(common::AnyValue { value }),
            };
            let both = common::KeyValue { key: "own".into(), key_strindex: 8, value: text("key wins") };
            request.resource_profiles[0].resource.as_mut().unwrap().attributes = vec![by_reference, both];
        },
        expect![[r#"
            resource [service.name="shop" own="key wins"]
            scope @ []
              profile samples/count every 50 cpu/nanoseconds at 4+9 id 00000000000000000000000000000000 []
        "#]],
    );
}

#[test]
#[rustfmt::skip]
fn a_bad_profile_is_rejected_and_its_sibling_kept() {
    type Case = (&'static str, fn(&mut Request), &'static str);
    let cases: [Case; 9] = [
        ("stack",      |r| profiles(r)[1].samples[0].stack_index = 9,             "samples[0]: Sample.stack_index 9 is out of range; stack_table has 2 entries, expected 0 to 1"),
        ("negative",   |r| profiles(r)[1].samples[0].stack_index = -1,            "Sample.stack_index -1 is out of range"),
        ("attribute",  |r| profiles(r)[1].samples[0].attribute_indices = vec![3], "Sample.attribute_indices 3 is out of range; attribute_table has 3 entries"),
        ("link",       |r| { profiles(r)[1].samples[0].link_index = 1; },         "Sample.link_index 1 is out of range; link_table has 1 entries"),
        ("type",       |r| profiles(r)[1].sample_type.as_mut().unwrap().type_strindex = 99, "ValueType.type_strindex 99 is out of range; string_table has 10 entries"),
        ("no values",  |r| profiles(r)[1].samples[0].timestamps_unix_nano.clear(), "samples[0]: it has neither values nor timestamps"),
        ("counts",     |r| { profiles(r)[1].samples[0].values = vec![1, 2]; },    "it has 2 values but 3 timestamps; expected equal numbers"),
        ("location",   |r| { dictionary(r).stack_table.push(proto::Stack { location_indices: vec![7] }); profiles(r)[1].samples[0].stack_index = 2; }, "Stack.location_indices 7 is out of range; location_table has 3 entries"),
        ("endless",    |r| { dictionary(r).stack_table.push(proto::Stack { location_indices: vec![1; 1_000_001] }); profiles(r)[1].samples[0].stack_index = 2; }, "Stack.location_indices has more than 1000000 entries"),
    ];
    for (case, change, want) in cases {
        // Values make the layout of samples plain where the case leaves no other trace of it.
        let bytes = request(|request| {
            change(request);
            if case == "no values" { profiles(request)[0].samples[0].values = vec![1, 1, 1]; }
        });
        match decode_request(&bytes, &Limits::default()) {
            Ok(decoded) => {
                assert_eq!(decoded.rejected.len(), 1, "{case}");
                assert_eq!((decoded.rejected[0].profile, decoded.rejected[0].samples), (1, 1), "{case}");
                assert!(decoded.rejected[0].reason.contains(want), "{case}: {}", decoded.rejected[0].reason);
                assert_eq!(decoded.batch.sample_count(), 1, "{case}");
                let answer = decoded.partial_success();
                assert_eq!(answer.rejected_profiles, 1);
                assert!(answer.error_message.starts_with("resource_profiles[0].scope_profiles[0].profiles[1]: "));
            }
            Err(error) => panic!("{case}: {error}"),
        }
    }
}

fn dictionary(request: &mut Request) -> &mut proto::ProfilesDictionary {
    request.dictionary.as_mut().unwrap()
}

#[test]
#[rustfmt::skip]
fn limits_hold_for_the_request() {
    let limits = Limits::default();
    let cases = [
        ("bytes",      Limits { max_bytes: 10, ..limits },           "request bytes"),
        ("table",      Limits { max_table: 5, ..limits },            "string_table: 6 exceeds the limit of 5"),
        ("samples",    Limits { max_samples: 1, ..limits },          "samples: 2 exceeds the limit of 1"),
        ("profiles",   Limits { max_profiles: 1, ..limits },         "profiles: 2 exceeds the limit of 1"),
        ("attributes", Limits { max_attribute_bytes: 99, ..limits }, "bytes of attributes"),
    ];
    for (case, limits, want) in cases {
        let error = decode_request(&request(|_| ()), &limits).unwrap_err();
        assert!(matches!(error, DecodeError::Limit(_)), "{case}");
        assert!(error.to_string().contains(want), "{case}: {error}");
    }
}

#[test]
fn the_middle_of_a_deep_stack_is_folded() {
    let bytes = request(|request| {
        let mut deep = vec![1; 3000];
        deep[0] = 2;
        dictionary(request).stack_table[1] = proto::Stack { location_indices: deep };
    });
    let decoded = decode_request(&bytes, &Limits { max_depth: 9, ..Limits::default() }).unwrap();
    assert_eq!(decoded.rejected, []);
    let dictionary = &decoded.batch.dictionary;
    let stack = decoded.batch.resources[0].profiles[0].samples[0].stack;
    let names: Vec<String> =
        dictionary.leaf_first(stack).flat_map(|id| dictionary.names(id)).map(|(name, _)| name).collect();
    assert_eq!(
        (&*names[0], &*names[1], &*names[6], names.len()),
        ("app+0x20", "main", "[deep stack: frames left out]", 9)
    );
}

#[test]
fn v1_9_requests_are_read_with_their_own_layout() {
    // v1.9 numbers a sample's values 2, attributes 3 and link 4.
    let mut bytes = request(|request| {
        profiles(request).truncate(1);
        profiles(request)[0].samples.clear();
    });
    let sample = [0x08, 1, 0x12, 1, 42, 0x1a, 1, 2];
    let layers = [0x12_u8, 0x12, 0x12, 0x0a]
        .iter()
        .fold(sample.to_vec(), |inner, &tag| [&[tag, inner.len() as u8][..], &inner].concat());
    bytes.extend(layers);
    let decoded = decode_request(&bytes, &Limits::default()).unwrap();
    assert_eq!(decoded.revision, Revision::V1_9);
    let sample = &decoded.batch.resources[1].profiles[0].samples[0];
    assert_eq!((sample.value, sample.attributes.get_str("thread.name")), (42, Some("io")));
}

#[test]
fn json_means_the_same_as_protobuf() {
    let json = r#"{
        "resourceProfiles": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "shop"}},
                {"key": "process.pid", "value": {"intValue": "12"}},
                {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, {"doubleValue": 0.5}]}}}
            ]},
            "schemaUrl": "ignored",
            "scopeProfiles": [{"scope": {"name": "s", "version": "1"}, "profiles": [{
                "sampleType": {"typeStrindex": 1, "unitStrindex": 2},
                "samples": [
                    {"stackIndex": 1, "linkIndex": 1, "attributeIndices": [1], "values": ["3", 4], "timestampsUnixNano": ["5", "6"]},
                    {"stackIndex": 1, "values": [9]}
                ],
                "timeUnixNano": "1700000000000000000", "durationNano": 1000, "period": null,
                "profileId": "000102030405060708090a0b0c0d0e0f"
            }]}]
        }],
        "dictionary": {
            "mappingTable": [{}, {"memoryStart": "18446744073709551615", "filename_strindex": 4}],
            "locationTable": [{}, {"mappingIndex": 1, "address": "16", "lines": [{"functionIndex": 1, "line": "7"}]}],
            "functionTable": [{}, {"nameStrindex": 3}],
            "linkTable": [{}, {"traceId": "AAECAwQFBgcICQoLDA0ODw==", "spanId": "0102030405060708"}],
            "stringTable": ["", "samples", "count", "main", "/bin/app", "thread.id"],
            "attributeTable": [{}, {"keyStrindex": 5, "value": {"intValue": 77}}],
            "stackTable": [{}, {"locationIndices": [1]}]
        }
    }"#;
    let decoded = decode_request_json(json.as_bytes(), &Limits::default()).unwrap();
    expect![[r#"
        resource [service.name="shop" process.pid=12 list=[true,0.5]]
        scope s@1 []
          profile samples/count every 0 / at 1700000000000000000+1000 id 000102030405060708090a0b0c0d0e0f []
            3 [5] [thread.id=77] 000102030405060708090a0b0c0d0e0f0102030405060708 /bin/app()(18446744073709551615, 0, 0)+10 main|("", 0, 7, 0)
            4 [6] [thread.id=77] 000102030405060708090a0b0c0d0e0f0102030405060708 /bin/app()(18446744073709551615, 0, 0)+10 main|("", 0, 7, 0)
            9 []  /bin/app()(18446744073709551615, 0, 0)+10 main|("", 0, 7, 0)
    "#]]
    .assert_eq(&shown(&decoded.batch).replace(" [] []  /bin", " []  /bin"));
    assert_eq!(decoded.rejected, []);
}

#[test]
#[rustfmt::skip]
fn bad_json_is_refused_with_the_field() {
    let cases = [
        ("",                                                              "EOF while parsing"),
        ("[]",                                                            "expected an object"),
        (r#"{"resourceProfiles": [{"scopeProfiles": 3}]}"#,               "scopeProfiles has value 3; expected an object"),
        (r#"{"dictionary": {"stringTable": [1]}}"#,                       "stringTable has value 1; expected a string"),
        (r#"{"dictionary": {"linkTable": [{"traceId": "!"}]}}"#,          r#"traceId has value "!"; expected a string with hexadecimal"#),
        (r#"{"dictionary": {"stackTable": [{"locationIndices": ["x"]}]}}"#, r#"locationIndices has value "x"; expected a 64-bit integer"#),
        (r#"{"stringTable": [], "dictionary": {"stackTable": []}}"#,      "the request mixes revisions of OTLP profiles: stringTable, but stackTable"),
        (r#"{} {}"#,                                                      "trailing characters"),
    ];
    for (json, want) in cases {
        let error = decode_request_json(json.as_bytes(), &Limits::default()).unwrap_err().to_string();
        assert!(error.contains(want), "{json}: {error}");
    }
    assert_eq!(decode_request_json(b"{}", &Limits::default()).unwrap().batch.sample_count(), 0);
}

#[test]
fn responses_round_trip() {
    let partial = PartialSuccess { rejected_profiles: 3, error_message: "why".into() };
    let bytes = otlp::encode_response(&partial);
    let theirs = collector::ExportProfilesServiceResponse::decode(bytes.as_slice()).unwrap();
    assert_eq!(theirs.partial_success.unwrap().rejected_profiles, 3);
    assert_eq!(otlp::decode_response(&bytes).unwrap(), partial);
    assert!(otlp::encode_response(&PartialSuccess::default()).is_empty());
    expect![[r#"{"partialSuccess":{"errorMessage":"why","rejectedProfiles":"3"}}"#]]
        .assert_eq(&otlp::encode_response_json(&partial));
}

#[test]
fn an_empty_batch_is_a_valid_request() {
    let decoded = decode_request(&encode_request(&ProfileBatch::default()), &Limits::default()).unwrap();
    assert!(decoded.batch.resources.is_empty());
    assert_eq!(decoded.batch.dictionary.get_stack(StackId(1)), Default::default());
}
