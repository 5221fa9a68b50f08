//! An index of an ELF file's functions: 16 bytes per function plus its compressed name.
//!
//! Both `.symtab` and `.dynsym` are read: usually the first contains the second, but `strip` can be
//! told to leave a partial one. Kept are
//!
//! - functions (`STT_FUNC`, `STT_GNU_IFUNC`),
//! - symbols without type in executable sections, if they have a size (hand-written assembly), or
//!   if they are visible outside their file (an entry point; local ones are labels inside a
//!   function).
//!
//! A symbol never reaches beyond its section. One without a size (assembly again) extends to the
//! next symbol of the same section, else to the section's end; within a function that has a size
//! it is a label and is dropped. Where symbols nest, the innermost wins.
//!
//! Of several names for the same code the best for a reader is kept, and always the same one:
//! names visible outside before local ones, then fewest leading underscores (`malloc`, not
//! `__libc_malloc`), global before weak, no suffix of a clone, shortest, first by alphabet.

use std::cmp::Ordering;

use hearth_objfile::{ElfAddress, Kind, Machine, ObjectFile};
use hearth_profile::FrameKind;
use object::elf;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, ReadRef};

use crate::demangle::{RAW_NAME_BYTES_MAX, without_clone_suffixes};
use crate::names::Names;
use crate::{FrameSource, SourceFrame, named};

/// How far back a look-up goes to find a function around nested symbols.
const NESTED_MAX: usize = 64;

/// Bounds on one file's symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Symbols of both tables together. While an index is built, each takes up to 24 bytes.
    pub symbols_max: u64,
    /// Bytes of the names in both string tables together.
    pub names_bytes_max: u64,
}

impl Default for Limits {
    /// Four million symbols and 512 MiB of names: four times a debug build of Chromium.
    fn default() -> Self {
        Self { symbols_max: 4 << 20, names_bytes_max: 512 << 20 }
    }
}

/// Why a file has no usable symbols.
///
/// A file without any symbol is no error: its table is empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file's headers are unusable.
    #[error(transparent)]
    Object(#[from] hearth_objfile::Error),
    /// The file is input of the linker: its addresses mean nothing yet.
    #[error("relocatable object: its symbols have no addresses")]
    Relocatable,
    /// A symbol table contradicts the specification or the file's size.
    #[error("malformed {table}: {reason}")]
    Malformed {
        /// `.symtab` or `.dynsym`.
        table: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The tables are larger than [`Limits`].
    #[error("{what} is {value}; at most {limit} are read")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// As the file says.
        value: u64,
        /// Our bound.
        limit: u64,
    },
}

/// A function found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its raw name; invalid UTF-8 replaced, and cut where it exceeds what is demangled.
    pub name: String,
    /// Its first address.
    pub start: ElfAddress,
    /// Its size in bytes, at least 1.
    pub size: u64,
}

/// A function: 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    /// Functions of 4 GiB and more are cut: nothing that large is code.
    size: u32,
    /// The rank of its name.
    name: u32,
}

/// Functions of one ELF file by address. Owned: the file may be closed.
#[derive(Clone, Debug, Default)]
pub struct SymbolTable {
    /// Ascending by start; of several with one start the largest first.
    entries: Box<[Entry]>,
    names: Names,
    /// Whether any entry reaches into the next one.
    nested: bool,
    is_go: bool,
}

impl SymbolTable {
    /// Indexes the functions of an ELF file with default [`Limits`].
    ///
    /// # Errors
    ///
    /// As [`from_elf_with`](Self::from_elf_with).
    pub fn from_elf<'d, R: ReadRef<'d>>(data: R) -> Result<Self, Error> {
        Self::from_elf_with(data, &Limits::default())
    }

