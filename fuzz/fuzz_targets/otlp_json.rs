#![no_main]
//! Requests of OTLP profiles as JSON.

use hearth_codec::Limits;
use hearth_codec::otlp::decode_request_json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = decode_request_json(data, &Limits { max_bytes: 1 << 20, ..Limits::default() });
});
