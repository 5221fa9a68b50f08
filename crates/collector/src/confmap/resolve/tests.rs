//! The grammar of references, on made-up variables and files.

use std::collections::HashMap;

use super::*;
use crate::confmap::to_json;

#[derive(Default)]
struct Fake {
    variables: HashMap<&'static str, &'static str>,
    files: HashMap<&'static str, String>,
}

impl Environment for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|&value| value.to_owned())
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| format!("open {path}: no such file or directory"))
    }
}

fn fake() -> Fake {
    Fake {
        variables: [
            ("HOST", "localhost"),
            ("PORT", "3044"),
            ("OS", "ubuntu"),
            ("PR", "amd"),
            ("INT", "1"),
            ("INT32", "32"),
            ("INT64", "64"),
            ("FLOAT32", "3.25"),
            ("FLOAT64", "6.4"),
            ("BOOL", "true"),
            ("TIMESTAMP", "2023-03-20T03:17:55.432328Z"),
            ("COMPLEX_VALUE", "[localhost:3042]"),
            ("EMPTY", ""),
            ("OCTAL", "0123"),
            ("LOOP", "${env:LOOP}x"),
            ("BOMB", "${env:BOMB}${env:BOMB}"),
            ("TREE", "{a: '${env:TREE}', b: '${env:TREE}'}"),
            ("NAME", "HOST"),
        ]
        .into_iter()
        .collect(),
        files: [
            ("x.yaml", "list: [1, 2]\ntext: ${HOST}\n".to_owned()),
            ("/etc/secret", "s3cret: [".to_owned()),
            ("text", "just text".to_owned()),
            ("big", "x".repeat(1 << 20)),
        ]
        .into_iter()
        .collect(),
    }
}

fn value_of(written: &str) -> Result<Value, String> {
    let quoted = serde_json::Value::from(written);
    let resolved = resolve(&[format!("yaml:{{v: {quoted}}}")], &fake(), false);
    resolved.map(|mut resolved| resolved.config.swap_remove("v").unwrap()).map_err(|error| error.to_string())
}

