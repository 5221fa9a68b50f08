//! Pyroscope's older query interface: `/pyroscope/render`, `render-diff` and `label-values`.
//!
//! A query is `profile-type{selector}`; times are as [`time`] reads them. Graphs are in the JSON of
//! version 1, which Grafana's Profiles Drilldown and many scripts read.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use hearth_codec::pyroscope::querier::{FlameGraph, FlameGraphDiff, Level};
use hearth_codec::{dot, flamebearer};
use hearth_profile::{LabelSet, ProfileType, Tree};
use hearth_query::{Query, Range, Selector, SeriesSpec};
use serde_json::{Value, json};

use super::api::{self, Answer, Asked};
use super::rpc::RpcError;
use super::{App, now_ms, querier, time};

/// Points that a timeline has at most.
const POINTS: i64 = 1_500;
/// Shortest distance of points, in seconds.
const STEP_SECONDS_MIN: i64 = 15;
/// Most groups of one answer.
const GROUPS_MAX: usize = 100;

/// The routes of this interface.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/pyroscope/render", get(async |state, request| answer(state, request, render).await))
        .route(
            "/pyroscope/render-diff",
            get(async |state, request| answer(state, request, render_diff).await),
        )
        .route(
            "/pyroscope/label-values",
            get(async |state, request| answer(state, request, label_values).await),
        )
}

async fn answer(state: State<Arc<App>>, request: Request, endpoint: api::Endpoint) -> Response {
    api::answer(state, request, endpoint).await
}

/// One graph's query.
struct Asking {
    query: Query,
    kind: ProfileType,
}

/// Reads the query of the parameters `query`, `from` and `until`, or of others with these endings.
fn asking(asked: &Asked<'_>, [query, from, until]: [&str; 3]) -> Result<Asking, RpcError> {
    let text = asked.text(query);
    if text.is_empty() {
        return Err(RpcError::invalid(format!("{query}: missing; expected profile-type{{selector}}")));
    }
    let (kind, selector) = text.split_at(text.find('{').unwrap_or(text.len()));
    let kind: ProfileType =
        kind.trim().parse().map_err(|error| RpcError::invalid(format!("{query}: {error}")))?;
    let selector = Selector::parse(selector)
        .map_err(|error| RpcError::invalid(format!("{query}: {error}")))?
        .with_type(&kind);
    let now_ns = now_ms().saturating_mul(1_000_000);
    let at = |name: &str, default: &str| {
        let given = asked.text(name);
        let text = if given.is_empty() { default } else { given };
        let ns = time::parse(text, now_ns).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            RpcError::invalid(format!("{name}: {shown:?} is no time; expected seconds since 1970, or now-1h"))
        })?;
        Ok::<i64, RpcError>(ns / 1_000_000)
    };
    let range =
        Range::inclusive(at(from, "now-1h")?, at(until, "now")?).map_err(hearth_query::Error::from)?;
    asked.within_length(range)?;
    let query = Query { tenant: asked.tenant.clone(), selector, range, cancel: asked.cancel.clone() };
    Ok(Asking { query, kind })
}

fn nodes(asked: &Asked<'_>) -> Result<usize, RpcError> {
    let given = ["maxNodes", "max-nodes"].map(|name| asked.text(name));
    // What is no number is tolerated, as Pyroscope does.
    let nodes = given.iter().find_map(|text| text.parse::<i64>().ok());
    querier::nodes(asked.app, &asked.tenant, nodes)
}

