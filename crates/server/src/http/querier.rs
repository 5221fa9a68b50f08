//! `querier.v1.QuerierService`: what Grafana, Profiles Drilldown and `profilecli` ask.
//!
//! Where Pyroscope's answers have a reason, they are the same: points at `start + k * step`, the
//! first name of a flame graph is `total`, ranges without start or end are refused except for
//! `ProfileTypes`, which data sources call to see whether anybody is there.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use hearth_codec::pyroscope::capabilities::{FeatureFlag, GetFeatureFlagsResponse};
use hearth_codec::pyroscope::querier::*;
use hearth_codec::pyroscope::types::{self, LabelPair, Labels, Point, Series, StackTraceSelector};
use hearth_codec::pyroscope::version::VersionResponse;
use hearth_codec::pyroscope::{from_json, google, to_json};
use hearth_codec::{dot, flamebearer, pprof, trie};
use hearth_profile::{Dictionary, LabelSet, LocationId, NodeId, ProfileType, Remap, StackId, Tree};
use hearth_query::{Cancel, Query, Range, Selector, SeriesSpec, TimeSeries};
use http::{HeaderMap, header};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rpc::{Code, Encoding, RpcError};
use super::{App, millis};

/// Whether a request asks for single profiles, spans or traces.
fn is_identified(request: &SelectMergeStacktracesRequest) -> bool {
    let identities = [&request.profile_id_selector, &request.span_selector, &request.trace_id_selector];
    identities.iter().any(|ids| !ids.is_empty())
}

/// Functions of a call graph if the request does not say.
pub(super) const DOT_NODES: usize = 100;

/// Most steps of a time series that is limited to certain stacks: each is a query of its own.
const STACK_STEPS_MAX: i64 = 1_000;

/// Most points from which averages are made.
const AVERAGE_POINTS_MAX: i64 = 1_000_000;

/// The finest distance of points: what is stored together.
const SLOT_MS: i64 = 5_000;

/// Most selectors in one request.
const SELECTORS_MAX: usize = 100;

/// The methods that are answered.
pub(super) const METHODS: [&str; 11] = [
    "AnalyzeQuery",
    "Diff",
    "GetProfileStats",
    "LabelNames",
    "LabelValues",
    "ProfileTypes",
    "SelectMergeProfile",
    "SelectMergeSpanProfile",
    "SelectMergeStacktraces",
    "SelectSeries",
    "Series",
];

/// One call, without its message.
pub(super) struct Call {
    pub(super) tenant: String,
    pub(super) method: String,
    pub(super) encoding: Encoding,
    /// Whether the client takes label names with dots and the like.
    pub(super) utf8_names: bool,
}

/// Whether `Accept` carries `allow-utf8-labelnames=true`.
pub(super) fn takes_utf8_names(headers: &HeaderMap) -> Result<bool, RpcError> {
    let mut takes = false;
    for value in headers.get_all(header::ACCEPT) {
        let text = value.to_str().map_err(|_| RpcError::invalid("Accept: not a text"))?;
        takes |= text.split([',', ';']).any(|part| part.trim() == "allow-utf8-labelnames=true");
    }
    Ok(takes)
}

struct Context<'a> {
    app: &'a App,
    call: &'a Call,
    cancel: &'a Cancel,
}

