//! From attributes to the labels and the profile type of a series.
//!
//! Labels, first one wins: `__delta__`, `__otel__`, `__name__`, `service_name`, then attributes of
//! the resource, then of the scope, then of the sample. Names stay as they are, dots included.
//! Text becomes itself and whole numbers their decimal form, also alone in a list; anything else
//! is no label.
//!
//! Types: `samples`/`count` with the period `cpu`/`nanoseconds` is CPU time and stored as
//! `process_cpu:cpu:nanoseconds:cpu:nanoseconds`, values times period. Everything else is named by
//! its period type, or, where that is missing (Pyroscope refuses such profiles), by its sample
//! type: `off_cpu:off_cpu:nanoseconds::`.

use std::borrow::Cow;

use hearth_profile::{
    AttributeValue, Attributes, LabelSetBuilder, Profile, ProfileType, ResourceProfiles, ValueType,
};

use super::naming;

/// What a service is called if nothing says.
pub(super) const UNKNOWN_SERVICE: &str = "unknown_service";

/// Labels that follow from the profile type while rules run; never stored.
const TYPE_LABELS: [&str; 5] = ["__name__", "__type__", "__unit__", "__period_type__", "__period_unit__"];

/// Labels that senders cannot set.
const RESERVED: [&str; 2] = ["__profile_type__", "__service_name__"];

/// The label value of an attribute, if it has one.
pub(super) fn value(value: &AttributeValue) -> Option<Cow<'_, str>> {
    match value {
        AttributeValue::String(text) => Some(Cow::Borrowed(text)),
        AttributeValue::Int(number) => Some(Cow::Owned(number.to_string())),
        AttributeValue::Array(items) => match items.as_slice() {
            [one @ (AttributeValue::String(_) | AttributeValue::Int(_))] => self::value(one),
            _ => None,
        },
        _ => None,
    }
}

/// Type of a profile and the factor for its values, or why it has none.
pub(super) fn profile_type(profile: &Profile) -> Result<(ProfileType, i64), String> {
    let plain = |kind: &ValueType| ValueType::new(part(&kind.name), part(&kind.unit));
    let (sample, period) = (plain(&profile.sample_type), plain(&profile.period_type));
    if sample.name.is_empty() {
        return Err("the profile has no sample type".to_owned());
    }
    let cpu = ValueType::new("cpu", "nanoseconds");
    if period == cpu && sample == ValueType::new("samples", "count") {
        if profile.period > 0 {
            return Ok((ProfileType::process_cpu(), profile.period));
        }
        return Ok((ProfileType { name: "process_cpu".to_owned(), sample, period }, 1));
    }
    let name = if period.name.is_empty() { sample.name.clone() } else { period.name.clone() };
    Ok((ProfileType { name, sample, period }, 1))
}

/// A part of a profile type's text, which colons separate.
fn part(text: &str) -> String {
    text.chars().take(200).map(|char| if char == ':' || char.is_control() { '_' } else { char }).collect()
}

/// The labels that all samples of a profile share.
pub(super) fn base(
    resource: &ResourceProfiles,
    kind: &ProfileType,
    keep: impl Fn(&str) -> bool,
) -> LabelSetBuilder {
    let mut labels = LabelSetBuilder::default();
    labels.set("__delta__", "false");
    labels.set("__otel__", "true");
    labels.set("__name__", kind.name.as_str());
    labels.set("__type__", kind.sample.name.as_str());
    labels.set("__unit__", kind.sample.unit.as_str());
    labels.set("__period_type__", kind.period.name.as_str());
    labels.set("__period_unit__", kind.period.unit.as_str());
    labels.set("service_name", service_name(&resource.resource));
    for attributes in [&resource.resource, &resource.scope.attributes] {
        for (name, attribute) in attributes.iter().filter(|(name, _)| is_free(name) && keep(name)) {
            if let Some(value) = value(attribute).filter(|_| labels.get(name).is_none()) {
                labels.set(name, &*value);
            }
        }
    }
    labels
}

