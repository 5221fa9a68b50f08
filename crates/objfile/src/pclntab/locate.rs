//! Where a Go binary keeps its table of functions, and what the table leaves out.
//!
//! The table is a section of its own. What it does not say (since Go 1.26, and in position-independent
//! programs) are the start of the text and where the data of functions begin; the runtime's *module data*
//! does, a struct in the data sections that begins with a pointer to the table. It is found by that pointer:
//! in the bytes of the file, or, in position-independent programs, among the relocations that will put it
//! there.

use object::ReadRef;

use super::{Region, Table, Version, read_word};
use crate::{ElfAddress, FileOffset, ObjectFile, Section};

/// Bytes of data sections that are searched for the module data.
const SEARCHED_BYTES_MAX: u64 = 64 << 20;
/// Words of the module data that are looked at.
const MODULE_WORDS: usize = 64;
/// Word of the module data that is the start of the text, the same in all versions with offsets.
const WORD_TEXT: usize = 22;
/// First word of the module data that may be the start of the functions' data.
const WORD_DATA_FIRST: usize = 36;
/// Functions whose inlined calls are looked at to recognise where the functions' data begin.
const PROBES: usize = 32;
/// Functions looked at for one that has inlined calls, and ranges of each.
const PROBED_FUNCTIONS_MAX: usize = 4096;
const PROBED_RANGES_MAX: usize = 256;
/// Bytes of functions' data that are read.
const FUNCTION_DATA_BYTES_MAX: u64 = 256 << 20;

/// Sections that hold the table.
const TABLE_SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// Sections that may hold the module data.
const MODULE_SECTIONS: [&str; 5] = [".go.module", ".noptrdata", ".data", ".data.rel.ro", ".go.pcdata"];

/// Where a file's table is, and what it is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Where the table begins in the file.
    pub file_offset: FileOffset,
    /// Its size in the file.
    pub size: u64,
    /// Its address.
    pub address: ElfAddress,
    /// What functions are relative to, for [`Table::parse`]; none where the table says it.
    pub text_start: Option<ElfAddress>,
    /// What the functions' data are relative to, and where they are in the file; none if they were not found:
    /// inlined calls are unknown then.
    pub function_data: Option<FunctionData>,
}

/// Where the data of functions are: trees of inlined calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionData {
    /// What offsets in the table are relative to.
    pub base: ElfAddress,
    /// The first address of `size` bytes at `file_offset`.
    pub address: ElfAddress,
    /// Where in the file they are.
    pub file_offset: FileOffset,
    /// How many bytes.
    pub size: u64,
}

impl Located {
    /// Reads the table, with the data of functions if they were found.
    ///
    /// None if the bytes cannot be read or are no table we know.
    pub fn read<'d, R: ReadRef<'d>>(&self, data: R) -> Option<Table<'d>> {
        let bytes = data.read_bytes_at(self.file_offset.0, self.size).ok()?;
        let table = Table::parse(bytes, self.text_start).ok()?;
        let inline = self.function_data.and_then(|found| {
            let bytes = data.read_bytes_at(found.file_offset.0, found.size).ok()?;
            Some(table.with_function_data(found.base, found.address, bytes))
        });
        Some(inline.unwrap_or(table))
    }
}

/// Finds Go's table of functions; none if the file has none.
///
/// Reads the table's section, and the data sections or relocations as far as it takes to find the module
/// data.
pub fn locate<'d, R: ReadRef<'d>>(object: &ObjectFile, data: R) -> Option<Located> {
    let section = TABLE_SECTIONS.iter().find_map(|name| object.section(name))?;
    let bytes = data.read_bytes_at(section.file_offset.0, section.file_size).ok()?;
    let table = Table::parse(bytes, None).ok()?;
    let mut located = Located {
        file_offset: section.file_offset,
        size: section.file_size,
        address: section.elf_address,
        text_start: None,
        function_data: None,
    };
    if table.version == Version::Go116 {
        // Functions' data are known by their addresses, which lie where constants do.
        located.function_data = object.section(".rodata").and_then(|rodata| region(rodata, ElfAddress(0)));
        return Some(located);
    }
    let module = Module::find(object, data, section.elf_address, &table);
    let stated = table.text_start;
    let text = object.section(".text").map_or(0, |text| text.elf_address.0);
    let start = match &module {
        Some(module) => module.words.get(WORD_TEXT).copied().filter(|start| is_text(object, *start)),
        None => None,
    };
    let start = start.unwrap_or(if stated > 0 { stated } else { text });
    located.text_start = Some(ElfAddress(start));
    let table = Table { text_start: start, ..table };
    if let Some(module) = module {
        located.function_data = module
            .words
            .iter()
            .skip(WORD_DATA_FIRST)
            .find_map(|base| function_data(object, data, &table, ElfAddress(*base)));
    }
    Some(located)
}

fn is_text(object: &ObjectFile, address: u64) -> bool {
    object.segments.iter().any(|segment| {
        segment.executable
            && address.checked_sub(segment.elf_address.0).is_some_and(|offset| offset < segment.memory_size)
    })
}

