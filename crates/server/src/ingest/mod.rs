//! Ingestion: from a decoded batch to what the store appends.
//!
//! ```text
//! ProfileBatch ─▶ type and labels ─▶ relabeling rules ─▶ drop and check labels ─▶ slots ─▶ Write
//!                                     (see everything)
//! ```
//!
//! Nothing here fails as a whole: what cannot be taken is counted by reason and named, and its
//! siblings are stored. Locations that have names lose their addresses, so that the dictionary
//! stays as small as the code that runs, however many processes run it.

pub(crate) mod labels;
pub(crate) mod naming;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hearth_block::{Row, Series, slot_of};
use hearth_profile::{
    AttributeValue, Attributes, Dictionary, LabelSetBuilder, Profile, ProfileBatch, Remap, ResourceProfiles,
    Sample, StackId,
};
use hearth_store::Write;
use indexmap::IndexSet;

use crate::config::IngestLimits;
use crate::relabel;

/// The last time that can be stored, milliseconds since 1970, in the year 2300.
const TIME_MS_MAX: i64 = 10_413_792_000_000;

/// Longest name of a host that is remembered, in characters.
const HOST_NAME_CHARS_MAX: usize = 256;
/// Most reasons of losses told apart.
const LOSS_REASONS_MAX: usize = 32;
/// Most hosts which one request may make known.
const HOSTS_MAX: usize = 100;

/// Attributes that name the host an agent runs on, best first.
const HOST_ATTRIBUTES: [&str; 3] = ["host.name", "k8s.node.name", "host.id"];

/// Why samples are not stored; the names are Pyroscope's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The profile contradicts itself.
    MalformedProfile,
    /// A label name or value is not allowed.
    InvalidLabels,
    /// The series has too many labels.
    MaxLabelNamesPerSeries,
    /// A label's name is too long.
    LabelNameTooLong,
    /// A label's value is too long.
    LabelValueTooLong,
    /// The sample is too old or from the future.
    NotInIngestionWindow,
    /// The tenant sends too much in too short a time; counted once per request.
    RateLimited,
    /// A relabeling rule drops the series; not reported to the sender as an error.
    DroppedByRelabelRules,
}

impl Reason {
    /// The name, as a label value of metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MalformedProfile => "malformed_profile",
            Self::InvalidLabels => "invalid_labels",
            Self::MaxLabelNamesPerSeries => "max_label_names_per_series",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::NotInIngestionWindow => "not_in_ingestion_window",
            Self::RateLimited => "rate_limited",
            Self::DroppedByRelabelRules => "dropped_by_relabel_rules",
        }
    }
}

/// What becomes of a batch.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// What the store shall append.
    pub write: Write,
    /// Samples that are stored.
    pub accepted_samples: u64,
    /// Samples that are not, by reason.
    pub discarded: HashMap<Reason, u64>,
    /// Profiles of which at least a part is refused, with what is wrong.
    pub refused: Vec<String>,
    /// The first example of each reason.
    pub reasons: HashMap<Reason, String>,
    /// What came from which host, where the resource names one.
    pub hosts: HashMap<Option<String>, Sent>,
}

/// What a host sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Samples that are stored.
    pub samples: u64,
    /// Samples that its agent says it lost, by reason; `None` if it is an agent that does not say.
    pub lost: Option<BTreeMap<String, u64>>,
}

