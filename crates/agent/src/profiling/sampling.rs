//! Keys of the `profiling` receiver that only Hearth has: what samples carry, whom they are taken of, and
//! what the sampler may use.

use hearth_collector::confmap::Value;
use hearth_collector::decode::Section;
use hearth_sampler::{Budgets, Event, Filters, Pattern, Rule, SampleAttributes};

/// What goes to the sampler as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SamplingSettings {
    /// `event`: `cpu-clock` (the default) or `cycles`.
    pub event: Event,
    /// `sample_attributes`: `thread_id`, `thread_name`, `cpu`; each `false` by default.
    pub attributes: SampleAttributes,
    /// `filters`: `include` and `exclude`, lists of rules with `cgroup`, `container_id`, `executable`,
    /// `pid_namespace`.
    pub filters: Filters,
    /// `limits`: `table_memory_mib` (1 to 255, default 32), `user_memory_mib` (4 to 1024, default 24),
    /// `preparation_cpu_percent` (1 to 100, default 10).
    pub budgets: Budgets,
}

/// Reads these keys; problems go to the section.
pub(super) fn read(section: &mut Section<'_, '_>) -> SamplingSettings {
    let mut settings = SamplingSettings::default();
    let mut event = "cpu-clock".to_owned();
    section.string("event", &mut event);
    match event.as_str() {
        "cpu-clock" | "" => {}
        "cycles" => settings.event = Event::Cycles,
        other => {
            section.invalid("event", format!("{other:?} is out of range; expected cpu-clock or cycles"));
        }
    }
    section.child("sample_attributes", |section| {
        section.bool("thread_id", &mut settings.attributes.thread_id);
        section.bool("thread_name", &mut settings.attributes.thread_name);
        section.bool("cpu", &mut settings.attributes.cpu);
    });
    section.child("filters", |section| {
        settings.filters.include = rules(section, "include");
        settings.filters.exclude = rules(section, "exclude");
    });
    if let Err(error) = settings.filters.check() {
        section.invalid("filters", error.to_string());
    }
    section.child("limits", |section| {
        settings.budgets = limits(section);
    });
    settings
}

fn limits(section: &mut Section<'_, '_>) -> Budgets {
    let mut budgets = Budgets::default();
    let mut mib = |key: &'static str, default: u64, max: u64, min: u64| {
        let mut value = default >> 20;
        section.integer(key, &mut value);
        if !(min..=max).contains(&value) {
            section.invalid(key, format!("{value} is out of range; expected {min} to {max} MiB"));
            return default;
        }
        value << 20
    };
    budgets.table_bytes = mib("table_memory_mib", budgets.table_bytes, 255, 1);
    budgets.user_bytes = mib("user_memory_mib", budgets.user_bytes, 1024, 4);
    let mut percent = budgets.preparation_percent;
    section.integer("preparation_cpu_percent", &mut percent);
    if (1..=100).contains(&percent) {
        budgets.preparation_percent = percent;
    } else {
        section.invalid(
            "preparation_cpu_percent",
            format!("{percent} is out of range; expected 1 to 100 percent of one core"),
        );
    }
    budgets
}

/// A list of rules.
fn rules(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Rule> {
    let items = match section.value(key) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::List(items)) => items,
        Some(_) => {
            section.invalid(key, "expected a list of rules");
            return Vec::new();
        }
    };
    let mut rules = Vec::new();
    for (index, item) in items.iter().enumerate() {
        section.nested(&format!("{key}[{index}]"), item, |section| rules.extend(rule(section)));
    }
    rules
}

fn rule(section: &mut Section<'_, '_>) -> Option<Rule> {
    let mut rule = Rule::default();
    for (key, into) in [
        ("cgroup", &mut rule.cgroup),
        ("container_id", &mut rule.container_id),
        ("executable", &mut rule.executable),
    ] {
        if section.value(key).is_none() {
            continue;
        }
        let mut text = String::new();
        section.string(key, &mut text);
        match Pattern::new(text) {
            Ok(pattern) => *into = Some(pattern),
            Err(error) => {
                section.invalid(key, error.to_string());
                return None;
            }
        }
    }
    if section.value("pid_namespace").is_some() {
        let mut number = 0;
        section.integer("pid_namespace", &mut number);
        rule.pid_namespace = Some(number);
    }
    Some(rule)
}
