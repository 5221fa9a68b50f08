//! Wire formats to and from profiles.
//!
//! ```text
//! OTLP (protobuf, JSON) ─┐                  ┌─▶ OTLP
//! pprof                 ─┼─▶ ProfileBatch ──┼─▶ pprof
//! folded                ─┘   Tree ──────────┴─▶ folded, SVG, FLM1, flamebearer
//! Pyroscope's API messages, as structs: [`pyroscope`]
//! ```
//!
//! # What this crate does not do
//!
//! It has no sockets, no files and no clock: bytes come in, bytes go out. What comes in is
//! hostile: every length, index, depth and count is checked against [`Limits`] before use.

pub mod flamebearer;
pub mod flm1;
pub mod folded;
mod limits;
pub mod otlp;
pub mod pprof;
pub mod pyroscope;
pub mod svg;
mod text;
pub mod wire;

pub use limits::{LimitExceeded, Limits};
