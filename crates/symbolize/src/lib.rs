//! Addresses to frames: symbol tables, kallsyms, demangling. Performs no I/O.
//!
//! ```text
//! .symtab, .dynsym ─▶ SymbolTable ──┐                        user code, by ELF address
//! DWARF, pclntab (to come) ─────────┴▶ FrameSource ─▶ SourceFrame {name, file, line, kind}
//! /proc/kallsyms ─▶ KernelSymbols ─▶ KernelSymbol            kernel code, by address
//! raw name ─▶ demangle ─▶ Demangled                          any of them
//! ```
//!
//! Every look-up is bounded: an address beyond the end of a function has no name here. "Nearest
//! symbol" on a stripped libc invents names, and an invented name is worse than an honest
//! `libc.so.6+0x8a3f2`.
//!
//! # What this crate does not do
//!
//! It opens no file: callers pass bytes, or anything that implements [`object::ReadRef`]. It caches
//! nothing; callers symbolize each distinct frame once.
//!
//! # Terms
//!
//! *Raw name*: the name the linker knows, mangled. *Alias*: another name of the same function.
//!
//! Sources: System V ABI chapter 4 (symbol table); ELF for the ARM 64-bit architecture §5.5.4 for
//! mapping symbols; `kernel/kallsyms.c`; the Itanium C++ ABI §5.1; Rust RFC 2603.

mod demangle;
mod dwarf;
mod elf;
pub mod index;
mod kernel;
mod names;
mod sections;
mod source;

pub use demangle::{Demangled, NAME_BYTES_MAX, RAW_NAME_BYTES_MAX, demangle};
pub use elf::{Error, Limits, Symbol, SymbolTable};
pub use kernel::{FUNCTION_BYTES_MAX, KernelSymbol, KernelSymbols, KernelSymbolsError};
pub use source::{Cursor, Headers, ReadAt, headers};

use hearth_objfile::ElfAddress;
use hearth_profile::FrameKind;

/// One function at an address: the function itself or one inlined there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFrame {
    /// The name for people, demangled.
    pub name: String,
    /// The raw name; empty if it is the same.
    pub system_name: String,
    /// The source file; empty if unknown.
    pub file: String,
    /// The line in that file; 0 if unknown.
    pub line: u32,
    /// The line where the function begins; 0 if unknown.
    pub start_line: u32,
    /// What executes it.
    pub kind: FrameKind,
}

/// A frame without lines, named for people. `kind` is what executes the file's code where the name
/// itself does not say it: Go for the symbols of Go programs.
pub(crate) fn named(raw: &str, kind: FrameKind) -> SourceFrame {
    let demangled = demangle(raw);
    let (name, kind) = if kind == FrameKind::Go && demangled.kind != FrameKind::Rust && !raw.starts_with('_')
    {
        // Go does not mangle, and `main.cold` is a function named cold there.
        (demangle::shortened(raw.strip_suffix(".abi0").unwrap_or(raw)), FrameKind::Go)
    } else if kind == FrameKind::Rust {
        (demangled.name, kind)
    } else {
        (demangled.name, demangled.kind)
    };
    let name = name.into_owned();
    let system_name = if name == raw { String::new() } else { raw.to_owned() };
    SourceFrame { name, system_name, kind, ..SourceFrame::default() }
}

/// Knows which functions are at an address of one object file.
pub trait FrameSource {
    /// Appends the functions at `address`, innermost inlined function first, the enclosing
    /// function last.
    ///
    /// For a caller, `address` must lie within the call instruction (return address − 1).
    /// Returns whether anything was appended.
    fn frames(&self, address: ElfAddress, out: &mut Vec<SourceFrame>) -> bool;
}
