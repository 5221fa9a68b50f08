//! Keeps what was acknowledged: write-ahead log, head, segments, catalog.
