//! From `--config` and `--set` to one tree: read, merge, expand.

use std::io::Read;

use super::value::{merge, split_paths};
use super::{Expanded, Map, Value, parse};

/// Rounds of replacement after which a configuration is taken to refer to itself.
const ROUNDS_MAX: usize = 1000;
/// Length of one text while references in it are replaced.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Values of the whole tree while references in it are replaced.
const VALUES_MAX: usize = 100_000;
/// Levels of the whole tree while references in it are replaced.
const DEPTH_MAX: usize = 100;
/// Length of one configuration file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the providers read from; a trait so that tests need neither files nor variables.
pub trait Environment {
    /// The value of an environment variable; `None` if it is not set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// The text to show, such as `open /x: no such file or directory`.
    fn read_file(&self, path: &str) -> Result<String, String>;
}

/// The variables and files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        let explain = |action: &str, error: &std::io::Error| {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".into(),
                std::io::ErrorKind::PermissionDenied => "permission denied".into(),
                std::io::ErrorKind::IsADirectory => "is a directory".into(),
                _ => error.to_string(),
            };
            format!("{action} {path}: {reason}")
        };
        let file = std::fs::File::open(path).map_err(|error| explain("open", &error))?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| explain("read", &error))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("read {path}: file is larger than {FILE_BYTES_MAX} bytes"));
        }
        String::from_utf8(bytes).map_err(|_| format!("read {path}: file is not UTF-8 text"))
    }
}

/// Why no tree could be made; the text names the source or reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResolveError(String);

/// A configuration with nothing left to look up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// The tree.
    pub config: Map,
    /// Names of variables that were referred to and are not set.
    pub unset_variables: Vec<String>,
}

/// The source that a `--set key.sub=value` stands for.
///
/// # Errors
///
/// `missing equal sign` if there is none.
pub fn set_location(argument: &str) -> Result<String, ResolveError> {
    let (path, value) = argument.split_once('=').ok_or_else(|| ResolveError("missing equal sign".into()))?;
    Ok(format!("yaml:{}: {}", path.trim().replace('.', "::"), value.trim()))
}

/// Reads `locations` in order, merges them (later wins) and replaces all references.
///
/// With `merge_append` (the gate `confmap.enableMergeAppendOption`) the lists of a pipeline's
/// receivers and exporters and of the service's extensions are appended instead of replaced.
///
/// # Errors
///
/// [`ResolveError`] with the Collector's text: an unknown scheme, an unreadable file, a source that is
/// no map, an invalid variable name, a reference without end.
pub fn resolve(
    locations: &[String],
    environment: &dyn Environment,
    merge_append: bool,
) -> Result<Resolved, ResolveError> {
    let mut resolver = Resolver { environment, unset_variables: Vec::new() };
    let mut config = Map::new();
    for location in locations {
        let mut source = resolver.source(location)?;
        if merge_append {
            append_lists(&config, &mut source);
        }
        merge(&mut config, source);
    }
    let mut config = Value::Map(config);
    resolver.expand_fully(&mut config)?;
    unescape(&mut config);
    let Value::Map(config) = config else {
        return Err(ResolveError("the configuration is not a map".into()));
    };
    Ok(Resolved { config, unset_variables: resolver.unset_variables })
}

/// Prepends to the newer source's component lists what the older has and they lack.
fn append_lists(older: &Map, newer: &mut Map) {
    let service = |map: &Map| map.get("service").and_then(Value::as_map).cloned();
    let (Some(below), Some(Value::Map(above))) = (service(older), newer.get_mut("service")) else { return };
    let join = |old: Option<&Value>, new: Option<&mut Value>| {
        if let (Some(Value::List(old)), Some(Value::List(new))) = (old, new) {
            let mut joined = old.clone();
            joined.extend(new.iter().filter(|item| !old.contains(item)).cloned());
            *new = joined;
        }
    };
    join(below.get("extensions"), above.get_mut("extensions"));
    let old_pipelines = below.get("pipelines").and_then(Value::as_map);
    if let (Some(old), Some(Value::Map(new))) = (old_pipelines, above.get_mut("pipelines")) {
        for (id, pipeline) in new {
            if let (Some(Value::Map(old)), Value::Map(new)) = (old.get(id), pipeline) {
                for list in ["receivers", "exporters"] {
                    join(old.get(list), new.get_mut(list));
                }
            }
        }
    }
}

