#![no_main]
//! Debug information of any file: an index is built of it within bounds, and gives back what was put in.

use hearth_objfile::ElfAddress;
use hearth_symbolize::index::{Inputs, Limits, Reader, build};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = data.to_vec();
    // The bytes may also be an index themselves.
    if let Ok(mut reader) = Reader::open(bytes.clone()) {
        let _ = reader.frames(ElfAddress(0x1000), &mut Vec::new());
    }
    let limits = Limits {
        decompressed_bytes_max: 1 << 20,
        unit_bytes_max: 1 << 20,
        index_bytes_max: 8 << 20,
        ranges_max: 10_000,
        ..Limits::default()
    };
    let inputs = Inputs { binary: Some(&bytes), debug: Some(&bytes), ..Inputs::default() };
    let Ok((summary, index)) = build(&inputs, &limits, Vec::new()) else { return };
    assert_eq!(summary.bytes, index.len() as u64);
    let mut reader = Reader::open(index).expect("what was written can be opened");
    for address in [0, 0x1000, 0x40_1000] {
        let mut frames = Vec::new();
        reader.frames(ElfAddress(address), &mut frames).expect("what was written can be read");
        assert!(frames.len() <= 257);
    }
});
