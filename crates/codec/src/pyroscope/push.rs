//! `push.v1`: what Pyroscope's SDKs and Alloy send.

use super::types::LabelPair;

messages! {
    /// Profiles to store.
    PushRequest {
        /// By series.
        1 series: messages<RawProfileSeries>,
    }

    /// Nothing: the profiles are stored.
    PushResponse {}

    /// The profiles of one series.
    RawProfileSeries {
        /// The series' labels; `__name__` is the metric.
        1 labels: messages<LabelPair>,
        /// The profiles.
        2 samples: messages<RawSample>,
    }

    /// One profile.
    RawSample {
        /// pprof, gzip-compressed or not.
        1 raw_profile: bytes,
        /// A UUID, or empty.
        2 id: string ("ID"),
    }
}
