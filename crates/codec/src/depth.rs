//! Stacks deeper than a limit: the leaf's end and the root's end stay, the middle is folded.
//!
//! Both ends are what people look for: where the time goes, and on whose behalf. Recursion, which
//! makes stacks deep, is in the middle.

use hearth_profile::{Dictionary, Function, Line, Location, LocationId};

/// The name of the frame that stands for the frames left out.
pub(crate) const MARKER: &str = "[deep stack: frames left out]";

/// Splits a stack, leaf first, into what to keep of the leaf's end and of the root's end; `None` if
/// it is at most `limit` deep. Together with the marker between them they are `limit` deep.
pub(crate) fn split<T>(leaf_first: &[T], limit: usize) -> Option<(&[T], &[T])> {
    if leaf_first.len() <= limit {
        return None;
    }
    let kept = limit.saturating_sub(1);
    let roots = kept / 4;
    Some((&leaf_first[..kept - roots], &leaf_first[leaf_first.len() - roots..]))
}

/// A path, root first, as names of at most `limit` frames.
pub(crate) fn fold_path<'a>(path: &[&'a str], limit: usize) -> Vec<&'a str> {
    if path.len() <= limit {
        return path.to_vec();
    }
    let kept = limit.saturating_sub(1);
    let roots = kept / 4;
    let leaves = &path[path.len() - (kept - roots)..];
    path[..roots].iter().copied().chain([MARKER]).chain(leaves.iter().copied()).collect()
}

/// The location that stands for the frames left out.
pub(crate) fn marker(dictionary: &mut Dictionary) -> LocationId {
    let name = dictionary.string(MARKER);
    let function = dictionary.function(Function { name, ..Function::default() });
    let lines = [Line { function, ..Line::default() }].into();
    dictionary.location(Location { lines, ..Location::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept() {
        let stack: Vec<u32> = (0..100).collect();
        assert_eq!(split(&stack, 100), None);
        assert_eq!(split(&stack, 9), Some((&stack[..6], &stack[98..])));
        assert_eq!(split(&stack, 1), Some((&stack[..0], &stack[100..])));
        assert_eq!(split(&stack, 0), Some((&stack[..0], &stack[100..])));
        assert_eq!(fold_path(&["a", "b", "c", "d", "e", "f", "g"], 5), ["a", MARKER, "e", "f", "g"]);
    }
}
