//! The tree of configuration values.

use indexmap::IndexMap;

/// Keys and values in the order written.
pub type Map = IndexMap<String, Value>;

/// One value of a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping; keys are text.
    Map(Map),
    /// What a `${…}` that made up the whole value became.
    Expanded(Box<Expanded>),
}

/// A value from a reference, in both forms a field may want.
#[derive(Clone, Debug, PartialEq)]
pub struct Expanded {
    /// The text parsed as YAML.
    pub value: Value,
    /// The text itself, for fields that take text.
    pub original: String,
}

impl Value {
    /// The value without its original text.
    pub fn parsed(&self) -> &Self {
        match self {
            Self::Expanded(expanded) => expanded.value.parsed(),
            other => other,
        }
    }

    /// The text that a field of type text takes from this; `None` if it is not text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Expanded(expanded) => Some(&expanded.original),
            _ => None,
        }
    }

    /// Whether nothing is written here.
    pub fn is_null(&self) -> bool {
        *self.parsed() == Self::Null
    }

    /// The mapping, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self.parsed() {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The type's name as Collector messages print it, which is Go's.
    pub fn type_name(&self) -> &'static str {
        match self.parsed() {
            Self::Null => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::String(_) | Self::Expanded(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
        }
    }

    /// How many values the tree has, this one included.
    pub fn node_count(&self) -> usize {
        match self {
            Self::List(items) => items.iter().map(Self::node_count).sum::<usize>() + 1,
            Self::Map(map) => map.values().map(Self::node_count).sum::<usize>() + 1,
            Self::Expanded(expanded) => expanded.value.node_count(),
            _ => 1,
        }
    }

    /// How many levels the tree has; a scalar has one.
    pub fn depth(&self) -> usize {
        match self {
            Self::List(items) => items.iter().map(Self::depth).max().unwrap_or(0) + 1,
            Self::Map(map) => map.values().map(Self::depth).max().unwrap_or(0) + 1,
            Self::Expanded(expanded) => expanded.value.depth(),
            _ => 1,
        }
    }
}

/// Merges `newer` into `older`: maps key by key, anything else replaces, an explicit null too.
pub(super) fn merge(older: &mut Map, newer: Map) {
    for (key, value) in newer {
        match (older.get_mut(&key), value) {
            (Some(Value::Map(below)), Value::Map(map)) => merge(below, map),
            (Some(slot), value) => *slot = value,
            (None, value) => {
                older.insert(key, value);
            }
        }
    }
}

/// Turns keys such as `a::b` at the top of a source into nested maps.
pub(super) fn split_paths(flat: Map) -> Map {
    let mut map = Map::new();
    for (key, mut value) in flat {
        let mut parts: Vec<&str> = key.split("::").collect();
        let first = parts.remove(0);
        for part in parts.into_iter().rev() {
            value = Value::Map([(part.to_owned(), value)].into_iter().collect());
        }
        merge(&mut map, [(first.to_owned(), value)].into_iter().collect());
    }
    map
}
