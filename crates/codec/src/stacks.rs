//! From a tree of names to stacks: what formats without addresses and lines become in our model.

use hearth_profile::{Dictionary, Function, Line, Location, NodeId, StackId, Tree};

/// The stacks of a tree in a dictionary of their own, with the values of those that have one.
///
/// A value at the root belongs to the empty stack.
pub fn from_tree(tree: &Tree) -> (Dictionary, Vec<(StackId, i64)>) {
    let mut dictionary = Dictionary::default();
    let mut stacks = vec![StackId::NONE; tree.len()];
    let mut locations = vec![None; tree.names().len()];
    let mut sums = Vec::new();
    for index in 0..tree.len() {
        let node = NodeId(u32::try_from(index).unwrap_or(0));
        if node != NodeId::ROOT {
            let name_index = tree.name_index(node) as usize;
            let location = *locations[name_index].get_or_insert_with(|| {
                let name = dictionary.string(tree.name(node));
                let function = dictionary.function(Function { name, ..Function::default() });
                let lines = [Line { function, ..Line::default() }].into();
                dictionary.location(Location { lines, ..Location::default() })
            });
            stacks[index] = dictionary.push(stacks[tree.parent(node).0 as usize], location);
        }
        if tree.self_value(node) != 0 {
            sums.push((stacks[index], tree.self_value(node)));
        }
    }
    (dictionary, sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_comes_back() {
        let mut tree = Tree::default();
        tree.add_path(["main", "work", "main"], 3);
        tree.add_path(["main"], 2);
        tree.add(NodeId::ROOT, 1);
        let (dictionary, sums) = from_tree(&tree);
        let again = Tree::from_stacks(&dictionary, sums);
        assert_eq!(crate::folded::write(&again), crate::folded::write(&tree));
        assert_eq!(again.total(), 6);
    }
}
