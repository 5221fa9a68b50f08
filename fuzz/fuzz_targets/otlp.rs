#![no_main]
//! Requests of OTLP profiles: what was decoded can be encoded and decoded again.

use hearth_codec::Limits;
use hearth_codec::otlp::{decode_request, decode_response, encode_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let _ = decode_response(data);
    let Ok(decoded) = decode_request(data, &limits) else { return };
    let encoded = encode_request(&decoded.batch);
    assert!(decode_request(&encoded, &Limits::default()).is_ok());
});
