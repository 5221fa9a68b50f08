//! Flame graphs as Pyroscope sends them: level by level, with offsets relative to the left.
//!
//! Each level is a list of numbers, four per bar: the gap to the end of the previous bar of the
//! level, the total, the self value, the index of the name. Grafana reads it back by position,
//! hence the rules: the root is one bar without gap; `names[0]` is `total`; a bar's own value is
//! the left part of its span, so its children begin at `x + self`; siblings are ordered by name.
//! Bars of value zero are left out: they would lie on the border of two parents.

use hearth_profile::{Layer, NodeId, OTHER, Tree};
use indexmap::IndexSet;

use crate::pyroscope::querier::{FlameGraph, FlameGraphDiff, Level};

/// A tree as a flame graph of about `max_nodes` bars; 0 keeps all. See [`Tree::pruned`].
pub fn levels(tree: &Tree, max_nodes: usize) -> FlameGraph {
    let tree = &tree.pruned(max_nodes);
    let mut graph = Graph::default();
    graph.draw(tree, [&tree.totals()], [&self_values(tree)]);
    let (names, levels, max_self) = graph.finish();
    FlameGraph { names, levels, total: tree.total(), max_self }
}

/// Two trees as one flame graph with a bar wherever either has one; `max_nodes` as for
/// [`levels`], by the sum of both.
///
/// Seven numbers per bar: gap, total and self value on the left, the same on the right, the name.
pub fn diff(left: &Tree, right: &Tree, max_nodes: usize) -> FlameGraphDiff {
    let (shape, sides) = overlay(left, right, max_nodes);
    let totals = sides.each_ref().map(|values| totals(&shape, values));
    let mut graph = Graph::default();
    graph.draw(&shape, totals.each_ref().map(Vec::as_slice), sides.each_ref().map(Vec::as_slice));
    let (names, levels, max_self) = graph.finish();
    let (left_ticks, right_ticks) = (left.total(), right.total());
    let total = left_ticks.saturating_add(right_ticks);
    FlameGraphDiff { names, levels, total, max_self, left_ticks, right_ticks }
}

fn self_values(tree: &Tree) -> Vec<i64> {
    (0..tree.len()).map(|node| tree.self_value(NodeId(node as u32))).collect()
}

/// Sums `values`, one per node of `shape`, towards the root.
fn totals(shape: &Tree, values: &[i64]) -> Vec<i64> {
    let mut totals = values.to_vec();
    for node in (1..totals.len()).rev() {
        let parent = shape.parent(NodeId(node as u32)).0 as usize;
        totals[parent] = totals[parent].saturating_add(totals[node]);
    }
    totals
}

/// The nodes which either tree has, pruned by the sum of both, and both sides' self values by node.
fn overlay(left: &Tree, right: &Tree, max_nodes: usize) -> (Tree, [Vec<i64>; 2]) {
    let mut both = left.clone();
    both.merge(right);
    let left_self = padded(self_values(left), both.len());
    let right_self: Vec<i64> = (0..both.len())
        .map(|node| both.self_value(NodeId(node as u32)).saturating_sub(left_self[node]))
        .collect();
    let (both_totals, left_totals, right_totals) =
        (both.totals(), totals(&both, &left_self), totals(&both, &right_self));
    let mut threshold = i64::MIN;
    if (1..both.len()).contains(&max_nodes) {
        threshold = *both_totals.clone().select_nth_unstable_by(max_nodes - 1, |a, b| b.cmp(a)).1;
    }
    let mut shape = Tree::default();
    let mut sides = [vec![left_self[0]], vec![right_self[0]]];
    let mut copied: Vec<Option<NodeId>> = vec![None; both.len()];
    copied[0] = Some(NodeId::ROOT);
    let layers: Vec<Layer> = both.names().map(|(_, layer)| layer).collect();
    for node in 1..both.len() {
        let id = NodeId(node as u32);
        let Some(parent) = copied[both.parent(id).0 as usize] else { continue };
        let kept = both_totals[node] >= threshold;
        let layer = layers[both.name_index(id) as usize];
        let name = if kept { both.name(id) } else { OTHER };
        let copy = shape.child(parent, name, layer);
        let values = if kept {
            copied[node] = Some(copy);
            [left_self[node], right_self[node]]
        } else {
            [left_totals[node], right_totals[node]]
        };
        for (side, value) in sides.iter_mut().zip(values) {
            side.resize(shape.len(), 0);
            side[copy.0 as usize] = side[copy.0 as usize].saturating_add(value);
        }
    }
    (shape, sides)
}

fn padded(mut values: Vec<i64>, len: usize) -> Vec<i64> {
    values.resize(len, 0);
    values
}

/// A flame graph in the making.
#[derive(Default)]
struct Graph {
    names: IndexSet<String>,
    levels: Vec<Level>,
    max_self: i64,
}

impl Graph {
    /// Adds the bars of `tree`, whose values are, by side and by node, `totals` and `selfs`.
    fn draw<const SIDES: usize>(&mut self, tree: &Tree, totals: [&[i64]; SIDES], selfs: [&[i64]; SIDES]) {
        self.names.insert("total".into());
        // Where a node's next child begins, and where the last bar of each level ended, by side.
        let mut next = vec![[0_i64; SIDES]; tree.len()];
        let mut ends: Vec<[i64; SIDES]> = Vec::new();
        for (node, depth) in tree.preorder() {
            let (index, parent) = (node.0 as usize, tree.parent(node).0 as usize);
            let total = totals.map(|side| side[index].max(0));
            if node != NodeId::ROOT && total.iter().all(|&total| total == 0) {
                continue;
            }
            let depth = depth as usize;
            if ends.len() <= depth {
                ends.resize(depth + 1, [0; SIDES]);
                self.levels.resize(depth + 1, Level::default());
            }
            let start = if node == NodeId::ROOT { [0; SIDES] } else { next[parent] };
            for side in 0..SIDES {
                let own = selfs[side][index];
                self.max_self = self.max_self.max(own);
                let gap = start[side].saturating_sub(ends[depth][side]);
                self.levels[depth].values.extend([gap, total[side], own]);
                let end = start[side].saturating_add(total[side]);
                ends[depth][side] = end;
                next[index][side] = start[side].saturating_add(own);
                if node != NodeId::ROOT {
                    next[parent][side] = end;
                }
            }
            let name = if node == NodeId::ROOT { 0 } else { self.name(tree.name(node)) };
            self.levels[depth].values.push(name);
        }
    }

