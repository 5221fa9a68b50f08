//! From profiles to series: labels, names, slots.

use hearth_profile::{Function, Line, Location, ProfileType, ResourceProfiles, ValueType};

use super::*;
use crate::relabel::{Action, DefaultRules, Rule, RuleConfig, with_defaults};

const NOW_MS: i64 = 1_700_000_000_000;
const NOW_NS: u64 = NOW_MS as u64 * 1_000_000;

/// One profile with one sample per entry: thread id, value, timestamps.
fn batch(samples: &[(i64, i64, &[u64])]) -> ProfileBatch {
    let mut batch = ProfileBatch::default();
    let name = batch.dictionary.string("work");
    let function = batch.dictionary.function(Function { name, ..Function::default() });
    let lines = [Line { function, ..Line::default() }].into();
    let location = batch.dictionary.location(Location { lines, address: 0x40, ..Location::default() });
    let stack = batch.dictionary.stack(&[location]);
    let sample = |&(thread, value, times): &(i64, i64, &[u64])| Sample {
        stack,
        value,
        timestamps_unix_nano: times.to_vec(),
        attributes: [("thread.id", thread)].into_iter().collect(),
        link: None,
    };
    let profile = Profile {
        sample_type: ValueType::new("samples", "count"),
        period_type: ValueType::new("cpu", "nanoseconds"),
        period: 10,
        time_unix_nano: NOW_NS,
        samples: samples.iter().map(sample).collect(),
        ..Profile::default()
    };
    let mut resource = ResourceProfiles::default();
    resource.resource.set("service.name", "shop");
    resource.resource.set("process.pid", 42_i64);
    resource.resource.set("host.name", "h1");
    resource.profiles.push(profile);
    batch.resources.push(resource);
    batch
}

fn total(prepared: &Prepared) -> i64 {
    prepared.write.rows.iter().map(|row| row.value).sum()
}

#[test]
fn threads_and_processes_share_a_series_and_addresses_go() {
    let prepared = prepare(&batch(&[(1, 2, &[]), (2, 3, &[])]), &IngestLimits::default(), NOW_MS);
    let write = &prepared.write;
    assert_eq!((write.series.len(), write.rows.len(), total(&prepared)), (1, 1, 50));
    assert_eq!(write.series[0].profile_type, ProfileType::process_cpu());
    assert_eq!(
        write.series[0].labels.to_string(),
        r#"{__delta__="false", __otel__="true", host.name="h1", service.name="shop", service_name="shop"}"#
    );
    assert!(write.dictionary.locations().all(|location| location.address == 0));
    assert_eq!((prepared.accepted_samples, prepared.hosts[&Some("h1".to_owned())].samples), (2, 2));
}

#[test]
fn dropped_labels_can_be_asked_for_and_rules_see_them() {
    let limits = IngestLimits { dropped_labels: Vec::new(), ..IngestLimits::default() };
    let prepared = prepare(&batch(&[(1, 2, &[]), (2, 3, &[])]), &limits, NOW_MS);
    assert_eq!(prepared.write.series.len(), 2);
    assert_eq!(prepared.write.series[0].labels.get("process.pid"), Some("42"));
    let rule = Rule::new(RuleConfig {
        source_labels: vec!["thread.id".to_owned()],
        target_label: "worker".to_owned(),
        ..RuleConfig::default()
    })
    .unwrap();
    let limits =
        IngestLimits { rules: with_defaults(DefaultRules::First, vec![rule]), ..IngestLimits::default() };
    let prepared = prepare(&batch(&[(1, 2, &[]), (2, 3, &[])]), &limits, NOW_MS);
    let series = &prepared.write.series;
    assert_eq!(
        (series.len(), series[0].labels.get("worker"), series[0].labels.get("thread.id")),
        (2, Some("1"), None)
    );
}

#[test]
fn values_are_spread_over_timestamps_without_loss() {
    let times = [NOW_NS, NOW_NS + 1, NOW_NS + 5_000_000_000];
    let prepared = prepare(&batch(&[(1, 7, &times)]), &IngestLimits::default(), NOW_MS);
    let rows: Vec<(i64, i64)> =
        prepared.write.rows.iter().map(|row| (row.slot_ms - NOW_MS, row.value)).collect();
    assert_eq!(rows, [(0, 50), (5_000, 20)]);
}