    /// Indexes the functions of an ELF file. One without symbols gives an empty table.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn from_elf_with<'d, R: ReadRef<'d>>(data: R, limits: &Limits) -> Result<Self, Error> {
        let object = ObjectFile::parse(data)?;
        if object.kind == Kind::Relocatable {
            return Err(Error::Relocatable);
        }
        if let Some(error) = &object.sections_error {
            return Err(error.clone().into());
        }
        Functions::read(data, &object, limits)?.into_table(object.is_go())
    }

    /// The function which contains `address`; none between functions.
    pub fn lookup(&self, address: ElfAddress) -> Option<Symbol> {
        let after = self.entries.partition_point(|entry| entry.start <= address.0);
        let steps = if self.nested { NESTED_MAX } else { 1 };
        let entry = self.entries[..after]
            .iter()
            .rev()
            .take(steps)
            .find(|entry| address.0 - entry.start < u64::from(entry.size))?;
        Some(self.symbol(entry))
    }

    /// All functions, ascending by address.
    pub fn iter(&self) -> impl Iterator<Item = Symbol> {
        self.entries.iter().map(|entry| self.symbol(entry))
    }

    /// How many functions are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no function is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val::<[Entry]>(&self.entries) + self.names.memory_bytes()
    }

    fn symbol(&self, entry: &Entry) -> Symbol {
        Symbol { name: self.names.get(entry.name), start: ElfAddress(entry.start), size: entry.size.into() }
    }
}

impl FrameSource for SymbolTable {
    fn frames(&self, address: ElfAddress, out: &mut Vec<SourceFrame>) -> bool {
        let Some(symbol) = self.lookup(address) else { return false };
        out.push(named(&symbol.name, if self.is_go { FrameKind::Go } else { FrameKind::Unknown }));
        true
    }
}

/// A symbol on its way into the index.
#[derive(Clone, Copy)]
struct Candidate {
    start: u64,
    /// Exclusive; equal to `start` while the size is unknown.
    end: u64,
    /// Where its name begins in its table's strings.
    name: u32,
    section: u16,
    table: u8,
    binding: Binding,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Global,
    Weak,
    Local,
}

/// Replaces a candidate's section once its end was guessed: no section has this number.
const UNSIZED: u16 = u16::MAX;

/// What is common to reading both tables.
struct Reader<'d> {
    candidates: Vec<Candidate>,
    strings: Vec<&'d [u8]>,
    /// By section index: first address, end, whether executable.
    sections: Vec<(u64, u64, bool)>,
    clear_thumb_bit: bool,
    symbols_left: u64,
    names_bytes_left: u64,
    /// Names may overlap in their table, so the sum of what is copied has a bound of its own.
    copied_bytes_left: u64,
}

/// The functions of both tables, bounded, sorted and each with one name.
pub(crate) struct Functions<'d> {
    candidates: Vec<Candidate>,
    strings: Vec<&'d [u8]>,
}

impl<'d> Functions<'d> {
    /// Reads a file's tables; `object` is what its headers say.
    pub(crate) fn read<R: ReadRef<'d>>(data: R, object: &ObjectFile, limits: &Limits) -> Result<Self, Error> {
        if object.class64 {
            build::<elf::FileHeader64<Endianness>, R>(data, object, limits)
        } else {
            build::<elf::FileHeader32<Endianness>, R>(data, object, limits)
        }
    }

    /// First address, end and raw name of each, ascending; of several with one start the largest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64, &'d [u8])> {
        self.candidates.iter().map(|symbol| (symbol.start, symbol.end, self.raw_name(symbol)))
    }

    /// The name of the function that begins at `address`.
    pub(crate) fn name_at(&self, address: u64) -> Option<&'d [u8]> {
        let at = self.candidates.partition_point(|symbol| symbol.start < address);
        let symbol = self.candidates.get(at).filter(|symbol| symbol.start == address)?;
        Some(self.raw_name(symbol))
    }

    fn raw_name(&self, symbol: &Candidate) -> &'d [u8] {
        name_at(self.strings.get(usize::from(symbol.table)).copied().unwrap_or(&[]), symbol.name)
    }

    fn into_table(self, is_go: bool) -> Result<SymbolTable, Error> {
        let raw: Vec<&[u8]> = self.iter().map(|(_, _, name)| name).collect();
        let (names, ranks) = Names::rank(&raw).ok_or(Error::TooLarge {
            what: "number of functions",
            value: raw.len() as u64,
            limit: u32::MAX.into(),
        })?;
        let mut entries = Vec::with_capacity(raw.len());
        let mut nested = false;
        let mut furthest = 0;
        for (symbol, name) in self.candidates.iter().zip(ranks) {
            let size = u32::try_from(symbol.end - symbol.start).unwrap_or(u32::MAX);
            entries.push(Entry { start: symbol.start, size, name });
            nested |= symbol.start < furthest;
            furthest = furthest.max(symbol.end);
        }
        Ok(SymbolTable { entries: entries.into(), names, nested, is_go })
    }
}

