//! Folded stacks: one line per stack, root first, frames separated by `;`, then a space and the
//! value. What `flamegraph.pl`, speedscope and every shell pipeline read.
//!
//! The format has no escape, so what would break it is replaced in names: `;` by `:` and line
//! breaks by a space.

use std::fmt::Write as _;

use hearth_profile::{NodeId, Tree};

use crate::limits::within;
use crate::{LimitExceeded, Limits, depth};

/// Writes every stack with a value other than 0, in the tree's order.
pub fn write(tree: &Tree) -> String {
    let mut text = String::new();
    // Where each open level's path ends in `path`.
    let mut path = String::new();
    let mut ends: Vec<usize> = Vec::new();
    for (node, depth) in tree.preorder() {
        ends.truncate(depth as usize);
        path.truncate(ends.last().copied().unwrap_or(0));
        if node != NodeId::ROOT {
            if !path.is_empty() {
                path.push(';');
            }
            push_name(&mut path, tree.name(node));
        }
        ends.push(path.len());
        let value = tree.self_value(node);
        if value != 0 {
            let shown = if path.is_empty() { "[no stack]" } else { &path };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{shown} {value}");
        }
    }
    text
}

fn push_name(path: &mut String, name: &str) {
    let name = if name.is_empty() { "[unknown]" } else { name };
    path.extend(name.chars().map(|letter| match letter {
        ';' => ':',
        '\n' | '\r' => ' ',
        letter => letter,
    }));
}

/// Why text is no list of folded stacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is too large.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// It is not UTF-8.
    #[error("line {line} is not UTF-8 text")]
    Encoding {
        /// The line, counted from 1.
        line: usize,
    },
    /// A line does not end in a number.
    #[error("line {line} ends in {found:?}; expected a space and a whole number after the stack")]
    Value {
        /// The line, counted from 1.
        line: usize,
        /// What stands in the value's place.
        found: String,
    },
}

/// Reads folded stacks; empty lines and lines that begin with `#` are skipped. The middle of a stack
/// deeper than `limits.max_depth` is folded.
///
/// # Errors
///
/// At the first line which is no folded stack; and if there is more than `limits` admit.
pub fn read(text: &[u8], limits: &Limits) -> Result<Tree, Error> {
    within("bytes of folded stacks", text.len(), limits.max_bytes)?;
    let mut tree = Tree::default();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line).map_err(|_| Error::Encoding { line: index + 1 })?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (path, value) = line.rsplit_once(' ').unwrap_or(("", line));
        let found = || Error::Value { line: index + 1, found: value.chars().take(100).collect() };
        let value: i64 = value.parse().map_err(|_| found())?;
        add(&mut tree, path, value, limits)?;
    }
    Ok(tree)
}

/// Reads stacks without values, one per line and observation: equal lines are counted.
///
/// # Errors
///
/// As [`read`], but every line is a stack.
pub fn read_lines(text: &[u8], limits: &Limits) -> Result<Tree, Error> {
    within("bytes of folded stacks", text.len(), limits.max_bytes)?;
    let mut tree = Tree::default();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line).map_err(|_| Error::Encoding { line: index + 1 })?.trim();
        if !line.is_empty() {
            add(&mut tree, line, 1, limits)?;
        }
    }
    Ok(tree)
}

fn add(tree: &mut Tree, path: &str, value: i64, limits: &Limits) -> Result<(), LimitExceeded> {
    let frames: Vec<&str> = path.trim_end().split(';').filter(|name| !name.is_empty()).collect();
    tree.add_path(depth::fold_path(&frames, limits.max_depth), value);
    within("nodes of the stack tree", tree.len(), limits.max_table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_round_trip() {
        let text = "init 1\nmain 2\nmain;a b::c<d, e>() 4\nmain;work;hash 8\n";
        let tree = read(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(write(&tree), text);
        assert_eq!(tree.total(), 15);
    }

    #[test]
    fn names_cannot_break_the_format() {
        let mut tree = Tree::default();
        tree.add_path(["a;b", "c\nd", ""], 1);
        tree.add(NodeId::ROOT, 2);
        assert_eq!(write(&tree), "[no stack] 2\na:b;c d;[unknown] 1\n");
    }

    #[test]
    #[rustfmt::skip]
    fn bad_lines_are_named() {
        let limits = Limits { max_depth: 3, ..Limits::default() };
        let cases: [(&[u8], &str); 4] = [
            (b"main 1\nmain x",  "line 2 ends in \"x\""),
            (b"main",            "line 1 ends in \"main\""),
            (b"main 1.5",        "line 1 ends in \"1.5\""),
            (b"ok 1\n\xff 1",    "line 2 is not UTF-8"),
        ];
        for (text, want) in cases {
            let error = read(text, &limits).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert_eq!(write(&read(b"a;b;c;d 1", &limits).unwrap()), "[deep stack: frames left out];c;d 1\n");
        assert_eq!(write(&read_lines(b"a;b\na;b\r\n\na\n", &limits).unwrap()), "a 1\na;b 2\n");
        assert_eq!(read(b"# comment\n\nmain;a 3\r\n", &limits).unwrap().total(), 3);
    }
}
