#![no_main]
//! ELF symbol tables: sorted, bounded, and a look-up stays within its function.

use hearth_objfile::ElfAddress;
use hearth_symbolize::{FrameSource, Limits, SymbolTable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { symbols_max: 100_000, names_bytes_max: 1 << 20 };
    let Ok(table) = SymbolTable::from_elf_with(data, &limits) else { return };
    let mut previous = ElfAddress(0);
    let mut frames = Vec::new();
    for symbol in table.iter() {
        assert!(symbol.start >= previous && symbol.size > 0 && !symbol.name.is_empty());
        previous = symbol.start;
        let found = table.lookup(symbol.start).expect("a function is found at its own start");
        assert!(found.start == symbol.start && found.size <= symbol.size);
        frames.clear();
        assert!(table.frames(symbol.start, &mut frames) && frames.len() == 1);
    }
});
