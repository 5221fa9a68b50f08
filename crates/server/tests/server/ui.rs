//! What the UI relies on: its files and its API.

use crate::common::{CPU, PERIOD, batch, now_ms, start};
use hearth_server::{Config, Server};
use serde_json::json;

#[tokio::test]
async fn pages_and_files_are_served_and_nothing_else_is_mistaken_for_them() {
    let server = start("", &[]).await;
    for page in ["/", "/explore", "/status"] {
        let answer = server.get(page).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "text/html; charset=utf-8"),
            "{page}"
        );
        assert!(answer.header("content-security-policy").starts_with("default-src 'self'"));
        let tag = answer.header("etag").to_owned();
        assert_eq!(server.send("GET", page, &[("if-none-match", &tag)], "").await.status, 304);
    }
    let answer = server.send("GET", "/assets/app.js", &[("accept-encoding", "gzip")], "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/javascript; charset=utf-8"));
    for path in ["/nowhere", "/api/v1/nowhere", "/assets/../Cargo.toml", "/assets/other.js"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("<html"), "{path}");
    }
    assert!(server.get("/api/v1/nowhere").await.json()["error"].is_string());
}

#[tokio::test]
async fn the_api_answers_what_was_ingested() {
    let server = start("", &[]).await;
    let time = now_ms() / 60_000 * 60_000 - 60_000;
    server
        .export(&batch(
            time,
            &[("shop", "main;work", 300), ("shop", "main", 100), ("mail", "main;send", 100)],
        ))
        .await;
    let query = format!("from={}&to={}", time - 60_000, time + 60_000);
    assert_eq!(server.get(&format!("/api/v1/types?{query}")).await.json(), json!({"types": [CPU]}));
    let overview = server.get(&format!("/api/v1/overview?{query}&type={CPU}&points=12")).await.json();
    assert_eq!((&overview["step_ms"], &overview["hosts"]), (&json!(10_000), &json!(1)));
    // 500 samples of 10 ms within the one slot of 5 s that has data.
    assert_eq!(overview["cores"], json!(1.0));
    let shop = &overview["services"][0];
    assert_eq!(shop["name"], "unknown_service:shop");
    assert_eq!((&shop["total"], &shop["share"]), (&json!(400 * PERIOD), &json!(0.8)));
    assert_eq!(shop["values"][6], json!(400 * PERIOD));
    assert_eq!(shop["hottest"], json!({"name": "work", "self": 300 * PERIOD}));
    assert_eq!(shop["layers"][0], json!(400 * PERIOD));
    let series = server.get(&format!("/api/v1/series?{query}&step=60000&by=service_name")).await.json();
    assert_eq!(
        (&series["start"], &series["series"][0]["values"]),
        (&json!(time - 60_000), &json!([0, 400 * PERIOD]))
    );
    let selected = format!("{query}&q=%7Bservice_name%3D%22unknown_service%3Amail%22%7D");
    let flame = server.get(&format!("/api/v1/flame?{selected}")).await;
    assert_eq!(
        (&flame.body[..4], flame.header("x-hearth-total")),
        (&b"FLM1"[..], (100 * PERIOD).to_string().as_str())
    );
    let labels = server.get(&format!("/api/v1/labels?{query}")).await.json();
    let names: Vec<&str> =
        labels["labels"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["host.name", "process.executable.name", "service_name"]);
    let values = server.get(&format!("/api/v1/labels/process.executable.name/values?{query}")).await.json();
    assert_eq!(values["values"][1], json!({"value": "mail", "total": 100 * PERIOD}));
    let export = server.get(&format!("/api/v1/export?{query}&format=pprof")).await;
    assert_eq!(export.header("content-disposition"), "attachment; filename=\"profile.pb.gz\"");
    assert_eq!(export.body[..2], [0x1f, 0x8b]);
    let export = server.get(&format!("/api/v1/export?{query}&format=svg")).await;
    assert!(
        export.header("content-type") == "image/svg+xml" && export.text().contains("work"),
        "{}",
        export.text()
    );
    let status = server.get("/api/v1/status").await.json();
    assert_eq!((&status["ingest"]["requests"], &status["ingest"]["samples"]), (&json!(1), &json!(3)));
    assert_eq!(
        (&status["agents"][0]["host"], &status["agents"][0]["samples"]),
        (&json!("host-1"), &json!(3))
    );
    assert_eq!((&status["oldest_ms"], &status["newest_ms"]), (&json!(time), &json!(time)));
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_named() {
    let server = start("limits: {max_query_length: 1h}", &[]).await;
    #[rustfmt::skip]
    let cases = [
        ("/api/v1/types?from=x",                            "from: \"x\" is not valid"),
        ("/api/v1/types?from=5&to=4",                       "start 5 is after end 4"),
        ("/api/v1/types?from=0&to=3600001",                 "exceed the limit of 3600000 ms"),
        ("/api/v1/series?from=0&to=3600000&step=1",         "limit of 11000"),
        ("/api/v1/series?step=0",                           "step: \"0\" is not valid; expected a whole number from 1"),
        ("/api/v1/flame?q={pod}",                           "q: invalid selector"),
        ("/api/v1/flame?type=cpu",                          "type: profile type \"cpu\" has 1 parts"),
        ("/api/v1/export?format=exe",                       "format: \"exe\" is unknown; expected pprof"),
    ];
    for (path, want) in cases {
        let answer = server.get(&path.replace('{', "%7B").replace('}', "%7D")).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(answer.json()["error"].as_str().unwrap().contains(want), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_message() {
    let server = start("", &[]).await;
    let address = server.server.local_addr().to_string();
    let dir = tempfile::tempdir().unwrap();
    let args = ["--listen", &address, "--data", dir.path().to_str().unwrap()];
    let config = Config::from_args(args.map(Into::into)).unwrap();
    let error = Server::start(config).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: it is in use")), "{error}");
    assert!(error.ends_with("choose another port with --listen 127.0.0.1:PORT"), "{error}");
}

#[tokio::test]
async fn data_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let time = now_ms() - 30_000;
    let server = start("", &["--data", &data]).await;
    server.export(&batch(time, &[("shop", "main", 7)])).await;
    server.server.shutdown().await.unwrap();
    let server = start("", &["--data", &data]).await;
    let flame = server.get(&format!("/api/v1/flame?from={}&to={}", time - 60_000, time + 60_000)).await;
    assert_eq!(flame.header("x-hearth-total"), (7 * PERIOD).to_string());
    let args = ["--listen", "127.0.0.1:0", "--data", &data];
    let error =
        Server::start(Config::from_args(args.map(Into::into)).unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
}
