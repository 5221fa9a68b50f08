//! Bounds on what is read from a file somebody else made.
//!
//! Each is several times what the largest real files have (Chromium, LLVM, the kernel), and small
//! enough that a hostile file costs no more than a few megabytes.

/// Program headers of one file.
pub const SEGMENTS_MAX: u32 = 4096;
/// Sections of one file. Linked files have fewer than a hundred.
pub const SECTIONS_MAX: u32 = 16_384;
/// Bytes of one note segment or section.
pub const NOTE_BYTES_MAX: u64 = 64 * 1024;
/// Note segments and sections looked at.
pub const NOTE_RANGES_MAX: usize = 64;
/// Bytes of a build ID. SHA-1 has 20; `--build-id=0x…` may be longer.
pub const BUILD_ID_BYTES_MAX: usize = 64;
/// Bytes of Go's build ID, which is text.
pub const GO_BUILD_ID_BYTES_MAX: usize = 256;
/// Bytes of a section's name.
pub const SECTION_NAME_BYTES_MAX: usize = 256;
/// Bytes of the table of section names.
pub const SECTION_NAMES_BYTES_MAX: u64 = 1024 * 1024;