fn render(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let Asking { query, kind } = asking(asked, ["query", "from", "until"])?;
    let tree = asked.app.engine.merge_tree(&query)?;
    if asked.text("format") == "dot" {
        let text = dot::write(&tree, &kind.name, &kind.sample, querier::DOT_NODES);
        return Ok(Answer::new("text/vnd.graphviz; charset=utf-8", text.into()));
    }
    let group = asked.text("groupBy");
    let group_by = if group.is_empty() { Vec::new() } else { vec![group.to_owned()] };
    let seconds = (query.range.length_ms() / 1_000 / POINTS).max(STEP_SECONDS_MIN);
    let spec = SeriesSpec { step_ms: seconds * 1_000, group_by, limit: GROUPS_MAX };
    let series = asked.app.engine.dense_series(&query, &spec)?;
    let start = query.range.start_ms() / 1_000;
    let timeline = |values: &[i64]| json!({"startTime": start, "samples": values, "durationDelta": seconds, "watermarks": null});
    let mut answer = graph(&flamebearer::levels(&tree, nodes(asked)?), &kind);
    if group.is_empty() {
        answer["timeline"] = series.first().map_or_else(|| timeline(&[]), |one| timeline(&one.values));
        answer["groups"] = Value::Null;
    } else {
        let named = |labels: &LabelSet| labels.get(group).unwrap_or_default().to_owned();
        let groups = series.iter().map(|one| (named(&one.labels), timeline(&one.values)));
        answer["groups"] = groups.collect::<serde_json::Map<_, _>>().into();
        // Only a single series has one timeline.
        answer["timeline"] = match series.as_slice() {
            [one] => timeline(&one.values),
            _ => Value::Null,
        };
    }
    Ok(answer.into())
}

/// A flame graph in JSON of version 1.
pub(super) fn graph(graph: &FlameGraph, kind: &ProfileType) -> Value {
    json!({
        "version": 1,
        "flamebearer": {
            "names": graph.names,
            "levels": levels(&graph.levels),
            "numTicks": graph.total,
            "maxSelf": graph.max_self,
        },
        "metadata": metadata("single", kind),
    })
}

/// A tree as a file that Pyroscope's and Grafana's viewers open.
pub(super) fn file(tree: &Tree, kind: &ProfileType, nodes: usize) -> Value {
    let mut file = graph(&flamebearer::levels(tree, nodes), kind);
    file["timeline"] = Value::Null;
    file["groups"] = Value::Null;
    file
}

fn levels(levels: &[Level]) -> Vec<&[i64]> {
    levels.iter().map(|level| level.values.as_slice()).collect()
}

fn metadata(format: &str, kind: &ProfileType) -> Value {
    let (units, rate) = match kind.sample.name.as_str() {
        "cpu" => ("samples", 1_000_000_000),
        "inuse_objects" | "alloc_objects" | "goroutine" | "samples" => ("objects", 100),
        _ => (kind.sample.unit.as_str(), 100),
    };
    json!({
        "format": format,
        "spyName": "",
        "sampleRate": rate,
        "units": units,
        "name": kind.sample.name,
    })
}

fn render_diff(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let left = asking(asked, ["leftQuery", "leftFrom", "leftUntil"])?;
    let right = asking(asked, ["rightQuery", "rightFrom", "rightUntil"])?;
    if left.kind != right.kind {
        let message = format!("leftQuery, rightQuery: profile types {} and {} differ", left.kind, right.kind);
        return Err(RpcError::invalid(message));
    }
    let trees = [&left, &right].map(|side| asked.app.engine.merge_tree(&side.query));
    let [left_tree, right_tree] = trees;
    let FlameGraphDiff { names, levels: bars, total, max_self, left_ticks, right_ticks } =
        flamebearer::diff(&left_tree?, &right_tree?, nodes(asked)?);
    Ok(json!({
        "version": 1,
        "flamebearer": {"names": names, "levels": levels(&bars), "numTicks": total, "maxSelf": max_self},
        "metadata": metadata("double", &left.kind),
        "leftTicks": left_ticks,
        "rightTicks": right_ticks,
        "timeline": null,
        "groups": null,
    })
    .into())
}

fn label_values(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let label = asked.text("label");
    if label.is_empty() {
        return Err(RpcError::invalid("label: missing; expected the name of a label"));
    }
    let selector =
        Selector::parse(asked.text("query")).map_err(|error| RpcError::invalid(format!("query: {error}")))?;
    let query =
        Query { tenant: asked.tenant.clone(), selector, range: Range::all(), cancel: asked.cancel.clone() };
    let values: Vec<String> = if label == "__name__" {
        asked.app.engine.profile_types(&query)?.iter().map(ToString::to_string).collect()
    } else {
        asked.app.engine.label_values(&query, label)?
    };
    Ok(Value::from(values).into())
}
