//! YAML to values, with the rules of the Go library (yaml.v3) the Collector uses.
//!
//! `yes` and `on` are text, `0o17`, `0x1f` and `017` are numbers, duplicate keys are errors, merge
//! keys (`<<`) work. Input is bounded in bytes, depth and values, and what aliases
//! expand to counts, so a few lines cannot become gigabytes.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Map, Value};

/// How large a YAML document may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the text in bytes.
    pub bytes_max: usize,
    /// Levels of nesting.
    pub depth_max: usize,
    /// Values of all kinds, after aliases are expanded.
    pub values_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 4 << 20, depth_max: 100, values_max: 100_000 }
    }
}

/// Text that is not YAML, or more of it than allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: line {line}: {reason}")]
pub struct YamlError {
    /// The line where it was noticed, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// Parses one document within the default [`Limits`].
///
/// # Errors
///
/// [`YamlError`] for text that is not YAML, has duplicate keys or exceeds a limit.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    parse_with(text, Limits::default())
}

/// Parses one document within `limits`.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_with(text: &str, limits: Limits) -> Result<Value, YamlError> {
    if text.len() > limits.bytes_max {
        let reason = format!("document has {} bytes; at most {} are allowed", text.len(), limits.bytes_max);
        return Err(YamlError { line: 1, reason });
    }
    let mut builder = Builder { limits, ..Builder::default() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| YamlError { line: error.marker().line(), reason: error.info().to_owned() })?;
        builder.event(event, span).map_err(|reason| YamlError { line: span.start.line(), reason })?;
    }
    Ok(builder.root.unwrap_or_default())
}

enum Frame {
    List { items: Vec<Value>, anchor: usize },
    Map { map: Map, key: Option<String>, lines: HashMap<String, usize>, merges: Vec<Value>, anchor: usize },
}

#[derive(Default)]
struct Builder {
    limits: Limits,
    root: Option<Value>,
    documents: usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Value>,
    values: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("more than one document; only one is allowed".into());
                }
                Ok(())
            }
            Event::SequenceStart(anchor, _) => self.open(Frame::List { items: Vec::new(), anchor }),
            Event::MappingStart(anchor, _) => self.open(Frame::Map {
                map: Map::new(),
                key: None,
                lines: HashMap::new(),
                merges: Vec::new(),
                anchor,
            }),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Scalar(text, style, anchor, tag) => {
                let is_key = matches!(self.stack.last(), Some(Frame::Map { key: None, .. }));
                let value = if is_key {
                    Value::String(text.into_owned())
                } else {
                    scalar(&text, style, tag.as_deref())?
                };
                self.count(1)?;
                self.add(value, anchor, span)
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or("an alias inside its own anchor or to an unknown one")?;
                self.count(value.node_count())?;
                if self.stack.len() + value.depth() > self.limits.depth_max {
                    return Err(self.too_deep());
                }
                self.add(value, 0, span)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn too_deep(&self) -> String {
        format!("nested more than {} levels deep", self.limits.depth_max)
    }

    fn count(&mut self, values: usize) -> Result<(), String> {
        self.values = self.values.saturating_add(values);
        if self.values > self.limits.values_max {
            return Err(format!(
                "document has more than {} values once aliases are expanded",
                self.limits.values_max
            ));
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame) -> Result<(), String> {
        if matches!(self.stack.last(), Some(Frame::Map { key: None, .. })) {
            return Err("only text can be a key of a mapping".into());
        }
        if self.stack.len() >= self.limits.depth_max {
            return Err(self.too_deep());
        }
        self.count(1)?;
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), String> {
        match self.stack.pop() {
            Some(Frame::List { items, anchor }) => self.add(Value::List(items), anchor, span),
            Some(Frame::Map { mut map, merges, anchor, .. }) => {
                for merged in merges {
                    merge_key(&mut map, merged)?;
                }
                self.count(map.len())?;
                self.add(Value::Map(map), anchor, span)
            }
            None => Ok(()),
        }
    }

    fn add(&mut self, value: Value, anchor: usize, span: Span) -> Result<(), String> {
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
            self.count(value.node_count())?;
        }
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::List { items, .. }) => items.push(value),
            Some(Frame::Map { map, key, lines, merges, .. }) => match key.take() {
                None => {
                    let Value::String(text) = value else {
                        return Err("only text can be a key of a mapping".into());
                    };
                    if let Some(first) = lines.insert(text.clone(), span.start.line()) {
                        return Err(format!("mapping key {text:?} already defined at line {first}"));
                    }
                    *key = Some(text);
                }
                Some(key) if key == "<<" => merges.push(value),
                Some(key) => {
                    map.insert(key, value);
                }
            },
        }
        Ok(())
    }
}

