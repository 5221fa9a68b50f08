//! Reading a section of the configuration into typed fields, collecting every problem.
//!
//! A component's configuration function walks its keys with the getters of [`Section`]; each leaves
//! the field at its default where nothing is written. What it did not ask for is an unknown key. Keys
//! of the original that Hearth does not implement are named with [`Section::not_implemented`], so that
//! they are neither unknown nor ignored in silence.

use std::time::Duration;

use crate::confmap::{Map, Value};
use crate::duration;

/// A complaint about one place of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Keys from the section's root, joined by `::`; empty for the section itself.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// Everything found while reading a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Keys and types that do not fit, in the Collector's words.
    pub decode: Vec<String>,
    /// Values that fit their type and make no sense.
    pub invalid: Vec<Remark>,
    /// What works differently than written.
    pub warnings: Vec<Remark>,
}

/// What to do with a key of the original that is not implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Go on with a warning: the effect is comfort or tuning.
    Warn,
    /// Refuse: going on would do something else than was asked for.
    Refuse,
}

/// A mapping of the configuration while it is read.
#[derive(Debug)]
pub struct Section<'v, 'p> {
    map: Option<&'v Map>,
    path: Vec<String>,
    known: Vec<&'static str>,
    problems: &'p mut Problems,
}

/// Numbers that can be read, with Go's name for messages.
pub trait Integer: TryFrom<i64> {
    /// The type's name in Go.
    const NAME: &'static str;
}

