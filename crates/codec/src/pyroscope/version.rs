//! `version.v1`: which version of an API a server has.

messages! {
    /// Asks for the versions.
    VersionRequest {}

    /// The versions.
    VersionResponse {
        /// That of `querier.v1`.
        1 querier_api: uint64 ("QuerierAPI"),
    }
}
