//! The engine: plans a query over the sources of one snapshot and adds up what it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hearth_block::{Filter, Point, Row, Series, Snapshot, Source};
use hearth_profile::{Dictionary, LabelSet, ProfileType, Remap, StackId, Tree};
use indexmap::IndexMap;

use crate::labels::{VIRTUAL_LABELS, label};
use crate::range::steps;
use crate::{Error, Range, RangeError, Selector};

/// Gives the newest snapshot of what is stored.
pub type Snapshots = Arc<dyn Fn() -> Arc<dyn Snapshot> + Send + Sync>;

/// What one query may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most distinct stacks, functions or tree nodes in a merged profile. Default 8 million.
    pub entries: usize,
    /// Most points of all series in an answer together. Default 8 million.
    pub points: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 8 << 20, points: 8 << 20 }
    }
}

/// Tells a running query that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Makes the query stop soon, with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// What is asked for: whose data, which series, which time.
#[derive(Clone, Debug)]
pub struct Query {
    /// The tenant; sees no other tenant's data.
    pub tenant: String,
    /// Which series.
    pub selector: Selector,
    /// Which slots, by their start.
    pub range: Range,
    /// How to stop it.
    pub cancel: Cancel,
}

/// How time series are formed.
#[derive(Clone, Debug, Default)]
pub struct SeriesSpec {
    /// Distance of two points, milliseconds.
    pub step_ms: i64,
    /// One series per combination of these labels' values; a single series if empty.
    pub group_by: Vec<String>,
    /// Keep this many series, those with the largest totals; 0 keeps all.
    pub limit: usize,
}

/// Points in time of one group, without those that are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSeries {
    /// The group's labels; those it does not have are absent.
    pub labels: LabelSet,
    /// Time in milliseconds since the Unix epoch and sum, ascending.
    pub points: Vec<(i64, i64)>,
}

/// One value per step of one group, zero where there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenseSeries {
    /// The group's labels; those it does not have are absent.
    pub labels: LabelSet,
    /// `values[i]` is the sum over `start + i * step <= slot < start + (i + 1) * step`.
    pub values: Vec<i64>,
}

/// One source with the series of it that a query wants.
pub(crate) struct Scan {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) series: Arc<[Series]>,
    pub(crate) filter: Filter,
}

/// Answers queries over stored profiles.
#[derive(Clone)]
pub struct Engine {
    snapshots: Snapshots,
    limits: Limits,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that reads the newest snapshot for each query.
    pub fn new(snapshots: Snapshots) -> Self {
        Self { snapshots, limits: Limits::default() }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The profile types that occur; CPU time first, as clients take the first for a default.
    ///
    /// # Errors
    ///
    /// [`Error`], as all methods here.
    pub fn profile_types(&self, query: &Query) -> Result<Vec<ProfileType>, Error> {
        let mut types = BTreeSet::new();
        self.present(query, |series| {
            if !types.contains(&series.profile_type) {
                types.insert(series.profile_type.clone());
            }
        })?;
        let mut types: Vec<ProfileType> = types.into_iter().collect();
        types.sort_by_key(|kind| kind.name != "process_cpu");
        Ok(types)
    }

    /// The names of all labels that occur, virtual ones included, sorted.
    ///
    /// # Errors
    ///
    /// [`Error`], as all methods here.
    pub fn label_names(&self, query: &Query) -> Result<Vec<String>, Error> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        self.present(query, |series| {
            for (name, _) in series.labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        })?;
        if !names.is_empty() {
            names.extend(VIRTUAL_LABELS.map(str::to_owned));
        }
        Ok(names.into_iter().collect())
    }

    /// Stored labels with the number of values each has, sorted by name.
    ///
    /// # Errors
    ///
    /// [`Error`], as all methods here.
    pub fn label_counts(&self, query: &Query) -> Result<Vec<(String, usize)>, Error> {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        self.present(query, |series| {
            for (name, value) in series.labels.iter() {
                let known = values.get(name).is_some_and(|values| values.contains(value));
                if !known {
                    values.entry(name.to_owned()).or_default().insert(value.to_owned());
                }
            }
        })?;
        Ok(values.into_iter().map(|(name, values)| (name, values.len())).collect())
    }

    /// The values of a label, sorted.
    ///
    /// # Errors
    ///
    /// [`Error`], as all methods here.
    pub fn label_values(&self, query: &Query, name: &str) -> Result<Vec<String>, Error> {
        let mut values = BTreeSet::new();
        self.present(query, |series| {
            let value = label(series, name);
            if !value.is_empty() && !values.contains(&*value) {
                values.insert(value.into_owned());
            }
        })?;
        Ok(values.into_iter().collect())
    }