/// `<<: *base` or `<<: [*a, *b]`: keys that are not there yet.
fn merge_key(map: &mut Map, merged: Value) -> Result<(), String> {
    match merged {
        Value::Map(base) => {
            for (key, value) in base {
                map.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::List(bases) => bases.into_iter().try_for_each(|base| match base {
            Value::Map(_) => merge_key(map, base),
            _ => Err("map merge requires map or sequence of maps as the value".into()),
        }),
        _ => Err("map merge requires map or sequence of maps as the value".into()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { plain(text) } else { Value::String(text.into()) });
    };
    if !tag.is_yaml_core_schema() {
        return Ok(Value::String(text.into()));
    }
    let resolved = plain(text);
    let fits = match (tag.suffix.as_str(), &resolved) {
        ("str" | "binary" | "timestamp", _) => return Ok(Value::String(text.into())),
        ("int", Value::Int(_)) | ("bool", Value::Bool(_)) | ("null", Value::Null) => true,
        ("float", Value::Float(_)) => true,
        #[expect(clippy::cast_precision_loss, reason = "the writer asked for a float")]
        ("float", Value::Int(number)) => return Ok(Value::Float(*number as f64)),
        _ => false,
    };
    if fits { Ok(resolved) } else { Err(format!("cannot decode {text:?} as a !!{}", tag.suffix)) }
}

/// What an unquoted scalar means.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Value::String(text.into());
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Value::Int(number);
    }
    if is_float(&digits)
        && let Ok(number) = digits.parse()
    {
        return Value::Float(number);
    }
    Value::String(text.into())
}

fn integer(text: &str) -> Option<i64> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &magnitude[2..]),
        [b'0', b'o' | b'O', ..] => (8, &magnitude[2..]),
        [b'0', b'b' | b'B', ..] => (2, &magnitude[2..]),
        [b'0', _, ..] => (8, &magnitude[1..]),
        _ => (10, magnitude),
    };
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let number = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -number } else { number }).ok()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, which Rust's parser is wider than.
fn is_float(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa && exponent.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn plain_scalars_mean_what_they_mean_to_the_collector() {
        let text = |text: &str| Value::String(text.into());
        let cases = [
            ("null", Value::Null),           ("~", Value::Null),               ("true", Value::Bool(true)),
            ("yes", text("yes")),            ("on", text("on")),               ("12", Value::Int(12)),
            ("-7", Value::Int(-7)),          ("0123", Value::Int(83)),         ("0o17", Value::Int(15)),
            ("0xdeadbeef", Value::Int(0xdead_beef)), ("1_000", Value::Int(1000)), ("089", Value::Float(89.0)),
            ("1e3", Value::Float(1000.0)),   ("1.5", Value::Float(1.5)),       (".5", Value::Float(0.5)),
            ("1.2.3", text("1.2.3")),        ("5s", text("5s")),               ("-", text("-")),
            ("inf", text("inf")),            ("nan", text("nan")),             ("0x", text("0x")),
            ("localhost:4317", text("localhost:4317")),
            ("99999999999999999999", Value::Float(99_999_999_999_999_999_999.0)),
        ];
        for (written, want) in cases {
            assert_eq!(plain(written), want, "{written}");
        }
    }

    #[test]
    fn documents_keep_order_merge_keys_and_quoted_text() {
        let value = parse("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: '3'\nlist: [a, !!str 1]\n").unwrap();
        let map = value.as_map().unwrap();
        assert_eq!(map.keys().collect::<Vec<_>>(), ["base", "use", "list"]);
        let used = map["use"].as_map().unwrap();
        assert_eq!((&used["x"], &used["y"]), (&Value::Int(1), &Value::String("3".into())));
        assert_eq!(map["list"], Value::List(vec![Value::String("a".into()), Value::String("1".into())]));
        assert_eq!(parse("").unwrap(), Value::Null);
        assert_eq!(parse("# only a comment\n").unwrap(), Value::Null);
    }

    #[test]
    fn what_is_not_one_small_document_is_refused_with_its_line() {
        let bomb: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned())
            .chain((1..12).map(|level| {
                let below = format!("*a{}, ", level - 1).repeat(10);
                format!("a{level}: &a{level} [{below}]\n")
            }))
            .collect();
        let deep = "[".repeat(150);
        let abyss = "[".repeat(5000);
        let cases: [(&str, &str, &str); 8] = [
            ("duplicate key", "a: 1\na: 2\n", r#"yaml: line 2: mapping key "a" already defined at line 1"#),
            ("alias bomb", &bomb, "more than 100000 values"),
            ("deep nesting", &deep, "nested more than 100 levels deep"),
            ("nesting beyond the parser's own limit", &abyss, "yaml: line 1: "),
            ("two documents", "a: 1\n---\nb: 2\n", "more than one document"),
            ("unclosed", "a: [1, 2\n", "yaml: line "),
            ("complex key", "[a]: 1\n", "only text can be a key"),
            ("self alias", "a: &a [*a]\n", "alias"),
        ];
        for (case, text, want) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{case}: {error}");
        }
        let limits = Limits { bytes_max: 3, ..Limits::default() };
        assert!(parse_with("a: 1", limits).unwrap_err().to_string().contains("4 bytes; at most 3"));
    }
}
