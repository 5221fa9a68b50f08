//! How Pyroscope names what its clients send: application names, metrics, profile types.
//!
//! Dashboards and alerts hold these names, so they are the same here.

use std::collections::HashMap;

use hearth_profile::{LabelSetBuilder, ValueType};
use serde::Deserialize;

/// What a client says about a sample type: one entry of `sample_type_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct TypeConfig {
    /// The name by which the metric is found.
    #[serde(rename = "display-name")]
    pub display_name: String,
    /// Whether values grow over the process's life, so that two profiles must be subtracted.
    pub cumulative: bool,
}

/// The configuration of all sample types; replaced as a whole by what a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Types(HashMap<String, TypeConfig>);

impl Default for Types {
    fn default() -> Self {
        let entry = |name: &str, display_name: &str, cumulative| {
            (name.to_owned(), TypeConfig { display_name: display_name.to_owned(), cumulative })
        };
        let entries = [
            entry("samples", "cpu", false),
            entry("goroutine", "goroutines", false),
            entry("contentions", "mutex_count", true),
            entry("delay", "mutex_duration", true),
            entry("alloc_objects", "", true),
            entry("alloc_space", "", true),
        ];
        Self(entries.into_iter().collect())
    }
}

impl Types {
    /// Reads the JSON of a client.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// Whether the values of a type grow over the process's life.
    pub(crate) fn is_cumulative(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|config| config.cumulative)
    }
}

/// The metric of a profile with these sample types.
pub(crate) fn metric<'n>(names: impl IntoIterator<Item = &'n str> + Clone, types: &Types) -> String {
    if names.clone().into_iter().any(|name| name == "wall") {
        return "wall".to_owned();
    }
    let mut last = "";
    for name in names {
        let shown = types.0.get(name).map_or("", |config| config.display_name.as_str());
        let shown = if shown.is_empty() { name } else { shown };
        let has = |part: &str| shown.contains(part);
        let metric = if has("cpu") {
            "process_cpu"
        } else if has("alloc_") || has("inuse_") || matches!(shown, "space" | "objects") {
            "memory"
        } else if has("mutex_") {
            "mutex"
        } else if has("block_") {
            "block"
        } else if has("goroutines") {
            "goroutines"
        } else {
            last = name;
            continue;
        };
        return metric.to_owned();
    }
    last.to_owned()
}

/// What the last part of an application's name says about a profile without types of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The metric.
    pub metric: &'static str,
    /// What values count.
    pub sample: (&'static str, &'static str),
    /// What triggers a sample.
    pub period: (&'static str, &'static str),
    /// Whether values are numbers of samples, to be multiplied with the period.
    pub timed: bool,
}

impl Named {
    /// The sample type.
    pub(crate) fn sample_type(&self) -> ValueType {
        ValueType::new(self.sample.0, self.sample.1)
    }

    /// The period type.
    pub(crate) fn period_type(&self) -> ValueType {
        ValueType::new(self.period.0, self.period.1)
    }
}

const NANOSECONDS: &str = "nanoseconds";
const fn named(metric: &'static str, name: &'static str, unit: &'static str) -> Named {
    Named { metric, sample: (name, unit), period: ("", ""), timed: false }
}
const CPU: Named =
    Named { metric: "process_cpu", sample: ("cpu", NANOSECONDS), period: ("cpu", NANOSECONDS), timed: true };

/// Memory, for files that say nothing but that they count bytes.
pub(crate) const MEMORY: Named = named("memory", "alloc_space", "bytes");

/// By the last part of the name.
const BY_SUFFIX: [(&str, Named); 19] = [
    ("cpu", CPU),
    ("itimer", CPU),
    (
        "wall",
        Named { metric: "wall", sample: ("wall", NANOSECONDS), period: ("cpu", NANOSECONDS), timed: true },
    ),
    ("inuse_objects", named("memory", "inuse_objects", "count")),
    ("inuse_space", named("memory", "inuse_space", "bytes")),
    ("alloc_objects", named("memory", "alloc_objects", "count")),
    ("alloc_space", named("memory", "alloc_space", "bytes")),
    ("goroutines", named("goroutine", "goroutines", "count")),
    ("mutex_count", named("mutex", "contentions", "count")),
    ("mutex_duration", named("mutex", "delay", NANOSECONDS)),
    ("block_count", named("block", "contentions", "count")),
    ("block_duration", named("block", "delay", NANOSECONDS)),
    ("lock_count", named("block", "contentions", "count")),
    ("lock_duration", named("block", "delay", NANOSECONDS)),
    ("alloc_in_new_tlab_objects", named("memory", "alloc_in_new_tlab_objects", "count")),
    ("alloc_in_new_tlab_bytes", named("memory", "alloc_in_new_tlab_bytes", "bytes")),
    ("alloc_outside_tlab_objects", named("memory", "alloc_outside_tlab_objects", "count")),
    ("live", named("memory", "live", "count")),
    ("exceptions", named("exceptions", "samples", "count")),
];

