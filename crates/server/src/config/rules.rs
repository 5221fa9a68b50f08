//! Relabeling rules as they are written in YAML or JSON.

use super::suggestion;
use super::yaml::{Node, Value};
use crate::relabel::{Action, Rule, RuleConfig};

const KEYS: [&str; 7] =
    ["source_labels", "separator", "regex", "modulus", "target_label", "replacement", "action"];

/// Reads a list of rules.
pub(super) fn rules_from(node: &Node) -> Result<Vec<Rule>, String> {
    match &node.value {
        Value::List(rules) => rules
            .iter()
            .enumerate()
            .map(|(index, rule)| rule_from(rule).map_err(|reason| format!("rule {}: {reason}", index + 1)))
            .collect(),
        Value::Map(entries) if entries.is_empty() => Ok(Vec::new()),
        _ if node.is_null() => Ok(Vec::new()),
        _ => Err(format!("is {}; expected a list of relabeling rules", node.kind())),
    }
}

fn rule_from(node: &Node) -> Result<Rule, String> {
    let Value::Map(entries) = &node.value else {
        return Err(format!("is {}; expected a mapping with {}", node.kind(), KEYS.join(", ")));
    };
    let mut rule = RuleConfig::default();
    for (key, value) in entries {
        match key.as_str() {
            "source_labels" => rule.source_labels = labels(value)?,
            "separator" => rule.separator = text(key, value)?,
            "regex" => rule.regex = text(key, value)?,
            "target_label" => rule.target_label = text(key, value)?,
            "replacement" => rule.replacement = text(key, value)?,
            "modulus" => {
                let text = text(key, value)?;
                rule.modulus =
                    text.parse().map_err(|_| format!("modulus: {text:?} is not a whole number"))?;
            }
            "action" => {
                let name = text(key, value)?;
                rule.action = Action::from_name(&name).ok_or_else(|| {
                    format!("action: {name:?} is unknown; expected one of {}", Action::names())
                })?;
            }
            _ => return Err(format!("unknown key {key}{}", suggestion(key, KEYS.into_iter()))),
        }
    }
    Rule::new(rule)
}

fn text(key: &str, node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(text.clone()),
        _ => Err(format!("{key}: is {}; expected a single value", node.kind())),
    }
}

fn labels(node: &Node) -> Result<Vec<String>, String> {
    match &node.value {
        Value::List(items) => items.iter().map(|item| text("source_labels", item)).collect(),
        _ => Err(format!("source_labels: is {}; expected a list of label names", node.kind())),
    }
}
