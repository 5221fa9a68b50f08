#![no_main]
//! Pyroscope's binary tries and trees: what was read as a tree can be written and read again.

use hearth_codec::{Limits, trie};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_bytes: 1 << 20, max_table: 100_000, ..Limits::default() };
    let _ = trie::read_trie(data, &limits);
    let Ok(tree) = trie::read_tree(data, &limits) else { return };
    let again = trie::read_tree(&trie::write_tree(&tree), &Limits::default());
    assert_eq!(again.map(|again| again.total()).ok(), Some(tree.total()));
});
