#![no_main]
//! Folded stacks: what was read can be written and read again.

use hearth_codec::{Limits, flamebearer, flm1, folded, svg};
use hearth_profile::ValueType;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let Ok(tree) = folded::read(data, &limits) else { return };
    let written = folded::write(&tree);
    let again = folded::read(written.as_bytes(), &Limits::default()).expect("our own text is read");
    assert!(again.total() <= tree.total(), "nothing is made up");
    let _ = flm1::encode(&tree);
    let _ = flamebearer::levels(&tree, 100);
    let _ = svg::write(&tree, "title", &ValueType::new("cpu", "nanoseconds"));
});
