//! YAML text to a tree that still knows what was quoted and where everything stood.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Deepest nesting; real configurations have about five levels.
const DEPTH_MAX: usize = 32;
/// Most nodes in one document.
const NODES_MAX: usize = 100_000;

/// A value with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The line where it begins, from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A scalar; `plain` if it was written without quotes.
    Scalar {
        /// Its text.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text, each key once.
    Map(Vec<(String, Node)>),
}

/// A text that is no YAML this program reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(super) struct YamlError {
    /// Where.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Node {
    /// Whether the value is absent: nothing, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What kind of value this is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { .. } if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads one document; an empty text is an empty mapping.
pub(super) fn parse(text: &str) -> Result<Node, YamlError> {
    let mut loader = Loader { parser: Parser::new_from_str(text), nodes: 0 };
    loop {
        let (event, span) = loader.next()?;
        match event {
            Event::StreamEnd => return Ok(Node { line: 1, value: Value::Map(Vec::new()) }),
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            event => {
                let root = loader.node(event, span, 0)?;
                loader.end()?;
                return Ok(root);
            }
        }
    }
}

struct Loader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    nodes: usize,
}

impl<'t> Loader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        match self.parser.next() {
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(YamlError {
                line: error.marker().line(),
                reason: format!("invalid YAML: {}", error.info()),
            }),
        }
    }

    fn end(&mut self) -> Result<(), YamlError> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentEnd | Event::Nothing => {}
                _ => {
                    let reason = "a second document; a configuration is a single one".to_owned();
                    return Err(YamlError { line: span.start.line(), reason });
                }
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let line = span.start.line();
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            let reason = format!("nested deeper than {DEPTH_MAX} levels or longer than {NODES_MAX} values");
            return Err(YamlError { line, reason });
        }
        let value = match event {
            Event::Scalar(text, style, ..) => {
                Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            _ => {
                let reason = "aliases are not supported; write the value out".to_owned();
                return Err(YamlError { line, reason });
            }
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(YamlError { line, reason: "a key must be a single value".to_owned() }),
            };
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(YamlError { line, reason: format!("the key {key:?} occurs twice") });
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            entries.push((key, node));
        }
    }
}

/// Replaces `${NAME}` and `${NAME:-default}` by values of the environment, as
/// `-config.expand-env` asks; `$$` before a brace is a literal `$`.
pub(super) fn expand_env(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, YamlError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let line = text[..text.len() - rest.len() + at].lines().count().max(1);
        if rest[..at].ends_with('$') {
            expanded.push_str(&rest[..at]);
            expanded.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        expanded.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            return Err(YamlError { line, reason: "\"${\" has no closing brace".to_owned() });
        };
        let inner = &rest[at + 2..at + end];
        let (name, default) = match inner.split_once(":-").or_else(|| inner.split_once(":=")) {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if name.is_empty() || !name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') {
            return Err(YamlError { line, reason: format!("${{{inner}}}: not the name of a variable") });
        }
        let value = lookup(name).filter(|value| !value.is_empty());
        expanded.push_str(value.as_deref().or(default).unwrap_or_default());
        rest = &rest[at + end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_line() {
        for (text, line, reason) in [
            ("a: 1\nb: [", 2, "invalid YAML"),
            ("a: 1\na: 2", 2, "occurs twice"),
            ("a: &x 1\nb: *x", 2, "aliases"),
            ("a: 1\n---\nb: 2", 2, "second document"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.reason.contains(reason), "{text:?}: {error}");
            assert!(error.line >= line, "{text:?}: {error}");
        }
        assert_eq!(parse("").unwrap().value, Value::Map(Vec::new()));
        assert!(parse(&"[".repeat(100)).is_err());
    }

    #[test]
    #[rustfmt::skip]
    fn environment_variables_are_expanded() {
        let lookup = |name: &str| (name == "PORT").then(|| "4041".to_owned());
        let cases = [
            ("port: ${PORT}",          Ok("port: 4041")),
            ("port: ${HOST:-x}:$1",    Ok("port: x:$1")),
            ("port: ${HOST}",          Ok("port: ")),
            ("port: $${PORT}",         Ok("port: ${PORT}")),
            ("port: ${PORT",           Err("no closing brace")),
            ("port: ${P ORT}",         Err("not the name")),
        ];
        for (text, want) in cases {
            let got = expand_env(text, lookup);
            match want {
                Ok(want) => assert_eq!(got.as_deref(), Ok(want), "{text}"),
                Err(want) => assert!(got.unwrap_err().reason.contains(want), "{text}"),
            }
        }
    }
}
