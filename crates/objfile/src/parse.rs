//! From bytes to [`ObjectFile`].

use std::fmt::Write as _;

use object::elf;
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader, SectionHeader};
use object::{Endianness, ReadRef};

use crate::limits::{
    BUILD_ID_BYTES_MAX, GO_BUILD_ID_BYTES_MAX, NOTE_BYTES_MAX, NOTE_RANGES_MAX, SECTION_NAME_BYTES_MAX,
    SECTION_NAMES_BYTES_MAX, SECTIONS_MAX, SEGMENTS_MAX,
};
use crate::{ElfAddress, Error, FileOffset, Kind, Machine, ObjectFile, Section, Segment};

/// `NT_GO_BUILD_ID` of Go's linker (`cmd/internal/buildid/note.go`).
const NOTE_GO_BUILD_ID: u32 = 4;

impl ObjectFile {
    /// Reads headers, notes and the section table.
    ///
    /// # Errors
    ///
    /// [`Error::NotElf`] for any other file; [`Error::Malformed`] if the header or the segments
    /// are unusable; [`Error::TooLarge`] beyond [`limits`](crate::limits). Unusable sections or
    /// notes are no error: the kernel runs such files.
    pub fn parse<'d, R: ReadRef<'d>>(data: R) -> Result<Self, Error> {
        match ident_class(data)? {
            elf::ELFCLASS64 => parse::<elf::FileHeader64<Endianness>, R>(data),
            elf::ELFCLASS32 => parse::<elf::FileHeader32<Endianness>, R>(data),
            _ => Err(Error::NotElf),
        }
    }
}

/// The file's class, if it is ELF at all.
fn ident_class<'d, R: ReadRef<'d>>(data: R) -> Result<elf::FileClass, Error> {
    let ident = data.read_bytes_at(0, 16).map_err(|()| Error::NotElf)?;
    match *ident {
        [0x7f, b'E', b'L', b'F', class, ..] => Ok(elf::FileClass(class)),
        _ => Err(Error::NotElf),
    }
}

fn parse<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> Result<ObjectFile, Error> {
    let header = H::parse(data).map_err(|_| Error::NotElf)?;
    let endian = header.endian().map_err(|_| Error::NotElf)?;
    let count = header.phnum(endian, data).map_err(Error::malformed("program header table"))?;
    Error::check("number of program headers", count.into(), SEGMENTS_MAX.into())?;
    let program_headers =
        header.program_headers(endian, data).map_err(Error::malformed("program header table"))?;

    let mut notes = Notes::default();
    let mut segments = Vec::new();
    for program_header in program_headers {
        match program_header.p_type(endian) {
            elf::PT_LOAD => segments.push(segment(program_header, endian)),
            elf::PT_NOTE => {
                let (offset, size) = program_header.file_range(endian);
                notes.read::<H, R>(endian, data, program_header.p_align(endian), offset, size);
            }
            _ => {}
        }
    }
    let (sections, sections_error) = match sections::<H, R>(header, endian, data, &mut notes) {
        Ok(sections) => (sections, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    Ok(ObjectFile {
        build_id: notes.build_id,
        go_build_id: notes.go_build_id,
        machine: machine(header.e_machine(endian)),
        class64: header.is_type_64(),
        little_endian: header.is_little_endian(),
        kind: kind(header.e_type(endian)),
        segments,
        sections,
        sections_error,
    })
}

fn segment<P: ProgramHeader>(header: &P, endian: P::Endian) -> Segment {
    Segment {
        file_offset: FileOffset(header.p_offset(endian).into()),
        elf_address: ElfAddress(header.p_vaddr(endian).into()),
        file_size: header.p_filesz(endian).into(),
        memory_size: header.p_memsz(endian).into(),
        executable: header.p_flags(endian).0 & elf::PF_X.0 != 0,
    }
}

/// All sections but the null section. Note sections are read on the way: files without program
/// headers (separate debug information of some linkers) have their build ID only there.
fn sections<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
    header: &H,
    endian: Endianness,
    data: R,
    notes: &mut Notes,
) -> Result<Vec<Section>, Error> {
    let count = header.shnum(endian, data).map_err(Error::malformed("section table"))?;
    Error::check("number of sections", count.into(), SECTIONS_MAX.into())?;
    let headers = header.section_headers(endian, data).map_err(Error::malformed("section table"))?;
    let names = section_names::<H, R>(header, endian, data, headers)?;
    let mut sections = Vec::with_capacity(headers.len().saturating_sub(1));
    for section in headers.iter().skip(1) {
        if section.sh_type(endian) == elf::SHT_NOTE
            && let Some((offset, size)) = section.file_range(endian)
        {
            notes.read::<H, R>(endian, data, section.sh_addralign(endian), offset, size);
        }
        let flags = section.sh_flags(endian).0;
        sections.push(Section {
            name: name_at(names, section.sh_name(endian)),
            elf_address: ElfAddress(section.sh_addr(endian).into()),
            file_offset: FileOffset(section.sh_offset(endian).into()),
            size: section.sh_size(endian).into(),
            file_size: section.file_range(endian).map_or(0, |(_, size)| size),
            allocated: flags & elf::SHF_ALLOC.0 != 0,
            executable: flags & elf::SHF_EXECINSTR.0 != 0,
            compressed: flags & elf::SHF_COMPRESSED.0 != 0,
        });
    }
    Ok(sections)
}

/// The table of section names, whole: one read instead of one per section.
fn section_names<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
    header: &H,
    endian: Endianness,
    data: R,
    headers: &[H::SectionHeader],
) -> Result<&'d [u8], Error> {
    if headers.is_empty() {
        return Ok(&[]);
    }
    let what = "table of section names";
    let index = header.section_strings_index(endian, data).map_err(Error::malformed(what))?;
    let Some(table) = headers.get(index.0) else {
        return Err(Error::Malformed { what, reason: "its section does not exist" });
    };
    let Some((offset, size)) = table.file_range(endian) else {
        return Err(Error::Malformed { what, reason: "it has no bytes in the file" });
    };
    Error::check("size in bytes of the table of section names", size, SECTION_NAMES_BYTES_MAX)?;
    data.read_bytes_at(offset, size).map_err(|()| Error::Malformed { what, reason: "it exceeds the file" })
}

