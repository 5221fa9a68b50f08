//! Messages of configurations that cannot run, and what the others mean.

use expect_test::{Expect, expect};

use super::*;
use crate::confmap::{ProcessEnvironment, resolve};

const GOOD: &str = "receivers: {nop: }
exporters: {nop: , debug: }
service: {pipelines: {profiles: {receivers: [nop], exporters: [nop]}}}
";

fn load_yaml(yaml: &str, gates: &Gates) -> Result<Config, ConfigError> {
    let resolved = resolve(&[format!("yaml:{yaml}")], &ProcessEnvironment, false).unwrap();
    load(&resolved.config, &Registry::stock(), gates)
}

fn check(yaml: &str, want: &Expect) {
    let text = match load_yaml(yaml, &Gates::with_profiles()) {
        Err(error) => format!("{error}\n"),
        Ok(config) => format!("ok\n{}\n", config.warnings.join("\n")),
    };
    want.assert_eq(&text);
}

#[test]
fn a_good_configuration_loads() {
    check(
        GOOD,
        &expect![[r#"
        ok

    "#]],
    );
}

#[test]
fn profiles_need_the_feature_gate() {
    let error = load_yaml(GOOD, &Gates::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid configuration: service::pipelines: pipeline \"profiles\": profiling signal support is at alpha \
         level, gated under the \"service.profilesSupport\" feature gate"
    );
    assert!(error.bare().starts_with("service::pipelines: pipeline"));
}

#[test]
fn empty_and_incomplete_configurations() {
    check(
        "{}",
        &expect![[r#"
        invalid configuration: empty configuration file
    "#]],
    );
    check(
        "{receivers: {nop: }}",
        &expect![[r#"
        invalid configuration: no exporter configuration specified in config
        service::pipelines: service must have at least one pipeline
    "#]],
    );
    check(
        "{receivers: {nop: }, exporters: {nop: }, service: {pipelines: {profiles: {processors: [x, x]}, profiles/2: {receivers: [nop, nop], exporters: [nope]}}, extensions: [e]}}",
        &expect![[r#"
            invalid configuration: service::pipelines::profiles: must have at least one receiver
            service::pipelines::profiles: must have at least one exporter
            service::pipelines::profiles: references processor "x" which is not configured
            service::pipelines::profiles: references processor "x" which is not configured
            service::pipelines::profiles/2: references receiver "nop" multiple times
            service::pipelines::profiles/2: references exporter "nope" which is not configured
            service::extensions: references extension "e" which is not configured
        "#]],
    );
}

#[test]
fn problems_of_form_are_reported_together() {
    check(
        "{recievers: {}, receivers: {nop: {a: 1}, x/y: , '9': }, exporters: {otlp_grpc: {endpoit: x, timeout: 5, tls: {insecure: maybe, foo: 1}}, debug: 7, ' nop ': , nop: }, service: {telemetry: {unknown: 1, logs: {level: loud}}, pipelines: {profile: }}}",
        &expect![[r#"
            failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s):

            'service.telemetry.logs.level' unrecognized level: "loud"
            'service.telemetry' has invalid keys: unknown
            'service.pipelines.profile' unknown pipeline signal: "profile"
            '' has invalid keys: recievers
            'receivers' error reading configuration for "nop": decoding failed due to the following error(s):

            '' has invalid keys: a
            'receivers' unknown type: "x" for id: "x/y" (valid values: [nop])
            'receivers' invalid character(s) in type "9"
            'exporters' error reading configuration for "otlp_grpc": decoding failed due to the following error(s):

            'tls.insecure' expected type 'bool', got unconvertible type 'string'
            'tls' has invalid keys: foo
            'timeout' time: missing unit in duration "5"
            '' has invalid keys: endpoit
            'exporters' error reading configuration for "debug": decoding failed due to the following error(s):

            '' expected a map or struct, got "int"
            'exporters' duplicate name "nop" after unmarshaling "nop"
        "#]],
    );
}

#[test]
fn what_hearth_does_not_have_is_refused_where_used() {
    check(
        "{receivers: {nop: , otlp: }, processors: {memory_limiter: {check_interval: 1s}}, exporters: {nop: , otlphttp: }, extensions: {health_check: }, connectors: {forward: }, service: {extensions: [health_check], pipelines: {profiles: {receivers: [nop], processors: [memory_limiter], exporters: [nop]}, traces: {receivers: [otlp], exporters: [otlphttp]}}}}",
        &expect![[r#"
            invalid configuration: service::pipelines::traces: Hearth's collector carries profiles only; move this pipeline to another collector
            processors::memory_limiter: this processor is not supported yet by Hearth; remove it; what waits in memory is bounded by each exporter's sending_queue
            extensions::health_check: this extension is not supported yet by Hearth; remove it; probe the metrics endpoint instead
        "#]],
    );
}

#[test]
fn warnings_name_the_key() {
    check(
        "{receivers: {nop: }, processors: {batch: , resource: }, exporters: {otlp: {endpoint: 'http://x:1', balancer_name: pick_first}}, service: {telemetry: {resource: {a: b}, metrics: {readers: [{periodic: {interval: 1}}]}}, pipelines: {profiles: {receivers: [nop], processors: [batch], exporters: [otlp]}}}}",
        &expect![[r#"
            ok
            processors::batch: profiles pass through unchanged: the receiver already sends one batch per reporter_interval
            "otlp" alias is deprecated; use "otlp_grpc" instead
            exporters::otlp::balancer_name: not implemented by Hearth yet, has no effect; one connection is used
            exporters::otlp::endpoint: begins with http:// and is used with TLS all the same; for plain text set tls::insecure: true
            service::telemetry::metrics::readers[0]::periodic: not implemented by Hearth yet, has no effect; only a Prometheus pull reader is served
            service::telemetry::resource: not implemented by Hearth yet, has no effect; remove it
            processors::resource: this processor is not supported yet by Hearth; nothing uses it, so it is left out
        "#]],
    );
}

#[test]
fn telemetry_is_read() {
    let endpoint = |host: &str, port, explicit| MetricsEndpoint { host: host.into(), port, explicit };
    let telemetry = |yaml: &str| {
        let yaml = format!("{GOOD}  telemetry: {yaml}")
            .replace("service: {pipelines", "service:\n  pipelines")
            .replace("[nop]}}}", "[nop]}}");
        load_yaml(&yaml, &Gates::with_profiles()).unwrap().telemetry
    };
    assert_eq!(telemetry("{}").metrics, [endpoint("localhost", 8888, false)]);
    assert_eq!(telemetry("{metrics: {level: none}}").metrics, []);
    assert_eq!(
        telemetry("{metrics: {readers: [{pull: {exporter: {prometheus: {host: 0.0.0.0, port: 9999}}}}]}}")
            .metrics,
        [endpoint("0.0.0.0", 9999, true)]
    );
    let logs = telemetry("{logs: {level: WARN, encoding: json, initial_fields: {a: b}}}");
    assert_eq!((logs.log_level, logs.log_encoding), (LogLevel::Warn, LogEncoding::Json));
    assert_eq!(logs.log_fields, [("a".to_owned(), "b".to_owned())]);
}
