//! Go's own table of functions: names, lines, inlined calls and stack heights, in every Go binary, stripped
//! or not.
//!
//! Go's runtime needs it to walk stacks and to print panics, so neither `strip` nor `-ldflags=-s -w` removes
//! it. One table has all we need:
//!
//! ```text
//! header ─▶ functions by address ─▶ record ─┬▶ name
//!                                           ├▶ pc-value tables: file, line, stack height, inlined call
//!                                           └▶ tree of inlined calls (in `go:func.*`, another section)
//! ```
//!
//! [`locate`] finds the table in a file; [`Table::parse`] reads it. A *pc-value table* gives a number for
//! each range of instructions of one function, as deltas: [`Values`] iterates over the ranges.
//!
//! Tables of Go 1.16 and later are read. Everything is checked when it is used: a table is trusted as little
//! as any other bytes, and each iteration advances, so that its length is bounded by the table's size.
//!
//! Sources: Go's `runtime/symtab.go`, `runtime/symtabinl.go`, `cmd/link/internal/ld/pcln.go` and
//! `internal/abi/symtab.go` of 1.16 to 1.27.

mod locate;

pub use locate::{Located, locate};

use crate::{ElfAddress, Error};

/// Deepest chain of inlined calls that is followed.
pub const INLINE_DEPTH_MAX: usize = 128;
/// Longest name of a function or a file, in bytes. Go's linker writes type arguments in full.
pub const NAME_BYTES_MAX: usize = 16 * 1024;
/// Most functions of one table: eight times what the largest known programs have.
pub const FUNCTIONS_MAX: u64 = 4 << 20;

/// Most ranges of one function's pc-value table that are read.
pub const RANGES_MAX: u32 = 1 << 18;

/// Number of the pc-value table that says which inlined call an instruction belongs to.
const PCDATA_INLINE_INDEX: u32 = 2;
/// Number of the function's data that is its tree of inlined calls.
const FUNCDATA_INLINE_TREE: u32 = 3;

/// Layout of the table, named by the first Go version that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Go 1.16 and 1.17: functions by absolute address.
    Go116,
    /// Go 1.18 and 1.19: functions by offset from the text's start.
    Go118,
    /// Go 1.20 and later: functions know their first line.
    Go120,
}

/// Go's table of functions.
#[derive(Clone, Copy, Debug)]
pub struct Table<'d> {
    bytes: &'d [u8],
    version: Version,
    little_endian: bool,
    pointer_bytes: u8,
    /// Size of the smallest instruction: unit of addresses in pc-value tables.
    quantum: u8,
    text_start: u64,
    count: usize,
    names: &'d [u8],
    units: &'d [u8],
    files: &'d [u8],
    values: &'d [u8],
    functions: &'d [u8],
    inline: Option<(u64, Region<'d>)>,
}

/// Bytes at an address.
#[derive(Clone, Copy, Debug)]
struct Region<'d> {
    address: u64,
    bytes: &'d [u8],
}

/// A function of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its first address.
    pub start: ElfAddress,
    /// The start of the next function, exclusive: padding belongs to the function before it.
    pub end: ElfAddress,
    /// Where its record begins in the functions' part of the table.
    record: usize,
}

/// A function at an address: the one that was compiled there or one inlined into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'d> {
    /// Its name, as Go's linker wrote it.
    pub name: &'d str,
    /// Its source file; empty if unknown.
    pub file: &'d str,
    /// The line; 0 if unknown.
    pub line: u32,
    /// The line where the function begins; 0 before Go 1.20.
    pub start_line: u32,
}

