//! The configuration map: where configuration comes from and how it becomes one tree.
//!
//! Sources (`file:`, `env:`, `yaml:`) are read and merged in order, then every `${…}` in a value is
//! replaced. A value that came from a reference keeps its original text, because whether `0123` is a
//! number or a password is known only to the field that takes it.

mod print;
mod resolve;
mod value;
mod yaml;

pub use print::{to_json, to_yaml};
pub use resolve::{Environment, ProcessEnvironment, ResolveError, Resolved, resolve, set_location};
pub use value::{Expanded, Map, Value};
pub use yaml::{Limits, YamlError, parse, parse_with};
