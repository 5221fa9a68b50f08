//! The calling-context trie: samples of one window, summed by process and stack.
//!
//! Most stacks of half a minute are distinct, but nine of ten of their frames are not, so stacks are
//! kept as paths of a trie: root first, one node per frame in its context. The trie is shared by all
//! processes; frames are positions in files, which processes share.

use indexmap::{IndexMap, IndexSet};

use hearth_unwind::StopReason;

use crate::abi::Frame;

type Hasher = foldhash::fast::RandomState;

/// A node of the trie: the node of its caller plus one, and the encoded frame. 0 is the root.
pub(crate) type Node = (u32, u64);

/// Everything sampled in one window.
#[derive(Debug, Default)]
pub(crate) struct Aggregate {
    nodes: IndexSet<Node, Hasher>,
    counts: IndexMap<(u32, u32), u64, Hasher>,
    samples: u64,
}

impl Aggregate {
    /// Adds a sample of `process` whose frames are given root first.
    pub(crate) fn add(&mut self, process: u32, root_first: impl Iterator<Item = Frame>) {
        let mut node = 0;
        for frame in root_first {
            let (index, _) = self.nodes.insert_full((node, frame.encode()));
            node = u32::try_from(index + 1).unwrap_or(0);
        }
        *self.counts.entry((process, node)).or_insert(0) += 1;
        self.samples += 1;
    }

    /// The nodes in the order in which they were made: callers first. The first one is node 1.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (u32, Frame)> {
        self.nodes.iter().map(|&(caller, bits)| (caller, Frame::decode(bits)))
    }

    /// Samples by process and leaf node.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u32, u32, u64)> {
        self.counts.iter().map(|(&(process, node), &count)| (process, node, count))
    }

    /// How many samples were added.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }
}

/// The frame that marks, at the root, why a stack is not complete; none if it is.
///
/// A sample without any frame is marked too, whatever the reason: its weight must stay visible.
pub(crate) fn mark(stop: u16, frames: usize) -> Option<Frame> {
    let complete = StopReason::from_number(stop).is_some_and(StopReason::is_complete);
    (!complete || frames == 0).then_some(Frame::Stopped(stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_share_their_common_root() {
        let frame = |offset| Frame::File { id: 1, offset };
        let mut aggregate = Aggregate::default();
        aggregate.add(7, [frame(1), frame(2), frame(3)].into_iter());
        aggregate.add(7, [frame(1), frame(2), frame(4)].into_iter());
        aggregate.add(7, [frame(1), frame(2), frame(3)].into_iter());
        aggregate.add(8, [frame(1)].into_iter());
        let nodes: Vec<_> = aggregate.nodes().collect();
        assert_eq!(nodes, [(0, frame(1)), (1, frame(2)), (2, frame(3)), (2, frame(4))]);
        let counts: Vec<_> = aggregate.counts().collect();
        assert_eq!(counts, [(7, 3, 2), (7, 4, 1), (8, 1, 1)]);
        assert_eq!(aggregate.samples(), 4);
    }

    #[test]
    fn incomplete_and_empty_stacks_are_marked() {
        assert_eq!(mark(StopReason::Root.number(), 3), None);
        assert_eq!(mark(StopReason::Root.number(), 0), Some(Frame::Stopped(0)));
        assert_eq!(mark(StopReason::Unreadable.number(), 3), Some(Frame::Stopped(7)));
        assert_eq!(mark(999, 3), Some(Frame::Stopped(999)));
    }
}
