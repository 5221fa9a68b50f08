//! Every door by which profiles come in, and what it answers.

use hearth_codec::pprof;
use hearth_codec::pyroscope::push::{PushRequest, RawProfileSeries, RawSample};
use hearth_codec::pyroscope::types::LabelPair;
use hearth_codec::wire::{Writer, push_varint};
use hearth_profile::{
    Function, Line, Location, Profile, ProfileBatch, ResourceProfiles, Sample, StackId, ValueType,
};
use prost::Message as _;
use serde_json::json;
use tonic::Code;

use crate::common::{CPU, EXPORT, Running, gzip, now_ms, start};

const PUSH: &str = "/push.v1.PusherService/Push";

/// Folded stacks of one type, of all series that a selector matches.
async fn stacks(server: &Running, kind: &str, selector: &str) -> String {
    let (from, to) = (now_ms() - 3_600_000, now_ms() + 3_600_000);
    let selector: String = selector.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/v1/export?format=folded&type={kind}&q={selector}&from={from}&to={to}");
    let answer = server.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

async fn types(server: &Running) -> Vec<String> {
    let (from, to) = (now_ms() - 3_600_000, now_ms() + 3_600_000);
    let answer = server.get(&format!("/api/v1/types?from={from}&to={to}")).await.json();
    answer["types"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap().to_owned()).collect()
}

/// A stack, root first, a value per column, and labels.
type Taken<'a> = (&'a str, &'a [i64], &'a [(&'a str, &'a str)]);

/// A pprof profile: columns (type, unit), then samples.
fn profile(columns: &[(&str, &str)], samples: &[Taken<'_>]) -> Vec<u8> {
    let mut batch = ProfileBatch::default();
    let mut resource = ResourceProfiles::default();
    for (index, (name, unit)) in columns.iter().enumerate() {
        let mut profile = Profile {
            sample_type: ValueType::new(*name, *unit),
            period_type: ValueType::new("cpu", "nanoseconds"),
            period: 10_000_000,
            time_unix_nano: u64::try_from(now_ms()).unwrap() * 1_000_000,
            ..Profile::default()
        };
        for (path, values, labels) in samples {
            let stack = path.split(';').fold(StackId::NONE, |caller, name| {
                let name = batch.dictionary.string(name);
                let function = batch.dictionary.function(Function { name, ..Function::default() });
                let lines = [Line { function, ..Line::default() }].into();
                let location = batch.dictionary.location(Location { lines, ..Location::default() });
                batch.dictionary.push(caller, location)
            });
            let attributes = labels.iter().map(|(key, value)| (*key, *value)).collect();
            profile.samples.push(Sample { stack, value: values[index], attributes, ..Sample::default() });
        }
        resource.profiles.push(profile);
    }
    batch.resources.push(resource);
    pprof::encode(&batch)
}

fn series(labels: &[(&str, &str)], profiles: &[Vec<u8>], id: &str) -> RawProfileSeries {
    let label = |(name, value): &(&str, &str)| LabelPair { name: (*name).into(), value: (*value).into() };
    let sample = |raw_profile: &Vec<u8>| RawSample { raw_profile: raw_profile.clone(), id: id.into() };
    RawProfileSeries {
        labels: labels.iter().map(label).collect(),
        samples: profiles.iter().map(sample).collect(),
    }
}

#[tokio::test]
async fn pushes_are_taken_over_all_protocols() {
    let server = start("", &[]).await;
    let cpu = profile(&[("switches", "count"), ("cpu", "nanoseconds")], &[("main;work", &[3, 30], &[])]);
    let labels = [("__name__", "process_cpu"), ("service_name", "shop"), ("__session_id__", "abc")];
    let request = PushRequest { series: vec![series(&labels, &[gzip(&cpu)], "")] };
    server.grpc(PUSH, request.encode_to_vec()).await.unwrap();
    let proto = [("content-type", "application/proto"), ("content-encoding", "gzip")];
    let answer = server.send("POST", PUSH, &proto, gzip(&request.encode_to_vec())).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.text());
    let body = String::from_utf8(hearth_codec::pyroscope::to_json(&request).unwrap()).unwrap();
    let answer = server.send("POST", PUSH, &[("content-type", "application/json")], body).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(stacks(&server, CPU, "{service_name=\"shop\"}").await, "main;work 90\n");
    assert_eq!(types(&server).await, [CPU, "process_cpu:switches:count:cpu:nanoseconds"]);
    let names =
        server.ask("Series", json!({"start": now_ms() - 60_000, "end": now_ms() + 60_000})).await.text();
    assert!(!names.contains("session"), "{names}");
}