/// Answers a call.
pub(super) fn answer(app: &App, call: &Call, message: &[u8], cancel: &Cancel) -> Result<Bytes, RpcError> {
    let context = Context { app, call, cancel };
    let encoding = call.encoding;
    match call.method.as_str() {
        "ProfileTypes" => encode(encoding, &context.profile_types(&decode(encoding, message)?)?),
        "LabelNames" => encode(encoding, &context.label_names(&decode(encoding, message)?)?),
        "LabelValues" => encode(encoding, &context.label_values(&decode(encoding, message)?)?),
        "Series" => encode(encoding, &context.series(&decode(encoding, message)?)?),
        "SelectSeries" => encode(encoding, &context.select_series(&decode(encoding, message)?)?),
        "SelectMergeStacktraces" => encode(encoding, &context.stacktraces(&decode(encoding, message)?)?),
        "SelectMergeSpanProfile" => encode(encoding, &context.span_profile(&decode(encoding, message)?)?),
        "SelectMergeProfile" => context.merge_profile(&decode(encoding, message)?),
        "Diff" => encode(encoding, &context.diff(&decode(encoding, message)?)?),
        "GetProfileStats" => encode(encoding, &context.stats()?),
        "AnalyzeQuery" => encode(encoding, &AnalyzeQueryResponse::default()),
        method => Err(RpcError::new(Code::Unimplemented, format!("{method} is not implemented"))),
    }
}

/// A message of a request.
pub(super) fn decode<T: Message + Default + DeserializeOwned>(
    encoding: Encoding,
    message: &[u8],
) -> Result<T, RpcError> {
    match encoding {
        Encoding::Proto => {
            T::decode(message).map_err(|error| RpcError::invalid(format!("malformed request: {error}")))
        }
        Encoding::Json => from_json(message).map_err(|error| RpcError::invalid(error.to_string())),
    }
}

/// Answers a call that is neither of the querier nor writes anything.
pub(super) fn about(path: &str, encoding: Encoding) -> Option<Result<Bytes, RpcError>> {
    match path {
        "/version.v1.Version/Version" => Some(encode(encoding, &VersionResponse { querier_api: 1 })),
        "/capabilities.v1.FeatureFlagsService/GetFeatureFlags" => {
            let flag = |name: &str, enabled, description: &str| FeatureFlag {
                name: name.to_owned(),
                enabled,
                description: description.to_owned(),
            };
            let feature_flags = vec![
                flag("v2StorageLayer", true, "Queries are answered by one storage, whatever their range."),
                flag("utf8LabelNames", true, "Label names may have dots and other characters."),
                flag("pyroscopeRuler", false, "Recording rules."),
                flag("pyroscopeRulerFunctions", false, "Recording rules of functions."),
            ];
            Some(encode(encoding, &GetFeatureFlagsResponse { feature_flags }))
        }
        _ => None,
    }
}

fn encode<T: Message + Serialize>(encoding: Encoding, message: &T) -> Result<Bytes, RpcError> {
    match encoding {
        Encoding::Proto => Ok(message.encode_to_vec().into()),
        Encoding::Json => {
            let json = to_json(message).map_err(|error| RpcError::new(Code::Internal, error.to_string()))?;
            Ok(json.into())
        }
    }
}

