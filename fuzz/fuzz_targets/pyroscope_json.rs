#![no_main]
//! Messages of Pyroscope's API as JSON.

use hearth_codec::pyroscope::{from_json, google, push, querier};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = from_json::<google::Profile>(data);
    let _ = from_json::<push::PushRequest>(data);
    let _ = from_json::<querier::SelectSeriesRequest>(data);
});