impl<'d> Table<'d> {
    /// Reads the header.
    ///
    /// `bytes` begin at the header; what follows the table does no harm. `text_start` is the address that
    /// functions are relative to (`runtime.text`), which tables since Go 1.26, and those of
    /// position-independent programs, do not say themselves.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it is no table or one of Go before 1.16, [`Error::TooLarge`] beyond
    /// [`FUNCTIONS_MAX`].
    pub fn parse(bytes: &'d [u8], text_start: Option<ElfAddress>) -> Result<Self, Error> {
        let malformed = |reason| Error::Malformed { what: "table of Go functions", reason };
        let magic: [u8; 4] =
            bytes.first_chunk().copied().ok_or_else(|| malformed("it ends within its header"))?;
        let (version, little_endian) =
            version(magic).ok_or_else(|| malformed("Go 1.16 or later did not write it"))?;
        let (Some(&quantum), Some(&pointer_bytes)) = (bytes.get(6), bytes.get(7)) else {
            return Err(malformed("it ends within its header"));
        };
        if !matches!(pointer_bytes, 4 | 8) || !matches!(quantum, 1 | 2 | 4) {
            return Err(malformed("sizes of pointers or instructions that no machine has"));
        }
        let word = |index: usize| {
            let at = 8 + index * usize::from(pointer_bytes);
            read_word(bytes, at, pointer_bytes, little_endian)
        };
        let part = |index: usize| {
            let offset = usize::try_from(word(index)?).ok()?;
            bytes.get(offset..)
        };
        let count = word(0).ok_or_else(|| malformed("it ends within its header"))?;
        Error::check("number of Go functions", count, FUNCTIONS_MAX)?;
        let first = if version == Version::Go116 { 2 } else { 3 };
        let parts = (part(first), part(first + 1), part(first + 2), part(first + 3), part(first + 4));
        let (Some(names), Some(units), Some(files), Some(values), Some(functions)) = parts else {
            return Err(malformed("a part begins beyond its end"));
        };
        let stated = if version == Version::Go116 { 0 } else { word(2).unwrap_or(0) };
        let text_start = text_start.map_or(stated, |address| address.0);
        let count = usize::try_from(count).map_err(|_| malformed("too many functions"))?;
        let table = Self {
            bytes,
            version,
            little_endian,
            pointer_bytes,
            quantum,
            text_start,
            count,
            names,
            units,
            files,
            values,
            functions,
            inline: None,
        };
        if functions.len() < count.saturating_mul(2 * table.entry_bytes()) + table.entry_bytes() {
            return Err(malformed("its list of functions exceeds it"));
        }
        Ok(table)
    }

    /// The same table with the data of functions, so that [`frames`](Self::frames) knows inlined calls.
    ///
    /// `bytes` are at `address` of the file; `base` is where the functions' data begin (`go:func.*`). Tables
    /// before Go 1.18 have no such base, and `base` is ignored.
    #[must_use]
    pub fn with_function_data(self, base: ElfAddress, address: ElfAddress, bytes: &'d [u8]) -> Self {
        Self { inline: Some((base.0, Region { address: address.0, bytes })), ..self }
    }

    /// Layout of the table.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many functions there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes given to [`parse`](Self::parse).
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn entry_bytes(&self) -> usize {
        if self.version == Version::Go116 { usize::from(self.pointer_bytes) } else { 4 }
    }

    /// Address number `index` of the list; the one after the last function's is the end of all.
    fn entry(&self, index: usize) -> Option<u64> {
        let size = self.entry_bytes();
        let at = index.checked_mul(2 * size)?;
        if self.version == Version::Go116 {
            return read_word(self.functions, at, self.pointer_bytes, self.little_endian);
        }
        self.text_start.checked_add(self.u32_at(self.functions, at)?.into())
    }

    /// Function number `index`, in the order of addresses; none beyond the last or if it is malformed.
    pub fn get(&self, index: usize) -> Option<Function> {
        if index >= self.count {
            return None;
        }
        let (start, end) = (self.entry(index)?, self.entry(index + 1)?);
        let size = self.entry_bytes();
        let at = (2 * index + 1) * size;
        let record = if self.version == Version::Go116 {
            read_word(self.functions, at, self.pointer_bytes, self.little_endian)?
        } else {
            self.u32_at(self.functions, at)?.into()
        };
        let record = usize::try_from(record).ok()?;
        (end > start).then_some(Function { start: ElfAddress(start), end: ElfAddress(end), record })
    }

