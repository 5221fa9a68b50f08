//! The stack tree: functions with self and total values, as a flame graph draws them.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::{Dictionary, Layer, LocationId, StackId};

/// Name of the node into which pruning folds what it removes.
pub const OTHER: &str = "other";

/// A node of a [`Tree`]; 0 is the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The root, which stands for everything.
    pub const ROOT: Self = Self(0);

    fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: NodeId,
    name: u32,
    self_value: i64,
}

/// Functions by call path with their values.
///
/// A node's parent always has a smaller id. Sums saturate at the bounds of `i64`; with sums below
/// that, the root's total equals the sum of everything added, whatever is merged or pruned.
#[derive(Clone, Debug)]
pub struct Tree {
    names: IndexMap<Box<str>, Layer, foldhash::fast::RandomState>,
    nodes: Vec<Node>,
    children: HashMap<(NodeId, u32), NodeId, foldhash::fast::RandomState>,
}

impl Default for Tree {
    fn default() -> Self {
        let mut names = IndexMap::default();
        names.insert(Box::from("total"), Layer::App);
        Self {
            names,
            nodes: vec![Node { parent: NodeId::ROOT, name: 0, self_value: 0 }],
            children: HashMap::default(),
        }
    }
}

impl Tree {
    /// Builds the tree of `sums`, pairs of a stack in `dictionary` and its value.
    pub fn from_stacks(dictionary: &Dictionary, sums: impl IntoIterator<Item = (StackId, i64)>) -> Self {
        let mut tree = Self::default();
        tree.add_stacks(dictionary, sums);
        tree
    }

    /// Adds `sums`, pairs of a stack in `dictionary` and its value.
    pub fn add_stacks(&mut self, dictionary: &Dictionary, sums: impl IntoIterator<Item = (StackId, i64)>) {
        let mut folded: Vec<Option<NodeId>> = vec![None; dictionary.stacks().len()];
        let mut name_ids: Vec<Option<Box<[u32]>>> = vec![None; dictionary.locations().len()];
        folded[0] = Some(NodeId::ROOT);
        let mut pending = Vec::new();
        for (stack, value) in sums {
            let mut at = if stack.index() < folded.len() { stack } else { StackId::NONE };
            while folded[at.index()].is_none() {
                pending.push(at);
                at = dictionary.get_stack(at).1;
            }
            let mut node = folded[at.index()].unwrap_or_default();
            while let Some(frame) = pending.pop() {
                let location = dictionary.get_stack(frame).0;
                let names =
                    name_ids[location.index()].get_or_insert_with(|| self.intern_names(dictionary, location));
                for &name in names.iter() {
                    node = self.child_by_id(node, name);
                }
                folded[frame.index()] = Some(node);
            }
            self.add(node, value);
        }
    }

    /// The ids of a location's names, outermost first.
    fn intern_names(&mut self, dictionary: &Dictionary, location: LocationId) -> Box<[u32]> {
        dictionary.names(location).iter().rev().map(|(name, layer)| self.name_id(name, *layer)).collect()
    }

    fn name_id(&mut self, name: &str, layer: Layer) -> u32 {
        let index = match self.names.get_index_of(name) {
            Some(index) => index,
            None => self.names.insert_full(name.into(), layer).0,
        };
        u32::try_from(index).unwrap_or(0)
    }

    fn child_by_id(&mut self, parent: NodeId, name: u32) -> NodeId {
        if let Some(&node) = self.children.get(&(parent, name)) {
            return node;
        }
        let node = NodeId(u32::try_from(self.nodes.len()).unwrap_or(0));
        self.nodes.push(Node { parent, name, self_value: 0 });
        self.children.insert((parent, name), node);
        node
    }

    /// The child of `parent` with this name, made if absent. The first layer given for a name stays.
    pub fn child(&mut self, parent: NodeId, name: &str, layer: Layer) -> NodeId {
        let name = self.name_id(name, layer);
        self.child_by_id(parent, name)
    }

    /// Adds to a node's self value.
    pub fn add(&mut self, node: NodeId, value: i64) {
        if let Some(node) = self.nodes.get_mut(node.index()) {
            node.self_value = node.self_value.saturating_add(value);
        }
    }

