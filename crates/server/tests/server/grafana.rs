//! What Grafana's Pyroscope data source and Profiles Drilldown rely on.

use crate::common::{CPU, PERIOD, batch, now_ms, start};
use hearth_codec::pyroscope::querier::*;
use serde_json::{Value, json};

/// Slots of five seconds begin at multiples of this.
const BASE_MS: i64 = 1_700_000_000_000;

async fn with_data() -> crate::common::Running {
    let server = start("", &[]).await;
    server.export(&batch(BASE_MS, &[("shop", "main;work", 1), ("mail", "main", 2)])).await;
    server.export(&batch(BASE_MS + 15_000, &[("shop", "main;work", 4)])).await;
    server.export(&batch(BASE_MS + 20_000, &[("shop", "main;idle", 8)])).await;
    server
}

#[tokio::test]
async fn save_and_test_works_on_an_empty_server_and_with_old_ranges() {
    let server = start("", &[]).await;
    for range in [json!({"start": "1000", "end": "4000"}), json!({}), json!({"start": -5, "end": "5"})] {
        let answer = server.ask("ProfileTypes", range.clone()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{range}");
    }
    let answer: ProfileTypesResponse =
        server.ask_proto("ProfileTypes", &ProfileTypesRequest { start: 1000, end: 4000 }).await;
    assert!(answer.profile_types.is_empty());
    assert_eq!(server.ask("ProfileTypes", json!({"start": 2, "end": 1})).await.status, 400);
    assert_eq!(server.get("/ready").await.status, 200);
    assert_eq!(server.get("/api/v1/status/buildinfo").await.json()["status"], "success");
}

#[tokio::test]
async fn cpu_time_is_the_default_profile_type() {
    let server = with_data().await;
    let mut off_cpu = batch(BASE_MS, &[("shop", "main;wait", 5)]);
    let profile = &mut off_cpu.resources[0].profiles[0];
    profile.sample_type = hearth_profile::ValueType::new("off_cpu", "nanoseconds");
    (profile.period_type, profile.period) = Default::default();
    server.export(&off_cpu).await;
    for range in [json!({}), json!({"start": BASE_MS - 1, "end": BASE_MS + 60_000})] {
        let types = server.ask("ProfileTypes", range).await.json();
        let ids: Vec<&str> =
            types["profileTypes"].as_array().unwrap().iter().map(|t| t["ID"].as_str().unwrap()).collect();
        assert_eq!(ids, [CPU, "off_cpu:off_cpu:nanoseconds::"]);
        assert_eq!(types["profileTypes"][0]["sampleUnit"], "nanoseconds");
    }
}

#[tokio::test]
async fn selectors_are_understood_in_all_three_spellings() {
    let server = with_data().await;
    let spellings = [
        format!("{{__profile_type__=\"{CPU}\",service_name=\"unknown_service:shop\"}}"),
        format!("{CPU}{{service_name=\"unknown_service:shop\"}}"),
        "{service_name=~\"unknown_service:sh.p\"}".to_owned(),
    ];
    for selector in spellings {
        let request = json!({"matchers": [selector], "name": "service_name", "start": BASE_MS, "end": (BASE_MS + 60_000).to_string()});
        let answer = server.ask("LabelValues", request).await;
        assert_eq!(answer.json(), json!({"names": ["unknown_service:shop"]}), "{selector}");
    }
    let all = json!({"matchers": ["{}"], "name": "service_name", "start": BASE_MS, "end": BASE_MS + 60_000});
    assert_eq!(server.ask("LabelValues", all).await.json()["names"].as_array().unwrap().len(), 2);
    let bad = json!({"matchers": ["{pod=web}"], "start": BASE_MS, "end": BASE_MS + 1});
    let answer = server.ask("LabelNames", bad).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_argument")));
    assert!(answer.text().contains("position 6"), "{}", answer.text());
}

#[tokio::test]
async fn points_stand_at_start_plus_steps_and_cover_the_step_before() {
    let server = with_data().await;
    let request = json!({
        "profileTypeID": CPU, "labelSelector": "{}", "start": (BASE_MS + 15_000).to_string(), "end": BASE_MS + 40_000,
        "step": 15, "groupBy": ["service_name"],
    });
    let answer = server.ask("SelectSeries", request).await.json();
    let value = |samples: i64| json!((samples * PERIOD) as f64);
    let series = answer["series"].as_array().unwrap();
    assert_eq!(series.len(), 1, "{answer}");
    assert_eq!(series[0]["labels"], json!([{"name": "service_name", "value": "unknown_service:shop"}]));
    let points = series[0]["points"].as_array().unwrap();
    assert_eq!(points[0]["timestamp"], (BASE_MS + 15_000).to_string());
    assert_eq!(points[0]["value"].as_f64(), value(4).as_f64());
    assert_eq!(points[1]["timestamp"], (BASE_MS + 30_000).to_string());
    assert_eq!(points[1]["value"].as_f64(), value(8).as_f64());
}

#[tokio::test]
async fn the_service_list_of_drilldown_works() {
    let server = with_data().await;
    let names = ["service_name", "__profile_type__"];
    let request = json!({"matchers": [], "labelNames": names, "start": BASE_MS, "end": BASE_MS + 60_000});
    let answer = server.ask("Series", request).await.json();
    assert_eq!(
        answer["labelsSet"][0],
        json!({"labels": [{"name": "__profile_type__", "value": CPU}, {"name": "service_name", "value": "unknown_service:mail"}]})
    );
    assert_eq!(answer["labelsSet"].as_array().unwrap().len(), 2);
    let stats = server.ask("GetProfileStats", json!({})).await.json();
    assert_eq!(stats["dataIngested"], true);
    assert_eq!(stats["oldestProfileTime"], BASE_MS.to_string());
}

/// The data source's walk from levels to a tree: every bar must lie within a bar of the level above.
fn check_levels(graph: &FlameGraph) {
    let mut above: Vec<(i64, i64)> = Vec::new();
    for (level, values) in graph.levels.iter().map(|level| &level.values).enumerate() {
        assert_eq!(values.len() % 4, 0);
        let mut at = 0;
        let mut bars = Vec::new();
        for bar in values.chunks(4) {
            let start = at + bar[0];
            at = start + bar[1];
            bars.push((start, at));
            assert!(level == 0 || above.iter().any(|(from, to)| *from <= start && at <= *to), "{graph:?}");
        }
        above = bars;
    }
    assert_eq!(graph.names[0], "total");
    assert_eq!(graph.levels[0].values[..2], [0, graph.total]);
}

#[tokio::test]
async fn flame_graphs_have_no_bar_outside_its_parent() {
    let server = start("", &[]).await;
    let mut seed = 7_u64;
    let mut next = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let stacks: Vec<String> = (0..300)
        .map(|_| (0..=next(12)).map(|_| format!("f{}", next(6))).collect::<Vec<_>>().join(";"))
        .collect();
    let entries: Vec<(&str, &str, i64)> =
        stacks.iter().map(|stack| ("shop", stack.as_str(), next(50) as i64)).collect();
    server.export(&batch(BASE_MS, &entries)).await;
    let total: i64 = entries.iter().map(|entry| entry.2 * PERIOD).sum();
    for max_nodes in [None, Some(0), Some(1), Some(7), Some(100), Some(10_000)] {
        let request = SelectMergeStacktracesRequest {
            profile_type_id: CPU.into(),
            label_selector: "{}".into(),
            start: BASE_MS,
            end: BASE_MS + 1,
            max_nodes,
            ..Default::default()
        };
        let answer: SelectMergeStacktracesResponse =
            server.ask_proto("SelectMergeStacktraces", &request).await;
        let graph = answer.flamegraph.unwrap();
        assert_eq!(graph.total, total);
        check_levels(&graph);
    }
    let diff = json!({
        "left": {"profileTypeID": CPU, "labelSelector": "{}", "start": BASE_MS, "end": BASE_MS + 1},
        "right": {"profileTypeID": CPU, "labelSelector": "{service_name=\"none\"}", "start": BASE_MS, "end": BASE_MS + 1},
    });
    let diff = server.ask("Diff", diff).await.json();
    assert_eq!(diff["flamegraph"]["leftTicks"], total.to_string());
}

#[tokio::test]
async fn connect_errors_have_its_codes() {
    let server = with_data().await;
    let query = |start: Value, end: Value| json!({"profileTypeID": CPU, "labelSelector": "{}", "start": start, "end": end, "step": 15});
    #[rustfmt::skip]
    let cases = [
        ("SelectSeries",           query(json!(0), json!(5)),                                          400, "missing time range"),
        ("SelectSeries",           query(json!(9), json!(5)),                                          400, "start 9 is after end 5"),
        ("SelectSeries",           query(json!(1), json!("9223372036854775807")),                      400, "limit of 11000"),
        ("SelectSeries",           json!({"profileTypeID": CPU, "start": 1, "end": 5}),                400, "step"),
        ("SelectMergeStacktraces", json!({"profileTypeID": "cpu", "start": 1, "end": 5}),              400, "has 1 parts; expected 5"),
        ("SelectMergeStacktraces", json!({"profileTypeID": CPU, "start": 1, "end": 5, "maxNodes": "2000000"}), 400, "exceeds the limit of 1048576"),
        ("LabelValues",            json!({"start": 1, "end": 5}),                                      400, "name: missing"),
        ("LabelValues",            json!({"name": "x"}),                                               400, "missing time range"),
        ("SelectHeatmap",          json!({}),                                                          501, "is not implemented"),
    ];
    for (method, request, status, message) in cases {
        let answer = server.ask(method, request.clone()).await;
        assert_eq!(answer.status, status, "{method} {request}: {}", answer.text());
        assert!(answer.json()["message"].as_str().unwrap().contains(message), "{method}: {}", answer.text());
    }
    let path = "/querier.v1.QuerierService/ProfileTypes";
    assert_eq!(server.get(path).await.status, 405);
    assert_eq!(server.send("POST", path, &[("content-type", "text/plain")], "{}").await.status, 415);
    assert_eq!(server.send("POST", path, &[("content-type", "application/json")], "").await.status, 400);
    let answer = server.send("POST", path, &[("content-type", "application/json")], "{").await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_argument")));
    let unknown = json!({"profileTypeID": CPU, "labelSelector": "{}", "start": 1, "end": 5, "format": "PROFILE_FORMAT_SANDWICH", "new": [1]});
    assert_eq!(server.ask("SelectMergeStacktraces", unknown).await.status, 200);
    let answer = server
        .send("POST", "/settings.v1.SettingsService/Get", &[("content-type", "application/json")], "{}")
        .await;
    assert_eq!((answer.status, &answer.json()["code"]), (501, &json!("unimplemented")));
}

#[tokio::test]
async fn call_sites_and_spans_narrow_a_flame_graph() {
    let server = with_data().await;
    let request = |extra: Value| {
        let mut request =
            json!({"profileTypeID": CPU, "labelSelector": "{}", "start": BASE_MS, "end": BASE_MS + 60_000});
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        request
    };
    let site = json!({"stackTraceSelector": {"callSite": [{"name": "main"}, {"name": "work"}]}});
    let answer = server.ask("SelectMergeStacktraces", request(site.clone())).await.json();
    assert_eq!(answer["flamegraph"]["total"], (5 * PERIOD).to_string());
    let profile = server.ask("SelectMergeProfile", request(site)).await.json();
    assert_eq!(profile["sample"].as_array().unwrap().len(), 1);
    assert_eq!(profile["sample"][0]["value"], json!([(5 * PERIOD).to_string()]));
    let answer =
        server.ask("SelectMergeStacktraces", request(json!({"spanSelector": ["00f067aa0ba902b7"]}))).await;
    assert_eq!(answer.json()["flamegraph"]["names"], json!(["total"]));
}

#[tokio::test]
async fn grpc_web_is_answered_with_trailers_in_the_body() {
    let server = with_data().await;
    let headers = [("content-type", "application/grpc-web+proto")];
    let path = "/querier.v1.QuerierService/ProfileTypes";
    let answer = server.send("POST", path, &headers, vec![0_u8, 0, 0, 0, 0]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(CPU) && answer.text().contains("grpc-status: 0"), "{}", answer.text());
    assert!(now_ms() > BASE_MS);
}