impl Sent {
    /// Adds what was sent besides.
    pub(crate) fn add(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        let Some(lost) = &other.lost else { return };
        let known = self.lost.get_or_insert_default();
        for (reason, count) in lost {
            if known.len() < LOSS_REASONS_MAX || known.contains_key(reason) {
                let sum = known.entry(reason.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }
}

/// The samples that an agent of ours says it lost of a process since its last report.
fn lost(resource: &ResourceProfiles) -> Option<BTreeMap<String, u64>> {
    let of_reason = |(name, value): (&str, &AttributeValue)| match value {
        AttributeValue::Int(count) => {
            let reason = name.strip_prefix(labels::LOST)?.chars().take(64).collect();
            Some((reason, u64::try_from(*count).ok()?))
        }
        _ => None,
    };
    let lost: BTreeMap<String, u64> = resource.resource.iter().filter_map(of_reason).collect();
    (!lost.is_empty() || resource.scope.name == "hearth").then_some(lost)
}

/// Why one series or sample is refused.
struct Refusal {
    reason: Reason,
    detail: String,
}

/// Turns a batch into what the store appends. `now_ms` is now, in milliseconds since 1970.
pub(crate) fn prepare(batch: &ProfileBatch, limits: &IngestLimits, now_ms: i64) -> Prepared {
    let mut pipeline = Pipeline::new(limits, now_ms);
    pipeline.add_resources(batch);
    pipeline.finish()
}

/// What becomes of the profiles of one request, profile by profile.
pub(crate) struct Pipeline<'b> {
    limits: &'b IngestLimits,
    /// Labels that are dropped and that no rule looks at.
    unseen: Vec<&'b str>,
    now_ms: i64,
    dictionary: Dictionary,
    series: IndexSet<Series>,
    rows: HashMap<(u32, StackId, i64), i64, foldhash::fast::RandomState>,
    prepared: Prepared,
}

/// The dictionary of a batch, and what of it was copied.
struct Source<'b> {
    from: &'b Dictionary,
    remap: Remap,
}

impl<'b> Source<'b> {
    fn new(batch: &'b ProfileBatch) -> Self {
        Self { from: &batch.dictionary, remap: Remap::by_name(&batch.dictionary) }
    }
}

/// What the samples of one profile have in common.
struct Common<'p> {
    base: LabelSetBuilder,
    profile: &'p Profile,
    /// What values are multiplied with.
    factor: i64,
    /// Whether this is pprof: there only texts are labels, as numbers are sizes and the like, and
    /// negative values, which differences of profiles have, are passed over.
    pprof: bool,
}

/// The labels of one sample, by which samples are grouped.
type Group = Vec<(String, String)>;

impl<'b> Pipeline<'b> {
    /// Begins a request. `now_ms` is now, in milliseconds since 1970.
    pub(crate) fn new(limits: &'b IngestLimits, now_ms: i64) -> Self {
        let seen = |name: &str| limits.rules.iter().any(|rule| rule.reads(name));
        Self {
            limits,
            unseen: limits.dropped_labels.iter().map(String::as_str).filter(|name| !seen(name)).collect(),
            now_ms,
            dictionary: Dictionary::default(),
            series: IndexSet::new(),
            rows: HashMap::default(),
            prepared: Prepared::default(),
        }
    }

    /// Adds profiles whose resources say what they are of, as OTLP's do.
    pub(crate) fn add_resources(&mut self, batch: &ProfileBatch) {
        let mut source = Source::new(batch);
        for resource in &batch.resources {
            for profile in &resource.profiles {
                let (kind, factor) = match labels::profile_type(profile) {
                    Ok(named) => named,
                    Err(detail) => {
                        let samples = profile.samples.len() as u64;
                        self.refuse(Refusal { reason: Reason::MalformedProfile, detail }, samples, true);
                        continue;
                    }
                };
                let base = labels::base(resource, &kind, |name| self.keeps(name));
                let accepted = self.profile(&mut source, &Common { base, profile, factor, pprof: false });
                self.saw(Some(&resource.resource), Sent { samples: accepted, lost: None });
            }
            self.saw(Some(&resource.resource), Sent { samples: 0, lost: lost(resource) });
        }
    }

    /// Adds profiles that come with the labels of their series, as Pyroscope's clients send them.
    pub(crate) fn add_labelled(&mut self, series: &LabelSetBuilder, batch: &ProfileBatch) {
        let mut source = Source::new(batch);
        for profile in batch.profiles() {
            let base = labels::labelled(series, profile);
            let accepted = self.profile(&mut source, &Common { base, profile, factor: 1, pprof: true });
            self.saw(None, Sent { samples: accepted, lost: None });
        }
    }

    /// Notes samples that make no sense, which clients are not told about: as in Pyroscope, they are
    /// passed over, but counted.
    pub(crate) fn pass_over(&mut self, samples: usize, reason: Option<impl std::fmt::Display>) {
        if let Some(reason) = reason {
            let detail = reason.to_string();
            self.refuse(Refusal { reason: Reason::MalformedProfile, detail }, samples as u64, false);
        }
    }

    /// Notes a profile that could not be decoded.
    pub(crate) fn refuse_profile(&mut self, detail: String) {
        self.refuse(Refusal { reason: Reason::MalformedProfile, detail }, 1, true);
    }

    /// Whether a label is worth carrying: it is stored, or a rule may look at it.
    fn keeps(&self, name: &str) -> bool {
        !self.unseen.contains(&name)
    }

