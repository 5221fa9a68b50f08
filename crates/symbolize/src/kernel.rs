//! The kernel's own symbols, from the text of `/proc/kallsyms`.
//!
//! A line is `address type name [module]`. Kept are functions (types `t`, `T`, `w`, `W`): those of
//! the kernel proper between `_stext` and `_etext` (beyond are the discarded code of its start and,
//! on some architectures, addresses of per-CPU data), those of modules, and BPF programs, which the
//! kernel lists as functions of a module `bpf`. Everything else only bounds what comes before it.
//!
//! The list has no sizes. A function ends where the next symbol begins, but at most
//! [`FUNCTION_BYTES_MAX`] after its start, and where the next symbol belongs to another module, at
//! the end of the page after the one it begins in: memory between modules is not theirs.
//!
//! Without `CAP_SYSLOG` (`/proc/sys/kernel/kptr_restrict`) all addresses read as zero, which is an
//! error here rather than a table that names everything wrongly.

use std::cmp::Reverse;

use crate::demangle::{RAW_NAME_BYTES_MAX, without_clone_suffixes};
use crate::names::Names;

/// The longest function. The kernel's largest real ones have some 100 KiB.
pub const FUNCTION_BYTES_MAX: u64 = (1 << SIZE_BITS) - 1;

/// Bits of a function's size in an entry; the others number its module.
const SIZE_BITS: u32 = 20;

/// Symbols kept. A distribution's kernel with all its modules loaded has some 300,000.
const SYMBOLS_MAX: usize = 4 << 20;
/// Bytes of all names kept.
const NAMES_BYTES_MAX: usize = 256 << 20;
/// Distinct modules.
const MODULES_MAX: usize = (1 << (u32::BITS - SIZE_BITS)) - 2;
const PAGE_BYTES: u64 = 4096;

/// Why the kernel's symbols are not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelSymbolsError {
    /// The kernel hides them.
    #[error(
        "all addresses in kallsyms are zero: the kernel hides them from processes without CAP_SYSLOG \
         (grant it, or set kernel.kptr_restrict to 0)"
    )]
    Hidden,
    /// There is no function in the list at all.
    #[error("kallsyms lists no function: the kernel was built without CONFIG_KALLSYMS")]
    Empty,
    /// More than any kernel has.
    #[error("kallsyms has more than {limit} {what}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// Our bound.
        limit: usize,
    },
}

/// A function of the kernel, a module or BPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    /// Its raw name.
    pub name: String,
    /// Its module, `bpf` for BPF programs; none for the kernel proper.
    pub module: Option<&'a str>,
    /// Its first address.
    pub start: u64,
}

/// A function: 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    /// The rank of its name.
    name: u32,
    /// In the low [`SIZE_BITS`] its size; above, 0 for the kernel proper, else the index of its
    /// module plus 1.
    size_and_module: u32,
}

impl Entry {
    fn size(&self) -> u64 {
        u64::from(self.size_and_module) & FUNCTION_BYTES_MAX
    }

    fn module_index(&self) -> Option<usize> {
        usize::try_from(self.size_and_module >> SIZE_BITS).ok()?.checked_sub(1)
    }
}

/// The kernel's functions by address.
#[derive(Clone, Debug)]
pub struct KernelSymbols {
    entries: Box<[Entry]>,
    names: Names,
    modules: Vec<Box<str>>,
}

/// One line, as far as needed.
#[derive(Clone, Copy)]
struct Line<'a> {
    address: u64,
    is_global: bool,
    name: &'a str,
    module: u16,
    /// Whether it can be looked up; else it only bounds the one before.
    is_function: bool,
}

impl KernelSymbols {
    /// Parses the text of `/proc/kallsyms`. Lines that are no symbols are skipped.
    ///
    /// # Errors
    ///
    /// See [`KernelSymbolsError`].
    pub fn parse(text: &[u8]) -> Result<Self, KernelSymbolsError> {
        let mut modules = Vec::new();
        let mut lines = Vec::new();
        let mut any_function = false;
        let mut any_address = false;
        for line in text.split(|byte| *byte == b'\n') {
            let Some(line) = parse_line(line, &mut modules)? else { continue };
            any_function |= line.is_function;
            any_address |= line.address != 0;
            if line.address != 0 {
                lines.push(line);
            }
            if lines.len() > SYMBOLS_MAX {
                return Err(KernelSymbolsError::TooLarge { what: "symbols", limit: SYMBOLS_MAX });
            }
        }
        if any_function && !any_address {
            return Err(KernelSymbolsError::Hidden);
        }
        drop_outside_text(&mut lines);
        let symbols = Self::build(lines, modules)?;
        if symbols.entries.is_empty() { Err(KernelSymbolsError::Empty) } else { Ok(symbols) }
    }