/// The name that begins at `offset`; empty if that is outside the table.
fn name_at(names: &[u8], offset: u32) -> String {
    let tail = usize::try_from(offset).ok().and_then(|offset| names.get(offset..)).unwrap_or(&[]);
    let bytes = tail.split(|byte| *byte == 0).next().unwrap_or(&[]);
    String::from_utf8_lossy(&bytes[..bytes.len().min(SECTION_NAME_BYTES_MAX)]).into_owned()
}

/// What notes say. The first of each kind wins, segments before sections.
#[derive(Default)]
struct Notes {
    build_id: Option<String>,
    go_build_id: Option<String>,
    ranges_read: usize,
}

impl Notes {
    /// Looks at the notes of one segment or section. Malformed notes end the search in it.
    fn read<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
        &mut self,
        endian: Endianness,
        data: R,
        align: H::Word,
        offset: u64,
        size: u64,
    ) {
        let known = self.build_id.is_some() && self.go_build_id.is_some();
        if known || size > NOTE_BYTES_MAX || self.ranges_read >= NOTE_RANGES_MAX {
            return;
        }
        self.ranges_read += 1;
        let Ok(bytes) = data.read_bytes_at(offset, size) else { return };
        let Ok(mut notes) = NoteIterator::<H>::new(endian, align, bytes) else { return };
        while let Ok(Some(note)) = notes.next() {
            let kind = note.n_type(endian).0;
            if note.name() == b"GNU" && kind == elf::NT_GNU_BUILD_ID.0 {
                self.set_build_id(note.desc());
            } else if note.name() == b"Go" && kind == NOTE_GO_BUILD_ID {
                self.set_go_build_id(note.desc());
            }
        }
    }

    fn set_build_id(&mut self, bytes: &[u8]) {
        if self.build_id.is_some() || bytes.is_empty() || bytes.len() > BUILD_ID_BYTES_MAX {
            return;
        }
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        self.build_id = Some(text);
    }

    fn set_go_build_id(&mut self, bytes: &[u8]) {
        if self.go_build_id.is_none() && bytes.len() <= GO_BUILD_ID_BYTES_MAX {
            self.go_build_id = Some(String::from_utf8_lossy(bytes).into_owned());
        }
    }
}

fn machine(machine: elf::Machine) -> Machine {
    match machine {
        elf::EM_X86_64 => Machine::X86_64,
        elf::EM_386 => Machine::X86,
        elf::EM_AARCH64 => Machine::Aarch64,
        elf::EM_ARM => Machine::Arm,
        other => Machine::Other(other.0),
    }
}

fn kind(kind: elf::FileType) -> Kind {
    match kind {
        elf::ET_EXEC => Kind::Executable,
        elf::ET_DYN => Kind::Dynamic,
        elf::ET_REL => Kind::Relocatable,
        elf::ET_CORE => Kind::Core,
        other => Kind::Other(other.0),
    }
}
