//! ELF facts: build ID, sections, segments and the three kinds of address. Opens no file.
//!
//! A sample knows where a process was; names and unwind rows are known per file. The bridge is the
//! file's segments, and confusing the two sides is the classic bug of a profiler, so each number
//! carries its kind in its type:
//!
//! ```text
//! ProcessAddress ──(mapping: start, file offset)──▶ FileOffset ──(segment)──▶ ElfAddress
//!   a program counter                                 identity of code          key of symbols, DWARF
//! ```
//!
//! [`ObjectFile::parse`] reads the headers, the notes and the section table and keeps what it
//! learnt; it borrows nothing from the file. It works on anything that implements
//! [`object::ReadRef`]: a byte slice, or `&object::ReadCache<File>`, which then reads only those
//! ranges.
//!
//! [`pclntab`] reads the table of functions in every Go program: code there is found and named by it even if
//! the file is stripped.
//!
//! # What this crate does not do
//!
//! It opens no file, decompresses no section and knows no ELF symbols: `hearth-symbolize` does the
//! latter. Everything read is bounded ([`limits`]); a file beyond a bound is an error, not a panic.
//!
//! # Terms
//!
//! *Segment*: what the kernel maps, from a `PT_LOAD` program header. *Section*: what tools see.
//! *Build ID*: the linker's hash of the file's contents, our key for everything cached per file.
//!
//! Sources: System V ABI (gABI) chapters 4 and 5; the GNU property and build-id notes of
//! binutils; `fs/binfmt_elf.c` for what the kernel maps.

mod address;
mod error;
pub mod limits;
mod parse;
pub mod pclntab;

pub use address::{ElfAddress, FileOffset, ProcessAddress};
pub use error::Error;

/// What an ELF file says about itself. Owned: the file may be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFile {
    /// GNU build ID in lower-case hexadecimal, at most 128 characters; none if the file has none.
    pub build_id: Option<String>,
    /// Go's own build ID, as written by its linker; none in anything else.
    pub go_build_id: Option<String>,
    /// Whose instructions it holds.
    pub machine: Machine,
    /// Whether addresses have 64 bits.
    pub class64: bool,
    /// Whether numbers are little-endian.
    pub little_endian: bool,
    /// What the linker made.
    pub kind: Kind,
    /// `PT_LOAD` segments, in the order of the file.
    pub segments: Vec<Segment>,
    /// Sections other than the null section; empty if the file has none or they are unusable.
    pub sections: Vec<Section>,
    /// Why [`sections`](Self::sections) is empty although the file claims to have some. Programs
    /// run without sections, so this is no reason to refuse the file.
    pub sections_error: Option<Error>,
}

/// A range of the file which the kernel maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file.
    pub file_offset: FileOffset,
    /// Where it begins in the file's own address space.
    pub elf_address: ElfAddress,
    /// Bytes present in the file.
    pub file_size: u64,
    /// Bytes in memory; the rest beyond `file_size` is zeros.
    pub memory_size: u64,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A named range of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name, at most [`limits::SECTION_NAME_BYTES_MAX`] bytes; invalid UTF-8 replaced.
    pub name: String,
    /// Its address; 0 if it is not mapped.
    pub elf_address: ElfAddress,
    /// Where it begins in the file.
    pub file_offset: FileOffset,
    /// Its size in memory.
    pub size: u64,
    /// Its size in the file: `size`, or 0 where the section is all zeros (`SHT_NOBITS`).
    pub file_size: u64,
    /// Whether it is mapped when the file runs.
    pub allocated: bool,
    /// Whether it holds instructions.
    pub executable: bool,
    /// Whether its bytes in the file are compressed (`SHF_COMPRESSED`).
    pub compressed: bool,
}

/// Instruction sets we unwind and name, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86 with 64 bits.
    X86_64,
    /// x86 with 32 bits.
    X86,
    /// ARM with 64 bits.
    Aarch64,
    /// ARM with 32 bits.
    Arm,
    /// Any other; the number is `e_machine`.
    Other(u16),
}

/// What kind of file the linker made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An executable at fixed addresses.
    Executable,
    /// A shared object or a position-independent executable.
    Dynamic,
    /// Input of the linker, or a kernel module: its addresses mean nothing.
    Relocatable,
    /// A core dump.
    Core,
    /// Any other; the number is `e_type`.
    Other(u16),
}

impl ObjectFile {
    /// The address of the byte at `offset` of the file; none if no segment maps it.
    ///
    /// Where segments overlap in the file, the executable one wins: callers ask about code.
    pub fn elf_address(&self, offset: FileOffset) -> Option<ElfAddress> {
        let holds = |segment: &&Segment| {
            offset.0.checked_sub(segment.file_offset.0).is_some_and(|delta| delta < segment.file_size)
        };
        let segment = self
            .segments
            .iter()
            .filter(|segment| segment.executable)
            .find(holds)
            .or_else(|| self.segments.iter().find(holds))?;
        segment.elf_address.0.checked_add(offset.0 - segment.file_offset.0).map(ElfAddress)
    }

    /// Where in the file the byte at `address` is; none if it is in no segment or all zeros.
    pub fn file_offset(&self, address: ElfAddress) -> Option<FileOffset> {
        self.segments.iter().find_map(|segment| {
            let delta = address.0.checked_sub(segment.elf_address.0)?;
            if delta >= segment.file_size {
                return None;
            }
            segment.file_offset.0.checked_add(delta).map(FileOffset)
        })
    }

    /// The first section with this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Whether Go's linker made it, stripped or not.
    pub fn is_go(&self) -> bool {
        const MARKS: [&str; 4] =
            [".gopclntab", ".data.rel.ro.gopclntab", ".go.buildinfo", ".note.go.buildid"];
        self.go_build_id.is_some()
            || self.sections.iter().any(|section| MARKS.contains(&section.name.as_str()))
    }
}