    /// The values of a label with the total of each, largest first. Values without data in the
    /// range are absent, and so is the empty value.
    ///
    /// # Errors
    ///
    /// [`Error`], as all methods here.
    pub fn label_totals(&self, query: &Query, name: &str) -> Result<Vec<(String, i64)>, Error> {
        let groups = self.grouped(query, query.range, 1, &[name.to_owned()], |_| Some(0))?;
        let mut totals: Vec<(String, i64)> = groups
            .into_iter()
            .filter_map(|(labels, sums)| Some((labels.get(name)?.to_owned(), *sums.first()?)))
            .collect();
        totals.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Ok(totals)
    }

    /// The distinct label sets that occur, reduced to `names`; whole ones, virtual labels included,
    /// if `names` is empty.
    ///
    /// # Errors
    ///
    /// [`Error`], as all methods here.
    pub fn series(&self, query: &Query, names: &[String]) -> Result<Vec<LabelSet>, Error> {
        let mut sets: BTreeSet<LabelSet> = BTreeSet::new();
        self.present(query, |series| {
            sets.insert(if names.is_empty() { whole(series) } else { reduced(series, names) });
        })?;
        sets.remove(&LabelSet::default());
        Ok(sets.into_iter().collect())
    }

    /// Time series as Pyroscope answers them: a point at each `t = start + k * step`, up to and
    /// including the range's last millisecond, is the sum over slots in `(t - step, t]`; slots
    /// before `start` count for the first point, and points without data are omitted.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] for a step below 1 ms or more than 11,000 points; [`Error::TooLarge`].
    pub fn select_series(&self, query: &Query, spec: &SeriesSpec) -> Result<Vec<TimeSeries>, Error> {
        let (start, step) = (query.range.start_ms(), spec.step_ms);
        let count = steps(query.range.length_ms(), step)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let at = |index: usize| start.saturating_add(step.saturating_mul(to_i64(index)));
        // The scan begins one step early, exclusive: the half-open interval starts after t - step.
        let first = start.saturating_sub(step).saturating_add(1);
        let scan = Range::new(first, at(count - 1).saturating_add(1))?;
        let groups = self.grouped(query, scan, count, &spec.group_by, |slot_ms| {
            let ahead = slot_ms.checked_sub(start)?.checked_add(step - 1)?;
            usize::try_from(ahead.div_euclid(step)).ok()
        })?;
        let groups = top(groups, spec.limit);
        let points = |sums: Vec<i64>| -> Vec<(i64, i64)> {
            sums.into_iter()
                .enumerate()
                .filter(|(_, sum)| *sum != 0)
                .map(|(index, sum)| (at(index), sum))
                .collect()
        };
        Ok(groups.into_iter().map(|(labels, sums)| TimeSeries { labels, points: points(sums) }).collect())
    }

    /// Time series with a value for every step of the range, sorted by total, largest first.
    ///
    /// # Errors
    ///
    /// As [`Self::select_series`].
    pub fn dense_series(&self, query: &Query, spec: &SeriesSpec) -> Result<Vec<DenseSeries>, Error> {
        let (start, step) = (query.range.start_ms(), spec.step_ms);
        let count = steps(query.range.length_ms(), step)?;
        let groups = self.grouped(query, query.range, count, &spec.group_by, |slot_ms| {
            usize::try_from(slot_ms.checked_sub(start)?.div_euclid(step)).ok()
        })?;
        let limit = if spec.limit == 0 { usize::MAX } else { spec.limit };
        let groups = top(groups, limit);
        Ok(groups.into_iter().map(|(labels, values)| DenseSeries { labels, values }).collect())
    }

    /// Everything the query selects as one tree of functions.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if the tree would have more nodes than one query may use.
    pub fn merge_tree(&self, query: &Query) -> Result<Tree, Error> {
        let mut tree = Tree::default();
        self.stack_sums(query, |dictionary, sums| {
            tree.add_stacks(dictionary, sums);
            self.bounded("tree nodes", tree.len())
        })?;
        Ok(tree)
    }

