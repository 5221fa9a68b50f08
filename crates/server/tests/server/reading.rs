//! What is read: every format, the older interface, and the status code of every endpoint.

use std::fmt::Write as _;

use hearth_codec::pyroscope::capabilities::{GetFeatureFlagsRequest, GetFeatureFlagsResponse};
use hearth_codec::pyroscope::google;
use hearth_codec::pyroscope::querier::{
    ProfileFormat, SelectMergeProfileRequest, SelectMergeStacktracesRequest, SelectMergeStacktracesResponse,
    SelectSeriesRequest, SelectSeriesResponse,
};
use hearth_codec::pyroscope::types::{CallSite, GoPgo, StackTraceSelector};
use hearth_codec::{Limits, folded, speedscope, trie};
use prost::Message as _;
use serde_json::{Value, json};

use crate::common::{CPU, EXPORT, PERIOD, Running, batch, gunzip, start};

/// Slots of five seconds begin at multiples of this.
const BASE_MS: i64 = 1_700_000_000_000;

async fn with_data() -> Running {
    let server = start("", &[]).await;
    server.export(&batch(BASE_MS, &[("shop", "main;work;hash", 1), ("mail", "main", 2)])).await;
    server.export(&batch(BASE_MS + 20_000, &[("shop", "main;work;read", 4)])).await;
    server
}

fn request() -> SelectMergeStacktracesRequest {
    SelectMergeStacktracesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{service_name=\"unknown_service:shop\"}".to_owned(),
        start: BASE_MS,
        end: BASE_MS + 60_000,
        ..SelectMergeStacktracesRequest::default()
    }
}

fn site(names: &[&str]) -> Option<StackTraceSelector> {
    let call_site = names.iter().map(|name| CallSite { name: (*name).to_owned() }).collect();
    Some(StackTraceSelector { call_site, ..StackTraceSelector::default() })
}

#[tokio::test]
async fn stacktraces_come_in_every_format() {
    let server = with_data().await;
    let of = |format: ProfileFormat| SelectMergeStacktracesRequest { format: format as i32, ..request() };
    let want = format!("main;work;hash {PERIOD}\nmain;work;read {}\n", 4 * PERIOD);
    let method = "SelectMergeStacktraces";
    let answer: SelectMergeStacktracesResponse = server.ask_proto(method, &of(ProfileFormat::Tree)).await;
    assert_eq!(folded::write(&trie::read_tree(&answer.tree, &Limits::default()).unwrap()), want);
    let answer: SelectMergeStacktracesResponse = server.ask_proto(method, &of(ProfileFormat::Dot)).await;
    assert!(
        answer.dot.starts_with("digraph \"process_cpu\" {") && answer.dot.contains("work"),
        "{}",
        answer.dot
    );
    let answer: SelectMergeStacktracesResponse = server.ask_proto(method, &of(ProfileFormat::Pprof)).await;
    assert_eq!(answer.pprof.unwrap().profile.unwrap().sample.len(), 2);
    let answer: SelectMergeStacktracesResponse =
        server.ask_proto(method, &of(ProfileFormat::Flamegraph)).await;
    assert_eq!(answer.flamegraph.unwrap().total, 5 * PERIOD);
    let selected =
        SelectMergeStacktracesRequest { stack_trace_selector: site(&["main", "work", "read"]), ..request() };
    let answer: SelectMergeStacktracesResponse = server.ask_proto(method, &selected).await;
    assert_eq!(answer.flamegraph.unwrap().total, 4 * PERIOD);
}

#[tokio::test]
async fn series_are_summed_averaged_and_limited_to_stacks() {
    let server = with_data().await;
    let series = async |change: fn(&mut SelectSeriesRequest)| {
        let mut request = SelectSeriesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: "{service_name=\"unknown_service:shop\"}".to_owned(),
            start: BASE_MS,
            end: BASE_MS + 60_000,
            step: 30.0,
            ..SelectSeriesRequest::default()
        };
        change(&mut request);
        let answer: SelectSeriesResponse = server.ask_proto("SelectSeries", &request).await;
        let points = answer.series.iter().flat_map(|series| &series.points);
        points.map(|point| (point.timestamp - BASE_MS, point.value as i64 / PERIOD)).collect::<Vec<_>>()
    };
    assert_eq!(series(|_| ()).await, [(0, 1), (30_000, 4)]);
    assert_eq!(series(|request| request.step = 60.0).await, [(0, 1), (60_000, 4)]);
    server.export(&batch(BASE_MS + 25_000, &[("shop", "main;work;hash", 2)])).await;
    assert_eq!(series(|request| request.aggregation = 1).await, [(0, 1), (30_000, 3)]);
    let hash = series(|request| request.stack_trace_selector = site(&["main", "work", "hash"])).await;
    assert_eq!(hash, [(0, 1), (30_000, 2)]);
    let none = series(|request| request.stack_trace_selector = site(&["other"])).await;
    assert_eq!(none, []);
}