#[tokio::test]
async fn a_bad_profile_of_a_push_does_not_harm_its_siblings() {
    let server = start("", &[]).await;
    let good =
        profile(&[("cpu", "nanoseconds")], &[("main", &[7], &[("region", "eu"), ("profile_id", "1f")])]);
    let labels = [("__name__", "process_cpu"), ("service_name", "shop")];
    let request = PushRequest {
        series: vec![
            series(&labels, &[b"nonsense".to_vec(), good.clone()], ""),
            series(&[("a", "1"), ("a", "2")], std::slice::from_ref(&good), ""),
        ],
    };
    let status = server.grpc(PUSH, request.encode_to_vec()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for part in [
        "malformed_profile: series[0].samples[0]: ",
        "invalid_labels: series[1]: label \"a\" occurs twice",
        "; the rest is stored",
    ] {
        assert!(status.message().contains(part), "{part}: {}", status.message());
    }
    assert_eq!(stacks(&server, CPU, "{region=\"eu\"}").await, "main 7\n");
    let metrics = server.get("/metrics").await.text();
    for line in [
        "pyroscope_discarded_samples_total{reason=\"invalid_labels\",tenant=\"anonymous\"} 1",
        "pyroscope_discarded_samples_total{reason=\"malformed_profile\",tenant=\"anonymous\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let empty = server.grpc(PUSH, Vec::new()).await.unwrap_err();
    assert_eq!((empty.code(), empty.message()), (Code::InvalidArgument, "no profiles received"));
}

#[tokio::test]
async fn a_push_with_ids_is_stored_once() {
    let server = start("", &[]).await;
    let good = profile(&[("cpu", "nanoseconds")], &[("main", &[7], &[])]);
    for (id, times) in [("7c4b9c5e-9a4f-4a8e-9e38-0d8a6c3f1b2a", 2), ("", 2)] {
        let request = PushRequest {
            series: vec![series(&[("service_name", "shop")], std::slice::from_ref(&good), id)],
        };
        for _ in 0..times {
            server.grpc(PUSH, request.encode_to_vec()).await.unwrap();
        }
    }
    assert_eq!(stacks(&server, CPU, "{}").await, "main 21\n");
}

fn form(fields: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n")
                .bytes(),
        );
        body.extend_from_slice(value);
        body.extend(b"\r\n");
    }
    body.extend(b"--xyz--\r\n");
    ("multipart/form-data; boundary=xyz".to_owned(), body)
}

