//! FLM1: a whole stack tree in few bytes, for our own UI.
//!
//! ```text
//! "FLM1" | u16 version = 1 | u16 flags = 0 | u32 nodes | u32 levels bytes | u32 name-index bytes
//!        | u32 self bytes | u32 names | u32 names-text bytes | f64 quantum        (40 bytes)
//! levels      per node in preorder, siblings by name: varint(previous level + 1 − level),
//!             where the level before the first node is −1
//! name index  per node: varint, into names
//! self        per node: varint(self value / quantum)
//! layers      one byte per name: hearth_profile::Layer
//! names       text, joined by '\n'
//! ```
//!
//! All numbers are little-endian. `quantum` is the greatest common divisor of all self values, at
//! least 1: values of a sampling profiler are multiples of its period. Totals are not sent, the
//! reader sums them. Negative self values, which only differences have, are sent as 0.

use hearth_profile::{NodeId, Tree};

use crate::wire::push_varint;

/// Encodes a tree.
pub fn encode(tree: &Tree) -> Vec<u8> {
    let order = tree.preorder();
    let self_value = |node: NodeId| tree.self_value(node).max(0).cast_unsigned();
    let quantum = order.iter().fold(0, |divisor, (node, _)| gcd(divisor, self_value(*node))).max(1);
    let (mut levels, mut name_index, mut selfs) = (Vec::new(), Vec::new(), Vec::new());
    let mut previous = 0;
    for &(node, level) in &order {
        push_varint(&mut levels, u64::from(previous - level));
        push_varint(&mut name_index, u64::from(tree.name_index(node)));
        push_varint(&mut selfs, self_value(node) / quantum);
        previous = level + 1;
    }
    let layers: Vec<u8> = tree.names().map(|(_, layer)| layer as u8).collect();
    let names = tree.names().map(|(name, _)| name.replace('\n', " ")).collect::<Vec<_>>().join("\n");
    let mut bytes = Vec::with_capacity(40 + levels.len() + name_index.len() + selfs.len() + names.len());
    bytes.extend_from_slice(b"FLM1\x01\x00\x00\x00");
    for count in [order.len(), levels.len(), name_index.len(), selfs.len(), layers.len(), names.len()] {
        bytes.extend_from_slice(&(count as u32).to_le_bytes());
    }
    bytes.extend_from_slice(&(quantum as f64).to_le_bytes());
    for column in [levels, name_index, selfs, layers, names.into_bytes()] {
        bytes.extend_from_slice(&column);
    }
    bytes
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use hearth_profile::Layer;

    fn u32_at(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// A reader as the UI has it.
    fn shown(bytes: &[u8]) -> String {
        assert_eq!(&bytes[..8], b"FLM1\x01\0\0\0");
        let lengths: Vec<usize> = (8..32).step_by(4).map(|at| u32_at(bytes, at)).collect();
        let quantum = f64::from_le_bytes(bytes[32..40].try_into().unwrap());
        let mut at = 40;
        let mut column = |length: usize| {
            at += length;
            &bytes[at - length..at]
        };
        let (levels, index, selfs) = (column(lengths[1]), column(lengths[2]), column(lengths[3]));
        let layers = column(lengths[4]);
        let names: Vec<&str> = std::str::from_utf8(column(lengths[5])).unwrap().split('\n').collect();
        assert_eq!((names.len(), at), (lengths[4], bytes.len()));
        let mut text = format!("quantum {quantum}\n");
        let mut level = -1_i64;
        for node in 0..lengths[0] {
            level = level + 1 - i64::from(levels[node]);
            let name = usize::from(index[node]);
            let indent = "  ".repeat(level as usize);
            text += &format!(
                "{indent}{} {} {}\n",
                names[name],
                Layer::ALL[layers[name] as usize].name(),
                selfs[node]
            );
        }
        text
    }

    #[test]
    fn a_reader_gets_the_tree_back() {
        let mut tree = Tree::default();
        tree.add_path(["main", "work", "hash"], 30);
        tree.add_path(["main", "idle"], 20);
        tree.add_path(["init\nonce"], 10);
        let kernel = tree.child(NodeId::ROOT, "do_idle", Layer::Kernel);
        tree.add(kernel, 50);
        expect![[r#"
            quantum 10
            total app 0
              do_idle kernel 5
              init once app 1
              main app 0
                idle app 2
                work app 0
                  hash app 3
        "#]]
        .assert_eq(&shown(&encode(&tree)));
        assert_eq!(encode(&Tree::default()).len(), 40 + 3 + 1 + 5);
    }
}
