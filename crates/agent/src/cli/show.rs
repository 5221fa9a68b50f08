//! What the sub-commands print.

use std::fmt::Write;

use hearth_collector::confmap::{Map, Value, to_json, to_yaml};
use hearth_collector::gates::{Gate, KNOWN};
use hearth_collector::{Gates, Kind, Registry};

use super::{Format, Mode};

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The components as YAML, in the Collector's layout with a column for profiles.
pub(super) fn components(registry: &Registry) -> String {
    let build = crate::agent::build_info();
    let mut root = Map::new();
    let info = [
        ("command", text(build.command)),
        ("description", text(build.description)),
        ("version", text(build.version)),
    ];
    root.insert("buildinfo".into(), map(info));
    for kind in Kind::ALL {
        let list = registry.list(kind).into_iter().map(|(name, stability)| {
            let module = format!("hearth {}", env!("CARGO_PKG_VERSION"));
            let stability = map([("profiles", text(stability.name()))]);
            map([("name", text(name)), ("module", text(module)), ("stability", stability)])
        });
        root.insert(kind.section().into(), Value::List(list.collect()));
    }
    let providers = ["env", "file", "yaml"].map(|scheme| map([("scheme", text(scheme))]));
    root.insert("providers".into(), Value::List(providers.into()));
    to_yaml(&Value::Map(root))
}

/// A table of gates, or one of them.
pub(super) fn feature_gates(id: Option<&str>, gates: &Gates) -> Result<String, String> {
    let chosen: Vec<&Gate> = KNOWN.iter().filter(|gate| id.is_none_or(|id| gate.id == id)).collect();
    if let (Some(id), true) = (id, chosen.is_empty()) {
        return Err(format!("feature {id:?} not found"));
    }
    let width = chosen.iter().map(|gate| gate.id.len()).max().unwrap_or(0);
    let mut out = format!("{:width$}  Enabled  Stage  Description\n", "ID");
    for gate in chosen {
        let stage = gate.stage.name();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{:width$}  {:7}  {stage:5}  {}",
            gate.id,
            gates.enabled(gate.id),
            gate.description
        );
    }
    Ok(out)
}

/// The configuration as text.
pub(super) fn config(config: Map, mode: Mode, format: Format) -> String {
    let mut value = Value::Map(config);
    if mode == Mode::Redacted {
        redact(&mut value, false);
    }
    match format {
        Format::Yaml => to_yaml(&value),
        Format::Json => format!("{:#}\n", to_json(&value)),
    }
}

/// Keys whose value, and everything below it, is a secret.
fn is_secret(key: &str) -> bool {
    const SECRET: [&str; 11] = [
        "headers",
        "ca_pem",
        "cert_pem",
        "key_pem",
        "password",
        "token",
        "client_secret",
        "secret",
        "api_key",
        "inline",
        "bearer_token",
    ];
    SECRET.contains(&key)
}

fn redact(value: &mut Value, secret: bool) {
    match value {
        Value::Map(map) => map.iter_mut().for_each(|(key, value)| redact(value, secret || is_secret(key))),
        // A list of headers is `{name, value}` pairs; the names may be seen.
        Value::List(items) => items.iter_mut().for_each(|value| redact(value, secret)),
        Value::Null => {}
        other if secret => *other = text("[REDACTED]"),
        Value::Expanded(expanded) => redact(&mut expanded.value, secret),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use hearth_collector::confmap::parse;

    use super::*;

    #[test]
    fn components_are_listed() {
        expect![[r#"
            buildinfo:
                command: hearth-agent
                description: Hearth agent
                version: 0.1.0
            receivers:
                - name: nop
                  module: hearth 0.1.0
                  stability:
                      profiles: Alpha
                - name: profiling
                  module: hearth 0.1.0
                  stability:
                      profiles: Development
            processors:
                - name: batch
                  module: hearth 0.1.0
                  stability:
                      profiles: Alpha
            exporters:
                - name: debug
                  module: hearth 0.1.0
                  stability:
                      profiles: Alpha
                - name: nop
                  module: hearth 0.1.0
                  stability:
                      profiles: Alpha
                - name: otlp_grpc
                  module: hearth 0.1.0
                  stability:
                      profiles: Alpha
            connectors: []
            extensions: []
            providers:
                - scheme: env
                - scheme: file
                - scheme: yaml
        "#]]
        .assert_eq(&components(&crate::registry()));
    }

    #[test]
    fn gates_are_listed() {
        expect![[r#"
            ID                       Enabled  Stage  Description
            service.profilesSupport  true     Alpha  Controls whether profiles support can be enabled
        "#]]
        .assert_eq(&feature_gates(Some("service.profilesSupport"), &Gates::with_profiles()).unwrap());
        assert_eq!(feature_gates(Some("x"), &Gates::default()).unwrap_err(), "feature \"x\" not found");
    }

    #[test]
    fn secrets_are_not_printed_unless_asked_for() {
        let Value::Map(written) = parse(
            "{a: {headers: {authorization: s3cret, x: [s3cret]}, tls: {key_pem: s3cret, ca_file: /x}}}",
        )
        .unwrap() else {
            panic!("a map")
        };
        let redacted = config(written.clone(), Mode::Redacted, Format::Json);
        assert!(
            !redacted.contains("s3cret") && redacted.contains("[REDACTED]") && redacted.contains("/x"),
            "{redacted}"
        );
        assert!(config(written, Mode::Unredacted, Format::Yaml).contains("s3cret"));
    }
}
