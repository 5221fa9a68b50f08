#![no_main]
//! Profiles of pprof, compressed or not: what was decoded can be encoded and decoded again.

use hearth_codec::Limits;
use hearth_codec::pprof::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let Ok(batch) = decode(data, &limits) else { return };
    assert!(decode(&encode(&batch), &Limits::default()).is_ok());
});
