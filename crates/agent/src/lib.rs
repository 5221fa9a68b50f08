//! The agent: a collector whose profiles come from this host's kernel.
//!
//! ```text
//! YAML, flags ─▶ hearth-collector ─▶ receivers: profiling ─▶ hearth-sampler (BPF)
//!                                    exporters: otlp_grpc, debug, nop
//! ```
//!
//! A configuration of the OpenTelemetry eBPF profiler's collector distribution runs here unchanged:
//! the same receiver type and keys, the same commands, flags, messages and exit codes. [`cli::main`]
//! is the command; [`Agent`] runs a configuration inside another program.
//!
//! # What this crate does not do
//!
//! It takes no samples (`hearth-sampler`) and knows no pipeline mechanics (`hearth-collector`).

mod agent;
pub mod cli;
mod logging;
pub mod profiling;

pub use agent::{Agent, ConfigSource, Error, registry};
pub use hearth_collector::Gates;