    /// All functions in the order of addresses; malformed ones are left out.
    pub fn iter(&self) -> impl Iterator<Item = Function> + use<'d> {
        let table = *self;
        (0..table.count).filter_map(move |index| table.get(index))
    }

    /// The function which contains `address`.
    pub fn find(&self, address: ElfAddress) -> Option<Function> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)? <= address.0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let function = self.get(low.checked_sub(1)?)?;
        (address < function.end).then_some(function)
    }

    /// The function's name as Go's linker wrote it.
    pub fn name(&self, function: &Function) -> Option<&'d str> {
        self.text(self.names, self.field(function, Field::Name)?)
    }

    /// The line where the function begins; 0 before Go 1.20.
    pub fn start_line(&self, function: &Function) -> u32 {
        self.field(function, Field::StartLine).unwrap_or(0)
    }

    /// Heights of the stack: for each range of instructions, how many bytes lie between the stack pointer
    /// and the return address.
    pub fn stack_heights(&self, function: &Function) -> Values<'d> {
        self.values(function, self.field(function, Field::StackHeight).unwrap_or(0))
    }

    /// Lines of each range of instructions: those of the innermost inlined call.
    pub fn lines(&self, function: &Function) -> Values<'d> {
        self.values(function, self.field(function, Field::Line).unwrap_or(0))
    }

    /// Files of each range of instructions, as numbers for [`file`](Self::file).
    pub fn files(&self, function: &Function) -> Values<'d> {
        self.values(function, self.field(function, Field::File).unwrap_or(0))
    }

    /// The inlined call of each range of instructions, as numbers in the function's tree; -1 is none.
    pub fn inline_indices(&self, function: &Function) -> Values<'d> {
        self.values(function, self.table_offset(function, PCDATA_INLINE_INDEX).unwrap_or(0))
    }

    /// The path with this number among the files of the function's unit.
    pub fn file(&self, function: &Function, number: i32) -> Option<&'d str> {
        let unit = self.field(function, Field::Unit)?;
        let index = usize::try_from(unit).ok()?.checked_add(usize::try_from(number).ok()?)?;
        let offset = self.u32_at(self.units, index.checked_mul(4)?)?;
        // The linker's mark of a file that nothing refers to.
        (offset != u32::MAX).then(|| self.text(self.files, offset)).flatten()
    }

    /// The functions at `address`, innermost inlined call first, the function compiled there last.
    ///
    /// For a caller, `address` must lie within the call instruction (return address − 1). Nothing if no
    /// function is there.
    pub fn frames(&self, address: ElfAddress, mut each: impl FnMut(Frame<'d>)) {
        let Some(function) = self.find(address) else { return };
        let mut at = address.0;
        for _ in 0..INLINE_DEPTH_MAX {
            let file = self.files(&function).at(at).and_then(|number| self.file(&function, number));
            let line = self.lines(&function).at(at).and_then(|line| u32::try_from(line).ok());
            let (file, line) = (file.unwrap_or(""), line.unwrap_or(0));
            let Some(call) = self.inlined_at(&function, at) else {
                let name = self.name(&function).unwrap_or("");
                each(Frame { name, file, line, start_line: self.start_line(&function) });
                return;
            };
            each(Frame { name: call.name, file, line, start_line: call.start_line });
            at = call.caller.0;
        }
    }

    fn inlined_at(&self, function: &Function, at: u64) -> Option<InlinedCall<'d>> {
        let index = u32::try_from(self.inline_indices(function).at(at)?).ok()?;
        self.inlined(function, index)
    }

    /// Element `index` of the function's tree of inlined calls, as
    /// [`inline_indices`](Self::inline_indices) has them; none without
    /// [`with_function_data`](Self::with_function_data).
    pub fn inlined(&self, function: &Function, index: u32) -> Option<InlinedCall<'d>> {
        let (base, region) = self.inline?;
        let tree = self.data_address(function, FUNCDATA_INLINE_TREE, base)?;
        let (size, name, parent, start_line) =
            if self.version == Version::Go120 { (16, 4, 8, Some(12)) } else { (20, 12, 16, None) };
        let start = tree.checked_add(u64::from(index) * size)?.checked_sub(region.address)?;
        let element = region.bytes.get(usize::try_from(start).ok()?..)?.get(..usize::try_from(size).ok()?)?;
        let caller = function.start.0.checked_add(self.u32_at(element, parent)?.into())?;
        if caller >= function.end.0 {
            return None;
        }
        let start_line = start_line.and_then(|at| self.u32_at(element, at)).unwrap_or(0);
        let name = self.text(self.names, self.u32_at(element, name)?)?;
        Some(InlinedCall { name, caller: ElfAddress(caller), start_line })
    }

    /// Where the function's data number `kind` are.
    fn data_address(&self, function: &Function, kind: u32, base: u64) -> Option<u64> {
        let tables = self.field(function, Field::TableCount)?;
        let count = *self.functions.get(function.record.checked_add(self.header_bytes())?.checked_sub(1)?)?;
        if kind >= u32::from(count) {
            return None;
        }
        let tables_end = function
            .record
            .checked_add(self.header_bytes())?
            .checked_add(usize::try_from(tables).ok()?.checked_mul(4)?)?;
        if self.version > Version::Go116 {
            let offset = self.u32_at(self.functions, tables_end.checked_add(4 * kind as usize)?)?;
            return (offset != u32::MAX).then(|| base.checked_add(offset.into())).flatten();
        }
        // Pointers, aligned as in memory.
        let pointer = usize::from(self.pointer_bytes);
        let at = tables_end.checked_next_multiple_of(pointer)?.checked_add(pointer * kind as usize)?;
        let address = read_word(self.functions, at, self.pointer_bytes, self.little_endian)?;
        (address != 0).then_some(address)
    }

    /// Where pc-value table `number` begins; 0 is none.
    fn table_offset(&self, function: &Function, number: u32) -> Option<u32> {
        if number >= self.field(function, Field::TableCount)? {
            return None;
        }
        let at = function.record.checked_add(self.header_bytes())?.checked_add(4 * number as usize)?;
        self.u32_at(self.functions, at)
    }

    /// Size of a record before its variable part.
    fn header_bytes(&self) -> usize {
        let entry = self.entry_bytes();
        entry + 36 + if self.version == Version::Go120 { 4 } else { 0 }
    }

    fn field(&self, function: &Function, field: Field) -> Option<u32> {
        if matches!(field, Field::StartLine) && self.version < Version::Go120 {
            return None;
        }
        let at = function.record.checked_add(self.entry_bytes())?.checked_add(field as usize)?;
        self.u32_at(self.functions, at)
    }

    fn values(&self, function: &Function, offset: u32) -> Values<'d> {
        let bytes = usize::try_from(offset).ok().filter(|offset| *offset > 0);
        Values {
            bytes: bytes.and_then(|offset| self.values.get(offset..)).unwrap_or(&[]),
            at: function.start.0,
            end: function.end.0,
            value: -1,
            quantum: self.quantum,
            first: true,
            left: RANGES_MAX,
        }
    }

    /// The text that begins at `offset` and ends before a zero byte.
    fn text(&self, part: &'d [u8], offset: u32) -> Option<&'d str> {
        let tail = part.get(usize::try_from(offset).ok()?..)?;
        let tail = &tail[..tail.len().min(NAME_BYTES_MAX)];
        let length = tail.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&tail[..length]).ok()
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> Option<u32> {
        read_u32(bytes, at, self.little_endian)
    }
}