fn region(section: &Section, base: ElfAddress) -> Option<FunctionData> {
    (section.file_size > 0 && section.file_size <= FUNCTION_DATA_BYTES_MAX).then_some(FunctionData {
        base,
        address: section.elf_address,
        file_offset: section.file_offset,
        size: section.file_size,
    })
}

/// The functions' data if they begin at `base`: names of the first inlined calls must be names.
fn function_data<'d, R: ReadRef<'d>>(
    object: &ObjectFile,
    data: R,
    table: &Table<'d>,
    base: ElfAddress,
) -> Option<FunctionData> {
    let section = object.sections.iter().find(|section| {
        section.allocated
            && base.0.checked_sub(section.elf_address.0).is_some_and(|offset| offset < section.file_size)
    })?;
    let found = region(section, base)?;
    let bytes = data.read_bytes_at(found.file_offset.0, found.size).ok()?;
    let table = table.with_function_data(base, found.address, bytes);
    let mut probed = 0;
    for function in table.iter().take(PROBED_FUNCTIONS_MAX) {
        let mut ranges = table.inline_indices(&function).take(PROBED_RANGES_MAX);
        let Some(range) = ranges.find(|range| range.value >= 0) else { continue };
        let index = u32::try_from(range.value).ok()?;
        let call = table.inlined(&function, index)?;
        // Every name begins where the one before it ends.
        let start = call.name.as_ptr().addr().checked_sub(table.names.as_ptr().addr())?;
        if call.name.is_empty() || (start > 0 && table.names.get(start - 1) != Some(&0)) {
            return None;
        }
        probed += 1;
        if probed >= PROBES {
            break;
        }
    }
    (probed > 0).then_some(found)
}

/// The runtime's module data, as words.
struct Module {
    words: Vec<u64>,
}

impl Module {
    /// Finds it by its first two words: the table's address and that of the names in it.
    fn find<'d, R: ReadRef<'d>>(
        object: &ObjectFile,
        data: R,
        table_address: ElfAddress,
        table: &Table<'d>,
    ) -> Option<Self> {
        let names = table.names.as_ptr().addr().checked_sub(table.bytes.as_ptr().addr())?;
        let names_address = table_address.0.checked_add(names as u64)?;
        MODULE_SECTIONS
            .iter()
            .filter_map(|name| object.section(name))
            .filter(|section| section.file_size <= SEARCHED_BYTES_MAX)
            .find_map(|section| {
                let bytes = data.read_bytes_at(section.file_offset.0, section.file_size).ok()?;
                let region = Region { address: section.elf_address.0, bytes };
                Self::in_bytes(region, table, [table_address.0, names_address])
            })
            .or_else(|| Self::in_relocations(object, data, table, [table_address.0, names_address]))
    }

    fn in_bytes(region: Region<'_>, table: &Table<'_>, wanted: [u64; 2]) -> Option<Self> {
        let word = usize::from(table.pointer_bytes);
        let read =
            |index: usize| read_word(region.bytes, index * word, table.pointer_bytes, table.little_endian);
        let count = region.bytes.len() / word;
        let at = (0..count).find(|at| read(*at) == Some(wanted[0]) && read(at + 1) == Some(wanted[1]))?;
        Some(Self { words: (at..count).take(MODULE_WORDS).filter_map(read).collect() })
    }

    /// Position-independent programs: words of 64 bits that the loader will fill in
    /// (`R_X86_64_RELATIVE`, `R_AARCH64_RELATIVE`).
    fn in_relocations<'d, R: ReadRef<'d>>(
        object: &ObjectFile,
        data: R,
        table: &Table<'d>,
        wanted: [u64; 2],
    ) -> Option<Self> {
        const ENTRY_BYTES: usize = 24;
        if table.pointer_bytes != 8 {
            return None;
        }
        let section = object
            .section(".rela.dyn")
            .or_else(|| object.section(".rela"))
            .filter(|section| section.file_size <= SEARCHED_BYTES_MAX)?;
        let bytes = data.read_bytes_at(section.file_offset.0, section.file_size).ok()?;
        let word = |bytes: &[u8], at| read_word(bytes, at, 8, table.little_endian);
        let entries = bytes.chunks_exact(ENTRY_BYTES);
        let at = |addend: u64| {
            entries.clone().filter(move |entry| word(entry, 16) == Some(addend)).filter_map(|e| word(e, 0))
        };
        let start =
            at(wanted[0]).find(|start| at(wanted[1]).any(|next| start.checked_add(8) == Some(next)))?;
        let mut words = vec![0; MODULE_WORDS];
        for entry in entries {
            let (Some(place), Some(addend)) = (word(entry, 0), word(entry, 16)) else { continue };
            let index = place.checked_sub(start).map(|offset| offset / 8);
            if let Some(slot) =
                index.and_then(|index| usize::try_from(index).ok()).and_then(|index| words.get_mut(index))
            {
                *slot = addend;
            }
        }
        Some(Self { words })
    }
}