    /// Everything the query selects as sums of stacks in one dictionary.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if the dictionary would have more entries than one query may use.
    pub fn merge_stacks(&self, query: &Query) -> Result<(Dictionary, Vec<(StackId, i64)>), Error> {
        let mut merged = Dictionary::default();
        let mut totals: Vec<i64> = Vec::new();
        self.stack_sums(query, |dictionary, sums| {
            let mut remap = Remap::new(dictionary);
            for (stack, value) in sums {
                let stack = remap.stack(dictionary, &mut merged, stack);
                if totals.len() <= stack.index() {
                    totals.resize(stack.index() + 1, 0);
                }
                totals[stack.index()] = totals[stack.index()].saturating_add(value);
            }
            self.bounded("dictionary entries", merged.largest_table())
        })?;
        let sums = totals.into_iter().enumerate().filter(|(_, total)| *total != 0);
        let sums = sums.map(|(index, total)| (StackId(u32::try_from(index).unwrap_or(0)), total)).collect();
        Ok((merged, sums))
    }

    /// First and last slot that the tenant has, milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn bounds(&self, tenant: &str) -> Result<Option<(i64, i64)>, Error> {
        let all = Range::all();
        let sources = (self.snapshots)().sources(tenant, all.start_ms(), all.end_ms())?;
        let ranges =
            sources.iter().map(|source| source.slot_range_ms()).filter(|(first, last)| first <= last);
        Ok(ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))))
    }

    /// The sources a query has to read, with the series it wants from each.
    pub(crate) fn scans(&self, query: &Query, range: Range) -> Result<Vec<Scan>, Error> {
        let (start_ms, end_ms) = (range.start_ms(), range.end_ms());
        let mut scans = Vec::new();
        for source in (self.snapshots)().sources(&query.tenant, start_ms, end_ms)? {
            query.cancel.check()?;
            let series = source.series()?;
            let wanted: Vec<bool> = series.iter().map(|series| query.selector.matches(series)).collect();
            if wanted.contains(&true) {
                scans.push(Scan { source, series, filter: Filter { series: wanted, start_ms, end_ms } });
            }
        }
        Ok(scans)
    }

    /// Visits every series that has data in the range, possibly more than once.
    fn present(&self, query: &Query, mut visit: impl FnMut(&Series)) -> Result<(), Error> {
        for Scan { source, series, filter } in self.scans(query, query.range)? {
            query.cancel.check()?;
            let mut found = filter.series.clone();
            if !query.range.contains(source.slot_range_ms()) {
                found.fill(false);
                source.points(&filter, &mut |point: Point| {
                    if let Some(found) = found.get_mut(point.series as usize) {
                        *found = true;
                    }
                })?;
            }
            for (series, _) in series.iter().zip(found).filter(|(_, found)| *found) {
                visit(series);
            }
        }
        Ok(())
    }

    /// Sums per group and bucket; groups without data are left out.
    pub(crate) fn grouped(
        &self,
        query: &Query,
        range: Range,
        buckets: usize,
        group_by: &[String],
        bucket_of: impl Fn(i64) -> Option<usize>,
    ) -> Result<Vec<(LabelSet, Vec<i64>)>, Error> {
        let mut groups: IndexMap<LabelSet, Vec<i64>> = IndexMap::new();
        for Scan { source, series, filter } in self.scans(query, range)? {
            query.cancel.check()?;
            let group_of = |series: &Series, wanted: bool, groups: &mut IndexMap<LabelSet, Vec<i64>>| {
                let labels = reduced(series, group_by);
                wanted.then(|| match groups.get_index_of(&labels) {
                    Some(index) => index,
                    None => groups.insert_full(labels, Vec::new()).0,
                })
            };
            let mut group_by_series = Vec::with_capacity(series.len());
            for (series, &wanted) in series.iter().zip(&filter.series) {
                group_by_series.push(group_of(series, wanted, &mut groups));
                if groups.len().saturating_mul(buckets) > self.limits.points {
                    return Err(Error::TooLarge { what: "points", limit: self.limits.points });
                }
            }
            source.points(&filter, &mut |point: Point| {
                let group = group_by_series.get(point.series as usize).copied().flatten();
                let sums = group.and_then(|group| groups.get_index_mut(group)).map(|(_, sums)| sums);
                let (Some(sums), Some(bucket)) = (sums, bucket_of(point.slot_ms)) else { return };
                if sums.is_empty() {
                    sums.resize(buckets, 0);
                }
                if let Some(sum) = sums.get_mut(bucket) {
                    *sum = sum.saturating_add(point.value);
                }
            })?;
        }
        groups.retain(|_, sums| sums.iter().any(|sum| *sum != 0));
        Ok(groups.into_iter().collect())
    }

    /// Calls `visit` for each source with its dictionary and the sum of each stack that occurs.
    fn stack_sums(
        &self,
        query: &Query,
        mut visit: impl FnMut(&Dictionary, Vec<(StackId, i64)>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for Scan { source, filter, .. } in self.scans(query, query.range)? {
            query.cancel.check()?;
            let dictionary = source.dictionary()?;
            let mut totals: Vec<i64> = vec![0; dictionary.stacks().len()];
            source.rows(&filter, &mut |row: Row| {
                if let Some(total) = totals.get_mut(row.stack.index()) {
                    *total = total.saturating_add(row.value);
                }
            })?;
            let sums = totals.into_iter().enumerate().filter(|(_, total)| *total != 0);
            let sums =
                sums.map(|(index, total)| (StackId(u32::try_from(index).unwrap_or(0)), total)).collect();
            visit(&dictionary, sums)?;
        }
        Ok(())
    }

    pub(crate) fn bounded(&self, what: &'static str, count: usize) -> Result<(), Error> {
        let limit = self.limits.entries;
        if count > limit { Err(Error::TooLarge { what, limit }) } else { Ok(()) }
    }
}

