//! What the tests share: real executables and their rows.

use std::path::PathBuf;

use hearth_objfile::ObjectFile;
use hearth_unwind::{Arch, Input, Limits, Rows, Section, build};

/// Executables to test with: this test itself, the C library, and larger ones where they are installed.
pub(crate) fn executables() -> Vec<PathBuf> {
    let mut found = vec![std::env::current_exe().expect("a test is an executable")];
    let installed = [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
        "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
        "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
        "/usr/bin/node",
        "/usr/bin/python3",
    ];
    found.extend(installed.iter().map(PathBuf::from).filter(|path| path.exists()));
    found
}

/// A section's bytes and place.
pub(crate) fn section<'a>(object: &ObjectFile, data: &'a [u8], name: &str) -> Option<Section<'a>> {
    let section = object.section(name).filter(|section| !section.compressed)?;
    let start = usize::try_from(section.file_offset.0).ok()?;
    let bytes = data.get(start..)?.get(..usize::try_from(section.file_size).ok()?)?;
    Some(Section { address: section.elf_address, bytes })
}

/// The rows of a file.
pub(crate) fn rows(object: &ObjectFile, data: &[u8]) -> Option<Rows> {
    let input = Input {
        arch: Arch::of(object.machine)?,
        segments: &object.segments,
        eh_frame: section(object, data, ".eh_frame"),
        debug_frame: section(object, data, ".debug_frame"),
        text: None,
    };
    build(&input, &Limits::default()).ok()
}
