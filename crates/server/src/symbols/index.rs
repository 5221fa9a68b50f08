//! From a file that somebody brought to an index, and from an index to names.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hearth_block::{Code, Frames, NamedFrame};
use hearth_objfile::{ElfAddress, FileOffset, Kind, ObjectFile};
use hearth_profile::unknown_function;
use hearth_symbolize::index::{Error, Found, Inputs, Limits, Reader, Summary, build};
use hearth_symbolize::{ReadAt, SourceFrame, headers};
use hearth_unwind::{Arch, rows};

use super::container::{CodeSegment, Facts};

/// Answers that one index keeps.
const ANSWERS_MAX: usize = 4_096;
/// Page size by which loaders align mappings.
const PAGE_BYTES: u64 = 4_096;

/// A part of a file, from its beginning.
#[derive(Debug)]
pub(super) struct Piece {
    file: File,
    bytes: u64,
}

impl Piece {
    /// The first `bytes` of a file.
    fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, bytes })
    }

    /// All of a file.
    fn whole(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

impl ReadAt for Piece {
    fn size(&self) -> u64 {
        self.bytes
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(buffer, offset)
    }
}

/// What an object file says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Brought {
    /// Its build ID.
    pub build_id: String,
    /// Its size.
    pub bytes: u64,
    code: Vec<CodeSegment>,
    object: ObjectFile,
    /// Whether it is separate debug information: its code is elsewhere.
    is_debug: bool,
}

/// Looks at a file that somebody brought; says what is wrong with it, for people.
pub(crate) fn inspect(path: &Path) -> Result<Brought, String> {
    let piece = Piece::whole(path).map_err(|error| format!("cannot be read: {error}"))?;
    let object = {
        let cache = headers(&piece);
        ObjectFile::parse(&cache).map_err(|error| format!("no usable ELF file: {error}"))?
    };
    if object.kind == Kind::Relocatable {
        return Err("a relocatable object: its addresses mean nothing before it is linked".to_owned());
    }
    if let Some(error) = &object.sections_error {
        return Err(format!("its sections are unusable: {error}"));
    }
    let code: Vec<CodeSegment> = object
        .segments
        .iter()
        .filter(|segment| segment.executable)
        .map(|segment| CodeSegment {
            file_offset: segment.file_offset.0,
            file_bytes: segment.file_size,
            start: segment.elf_address.0,
            memory_bytes: segment.memory_size,
        })
        .collect();
    let is_debug = object.sections.iter().any(|section| section.executable)
        && object.sections.iter().filter(|section| section.executable).all(|section| section.file_size == 0);
    let build_id = object.build_id.clone().ok_or(
        "it has no GNU build ID, by which profiles refer to it; link it with --build-id \
         (gcc and clang: -Wl,--build-id)",
    )?;
    Ok(Brought { build_id, bytes: piece.bytes, code, object, is_debug })
}

/// Writes the index of a file; what it covers and where its code is.
pub(super) fn write(
    path: &Path,
    brought: &Brought,
    limits: &Limits,
    out: BufWriter<File>,
) -> Result<(Summary, BufWriter<File>), String> {
    let piece = Piece::whole(path).map_err(|error| format!("cannot be read: {error}"))?;
    let (binary, debug): (Option<&dyn ReadAt>, Option<&dyn ReadAt>) =
        if brought.is_debug { (None, Some(&piece)) } else { (Some(&piece), None) };
    let ranges = if brought.is_debug { Vec::new() } else { function_ranges(&piece, &brought.object) };
    let inputs = Inputs { binary, debug, function_ranges: &ranges, ..Inputs::default() };
    build(&inputs, limits, out).map_err(|error| error.to_string())
}

/// Where functions begin and end, as the unwind table says: how code without a name is grouped.
fn function_ranges(piece: &Piece, object: &ObjectFile) -> Vec<(ElfAddress, ElfAddress)> {
    let ranges = || {
        let arch = Arch::of(object.machine).filter(|_| object.class64)?;
        let table = object.section(".eh_frame").filter(|section| !section.compressed)?;
        let limits = rows::Limits::default();
        let length =
            usize::try_from(table.file_size).ok().filter(|length| *length <= limits.section_bytes_max)?;
        let end = table.file_offset.0.checked_add(table.file_size).filter(|end| *end <= piece.bytes);
        let mut bytes = vec![0; end.map(|_| length)?];
        piece.read_exact_at(&mut bytes, table.file_offset.0).ok()?;
        let eh_frame = Some(rows::Section { address: table.elf_address, bytes: &bytes });
        let text = object.section(".text").map(|section| section.elf_address);
        let input = rows::Input { arch, segments: &object.segments, eh_frame, debug_frame: None, text };
        let built = rows::build(&input, &limits).ok()?;
        let range = |offsets: &Range<u32>| {
            let start = object.elf_address(FileOffset(offsets.start.into()))?;
            Some((start, ElfAddress(start.0.checked_add(offsets.len() as u64)?)))
        };
        Some(built.functions().iter().filter_map(range).collect())
    };
    // Without such a table code is told apart by its address alone.
    ranges().unwrap_or_default()
}

impl Brought {
    /// Where its code is; as an earlier file of the same binary says if this one does not.
    pub(super) fn code(&self, earlier: Option<&Facts>) -> Vec<CodeSegment> {
        let known = |code: &[CodeSegment]| code.iter().any(|segment| segment.file_bytes > 0);
        match earlier {
            Some(facts) if !known(&self.code) && known(&facts.code) => facts.code.clone(),
            _ => self.code.clone(),
        }
    }
}

/// What is known about an address.
#[derive(Clone, Debug)]
enum Answer {
    Frames(Frames),
    Start(u64),
    Nothing,
}