    /// Returns how many samples are accepted.
    fn profile(&mut self, source: &mut Source<'_>, common: &Common<'_>) -> u64 {
        if !relabel::apply(&self.limits.type_rules, &mut common.base.clone()) {
            let samples = common.profile.samples.len() as u64;
            *self.prepared.discarded.entry(Reason::DroppedByRelabelRules).or_default() += samples;
            return 0;
        }
        let mut groups: HashMap<Group, Result<u32, Reason>> = HashMap::new();
        let mut reported = false;
        let mut accepted = 0;
        for sample in &common.profile.samples {
            let group = self.group(&sample.attributes, common.pprof);
            let known = groups.get(&group).copied();
            let found = known.unwrap_or_else(|| {
                let found = self.series_of(&common.base, &group).map_err(|refusal| {
                    let reason = refusal.reason;
                    self.refuse(refusal, 0, !reported);
                    reported = true;
                    reason
                });
                groups.insert(group, found);
                found
            });
            let series = match found {
                Ok(series) => series,
                Err(reason) => {
                    *self.prepared.discarded.entry(reason).or_default() += 1;
                    continue;
                }
            };
            match self.add(source, series, sample, common) {
                Ok(()) => accepted += 1,
                Err(refusal) => {
                    let passed_over = common.pprof && sample.value < 0;
                    self.refuse(refusal, 1, !reported && !passed_over);
                    reported |= !passed_over;
                }
            }
        }
        self.prepared.accepted_samples += accepted;
        accepted
    }

    /// Notes which host something came from, if its resource says.
    fn saw(&mut self, resource: Option<&Attributes>, sent: Sent) {
        let host =
            HOST_ATTRIBUTES.iter().find_map(|name| resource.and_then(|resource| resource.get_str(name)));
        let host: Option<String> = host.map(|name| name.chars().take(HOST_NAME_CHARS_MAX).collect());
        // What a request with very many hosts says beyond that counts for its sender.
        let hosts = &self.prepared.hosts;
        let host = host.filter(|name| hosts.len() < HOSTS_MAX || hosts.contains_key(&Some(name.clone())));
        self.prepared.hosts.entry(host).or_default().add(&sent);
    }

    /// The labels that set a sample apart from others of its profile.
    fn group(&self, attributes: &Attributes, pprof: bool) -> Group {
        let named = attributes.iter().filter(|(name, value)| {
            labels::is_free(name) && self.keeps(name) && (!pprof || value.as_str().is_some())
        });
        named
            .filter_map(|(name, value)| Some((name.to_owned(), labels::value(value)?.into_owned())))
            .collect()
    }

    /// The series of a group.
    fn series_of(&mut self, base: &LabelSetBuilder, group: &Group) -> Result<u32, Refusal> {
        let mut builder = base.clone();
        for (name, value) in group {
            if name == "service.name" {
                builder.set("service_name", value.as_str());
            }
            if builder.get(name).is_none() {
                builder.set(name.as_str(), value.as_str());
            }
        }
        if !relabel::apply(&self.limits.rules, &mut builder) {
            return Err(Refusal { reason: Reason::DroppedByRelabelRules, detail: String::new() });
        }
        let profile_type = labels::take_type(&mut builder);
        self.limits.dropped_labels.iter().for_each(|name| builder.remove(name));
        if builder.get("service_name").is_none() {
            builder.set("service_name", labels::UNKNOWN_SERVICE);
        }
        check_labels(&builder, self.limits)?;
        let (index, _) = self.series.insert_full(Series { profile_type, labels: builder.build() });
        Ok(u32::try_from(index).unwrap_or(u32::MAX))
    }

    fn add(
        &mut self,
        source: &mut Source<'_>,
        series: u32,
        sample: &Sample,
        common: &Common<'_>,
    ) -> Result<(), Refusal> {
        let Common { profile, factor, .. } = *common;
        if sample.value < 0 {
            let detail = format!("a sample has the negative value {}", sample.value);
            return Err(Refusal { reason: Reason::MalformedProfile, detail });
        }
        if sample.value == 0 {
            return Ok(());
        }
        if sample.value.checked_mul(factor).is_none() {
            let detail = format!("value {} times period {factor} exceeds 64 bits", sample.value);
            return Err(Refusal { reason: Reason::MalformedProfile, detail });
        }
        let fallback = [if profile.time_unix_nano == 0 {
            u64::try_from(self.now_ms).unwrap_or(0).saturating_mul(1_000_000)
        } else {
            profile.time_unix_nano
        }];
        let times: &[u64] =
            if sample.timestamps_unix_nano.is_empty() { &fallback } else { &sample.timestamps_unix_nano };
        // Checked first, so that a sample is stored as a whole or not at all.
        times.iter().try_for_each(|time| self.check_time(*time))?;
        let stack = source.remap.stack(source.from, &mut self.dictionary, sample.stack);
        let count = i64::try_from(times.len()).unwrap_or(i64::MAX);
        let (each, rest) = (sample.value / count, sample.value % count);
        for (time, index) in times.iter().zip(0..) {
            let part = each + i64::from(index < rest);
            if part > 0 {
                let sum = self.rows.entry((series, stack, slot_of(to_ms(*time)))).or_default();
                *sum = sum.saturating_add(part.saturating_mul(factor));
            }
        }
        Ok(())
    }

