//! Test support: programs with known CPU shares, child processes that end with their test, a small
//! HTTP client, folded stacks and generated profiles.
//!
//! Used by tests and benchmarks only.

mod elf;
mod generate;
mod grammar;
mod http;
mod perf;
mod process;
mod programs;
mod real;
mod short;
mod stacks;
mod workload;

pub use elf::Functions;
pub use generate::Generator;
pub use grammar::{Grammar, Shape};
pub use http::{Response, get, get_json, post};
pub use perf::{Comparable, Counts, perf_record};
pub use process::{Child, Usage, free_port, is_root, say, usage, wait_until};
pub use programs::{Limit, PROGRAMS, Program, Verdict, compile, run_programs};
pub use real::{REAL_PROGRAMS, RealProgram, SERVICE_PREFIX, program_source};
pub use short::{Attribution, ShortProcesses, ShortUsage};
pub use stacks::{Completeness, Stack, StackFrame, distance, stacks};
pub use workload::{Workload, shares};