/// The service and the type of an application's name: `shop.cpu`. Without a type it is CPU.
pub(crate) fn split_application(name: &str) -> (&str, Named) {
    let Some((service, suffix)) = name.rsplit_once('.') else { return (name, CPU) };
    match BY_SUFFIX.iter().find(|(known, _)| *known == suffix) {
        Some((_, named)) if !service.is_empty() => (service, *named),
        _ => (name, CPU),
    }
}

/// Reads `name{key=value,…}`: an application and its labels. Labels of clients whose names begin
/// with two underscores are dropped.
pub(crate) fn parse_application(text: &str) -> Result<(String, LabelSetBuilder), String> {
    let (name, rest) = match text.split_once('{') {
        Some((name, rest)) => {
            let inside = rest.trim_end().strip_suffix('}');
            (name, inside.ok_or_else(|| format!("name: {:?} has no closing brace", shown(text)))?)
        }
        None => (text, ""),
    };
    let name = name.trim();
    if name.is_empty() {
        return Err(format!("name: {:?} names no application; expected name{{key=value,…}}", shown(text)));
    }
    let mut labels = LabelSetBuilder::default();
    for pair in rest.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("name: {:?} is no label; expected key=value", shown(pair)))?;
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|char| char.is_alphanumeric() || "_.-/".contains(char)) {
            return Err(format!(
                "name: {:?} is no label name; expected letters, digits, _ . - and /",
                shown(key)
            ));
        }
        if !key.starts_with("__") {
            labels.set(key, value.trim().trim_matches('"'));
        }
    }
    Ok((name.to_owned(), labels))
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn metrics_are_named_as_in_pyroscope() {
        let cases: [(&[&str], &str); 10] = [
            (&["samples", "cpu"],                                                  "process_cpu"),
            (&["samples", "wall"],                                                 "wall"),
            (&["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"],    "memory"),
            (&["objects", "space"],                                                "memory"),
            (&["contentions", "delay"],                                            "mutex"),
            (&["goroutine"],                                                       "goroutines"),
            (&["block_count"],                                                     "block"),
            (&["exceptions"],                                                      "exceptions"),
            (&["a", "b"],                                                          "b"),
            (&[],                                                                  ""),
        ];
        for (names, want) in cases {
            assert_eq!(metric(names.iter().copied(), &Types::default()), want, "{names:?}");
        }
        let config = br#"{"contentions": {"display-name": "block_count", "units": "lock_samples", "cumulative": true}}"#;
        let types = Types::from_json(config).unwrap();
        assert_eq!(metric(["contentions", "delay"], &types), "block");
        assert!(types.is_cumulative("contentions") && !types.is_cumulative("alloc_space"));
    }

    #[test]
    #[rustfmt::skip]
    fn applications_have_a_service_labels_and_a_type() {
        let cases = [
            ("shop.cpu{env=prod, region=\"eu\"}",  "shop",     "process_cpu", "cpu",         r#"{env="prod", region="eu"}"#),
            ("shop",                               "shop",     "process_cpu", "cpu",         "{}"),
            ("my.shop",                            "my.shop",  "process_cpu", "cpu",         "{}"),
            ("my.shop.inuse_space{}",              "my.shop",  "memory",      "inuse_space", "{}"),
            ("a.lock_duration{__x__=1,b=}",        "a",        "block",       "delay",       "{}"),
            (".cpu",                               ".cpu",     "process_cpu", "cpu",         "{}"),
        ];
        for (text, service, metric, sample, labels) in cases {
            let (name, got) = parse_application(text).unwrap();
            let (named, kind) = split_application(&name);
            assert_eq!((named, kind.metric, kind.sample.0), (service, metric, sample), "{text}");
            assert_eq!(got.build().to_string(), labels, "{text}");
        }
        for (text, want) in [("", "names no application"), ("{a=b}", "names no application"), ("x{a=b", "no closing brace"), ("x{a}", "is no label;"), ("x{a b=c}", "is no label name")] {
            let error = parse_application(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
