//! Relabeling: Prometheus' rules, which change the labels of a series before it is stored.

use hearth_profile::LabelSetBuilder;
use regex::{Regex, RegexBuilder};

use crate::md5::md5;

/// Largest compiled regular expression, in bytes.
const REGEX_MAX: usize = 1 << 20;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets the target to the expanded replacement if the regex matches the joined sources.
    Replace,
    /// Drops series whose joined sources do not match.
    Keep,
    /// Drops series whose joined sources match.
    Drop,
    /// Drops series whose joined sources differ from the target.
    KeepEqual,
    /// Drops series whose joined sources equal the target.
    DropEqual,
    /// Sets the target to the joined sources' MD5 modulo `modulus`.
    HashMod,
    /// Copies each label whose name matches to the name the replacement gives.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets the target to the joined sources in lower case.
    Lowercase,
    /// Sets the target to the joined sources in upper case.
    Uppercase,
}

impl Action {
    /// All actions with the names they have in a configuration.
    const NAMES: [(&str, Self); 11] = [
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("drop", Self::Drop),
        ("keepequal", Self::KeepEqual),
        ("dropequal", Self::DropEqual),
        ("hashmod", Self::HashMod),
        ("labelmap", Self::LabelMap),
        ("labeldrop", Self::LabelDrop),
        ("labelkeep", Self::LabelKeep),
        ("lowercase", Self::Lowercase),
        ("uppercase", Self::Uppercase),
    ];

    /// The action with this name; case does not matter.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, action)| *action)
    }

    /// The action's name in a configuration.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        Self::NAMES.map(|(name, _)| name).join(", ")
    }
}

/// A rule as written, with Prometheus' defaults.
#[derive(Clone, Debug)]
pub struct RuleConfig {
    /// Labels whose values are joined.
    pub source_labels: Vec<String>,
    /// What joins them. Default `;`.
    pub separator: String,
    /// What must match, as a whole. Default `(.*)`.
    pub regex: String,
    /// For [`Action::HashMod`]; 1 or more.
    pub modulus: u64,
    /// The label to set.
    pub target_label: String,
    /// The value or name to set, with `$1` for groups. Default `$1`.
    pub replacement: String,
    /// What the rule does. Default replace.
    pub action: Action,
}

impl Default for RuleConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex: "(.*)".to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: "$1".to_owned(),
            action: Action::Replace,
        }
    }
}

/// A rule that is known to make sense.
#[derive(Clone, Debug)]
pub struct Rule {
    config: RuleConfig,
    regex: Regex,
}

impl Rule {
    /// Checks a rule.
    ///
    /// # Errors
    ///
    /// What is missing or wrong, naming the key.
    pub fn new(config: RuleConfig) -> Result<Self, String> {
        let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(REGEX_MAX).nest_limit(50).build();
        let regex = build(&config.regex)
            .and_then(|_| build(&format!("^(?s:{})$", config.regex)))
            .map_err(|error| format!("regex: {:?} is no regular expression: {error}", config.regex))?;
        let needs_target = matches!(
            config.action,
            Action::Replace
                | Action::HashMod
                | Action::Lowercase
                | Action::Uppercase
                | Action::KeepEqual
                | Action::DropEqual
        );
        if needs_target && config.target_label.is_empty() {
            return Err("target_label: missing; this action needs the label to set".to_owned());
        }
        if config.action == Action::HashMod && config.modulus == 0 {
            return Err("modulus: 0 is out of range; hashmod expects 1 or more".to_owned());
        }
        Ok(Self { config, regex })
    }

    /// What the rule does.
    pub fn action(&self) -> Action {
        self.config.action
    }

    /// Whether the outcome of this rule may depend on the label `name`.
    pub fn reads(&self, name: &str) -> bool {
        let RuleConfig { source_labels, target_label, action, .. } = &self.config;
        match action {
            Action::LabelMap => self.regex.is_match(name),
            Action::LabelDrop | Action::LabelKeep => false,
            Action::KeepEqual | Action::DropEqual => {
                target_label == name || source_labels.iter().any(|source| source == name)
            }
            _ => source_labels.iter().any(|source| source == name),
        }
    }