/// An inlined call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlinedCall<'d> {
    /// The called function's name.
    pub name: &'d str,
    /// An instruction of the same function whose place in the source is the call.
    pub caller: ElfAddress,
    /// The line where the called function begins; 0 before Go 1.20.
    pub start_line: u32,
}

/// Fields of a function's record, as offsets after its first field.
#[derive(Clone, Copy)]
enum Field {
    Name = 0,
    StackHeight = 12,
    File = 16,
    Line = 20,
    TableCount = 24,
    Unit = 28,
    StartLine = 32,
}

/// A range of instructions with one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its first address.
    pub start: ElfAddress,
    /// Its end, exclusive.
    pub end: ElfAddress,
    /// The value.
    pub value: i32,
}

/// The ranges of one function's pc-value table, ascending. It ends where the table is malformed.
#[derive(Clone, Copy, Debug)]
pub struct Values<'d> {
    bytes: &'d [u8],
    at: u64,
    end: u64,
    value: i32,
    quantum: u8,
    first: bool,
    left: u32,
}

impl Values<'_> {
    /// The value at `address`; none outside all ranges.
    pub fn at(self, address: u64) -> Option<i32> {
        if address < self.at {
            return None;
        }
        self.take_while(|range| range.start.0 <= address)
            .find(|range| address < range.end.0)
            .map(|range| range.value)
    }
}

impl Iterator for Values<'_> {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        if self.at >= self.end || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let zigzag = read_varint(&mut self.bytes)?;
        if zigzag == 0 && !self.first {
            return None;
        }
        self.first = false;
        let delta = (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32);
        self.value = self.value.wrapping_add(delta);
        let advance = u64::from(read_varint(&mut self.bytes)?) * u64::from(self.quantum);
        let start = self.at;
        self.at = start.checked_add(advance)?;
        let range =
            Value { start: ElfAddress(start), end: ElfAddress(self.at.min(self.end)), value: self.value };
        (advance > 0).then_some(range)
    }
}

/// Layout and byte order by the table's first four bytes.
fn version(magic: [u8; 4]) -> Option<(Version, bool)> {
    let known = |number| match number {
        0xffff_fffa_u32 => Some(Version::Go116),
        0xffff_fff0 => Some(Version::Go118),
        0xffff_fff1 => Some(Version::Go120),
        _ => None,
    };
    known(u32::from_le_bytes(magic))
        .map(|version| (version, true))
        .or_else(|| known(u32::from_be_bytes(magic)).map(|version| (version, false)))
}

fn read_u32(bytes: &[u8], at: usize, little_endian: bool) -> Option<u32> {
    let bytes: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
    Some(if little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
}

fn read_word(bytes: &[u8], at: usize, size: u8, little_endian: bool) -> Option<u64> {
    if size == 4 {
        return read_u32(bytes, at, little_endian).map(u64::from);
    }
    let bytes: [u8; 8] = *bytes.get(at..)?.first_chunk()?;
    Some(if little_endian { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
}

/// LEB128 of at most 32 bits.
fn read_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
