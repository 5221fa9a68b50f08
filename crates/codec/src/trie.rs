//! Pyroscope's two binary forms of `/ingest`: `trie` and `tree`.
//!
//! Both are nodes in preorder, each as varint length, name, varint value, varint number of
//! children. In a *trie* the names along a path, put together, are a folded stack
//! (`main;wo` + `rk`); in a *tree* each node is a function and the root's name is empty.

use hearth_profile::{NodeId, Tree};

use crate::limits::within;
use crate::wire::{Reader, WireError, push_varint};
use crate::{LimitExceeded, Limits, depth};

/// Why bytes are no trie or tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is too large.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A number or name is cut off or too long.
    #[error("malformed trie or tree: {0}")]
    Wire(#[from] WireError),
    /// There is more than one root, or none.
    #[error("malformed trie or tree: {0}")]
    Shape(&'static str),
}

/// One node.
struct Node<'a> {
    name: &'a [u8],
    value: i64,
    depth: usize,
}

/// Calls `each` with every node, parents first.
fn nodes<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    mut each: impl FnMut(Node<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    within("bytes of a trie", bytes.len(), limits.max_bytes)?;
    let mut reader = Reader::new(bytes);
    // How many nodes each open level still expects.
    let mut open: Vec<u64> = vec![1];
    let mut count = 0;
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        let length = reader.bare_varint()?;
        let name = reader.bare_bytes(length)?;
        let value = i64::try_from(reader.bare_varint()?).unwrap_or(i64::MAX);
        let children = reader.bare_varint()?;
        each(Node { name, value, depth: open.len() - 1 })?;
        count += 1;
        within("nodes of a trie", count, limits.max_table)?;
        within("levels of a trie", open.len(), LEVELS_MAX)?;
        open.push(children);
    }
    if !reader.is_at_end() {
        return Err(Error::Shape("bytes follow after its last node"));
    }
    Ok(())
}

/// Levels of a trie or tree.
const LEVELS_MAX: usize = 65_536;

/// Reads a trie.
///
/// # Errors
///
/// [`Error`], if the bytes are none or hold more than `limits` admit.
pub fn read_trie(bytes: &[u8], limits: &Limits) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    let mut key: Vec<u8> = Vec::new();
    let mut ends: Vec<usize> = Vec::new();
    // Keys of inner nodes are read again for each of their leaves.
    let mut work = 0_usize;
    nodes(bytes, limits, |node| {
        ends.truncate(node.depth);
        key.truncate(ends.last().copied().unwrap_or(0));
        key.extend_from_slice(node.name);
        ends.push(key.len());
        if node.value != 0 {
            work = work.saturating_add(key.len());
            within("bytes of all stacks of a trie", work, WORK_MAX)?;
            let text = String::from_utf8_lossy(&key);
            let frames: Vec<&str> = text.split(';').filter(|name| !name.is_empty()).collect();
            tree.add_path(depth::fold_path(&frames, limits.max_depth), node.value);
            within("nodes of the stack tree", tree.len(), limits.max_table)?;
        }
        Ok(())
    })?;
    Ok(tree)
}

/// Bytes of all stacks of a trie written out.
const WORK_MAX: usize = 1 << 30;

/// Reads a tree.
///
/// # Errors
///
/// [`Error`], if the bytes are none or hold more than `limits` admit.
pub fn read_tree(bytes: &[u8], limits: &Limits) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    let mut path: Vec<NodeId> = Vec::new();
    nodes(bytes, limits, |node| {
        // What is deeper than allowed counts for the deepest frame that is not.
        let depth = node.depth.min(limits.max_depth);
        path.truncate(depth);
        let parent = path.last().copied().unwrap_or(NodeId::ROOT);
        let id = if depth == 0 {
            NodeId::ROOT
        } else if node.depth > limits.max_depth {
            tree.child(parent, depth::MARKER, Default::default())
        } else {
            tree.child(parent, &String::from_utf8_lossy(node.name), Default::default())
        };
        tree.add(id, node.value);
        path.push(id);
        Ok(())
    })?;
    Ok(tree)
}

/// Writes a tree, as [`read_tree`] reads it and as Pyroscope's `PROFILE_FORMAT_TREE` has it.
pub fn write_tree(tree: &Tree) -> Vec<u8> {
    let mut children = vec![0_u64; tree.len()];
    for index in 1..tree.len() {
        children[tree.parent(NodeId(u32::try_from(index).unwrap_or(0))).0 as usize] += 1;
    }
    let mut bytes = Vec::new();
    for (node, _) in tree.preorder() {
        let name = if node == NodeId::ROOT { "" } else { tree.name(node) };
        push_varint(&mut bytes, name.len() as u64);
        bytes.extend_from_slice(name.as_bytes());
        push_varint(&mut bytes, tree.self_value(node).max(0).cast_unsigned());
        push_varint(&mut bytes, children[node.0 as usize]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folded;

    /// Nodes as (name, value, children).
    fn bytes(nodes: &[(&str, u64, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value, children) in nodes {
            push_varint(&mut bytes, name.len() as u64);
            bytes.extend_from_slice(name.as_bytes());
            push_varint(&mut bytes, *value);
            push_varint(&mut bytes, *children);
        }
        bytes
    }

    #[test]
    fn names_of_a_trie_are_put_together() {
        let trie = bytes(&[("", 0, 2), ("main;wo", 0, 2), ("rk", 3, 0), ("nder", 2, 0), ("init", 1, 0)]);
        let tree = read_trie(&trie, &Limits::default()).unwrap();
        assert_eq!(folded::write(&tree), "init 1\nmain;wonder 2\nmain;work 3\n");
    }

    #[test]
    fn nodes_of_a_tree_are_functions() {
        let nodes = bytes(&[("", 0, 1), ("main", 1, 2), ("a", 2, 1), ("b;c", 3, 0), ("d", 4, 0)]);
        let tree = read_tree(&nodes, &Limits::default()).unwrap();
        assert_eq!(folded::write(&tree), "main 1\nmain;a 2\nmain;a;b:c 3\nmain;d 4\n");
        let again = read_tree(&write_tree(&tree), &Limits::default()).unwrap();
        assert_eq!(folded::write(&again), folded::write(&tree));
        let limits = Limits { max_depth: 2, ..Limits::default() };
        assert_eq!(read_tree(&nodes, &limits).unwrap().total(), 10);
    }

    #[test]
    fn what_is_no_trie_is_refused() {
        let limits = Limits { max_table: 3, ..Limits::default() };
        let cases: [(Vec<u8>, &str); 5] = [
            (vec![], "ends within a field"),
            (bytes(&[("", 0, 1)]), "ends within a field"),
            (vec![0xff, 0xff, 0xff, 0xff, 0x7f, 1], "ends within a field"),
            ([bytes(&[("", 0, 0)]), vec![1]].concat(), "bytes follow"),
            (bytes(&[("", 0, 3), ("a", 1, 0), ("b", 1, 0), ("c", 1, 0)]), "exceeds the limit of 3"),
        ];
        for (bytes, want) in cases {
            for result in [read_trie(&bytes, &limits), read_tree(&bytes, &limits)] {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(want), "{error}");
            }
        }
    }
}