#[tokio::test]
async fn a_profile_for_the_go_compiler_keeps_the_leaves() {
    let server = with_data().await;
    let go_pgo = Some(GoPgo { keep_locations: 2, aggregate_callees: true });
    let request = SelectMergeProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: BASE_MS,
        end: BASE_MS + 60_000,
        stack_trace_selector: Some(StackTraceSelector { go_pgo, ..StackTraceSelector::default() }),
        ..SelectMergeProfileRequest::default()
    };
    let profile: google::Profile = server.ask_proto("SelectMergeProfile", &request).await;
    let mut depths: Vec<usize> = profile.sample.iter().map(|sample| sample.location_id.len()).collect();
    depths.sort_unstable();
    assert_eq!(depths, [1, 2, 2]);
    assert_eq!(profile.sample.iter().map(|sample| sample.value[0]).sum::<i64>(), 7 * PERIOD);
}

#[tokio::test]
async fn exports_of_all_formats_have_the_same_total() {
    let server = with_data().await;
    let range = format!("type={CPU}&from={BASE_MS}&to={}", BASE_MS + 60_000);
    let export = async |format: &str| {
        let answer = server.get(&format!("/api/v1/export?format={format}&{range}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    };
    let text = export("folded").await.text();
    let tree = folded::read(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(tree.total(), 7 * PERIOD);
    let answer = export("speedscope").await;
    assert!(answer.header("content-disposition").contains("profile.speedscope.json"));
    assert_eq!(folded::write(&speedscope::read(&answer.body, &Limits::default()).unwrap()[0].tree), text);
    let json = export("json").await.json();
    assert_eq!(json["flamebearer"]["numTicks"], 7 * PERIOD);
    assert!(
        export("dot").await.text().contains(&format!("cpu: {} nanoseconds", 7 * PERIOD))
            || export("dot").await.text().contains("digraph")
    );
    let pgo = export("pgo").await;
    assert_eq!(pgo.header("content-disposition"), "attachment; filename=\"default.pgo\"");
    let profile = google::Profile::decode(&*gunzip(&pgo.body)).unwrap();
    assert_eq!(profile.sample.iter().map(|sample| sample.value[0]).sum::<i64>(), 7 * PERIOD);
    let answer = server.get(&format!("/api/v1/export?format=odd&{range}")).await;
    assert_eq!(answer.status, 400);
}

/// A query of the older interface, escaped.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        let _ = write!(escaped, "%{byte:02X}");
        escaped
    })
}

#[tokio::test]
async fn the_older_interface_draws_graphs_timelines_and_groups() {
    let server = with_data().await;
    let (from, until) = (BASE_MS / 1_000, BASE_MS / 1_000 + 60);
    let query = escaped(&format!("{CPU}{{service_name=\"unknown_service:shop\"}}"));
    let path = format!("/pyroscope/render?query={query}&from={from}&until={until}&maxNodes=nonsense");
    let graph = server.get(&path).await.json();
    assert_eq!(graph["version"], 1);
    assert_eq!(graph["flamebearer"]["names"][0], "total");
    assert_eq!(graph["flamebearer"]["levels"][0], json!([0, 5 * PERIOD, 0, 0]));
    assert_eq!(graph["flamebearer"]["numTicks"], 5 * PERIOD);
    assert_eq!(
        graph["metadata"],
        json!({"format": "single", "spyName": "", "sampleRate": 1_000_000_000, "units": "samples", "name": "cpu"})
    );
    assert_eq!(
        (&graph["timeline"]["startTime"], &graph["timeline"]["durationDelta"]),
        (&json!(from), &json!(15))
    );
    let samples = graph["timeline"]["samples"].as_array().unwrap();
    assert_eq!(samples.iter().filter_map(Value::as_i64).sum::<i64>(), 5 * PERIOD);

    let all = escaped(&format!("{CPU}{{}}"));
    let path = format!("/pyroscope/render?query={all}&from={from}&until={until}&groupBy=service_name");
    let graph = server.get(&path).await.json();
    let groups: Vec<&String> = graph["groups"].as_object().unwrap().keys().collect();
    assert_eq!(groups, ["unknown_service:mail", "unknown_service:shop"]);
    assert_eq!(graph["timeline"], Value::Null);
    let dot =
        server.get(&format!("/pyroscope/render?query={all}&from={from}&until={until}&format=dot")).await;
    assert!(dot.text().starts_with("digraph"), "{}", dot.text());

    let path = format!(
        "/pyroscope/render-diff?leftQuery={all}&leftFrom={from}&leftUntil={}&rightQuery={all}&rightFrom={}&rightUntil={until}",
        from + 10,
        from + 10
    );
    let diff = server.get(&path).await.json();
    assert_eq!((&diff["leftTicks"], &diff["rightTicks"]), (&json!(3 * PERIOD), &json!(4 * PERIOD)));
    assert_eq!(diff["metadata"]["format"], "double");
    assert_eq!(diff["flamebearer"]["levels"][0].as_array().unwrap().len(), 7);

    let values = server.get("/pyroscope/label-values?label=__name__").await.json();
    assert_eq!(values, json!([CPU]));
    let values = server
        .get(&format!(
            "/pyroscope/label-values?label=service_name&query={}",
            escaped("{service_name=~\".*shop\"}")
        ))
        .await;
    assert_eq!(values.json(), json!(["unknown_service:shop"]));
}

#[tokio::test]
async fn clients_can_ask_what_the_server_can() {
    let server = start("", &[]).await;
    let json = [("content-type", "application/json")];
    let answer = server.send("POST", "/version.v1.Version/Version", &json, "{}").await;
    assert_eq!(answer.json(), json!({"QuerierAPI": "1"}));
    let path = "/capabilities.v1.FeatureFlagsService/GetFeatureFlags";
    let answer = server.grpc(path, GetFeatureFlagsRequest {}.encode_to_vec()).await.unwrap();
    let flags = GetFeatureFlagsResponse::decode(&*answer).unwrap().feature_flags;
    assert!(flags.iter().any(|flag| flag.name == "utf8LabelNames" && flag.enabled));
}

/// A request and the status it gets: method, path, media type, body.
#[rustfmt::skip]
fn endpoints() -> Vec<(&'static str, String, &'static str, String, u16)> {
    let json = "application/json";
    let proto = "application/x-protobuf";
    let querier = |method: &str| format!("/querier.v1.QuerierService/{method}");
    let range = r#""start": 1700000000000, "end": 1700000060000"#;
    let typed = format!(r#"{{"profileTypeID": "{CPU}", "labelSelector": "{{}}", {range}}}"#);
    let wrong_type = format!(r#"{{"profileTypeID": "cpu", "labelSelector": "{{}}", {range}}}"#);
    let reversed = r#"{"start": 2, "end": 1}"#.to_owned();
    let render = |query: &str| format!("/pyroscope/render?query={}", escaped(query));
    vec![
        // Everything that exists, asked properly.
        ("GET",  "/ready".into(), "", String::new(), 200),
        ("GET",  "/metrics".into(), "", String::new(), 200),
        ("GET",  "/".into(), "", String::new(), 200),
        ("GET",  "/explore".into(), "", String::new(), 200),
        ("GET",  "/api/v1/types".into(), "", String::new(), 200),
        ("GET",  "/api/v1/status/buildinfo".into(), "", String::new(), 200),
        ("POST", "/v1development/profiles".into(), proto, String::new(), 200),
        ("POST", "/v1experimental/profiles".into(), json, "{}".into(), 200),
        ("POST", "/ingest?name=a".into(), "", "main 1".into(), 200),
        ("POST", "/pyroscope/ingest?name=a".into(), "", "main 1".into(), 200),
        ("GET",  render(&format!("{CPU}{{}}")), "", String::new(), 200),
        ("GET",  "/pyroscope/label-values?label=x".into(), "", String::new(), 200),
        ("POST", querier("ProfileTypes"), json, "{}".into(), 200),
        ("POST", querier("LabelNames"), json, format!("{{{range}}}"), 200),
        ("POST", querier("LabelValues"), json, format!(r#"{{"name": "a", {range}}}"#), 200),
        ("POST", querier("Series"), json, format!("{{{range}}}"), 200),
        ("POST", querier("SelectMergeStacktraces"), json, typed.clone(), 200),
        ("POST", querier("SelectMergeSpanProfile"), json, typed.clone(), 200),
        ("POST", querier("SelectMergeProfile"), json, typed.clone(), 200),
        ("POST", querier("SelectSeries"), json, typed.replace("}}", "}, \"x\": 1}").replace("\"labelSelector\"", "\"step\": 15, \"labelSelector\""), 200),
        ("POST", querier("Diff"), json, format!(r#"{{"left": {typed}, "right": {typed}}}"#), 200),
        ("POST", querier("GetProfileStats"), json, "{}".into(), 200),
        ("POST", querier("AnalyzeQuery"), json, "{}".into(), 200),
        ("POST", "/version.v1.Version/Version".into(), json, "{}".into(), 200),
        ("POST", "/capabilities.v1.FeatureFlagsService/GetFeatureFlags".into(), json, "{}".into(), 200),
        // What makes no sense.
        ("POST", "/push.v1.PusherService/Push".into(), json, "{}".into(), 400),
        ("POST", "/push.v1.PusherService/Push".into(), json, "{".into(), 400),
        ("POST", "/v1development/profiles".into(), json, "{".into(), 400),
        ("POST", "/ingest".into(), "", "main 1".into(), 400),
        ("POST", "/ingest?name=a".into(), "", "main".into(), 422),
        ("POST", querier("ProfileTypes"), json, reversed.clone(), 400),
        ("POST", querier("LabelNames"), json, "{}".into(), 400),
        ("POST", querier("LabelNames"), json, String::new(), 400),
        ("POST", querier("LabelValues"), json, format!("{{{range}}}"), 400),
        ("POST", querier("Series"), json, reversed, 400),
        ("POST", querier("SelectMergeStacktraces"), json, wrong_type.clone(), 400),
        ("POST", querier("SelectMergeProfile"), json, wrong_type, 400),
        ("POST", querier("SelectSeries"), json, typed, 400),
        ("POST", querier("Diff"), json, "{}".into(), 400),
        ("GET",  "/pyroscope/render".into(), "", String::new(), 400),
        ("GET",  render("cpu{}"), "", String::new(), 400),
        ("GET",  render(&format!("{CPU}{{a=}}")), "", String::new(), 400),
        ("GET",  format!("{}&from=never", render(&format!("{CPU}{{}}"))), "", String::new(), 400),
        ("GET",  "/pyroscope/render-diff".into(), "", String::new(), 400),
        ("GET",  "/pyroscope/label-values".into(), "", String::new(), 400),
        ("GET",  "/api/v1/types?from=x".into(), "", String::new(), 400),
        // The wrong method, media type, or nothing there at all.
        ("GET",  querier("ProfileTypes"), "", String::new(), 405),
        ("GET",  EXPORT.into(), "", String::new(), 405),
        ("GET",  "/v1development/profiles".into(), "", String::new(), 405),
        ("GET",  "/ingest?name=a".into(), "", String::new(), 405),
        ("POST", "/pyroscope/render".into(), "", String::new(), 405),
        ("POST", "/api/v1/types".into(), "", String::new(), 405),
        ("POST", querier("ProfileTypes"), "text/plain", "{}".into(), 415),
        ("POST", "/push.v1.PusherService/Push".into(), "", String::new(), 415),
        ("POST", "/v1development/profiles".into(), "text/plain", String::new(), 415),
        ("POST", querier("Nonsense"), json, "{}".into(), 501),
        ("POST", querier("SelectHeatmap"), json, "{}".into(), 501),
        ("POST", "/settings.v1.SettingsService/Get".into(), json, "{}".into(), 501),
        ("POST", "/vcs.v1.VCSService/GithubApp".into(), json, "{}".into(), 501),
        ("GET",  "/api/v1/nonsense".into(), "", String::new(), 404),
        ("GET",  "/nonsense".into(), "", String::new(), 404),
        ("POST", "/v1/profiles".into(), proto, String::new(), 404),
    ]
}

#[tokio::test]
async fn every_endpoint_answers_with_pyroscopes_status_codes() {
    let server = start("", &["-distributor.ingestion-body-limit-mb=1"]).await;
    for (method, path, media, body, want) in endpoints() {
        let headers = [("content-type", media)];
        let headers = if media.is_empty() { &[][..] } else { &headers };
        let answer = server.send(method, &path, headers, body.clone()).await;
        assert_eq!(answer.status, want, "{method} {path} {media} {body}: {}", answer.text());
        if (400..500).contains(&want) && path.starts_with("/querier") && !matches!(want, 405 | 415) {
            assert_eq!(answer.json()["code"], "invalid_argument", "{path}: {}", answer.text());
        }
    }
    let large = vec![b'x'; 2 << 20];
    for (path, media) in [
        ("/ingest?name=a", ""),
        ("/v1development/profiles", "application/x-protobuf"),
        ("/push.v1.PusherService/Push", "application/proto"),
        ("/querier.v1.QuerierService/ProfileTypes", "application/proto"),
    ] {
        let headers = [("content-type", media)];
        let headers = if media.is_empty() { &[][..] } else { &headers };
        assert_eq!(server.send("POST", path, headers, large.clone()).await.status, 413, "{path}");
    }
}