/// An index in use.
#[derive(Debug)]
pub(super) struct Index {
    reader: Mutex<Reader<Piece>>,
    answers: Mutex<HashMap<u64, Answer, foldhash::fast::RandomState>>,
    code: Vec<CodeSegment>,
}

impl Index {
    /// Opens the index at the beginning of a file.
    pub(super) fn open(path: &Path, index_bytes: u64, facts: &Facts) -> Result<Self, Error> {
        let reader = Mutex::new(Reader::open(Piece::open(path, index_bytes)?)?);
        Ok(Self { reader, answers: Mutex::default(), code: facts.code.clone() })
    }

    /// The functions at a place in the binary; `None` if nothing is known there.
    ///
    /// # Errors
    ///
    /// The index is damaged.
    pub(super) fn frames(&self, code: &Code<'_>) -> Result<Option<Frames>, Error> {
        let address = elf_address(&self.code, code);
        let known = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&address).cloned();
        let answer = match known {
            Some(answer) => answer,
            None => {
                let answer = self.look_up(address)?;
                let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                if answers.len() >= ANSWERS_MAX {
                    answers.clear();
                }
                answers.insert(address, answer.clone());
                answer
            }
        };
        Ok(match answer {
            Answer::Frames(frames) => Some(frames),
            Answer::Start(start) => {
                let name = unknown_function(code.filename, start);
                Some([NamedFrame { name, ..NamedFrame::default() }].into())
            }
            Answer::Nothing => None,
        })
    }

    fn look_up(&self, address: u64) -> Result<Answer, Error> {
        let mut frames = Vec::new();
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match reader.frames(ElfAddress(address), &mut frames)? {
            Found::Functions => Answer::Frames(frames.into_iter().map(named).collect()),
            Found::Unnamed { start } => Answer::Start(start.0),
            Found::Nothing => Answer::Nothing,
        })
    }
}

fn named(frame: SourceFrame) -> NamedFrame {
    let SourceFrame { name, system_name, file, line, start_line, kind } = frame;
    NamedFrame { name, system_name, filename: file, line, start_line, kind }
}

/// The ELF address of a place, whatever kind of address the sender uses.
///
/// Agents that know the file send ELF addresses; others send what the process had, with the
/// mapping's place. Position-independent code is mapped far beyond its own addresses, and other code
/// at its own, so an address within the code is an ELF address.
fn elf_address(segments: &[CodeSegment], code: &Code<'_>) -> u64 {
    let Code { mapping, address, .. } = *code;
    let is_elf = |segment: &CodeSegment| {
        let first = segment.start - segment.start % PAGE_BYTES;
        address >= first && address - first < segment.memory_bytes.saturating_add(segment.start - first)
    };
    let mapped = mapping.memory_start > 0
        && address >= mapping.memory_start
        && (mapping.memory_limit == 0 || address < mapping.memory_limit);
    if !mapped || segments.iter().any(is_elf) {
        return address;
    }
    let into = address - mapping.memory_start;
    let offset = mapping.file_offset.saturating_add(into);
    let holds = |segment: &&CodeSegment| {
        let first = segment.file_offset - segment.file_offset % PAGE_BYTES;
        segment.file_bytes > 0
            && offset >= first
            && offset - first < segment.file_bytes.saturating_add(segment.file_offset - first)
    };
    match segments.iter().find(holds) {
        Some(segment) => segment.start.wrapping_add(offset.wrapping_sub(segment.file_offset)),
        // Separate debug information does not say where in the file the code is. Code is mapped from
        // its first page on.
        None => match segments {
            [segment] if segment.file_bytes == 0 => {
                (segment.start - segment.start % PAGE_BYTES).saturating_add(into)
            }
            _ => address,
        },
    }
}

#[cfg(test)]
mod tests {
    use hearth_profile::Mapping;

    use super::*;

    #[test]
    #[rustfmt::skip]
    fn every_kind_of_address_becomes_an_elf_address() {
        let binary = CodeSegment { file_offset: 0x1040, file_bytes: 0x800, start: 0x2040, memory_bytes: 0x800 };
        let debug = CodeSegment { file_offset: 0x40, file_bytes: 0, ..binary };
        let fixed = CodeSegment { start: 0x40_2040, ..binary };
        // (case, segment, memory start, memory limit, file offset, address, ELF address)
        let cases = [
            ("ELF address, no mapping",           binary, 0,        0,        0,      0x2100,   0x2100),
            ("ELF address, process mapping",      binary, 0x7f0000, 0x7f1000, 0x1000, 0x2100,   0x2100),
            ("ELF address, mapping in ELF terms", binary, 0x2000,   0x3000,   0x1000, 0x2100,   0x2100),
            ("process address",                   binary, 0x7f0000, 0x7f1000, 0x1000, 0x7f0100, 0x2100),
            ("process address, no limit",         binary, 0x7f0000, 0,        0x1000, 0x7f0100, 0x2100),
            ("process address, debug file",       debug,  0x7f0000, 0x7f1000, 0x1000, 0x7f0100, 0x2100),
            ("fixed address",                     fixed,  0x402000, 0x403000, 0x1000, 0x402100, 0x402100),
            ("beyond the code",                   binary, 0x7f0000, 0x7f1000, 0x9000, 0x7f0100, 0x7f0100),
        ];
        for (case, segment, memory_start, memory_limit, file_offset, address, want) in cases {
            let mapping = Mapping { memory_start, memory_limit, file_offset, ..Mapping::default() };
            let code = Code { filename: "", build_id: "00", mapping, address };
            assert_eq!(elf_address(&[segment], &code), want, "{case}");
        }
    }
}
