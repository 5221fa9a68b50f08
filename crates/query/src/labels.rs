//! Labels of a series: what is stored and what follows from its profile type.

use std::borrow::Cow;

use hearth_block::Series;

/// Names of labels that every series has without storing them.
pub const VIRTUAL_LABELS: [&str; 7] = [
    "__name__",
    "__period_type__",
    "__period_unit__",
    "__profile_type__",
    "__service_name__",
    "__type__",
    "__unit__",
];

/// The value of a label that follows from the rest of the series, or `None` for any other name.
pub fn virtual_label<'s>(series: &'s Series, name: &str) -> Option<Cow<'s, str>> {
    let kind = &series.profile_type;
    Some(match name {
        "__name__" => kind.name.as_str().into(),
        "__type__" => kind.sample.name.as_str().into(),
        "__unit__" => kind.sample.unit.as_str().into(),
        "__period_type__" => kind.period.name.as_str().into(),
        "__period_unit__" => kind.period.unit.as_str().into(),
        "__profile_type__" => kind.to_string().into(),
        "__service_name__" => series.labels.get("service_name").unwrap_or_default().into(),
        _ => return None,
    })
}

/// The value of a label, virtual or stored; empty if the series does not have it.
pub(crate) fn label<'s>(series: &'s Series, name: &str) -> Cow<'s, str> {
    virtual_label(series, name).unwrap_or_else(|| series.labels.get(name).unwrap_or_default().into())
}
