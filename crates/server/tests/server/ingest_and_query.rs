//! Profiles pushed through every door come back through every other with equal totals.

use crate::common::{CPU, EXPORT, PERIOD, batch, gzip, now_ms, start};
use hearth_codec::otlp::{decode_response, encode_request};
use hearth_codec::pyroscope::{google, querier::*};
use prost::Message;
use serde_json::json;
use tonic::Code;
use tonic::codec::CompressionEncoding;

fn range() -> (i64, i64) {
    (now_ms() - 600_000, now_ms() + 60_000)
}

/// The total of everything, asked for in every way there is.
async fn totals(server: &crate::common::Running) -> Vec<i64> {
    let (start, end) = range();
    let stacktraces = SelectMergeStacktracesRequest {
        profile_type_id: CPU.into(),
        label_selector: "{}".into(),
        start,
        end,
        ..Default::default()
    };
    let json = server
        .ask(
            "SelectMergeStacktraces",
            json!({"profileTypeID": CPU, "labelSelector": "{}", "start": start, "end": end.to_string()}),
        )
        .await;
    let json: i64 = json.json()["flamegraph"]["total"].as_str().unwrap().parse().unwrap();
    let proto: SelectMergeStacktracesResponse =
        server.ask_proto("SelectMergeStacktraces", &stacktraces).await;
    let grpc =
        server.grpc("/querier.v1.QuerierService/SelectMergeStacktraces", stacktraces.encode_to_vec()).await;
    let grpc = SelectMergeStacktracesResponse::decode(&*grpc.unwrap()).unwrap();
    let series = SelectSeriesRequest {
        profile_type_id: CPU.into(),
        label_selector: "{}".into(),
        start,
        end,
        step: 60.0,
        ..Default::default()
    };
    let series: SelectSeriesResponse = server.ask_proto("SelectSeries", &series).await;
    let series = series.series.iter().flat_map(|series| &series.points).map(|point| point.value as i64).sum();
    let profile = SelectMergeProfileRequest {
        profile_type_id: CPU.into(),
        label_selector: "{}".into(),
        start,
        end,
        ..Default::default()
    };
    let profile: google::Profile = server.ask_proto("SelectMergeProfile", &profile).await;
    let profile = profile.sample.iter().map(|sample| sample.value[0]).sum();
    let query = format!("type={CPU}&from={start}&to={end}");
    let flame = server.get(&format!("/api/v1/flame?{query}")).await.header("x-hearth-total").parse().unwrap();
    let overview = server.get(&format!("/api/v1/overview?{query}")).await.json()["total"].as_i64().unwrap();
    let dense = server.get(&format!("/api/v1/series?{query}&step=60000")).await.json();
    let dense =
        dense["series"][0]["values"].as_array().unwrap().iter().map(|value| value.as_i64().unwrap()).sum();
    let values = server.get(&format!("/api/v1/labels/service_name/values?{query}")).await.json();
    let values =
        values["values"].as_array().unwrap().iter().map(|value| value["total"].as_i64().unwrap()).sum();
    let folded = server.get(&format!("/api/v1/export?{query}&format=folded")).await.text();
    let folded = folded.lines().map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum();
    let total = |graph: Option<FlameGraph>| graph.unwrap().total;
    vec![
        json,
        total(proto.flamegraph),
        total(grpc.flamegraph),
        series,
        profile,
        flame,
        overview,
        dense,
        values,
        folded,
    ]
}

