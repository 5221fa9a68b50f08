//! Addresses of a real program become names: whenever its symbols come, whoever brings them, in
//! everything that was stored before.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hearth_codec::pyroscope::querier::{
    SelectMergeProfileRequest, SelectMergeStacktracesRequest, SelectSeriesRequest, SelectSeriesResponse,
};
use hearth_codec::pyroscope::types::{CallSite, StackTraceSelector};
use hearth_codec::pyroscope::{google, parca};
use hearth_profile::{Location, Mapping, Profile, ProfileBatch, ResourceProfiles, Sample, ValueType};
use prost::Message as _;
use serde_json::json;

use crate::common::{CPU, PERIOD, Running, now_ms, start};

const SOURCE: &str = r#"
#include <stdio.h>
static inline __attribute__((always_inline)) unsigned mix(unsigned seed) {
    for (int i = 0; i < 9; i++) seed = seed * 2654435761u + (seed >> 13);
    return seed;
}
__attribute__((noinline)) unsigned work(unsigned seed) {
    unsigned sum = 1;
    for (unsigned i = 0; i < seed; i++) sum += mix(i);
    return sum;
}
int main(int count, char **arguments) {
    printf("%u\n", work((unsigned)count * 1000));
    return 0;
}
"#;

/// A program built by the test, with an address in an inlined function and one in `main`.
struct Program {
    dir: tempfile::TempDir,
    build_id: String,
    inlined: u64,
    main: u64,
    /// Where `main` and `work` begin.
    starts: [u64; 2],
}

impl Program {
    /// `None`, with a word why, where there is no compiler.
    fn build() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("app.c"), SOURCE).unwrap();
        let compiled = Command::new("gcc")
            .args(["-O2", "-g", "-Wl,--build-id=sha1", "-o", "app", "app.c"])
            .current_dir(dir.path())
            .status();
        if !compiled.is_ok_and(|status| status.success()) {
            let _ = std::io::stderr().write_all(b"skipped: no C compiler\n");
            return None;
        }
        run(dir.path(), "objcopy", &["--only-keep-debug", "app", "app.debug"]);
        run(dir.path(), "strip", &["-o", "stripped", "app"]);
        let notes = run(dir.path(), "readelf", &["-n", "app"]);
        let build_id =
            notes.split("Build ID: ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        let symbols = run(dir.path(), "nm", &["-S", "app"]);
        let range = |name: &str| {
            let line = symbols.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
            let mut numbers = line.split(' ').map(|number| u64::from_str_radix(number, 16).unwrap_or(0));
            let start = numbers.next().unwrap();
            start..start + numbers.next().unwrap()
        };
        let inlined = range("work").find(|address| {
            let chain = run(dir.path(), "addr2line", &["-i", "-f", "-e", "app", &format!("{address:#x}")]);
            chain.starts_with("mix\n")
        });
        let inlined = inlined.expect("mix is inlined in work");
        let starts = ["main", "work"].map(|name| range(name).start);
        Some(Self { build_id, inlined, main: starts[0] + 4, starts, dir })
    }

    fn file(&self, name: &str) -> Bytes {
        fs::read(self.path(name)).unwrap().into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What an agent sends that only knows addresses: `value` samples of main ▸ work ▸ mix, as ELF
    /// addresses, and as many as a process sees them, mapped somewhere.
    fn batch(&self, value: i64) -> ProfileBatch {
        let mut batch = ProfileBatch::default();
        let dictionary = &mut batch.dictionary;
        let (filename, build_id) = (dictionary.string("/opt/shop/app"), dictionary.string(&self.build_id));
        let elf = Mapping { filename, build_id, ..Mapping::default() };
        let bias = 0x5555_5555_4000;
        let process =
            Mapping { memory_start: bias + 0x1000, memory_limit: bias + 0x2000, file_offset: 0x1000, ..elf };
        let mut samples = Vec::new();
        for (mapping, bias) in [(elf, 0), (process, bias)] {
            let mapping = dictionary.mapping(mapping);
            let [leaf, root] = [self.inlined, self.main].map(|address| {
                dictionary.location(Location { mapping, address: address + bias, ..Location::default() })
            });
            samples.push(Sample { stack: dictionary.stack(&[leaf, root]), value, ..Sample::default() });
        }
        let mut resource = ResourceProfiles::default();
        resource.resource.set("service.name", "shop");
        resource.profiles.push(Profile {
            sample_type: ValueType::new("samples", "count"),
            period_type: ValueType::new("cpu", "nanoseconds"),
            period: PERIOD,
            time_unix_nano: u64::try_from(now_ms()).unwrap() * 1_000_000,
            duration_nano: 5_000_000_000,
            samples,
            ..Profile::default()
        });
        batch.resources.push(resource);
        batch
    }
}

