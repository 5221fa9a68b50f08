#![no_main]
//! Go's table of functions: every iteration ends, and functions are found at their own addresses.

use hearth_objfile::ElfAddress;
use hearth_objfile::pclntab::{INLINE_DEPTH_MAX, Table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(table) = Table::parse(data, Some(ElfAddress(0x1000))) else { return };
    let table = table.with_function_data(ElfAddress(0x8000), ElfAddress(0x8000), data);
    for function in table.iter().take(64) {
        table.name(&function);
        assert!(table.stack_heights(&function).count() <= data.len());
        let mut depth = 0;
        table.frames(function.start, |_| depth += 1);
        assert!(depth <= INLINE_DEPTH_MAX);
    }
});
