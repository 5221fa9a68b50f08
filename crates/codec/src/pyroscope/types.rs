//! `types.v1`: labels, series, profile types.

messages! {
    /// A label.
    LabelPair {
        /// Its name.
        1 name: string,
        /// Its value.
        2 value: string,
    }

    /// A profile type and its five parts.
    ProfileType {
        /// All parts, joined by colons.
        1 id: string ("ID"),
        /// The metric: `process_cpu`.
        2 name: string,
        /// What a value counts.
        4 sample_type: string,
        /// Its unit.
        5 sample_unit: string,
        /// What triggers a sample.
        6 period_type: string,
        /// Its unit.
        7 period_unit: string,
    }

    /// A label set.
    Labels {
        /// The labels, sorted by name.
        1 labels: messages<LabelPair>,
    }

    /// A series with its values over time.
    Series {
        /// Whose values they are.
        1 labels: messages<LabelPair>,
        /// The values, by time.
        2 points: messages<Point>,
    }

    /// A value at a time.
    Point {
        /// The value.
        1 value: double,
        /// Milliseconds since the Unix epoch.
        2 timestamp: int64,
    }

    /// Asks for the values of a label.
    LabelValuesRequest {
        /// The label's name.
        1 name: string,
        /// Selectors; a series that any of them matches counts.
        2 matchers: strings,
        /// Milliseconds since the Unix epoch.
        3 start: int64,
        /// Milliseconds since the Unix epoch.
        4 end: int64,
    }

    /// The values of a label.
    LabelValuesResponse {
        /// The values; the field is called `names` in Pyroscope's API.
        1 names: strings,
    }

    /// Asks for the names of labels.
    LabelNamesRequest {
        /// Selectors; a series that any of them matches counts.
        1 matchers: strings,
        /// Milliseconds since the Unix epoch.
        2 start: int64,
        /// Milliseconds since the Unix epoch.
        3 end: int64,
    }

    /// The names of labels.
    LabelNamesResponse {
        /// The names.
        1 names: strings,
    }

    /// Restricts a query to stacks with a certain beginning.
    StackTraceSelector {
        /// The path from the root that a stack must have.
        1 call_site: messages<CallSite>,
        /// How to shape a profile for Go's profile-guided optimisation.
        2 go_pgo: message<GoPgo> ("goPgo"),
    }

    /// One function of a call site; `Location` in Pyroscope's API.
    CallSite {
        /// The function's name.
        1 name: string,
    }

    /// Options of a profile for Go's profile-guided optimisation.
    GoPgo {
        /// How many locations from the leaf to keep.
        1 keep_locations: uint32,
        /// Whether the leaf's line is dropped.
        2 aggregate_callees: bool,
    }

    /// Asks how much data a tenant has.
    GetProfileStatsRequest {}

    /// How much data a tenant has.
    GetProfileStatsResponse {
        /// Whether any profile was ever received.
        1 data_ingested: bool,
        /// Milliseconds since the Unix epoch.
        2 oldest_profile_time: int64,
        /// Milliseconds since the Unix epoch.
        3 newest_profile_time: int64,
    }
}
