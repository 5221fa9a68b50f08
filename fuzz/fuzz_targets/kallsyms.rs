#![no_main]
//! The text of /proc/kallsyms.

use hearth_symbolize::{FUNCTION_BYTES_MAX, KernelSymbols};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(symbols) = KernelSymbols::parse(data) else { return };
    assert!(!symbols.is_empty());
    for address in [0, 1, 0xffff_ffff_8100_0000, u64::MAX] {
        if let Some(symbol) = symbols.lookup(address) {
            assert!(symbol.start <= address && address - symbol.start < FUNCTION_BYTES_MAX);
        }
    }
});
