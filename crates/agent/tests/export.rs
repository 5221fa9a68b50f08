//! The published configuration against a server: what arrives, and what happens when it does not.

#![expect(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod fake;

use std::sync::Arc;
use std::time::Duration;

use hearth_agent::{Agent, ConfigSource, Gates, profiling};
use hearth_collector::Registry;
use hearth_profile::{
    FrameKind, Function, Line, Location, Mapping, Profile, ProfileBatch, ResourceProfiles, Sample, Scope,
    ValueType,
};
use hearth_sampler::Collection;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tonic::{Code, Status};

use fake::{FakeServer, retry_info};

/// One stack of one process, the same each time.
struct OneProcess;

impl profiling::ProfileSource for OneProcess {
    fn collect(&self) -> Collection {
        let mut batch = ProfileBatch::default();
        let dictionary = &mut batch.dictionary;
        let filename = dictionary.string("/usr/bin/cat");
        let mapping = dictionary.mapping(Mapping { filename, ..Mapping::default() });
        let name = dictionary.string("copy_loop");
        let function = dictionary.function(Function { name, ..Function::default() });
        let lines = vec![Line { function, ..Line::default() }].into();
        let location =
            dictionary.location(Location { mapping, address: 0x40, lines, kind: FrameKind::Native });
        let stack = dictionary.stack(&[location]);
        batch.resources.push(ResourceProfiles {
            resource: [("service.name", "cat")].into_iter().collect(),
            scope: Scope { name: "hearth".into(), version: "1".into(), ..Scope::default() },
            profiles: vec![Profile {
                sample_type: ValueType::new("samples", "count"),
                period_type: ValueType::new("cpu", "nanoseconds"),
                period: 10_309_278,
                time_unix_nano: 1_700_000_000_000_000_000,
                duration_nano: 5_000_000_000,
                samples: vec![Sample { stack, value: 42, ..Sample::default() }],
                ..Profile::default()
            }],
        });
        Collection { batch, samples: 42, lost: Vec::new() }
    }
}

fn registry() -> Registry {
    let factory = profiling::factory_over(Arc::new(|settings| {
        assert_eq!(settings.samples_per_second, 97, "as the published configuration says");
        Ok(Box::new(OneProcess))
    }));
    Registry::stock().with_receiver(factory)
}