impl Context<'_> {
    /// A range as all methods but `ProfileTypes` want it: both ends given.
    fn range(&self, start: i64, end: i64) -> Result<Range, RpcError> {
        if start == 0 || end == 0 {
            return Err(RpcError::invalid(format!(
                "missing time range: start is {start} and end is {end}; expected milliseconds since 1970"
            )));
        }
        let range = Range::inclusive(start, end).map_err(hearth_query::Error::from)?;
        let limit = millis(self.app.query_limits(&self.call.tenant).length_max);
        if limit > 0 && range.length_ms() > limit {
            let message =
                format!("the time range of {} ms exceeds the limit of {limit} ms", range.length_ms());
            return Err(RpcError::invalid(message));
        }
        Ok(range)
    }

    fn query(&self, selector: Selector, range: Range) -> Query {
        Query { tenant: self.call.tenant.clone(), selector, range, cancel: self.cancel.clone() }
    }

    /// One query per selector; a single one for everything if there is none.
    ///
    /// They are parsed one after the other: a compiled regular expression may take a megabyte.
    fn queries<'q>(
        &'q self,
        matchers: &'q [String],
        range: Range,
    ) -> Result<impl Iterator<Item = Result<Query, RpcError>> + 'q, RpcError> {
        if matchers.len() > SELECTORS_MAX {
            let message = format!("matchers: {} selectors; expected at most {SELECTORS_MAX}", matchers.len());
            return Err(RpcError::invalid(message));
        }
        let all = matchers.is_empty().then_some("");
        let texts = all.into_iter().chain(matchers.iter().map(String::as_str));
        Ok(texts.map(move |text| {
            Ok(self.query(Selector::parse(text).map_err(hearth_query::Error::from)?, range))
        }))
    }

    /// The query and the type of a request for values.
    fn typed(&self, id: &str, selector: &str, range: Range) -> Result<(Query, ProfileType), RpcError> {
        let kind = kind_of(id)?;
        let selector = Selector::parse(selector).map_err(hearth_query::Error::from)?;
        Ok((self.query(selector.with_type(&kind), range), kind))
    }

    fn profile_types(&self, request: &ProfileTypesRequest) -> Result<ProfileTypesResponse, RpcError> {
        let range = if request.start == 0 && request.end == 0 {
            Range::all()
        } else {
            Range::inclusive(request.start, request.end).map_err(hearth_query::Error::from)?
        };
        let types = self.app.engine.profile_types(&self.query(Selector::default(), range))?;
        let message = |kind: ProfileType| types::ProfileType {
            id: kind.to_string(),
            name: kind.name,
            sample_type: kind.sample.name,
            sample_unit: kind.sample.unit,
            period_type: kind.period.name,
            period_unit: kind.period.unit,
        };
        Ok(ProfileTypesResponse { profile_types: types.into_iter().map(message).collect() })
    }

    fn label_names(&self, request: &LabelNamesRequest) -> Result<LabelNamesResponse, RpcError> {
        let mut names = BTreeSet::new();
        for query in self.queries(&request.matchers, self.range(request.start, request.end)?)? {
            let query = query?;
            names.extend(self.app.engine.label_names(&query)?);
        }
        Ok(LabelNamesResponse { names: names.into_iter().filter(|name| self.shows(name)).collect() })
    }

    fn label_values(&self, request: &LabelValuesRequest) -> Result<LabelValuesResponse, RpcError> {
        if request.name.is_empty() {
            return Err(RpcError::invalid("name: missing; expected the name of a label"));
        }
        let mut names = BTreeSet::new();
        for query in self.queries(&request.matchers, self.range(request.start, request.end)?)? {
            let query = query?;
            names.extend(self.app.engine.label_values(&query, &request.name)?);
        }
        Ok(LabelValuesResponse { names: names.into_iter().collect() })
    }

    fn series(&self, request: &SeriesRequest) -> Result<SeriesResponse, RpcError> {
        let mut sets: BTreeSet<LabelSet> = BTreeSet::new();
        for query in self.queries(&request.matchers, self.range(request.start, request.end)?)? {
            let query = query?;
            sets.extend(self.app.engine.series(&query, &request.label_names)?);
        }
        let asked = !request.label_names.is_empty();
        let visible = |labels: &LabelSet| -> LabelSet {
            labels.iter().filter(|(name, _)| asked || self.shows(name)).collect()
        };
        let sets: BTreeSet<LabelSet> = sets.iter().map(visible).collect();
        Ok(SeriesResponse {
            labels_set: sets.iter().map(|labels| Labels { labels: pairs(labels) }).collect(),
        })
    }

    /// Whether the client can deal with a label of this name.
    fn shows(&self, name: &str) -> bool {
        let legacy = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        self.call.utf8_names || (legacy && !name.starts_with(|char: char| char.is_ascii_digit()))
    }

    fn select_series(&self, request: &SelectSeriesRequest) -> Result<SelectSeriesResponse, RpcError> {
        let range = self.range(request.start, request.end)?;
        let (query, _) = self.typed(&request.profile_type_id, &request.label_selector, range)?;
        let step_ms = request.step * 1000.0;
        if !(1.0..=9e15).contains(&step_ms) {
            return Err(RpcError::invalid(format!(
                "step: {} s is out of range; expected 0.001 s or more",
                request.step
            )));
        }
        let limit = usize::try_from(request.limit.unwrap_or(0)).unwrap_or(0);
        let spec = SeriesSpec { step_ms: step_ms as i64, group_by: request.group_by.clone(), limit };
        let series = if let Some(path) = call_site(request.stack_trace_selector.as_ref()) {
            self.series_of_stacks(&query, &spec, &path)?
        } else if request.aggregation == Aggregation::Average as i32 {
            self.averages(&query, &spec)?
        } else {
            self.app.engine.select_series(&query, &spec)?
        };
        let message = |series: TimeSeries| Series {
            labels: pairs(&series.labels),
            points: series
                .points
                .iter()
                .map(|&(timestamp, value)| Point { value: value as f64, timestamp })
                .collect(),
        };
        Ok(SelectSeriesResponse { series: series.into_iter().map(message).collect() })
    }

    /// The time series of the stacks that begin with `path`.
    fn series_of_stacks(
        &self,
        query: &Query,
        spec: &SeriesSpec,
        path: &[String],
    ) -> Result<Vec<TimeSeries>, RpcError> {
        if !spec.group_by.is_empty() {
            let message = "stack_trace_selector together with group_by is not implemented";
            return Err(RpcError::new(Code::Unimplemented, message));
        }
        let (start, last) = (query.range.start_ms(), query.range.end_ms().saturating_sub(1));
        let steps = query.range.length_ms() / spec.step_ms + 2;
        if steps > STACK_STEPS_MAX {
            let message = format!(
                "stack_trace_selector: the range has {steps} steps; expected at most {STACK_STEPS_MAX}"
            );
            return Err(RpcError::invalid(message));
        }
        let mut points = Vec::new();
        for step in 0..steps {
            // A point is the sum over the step that ends with it, as without a selector.
            let at = start.saturating_add(step.saturating_mul(spec.step_ms));
            let begin = at.saturating_sub(spec.step_ms).saturating_add(1);
            if begin > last {
                break;
            }
            let range = Range::inclusive(begin, at.min(last)).map_err(hearth_query::Error::from)?;
            let (dictionary, sums) = self.app.engine.merge_stacks(&Query { range, ..query.clone() })?;
            let matches = stacks_within(&dictionary, path);
            let within = |stack: StackId| matches.get(stack.index()).copied().unwrap_or(false);
            let sum = sums
                .iter()
                .filter(|(stack, _)| within(*stack))
                .fold(0_i64, |sum, (_, value)| sum.saturating_add(*value));
            if sum != 0 {
                points.push((at, sum));
            }
        }
        let series = TimeSeries { labels: LabelSet::default(), points };
        Ok(if series.points.is_empty() { Vec::new() } else { vec![series] })
    }

    /// The time series whose points are the mean of what was stored in a step, rather than the sum.
    fn averages(&self, query: &Query, spec: &SeriesSpec) -> Result<Vec<TimeSeries>, RpcError> {
        if spec.step_ms <= SLOT_MS {
            return Ok(self.app.engine.select_series(query, spec)?);
        }
        let points = query.range.length_ms() / SLOT_MS;
        if points > AVERAGE_POINTS_MAX {
            let message =
                format!("aggregation: averages of {points} points; expected at most {AVERAGE_POINTS_MAX}");
            return Err(RpcError::invalid(message));
        }
        let fine = SeriesSpec { step_ms: SLOT_MS, group_by: spec.group_by.clone(), limit: spec.limit };
        let start = query.range.start_ms();
        let mut series = self.app.engine.select_series(query, &fine)?;
        for one in &mut series {
            let mut means: Vec<(i64, i64, i64)> = Vec::new();
            for &(at, value) in &one.points {
                let steps =
                    at.saturating_sub(start).max(0).unsigned_abs().div_ceil(spec.step_ms.unsigned_abs());
                let at = start.saturating_add(i64::try_from(steps).unwrap_or(0).saturating_mul(spec.step_ms));
                match means.last_mut() {
                    Some((last, sum, count)) if *last == at => {
                        *sum = sum.saturating_add(value);
                        *count += 1;
                    }
                    _ => means.push((at, value, 1)),
                }
            }
            one.points = means.into_iter().map(|(at, sum, count)| (at, sum / count)).collect();
        }
        Ok(series)
    }

    fn stacktraces(
        &self,
        request: &SelectMergeStacktracesRequest,
    ) -> Result<SelectMergeStacktracesResponse, RpcError> {
        let none = SelectMergeStacktracesResponse::default();
        match ProfileFormat::try_from(request.format) {
            Ok(ProfileFormat::Tree) => {
                let nodes = self.nodes(request.max_nodes)?;
                let tree = trie::write_tree(&self.tree(request)?.pruned(nodes));
                Ok(SelectMergeStacktracesResponse { tree, ..none })
            }
            Ok(ProfileFormat::Dot) => {
                let nodes = match request.max_nodes {
                    Some(nodes) if nodes > 0 => self.nodes(request.max_nodes)?,
                    _ => DOT_NODES,
                };
                let kind = kind_of(&request.profile_type_id)?;
                let dot = dot::write(&self.tree(request)?, &kind.name, &kind.sample, nodes);
                Ok(SelectMergeStacktracesResponse { dot, ..none })
            }
            Ok(ProfileFormat::Pprof) => {
                let range = self.range(request.start, request.end)?;
                let (query, kind) = self.typed(&request.profile_type_id, &request.label_selector, range)?;
                let selector = request.stack_trace_selector.as_ref();
                let bytes = self.pprof(&query, &kind, selector, is_identified(request))?;
                let profile = google::Profile::decode(&*bytes)
                    .map_err(|error| RpcError::new(Code::Internal, error.to_string()))?;
                Ok(SelectMergeStacktracesResponse {
                    pprof: Some(PprofProfile { profile: Some(profile) }),
                    ..none
                })
            }
            // Formats of newer clients: they fall back to the flame graph.
            _ => {
                let nodes = self.nodes(request.max_nodes)?;
                let graph = flamebearer::levels(&self.tree(request)?, nodes);
                Ok(SelectMergeStacktracesResponse { flamegraph: Some(graph), ..none })
            }
        }
    }

    /// The tree a request selects. Profiles and spans have no identity here: nothing matches theirs.
    fn tree(&self, request: &SelectMergeStacktracesRequest) -> Result<Tree, RpcError> {
        let range = self.range(request.start, request.end)?;
        let (query, _) = self.typed(&request.profile_type_id, &request.label_selector, range)?;
        if is_identified(request) {
            return Ok(Tree::default());
        }
        let tree = self.app.engine.merge_tree(&query)?;
        Ok(match call_site(request.stack_trace_selector.as_ref()) {
            Some(path) => within(&tree, &path),
            None => tree,
        })
    }

    fn nodes(&self, asked: Option<i64>) -> Result<usize, RpcError> {
        nodes(self.app, &self.call.tenant, asked)
    }

    fn span_profile(
        &self,
        request: &SelectMergeSpanProfileRequest,
    ) -> Result<SelectMergeSpanProfileResponse, RpcError> {
        self.range(request.start, request.end)?;
        let flamegraph = Some(flamebearer::levels(&Tree::default(), 0));
        Ok(SelectMergeSpanProfileResponse { flamegraph, ..SelectMergeSpanProfileResponse::default() })
    }

    fn merge_profile(&self, request: &SelectMergeProfileRequest) -> Result<Bytes, RpcError> {
        let range = self.range(request.start, request.end)?;
        let (query, kind) = self.typed(&request.profile_type_id, &request.label_selector, range)?;
        let identified = !request.profile_id_selector.is_empty() || !request.trace_id_selector.is_empty();
        let bytes = self.pprof(&query, &kind, request.stack_trace_selector.as_ref(), identified)?;
        match self.call.encoding {
            Encoding::Proto => Ok(bytes.into()),
            Encoding::Json => {
                let profile = google::Profile::decode(&*bytes)
                    .map_err(|error| RpcError::new(Code::Internal, error.to_string()))?;
                encode(Encoding::Json, &profile)
            }
        }
    }

    fn pprof(
        &self,
        query: &Query,
        kind: &ProfileType,
        selector: Option<&StackTraceSelector>,
        identified: bool,
    ) -> Result<Vec<u8>, RpcError> {
        // Profiles and spans have no identity here: nothing matches theirs.
        let (dictionary, mut sums) =
            if identified { Default::default() } else { self.app.engine.merge_stacks(query)? };
        if let Some(path) = call_site(selector) {
            let matches = stacks_within(&dictionary, &path);
            sums.retain(|(stack, _)| matches.get(stack.index()).copied().unwrap_or(false));
        }
        if let Some(pgo) = selector.and_then(|selector| selector.go_pgo.as_ref()) {
            let keep = usize::try_from(pgo.keep_locations).unwrap_or(usize::MAX);
            return Ok(go_pgo(&dictionary, sums, kind, query.range, keep, pgo.aggregate_callees));
        }
        Ok(encode_pprof(&dictionary, sums, kind, query.range))
    }

    fn diff(&self, request: &DiffRequest) -> Result<DiffResponse, RpcError> {
        let side = |name: &str, side: &Option<SelectMergeStacktracesRequest>| {
            side.clone().ok_or_else(|| RpcError::invalid(format!("{name}: missing; expected a query")))
        };
        let (left, right) = (side("left", &request.left)?, side("right", &request.right)?);
        let nodes = self.nodes(left.max_nodes.or(right.max_nodes))?;
        let graph = flamebearer::diff(&self.tree(&left)?, &self.tree(&right)?, nodes);
        Ok(DiffResponse { flamegraph: Some(graph) })
    }

    fn stats(&self) -> Result<GetProfileStatsResponse, RpcError> {
        let bounds = self.app.engine.bounds(&self.call.tenant)?;
        let (oldest, newest) = bounds.unwrap_or_default();
        Ok(GetProfileStatsResponse {
            data_ingested: bounds.is_some(),
            oldest_profile_time: oldest,
            newest_profile_time: newest,
        })
    }
}