    fn check_time(&self, time_ns: u64) -> Result<(), Refusal> {
        let age_ms = self.now_ms.saturating_sub(to_ms(time_ns));
        let exceeds = |age_ms: i64, limit: Duration| !limit.is_zero() && age_ms > millis(limit);
        let detail = if to_ms(time_ns) > TIME_MS_MAX {
            format!("a sample has the time {time_ns} ns since 1970, after the year 2300")
        } else if exceeds(age_ms, self.limits.reject_older_than) {
            format!(
                "a sample is {} s old; the limit is {} s",
                age_ms / 1000,
                self.limits.reject_older_than.as_secs()
            )
        } else if exceeds(age_ms.saturating_neg(), self.limits.reject_newer_than) {
            let limit = self.limits.reject_newer_than.as_secs();
            format!(
                "a sample is {} s in the future; the limit is {limit} s; check the clocks",
                -age_ms / 1000
            )
        } else {
            return Ok(());
        };
        Err(Refusal { reason: Reason::NotInIngestionWindow, detail })
    }

    /// Notes a series whose labels contradict each other.
    pub(crate) fn refuse_labels(&mut self, detail: String) {
        self.refuse(Refusal { reason: Reason::InvalidLabels, detail }, 1, true);
    }

    fn refuse(&mut self, refusal: Refusal, samples: u64, report: bool) {
        *self.prepared.discarded.entry(refusal.reason).or_default() += samples;
        if refusal.reason != Reason::DroppedByRelabelRules {
            self.prepared.reasons.entry(refusal.reason).or_insert_with(|| refusal.detail.clone());
        }
        if report && refusal.reason != Reason::DroppedByRelabelRules {
            self.prepared.refused.push(format!("{}: {}", refusal.reason.name(), refusal.detail));
        }
    }

    /// What the store appends, and what became of the rest.
    pub(crate) fn finish(self) -> Prepared {
        let mut rows: Vec<Row> = self
            .rows
            .into_iter()
            .map(|((series, stack, slot_ms), value)| Row { series, stack, slot_ms, value })
            .collect();
        rows.sort_unstable();
        let write = Write { dictionary: self.dictionary, series: self.series.into_iter().collect(), rows };
        Prepared { write, ..self.prepared }
    }
}

fn check_labels(labels: &LabelSetBuilder, limits: &IngestLimits) -> Result<(), Refusal> {
    let shown = |text: &str| -> String { text.chars().take(60).collect() };
    let refusal = |reason, detail| Err(Refusal { reason, detail });
    if labels.iter().len() > limits.label_names_max {
        let detail =
            format!("the series has {} labels; the limit is {}", labels.iter().len(), limits.label_names_max);
        return refusal(Reason::MaxLabelNamesPerSeries, detail);
    }
    for (name, value) in labels.iter() {
        if name.is_empty() || name.chars().any(char::is_control) {
            return refusal(Reason::InvalidLabels, format!("{name:?} is no label name"));
        }
        if name.len() > limits.label_name_bytes_max {
            let (length, limit) = (name.len(), limits.label_name_bytes_max);
            let detail =
                format!("the label name {:?}… has {length} bytes; the limit is {limit}", shown(name));
            return refusal(Reason::LabelNameTooLong, detail);
        }
        if value.len() > limits.label_value_bytes_max {
            let (length, limit) = (value.len(), limits.label_value_bytes_max);
            let detail =
                format!("the value of label {:?} has {length} bytes; the limit is {limit}", shown(name));
            return refusal(Reason::LabelValueTooLong, detail);
        }
    }
    Ok(())
}

fn to_ms(time_ns: u64) -> i64 {
    i64::try_from(time_ns / 1_000_000).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
