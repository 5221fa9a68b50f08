#![no_main]
//! Raw names: bounded output, bounded time, never a panic.

use hearth_symbolize::{NAME_BYTES_MAX, demangle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(name) = std::str::from_utf8(data) else { return };
    // Prefixes a fuzzer would take long to find.
    for prefix in ["", "_Z", "_ZN", "_R"] {
        let raw = format!("{prefix}{name}");
        let shown = demangle(&raw).name;
        assert!(shown.len() <= NAME_BYTES_MAX);
        assert!(!shown.is_empty() || raw.is_empty());
    }
});
