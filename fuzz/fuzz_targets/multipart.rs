#![no_main]
//! Forms: the media type is the first line, the body the rest.

use hearth_codec::multipart;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (media, body) = data.split_at(at);
    let _ = multipart::fields(&String::from_utf8_lossy(media), body);
});
