#![no_main]
//! ELF headers, notes and sections: never a panic, and facts within their bounds.

use hearth_objfile::{FileOffset, ObjectFile, limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(object) = ObjectFile::parse(data) else { return };
    assert!(object.sections.len() <= limits::SECTIONS_MAX as usize);
    assert!(object.build_id.iter().all(|id| id.len() <= 2 * limits::BUILD_ID_BYTES_MAX));
    for segment in &object.segments {
        // What is translated there and back stays in the same kind of place.
        let offset = segment.file_offset;
        if let Some(address) = object.elf_address(offset) {
            let back = object.file_offset(address).expect("an address from the file is in the file");
            assert!(object.elf_address(back).is_some());
        }
        let _ = object.elf_address(FileOffset(offset.0.wrapping_add(segment.file_size)));
    }
    let _ = object.is_go();
});