fn run(dir: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn range() -> (i64, i64) {
    (now_ms() - 600_000, now_ms() + 60_000)
}

/// Folded stacks of everything, sorted.
async fn folded(server: &Running, selector: &str) -> Vec<String> {
    let (from, to) = range();
    let selector = selector.replace('{', "%7B").replace('}', "%7D").replace('"', "%22").replace('=', "%3D");
    let path = format!("/api/v1/export?q={selector}&type={CPU}&from={from}&to={to}&format=folded");
    let answer = server.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut lines: Vec<String> = answer.text().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn below(call_site: &[&str]) -> StackTraceSelector {
    let call_site = call_site.iter().map(|name| CallSite { name: (*name).to_owned() }).collect();
    StackTraceSelector { call_site, ..StackTraceSelector::default() }
}

/// The sum of the time series of stacks that begin with a path.
async fn series(server: &Running, call_site: &[&str]) -> i64 {
    let (start, end) = range();
    let request = SelectSeriesRequest {
        profile_type_id: CPU.into(),
        label_selector: "{}".into(),
        start,
        end,
        step: 60.0,
        stack_trace_selector: Some(below(call_site)),
        ..SelectSeriesRequest::default()
    };
    let answer: SelectSeriesResponse = server.ask_proto("SelectSeries", &request).await;
    answer.series.iter().flat_map(|series| &series.points).map(|point| point.value as i64).sum()
}

async fn pprof(server: &Running, call_site: &[&str]) -> google::Profile {
    let (start, end) = range();
    let selector = below(call_site);
    let request = SelectMergeProfileRequest {
        profile_type_id: CPU.into(),
        label_selector: "{}".into(),
        start,
        end,
        stack_trace_selector: Some(selector),
        ..SelectMergeProfileRequest::default()
    };
    server.ask_proto("SelectMergeProfile", &request).await
}

/// Asserts that all `samples` are named, whoever asks however.
async fn assert_named(server: &Running, samples: i64, case: &str) {
    let want = [format!("main;work;mix {}", samples * PERIOD)];
    for selector in ["{}", "{service_name=\"shop\"}"] {
        assert_eq!(folded(server, selector).await, want, "{case}: {selector}");
    }
    let profile = pprof(server, &[]).await;
    let text = |index: i64| profile.string_table[usize::try_from(index).unwrap()].as_str();
    let mut lines: Vec<(&str, &str, i64)> = profile
        .location
        .iter()
        .flat_map(|location| &location.line)
        .map(|line| {
            let function = profile.function.iter().find(|function| function.id == line.function_id).unwrap();
            let file = text(function.filename).rsplit('/').next().unwrap();
            (text(function.name), file, line.line)
        })
        .collect();
    lines.sort_unstable();
    lines.dedup();
    let names: Vec<_> = lines.iter().map(|(name, file, _)| (*name, *file)).collect();
    assert_eq!(names, [("main", "app.c"), ("mix", "app.c"), ("work", "app.c")], "{case}");
    assert!(lines.iter().all(|(_, _, line)| (3..=15).contains(line)), "{case}: {lines:?}");
    let sum = |profile: &google::Profile| profile.sample.iter().map(|sample| sample.value[0]).sum::<i64>();
    assert_eq!(sum(&profile), samples * PERIOD, "{case}");
    // Below a function that was an address when it was stored.
    assert_eq!(sum(&pprof(server, &["main", "work"]).await), samples * PERIOD, "{case}");
    assert_eq!(sum(&pprof(server, &["main", "other"]).await), 0, "{case}");
    for (path, want) in [(["main", "work"], samples * PERIOD), (["main", "other"], 0)] {
        assert_eq!(series(server, &path).await, want, "{case}: {path:?}");
    }
    let (start, end) = range();
    let request = SelectMergeStacktracesRequest {
        profile_type_id: CPU.into(),
        label_selector: "{}".into(),
        start,
        end,
        ..SelectMergeStacktracesRequest::default()
    };
    let graph: hearth_codec::pyroscope::querier::SelectMergeStacktracesResponse =
        server.ask_proto("SelectMergeStacktraces", &request).await;
    let graph = graph.flamegraph.unwrap();
    assert_eq!((graph.total, graph.names.contains(&"mix".to_owned())), (samples * PERIOD, true), "{case}");
}

async fn bring(server: &Running, name: &str, file: Bytes) -> serde_json::Value {
    let answer = server.send("POST", &format!("/api/v1/symbols?name={name}"), &[], file).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn stored_addresses_become_names_when_symbols_come() {
    let Some(program) = Program::build() else { return };
    let server = start("", &[]).await;
    server.export(&program.batch(3)).await;
    // Half in a segment, half in the head.
    let server = server.restart(&[]).await;
    server.export(&program.batch(2)).await;
    let before = folded(&server, "{}").await;
    let unnamed = format!("app+{:#x};app+{:#x} {}", program.main, program.inlined, 5 * PERIOD);
    assert!(before.contains(&unnamed), "{before:?}");
    // The stripped program knows where its functions begin: that groups, and counts as no name.
    let kept = bring(&server, "stripped", program.file("stripped")).await;
    assert_eq!((&kept["functions"], &kept["lines"]), (&json!(0), &json!(false)));
    let [main, work] = program.starts.map(|start| format!("app+fn@{start:#x}"));
    assert_eq!(folded(&server, "{}").await, [format!("{main};{work} {}", 10 * PERIOD)]);
    let unnamed = server.get("/api/v1/unnamed").await.json();
    assert_eq!((&unnamed["leaf"], &unnamed["binaries"][0]["places"]), (&json!(10 * PERIOD), &json!(8)));
    let kept = bring(&server, "app.debug", program.file("app.debug")).await;
    assert_eq!(
        (&kept["build_id"], &kept["lines"], &kept["taken"]),
        (&json!(program.build_id), &json!(true), &json!(true))
    );
    assert_named(&server, 10, "at once").await;
    let server = server.restart(&[]).await;
    assert_named(&server, 10, "after a restart").await;
    server.export(&program.batch(1)).await;
    assert_named(&server, 12, "what came later").await;
    // The symbols are no longer needed once the blocks have the names.
    let listed = server.get("/api/v1/symbols").await.json();
    assert_eq!(listed["symbols"][0]["name"], "app.debug");
    let server = server.restart(&[]).await;
    let forgotten = server.send("DELETE", &format!("/api/v1/symbols/{}", program.build_id), &[], "").await;
    assert_eq!(forgotten.status, 200);
    let left = folded(&server, "{}").await;
    let named: i64 = left
        .iter()
        .filter(|line| line.starts_with("main;work;mix "))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok())
        .sum();
    assert_eq!(named, 6 * PERIOD, "what a flush wrote since has names of its own: {left:?}");
    assert_eq!(
        left.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum::<i64>(),
        12 * PERIOD
    );
}

#[tokio::test]
async fn names_stay_when_blocks_were_compacted() {
    let Some(program) = Program::build() else { return };
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let args = ["--listen", "127.0.0.1:0", "--data"].map(std::ffi::OsString::from);
        let config = hearth_server::Config::from_args(args.into_iter().chain([dir.path().into()])).unwrap();
        let options = hearth_store::Options {
            compact_segments: 1,
            flush_interval: Duration::from_millis(50),
            ..config.store_options()
        };
        hearth_server::Server::start_with(config, options)
    };
    let server = crate::common::around(open().await.unwrap());
    server.export(&program.batch(3)).await;
    bring(&server, "app", program.file("app")).await;
    for _ in 0..4 {
        server.export(&program.batch(1)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_named(&server, 14, "while it is compacted").await;
    for _ in 0..200 {
        if server.get("/api/v1/status").await.json()["storage"]["segments"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.server.shutdown().await.unwrap();
    fs::remove_dir_all(dir.path().join("symbols")).unwrap();
    let server = crate::common::around(open().await.unwrap());
    assert_named(&server, 14, "without the symbols").await;
}

#[tokio::test]
async fn agents_bring_files_in_the_steps_of_pyroscope() {
    let Some(program) = Program::build() else { return };
    let server = start("", &[]).await;
    server.export(&program.batch(5)).await;
    let service = "/debuginfo.v1alpha1.DebuginfoService";
    let id = &program.build_id;
    let ask = async |method: &str, request: serde_json::Value| {
        let headers = [("content-type", "application/json")];
        server.send("POST", &format!("{service}/{method}"), &headers, request.to_string()).await
    };
    let file = json!({"file": {"gnuBuildId": id, "name": "app", "type": "TYPE_EXECUTABLE_FULL"}});
    let raw = format!("{service}/Upload/{id}");
    assert_eq!(server.send("POST", &raw, &[], program.file("app")).await.status, 412);
    assert_eq!(ask("UploadFinished", json!({"gnuBuildId": id})).await.status, 404);
    let wanted = ask("ShouldInitiateUpload", file.clone()).await.json();
    assert_eq!(wanted["shouldInitiateUpload"], true, "{wanted}");
    let again = ask("ShouldInitiateUpload", file.clone()).await.json();
    assert!(again["reason"].as_str().unwrap().contains("in-progress"), "{again}");
    let early = ask("UploadFinished", json!({"gnuBuildId": id})).await;
    assert_eq!((early.status, early.json()["code"].clone()), (400, json!("failed_precondition")));
    let server_two = ask("ShouldInitiateUpload", file.clone()).await.json();
    assert_eq!(server_two["shouldInitiateUpload"], true, "what was finished without a file may come again");
    let sent = server.send("POST", &raw, &[], program.file("app")).await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    let finished = ask("UploadFinished", json!({"gnuBuildId": id})).await;
    assert_eq!(finished.status, 200, "{}", finished.text());
    assert_named(&server, 10, "after an agent's upload").await;
    let known = ask("ShouldInitiateUpload", file).await.json();
    assert!(known["reason"].as_str().unwrap().contains("already exists"), "{known}");
    let listed = ask("ListDebuginfo", json!({})).await.json();
    assert_eq!(listed["object"][0]["file"]["gnuBuildId"], json!(id));
    assert_eq!(ask("DeleteDebuginfo", json!({"gnuBuildId": id})).await.status, 200);
    assert_eq!(ask("ListDebuginfo", json!({})).await.json(), json!({}));
    for (request, want) in [
        (json!({}), "file is missing"),
        (json!({"file": {"gnuBuildId": "../../etc", "type": 1}}), "hexadecimal digits"),
        (json!({"file": {"gnuBuildId": id}}), "file.type: 0 is not valid"),
    ] {
        let answer = ask("ShouldInitiateUpload", request).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(want), "{}", answer.text());
    }
    assert_eq!(ask("Nothing", json!({})).await.status, 501);
}

#[tokio::test]
async fn agents_bring_files_in_the_steps_of_parca() {
    let Some(program) = Program::build() else { return };
    let server = start("", &[]).await;
    server.export(&program.batch(5)).await;
    let service = "/parca.debuginfo.v1alpha1.DebuginfoService";
    let build_id = program.build_id.clone();
    let ask = parca::ShouldInitiateUploadRequest { build_id: build_id.clone(), ..Default::default() };
    let answer = server.grpc(&format!("{service}/ShouldInitiateUpload"), ask.encode_to_vec()).await.unwrap();
    assert_eq!(answer.first_chunk(), Some(&[8, 1]), "should_initiate_upload is true");
    let file = program.file("app.debug");
    let begin = parca::InitiateUploadRequest {
        build_id: build_id.clone(),
        size: i64::try_from(file.len()).unwrap(),
        ..Default::default()
    };
    let answer = server.grpc(&format!("{service}/InitiateUpload"), begin.encode_to_vec()).await.unwrap();
    let instructions = parca::InitiateUploadResponse::decode(&*answer).unwrap().upload_instructions.unwrap();
    assert_eq!(instructions.upload_strategy, parca::UploadStrategy::Grpc as i32);
    let info = parca::UploadInfo { build_id: build_id.clone(), upload_id: instructions.upload_id.clone() };
    let mut body = Vec::new();
    let mut message = |message: parca::UploadRequest| {
        let bytes = message.encode_to_vec();
        body.push(0);
        body.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        body.extend(bytes);
    };
    message(parca::UploadRequest { info: Some(info), ..Default::default() });
    for chunk in file.chunks(1000) {
        message(parca::UploadRequest { chunk_data: chunk.to_vec(), ..Default::default() });
    }
    let headers = [("content-type", "application/grpc-web+proto")];
    let sent = server.send("POST", &format!("{service}/Upload"), &headers, body.clone()).await;
    assert!(sent.text().contains("grpc-status: 0"), "{}", sent.text());
    body.truncate(body.len() - 10);
    let cut = server.send("POST", &format!("{service}/Upload"), &headers, body).await.text();
    assert!(cut.contains("grpc-status: 3") && cut.contains("ends within a message"), "{cut}");
    let end = parca::MarkUploadFinishedRequest { build_id: build_id.clone(), upload_id: build_id };
    server.grpc(&format!("{service}/MarkUploadFinished"), end.encode_to_vec()).await.unwrap();
    assert_named(&server, 10, "after a stream").await;
}

#[tokio::test]
async fn hostile_files_are_refused_with_a_reason() {
    let Some(program) = Program::build() else { return };
    let server =
        start("", &["-debug-info.max-upload-size", "2000000", "-symbols.max-bytes", "3000000"]).await;
    let app = program.file("app");
    let mut bomb = app.to_vec();
    // A table of sections that claims to be somewhere else and huge.
    bomb[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases: [(&str, Bytes, u16, &str); 6] = [
        ("nothing", Bytes::new(), 400, "no usable ELF file"),
        ("text", Bytes::from_static(b"#!/bin/sh\necho no\n"), 400, "no usable ELF file"),
        ("cut", app.slice(..app.len() / 3), 400, "sections are unusable"),
        ("sections", bomb.into(), 400, "sections are unusable"),
        ("large", vec![0; 2_000_001].into(), 413, "exceeds the limit of 2000000 bytes"),
        ("source", program.file("app.c"), 400, "no usable ELF file"),
    ];
    for (case, file, status, want) in cases {
        let answer = server.send("POST", "/api/v1/symbols", &[], file).await;
        assert_eq!(answer.status, status, "{case}: {}", answer.text());
        assert!(answer.json()["error"].as_str().unwrap().contains(want), "{case}: {}", answer.text());
    }
    // Compressed debug information that claims to be a terabyte, and one whose bytes are noise.
    run(program.dir.path(), "objcopy", &["--compress-debug-sections=zlib", "app", "packed"]);
    let packed = program.file("packed").to_vec();
    let headers: Vec<usize> = packed
        .windows(8)
        .enumerate()
        .filter(|(_, bytes)| *bytes == [1, 0, 0, 0, 0, 0, 0, 0])
        .map(|(at, _)| at)
        .collect();
    for (case, at, value) in [("terabyte", 8, 1_u64 << 40), ("noise", 24, u64::MAX)] {
        let mut bytes = packed.clone();
        // Also what only looks like the header of a compressed section: the more harm the better.
        for header in
            headers.iter().filter(|header| **header > packed.len() / 2 && **header + 32 <= packed.len())
        {
            bytes[header + at..header + at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let answer = server.send("POST", "/api/v1/symbols", &[], bytes).await;
        assert!(matches!(answer.status, 200 | 400), "{case}: {}", answer.text());
        let forget = format!("/api/v1/symbols/{}", program.build_id);
        server.send("DELETE", &forget, &[], "").await;
    }
    let other = "00".repeat(20);
    let answer = server.send("POST", &format!("/api/v1/symbols?build_id={other}"), &[], app.clone()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains(&format!("has build ID {}, not {other}", program.build_id)));
    let packed = server.send("POST", "/api/v1/symbols", &[("content-encoding", "gzip")], app.clone()).await;
    assert!(packed.text().contains("send it as it is"), "{}", packed.text());
    run(program.dir.path(), "objcopy", &["--remove-section=.note.gnu.build-id", "app", "anonymous"]);
    let answer = server.send("POST", "/api/v1/symbols", &[], program.file("anonymous")).await;
    assert!(answer.text().contains("no GNU build ID"), "{}", answer.text());
    assert_eq!(server.get("/api/v1/symbols").await.json(), json!({"symbols": []}));
    let incoming = fs::read_dir(server.data_dir().join("symbols/@incoming")).unwrap().count();
    assert_eq!(incoming, 0, "nothing is left of what was refused");
    let closed = start("", &["-debug-info.enabled=false"]).await;
    let answer = closed.send("POST", "/api/v1/symbols", &[], app).await;
    assert!(answer.status == 400 && answer.text().contains("turned off"), "{}", answer.text());
}

#[tokio::test]
async fn what_a_tenant_brings_names_nobody_elses_data() {
    let Some(program) = Program::build() else { return };
    let server = start("", &["-auth.multitenancy-enabled"]).await;
    let path = "/api/v1/symbols";
    assert_eq!(server.send("POST", path, &[], program.file("app")).await.status, 401);
    let one = [("x-scope-orgid", "one")];
    assert_eq!(server.send("POST", path, &one, program.file("app")).await.status, 200);
    assert_eq!(server.send("GET", path, &one, "").await.json()["symbols"].as_array().unwrap().len(), 1);
    let two = [("x-scope-orgid", "two"), ("content-type", "application/x-protobuf")];
    assert_eq!(server.send("GET", path, &two, "").await.json()["symbols"], json!([]));
    let request = hearth_codec::otlp::encode_request(&program.batch(1));
    for tenant in ["one", "two"] {
        let headers = [("x-scope-orgid", tenant), ("content-type", "application/x-protobuf")];
        let sent = server.send("POST", "/v1development/profiles", &headers, request.clone()).await;
        assert_eq!(sent.status, 200);
        let (from, to) = range();
        let query = format!("/api/v1/export?type={CPU}&from={from}&to={to}&format=folded");
        let text = server.send("GET", &query, &headers, "").await.text();
        assert_eq!(text.contains("work;mix"), tenant == "one", "{tenant}: {text}");
    }
}

#[tokio::test]
async fn damaged_symbols_are_set_aside() {
    let Some(program) = Program::build() else { return };
    let server = start("", &[]).await;
    server.export(&program.batch(5)).await;
    bring(&server, "app", program.file("app")).await;
    let again = bring(&server, "app", program.file("app")).await;
    assert_eq!(again["taken"], false, "what is there is as good");
    let path = server.data_dir().join(format!("symbols/anonymous/{}.symbols", program.build_id));
    let bytes = fs::read(&path).unwrap();
    let mut server = server;
    for (case, at) in [("footer", 1), ("facts", 40)] {
        let mut damaged = bytes.clone();
        let at = damaged.len() - at;
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        server = server.restart(&[]).await;
        assert_eq!(server.get("/api/v1/symbols").await.json(), json!({"symbols": []}), "{case}");
        fs::remove_file(path.with_extension("damaged")).unwrap();
    }
    // Damage within the index is found when it is read.
    let mut damaged = bytes.clone();
    damaged[..4096].fill(7);
    fs::write(&path, &damaged).unwrap();
    let server = server.restart(&[]).await;
    server.export(&program.batch(1)).await;
    let lines = folded(&server, "{}").await;
    let total: i64 = lines.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum();
    assert_eq!(total, 12 * PERIOD, "{lines:?}");
    assert!(path.with_extension("damaged").exists());
    bring(&server, "app", program.file("app")).await;
    assert_named(&server, 12, "brought again").await;
}

#[tokio::test]
async fn symbols_not_used_for_long_make_room() {
    let Some(program) = Program::build() else { return };
    let first = start("", &[]).await;
    bring(&first, "app", program.file("app")).await;
    let bytes = first.get("/api/v1/symbols").await.json()["symbols"][0]["bytes"].as_u64().unwrap();
    let limit = (bytes * 5 / 2).to_string();
    let server = start("", &["-symbols.max-bytes", &limit]).await;
    let names = async || -> Vec<String> {
        let listed = server.get("/api/v1/symbols").await.json();
        let listed = listed["symbols"].as_array().unwrap().clone();
        listed.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    for digit in 1..4 {
        let id = format!("-Wl,--build-id=0x{}", digit.to_string().repeat(40));
        run(program.dir.path(), "gcc", &["-O2", "-g", &id, "-o", "other", "app.c"]);
        bring(&server, &format!("app-{digit}"), program.file("other")).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(names().await, ["app-2", "app-3"]);
    let small = start("", &["-symbols.max-bytes", "5000"]).await;
    let refused = small.send("POST", "/api/v1/symbols", &[], program.file("app")).await;
    assert!(refused.text().contains("5000"), "{}", refused.text());
}

/// Answers like a debuginfod server that has one file, after sending the client elsewhere first;
/// counts what it was asked.
fn debuginfod(build_id: &str, file: Bytes) -> (String, Arc<AtomicU64>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (known, asked) = (format!("/buildid/{build_id}/debuginfo"), Arc::new(AtomicU64::new(0)));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            count.fetch_add(1, Ordering::SeqCst);
            let path = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = match &path {
                path if *path == known => format!("302 Found\r\nlocation: /file{path}\r\ncontent-length: 0"),
                path if *path == format!("/file{known}") => {
                    format!("200 OK\r\ncontent-length: {}", file.len())
                }
                _ => "404 Not Found\r\ncontent-length: 0".to_owned(),
            };
            let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
            if answer.starts_with("200") {
                let _ = stream.write_all(&file);
            }
        }
    });
    (url, asked)
}

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn what_nobody_brought_is_got_from_debuginfod() {
    let Some(program) = Program::build() else { return };
    let (url, asked) = debuginfod(&program.build_id, program.file("app.debug"));
    let dir = tempfile::tempdir().unwrap();
    let args = ["--listen", "127.0.0.1:0", "-symbols.debuginfod-urls", &url, "--data"];
    let args = args.into_iter().map(std::ffi::OsString::from).chain([dir.path().into()]);
    let mut config = hearth_server::Config::from_args(args).unwrap();
    config.symbols.debuginfod_interval = Duration::from_millis(50);
    let server = crate::common::around(hearth_server::Server::start(config).await.unwrap());
    server.export(&program.batch(5)).await;
    eventually("the symbols arrive", async || {
        server.get("/api/v1/symbols").await.json()["symbols"][0]["origin"] == "debuginfod"
    })
    .await;
    assert_named(&server, 10, "from debuginfod").await;
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once, and where it was sent");
    // What is absent is asked for once a day.
    let mut other = program.batch(1);
    let id = other.dictionary.string(&"ab".repeat(20));
    let mapping = other.dictionary.mapping(Mapping { build_id: id, ..Mapping::default() });
    let location = other.dictionary.location(Location { mapping, address: 16, ..Location::default() });
    let stack = other.dictionary.stack(&[location]);
    other.resources[0].profiles[0].samples = vec![Sample { stack, value: 1, ..Sample::default() }];
    server.export(&other).await;
    eventually("the other is asked for", async || asked.load(Ordering::SeqCst) == 3).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_status_lists_what_has_no_name_and_what_would_help() {
    let Some(program) = Program::build() else { return };
    let server = start("", &[]).await;
    server.export(&program.batch(3)).await;
    server.export(&crate::common::batch(now_ms(), &[("tool", "main;work", 4)])).await;
    let answer = server.get("/api/v1/unnamed").await.json();
    assert_eq!(
        (&answer["total"], &answer["leaf"], &answer["count"]),
        (&json!(10 * PERIOD), &json!(6 * PERIOD), &json!(1))
    );
    let binary = &answer["binaries"][0];
    assert_eq!((&binary["binary"], &binary["build_id"]), (&json!("/opt/shop/app"), &json!(program.build_id)));
    assert_eq!(
        (&binary["share"], &binary["leaf_share"], &binary["places"]),
        (&json!(0.6), &json!(0.6), &json!(4))
    );
    let hint = binary["hint"].as_str().unwrap();
    assert!(hint.contains("hearth symbols upload /opt/shop/app"), "{hint}");
    bring(&server, "app", program.file("app")).await;
    let answer = server.get("/api/v1/unnamed").await.json();
    assert_eq!((&answer["leaf"], &answer["binaries"]), (&json!(0), &json!([])));
    assert_eq!(server.get("/api/v1/status").await.json()["symbols"]["files"], 1);
    assert!(server.get("/metrics").await.text().contains("hearth_symbols_files 1"));
}

#[tokio::test]
async fn losses_of_agents_are_shown_and_are_no_labels() {
    let server = start("", &[]).await;
    let mut batch = crate::common::batch(now_ms(), &[("one", "main", 1), ("two", "main", 1)]);
    for (resource, lost) in batch.resources.iter_mut().zip([3_i64, 4]) {
        resource.resource.set("hearth.lost.ring_full", lost);
        resource.scope.name = "hearth".into();
    }
    server.export(&batch).await;
    server.export(&batch).await;
    let agent = server.get("/api/v1/status").await.json()["agents"][0].clone();
    assert_eq!((&agent["lost"], &agent["lost_by_reason"]), (&json!(14), &json!({"ring_full": 14})));
    let (start_ms, end_ms) = range();
    let names = server.ask("LabelNames", json!({"start": start_ms, "end": end_ms})).await.text();
    assert!(!names.contains("lost"), "{names}");
    let other = start("", &[]).await;
    other.export(&crate::common::batch(now_ms(), &[("one", "main", 1)])).await;
    assert_eq!(other.get("/api/v1/status").await.json()["agents"][0]["lost"], json!(null));
}

#[tokio::test]
async fn files_are_brought_from_the_command_line() {
    let Some(program) = Program::build() else { return };
    let server = start("", &[]).await;
    let remote = hearth_server::Remote { url: server.url.clone(), tenant: None, token: None };
    let kept = remote.upload(&program.path("app.debug")).await.unwrap();
    assert_eq!((kept.build_id.as_str(), kept.lines, kept.taken), (program.build_id.as_str(), true, true));
    assert!(!remote.upload(&program.path("app.debug")).await.unwrap().taken);
    let listed = remote.list().await.unwrap();
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "app.debug"));
    let refused = remote.upload(&program.path("app.c")).await.unwrap_err();
    assert!(refused.contains("no usable ELF file"), "{refused}");
    assert!(remote.upload(program.dir.path()).await.unwrap_err().contains("no regular file"));
    for (url, want) in
        [("localhost:1", "expected http://"), ("http://127.0.0.1:1", "cannot reach 127.0.0.1:1")]
    {
        let remote = hearth_server::Remote { url: url.to_owned(), tenant: None, token: None };
        let error = remote.list().await.unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}
