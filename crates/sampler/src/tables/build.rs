//! From a file's sections to a table, reading no more of the file than these.

use hearth_objfile::Section as ElfSection;
use hearth_unwind::{Arch, Input, Limits, Section, Table, rows};

use crate::budget::Reason;
use crate::files::FileFacts;

/// Bytes of one section: the largest of a distribution has 17 MB. Held while its table is built.
const SECTION_BYTES_MAX: u64 = 48 << 20;
/// Rows of one file; each takes some six bytes while its table is built.
const ROWS_MAX: usize = 6 << 20;

/// Bytes of the sections that a table is built from; 0 if there are none.
pub(super) fn bytes(facts: &FileFacts) -> u64 {
    let sections = [facts.section(".eh_frame"), facts.section(".debug_frame")];
    sections.into_iter().flatten().map(|section| section.file_size).sum()
}

/// Builds the table of a file; none if there is nothing to build it from.
pub(super) fn table(facts: &FileFacts) -> Result<Option<(Arch, Table)>, Reason> {
    let Some((arch, rows)) = file_rows(facts)? else { return Ok(None) };
    let table = hearth_unwind::encode(&rows).map_err(|_| Reason::FileTooBig)?;
    Ok(Some((arch, table)))
}

/// File offsets of functions as unwind information has them, ascending; none if there is none.
pub(crate) fn function_ranges(facts: &FileFacts) -> Vec<std::ops::Range<u32>> {
    match file_rows(facts) {
        Ok(Some((_, rows))) => rows.functions().to_vec(),
        _ => Vec::new(),
    }
}

/// The unwind rows of a file.
fn file_rows(facts: &FileFacts) -> Result<Option<(Arch, rows::Rows)>, Reason> {
    let (Some(object), Some(content)) = (&facts.object, &facts.content) else { return Ok(None) };
    let Some(arch) = Arch::of(object.machine).filter(|_| object.class64) else { return Ok(None) };
    let read = |section: Option<&ElfSection>| -> Result<Option<Vec<u8>>, Reason> {
        let Some(section) = section else { return Ok(None) };
        if section.file_size > SECTION_BYTES_MAX {
            return Err(Reason::FileTooBig);
        }
        content
            .read_range(section.file_offset.0, section.file_size, SECTION_BYTES_MAX)
            .map(Some)
            .map_err(|_| Reason::FileMalformed)
    };
    let (eh, debug) = (facts.section(".eh_frame"), facts.section(".debug_frame"));
    let (eh_bytes, debug_bytes) = (read(eh)?, read(debug)?);
    let input = Input {
        arch,
        segments: &object.segments,
        eh_frame: section(eh, eh_bytes.as_deref()),
        debug_frame: section(debug, debug_bytes.as_deref()),
        text: facts.section(".text").map(|section| section.elf_address),
    };
    let limits = Limits { rows_max: ROWS_MAX, ..Limits::default() };
    let rows = match rows::build(&input, &limits) {
        Ok(rows) => rows,
        Err(rows::Error::Absent) => return Ok(None),
        Err(rows::Error::TooLarge { .. }) => return Err(Reason::FileTooBig),
        Err(_) => return Err(Reason::FileMalformed),
    };
    Ok(Some((arch, rows)))
}

fn section<'b>(header: Option<&ElfSection>, bytes: Option<&'b [u8]>) -> Option<Section<'b>> {
    Some(Section { address: header?.elf_address, bytes: bytes? })
}