/// How many nodes a flame graph gets; 0 is all.
pub(super) fn nodes(app: &App, tenant: &str, asked: Option<i64>) -> Result<usize, RpcError> {
    let limits = app.query_limits(tenant);
    let nodes = match asked {
        Some(nodes) if nodes > 0 => usize::try_from(nodes).unwrap_or(usize::MAX),
        _ if limits.nodes_max > 0 => limits.nodes_default.min(limits.nodes_max),
        _ => limits.nodes_default,
    };
    if limits.nodes_max > 0 && nodes > limits.nodes_max {
        let message = format!("max_nodes: {nodes} exceeds the limit of {}", limits.nodes_max);
        return Err(RpcError::invalid(message));
    }
    Ok(nodes)
}

/// A merged profile as pprof, uncompressed.
pub(super) fn encode_pprof(
    dictionary: &Dictionary,
    sums: Vec<(StackId, i64)>,
    kind: &ProfileType,
    range: Range,
) -> Vec<u8> {
    let nanos = |ms: i64| ms.saturating_mul(1_000_000);
    pprof::encode_merged(dictionary, sums, kind, 1, nanos(range.start_ms()), nanos(range.length_ms()))
}

/// A merged profile as Go's compiler wants it for profile-guided optimisation: of each stack the
/// `keep` locations nearest the leaf (0 keeps all), and, if callees are to be aggregated, the leaf
/// without its line.
pub(super) fn go_pgo(
    dictionary: &Dictionary,
    sums: Vec<(StackId, i64)>,
    kind: &ProfileType,
    range: Range,
    keep: usize,
    aggregate_callees: bool,
) -> Vec<u8> {
    let mut to = Dictionary::default();
    let mut remap = Remap::new(dictionary);
    let mut merged: HashMap<StackId, i64> = HashMap::new();
    let keep = if keep == 0 { usize::MAX } else { keep };
    for (stack, value) in sums {
        let locations: Vec<LocationId> = dictionary.leaf_first(stack).take(keep).collect();
        let mut copied = StackId::NONE;
        for (depth, &location) in locations.iter().enumerate().rev() {
            let mut location = remap.location(dictionary, &mut to, location);
            if depth == 0 && aggregate_callees {
                let mut leaf = to.get_location(location).clone();
                leaf.address = 0;
                leaf.lines.iter_mut().for_each(|line| line.line = 0);
                location = to.location(leaf);
            }
            copied = to.push(copied, location);
        }
        let sum = merged.entry(copied).or_default();
        *sum = sum.saturating_add(value);
    }
    let mut sums: Vec<(StackId, i64)> = merged.into_iter().collect();
    sums.sort_unstable();
    encode_pprof(&to, sums, kind, range)
}

