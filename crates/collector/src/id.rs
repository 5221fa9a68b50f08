//! Component ids: `type[/name]`.

use std::fmt;

/// What role a component plays; each has its own section in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Brings profiles in.
    Receiver,
    /// Changes them on the way.
    Processor,
    /// Sends them on.
    Exporter,
    /// Joins two pipelines.
    Connector,
    /// Serves the others, outside pipelines.
    Extension,
}

impl Kind {
    /// All kinds, in the order configurations list them.
    pub const ALL: [Self; 5] =
        [Self::Receiver, Self::Processor, Self::Exporter, Self::Connector, Self::Extension];

    /// `receiver`, `processor`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Processor => "processor",
            Self::Exporter => "exporter",
            Self::Connector => "connector",
            Self::Extension => "extension",
        }
    }

    /// The configuration's section: `receivers`, `processors`, …
    pub fn section(self) -> &'static str {
        match self {
            Self::Receiver => "receivers",
            Self::Processor => "processors",
            Self::Exporter => "exporters",
            Self::Connector => "connectors",
            Self::Extension => "extensions",
        }
    }
}

/// An id as written, split in its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId {
    /// The component's type, or an alias of it.
    pub type_name: String,
    /// What tells two components of a type apart; often empty.
    pub name: String,
}

/// A text that is no id. The texts are the Collector's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(String);

impl ComponentId {
    /// Reads `type[/name]`; spaces around the parts are dropped.
    ///
    /// # Errors
    ///
    /// [`IdError`] for an empty part or a character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let id = text.trim();
        if id.is_empty() {
            return Err(IdError("id must not be empty".into()));
        }
        let (type_name, name) = match id.split_once('/') {
            Some((type_name, name)) => (type_name.trim(), Some(name.trim())),
            None => (id, None),
        };
        if type_name.is_empty() {
            return Err(IdError(format!("in {id:?} id: the part before / should not be empty")));
        }
        if name == Some("") {
            return Err(IdError(format!("in {id:?} id: the part after / should not be empty")));
        }
        let mut bytes = type_name.bytes();
        let valid = type_name.len() <= 63
            && bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !valid {
            return Err(IdError(format!("invalid character(s) in type {type_name:?}")));
        }
        let name = name.unwrap_or_default();
        let length = name.chars().count();
        if length > 1024 {
            return Err(IdError(format!(
                "name {name:?} is longer than 1024 characters ({length} characters)"
            )));
        }
        let forbidden =
            |c: char| c.is_whitespace() || c.is_control() || (c.is_ascii() && "$+<=>^`|~".contains(c));
        if name.contains(forbidden) {
            return Err(IdError(format!("invalid character(s) in name {name:?}")));
        }
        Ok(Self { type_name: type_name.into(), name: name.into() })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.type_name)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn ids_are_checked_with_the_collectors_texts() {
        let long = format!("a/{}", "x".repeat(1025));
        let cases: [(&str, Result<&str, &str>); 10] = [
            ("otlp",        Ok("otlp")),
            (" otlp / two ", Ok("otlp/two")),
            ("otlp/a/b",    Ok("otlp/a/b")),
            ("",            Err("id must not be empty")),
            ("/x",          Err(r#"in "/x" id: the part before / should not be empty"#)),
            ("x/",          Err(r#"in "x/" id: the part after / should not be empty"#)),
            ("9x",          Err(r#"invalid character(s) in type "9x""#)),
            ("o-tlp",       Err(r#"invalid character(s) in type "o-tlp""#)),
            ("a/b c",       Err(r#"invalid character(s) in name "b c""#)),
            (&long,         Err("is longer than 1024 characters (1025 characters)")),
        ];
        for (text, want) in cases {
            match (ComponentId::parse(text), want) {
                (Ok(id), Ok(want)) => assert_eq!(id.to_string(), want, "{text:?}"),
                (Err(error), Err(want)) => assert!(error.to_string().ends_with(want), "{text:?}: {error}"),
                (got, want) => panic!("{text:?}: {got:?}, expected {want:?}"),
            }
        }
    }
}
