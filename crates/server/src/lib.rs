//! The Pyroscope-compatible backend: ingest and query APIs, relabeling, limits, the embedded UI.