    fn name(&mut self, name: &str) -> i64 {
        let index = match self.names.get_index_of(name) {
            Some(index) => index,
            None => self.names.insert_full(name.to_owned()).0,
        };
        index as i64
    }

    fn finish(self) -> (Vec<String>, Vec<Level>, i64) {
        (self.names.into_iter().collect(), self.levels, self.max_self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    fn tree(folded: &str) -> Tree {
        crate::folded::read(folded.as_bytes(), &crate::Limits::default()).unwrap()
    }

    #[test]
    fn bars_are_placed_after_their_parents_own_value() {
        let graph = levels(&tree("main;work;hash 3\nmain;idle 2\nmain 1\ninit 1"), 0);
        expect![[r#"
            ["total", "init", "main", "idle", "work", "hash"]
            [0, 7, 0, 0]
            [0, 1, 1, 1, 0, 6, 1, 2]
            [2, 2, 2, 3, 0, 3, 0, 4]
            [4, 3, 3, 5]
        "#]]
        .assert_eq(&shown(&graph.names, &graph.levels));
        assert_eq!((graph.total, graph.max_self), (7, 3));
    }

    #[test]
    fn a_difference_has_both_sides_bars() {
        let graph = diff(&tree("main;a 3\nmain;b 1"), &tree("main;a 1\nmain;c 4"), 0);
        expect![[r#"
            ["total", "main", "a", "b", "c"]
            [0, 4, 0, 0, 5, 0, 0]
            [0, 4, 0, 0, 5, 0, 1]
            [0, 3, 3, 0, 1, 1, 2, 0, 1, 1, 0, 0, 0, 3, 0, 0, 0, 0, 4, 4, 4]
        "#]]
        .assert_eq(&shown(&graph.names, &graph.levels));
        assert_eq!((graph.total, graph.left_ticks, graph.right_ticks), (9, 4, 5));
        let pruned = diff(&tree("main;a 3\nmain;b 1"), &tree("main;a 1\nmain;c 4\nmain;d 1"), 4);
        expect![[r#"
            ["total", "main", "a", "c", "other"]
            [0, 4, 0, 0, 6, 0, 0]
            [0, 4, 0, 0, 6, 0, 1]
            [0, 3, 3, 0, 1, 1, 2, 0, 0, 0, 0, 4, 4, 3, 0, 1, 1, 0, 1, 1, 4]
        "#]]
        .assert_eq(&shown(&pruned.names, &pruned.levels));
    }

    fn shown(names: &[String], levels: &[Level]) -> String {
        let mut text = format!("{names:?}\n");
        for level in levels {
            text += &format!("{:?}\n", level.values);
        }
        text
    }

    /// Reads a flame graph as Grafana's plugin does: each bar must lie within a bar of the level
    /// above, taken left to right. Returns how many bars it found a place for, or what is wrong.
    fn walk(graph: &FlameGraph) -> Result<usize, String> {
        let root = graph.levels.first().ok_or("no root")?;
        if root.values.len() != 4 || graph.names[root.values[0] as usize] != "total" {
            return Err(format!("bad root {:?}", root.values));
        }
        let mut parents = vec![(0, root.values[1])];
        let mut placed = 1;
        for (depth, level) in graph.levels.iter().enumerate().skip(1) {
            let (mut at, mut open, mut bars) = (0, 0, Vec::new());
            for bar in level.values.chunks(4) {
                let &[gap, total, own, name] = bar else { return Err(format!("{bar:?}")) };
                at += gap;
                while open < parents.len() && at >= parents[open].1 {
                    open += 1;
                }
                let &(start, end) = parents.get(open).ok_or(format!("level {depth}: no parent at {at}"))?;
                if at < start || at + total > end || own > total || gap < 0 {
                    return Err(format!("level {depth}: {at}+{total} not within {start}..{end}"));
                }
                graph.names.get(name as usize).ok_or(format!("name {name}"))?;
                bars.push((at, at + total));
                at += total;
                placed += 1;
            }
            parents = bars;
        }
        Ok(placed)
    }

    proptest! {
        #[test]
        fn no_bar_is_dropped(
            stacks in prop::collection::vec((prop::collection::vec(0_u8..5, 0..9), 0_i64..50), 0..60),
            max_nodes in 0_usize..40,
        ) {
            let mut tree = Tree::default();
            for (path, value) in &stacks {
                let names: Vec<String> = path.iter().map(|name| format!("f{name}")).collect();
                tree.add_path(names.iter().map(String::as_str), *value);
            }
            let graph = levels(&tree, max_nodes);
            let bars = graph.levels.iter().map(|level| level.values.len() / 4).sum::<usize>();
            prop_assert_eq!(walk(&graph), Ok(bars));
            prop_assert_eq!(graph.levels[0].values[1], stacks.iter().map(|stack| stack.1).sum::<i64>());
            let selfs: i64 = graph.levels.iter().flat_map(|level| level.values.chunks(4)).map(|bar| bar[2]).sum();
            prop_assert_eq!(selfs, graph.total);
        }
    }
}