#[test]
#[rustfmt::skip]
fn references_become_what_they_refer_to() {
    let cases = [
        ("plain",                  "plain"),
        ("${env:HOST}",            "localhost"),
        ("${HOST}:${env:PORT}",    "localhost:3044"),
        ("${env:NOPE:-dflt}",      "dflt"),
        ("${env:EMPTY:-dflt}",     ""),
        ("x${env:NOPE}y",          "xy"),
        ("$HOST",                  "$HOST"),
        ("$${HOST}",               "${HOST}"),
        ("$$$${HOST}",             "$${HOST}"),
        ("$$${HOST}",              "$localhost"),
        ("$${A}-${env:HOST}",      "${A}-localhost"),
        ("a$$1",                   "a$1"),
        ("${env:${env:NAME}}",     "localhost"),
        ("${file:text}!",          "just text!"),
        ("${env:OCTAL}",           "0123"),
        ("${yaml:[a, b]}",         "[a, b]"),
    ];
    for (written, want) in cases {
        let value = value_of(written);
        assert_eq!(value.as_ref().map(|value| value.text()), Ok(Some(want)), "{written}");
    }
    assert_eq!(*value_of("${env:OCTAL}").unwrap().parsed(), Value::Int(83));
    assert!(value_of("${env:EMPTY}").unwrap().is_null());
    let file = value_of("${file:x.yaml}").unwrap();
    assert_eq!(to_json(&file).to_string(), r#"{"list":[1,2],"text":"localhost"}"#);
}

#[test]
#[rustfmt::skip]
fn bad_references_are_named() {
    let cases = [
        ("${env:hello.world}",  r#"environment variable "hello.world" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$"#),
        ("${env:$VALUE}",       r#"the uri "env:$VALUE" contains unsupported characters ('$')"#),
        ("${HOST:-x}",          r#"scheme "HOST" is not supported for uri "HOST:-x"; for a variable with a default write ${env:NAME:-default}"#),
        ("${file:nope}",        "unable to read the file file:nope: open nope: no such file or directory"),
        ("${https://x/y}",      "reading configuration over https is not supported by Hearth yet (https://x/y); download the file and name it with --config"),
        ("${env:LOOP}",         "too many recursive expansions"),
    ];
    for (written, want) in cases {
        assert_eq!(value_of(written).unwrap_err(), want, "{written}");
    }
    assert_eq!(value_of("x${env:BOMB}").unwrap_err(), "too many recursive expansions");
    assert!(value_of("x${file:big}").unwrap_err().contains("the text exceeds 1048576 bytes"));
    assert!(value_of("${env:TREE}").unwrap_err().contains("too many recursive expansions"));
}

#[test]
#[rustfmt::skip]
fn sources_that_are_no_maps_are_refused() {
    let cases = [
        ("/nope.yaml",   "cannot retrieve the configuration: unable to read the file file:/nope.yaml: open /nope.yaml: no such file or directory"),
        ("ftp:x",        r#"unsupported scheme on URI "ftp:x""#),
        ("LL:\\test",    r#"unsupported scheme on URI "LL:\\test""#),
        ("file:text",    "retrieved value (type=string) cannot be used as a Conf (in file:text)"),
        ("yaml:[1]",     "retrieved value (type=[]interface {}) cannot be used as a Conf"),
    ];
    for (location, want) in cases {
        let error = resolve(&[location.to_owned()], &fake(), false).unwrap_err().to_string();
        assert_eq!(error, want, "{location}");
    }
    let error = resolve(&["/etc/secret".to_owned()], &fake(), false).unwrap_err().to_string();
    assert!(error.starts_with("retrieved value (type=string) cannot be used as a Conf: assuming string type since"), "{error}");
    assert_eq!(set_location("a.b").unwrap_err().to_string(), "missing equal sign");
}

#[test]
fn later_sources_win_and_set_wins_over_all() {
    let sources = [
        "yaml:{a: {b: 1, c: [1, 2]}, d: {e: 1}}".to_owned(),
        "yaml:{a: {c: [3]}, d: null}".to_owned(),
        "yaml:a::f: {g: 1}".to_owned(),
        set_location("a.b=two").unwrap(),
    ];
    let resolved = resolve(&sources, &fake(), false).unwrap();
    assert_eq!(
        to_json(&Value::Map(resolved.config)).to_string(),
        r#"{"a":{"b":"two","c":[3],"f":{"g":1}},"d":null}"#
    );
}

#[test]
fn merge_append_joins_the_lists_of_a_pipeline() {
    let sources = [
        "yaml:service: {pipelines: {profiles: {receivers: [a], processors: [p], exporters: [x]}}}".to_owned(),
        "yaml:service: {pipelines: {profiles: {receivers: [a, b], processors: [q], exporters: [y]}}}"
            .to_owned(),
    ];
    let resolved = resolve(&sources, &fake(), true).unwrap();
    assert_eq!(
        to_json(&Value::Map(resolved.config)).to_string(),
        r#"{"service":{"pipelines":{"profiles":{"exporters":["x","y"],"processors":["q"],"receivers":["a","b"]}}}}"#
    );
}

#[test]
fn unset_variables_are_reported_once() {
    let sources = ["yaml:{a: \"${env:NOPE}\", b: \"x${NOPE}\"}".to_owned()];
    assert_eq!(resolve(&sources, &fake(), false).unwrap().unset_variables, ["NOPE"]);
}

/// Expectations recorded from the original resolver; they are not part of this repository.
fn recorded(name: &str) -> Option<serde_json::Value> {
    let path = format!("{}/../../../shared/corpora/tables/{name}", env!("CARGO_MANIFEST_DIR"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            println!("skipped: {name} is not present");
            None
        }
    }
}

#[test]
fn expansion_matches_the_recorded_expectations() {
    let Some(table) = recorded("collector_confmap.json") else { return };
    let cases = table["TestResolverExpandStringValues"][0].as_array().unwrap();
    let name = |case: &serde_json::Value| case["name"].as_str().unwrap().to_owned();
    let with_default: Vec<String> = cases
        .iter()
        .filter(|case| case["defaultProvider"] == true)
        .map(|case| name(case).replace("DefaultProvider", ""))
        .collect();
    let mut checked = 0;
    for case in cases {
        // Hearth, as the Collector's binary, always has the default provider.
        let bare = ["NoMatchOldStyleNested"];
        if case["defaultProvider"] != true
            && (with_default.contains(&name(case)) || bare.contains(&&*name(case)))
        {
            continue;
        }
        let input = case["input"].as_str().unwrap().replace("${test:", "${yaml:");
        let value = value_of(&input).unwrap();
        match &case["output"] {
            serde_json::Value::String(want) => assert_eq!(value.text(), Some(want.as_str()), "{case}"),
            want => assert_eq!(to_json(&value), *want, "{case}"),
        }
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}
