//! `querier.v1`: what Grafana, Profiles Drilldown and `profilecli` ask. All times are milliseconds
//! since the Unix epoch.

use super::types::{Labels, ProfileType, Series, StackTraceSelector};

pub use super::types::{
    GetProfileStatsRequest, GetProfileStatsResponse, LabelNamesRequest, LabelNamesResponse,
    LabelValuesRequest, LabelValuesResponse,
};

/// The form of a profile in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ProfileFormat {
    /// A flame graph.
    Unspecified = 0,
    /// A flame graph.
    Flamegraph = 1,
    /// Pyroscope's own tree encoding.
    Tree = 2,
    /// Graphviz.
    Dot = 3,
    /// pprof.
    Pprof = 4,
}

/// How the values of one step become a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Aggregation {
    /// Their sum.
    Sum = 0,
    /// Their mean.
    Average = 1,
}

messages! {
    /// Asks which profile types exist.
    ProfileTypesRequest {
        /// First millisecond.
        1 start: int64,
        /// Last millisecond.
        2 end: int64,
    }

    /// The profile types.
    ProfileTypesResponse {
        /// The types.
        1 profile_types: messages<ProfileType>,
    }

    /// Asks for distinct label sets.
    SeriesRequest {
        /// Selectors; a series that any of them matches counts.
        1 matchers: strings,
        /// The labels to keep; all if empty.
        2 label_names: strings,
        /// First millisecond.
        3 start: int64,
        /// Last millisecond.
        4 end: int64,
    }

    /// Distinct label sets.
    SeriesResponse {
        /// The label sets.
        2 labels_set: messages<Labels>,
    }

    /// Asks for one flame graph of all matching profiles.
    SelectMergeStacktracesRequest {
        /// The profile type.
        1 profile_type_id: string ("profileTypeID"),
        /// The selector.
        2 label_selector: string,
        /// First millisecond.
        3 start: int64,
        /// Last millisecond.
        4 end: int64,
        /// How many nodes to keep.
        5 max_nodes: optional_int64,
        /// A [`ProfileFormat`].
        6 format: enumeration,
        /// Which stacks to keep.
        7 stack_trace_selector: message<StackTraceSelector>,
        /// Which profiles to keep, by UUID.
        8 profile_id_selector: strings,
        /// Which traces' samples to keep.
        10 trace_id_selector: strings,
        /// Which spans' samples to keep.
        11 span_selector: strings,
    }

    /// One flame graph of all matching profiles, in the form asked for.
    SelectMergeStacktracesResponse {
        /// For [`ProfileFormat::Flamegraph`].
        1 flamegraph: message<FlameGraph>,
        /// For [`ProfileFormat::Tree`].
        2 tree: bytes,
        /// For [`ProfileFormat::Dot`].
        3 dot: string,
        /// For [`ProfileFormat::Pprof`].
        5 pprof: message<PprofProfile>,
    }

    /// A pprof profile within a response.
    PprofProfile {
        /// The encoded profile.
        1 profile: message<super::google::Profile>,
    }

    /// Asks for one flame graph of the samples taken within certain spans.
    SelectMergeSpanProfileRequest {
        /// The profile type.
        1 profile_type_id: string ("profileTypeID"),
        /// The selector.
        2 label_selector: string,
        /// The spans' ids, hexadecimal.
        3 span_selector: strings,
        /// First millisecond.
        4 start: int64,
        /// Last millisecond.
        5 end: int64,
        /// How many nodes to keep.
        6 max_nodes: optional_int64,
        /// A [`ProfileFormat`].
        7 format: enumeration,
    }

    /// One flame graph of the samples taken within certain spans.
    SelectMergeSpanProfileResponse {
        /// For [`ProfileFormat::Flamegraph`].
        1 flamegraph: message<FlameGraph>,
        /// For [`ProfileFormat::Tree`].
        2 tree: bytes,
    }

    /// Asks for one pprof profile of all matching profiles; the answer is a
    /// [`Profile`](super::google::Profile).
    SelectMergeProfileRequest {
        /// The profile type.
        1 profile_type_id: string ("profileTypeID"),
        /// The selector.
        2 label_selector: string,
        /// First millisecond.
        3 start: int64,
        /// Last millisecond.
        4 end: int64,
        /// How many nodes to keep.
        5 max_nodes: optional_int64,
        /// Which stacks to keep.
        6 stack_trace_selector: message<StackTraceSelector>,
        /// Which profiles to keep, by UUID.
        7 profile_id_selector: strings,
        /// Which traces' samples to keep.
        8 trace_id_selector: strings,
    }

    /// Asks for totals over time.
    SelectSeriesRequest {
        /// The profile type.
        1 profile_type_id: string ("profileTypeID"),
        /// The selector.
        2 label_selector: string,
        /// First millisecond.
        3 start: int64,
        /// Last millisecond.
        4 end: int64,
        /// The labels that keep series apart.
        5 group_by: strings,
        /// Seconds between points.
        6 step: double,
        /// An [`Aggregation`].
        7 aggregation: enumeration,
        /// Which stacks to keep.
        8 stack_trace_selector: message<StackTraceSelector>,
        /// How many series to keep, by total.
        9 limit: optional_int64,
        /// Which exemplars to add.
        10 exemplar_type: enumeration,
    }

    /// Totals over time.
    SelectSeriesResponse {
        /// One series per distinct group.
        1 series: messages<Series>,
    }

    /// Asks for the difference of two queries.
    DiffRequest {
        /// The baseline.
        1 left: message<SelectMergeStacktracesRequest>,
        /// The comparison.
        2 right: message<SelectMergeStacktracesRequest>,
    }

    /// The difference of two queries.
    DiffResponse {
        /// The difference.
        1 flamegraph: message<FlameGraphDiff>,
    }

    /// A flame graph, level by level; see [`crate::flamebearer`].
    FlameGraph {
        /// Distinct function names; the first is `total`.
        1 names: strings,
        /// The levels, root first; four numbers per bar.
        2 levels: messages<Level>,
        /// The root's total.
        3 total: int64,
        /// The largest self value.
        4 max_self: int64,
    }

    /// Two flame graphs of one shape; see [`crate::flamebearer`].
    FlameGraphDiff {
        /// Distinct function names; the first is `total`.
        1 names: strings,
        /// The levels, root first; seven numbers per bar.
        2 levels: messages<Level>,
        /// The sum of both roots' totals.
        3 total: int64,
        /// The largest self value of either side.
        4 max_self: int64,
        /// The total of the left side.
        5 left_ticks: int64,
        /// The total of the right side.
        6 right_ticks: int64,
    }

    /// The bars of one level.
    Level {
        /// Four (or for a difference seven) numbers per bar, left to right.
        1 values: int64s,
    }

    /// Asks what a query would cost.
    AnalyzeQueryRequest {
        /// First millisecond.
        2 start: int64,
        /// Last millisecond.
        3 end: int64,
        /// The query.
        4 query: string,
    }

    /// What a query would cost.
    AnalyzeQueryResponse {
        /// By component.
        1 query_scopes: messages<QueryScope>,
        /// In sum.
        2 query_impact: message<QueryImpact>,
    }

    /// What a query would cost in one component.
    QueryScope {
        /// The component: `short term storage`.
        1 component_type: string,
        /// How many of them take part.
        2 component_count: uint64,
        /// Blocks to read.
        3 block_count: uint64,
        /// Series to read.
        4 series_count: uint64,
        /// Profiles to read.
        5 profile_count: uint64,
        /// Samples to read.
        6 sample_count: uint64,
        /// Bytes of index to read.
        7 index_bytes: uint64,
        /// Bytes of profiles to read.
        8 profile_bytes: uint64,
        /// Bytes of symbols to read.
        9 symbol_bytes: uint64,
    }

    /// What a query would cost in sum.
    QueryImpact {
        /// Bytes stored for the time range.
        2 total_bytes_in_time_range: uint64,
        /// Series to read.
        3 total_queried_series: uint64,
        /// Whether replicas must be told apart.
        4 deduplication_needed: bool,
    }
}
