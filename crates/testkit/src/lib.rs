//! Test support: programs with known CPU shares, child processes that end with their test, a small
//! HTTP client, folded stacks and generated profiles.
//!
//! Used by tests and benchmarks only.

mod generate;
mod http;
mod process;
mod workload;

pub use generate::Generator;
pub use http::{Response, get, get_json, post};
pub use process::{Child, Usage, free_port, is_root, say, usage, wait_until};
pub use workload::{Workload, shares};
