#![no_main]
//! Call frame information → rows → pages → look-ups: never a panic, and pages say what the rows say.

use hearth_objfile::{ElfAddress, FileOffset, Segment};
use hearth_unwind::{Arch, Input, Limits, Memory, Registers, Section, build, encode, step};
use libfuzzer_sys::fuzz_target;

/// Memory in which every word is its own address.
struct Echo;

impl Memory for Echo {
    fn read(&self, address: u64, to: &mut [u8]) -> bool {
        for (at, byte) in to.iter_mut().enumerate() {
            let word = address.wrapping_add(at as u64) & !7;
            *byte = word.to_le_bytes()[at % 8];
        }
        address % 11 != 0
    }
}

fuzz_target!(|data: &[u8]| {
    let [arch, split, bytes @ ..] = data else { return };
    let arch = if arch & 1 == 0 { Arch::X86_64 } else { Arch::Arm64 };
    let (eh, debug) = bytes.split_at(bytes.len() * usize::from(*split) / 255);
    let segment = Segment {
        file_offset: FileOffset(0x1000),
        elf_address: ElfAddress(0x1000),
        file_size: 1 << 24,
        memory_size: 1 << 24,
        executable: true,
    };
    let input = Input {
        arch,
        segments: &[segment],
        eh_frame: Some(Section { address: ElfAddress(0x10_0000), bytes: eh }),
        debug_frame: Some(Section { address: ElfAddress(0), bytes: debug }),
        text: Some(ElfAddress(0x1000)),
    };
    let Ok(rows) = build(&input, &Limits::default()) else { return };
    let table = encode(&rows).expect("few rules fit");
    let all: Vec<_> = rows.iter().collect();
    for pair in all.windows(2) {
        assert!(pair[0].0 < pair[1].0);
        for offset in [pair[0].0, pair[1].0 - 1] {
            assert_eq!(table.find(offset), pair[0].1);
        }
        let registers = Registers { sp: 0x7000, fp: 0x7010, leaf: true, known: arch.known(), ..Registers::default() };
        let _ = step(arch, &pair[0].1, &registers, &Echo);
    }
});