#[tokio::test]
async fn every_way_of_asking_gives_the_same_total() {
    let server = start("", &[]).await;
    let time = now_ms() - 60_000;
    server.export(&batch(time, &[("shop", "main;work", 30), ("shop", "main;0x1f0", 10)])).await;
    server.export(&batch(time + 20_000, &[("mail", "main;send", 60)])).await;
    let totals = totals(&server).await;
    assert!(totals.iter().all(|total| *total == 100 * PERIOD), "{totals:?}");
    let (from, to) = range();
    let folded = server.get(&format!("/api/v1/export?format=folded&from={from}&to={to}")).await.text();
    assert!(folded.contains("main;shop+0x1f0 100000000"), "{folded}");
    server.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn otlp_comes_in_as_grpc_and_http_compressed_or_not_as_protobuf_or_json() {
    let server = start("", &[]).await;
    let request = encode_request(&batch(now_ms() - 30_000, &[("shop", "main;work", 1)]));
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let with = |client: tonic::client::Grpc<_>| match encoding {
            Some(encoding) => client.send_compressed(encoding),
            None => client,
        };
        server.grpc_with(EXPORT, request.clone(), with).await.unwrap();
    }
    let experimental = EXPORT.replace("v1development", "v1experimental");
    server.grpc(&experimental, request.clone()).await.unwrap();
    let path = "/v1development/profiles";
    let zstd = zstd::encode_all(&*request, 1).unwrap();
    for (media, encoding, body) in [
        ("application/x-protobuf", "identity", request.clone()),
        ("application/protobuf", "gzip", gzip(&request)),
        ("application/x-protobuf; charset=utf-8", "zstd", zstd),
    ] {
        let answer =
            server.send("POST", path, &[("content-type", media), ("content-encoding", encoding)], body).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/x-protobuf"),
            "{}",
            answer.text()
        );
    }
    let json = json!({
        "resourceProfiles": [{
            "resource": {"attributes": [{"key": "process.executable.name", "value": {"stringValue": "shop"}}]},
            "scopeProfiles": [{"profiles": [{
                "sampleType": {"typeStrindex": 1, "unitStrindex": 2},
                "periodType": {"typeStrindex": 3, "unitStrindex": 4},
                "period": PERIOD.to_string(),
                "timeUnixNano": ((now_ms() - 30_000) * 1_000_000).to_string(),
                "samples": [{"stackIndex": 1, "values": ["1"]}],
            }]}],
        }],
        "dictionary": {
            "stringTable": ["", "samples", "count", "cpu", "nanoseconds", "main"],
            "functionTable": [{}, {"nameStrindex": 5}],
            "locationTable": [{}, {"lines": [{"functionIndex": 1}]}],
            "stackTable": [{}, {"locationIndices": [1]}],
            "mappingTable": [{}], "linkTable": [{}], "attributeTable": [{}],
        },
    });
    let answer = server.send("POST", path, &[("content-type", "application/json")], json.to_string()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    let totals = totals(&server).await;
    assert!(totals.iter().all(|total| *total == 8 * PERIOD), "{totals:?}");
}

