//! The Pyroscope-compatible backend: ingest and query APIs, relabeling, limits, the embedded UI.
//!
//! ```text
//! one port: HTTP/1.1 and HTTP/2, with TLS and credentials if asked
//!   OTLP, push.v1, /ingest ─▶ decode ─▶ ingest (labels, relabeling, limits, slots) ─▶ store
//!   querier.v1 (Connect, gRPC, gRPC-Web), /api/v1 ─▶ query engine ─▶ answers
//!   symbols (debuginfo services, /api/v1/symbols) ─▶ shelf ─▶ names for the store's dictionaries
//!   UI, /ready, /metrics
//! ```
//!
//! The server introduces the store to the query engine: neither knows the other.
//!
//! # What this crate does not do
//!
//! It does not sample, it names only what came without a name, it has no storage format and no algorithm on stacks: those are
//! the crates below.
//!
//! # Where it differs from Pyroscope
//!
//! One bad profile never fails its siblings; frames without names are kept as `binary+0xaddr`;
//! profiles without a period are accepted; old data is accepted; labels with a value per thread or
//! process are not stored unless `limits.ingestion_dropped_labels` says so (an empty list keeps
//! all); queries have no longest range by default.

mod access;
pub mod cli;
pub mod client;
mod config;
mod http;
mod ingest;
mod md5;
mod metrics;
mod relabel;
mod remote;
mod server;
mod symbols;
mod tenants;
mod tls;

pub use config::{Config, ConfigError, IngestLimits, QueryLimits};
pub use remote::{Remote, RemoteSymbols};
pub use server::{Error, Server};
pub use symbols::SymbolLimits;