    fn build(mut lines: Vec<Line<'_>>, modules: Vec<Box<str>>) -> Result<Self, KernelSymbolsError> {
        lines.sort_unstable_by(|a, b| {
            (a.address, Reverse(a.is_function))
                .cmp(&(b.address, Reverse(b.is_function)))
                .then_with(|| rank(a).cmp(&rank(b)))
        });
        lines.dedup_by_key(|line| line.address);
        let functions = || lines.iter().enumerate().filter(|(_, line)| line.is_function);
        let raw: Vec<&[u8]> = functions().map(|(_, line)| line.name.as_bytes()).collect();
        let too_large = KernelSymbolsError::TooLarge { what: "bytes of names", limit: NAMES_BYTES_MAX };
        if raw.iter().map(|name| name.len()).sum::<usize>() > NAMES_BYTES_MAX {
            return Err(too_large);
        }
        let (names, ranks) = Names::rank(&raw).ok_or(too_large)?;
        let mut entries = Vec::with_capacity(ranks.len());
        for ((index, line), name) in functions().zip(ranks) {
            let page_end = (line.address & !(PAGE_BYTES - 1)).saturating_add(2 * PAGE_BYTES);
            let end = match lines.get(index + 1) {
                Some(next) if next.module == line.module => next.address,
                Some(next) => next.address.min(page_end),
                None => page_end,
            };
            // Within the mask, so it fits its bits.
            let size = (end - line.address).min(FUNCTION_BYTES_MAX) as u32;
            let size_and_module = size | u32::from(line.module) << SIZE_BITS;
            entries.push(Entry { start: line.address, name, size_and_module });
        }
        Ok(Self { entries: entries.into(), names, modules })
    }

    /// The function which contains `address`; none outside all of them.
    pub fn lookup(&self, address: u64) -> Option<KernelSymbol<'_>> {
        let after = self.entries.partition_point(|entry| entry.start <= address);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        if address - entry.start >= entry.size() {
            return None;
        }
        let module = entry.module_index().and_then(|index| self.modules.get(index));
        Some(KernelSymbol {
            name: self.names.get(entry.name),
            module: module.map(AsRef::as_ref),
            start: entry.start,
        })
    }

    /// How many functions are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no function is known; never after a successful [`parse`](Self::parse).
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val::<[Entry]>(&self.entries) + self.names.memory_bytes()
    }
}

fn parse_line<'a>(
    line: &'a [u8],
    modules: &mut Vec<Box<str>>,
) -> Result<Option<Line<'a>>, KernelSymbolsError> {
    let Ok(line) = std::str::from_utf8(line) else { return Ok(None) };
    let mut words = line.split_ascii_whitespace();
    let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    let Ok(address) = u64::from_str_radix(address, 16) else { return Ok(None) };
    // Absolute symbols are offsets into per-CPU memory or constants, no addresses.
    if matches!(kind, "a" | "A") || name.len() > RAW_NAME_BYTES_MAX {
        return Ok(None);
    }
    let module = words.next().and_then(|word| word.strip_prefix('[')?.strip_suffix(']'));
    let module = match module {
        Some(module) => module_number(module, modules)?,
        None => 0,
    };
    let is_function = matches!(kind, "t" | "T" | "w" | "W") && !name.starts_with('$');
    Ok(Some(Line { address, is_global: matches!(kind, "T" | "W"), name, module, is_function }))
}

/// The number of a module, which is new or one of the latest: lists are grouped by module.
fn module_number(name: &str, modules: &mut Vec<Box<str>>) -> Result<u16, KernelSymbolsError> {
    const RECENT: usize = 4;
    let recent = modules.iter().enumerate().rev().take(RECENT).find(|(_, module)| module.as_ref() == name);
    let index = match recent {
        Some((index, _)) => index,
        None if modules.len() >= MODULES_MAX => {
            return Err(KernelSymbolsError::TooLarge { what: "modules", limit: MODULES_MAX });
        }
        None => {
            modules.push(name.into());
            modules.len() - 1
        }
    };
    u16::try_from(index + 1).map_err(|_| KernelSymbolsError::TooLarge { what: "modules", limit: MODULES_MAX })
}

/// Keeps of the kernel proper only what lies between `_stext` and `_etext`, if the list has them.
/// What is dropped still bounds.
fn drop_outside_text(lines: &mut [Line<'_>]) {
    let find = |wanted: &str| {
        lines.iter().find(|line| line.module == 0 && line.name == wanted).map(|line| line.address)
    };
    let (Some(start), Some(end)) = (find("_stext"), find("_etext")) else { return };
    for line in lines.iter_mut() {
        if line.module == 0 && !(start..end).contains(&line.address) {
            line.is_function = false;
        }
    }
}

/// Less is better: of several names for one address the same one is always chosen, and the one a
/// reader knows. `__pfx_` marks the padding before a function, not the function.
fn rank<'a>(line: &Line<'a>) -> (bool, bool, bool, usize, bool, usize, &'a str) {
    let marker = matches!(line.name, "_stext" | "_text" | "_etext" | "_sinittext" | "_einittext");
    (
        marker,
        line.name.starts_with("__pfx_"),
        !line.is_global,
        line.name.bytes().take_while(|byte| *byte == b'_').count(),
        without_clone_suffixes(line.name).len() < line.name.len(),
        line.name.len(),
        line.name,
    )
}

#[cfg(test)]
mod tests;
