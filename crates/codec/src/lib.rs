//! Wire formats to and from profiles.
//!
//! ```text
//! OTLP (protobuf, JSON) ─┐                  ┌─▶ OTLP
//! pprof, JFR            ─┼─▶ ProfileBatch ──┼─▶ pprof
//! folded, trie, tree,   ─┘   Tree ──────────┴─▶ folded, speedscope, DOT, SVG, FLM1, flamebearer
//! speedscope
//! Pyroscope's API messages, as structs: [`pyroscope`]
//! ```
//!
//! # What this crate does not do
//!
//! It has no sockets, no files and no clock: bytes come in, bytes go out. What comes in is
//! hostile: every length, index, depth and count is checked against [`Limits`] before use.

mod depth;
pub mod dot;
pub mod flamebearer;
pub mod flm1;
pub mod folded;
pub mod jfr;
mod limits;
pub mod multipart;
pub mod otlp;
pub mod pprof;
pub mod pyroscope;
pub mod speedscope;
pub mod stacks;
pub mod svg;
pub mod text;
pub mod trie;
pub mod wire;

pub use limits::{LimitExceeded, Limits};