/// The published configuration, with the given keys on top; reports only at shutdown unless told.
async fn start(endpoint: &str, extra: &[&str]) -> Agent {
    let mut sources = vec![
        ConfigSource::location(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pyroscope.yaml")),
        ConfigSource::yaml(&format!("exporters::otlp_grpc::endpoint: {endpoint}")),
        ConfigSource::yaml("receivers::profiling::reporter_interval: 1h"),
        ConfigSource::yaml(
            "exporters::otlp_grpc::retry_on_failure: {initial_interval: 20ms, max_interval: 20ms}",
        ),
        ConfigSource::yaml("service::telemetry::metrics::level: none"),
    ];
    sources.extend(extra.iter().map(|yaml| ConfigSource::yaml(yaml)));
    Agent::start_with(&sources, &Gates::with_profiles(), &registry()).await.unwrap()
}

fn counter(agent: &Agent, name: &str) -> u64 {
    let text = agent.metrics().render();
    let line = text.lines().find(|line| line.starts_with(&format!("otelcol_{name}{{")));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_configuration_exports_what_opentelemetry_decodes() {
    let server = FakeServer::start(Vec::new()).await;
    let agent = start(&server.endpoint(), &["exporters::otlp_grpc::headers: {X-Scope-OrgID: tenant}"]).await;
    agent.shutdown().await;
    let received = server.received();
    assert_eq!(received.len(), 1);
    let (headers, request) = &received[0];
    assert_eq!(headers["x-scope-orgid"], "tenant");
    assert_eq!(headers["grpc-encoding"], "gzip");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("Hearth agent/"), "{headers:?}");
    let dictionary = request.dictionary.as_ref().unwrap();
    assert!(dictionary.string_table.iter().any(|text| text == "copy_loop"));
    let resource = request.resource_profiles[0].resource.as_ref().unwrap();
    let attribute = |key: &str| {
        let found = resource.attributes.iter().find(|attribute| attribute.key == key);
        match found.and_then(|attribute| attribute.value.as_ref()?.value.clone()) {
            Some(Value::StringValue(text)) => text,
            other => panic!("{key}: {other:?}"),
        }
    };
    assert_eq!(attribute("service.name"), "cat");
    assert!(!attribute("host.name").is_empty());
    let profile = &request.resource_profiles[0].scope_profiles[0].profiles[0];
    assert_eq!((profile.period, profile.samples[0].values.as_slice()), (10_309_278, [42].as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn unavailable_is_tried_again_until_delivered() {
    let busy = || Status::new(Code::Unavailable, "starting");
    let server = FakeServer::start(vec![busy(), busy()]).await;
    let agent = start(&server.endpoint(), &["receivers::profiling::reporter_interval: 100ms"]).await;
    until("delivery", || counter(&agent, "exporter_sent_profile_samples") > 0).await;
    assert_eq!(counter(&agent, "exporter_send_failed_profile_samples"), 0);
    assert!(server.attempts() >= 3);
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_for_good_is_dropped() {
    let server = FakeServer::start(vec![Status::new(Code::InvalidArgument, "no")]).await;
    let agent = start(&server.endpoint(), &["receivers::profiling::reporter_interval: 100ms"]).await;
    until("the drop", || counter(&agent, "exporter_send_failed_profile_samples") == 1).await;
    until("the next delivery", || counter(&agent, "exporter_sent_profile_samples") >= 1).await;
    agent.shutdown().await;
    let (attempts, received) = (server.attempts(), server.received().len());
    assert_eq!(attempts, received + 1, "the refused request was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_the_server_asks_for_is_kept() {
    let wait = Duration::from_millis(300);
    let server =
        FakeServer::start(vec![Status::with_details(Code::ResourceExhausted, "slow down", retry_info(wait))])
            .await;
    let one = "exporters::otlp_grpc::sending_queue::num_consumers: 1";
    let agent = start(&server.endpoint(), &[one, "receivers::profiling::reporter_interval: 100ms"]).await;
    until("delivery", || counter(&agent, "exporter_sent_profile_samples") > 0).await;
    let times = server.times();
    assert!(times[1] - times[0] >= wait, "{times:?}");
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_a_server_that_comes_back_gets_what_waits() {
    let address = FakeServer::start(Vec::new()).await.stop().await;
    let agent = start(
        &address.to_string(),
        &[
            "receivers::profiling::reporter_interval: 100ms",
            "exporters::otlp_grpc::sending_queue: {num_consumers: 1, queue_size: 2}",
        ],
    )
    .await;
    until("the refusal", || counter(&agent, "exporter_enqueue_failed_profile_samples") > 0).await;
    until("the count of the receiver", || counter(&agent, "receiver_refused_profile_samples") > 0).await;
    assert_eq!(counter(&agent, "exporter_queue_size"), 2);
    let server = FakeServer::start_at(address, Vec::new()).await;
    until("delivery of what waited", || server.received().len() >= 3).await;
    agent.shutdown().await;
}

fn tls_file(name: &str) -> String {
    format!("{}/testdata/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_trusts_the_given_authority_and_no_other() {
    let [cert, key] = ["server.pem", "server.key"].map(|name| std::fs::read(tls_file(name)).unwrap());
    let server = FakeServer::start_tls(tonic::transport::Identity::from_pem(cert, key)).await;
    let ca = tls_file("ca.pem");
    let cases = [
        ("right authority and name", format!("{{ca_file: {ca}, server_name_override: profiles.test}}"), true),
        ("wrong name", format!("{{ca_file: {ca}, server_name_override: other.test}}"), false),
        ("nothing is verified", "{insecure_skip_verify: true}".to_owned(), true),
        ("plain text", "{insecure: true}".to_owned(), false),
    ];
    for (case, tls, delivered) in cases {
        let before = server.received().len();
        let agent = start(
            &server.endpoint(),
            &["exporters::otlp_grpc::tls: null", &format!("exporters::otlp_grpc::tls: {tls}")],
        )
        .await;
        agent.shutdown().await;
        assert_eq!(server.received().len() > before, delivered, "{case}");
    }
}

#[tokio::test]
async fn an_unreadable_authority_ends_the_start() {
    let sources = [
        ConfigSource::location(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pyroscope.yaml")),
        ConfigSource::yaml("exporters::otlp_grpc::tls: {insecure: false, ca_file: /nope.pem}"),
        ConfigSource::yaml("service::telemetry::metrics::level: none"),
    ];
    let error = Agent::start_with(&sources, &Gates::with_profiles(), &registry()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot start pipelines: failed to start \"otlp_grpc\" exporter: failed to load TLS config: \
         failed to load CA /nope.pem: No such file or directory (os error 2)"
    );
}
