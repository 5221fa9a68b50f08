//! Messages of the command line.

use super::*;

const GATE: &str = "--feature-gates=service.profilesSupport";

fn pyroscope() -> String {
    format!("--config={}/testdata/pyroscope.yaml", env!("CARGO_MANIFEST_DIR"))
}

fn command(args: &[&str]) -> Result<String, String> {
    let args = std::iter::once("hearth-agent").chain(args.iter().copied());
    run(Cli::try_parse_from(args).map_err(|error| error.to_string())?)
}

#[test]
fn the_published_configuration_is_valid_unchanged() {
    assert_eq!(command(&["validate", &pyroscope(), GATE]), Ok(String::new()));
    assert_eq!(command(&[&pyroscope(), GATE, "validate"]), Ok(String::new()));
}

#[test]
#[rustfmt::skip]
fn mistakes_are_named() {
    let file = pyroscope();
    let gate = "service::pipelines: pipeline \"profiles\": profiling signal support is at alpha level, gated under the \"service.profilesSupport\" feature gate";
    let prefixed = format!("invalid configuration: {gate}");
    let cases: [(&[&str], &str); 13] = [
        (&[],                                 "at least one config flag must be provided"),
        (&["validate"],                       "at least one config flag must be provided"),
        (&["--config=/nope.yaml"],            "failed to get config: cannot resolve the configuration: cannot retrieve the configuration: unable to read the file file:/nope.yaml: open /nope.yaml: no such file or directory"),
        (&[&file],                            &prefixed),
        (&["validate", &file],                gate),
        (&["validate", &file, "--feature-gates=-service.profilesSupport"], gate),
        (&[&file, "--feature-gates=nope"],    "no such feature gate \"nope\". valid gates: [confmap.enableMergeAppendOption service.profilesSupport]"),
        (&["validate", &file, GATE, "--set=exporters.otlp_grpc"], "invalid argument \"exporters.otlp_grpc\" for \"--set\" flag: missing equal sign"),
        (&["validate", &file, GATE, "--set=exporters.otlp_grpc.endpoint="], "exporters::otlp_grpc: requires a non-empty \"endpoint\""),
        (&["validate", &file, GATE, "--set=exporters.otlp_grpc.endpoit=x"],
            "failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s):\n\n'exporters' error reading configuration for \"otlp_grpc\": decoding failed due to the following error(s):\n\n'' has invalid keys: endpoit"),
        (&["validate", &file, GATE, "--set=receivers.profiling.samples_per_second=0"], "receivers::profiling::samples_per_second: 0 is out of range; expected 1 to 1000 per CPU"),
        (&["validate", &file, GATE, "--set=receivers.profiling.samples_per_second=x"],
            "failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s):\n\n'receivers' error reading configuration for \"profiling\": decoding failed due to the following error(s):\n\n'samples_per_second' expected type 'uint32', got unconvertible type 'string'"),
        (&["validate", &file, GATE, "--set=processors.nosuch.x=1"],
            "failed to get config: cannot unmarshal the configuration: decoding failed due to the following error(s):\n\n'processors' unknown type: \"nosuch\" for id: \"nosuch\" (valid values: [batch])"),
    ];
    for (args, want) in cases {
        assert_eq!(command(args).unwrap_err(), want, "{args:?}");
    }
}

#[test]
fn the_other_commands_answer() {
    assert_eq!(command(&["--version"]), Ok(format!("hearth-agent version {}\n", env!("CARGO_PKG_VERSION"))));
    assert!(command(&["components"]).unwrap().contains("- name: profiling"));
    assert!(command(&["featuregate"]).unwrap().contains("service.profilesSupport"));
    let printed = command(&["print-config", &pyroscope(), GATE, "--format=json"]).unwrap();
    assert!(printed.contains("\"samples_per_second\": 97"), "{printed}");
    let set = "--set=exporters.otlp_grpc.headers.authorization=s3cret";
    let printed = command(&["print-initial-config", &pyroscope(), set, "--validate=false"]).unwrap();
    assert!(printed.contains("authorization: \"[REDACTED]\""), "{printed}");
    assert!(command(&["print-config", &pyroscope()]).unwrap_err().contains("feature gate"));
}