    /// Adds `value` to the stack given root-first.
    pub fn add_path<'a>(&mut self, path: impl IntoIterator<Item = &'a str>, value: i64) {
        let node = path.into_iter().fold(NodeId::ROOT, |node, name| self.child(node, name, Layer::App));
        self.add(node, value);
    }

    /// Adds everything `other` has.
    pub fn merge(&mut self, other: &Self) {
        let mut copied = vec![NodeId::ROOT; other.nodes.len()];
        for (index, node) in other.nodes.iter().enumerate() {
            if index > 0 {
                let (name, layer) = other.name_of(node.name);
                copied[index] = self.child(copied[node.parent.index()], name, layer);
            }
            self.add(copied[index], node.self_value);
        }
    }

    fn name_of(&self, name: u32) -> (&str, Layer) {
        self.names.get_index(name as usize).map_or(("", Layer::App), |(name, layer)| (&**name, *layer))
    }

    /// All distinct names with their layer; a node's name is an index into this.
    pub fn names(&self) -> impl ExactSizeIterator<Item = (&str, Layer)> {
        self.names.iter().map(|(name, layer)| (&**name, *layer))
    }

    /// Index of a node's name in [`Self::names`].
    pub fn name_index(&self, node: NodeId) -> u32 {
        self.nodes.get(node.index()).map_or(0, |node| node.name)
    }

    /// A node's name.
    pub fn name(&self, node: NodeId) -> &str {
        self.name_of(self.name_index(node)).0
    }

    /// A node's own value, without its children's.
    pub fn self_value(&self, node: NodeId) -> i64 {
        self.nodes.get(node.index()).map_or(0, |node| node.self_value)
    }

    /// The caller's node; the root's is the root.
    pub fn parent(&self, node: NodeId) -> NodeId {
        self.nodes.get(node.index()).map_or(NodeId::ROOT, |node| node.parent)
    }

    /// How many nodes there are, root included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing but the root with no value.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && self.nodes[0].self_value == 0
    }

    /// Each node's total, by node id: its own value and all its descendants'.
    pub fn totals(&self) -> Vec<i64> {
        let mut totals: Vec<i64> = self.nodes.iter().map(|node| node.self_value).collect();
        for index in (1..self.nodes.len()).rev() {
            let parent = self.nodes[index].parent.index();
            totals[parent] = totals[parent].saturating_add(totals[index]);
        }
        totals
    }

    /// The total of the root.
    pub fn total(&self) -> i64 {
        self.nodes.iter().fold(0, |sum, node| sum.saturating_add(node.self_value))
    }

    /// All nodes with their depth (root 0), parents before children, siblings by name.
    pub fn preorder(&self) -> Vec<(NodeId, u32)> {
        let mut kids: Vec<(NodeId, u32, NodeId)> =
            self.children.iter().map(|(&(parent, name), &node)| (parent, name, node)).collect();
        kids.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| self.name_of(a.1).0.cmp(self.name_of(b.1).0))
        });
        let start_of = |node: NodeId| kids.partition_point(|kid| kid.0 < node);
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut pending = vec![(NodeId::ROOT, 0)];
        while let Some((node, depth)) = pending.pop() {
            order.push((node, depth));
            let first = start_of(node);
            let of_node = kids[first..].iter().take_while(|kid| kid.0 == node);
            let from = pending.len();
            pending.extend(of_node.map(|kid| (kid.2, depth + 1)));
            pending[from..].reverse();
        }
        order
    }

    /// Keeps about the `max_nodes` heaviest nodes and folds the rest of each parent's children into
    /// one child named [`OTHER`]. Totals of what stays do not change. 0 keeps everything.
    pub fn pruned(&self, max_nodes: usize) -> Self {
        if max_nodes == 0 || self.nodes.len() <= max_nodes {
            return self.clone();
        }
        let totals = self.totals();
        let mut ranked = totals.clone();
        let (_, &mut threshold, _) = ranked.select_nth_unstable_by(max_nodes - 1, |a, b| b.cmp(a));
        let mut tree = Self::default();
        let mut copied: Vec<Option<NodeId>> = vec![None; self.nodes.len()];
        copied[0] = Some(NodeId::ROOT);
        tree.add(NodeId::ROOT, self.nodes[0].self_value);
        for (index, node) in self.nodes.iter().enumerate().skip(1) {
            let Some(parent) = copied[node.parent.index()] else { continue };
            if totals[index] < threshold {
                let other = tree.child(parent, OTHER, Layer::App);
                tree.add(other, totals[index]);
                continue;
            }
            let (name, layer) = self.name_of(node.name);
            let kept = tree.child(parent, name, layer);
            tree.add(kept, node.self_value);
            copied[index] = Some(kept);
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn tree(folded: &str) -> Tree {
        let mut tree = Tree::default();
        for line in folded.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (path, value) = line.rsplit_once(' ').unwrap();
            tree.add_path(path.split(';'), value.parse().unwrap());
        }
        tree
    }

    fn check(tree: &Tree, want: Expect) {
        let totals = tree.totals();
        let mut text = String::new();
        for (node, depth) in tree.preorder() {
            text += &format!("{}{} {}\n", "  ".repeat(depth as usize), tree.name(node), totals[node.index()]);
        }
        want.assert_eq(&text);
    }

    #[test]
    fn pruned_nodes_are_summed_per_parent() {
        let tree = tree(
            "main;parse;read 6
             main;parse;skip 1
             main;idle 1",
        );
        check(
            &tree.pruned(4),
            expect![[r#"
                total 8
                  main 8
                    other 1
                    parse 7
                      other 1
                      read 6
            "#]],
        );
        assert_eq!(tree.pruned(1).total(), 8);
    }

    #[test]
    fn merging_adds_values_of_equal_paths() {
        let mut left = tree("main;parse 3\nmain 1");
        left.merge(&tree("main;parse 2\nother;x 5"));
        check(
            &left,
            expect![[r#"
                total 11
                  main 6
                    parse 5
                  other 5
                    x 5
            "#]],
        );
    }
}