#[test]
fn what_cannot_be_stored_is_named_and_the_rest_is_kept() {
    let future = [NOW_NS + 3_600_000_000_000];
    let mut batch = batch(&[(1, 2, &[]), (1, -1, &[]), (1, i64::MAX, &[]), (1, 1, &future)]);
    batch.resources[0].profiles.push(Profile { samples: vec![Sample::default(); 3], ..Profile::default() });
    let prepared = prepare(&batch, &IngestLimits::default(), NOW_MS);
    assert_eq!((total(&prepared), prepared.accepted_samples), (20, 1));
    assert_eq!(prepared.discarded[&Reason::MalformedProfile], 5);
    assert_eq!(prepared.discarded[&Reason::NotInIngestionWindow], 1);
    assert_eq!(prepared.refused.len(), 2, "{:?}", prepared.refused);
    assert!(prepared.refused[0].contains("negative value -1"), "{:?}", prepared.refused);
    let limits = IngestLimits { label_value_bytes_max: 3, ..IngestLimits::default() };
    let prepared = prepare(&self::batch(&[(1, 2, &[]), (2, 2, &[])]), &limits, NOW_MS);
    assert_eq!(prepared.discarded[&Reason::LabelValueTooLong], 2);
    assert!(prepared.refused[0].contains("has 5 bytes; the limit is 3"), "{:?}", prepared.refused);
}

#[test]
fn a_rule_may_drop_without_an_error() {
    let rule = Rule::new(RuleConfig {
        source_labels: vec!["service_name".to_owned()],
        regex: "shop".to_owned(),
        action: Action::Drop,
        ..RuleConfig::default()
    })
    .unwrap();
    let limits = IngestLimits { rules: vec![rule], ..IngestLimits::default() };
    let prepared = prepare(&batch(&[(1, 2, &[]), (2, 2, &[])]), &limits, NOW_MS);
    assert_eq!((prepared.write.rows.len(), prepared.refused.len()), (0, 0));
    assert_eq!(prepared.discarded[&Reason::DroppedByRelabelRules], 2);
}

#[test]
fn old_data_is_taken_unless_configured_otherwise() {
    let old = [NOW_NS - 86_400_000_000_000 * 30];
    let prepared = prepare(&batch(&[(1, 2, &old)]), &IngestLimits::default(), NOW_MS);
    assert_eq!(total(&prepared), 20);
    let limits = IngestLimits { reject_older_than: Duration::from_secs(3600), ..IngestLimits::default() };
    let prepared = prepare(&batch(&[(1, 2, &old)]), &limits, NOW_MS);
    assert!(prepared.refused[0].contains("is 2592000 s old; the limit is 3600 s"), "{:?}", prepared.refused);
    let any = IngestLimits { reject_newer_than: Duration::ZERO, ..IngestLimits::default() };
    let prepared = prepare(&batch(&[(1, 2, &[NOW_NS * 2]), (1, 2, &[u64::MAX])]), &any, NOW_MS);
    assert_eq!((total(&prepared), prepared.discarded[&Reason::NotInIngestionWindow]), (20, 1));
}

#[test]
fn rules_of_sample_types_drop_whole_profiles() {
    let rule = Rule::new(RuleConfig {
        source_labels: vec!["__type__".to_owned(), "service_name".to_owned()],
        regex: "cpu;shop".to_owned(),
        action: Action::Drop,
        ..RuleConfig::default()
    })
    .unwrap();
    let limits = IngestLimits { type_rules: vec![rule], ..IngestLimits::default() };
    let prepared = prepare(&batch(&[(1, 2, &[]), (2, 3, &[])]), &limits, NOW_MS);
    assert_eq!((prepared.write.rows.len(), prepared.refused.len()), (0, 0));
    assert_eq!(prepared.discarded[&Reason::DroppedByRelabelRules], 2);
}