#[tokio::test]
async fn pprof_comes_in_through_ingest() {
    let server = start("", &[]).await;
    let heap = profile(
        &[("alloc_space", "bytes"), ("inuse_space", "bytes")],
        &[("main;a", &[10, 4], &[]), ("main;b", &[8, 1], &[])],
    );
    let before = profile(&[("alloc_space", "bytes"), ("inuse_space", "bytes")], &[("main;a", &[7, 9], &[])]);
    let (media, body) = form(&[("profile", &gzip(&heap)), ("prev_profile", &before)]);
    let path = format!(
        "/ingest?name=shop%7Benv%3Dprod%7D&from={}&until={}&spyName=gospy",
        now_ms() / 1000 - 10,
        now_ms() / 1000
    );
    let answer = server.send("POST", &path, &[("content-type", &media)], body).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.text());
    let selector = "{service_name=\"shop\",env=\"prod\",pyroscope_spy=\"gospy\"}";
    assert_eq!(
        stacks(&server, "memory:alloc_space:bytes:cpu:nanoseconds", selector).await,
        "main;a 3\nmain;b 8\n"
    );
    assert_eq!(
        stacks(&server, "memory:inuse_space:bytes:cpu:nanoseconds", selector).await,
        "main;a 4\nmain;b 1\n"
    );

    let locks = profile(&[("contentions", "count")], &[("main;lock", &[2], &[])]);
    let config = br#"{"contentions": {"display-name": "block_count"}}"#;
    let (media, body) = form(&[("sample_type_config", config), ("profile", &locks)]);
    let answer =
        server.send("POST", "/ingest?name=shop&format=pprof", &[("content-type", &media)], body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = server.send("POST", "/pyroscope/ingest?name=shop&format=pprof", &[], locks).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let types = types(&server).await;
    for want in ["block:contentions:count:cpu:nanoseconds", "mutex:contentions:count:cpu:nanoseconds"] {
        assert!(types.iter().any(|kind| kind == want), "{want}: {types:?}");
    }
}

#[tokio::test]
async fn recordings_of_java_come_in_with_their_labels() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/jfr");
    let Ok(recording) = std::fs::read(format!("{corpus}/dump1.jfr.gz")) else {
        println!("skipped: absent: JFR corpus");
        return;
    };
    let labels = std::fs::read(format!("{corpus}/dump1.labels.pb.gz")).unwrap();
    let server = start("", &[]).await;
    let (media, body) = form(&[("jfr", &recording), ("labels", &labels)]);
    let answer =
        server.send("POST", "/ingest?name=kafka&format=jfr", &[("content-type", &media)], body).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    let request = json!({"name": "thread_name", "start": 1, "end": now_ms()});
    let names = server.ask("LabelValues", request).await.json();
    assert_eq!(
        names,
        json!({"names": ["pool-2-thread-1", "pool-2-thread-3", "pool-2-thread-5", "pool-2-thread-7"]})
    );
    let path = format!(
        "/api/v1/export?format=folded&type={CPU}&q={{jfr_event=\"itimer\",service_name=\"kafka\"}}&from=1&to={}",
        now_ms()
    );
    let folded = server.get(&path.replace('"', "%22").replace('{', "%7B").replace('}', "%7D")).await.text();
    assert!(folded.contains("App.lambda$appLogic$0;App.fib"), "{folded}");
}