/// Step of an answer that divides a range into `points` steps.
pub(crate) fn step_for(range: Range, points: usize) -> Result<i64, RangeError> {
    let points = to_i64(points.max(1));
    let step = range.length_ms().saturating_add(points - 1) / points;
    let slot = hearth_block::SLOT_MS;
    let step = step.saturating_add(slot - 1) / slot * slot;
    let step = step.max(slot);
    steps(range.length_ms(), step).map(|_| step)
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// All labels of a series, virtual ones included.
fn whole(series: &Series) -> LabelSet {
    let stored = series.labels.iter().map(|(name, value)| (name, value.to_owned()));
    let follows = VIRTUAL_LABELS.map(|name| (name, label(series, name).into_owned()));
    stored.chain(follows).collect()
}

fn reduced(series: &Series, names: &[String]) -> LabelSet {
    names.iter().map(|name| (name.as_str(), label(series, name).into_owned())).collect()
}

/// The groups by total, largest first, cut to `limit`; by labels and uncut if `limit` is 0.
fn top(mut groups: Vec<(LabelSet, Vec<i64>)>, limit: usize) -> Vec<(LabelSet, Vec<i64>)> {
    if limit == 0 {
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        return groups;
    }
    let total = |sums: &[i64]| sums.iter().fold(0_i64, |sum, value| sum.saturating_add(*value));
    groups.sort_by(|a, b| total(&b.1).cmp(&total(&a.1)).then_with(|| a.0.cmp(&b.0)));
    groups.truncate(limit);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, query};
    use expect_test::expect;

    fn spec(step_ms: i64, group_by: &[&str], limit: usize) -> SeriesSpec {
        SeriesSpec { step_ms, group_by: group_by.iter().map(|name| (*name).to_owned()).collect(), limit }
    }

    /// Two sources with different dictionaries and overlapping series.
    fn fixture() -> Fixture {
        let cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
        Fixture::default()
            .source(
                "a",
                &[(cpu, "shop", "web-1", 0, "main;work", 1), (cpu, "shop", "web-1", 15_000, "main;work", 2)],
            )
            .source(
                "a",
                &[
                    (cpu, "shop", "web-2", 15_000, "main;idle", 4),
                    (cpu, "shop", "web-1", 20_000, "main;work", 8),
                    (cpu, "mail", "m-1", 30_000, "main;send", 16),
                    ("off_cpu:off_cpu:nanoseconds::", "mail", "m-1", 30_000, "main;wait", 32),
                ],
            )
            .source("b", &[(cpu, "other", "x", 15_000, "main", 64)])
    }

    const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds{}";

    #[test]
    fn points_are_sums_over_the_step_before_them() {
        let engine = fixture().engine();
        let query = query("a", CPU, 15_000, 31_000);
        let got = engine.select_series(&query, &spec(15_000, &[], 0)).unwrap();
        // 15 s has (0, 15]; 30 s has (15, 30]; the slot at 0 belongs to the point at 0.
        assert_eq!(
            got,
            [TimeSeries { labels: LabelSet::default(), points: vec![(15_000, 6), (30_000, 24)] }]
        );
        let early = self::query("a", CPU, 1_000, 20_000);
        let got = engine.select_series(&early, &spec(15_000, &["pod"], 0)).unwrap();
        expect![[r#"
            {pod="web-1"} [(1000, 1), (16000, 2)]
            {pod="web-2"} [(16000, 4)]
        "#]]
        .assert_eq(&got.iter().map(|s| format!("{} {:?}\n", s.labels, s.points)).collect::<String>());
    }

    #[test]
    fn limit_keeps_the_largest_series() {
        let engine = fixture().engine();
        let query = query("a", CPU, 0, 60_000);
        let got = engine.select_series(&query, &spec(60_000, &["pod"], 2)).unwrap();
        let pods: Vec<_> = got.iter().filter_map(|series| series.labels.get("pod")).collect();
        // The point at 0 has slot 0 only: with one step the rest lies after the last point.
        assert_eq!(pods, ["web-1"]);
        let got = engine.dense_series(&query, &spec(60_000, &["pod"], 2)).unwrap();
        let pods: Vec<_> = got.iter().map(|s| (s.labels.get("pod").unwrap(), s.values.clone())).collect();
        assert_eq!(pods, [("m-1", vec![16]), ("web-1", vec![11])]);
    }

    #[test]
    fn dense_values_cover_the_range() {
        let engine = fixture().engine();
        let query = query("a", CPU, 0, 45_000);
        let got = engine.dense_series(&query, &spec(15_000, &[], 0)).unwrap();
        assert_eq!(got, [DenseSeries { labels: LabelSet::default(), values: vec![1, 14, 16] }]);
    }

    #[test]
    fn every_way_of_merging_gives_the_same_total() {
        let engine = fixture().engine();
        let query = query("a", CPU, 0, 60_000);
        let tree = engine.merge_tree(&query).unwrap();
        let (dictionary, sums) = engine.merge_stacks(&query).unwrap();
        assert_eq!(tree.total(), 31);
        assert_eq!(sums.iter().map(|(_, value)| value).sum::<i64>(), 31);
        assert_eq!(Tree::from_stacks(&dictionary, sums).total(), 31);
        assert_eq!(engine.merge_tree(&self::query("a", CPU, 15_000, 20_000)).unwrap().total(), 6);
    }

    #[test]
    fn names_and_values_are_those_with_data_in_range() {
        let engine = fixture().engine();
        let all = query("a", "{}", 0, 60_000);
        let types: Vec<_> = engine.profile_types(&all).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(types, ["process_cpu:cpu:nanoseconds:cpu:nanoseconds", "off_cpu:off_cpu:nanoseconds::"]);
        assert_eq!(engine.label_values(&all, "service_name").unwrap(), ["mail", "shop"]);
        assert_eq!(engine.label_values(&query("a", "{}", 0, 20_000), "pod").unwrap(), ["web-1", "web-2"]);
        assert_eq!(
            engine.label_values(&query("nobody", "{}", 0, 60_000), "pod").unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(engine.label_values(&all, "__type__").unwrap(), ["cpu", "off_cpu"]);
        let names = engine.label_names(&all).unwrap();
        assert!(names.contains(&"pod".to_owned()) && names.contains(&"__profile_type__".to_owned()));
        assert_eq!(
            engine.label_counts(&all).unwrap(),
            [("pod".to_owned(), 3), ("service_name".to_owned(), 2)]
        );
        let cpu = query("a", CPU, 0, 60_000);
        let totals = engine.label_totals(&cpu, "service_name").unwrap();
        assert_eq!(totals, [("mail".to_owned(), 16), ("shop".to_owned(), 15)]);
        let sets = engine.series(&cpu, &["service_name".to_owned(), "__profile_type__".to_owned()]).unwrap();
        assert_eq!(sets.len(), 2);
        assert_eq!(engine.bounds("a").unwrap(), Some((0, 30_000)));
        assert_eq!(engine.bounds("nobody").unwrap(), None);
    }

    #[test]
    fn a_query_that_is_too_large_fails_alone() {
        let engine = fixture().engine().with_limits(Limits { entries: 2, points: 2 });
        let query = query("a", CPU, 0, 60_000);
        assert!(engine.merge_tree(&query).unwrap_err().to_string().contains("more than 2 tree nodes"));
        assert!(
            engine.merge_stacks(&query).unwrap_err().to_string().contains("more than 2 dictionary entries")
        );
        let error = engine.dense_series(&query, &spec(5_000, &["pod"], 0)).unwrap_err();
        assert!(error.to_string().contains("more than 2 points"), "{error}");
        query.cancel.cancel();
        assert!(matches!(engine.merge_tree(&query), Err(Error::Cancelled)));
    }
}