fn build<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
    data: R,
    object: &ObjectFile,
    limits: &Limits,
) -> Result<Functions<'d>, Error> {
    let unusable = |_| Error::Malformed { table: "section table", reason: "it cannot be read" };
    let header = H::parse(data).map_err(unusable)?;
    let endian = header.endian().map_err(unusable)?;
    let headers = header.section_headers(endian, data).map_err(unusable)?;
    let mut reader = Reader {
        candidates: Vec::new(),
        strings: Vec::new(),
        sections: headers.iter().map(|section| section_range(section, endian)).collect(),
        clear_thumb_bit: object.machine == Machine::Arm,
        symbols_left: limits.symbols_max,
        names_bytes_left: limits.names_bytes_max,
        copied_bytes_left: limits.names_bytes_max,
    };
    for (kind, table) in [(elf::SHT_SYMTAB, ".symtab"), (elf::SHT_DYNSYM, ".dynsym")] {
        if let Some(section) = headers.iter().find(|section| section.sh_type(endian) == kind) {
            reader.read::<H, R>(data, endian, headers, section, table, limits)?;
        }
    }
    Ok(reader.finish())
}

fn section_range<S: SectionHeader>(section: &S, endian: S::Endian) -> (u64, u64, bool) {
    let start: u64 = section.sh_addr(endian).into();
    let executable = section.sh_flags(endian).0 & elf::SHF_EXECINSTR.0 != 0;
    (start, start.saturating_add(section.sh_size(endian).into()), executable)
}

