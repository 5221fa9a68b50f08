//! Label sets: the identity of a series within its profile type.

use std::fmt;

/// Label names with values, sorted by name, each name once.
///
/// A label with an empty value is the same as no label, as in Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelSet(Box<[(Box<str>, Box<str>)]>);

impl LabelSet {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.0.binary_search_by(|(label, _)| (**label).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for LabelSet {
    /// Later entries replace earlier ones of the same name.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut builder = LabelSetBuilder::default();
        for (name, value) in labels {
            builder.set(name, value);
        }
        builder.build()
    }
}

impl fmt::Display for LabelSet {
    /// The selector that matches these labels: `{name="value", …}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value:?}", if index > 0 { ", " } else { "" })?;
        }
        f.write_str("}")
    }
}

/// A label set in the making.
#[derive(Clone, Debug, Default)]
pub struct LabelSetBuilder(Vec<(Box<str>, Box<str>)>);

impl LabelSetBuilder {
    /// The value of `name` so far.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(label, _)| **label == *name).map(|(_, value)| &**value)
    }

    /// Sets `name`, replacing what it had; an empty value removes it.
    pub fn set(&mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) {
        let (name, value) = (name.into(), value.into());
        if value.is_empty() {
            self.remove(&name);
            return;
        }
        match self.0.iter_mut().find(|(label, _)| *label == name) {
            Some(label) => label.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(label, _)| **label != *name);
    }

    /// Names and values in insertion order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The finished set.
    pub fn build(mut self) -> LabelSet {
        self.0.sort_unstable();
        LabelSet(self.0.into_boxed_slice())
    }
}

impl From<&LabelSet> for LabelSetBuilder {
    fn from(labels: &LabelSet) -> Self {
        Self(labels.0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_distinct_and_never_empty() {
        let labels: LabelSet = [("b", "1"), ("a", "x"), ("b", "2"), ("c", "")].into_iter().collect();
        assert_eq!(labels.to_string(), r#"{a="x", b="2"}"#);
        assert_eq!((labels.get("b"), labels.get("c")), (Some("2"), None));
    }
}
