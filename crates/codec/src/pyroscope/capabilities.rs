//! `capabilities.v1`: what a server can do beyond what all can.

messages! {
    /// Asks which features a server has.
    GetFeatureFlagsRequest {}

    /// The features of a server.
    GetFeatureFlagsResponse {
        /// By name.
        1 feature_flags: messages<FeatureFlag>,
    }

    /// One feature.
    FeatureFlag {
        /// Its name.
        1 name: string,
        /// Whether the server has it.
        2 enabled: bool,
        /// What it is.
        3 description: string,
    }
}
