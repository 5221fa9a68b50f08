//! What stands where a name should: code that nobody could name, marked so that it never passes for
//! a name and is still told apart.
//!
//! ```text
//! binary+0xADDR        nothing is known but the address
//! binary+fn@0xADDR     the function begins at ADDR (its unwind entry says so), its name is unknown
//! ```
//!
//! This is the only place that writes these forms and recognises them.

/// The file's own name in a path; `[unknown]` if there is none.
fn file_name(path: &str) -> &str {
    match path.rsplit('/').next().unwrap_or(path) {
        "" => "[unknown]",
        name => name,
    }
}

/// `binary+0xaddr`: code at an ELF address of a file, or at a process address where no file is known.
pub fn unknown_address(path: &str, address: u64) -> String {
    format!("{}+{address:#x}", file_name(path))
}

/// `binary+fn@0xaddr`: a function without a name that begins at this ELF address.
pub fn unknown_function(path: &str, start: u64) -> String {
    format!("{}+fn@{start:#x}", file_name(path))
}

/// Whether a text is a placeholder of either form rather than a name.
pub fn is_placeholder(name: &str) -> bool {
    let Some((file, digits)) = name.rsplit_once("0x") else { return false };
    let file = file.strip_suffix("+fn@").or_else(|| file.strip_suffix('+'));
    let hexadecimal = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    file.is_some_and(|file| !file.is_empty()) && !digits.is_empty() && digits.bytes().all(hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn placeholders_are_never_taken_for_names() {
        let cases = [
            (unknown_address("/usr/lib/libc.so.6", 0x8a3f2),  "libc.so.6+0x8a3f2",      true),
            (unknown_function("/opt/app", 0x1000),            "app+fn@0x1000",          true),
            (unknown_address("", 0),                          "[unknown]+0x0",          true),
            ("main".into(),                                   "main",                   false),
            ("operator+0x".into(),                            "operator+0x",            false),
            ("+0x10".into(),                                  "+0x10",                  false),
            ("std::hash<0x10>".into(),                        "std::hash<0x10>",        false),
            ("f+0x1G".into(),                                 "f+0x1G",                 false),
        ];
        for (name, want, placeholder) in cases {
            assert_eq!(name, want);
            assert_eq!(is_placeholder(&name), placeholder, "{name}");
        }
    }
}