/// Nodes as name, value and number of children.
fn trie(nodes: &[(&str, u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value, children) in nodes {
        push_varint(&mut bytes, name.len() as u64);
        bytes.extend_from_slice(name.as_bytes());
        push_varint(&mut bytes, *value);
        push_varint(&mut bytes, *children);
    }
    bytes
}

#[tokio::test]
async fn stacks_of_names_come_in_through_ingest_in_every_form() {
    let server = start("", &[]).await;
    let speedscope = json!({
        "shared": {"frames": [{"name": "main"}, {"name": "work"}]},
        "profiles": [{"type": "sampled", "name": "p", "unit": "milliseconds", "samples": [[0, 1], [0]], "weights": [20, 10]}],
    })
    .to_string();
    let named = trie(&[("", 0, 1), ("main", 1, 1), (";work", 2, 0)]);
    let tree = trie(&[("", 0, 1), ("main", 1, 1), ("work", 2, 0)]);
    let cases: [(&str, &str, Vec<u8>); 8] = [
        ("a", "", b"main;work 2\nmain 1\n".to_vec()),
        ("b", "&format=folded", b"main;work 2\nmain 1\n".to_vec()),
        ("c", "&format=groups", b"main;work 2\nmain 1\n".to_vec()),
        ("d", "&format=lines", b"main;work\nmain;work\nmain\n".to_vec()),
        ("e", "&format=trie", named),
        ("f", "&format=tree", tree),
        ("g", "&format=speedscope", speedscope.into_bytes()),
        ("h", "&sampleRate=50", b"main;work 1\nmain 1\n".to_vec()),
    ];
    for (name, parameters, body) in cases {
        let answer = server.send("POST", &format!("/ingest?name={name}.cpu{parameters}"), &[], body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let want = if name == "h" {
            "main 20000000\nmain;work 20000000\n"
        } else {
            "main 10000000\nmain;work 20000000\n"
        };
        assert_eq!(stacks(&server, CPU, &format!("{{service_name=\"{name}\"}}")).await, want, "{name}");
    }
    let answer = server.send("POST", "/ingest?name=a.inuse_objects", &[], b"main 5\n".to_vec()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(stacks(&server, "memory:inuse_objects:count::", "{}").await, "main 5\n");
}

#[tokio::test]
async fn wrong_requests_to_ingest_are_told_apart() {
    let server = start("", &["-distributor.ingestion-body-limit-mb=1"]).await;
    #[rustfmt::skip]
    let cases: [(&str, &str, Vec<u8>, u16, &str); 11] = [
        ("POST", "/ingest",                            vec![],               400, "names no application"),
        ("POST", "/ingest?name=a%7Bb",                 vec![],               400, "no closing brace"),
        ("POST", "/ingest?name=a&from=yesterday",      vec![],               400, "from: \"yesterday\" is no time"),
        ("POST", "/ingest?name=a&sampleRate=0",        vec![],               400, "sampleRate: \"0\" is out of range"),
        ("POST", "/ingest?name=a&format=odd",          vec![],               400, "format: \"odd\" is not supported"),
        ("POST", "/ingest?name=a",                     b"main x".to_vec(),   422, "line 1 ends in \"x\""),
        ("POST", "/ingest?name=a&format=pprof",        b"nonsense".to_vec(), 422, "profile: "),
        ("POST", "/ingest?name=a&format=jfr",          b"nonsense".to_vec(), 422, "jfr: no JFR recording"),
        ("POST", "/ingest?name=a&format=trie",         b"\x05x".to_vec(),    422, "malformed trie"),
        ("POST", "/ingest?name=a",                     vec![b'a'; 2 << 20],  413, "limit of 1048576 bytes"),
        ("GET",  "/ingest?name=a",                     vec![],               405, ""),
    ];
    for (method, path, body, status, want) in cases {
        let answer = server.send(method, path, &[], body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(want), "{path}: {}", answer.text());
    }
}

/// A request of v1.7, whose samples name a stretch of the profile's locations.
fn v1_7() -> Vec<u8> {
    let mut request = Writer::default();
    request.message(1, |resource_profiles| {
        resource_profiles.message(2, |scope_profiles| {
            scope_profiles.message(2, |profile| {
                let kind = |writer: &mut Writer, number, name, unit| {
                    writer.message(number, |kind| {
                        kind.uint(1, name);
                        kind.uint(2, unit);
                    });
                };
                kind(profile, 1, 3, 4);
                profile.message(2, |sample| {
                    sample.uint(2, 2);
                    sample.packed_ints(3, [7]);
                });
                profile.packed_ints(3, [1, 0]);
                profile.int(4, now_ms() * 1_000_000);
                kind(profile, 6, 3, 4);
            });
        });
    });
    request.message(2, |dictionary| {
        for function in 0..2 {
            dictionary.message(2, |location| location.message(3, |line| line.uint(1, function)));
            dictionary.message(3, |entry| entry.uint(1, function + 1));
        }
        ["", "main", "work", "cpu", "nanoseconds"]
            .iter()
            .for_each(|text| dictionary.bytes_always(5, text.as_bytes()));
    });
    request.into_bytes()
}

#[tokio::test]
async fn older_revisions_come_in_through_every_otlp_door() {
    let server = start("", &["--otlp.listen=127.0.0.1:0,127.0.0.1:0"]).await;
    let old = EXPORT.replace("v1development", "v1experimental");
    server.grpc(EXPORT, v1_7()).await.unwrap();
    server.grpc(&old, v1_7()).await.unwrap();
    let zstd = zstd::encode_all(&*v1_7(), 1).unwrap();
    for (path, encoding, body) in [
        ("/v1development/profiles", "identity", v1_7()),
        ("/v1experimental/profiles", "gzip", gzip(&v1_7())),
        ("/v1development/profiles", "zstd", zstd),
    ] {
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", encoding)];
        let answer = server.send("POST", path, &headers, body).await;
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
    }
    let json = json!({
        "resourceProfiles": [{"scopeProfiles": [{"profiles": [{
            "sampleType": [{"typeStrindex": 3, "unitStrindex": 4}], "periodType": {"typeStrindex": 3, "unitStrindex": 4},
            "sample": [{"locationsLength": 2, "value": ["7"]}], "locationIndices": [1, 0],
            "timeNanos": (now_ms() * 1_000_000).to_string(),
        }]}]}],
        "dictionary": {
            "locationTable": [{"line": [{"functionIndex": 0}]}, {"line": [{"functionIndex": 1}]}],
            "functionTable": [{"nameStrindex": 1}, {"nameStrindex": 2}],
            "stringTable": ["", "main", "work", "cpu", "nanoseconds"],
        },
    });
    let headers = [("content-type", "application/json")];
    for address in server.server.otlp_addresses() {
        let url = format!("http://{address}");
        let answer =
            server.send_to(&url, "POST", "/v1development/profiles", &headers, json.to_string()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    }
    let kind = "cpu:cpu:nanoseconds:cpu:nanoseconds";
    assert_eq!(stacks(&server, kind, "{}").await, "main;work 49\n");
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("hearth_otlp_requests_total{revision=\"v1.7\"} 7"), "{metrics}");
}

#[tokio::test]
async fn a_request_of_two_revisions_is_refused() {
    let server = start("", &[]).await;
    let batch = crate::common::batch(now_ms(), &[("shop", "main", 1)]);
    let mixed = [v1_7(), hearth_codec::otlp::encode_request(&batch)].concat();
    let status = server.grpc(EXPORT, mixed.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("mixes revisions of OTLP profiles"), "{}", status.message());
    let headers = [("content-type", "application/x-protobuf")];
    assert_eq!(server.send("POST", "/v1development/profiles", &headers, mixed).await.status, 400);
    assert!(types(&server).await.is_empty());
}

#[tokio::test]
async fn too_much_is_refused_with_the_time_to_wait() {
    let server = start("limits: {ingestion_rate_mb: 0.001, ingestion_burst_size_mb: 0.002}", &[]).await;
    // The first is larger than all that may come at once, and leaves a debt.
    let folded = "main;work 1\n".repeat(500);
    let answer = server.send("POST", "/ingest?name=shop.cpu", &[], folded.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let batch = crate::common::batch(now_ms(), &[("shop", "main", 1)]);
    let request = hearth_codec::otlp::encode_request(&batch);
    let otlp = [("content-type", "application/x-protobuf")];
    let push = PushRequest {
        series: vec![series(&[], &[profile(&[("cpu", "nanoseconds")], &[("main", &[7], &[])])], "")],
    };
    let connect = [("content-type", "application/proto")];
    for answer in [
        server.send("POST", "/ingest?name=shop.cpu", &[], folded).await,
        server.send("POST", "/v1development/profiles", &otlp, request.clone()).await,
        server.send("POST", PUSH, &connect, push.encode_to_vec()).await,
    ] {
        assert_eq!(answer.status, 429, "{}", answer.text());
        let seconds: u32 = answer.header("retry-after").parse().unwrap();
        assert!((1..=10).contains(&seconds), "{seconds}");
        assert!(answer.text().contains("limit of 1000 bytes/s"), "{}", answer.text());
    }
    let status = server.grpc(EXPORT, request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(details.contains("google.rpc.RetryInfo"), "{details}");
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("{reason=\"rate_limited\",tenant=\"anonymous\"} 4"), "{metrics}");
}
