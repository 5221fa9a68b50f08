#![no_main]
//! Java's flight recordings, and the labels that come with them.

use hearth_codec::{Limits, jfr};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let labels = jfr::Labels::decode(data, &limits).unwrap_or_default();
    let _ = jfr::decode(data, &labels, 10_000_000, &limits);
});
