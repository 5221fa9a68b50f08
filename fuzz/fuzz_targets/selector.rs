#![no_main]
//! Selectors: never a panic, not even in a regular expression's compiler.

use hearth_query::Selector;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(selector) = Selector::parse(text) else { return };
    for matcher in selector.matchers() {
        let _ = matcher.accepts("value");
    }
});
