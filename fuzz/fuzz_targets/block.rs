#![no_main]
//! Blocks: the directory at their end, and everything it leads to.

use std::sync::Arc;

use bytes::Bytes;
use hearth_block::Block;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let blob = Arc::new(Bytes::copy_from_slice(data));
    if let Ok(block) = Block::open("fuzz", blob) {
        let _ = block.verify();
    }
});