/// The labels that all samples of a profile share which comes with the labels of its series.
pub(super) fn labelled(series: &LabelSetBuilder, profile: &Profile) -> LabelSetBuilder {
    let mut labels = LabelSetBuilder::default();
    for (name, value) in series.iter().filter(|(name, _)| is_free(name) && *name != SESSION) {
        labels.set(name, value);
    }
    let (sample, period) = (&profile.sample_type, &profile.period_type);
    let named = series.get("__name__").map(part).filter(|name| !name.is_empty());
    let name =
        named.unwrap_or_else(|| naming::metric([part(&sample.name).as_str()], &naming::Types::default()));
    labels.set("__name__", name);
    labels.set("__type__", part(&sample.name));
    labels.set("__unit__", part(&sample.unit));
    labels.set("__period_type__", part(&period.name));
    labels.set("__period_unit__", part(&period.unit));
    if labels.get("service_name").is_none() {
        let name = series.get("service.name").or(series.get("pyroscope_app"));
        labels.set("service_name", name.unwrap_or(UNKNOWN_SERVICE));
    }
    labels
}

/// A label that has another value for each run of a client; Pyroscope drops it by default, too.
const SESSION: &str = "__session_id__";

/// How attributes begin that say how many samples an agent lost, for the status page only.
pub(super) const LOST: &str = "hearth.lost.";

/// Whether a sender may set a label of this name.
pub(super) fn is_free(name: &str) -> bool {
    !name.is_empty() && !TYPE_LABELS.contains(&name) && !RESERVED.contains(&name) && !name.starts_with(LOST)
}

fn service_name(resource: &Attributes) -> String {
    let text = |key: &str| resource.get_str(key).filter(|text| !text.is_empty());
    match (text("service.name"), text("process.executable.name")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(executable)) => format!("{UNKNOWN_SERVICE}:{executable}"),
        (None, None) => UNKNOWN_SERVICE.to_owned(),
    }
}

/// Takes the profile type, as rules left it, out of the labels.
pub(super) fn take_type(labels: &mut LabelSetBuilder) -> ProfileType {
    let [name, sample, sample_unit, period, period_unit] =
        TYPE_LABELS.map(|label| part(labels.get(label).unwrap_or_default()));
    TYPE_LABELS.iter().chain(&RESERVED).for_each(|label| labels.remove(label));
    let name = if name.is_empty() { sample.clone() } else { name };
    ProfileType {
        name,
        sample: ValueType::new(sample, sample_unit),
        period: ValueType::new(period, period_unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn types_are_named_as_in_pyroscope_and_never_refused() {
        let cases = [
            ("samples", "count",       "cpu",   "nanoseconds", 10_309_278, "process_cpu:cpu:nanoseconds:cpu:nanoseconds", 10_309_278),
            ("samples", "count",       "cpu",   "nanoseconds", 0,          "process_cpu:samples:count:cpu:nanoseconds",   1),
            ("cpu",     "nanoseconds", "cpu",   "nanoseconds", 7,          "cpu:cpu:nanoseconds:cpu:nanoseconds",         1),
            ("off_cpu", "nanoseconds", "",      "",            0,          "off_cpu:off_cpu:nanoseconds::",               1),
            ("alloc",   "bytes",       "space", "bytes",       1,          "space:alloc:bytes:space:bytes",               1),
            ("events",  "count",       "",      "",            0,          "events:events:count::",                       1),
            ("a:b",     "c",           "",      "",            0,          "a_b:a_b:c::",                                 1),
        ];
        for (name, unit, period_name, period_unit, period, want, factor) in cases {
            let profile = Profile {
                sample_type: ValueType::new(name, unit),
                period_type: ValueType::new(period_name, period_unit),
                period,
                ..Profile::default()
            };
            let (kind, got) = profile_type(&profile).unwrap();
            assert_eq!((kind.to_string().as_str(), got), (want, factor));
        }
        assert!(profile_type(&Profile::default()).unwrap_err().contains("no sample type"));
    }

    #[test]
    fn labels_are_those_of_pyroscope() {
        let mut resource = ResourceProfiles::default();
        resource.resource.set("process.executable.name", "nginx");
        resource.resource.set("process.pid", 7_i64);
        resource.resource.set("shard", 3_i64);
        resource.resource.set("one", AttributeValue::Array(vec!["x".into()]));
        resource.resource.set("two", AttributeValue::Array(vec!["x".into(), "y".into()]));
        resource.resource.set("flag", AttributeValue::Bool(true));
        resource.resource.set("__name__", "mine");
        resource.scope.attributes.set("shard", "scope loses");
        resource.scope.attributes.set("lib", "z");
        let mut labels = base(&resource, &ProfileType::process_cpu(), |name| name != "process.pid");
        assert_eq!(take_type(&mut labels), ProfileType::process_cpu());
        assert_eq!(
            labels.build().to_string(),
            r#"{__delta__="false", __otel__="true", lib="z", one="x", process.executable.name="nginx", service_name="unknown_service:nginx", shard="3"}"#
        );
    }
}