macro_rules! integers {
    ($($rust:ty => $go:literal),*) => { $(impl Integer for $rust { const NAME: &'static str = $go; })* };
}
integers!(u8 => "uint8", u16 => "uint16", u32 => "uint32", u64 => "uint64", usize => "int", i32 => "int32", i64 => "int64");

/// Reads one section: `read` takes what it knows, the rest is reported.
///
/// `value` may be null (all defaults) or a mapping.
pub fn read_section<T>(
    value: &Value,
    problems: &mut Problems,
    read: impl FnOnce(&mut Section<'_, '_>) -> T,
) -> T {
    let mut section = Section { map: None, path: Vec::new(), known: Vec::new(), problems };
    section.accept(value);
    let result = read(&mut section);
    section.finish();
    result
}

impl<'v> Section<'v, '_> {
    fn accept(&mut self, value: &'v Value) {
        match value.parsed() {
            Value::Null => {}
            Value::Map(map) => self.map = Some(map),
            _ => {
                let message =
                    format!("'{}' expected a map or struct, got {:?}", self.dotted(None), value.type_name());
                self.problems.decode.push(message);
            }
        }
    }

    fn dotted(&self, key: Option<&str>) -> String {
        let mut parts: Vec<&str> = self.path.iter().map(String::as_str).collect();
        parts.extend(key);
        parts.join(".")
    }

    fn finish(&mut self) {
        let Some(map) = self.map else { return };
        let mut unknown: Vec<&str> =
            map.keys().map(String::as_str).filter(|key| !self.known.contains(key)).collect();
        if !unknown.is_empty() {
            unknown.sort_unstable();
            self.problems.decode.push(format!(
                "'{}' has invalid keys: {}",
                self.dotted(None),
                unknown.join(", ")
            ));
        }
    }

    /// The value under `key`, which from now on is a known key.
    pub fn value(&mut self, key: &'static str) -> Option<&'v Value> {
        self.known.push(key);
        self.map?.get(key)
    }

    /// The value under `key` if something is written there.
    fn written(&mut self, key: &'static str) -> Option<&'v Value> {
        self.value(key).filter(|value| !value.is_null())
    }

    fn unconvertible(&mut self, key: &str, expected: &str, value: &Value) {
        let message = format!(
            "'{}' expected type '{expected}', got unconvertible type '{}'",
            self.dotted(Some(key)),
            value.type_name()
        );
        self.problems.decode.push(message);
    }

    /// Reports a value that does not fit, with the Collector's quoting of the key.
    pub fn decode_error(&mut self, key: &str, message: &str) {
        let message = format!("'{}' {message}", self.dotted(Some(key)));
        self.problems.decode.push(message);
    }

    fn remark(&self, key: &str, message: impl Into<String>) -> Remark {
        let mut parts: Vec<&str> = self.path.iter().map(String::as_str).collect();
        parts.extend(Some(key).filter(|key| !key.is_empty()));
        Remark { path: parts.join("::"), message: message.into() }
    }

    /// Reports a value that makes no sense; an empty `key` means the section itself.
    pub fn invalid(&mut self, key: &str, message: impl Into<String>) {
        let remark = self.remark(key, message);
        self.problems.invalid.push(remark);
    }

    /// Reports what works differently than written.
    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        let remark = self.remark(key, message);
        self.problems.warnings.push(remark);
    }

    /// Text.
    pub fn string(&mut self, key: &'static str, into: &mut String) {
        let Some(value) = self.value(key) else { return };
        match value.text() {
            Some(text) => text.clone_into(into),
            None if value.is_null() => {}
            None => self.unconvertible(key, "string", value),
        }
    }

    /// A truth value.
    pub fn bool(&mut self, key: &'static str, into: &mut bool) {
        let Some(value) = self.written(key) else { return };
        match value.parsed() {
            Value::Bool(flag) => *into = *flag,
            _ => self.unconvertible(key, "bool", value),
        }
    }

    /// A whole number that fits the field's type.
    pub fn integer<T: Integer>(&mut self, key: &'static str, into: &mut T) {
        let Some(value) = self.written(key) else { return };
        let number = match value.parsed() {
            Value::Int(number) => *number,
            // Go accepts a float without fraction.
            #[expect(clippy::cast_possible_truncation, reason = "bounded by the guard")]
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => *number as i64,
            _ => return self.unconvertible(key, T::NAME, value),
        };
        match T::try_from(number) {
            Ok(number) => *into = number,
            Err(_) => self
                .decode_error(key, &format!("cannot parse value as '{}': {number} is out of range", T::NAME)),
        }
    }

    /// Any number.
    pub fn float(&mut self, key: &'static str, into: &mut f64) {
        let Some(value) = self.written(key) else { return };
        match value.parsed() {
            #[expect(clippy::cast_precision_loss, reason = "configuration values are small")]
            Value::Int(number) => *into = *number as f64,
            Value::Float(number) => *into = *number,
            _ => self.unconvertible(key, "float64", value),
        }
    }

    /// A duration; a bare number is refused because the Collector would take it as nanoseconds.
    pub fn duration(&mut self, key: &'static str, into: &mut Duration) {
        let Some(value) = self.written(key) else { return };
        let parsed = match value.parsed() {
            Value::Int(0) => Ok(Duration::ZERO),
            Value::Int(number) => duration::parse(&number.to_string()),
            Value::String(text) => duration::parse(text),
            _ => return self.unconvertible(key, "time.Duration", value),
        };
        match parsed {
            Ok(duration) => *into = duration,
            Err(message) => self.decode_error(key, &message),
        }
    }

    /// A list of texts; one text alone is refused, as by the Collector.
    pub fn strings(&mut self, key: &'static str, into: &mut Vec<String>) {
        let Some(value) = self.written(key) else { return };
        let Value::List(items) = value.parsed() else {
            return self.unconvertible(key, "[]string", value);
        };
        into.clear();
        for (index, item) in items.iter().enumerate() {
            match item.text() {
                Some(text) => into.push(text.into()),
                None => self.unconvertible(&format!("{key}[{index}]"), "string", item),
            }
        }
    }

    /// Names and texts, written as a mapping or as a list of `{name, value}`.
    pub fn pairs(&mut self, key: &'static str, into: &mut Vec<(String, String)>) {
        let Some(value) = self.written(key) else { return };
        let entries: Vec<(String, &Value)> = match value.parsed() {
            Value::Map(map) => map.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::List(items) => items
                .iter()
                .filter_map(|item| {
                    let map = item.as_map()?;
                    Some((map.get("name")?.text()?.to_owned(), map.get("value")?))
                })
                .collect(),
            _ => return self.unconvertible(key, "map[string]string", value),
        };
        if let Value::List(items) = value.parsed()
            && items.len() != entries.len()
        {
            return self
                .decode_error(key, "expected a map, or a list of entries with the keys name and value");
        }
        into.clear();
        for (name, value) in entries {
            match value.text() {
                Some(text) => into.push((name, text.into())),
                None if value.is_null() => into.push((name, String::new())),
                None => self.unconvertible(&format!("{key}[{name}]"), "string", value),
            }
        }
    }

    /// A section below this one; not read at all if nothing is written under `key`.
    ///
    /// Returns whether the key is present, even if empty.
    pub fn child(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, '_>)) -> bool {
        let Some(value) = self.value(key) else { return false };
        self.nested(key, value, read);
        true
    }

    /// A section that stands for itself under a key not known in advance.
    pub fn nested(&mut self, key: &str, value: &Value, read: impl FnOnce(&mut Section<'_, '_>)) {
        let mut path = self.path.clone();
        path.push(key.into());
        let mut section = Section { map: None, path, known: Vec::new(), problems: &mut *self.problems };
        section.accept(value);
        read(&mut section);
        section.finish();
    }

    /// Keys and values, for sections whose keys are names.
    pub fn entries(&mut self) -> Vec<(&'v str, &'v Value)> {
        let entries: Vec<_> =
            self.map.into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect();
        self.map = None;
        entries
    }

    /// A key of the original that is not implemented: silent at its default, else as `missing` says.
    ///
    /// `default` is what the original does without the key, as text (`"false"`, `"0"`, `"5s"`); empty
    /// lists, empty mappings, empty text and null always count as not written.
    pub fn not_implemented(&mut self, key: &'static str, default: &str, missing: Missing, advice: &str) {
        let Some(value) = self.written(key) else { return };
        let at_default = match value.parsed() {
            Value::Bool(flag) => flag.to_string() == default,
            Value::Int(number) => number.to_string() == default,
            Value::Float(number) => {
                default.parse::<f64>().is_ok_and(|default| default.to_bits() == number.to_bits())
            }
            Value::String(text) => {
                let same_duration = || Some(duration::parse(text).ok()? == duration::parse(default).ok()?);
                text.is_empty() || text == default || same_duration().unwrap_or(false)
            }
            Value::List(items) => items.is_empty(),
            Value::Map(map) => map.is_empty(),
            Value::Null | Value::Expanded(_) => true,
        };
        if at_default {
            return;
        }
        match missing {
            Missing::Warn => {
                self.warn(key, format!("not implemented by Hearth yet, has no effect; {advice}"))
            }
            Missing::Refuse => self.invalid(key, format!("not supported yet by Hearth; {advice}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::confmap::{Environment, parse, resolve};

    #[derive(Debug)]
    struct Fields {
        text: String,
        flag: bool,
        small: u8,
        ratio: f64,
        every: Duration,
        list: Vec<String>,
        pairs: Vec<(String, String)>,
        deep: u32,
    }

    fn read(section: &mut Section<'_, '_>) -> Fields {
        let mut fields = Fields {
            text: "default".into(),
            flag: true,
            small: 7,
            ratio: 0.5,
            every: Duration::from_secs(5),
            list: vec!["a".into()],
            pairs: Vec::new(),
            deep: 1,
        };
        section.string("text", &mut fields.text);
        section.bool("flag", &mut fields.flag);
        section.integer("small", &mut fields.small);
        section.float("ratio", &mut fields.ratio);
        section.duration("every", &mut fields.every);
        section.strings("list", &mut fields.list);
        section.pairs("pairs", &mut fields.pairs);
        section.child("sub", |sub| {
            sub.integer("deep", &mut fields.deep);
            sub.not_implemented("tuning", "5s", Missing::Warn, "remove it");
            sub.not_implemented("danger", "false", Missing::Refuse, "remove it");
        });
        fields
    }

    fn check(yaml: &str, want: &Expect) {
        let value = parse(yaml).unwrap();
        let mut problems = Problems::default();
        let fields = read_section(&value, &mut problems, read);
        want.assert_eq(&format!("{fields:?}\n{problems:#?}\n"));
    }

    #[test]
    fn nothing_written_means_defaults() {
        check(
            "sub: {tuning: 5000ms, danger: false}",
            &expect![[r#"
                Fields { text: "default", flag: true, small: 7, ratio: 0.5, every: 5s, list: ["a"], pairs: [], deep: 1 }
                Problems {
                    decode: [],
                    invalid: [],
                    warnings: [],
                }
            "#]],
        );
    }

    #[test]
    fn what_is_written_is_read() {
        check(
            "{text: x, flag: false, small: 8, ratio: 1, every: 1m, list: [b], pairs: [{name: n, value: v}], sub: {deep: 3}}",
            &expect![[r#"
                Fields { text: "x", flag: false, small: 8, ratio: 1.0, every: 60s, list: ["b"], pairs: [("n", "v")], deep: 3 }
                Problems {
                    decode: [],
                    invalid: [],
                    warnings: [],
                }
            "#]],
        );
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        check(
            "{text: 1, flag: yes, small: 300, ratio: x, every: 5, list: a, pairs: [1], zz: 1, aa: 2, sub: {deep: -1, tuning: 6s, danger: true, what: 1}}",
            &expect![[r#"
                Fields { text: "default", flag: true, small: 7, ratio: 0.5, every: 5s, list: ["a"], pairs: [], deep: 1 }
                Problems {
                    decode: [
                        "'text' expected type 'string', got unconvertible type 'int'",
                        "'flag' expected type 'bool', got unconvertible type 'string'",
                        "'small' cannot parse value as 'uint8': 300 is out of range",
                        "'ratio' expected type 'float64', got unconvertible type 'string'",
                        "'every' time: missing unit in duration \"5\"",
                        "'list' expected type '[]string', got unconvertible type 'string'",
                        "'pairs' expected a map, or a list of entries with the keys name and value",
                        "'sub.deep' cannot parse value as 'uint32': -1 is out of range",
                        "'sub' has invalid keys: what",
                        "'' has invalid keys: aa, zz",
                    ],
                    invalid: [
                        Remark {
                            path: "sub::danger",
                            message: "not supported yet by Hearth; remove it",
                        },
                    ],
                    warnings: [
                        Remark {
                            path: "sub::tuning",
                            message: "not implemented by Hearth yet, has no effect; remove it",
                        },
                    ],
                }
            "#]],
        );
    }

    struct OneVariable(String);

    impl Environment for OneVariable {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "ENV" => Some(self.0.clone()),
                "ENV_VALUE" => Some("testreceiver".into()),
                _ => None,
            }
        }

        fn read_file(&self, path: &str) -> Result<String, String> {
            Err(format!("open {path}: no such file or directory"))
        }
    }

    /// Expectations recorded from the original; they are not part of this repository.
    #[test]
    fn type_casting_matches_the_recorded_expectations() {
        let name = "collector_confmap_types.json";
        let path = format!("{}/../../../shared/corpora/tables/{name}", env!("CARGO_MANIFEST_DIR"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: {name} is not present");
            return;
        };
        let table: serde_json::Value = serde_json::from_str(&text).unwrap();
        for case in table["TestStrictTypeCasting"][0].as_array().unwrap() {
            let target = case["targetField"]["$id"].as_str().unwrap();
            let written = if target == "TargetFieldInlineString" {
                "inline field with ${env:ENV} expansion"
            } else {
                "${env:ENV}"
            };
            let variable = OneVariable(case["value"].as_str().unwrap().into());
            let resolved = resolve(&[format!("yaml:field: {written}")], &variable, false);
            if let Some(want) = case["resolveErr"].as_str() {
                assert!(resolved.unwrap_err().to_string().contains(want), "{case}");
                continue;
            }
            let mut problems = Problems::default();
            let (mut number, mut flag, mut text, mut list) = (0i64, false, String::new(), Vec::new());
            read_section(&Value::Map(resolved.unwrap().config), &mut problems, |section| match target {
                "TargetFieldInt" => section.integer("field", &mut number),
                "TargetFieldBool" => section.bool("field", &mut flag),
                "TargetFieldSlice" => section.strings("field", &mut list),
                _ => section.string("field", &mut text),
            });
            if let Some(want) = case["unmarshalErr"].as_str() {
                let want = want.replace("'int', got", "'int64', got");
                assert!(problems.decode.join("\n").contains(&want), "{case}: {problems:?}");
                continue;
            }
            assert_eq!(problems, Problems::default(), "{case}");
            let got: serde_json::Value = match target {
                "TargetFieldInt" => number.into(),
                "TargetFieldBool" => flag.into(),
                "TargetFieldSlice" => list.into(),
                _ => text.into(),
            };
            assert_eq!(got, case["expected"], "{case}");
        }
    }
}
