#![no_main]
//! Configuration: YAML, references, and the tree printed again.

use hearth_collector::confmap::{parse, to_json, to_yaml};
use hearth_collector::duration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = duration::parse(text);
    let Ok(value) = parse(text) else { return };
    let _ = to_json(&value);
    let printed = to_yaml(&value);
    // Escaped, a key of control characters may exceed the 1,024 characters YAML allows.
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return;
    }
    assert!(parse(&printed).is_ok(), "printed YAML is read again: {printed:?}");
});