/// What a provider returned: the parsed value, its text, and why it is only text.
struct Retrieved {
    value: Value,
    text: String,
    hint: Option<String>,
}

impl Retrieved {
    /// Text as YAML; text that is not YAML, and a YAML string, is itself.
    fn from_yaml(text: String) -> Self {
        match parse(&text) {
            Err(error) => Self {
                value: Value::String(text.clone()),
                text,
                hint: Some(format!("assuming string type since contents are not valid YAML: {error}")),
            },
            Ok(Value::String(_)) => Self { value: Value::String(text.clone()), text, hint: None },
            Ok(value) => Self { value, text, hint: None },
        }
    }
}

struct Location<'a> {
    scheme: &'a str,
    opaque: &'a str,
}

impl<'a> Location<'a> {
    fn parse(uri: &'a str) -> Option<Self> {
        let (scheme, opaque) = uri.split_once(':')?;
        let mut bytes = scheme.bytes();
        let valid = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            && scheme.len() > 1
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
        valid.then_some(Self { scheme, opaque })
    }
}

struct Resolver<'a> {
    environment: &'a dyn Environment,
    unset_variables: Vec<String>,
}

impl Resolver<'_> {
    fn source(&mut self, written: &str) -> Result<Map, ResolveError> {
        let drive = matches!(written.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
        let uri = if drive || !written.contains(':') { format!("file:{written}") } else { written.into() };
        let location = Location::parse(&uri)
            .filter(|location| ["env", "file", "yaml", "http", "https"].contains(&location.scheme))
            .ok_or_else(|| ResolveError(format!("unsupported scheme on URI {uri:?}")))?;
        let retrieved = self
            .retrieve(&location, &uri)
            .map_err(|error| ResolveError(format!("cannot retrieve the configuration: {error}")))?;
        match retrieved.value {
            Value::Null => Ok(Map::new()),
            Value::Map(map) => Ok(split_paths(map)),
            other => {
                let hint = retrieved.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
                // Which of several sources it was; inline text speaks for itself.
                let source = if location.scheme == "yaml" { String::new() } else { format!(" (in {uri})") };
                Err(ResolveError(format!(
                    "retrieved value (type={}) cannot be used as a Conf{hint}{source}",
                    other.type_name()
                )))
            }
        }
    }

    fn retrieve(&mut self, location: &Location<'_>, uri: &str) -> Result<Retrieved, String> {
        match location.scheme {
            "yaml" => Ok(Retrieved::from_yaml(location.opaque.into())),
            "env" => self.variable(location.opaque).map(Retrieved::from_yaml),
            "file" => self
                .environment
                .read_file(location.opaque)
                .map(Retrieved::from_yaml)
                .map_err(|error| format!("unable to read the file {uri}: {error}")),
            "http" | "https" => Err(format!(
                "reading configuration over {} is not supported by Hearth yet ({uri}); \
                 download the file and name it with --config",
                location.scheme
            )),
            scheme => Err(format!(
                "scheme {scheme:?} is not supported for uri {uri:?}; \
                 for a variable with a default write ${{env:NAME:-default}}"
            )),
        }
    }

    fn variable(&mut self, opaque: &str) -> Result<String, String> {
        let (name, default) = match opaque.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (opaque, None),
        };
        let mut bytes = name.bytes();
        let valid = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !valid {
            return Err(format!(
                "environment variable {name:?} has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$"
            ));
        }
        match (self.environment.variable(name), default) {
            (Some(value), _) => Ok(value),
            (None, Some(default)) => Ok(default.into()),
            (None, None) => {
                if !self.unset_variables.iter().any(|known| known == name) {
                    self.unset_variables.push(name.into());
                }
                Ok(String::new())
            }
        }
    }

    fn expand_fully(&mut self, root: &mut Value) -> Result<(), ResolveError> {
        for _ in 0..ROUNDS_MAX {
            if !self.expand(root).map_err(ResolveError)? {
                return Ok(());
            }
            if root.node_count() > VALUES_MAX || root.depth() > DEPTH_MAX {
                return Err(ResolveError(format!(
                    "too many recursive expansions: more than {VALUES_MAX} values or {DEPTH_MAX} levels"
                )));
            }
        }
        Err(ResolveError("too many recursive expansions".into()))
    }

    /// One round; whether anything changed.
    fn expand(&mut self, value: &mut Value) -> Result<bool, String> {
        match value {
            Value::String(text) => match self.expand_text(text)? {
                Some(expanded) => {
                    *value = expanded;
                    Ok(true)
                }
                None => Ok(false),
            },
            Value::List(items) => {
                items.iter_mut().try_fold(false, |changed, item| Ok(self.expand(item)? | changed))
            }
            Value::Map(map) => {
                map.values_mut().try_fold(false, |changed, item| Ok(self.expand(item)? | changed))
            }
            Value::Expanded(expanded) => {
                let changed = self.expand(&mut expanded.value)?;
                if matches!(expanded.value, Value::String(_) | Value::Expanded(_)) {
                    *value = std::mem::take(&mut expanded.value);
                    return Ok(changed);
                }
                match self.expand_text(&expanded.original) {
                    Ok(None) => Ok(changed),
                    Ok(Some(Value::String(text))) => {
                        expanded.original = text;
                        Ok(true)
                    }
                    // The text is not usable as text: only the parsed form remains.
                    Ok(Some(_)) | Err(_) => {
                        *value = std::mem::take(&mut expanded.value);
                        Ok(changed)
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Ok(false),
        }
    }

    fn expand_text(&mut self, text: &str) -> Result<Option<Value>, String> {
        let Some(range) = find_reference(text) else { return Ok(None) };
        let reference = &text[range.clone()];
        let inside = &reference[2..reference.len() - 1];
        let uri = if inside.contains(':') { inside.to_owned() } else { format!("env:{inside}") };
        let location = Location::parse(&uri).ok_or_else(|| format!("invalid uri: {uri:?}"))?;
        if location.opaque.contains('$') {
            return Err(format!("the uri {uri:?} contains unsupported characters ('$')"));
        }
        let retrieved = self.retrieve(&location, &uri)?;
        if reference.len() == text.len() {
            let expanded = Expanded { value: retrieved.value, original: retrieved.text };
            return Ok(Some(Value::Expanded(Box::new(expanded))));
        }
        let replacement = retrieved.text;
        if text.len() + replacement.len() > TEXT_BYTES_MAX {
            return Err(format!("expanding {reference}: the text exceeds {TEXT_BYTES_MAX} bytes"));
        }
        Ok(Some(Value::String([&text[..range.start], &replacement, &text[range.end..]].concat())))
    }
}

/// The first `${…}` that is complete, innermost and not escaped.
fn find_reference(text: &str) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    while let Some(close) = text[from..].find('}').map(|at| from + at) {
        if let Some(open) = text[from..close].rfind("${").map(|at| from + at) {
            let dollars = text[..open].bytes().rev().take_while(|&byte| byte == b'$').count();
            if dollars % 2 == 0 {
                return Some(open..close + 1);
            }
        }
        from = close + 1;
    }
    None
}

/// `$$` becomes `$` once nothing is left to replace.
fn unescape(value: &mut Value) {
    let once = |text: &mut String| {
        if text.contains("$$") {
            *text = text.replace("$$", "$");
        }
    };
    match value {
        Value::String(text) => once(text),
        Value::List(items) => items.iter_mut().for_each(unescape),
        Value::Map(map) => map.values_mut().for_each(unescape),
        Value::Expanded(expanded) => {
            unescape(&mut expanded.value);
            once(&mut expanded.original);
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
    }
}

#[cfg(test)]
mod tests;