/// The profile type that a text names.
fn kind_of(id: &str) -> Result<ProfileType, RpcError> {
    id.parse().map_err(|error| RpcError::invalid(format!("profile_typeID: {error}")))
}

fn pairs(labels: &LabelSet) -> Vec<LabelPair> {
    labels.iter().map(|(name, value)| LabelPair { name: name.to_owned(), value: value.to_owned() }).collect()
}

/// The path from the root that stacks must begin with, if one is asked for.
fn call_site(selector: Option<&StackTraceSelector>) -> Option<Vec<String>> {
    let path: Vec<String> = selector?.call_site.iter().map(|site| site.name.clone()).collect();
    (!path.is_empty()).then_some(path)
}

/// How far into `path` a node is whose parent is `parent` far: `Some(path.len())` is within.
fn follow(path: &[String], parent: Option<usize>, name: &str) -> Option<usize> {
    match parent? {
        matched if matched == path.len() => Some(matched),
        matched => (path[matched] == name).then_some(matched + 1),
    }
}

/// The part of a tree that lies below `path`, the path included.
fn within(tree: &Tree, path: &[String]) -> Tree {
    let mut kept = Tree::default();
    let mut states: Vec<(Option<usize>, NodeId)> = vec![(Some(0), NodeId::ROOT)];
    let layers: Vec<_> = tree.names().map(|(_, layer)| layer).collect();
    for index in 1..tree.len() {
        let node = NodeId(u32::try_from(index).unwrap_or(0));
        let (parent, copied) = states[tree.parent(node).0 as usize];
        let state = follow(path, parent, tree.name(node));
        let mut copy = NodeId::ROOT;
        if let Some(matched) = state {
            let layer = layers.get(tree.name_index(node) as usize).copied().unwrap_or_default();
            copy = kept.child(copied, tree.name(node), layer);
            if matched == path.len() {
                kept.add(copy, tree.self_value(node));
            }
        }
        states.push((state, copy));
    }
    kept
}

/// By stack, whether it begins with `path`.
fn stacks_within(dictionary: &Dictionary, path: &[String]) -> Vec<bool> {
    let mut states: Vec<Option<usize>> = vec![Some(0)];
    for (location, caller) in dictionary.stacks().skip(1) {
        let names = dictionary.names(location);
        let parent = states.get(caller.index()).copied().flatten();
        states.push(names.iter().rev().fold(parent, |state, (name, _)| follow(path, state, name)));
    }
    states.into_iter().map(|state| state == Some(path.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_site_keeps_what_is_below_it() {
        let mut tree = Tree::default();
        for (path, value) in
            [(&["main", "work", "hash"][..], 1), (&["main", "work"], 2), (&["main"], 4), (&["init"], 8)]
        {
            tree.add_path(path.iter().copied(), value);
        }
        let path = ["main".to_owned(), "work".to_owned()];
        let kept = within(&tree, &path);
        assert_eq!((kept.total(), kept.len()), (3, 4));
    }
}