#[tokio::test]
async fn the_documented_relabeling_rule_names_services() {
    let yaml = "limits:\n  ingestion_relabeling_rules:\n    - action: labelmap\n      regex: ^process.executable.name$\n      \
                replacement: service_name\n";
    let (start, end) = range();
    for (yaml, want) in [("", "unknown_service:nginx"), (yaml, "nginx")] {
        let server = crate::common::start(yaml, &["-self-profiling.disable-push=true"]).await;
        server.export(&batch(now_ms() - 30_000, &[("nginx", "main", 1), ("nginx", "main", 2)])).await;
        let answer =
            server.ask("LabelValues", json!({"name": "service_name", "start": start, "end": end})).await;
        assert_eq!(answer.json(), json!({"names": [want]}));
        let answer = server.ask("LabelNames", json!({"start": start, "end": end})).await.text();
        assert!(!answer.contains("process.pid") && !answer.contains("process.executable.name"), "{answer}");
        let accept =
            [("content-type", "application/json"), ("accept", "application/json;allow-utf8-labelnames=true")];
        let body = json!({"start": start, "end": end}).to_string();
        let answer = server.send("POST", "/querier.v1.QuerierService/LabelNames", &accept, body).await.text();
        assert!(answer.contains("process.executable.name") && !answer.contains("process.pid"), "{answer}");
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_reported_and_its_siblings_are_stored() {
    let server = start("limits: {max_label_value_length: 30}", &[]).await;
    let long = "x".repeat(31);
    let request = encode_request(&batch(now_ms() - 30_000, &[("shop", "main", 100), (&long, "main", 1)]));
    let answer = server.grpc(EXPORT, request).await.unwrap();
    let answer = decode_response(&answer).unwrap();
    assert_eq!(answer.rejected_profiles, 1);
    assert!(answer.error_message.contains("label_value_too_long"), "{}", answer.error_message);
    let totals = totals(&server).await;
    assert!(totals.iter().all(|total| *total == 100 * PERIOD), "{totals:?}");
    let metrics = server.get("/metrics").await.text();
    for line in [
        "pyroscope_discarded_samples_total{reason=\"label_value_too_long\",tenant=\"anonymous\"} 1",
        "hearth_ingest_samples_total 1",
        "hearth_ingest_rejected_requests_total 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_by_name() {
    let server = start("", &["-distributor.ingestion-body-limit-mb=1"]).await;
    let status = server.grpc(EXPORT, b"\xff\xff\xff nonsense".to_vec()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let status = server.grpc(EXPORT, vec![0; 2 << 20]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("limit of 1048576 bytes"), "{status:?}");
    let path = "/v1development/profiles";
    let bomb = gzip(&vec![0; 8 << 20]);
    type Headers<'h> = &'h [(&'h str, &'h str)];
    #[rustfmt::skip]
    let cases: [(&str, Headers<'_>, Vec<u8>, u16); 6] = [
        ("POST", &[("content-type", "application/x-protobuf")],                                 b"\xff\xffx".to_vec(), 400),
        ("POST", &[("content-type", "application/json")],                                       b"{".to_vec(),         400),
        ("POST", &[("content-type", "text/plain")],                                             vec![],                415),
        ("POST", &[("content-type", "application/x-protobuf"), ("content-encoding", "br")],     vec![],                415),
        ("POST", &[("content-type", "application/x-protobuf"), ("content-encoding", "gzip")],   bomb,                  413),
        ("GET",  &[],                                                                           vec![],                405),
    ];
    for (method, headers, body, want) in cases {
        let answer = server.send(method, path, headers, body).await;
        assert_eq!(answer.status, want, "{headers:?}: {}", answer.text());
    }
    let status = server.grpc("/querier.v1.QuerierService/Nonsense", Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_batch_with_an_identity_is_stored_once() {
    let server = start("", &[]).await;
    let request = encode_request(&batch(now_ms() - 30_000, &[("shop", "main", 7)]));
    let id = "00112233-4455-6677-8899-aabbccddeeff";
    for _ in 0..2 {
        let headers = [("content-type", "application/x-protobuf"), ("x-hearth-batch-id", id)];
        let answer = server.send("POST", "/v1development/profiles", &headers, request.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let totals = totals(&server).await;
    assert!(totals.iter().all(|total| *total == 7 * PERIOD), "{totals:?}");
    let headers = [("content-type", "application/x-protobuf"), ("x-hearth-batch-id", "x")];
    assert_eq!(server.send("POST", "/v1development/profiles", &headers, request).await.status, 400);
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let server = start("multitenancy_enabled: true", &[]).await;
    let request = encode_request(&batch(now_ms() - 30_000, &[("shop", "main", 7)]));
    let send = |tenant: Option<&'static str>| {
        let mut headers = vec![("content-type", "application/x-protobuf")];
        headers.extend(tenant.map(|tenant| ("x-scope-orgid", tenant)));
        let (server, request) = (&server, request.clone());
        async move { server.send("POST", "/v1development/profiles", &headers, request).await.status }
    };
    assert_eq!((send(None).await, send(Some("../x")).await, send(Some("team-a")).await), (401, 400, 200));
    let (from, to) = range();
    for (tenant, want) in [("team-a", 1), ("team-b", 0)] {
        let path = format!("/api/v1/types?from={from}&to={to}");
        let answer = server.send("GET", &path, &[("x-scope-orgid", tenant)], "").await;
        assert_eq!(answer.json()["types"].as_array().unwrap().len(), want, "{tenant}");
    }
    assert_eq!(server.get("/api/v1/types").await.status, 401);
}