    /// Applies the rule; `false` says that the series is dropped.
    fn apply(&self, labels: &mut LabelSetBuilder) -> bool {
        let RuleConfig { source_labels, separator, target_label, replacement, modulus, action, .. } =
            &self.config;
        let sources: Vec<&str> =
            source_labels.iter().map(|name| labels.get(name).unwrap_or_default()).collect();
        let joined = sources.join(separator);
        match action {
            Action::Keep => return self.regex.is_match(&joined),
            Action::Drop => return !self.regex.is_match(&joined),
            Action::KeepEqual => return labels.get(target_label).unwrap_or_default() == joined,
            Action::DropEqual => return labels.get(target_label).unwrap_or_default() != joined,
            Action::Replace => self.replace(labels, &joined),
            Action::HashMod => labels.set(target_label.as_str(), hash_mod(&joined, *modulus).to_string()),
            Action::Lowercase => labels.set(target_label.as_str(), joined.to_lowercase()),
            Action::Uppercase => labels.set(target_label.as_str(), joined.to_uppercase()),
            Action::LabelMap => {
                let copies: Vec<(String, String)> = labels
                    .iter()
                    .filter_map(|(name, value)| Some((self.expand(name, replacement)?, value.to_owned())))
                    .collect();
                for (name, value) in copies.into_iter().filter(|(name, _)| !name.is_empty()) {
                    labels.set(name, value);
                }
            }
            Action::LabelDrop | Action::LabelKeep => {
                let keep = *action == Action::LabelKeep;
                let names: Vec<String> = labels.iter().map(|(name, _)| name.to_owned()).collect();
                names
                    .iter()
                    .filter(|name| self.regex.is_match(name) != keep)
                    .for_each(|name| labels.remove(name));
            }
        }
        true
    }

    fn replace(&self, labels: &mut LabelSetBuilder, joined: &str) {
        let Some(target) = self.expand(joined, &self.config.target_label) else { return };
        if target.is_empty() {
            return;
        }
        // An empty value removes the label, as everywhere.
        labels.set(target, self.expand(joined, &self.config.replacement).unwrap_or_default());
    }

    /// `template` with the groups of the match in `text`, or `None` without a match.
    fn expand(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let mut expanded = String::new();
        captures.expand(template, &mut expanded);
        Some(expanded)
    }
}

/// Applies all rules in order; `false` says that the series is dropped.
pub(crate) fn apply(rules: &[Rule], labels: &mut LabelSetBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// Checks rules that choose sample types: they can only keep or drop.
pub(crate) fn check_type_rules(rules: &[Rule]) -> Result<(), String> {
    let wrong = |rule: &Rule| !matches!(rule.action(), Action::Keep | Action::Drop);
    match rules.iter().position(wrong) {
        None => Ok(()),
        Some(at) => Err(format!(
            "rule at pos {at}: sample type relabeling only supports 'drop' and 'keep' actions, got '{}'",
            rules[at].action().name()
        )),
    }
}

/// Where Pyroscope's own rules stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DefaultRules {
    /// Before the configured ones.
    #[default]
    First,
    /// After them.
    Last,
    /// Nowhere.
    Disabled,
}

/// The configured rules with Pyroscope's own: Go's delta profiles lose their prefix, and CPU time
/// sampled together with wall time is named as all CPU time is.
pub(crate) fn with_defaults(position: DefaultRules, configured: Vec<Rule>) -> Vec<Rule> {
    let rule = |sources: &[&str], regex: &str, target: &str, replacement: &str| {
        Rule::new(RuleConfig {
            source_labels: sources.iter().map(|name| (*name).to_owned()).collect(),
            separator: "/".to_owned(),
            regex: regex.to_owned(),
            target_label: target.to_owned(),
            replacement: replacement.to_owned(),
            ..RuleConfig::default()
        })
        .ok()
    };
    let defaults = || {
        [
            rule(&["__name__"], "(godeltaprof_.+)", "__name_replaced__", "$1"),
            rule(&["__name__"], "godeltaprof_.+", "__delta__", "false"),
            rule(&["__name__"], "godeltaprof_(.+)", "__name__", "$1"),
            rule(&["__name__", "__type__"], "wall/cpu", "__name_replaced__", "wall"),
            rule(&["__name__", "__type__"], "wall/cpu", "__name__", "process_cpu"),
        ]
        .into_iter()
        .flatten()
    };
    match position {
        DefaultRules::First => defaults().chain(configured).collect(),
        DefaultRules::Last => configured.into_iter().chain(defaults()).collect(),
        DefaultRules::Disabled => configured,
    }
}

