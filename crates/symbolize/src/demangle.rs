//! Raw names to names for people.
//!
//! A flame graph shows and adds up *functions of the source*, so the name for people leaves out
//! what distinguishes two pieces of machine code of one function:
//!
//! - Rust (legacy and v0): no hash, no crate disambiguator.
//! - C++ (Itanium ABI): template arguments are kept, parameters and return type are not. This is
//!   what `perf` shows; a parameter list doubles the length of a frame's label and only
//!   distinguishes overloads, which the raw name still does.
//! - Any: suffixes of clones that compilers split off (`.cold`, `.isra.0`, `.constprop.1`,
//!   `.part.2`, `.llvm.123`, …) and symbol versions (`@@GLIBC_2.14`) are cut off.
//!
//! Names come from strangers' files: input, recursion and output are bounded. A name that is too
//! long, or whose demangling is, is cut and ends with `…`.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use hearth_profile::FrameKind;

/// Longest name for people, in bytes.
pub const NAME_BYTES_MAX: usize = 4096;
/// Longest raw name that is looked at, in bytes. Chromium's longest has about 9,000.
pub const RAW_NAME_BYTES_MAX: usize = 16 * 1024;

/// Depth of nested C++ types and expressions. Each level takes a few kilobytes of stack at most.
const CPP_RECURSION_MAX: u32 = 96;

/// Suffix words of clones: after them may follow numbers.
const CLONE_SUFFIXES: [&str; 14] = [
    "cold",
    "constprop",
    "isra",
    "part",
    "llvm",
    "lto_priv",
    "localalias",
    "warm",
    "hot",
    "unlikely",
    "split",
    "__uniq",
    "cfi",
    "cfi_jt",
];

/// A name for people, and what its mangling says about the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demangled<'a> {
    /// The name, at most [`NAME_BYTES_MAX`] bytes.
    pub name: Cow<'a, str>,
    /// [`FrameKind::Rust`] for Rust's manglings, [`FrameKind::Native`] for everything else.
    pub kind: FrameKind,
}

/// The name for people of a symbol. Never fails: what is not mangled is returned without its
/// clone suffix, borrowed.
pub fn demangle(raw: &str) -> Demangled<'_> {
    if raw.len() > RAW_NAME_BYTES_MAX {
        return Demangled { name: shortened(raw), kind: FrameKind::Native };
    }
    let base = without_version(raw);
    if let Some(name) = rust(base) {
        return Demangled { name: Cow::Owned(name), kind: FrameKind::Rust };
    }
    let base = without_clone_suffixes(base);
    let name = cpp(base).map_or_else(|| shortened(base), Cow::Owned);
    Demangled { name, kind: FrameKind::Native }
}

/// Whether the name could be one of Rust's. The legacy mangling is valid C++ mangling too, and only
/// its hash tells them apart.
fn is_rust(raw: &str) -> bool {
    if raw.starts_with("_R") || raw.starts_with("__R") {
        return true;
    }
    (raw.starts_with("_ZN") || raw.starts_with("__ZN"))
        && raw.match_indices("17h").any(|(at, mark)| {
            let rest = &raw.as_bytes()[at + mark.len()..];
            rest.len() > 16 && rest[16] == b'E' && rest[..16].iter().all(u8::is_ascii_hexdigit)
        })
}

fn rust(raw: &str) -> Option<String> {
    if !is_rust(raw) {
        return None;
    }
    // Tried as it is first: `.llvm.` is known to the demangler, and `.` may be part of a name.
    let symbol = rustc_demangle::try_demangle(without_clone_suffixes(raw))
        .or_else(|_| rustc_demangle::try_demangle(raw))
        .ok()?;
    let mut out = Bounded::default();
    // An error means that the bound was reached: what is there is shown.
    let _ = write!(out, "{symbol:#}");
    // The demangler's way to say, in the middle of a name, that it is no name.
    let broken = ["{invalid syntax}", "{recursion limit reached}", "{size limit reached}"];
    (!broken.iter().any(|mark| out.text.contains(mark))).then(|| out.finish())
}

fn cpp(raw: &str) -> Option<String> {
    if !(raw.starts_with("_Z") || raw.starts_with("__Z") || raw.starts_with("_GLOBAL_")) {
        return None;
    }
    let parse = cpp_demangle::ParseOptions::default().recursion_limit(CPP_RECURSION_MAX);
    let symbol = cpp_demangle::Symbol::new_with_options(raw.as_bytes(), &parse).ok()?;
    let options = cpp_demangle::DemangleOptions::new()
        .no_params()
        .no_return_type()
        .hide_expression_literal_types()
        .recursion_limit(CPP_RECURSION_MAX);
    let mut out = Bounded::default();
    match symbol.structured_demangle(&mut out, &options) {
        Ok(()) => {
            let length = without_qualifiers(&out.text).len();
            out.text.truncate(length);
            Some(out.finish())
        }
        Err(_) if out.full => Some(out.finish()),
        Err(_) => None,
    }
}

/// A C++ name without the qualifiers that belong to the parameters left out.
fn without_qualifiers(name: &str) -> &str {
    const QUALIFIERS: [&str; 4] = [" const", " volatile", " &", " &&"];
    let mut name = name;
    while let Some(shorter) = QUALIFIERS.iter().find_map(|qualifier| name.strip_suffix(qualifier)) {
        name = shorter;
    }
    name
}

/// The name without `@VERSION` or `@@VERSION`.
fn without_version(raw: &str) -> &str {
    match raw.find('@') {
        Some(at) if at > 0 => &raw[..at],
        _ => raw,
    }
}

/// The name without the suffixes of clones, repeatedly: `f.isra.0.cold` is `f`.
pub(crate) fn without_clone_suffixes(raw: &str) -> &str {
    let mut name = raw;
    loop {
        let Some(at) = name.rfind('.') else { return name };
        let word = &name[at + 1..];
        let shorter = &name[..at];
        if CLONE_SUFFIXES.contains(&word) && !shorter.is_empty() {
            name = shorter;
            continue;
        }
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return name;
        }
        // A number counts only after a suffix word: `f.123` may be a function of its own.
        match shorter.rfind('.') {
            Some(dot) if dot > 0 && CLONE_SUFFIXES.contains(&&shorter[dot + 1..]) => name = &shorter[..dot],
            _ => return name,
        }
    }
}

/// `name`, cut if it is too long to show.
pub(crate) fn shortened(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX {
        return Cow::Borrowed(name);
    }
    let mut out = Bounded::default();
    let _ = out.write_str(name);
    Cow::Owned(out.finish())
}

/// Text that stops growing at [`NAME_BYTES_MAX`]: mangled names can expand exponentially.
#[derive(Default)]
struct Bounded {
    text: String,
    full: bool,
}

impl Bounded {
    const ELLIPSIS: &str = "…";

    fn finish(self) -> String {
        self.text
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.full {
            return Err(fmt::Error);
        }
        if self.text.len() + part.len() <= NAME_BYTES_MAX {
            self.text.push_str(part);
            return Ok(());
        }
        self.full = true;
        let mut room =
            (NAME_BYTES_MAX - Self::ELLIPSIS.len()).saturating_sub(self.text.len()).min(part.len());
        while !part.is_char_boundary(room) {
            room -= 1;
        }
        self.text.push_str(&part[..room]);
        let mut end = self.text.len().min(NAME_BYTES_MAX - Self::ELLIPSIS.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.truncate(end);
        self.text.push_str(Self::ELLIPSIS);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests;