impl<'d> Reader<'d> {
    fn read<H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
        &mut self,
        data: R,
        endian: Endianness,
        headers: &'d [H::SectionHeader],
        section: &'d H::SectionHeader,
        table: &'static str,
        limits: &Limits,
    ) -> Result<(), Error> {
        let malformed = |reason| Error::Malformed { table, reason };
        // Separate debug information keeps the header but not the bytes of `.dynsym`.
        let Some((_, bytes)) = section.file_range(endian) else { return Ok(()) };
        if bytes == 0 {
            return Ok(());
        }
        if section.sh_entsize(endian).into() != size_of::<H::Sym>() as u64 {
            return Err(malformed("entries have another size than the file's class"));
        }
        let count = bytes / size_of::<H::Sym>() as u64;
        self.symbols_left = self.symbols_left.checked_sub(count).ok_or(Error::TooLarge {
            what: "number of symbols",
            value: count,
            limit: limits.symbols_max,
        })?;
        let names = usize::try_from(section.sh_link(endian)).ok().and_then(|index| headers.get(index));
        let Some((names_offset, names_bytes)) = names.and_then(|names| names.file_range(endian)) else {
            return Err(malformed("its table of names does not exist"));
        };
        self.names_bytes_left = self.names_bytes_left.checked_sub(names_bytes).ok_or(Error::TooLarge {
            what: "size in bytes of the names",
            value: names_bytes,
            limit: limits.names_bytes_max,
        })?;
        let symbols: &'d [H::Sym] =
            section.data_as_array(endian, data).map_err(|_| malformed("it exceeds the file"))?;
        let strings = data
            .read_bytes_at(names_offset, names_bytes)
            .map_err(|()| malformed("its table of names exceeds the file"))?;
        let number = u8::try_from(self.strings.len()).map_err(|_| malformed("there are too many"))?;
        self.strings.push(strings);
        for symbol in symbols.iter().skip(1) {
            if let Some(candidate) = self.candidate(symbol, endian, strings, number) {
                let length = name_at(strings, candidate.name).len() as u64;
                self.copied_bytes_left =
                    self.copied_bytes_left.checked_sub(length).ok_or(Error::TooLarge {
                        what: "size in bytes of all names together",
                        value: limits.names_bytes_max - self.copied_bytes_left + length,
                        limit: limits.names_bytes_max,
                    })?;
                self.candidates.push(candidate);
            }
        }
        Ok(())
    }

    /// The symbol, if it names code.
    fn candidate<S: Sym<Endian = Endianness>>(
        &self,
        symbol: &S,
        endian: Endianness,
        strings: &[u8],
        table: u8,
    ) -> Option<Candidate> {
        let section = symbol.st_shndx(endian).index()?;
        let (section_start, section_end, executable) = *self.sections.get(usize::from(section))?;
        let size: u64 = symbol.st_size(endian).into();
        let binding = match symbol.st_bind() {
            elf::STB_LOCAL => Binding::Local,
            elf::STB_WEAK => Binding::Weak,
            _ => Binding::Global,
        };
        let is_code = match symbol.st_type() {
            elf::STT_FUNC | elf::STT_GNU_IFUNC => true,
            elf::STT_NOTYPE => executable && (size > 0 || binding != Binding::Local),
            _ => false,
        };
        let name = symbol.st_name(endian);
        if !is_code || !is_name(name_at(strings, name)) {
            return None;
        }
        let mut start: u64 = symbol.st_value(endian).into();
        if self.clear_thumb_bit {
            start &= !1;
        }
        let inside = (section_start..section_end).contains(&start);
        let bound = if inside { section_end } else { u64::MAX };
        if !inside && size == 0 {
            return None;
        }
        Some(Candidate { start, end: start.saturating_add(size).min(bound), name, section, table, binding })
    }

    /// Sorts, bounds and chooses names.
    fn finish(mut self) -> Functions<'d> {
        self.candidates.sort_unstable_by_key(|symbol| (symbol.start, std::cmp::Reverse(symbol.end)));
        self.bound_unsized();
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.sort_unstable_by(|a, b| {
            (a.start, std::cmp::Reverse(a.end))
                .cmp(&(b.start, std::cmp::Reverse(b.end)))
                .then_with(|| self.by_name(a, b))
        });
        candidates.dedup_by_key(|symbol| (symbol.start, symbol.end));
        Functions { candidates, strings: self.strings }
    }

    /// Gives symbols without a size their end, or drops them. Expects ascending order, and within
    /// one start those with a size first.
    fn bound_unsized(&mut self) {
        let mut furthest = 0;
        let mut next_start = u64::MAX;
        let mut later_start = u64::MAX;
        // Backwards for the next start, then forwards for what covers a symbol.
        for symbol in self.candidates.iter_mut().rev() {
            if symbol.start != later_start {
                next_start = later_start;
                later_start = symbol.start;
            }
            if symbol.end == symbol.start {
                let section_end = self.sections.get(usize::from(symbol.section)).map_or(0, |range| range.1);
                symbol.end = next_start.min(section_end).max(symbol.start);
                symbol.section = UNSIZED;
            }
        }
        self.candidates.retain(|symbol| {
            let is_unsized = symbol.section == UNSIZED;
            if !is_unsized {
                furthest = furthest.max(symbol.end);
            }
            symbol.end > symbol.start && !(is_unsized && symbol.start < furthest)
        });
    }

    fn raw_name(&self, symbol: &Candidate) -> &'d [u8] {
        name_at(self.strings.get(usize::from(symbol.table)).copied().unwrap_or(&[]), symbol.name)
    }

    /// The better name first.
    fn by_name(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let (name_a, name_b) = (self.raw_name(a), self.raw_name(b));
        rank(a.binding, name_a).cmp(&rank(b.binding, name_b)).then_with(|| name_a.cmp(name_b))
    }
}

/// Less is better; see the module's documentation.
fn rank(binding: Binding, name: &[u8]) -> (bool, usize, Binding, bool, usize) {
    let underscores = name.iter().take_while(|byte| **byte == b'_').count();
    let is_clone =
        std::str::from_utf8(name).is_ok_and(|name| without_clone_suffixes(name).len() < name.len());
    (binding == Binding::Local, underscores, binding, is_clone, name.len())
}

/// Whether a name says anything: assemblers mark stretches of code and data by `$x`, `$d`, `$a`,
/// `$t`, alone or followed by a dot and anything.
fn is_name(name: &[u8]) -> bool {
    !matches!(name, [] | [b'$', b'x' | b'd' | b'a' | b't'] | [b'$', b'x' | b'd' | b'a' | b't', b'.', ..])
}

/// The NUL-terminated name at `offset`; empty if it is outside the table.
fn name_at(strings: &[u8], offset: u32) -> &[u8] {
    let tail = usize::try_from(offset).ok().and_then(|offset| strings.get(offset..)).unwrap_or(&[]);
    let tail = &tail[..tail.len().min(RAW_NAME_BYTES_MAX + 1)];
    tail.split(|byte| *byte == 0).next().unwrap_or(&[])
}

#[cfg(test)]
mod tests;