/// The last eight bytes of the text's MD5, as a big-endian number, modulo `modulus`.
fn hash_mod(text: &str, modulus: u64) -> u64 {
    let digest = md5(text.as_bytes());
    let tail = digest.iter().skip(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    tail.checked_rem(modulus).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const TABLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/tables");

    fn builder(labels: &[(&str, &str)]) -> LabelSetBuilder {
        let mut builder = LabelSetBuilder::default();
        labels.iter().for_each(|(name, value)| builder.set(*name, *value));
        builder
    }

    #[test]
    fn the_documented_rule_names_services_by_executable() {
        let rule = Rule::new(RuleConfig {
            regex: "^process.executable.name$".to_owned(),
            replacement: "service_name".to_owned(),
            action: Action::LabelMap,
            ..RuleConfig::default()
        })
        .unwrap();
        let mut labels =
            builder(&[("service_name", "unknown_service:nginx"), ("process.executable.name", "nginx")]);
        assert!(apply(&[rule], &mut labels));
        assert_eq!(labels.build().to_string(), r#"{process.executable.name="nginx", service_name="nginx"}"#);
    }

    #[test]
    fn pyroscopes_own_rules_rename_types() {
        let rules = with_defaults(DefaultRules::First, Vec::new());
        let mut labels = builder(&[("__name__", "godeltaprof_memory")]);
        assert!(apply(&rules, &mut labels));
        assert_eq!(
            labels.build().to_string(),
            r#"{__delta__="false", __name__="memory", __name_replaced__="godeltaprof_memory"}"#
        );
        let mut labels = builder(&[("__name__", "wall"), ("__type__", "cpu")]);
        assert!(apply(&rules, &mut labels));
        assert_eq!(
            labels.build().to_string(),
            r#"{__name__="process_cpu", __name_replaced__="wall", __type__="cpu"}"#
        );
    }

    #[test]
    fn rules_without_what_they_need_are_refused() {
        let rule = |action, target: &str, regex: &str| {
            Rule::new(RuleConfig {
                action,
                target_label: target.to_owned(),
                regex: regex.to_owned(),
                ..RuleConfig::default()
            })
            .unwrap_err()
        };
        assert!(rule(Action::Replace, "", "x").contains("target_label"));
        assert!(rule(Action::HashMod, "x", "x").contains("modulus"));
        assert!(rule(Action::Keep, "", "(").contains("regex"));
    }

    fn labels_of(value: &Value) -> LabelSetBuilder {
        let mut builder = LabelSetBuilder::default();
        let args = value.pointer("/args/0").and_then(Value::as_object).cloned().unwrap_or_default();
        args.iter().for_each(|(name, value)| builder.set(name.as_str(), value.as_str().unwrap_or_default()));
        builder
    }

    fn rule_of(value: &Value) -> Rule {
        let text =
            |key: &str, default: &str| value.get(key).and_then(Value::as_str).unwrap_or(default).to_owned();
        let action =
            value.pointer("/Action/$sel").and_then(Value::as_str).unwrap().rsplit('.').next().unwrap();
        let sources = value.get("SourceLabels").and_then(Value::as_array).cloned().unwrap_or_default();
        Rule::new(RuleConfig {
            source_labels: sources.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            separator: text("Separator", ";"),
            regex: value.pointer("/Regex/args/0").and_then(Value::as_str).unwrap_or("(.*)").to_owned(),
            modulus: value.get("Modulus").and_then(Value::as_u64).unwrap_or(0),
            target_label: text("TargetLabel", ""),
            replacement: text("Replacement", "$1"),
            action: Action::from_name(action).unwrap(),
        })
        .unwrap()
    }

    #[test]
    fn rules_do_what_they_do_in_pyroscope() {
        let Ok(table) = std::fs::read(format!("{TABLES}/pyroscope_relabel.json")) else {
            println!("skipped: no table of Pyroscope's relabeling tests");
            return;
        };
        let table: Value = serde_json::from_slice(&table).unwrap();
        let cases = table.pointer("/TestRelabel/0").and_then(Value::as_array).unwrap();
        assert!(cases.len() > 20);
        for (index, case) in cases.iter().enumerate() {
            let mut labels = labels_of(&case["input"]);
            let rules: Vec<Rule> = case["relabel"].as_array().unwrap().iter().map(rule_of).collect();
            let kept = apply(&rules, &mut labels);
            assert_eq!(kept, case.get("drop").is_none(), "case {index}");
            if kept {
                let want = labels_of(&case["output"]).build().to_string();
                assert_eq!(labels.build().to_string(), want, "case {index}");
            }
        }
    }
}
