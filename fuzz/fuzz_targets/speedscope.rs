#![no_main]
//! speedscope's files.

use hearth_codec::{Limits, speedscope};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, max_table: 100_000, ..Limits::default() };
    let _ = speedscope::read(data, &limits);
});
