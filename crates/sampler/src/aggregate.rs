//! The calling-context trie: samples of one window, summed by process and stack.
//!
//! Most stacks of half a minute are distinct, but nine of ten of their frames are not, so stacks are
//! kept as paths of a trie: root first, one node per frame in its context. The trie is shared by all
//! processes; frames are positions in files, which processes share. Nothing is allocated per sample: the
//! tables grow until they hold what a window needs.

use indexmap::{IndexMap, IndexSet};

use hearth_unwind::StopReason;

use crate::abi::{COMM_BYTES, Frame, Sample};
use crate::pending::Owner;
use crate::settings::SampleAttributes;

type Hasher = foldhash::fast::RandomState;

/// A node of the trie: the node of its caller plus one, and the encoded frame. 0 is the root.
pub(crate) type Node = (u32, u64);

/// Attributes of a sample, where they were asked for; else zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tag {
    pub(crate) thread: u32,
    pub(crate) cpu: u16,
    pub(crate) name: [u8; COMM_BYTES],
}

impl Tag {
    fn of(sample: &Sample<'_>, wanted: SampleAttributes) -> Self {
        let mut tag = Self::default();
        if wanted.thread_id {
            tag.thread = sample.tid;
        }
        if wanted.cpu {
            tag.cpu = sample.cpu;
        }
        if wanted.thread_name {
            for (to, from) in tag.name.iter_mut().zip(sample.comm.iter().take_while(|byte| **byte != 0)) {
                *to = *from;
            }
        }
        tag
    }
}

/// Everything sampled in one window.
#[derive(Debug, Default)]
pub(crate) struct Aggregate {
    nodes: IndexSet<Node, Hasher>,
    counts: IndexMap<(u32, u32, u32), u64, Hasher>,
    tags: IndexSet<Tag, Hasher>,
    samples: u64,
}

impl Aggregate {
    /// The number of a sample's attributes; 0 where none are wanted.
    pub(crate) fn tag(&mut self, sample: &Sample<'_>, wanted: SampleAttributes) -> u32 {
        if !wanted.any() {
            return 0;
        }
        let (index, _) = self.tags.insert_full(Tag::of(sample, wanted));
        u32::try_from(index).unwrap_or(0)
    }

    /// The attributes of a number; none where none were wanted.
    pub(crate) fn attributes(&self, tag: u32) -> Option<&Tag> {
        self.tags.get_index(usize::try_from(tag).ok()?)
    }

    /// Adds a sample whose frames are given root first.
    pub(crate) fn add(&mut self, owner: Owner, root_first: impl Iterator<Item = Frame>) {
        let mut node = 0;
        for frame in root_first {
            let (index, _) = self.nodes.insert_full((node, frame.encode()));
            node = u32::try_from(index + 1).unwrap_or(0);
        }
        *self.counts.entry((owner.process, node, owner.tag)).or_insert(0) += 1;
        self.samples += 1;
    }

    /// The nodes in the order in which they were made: callers first. The first one is node 1.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (u32, Frame)> {
        self.nodes.iter().map(|&(caller, bits)| (caller, Frame::decode(bits)))
    }

    /// Samples by process, leaf node and number of attributes.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u32, u32, u32, u64)> {
        self.counts.iter().map(|(&(process, node, tag), &count)| (process, node, tag, count))
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

    fn owner(process: u32) -> Owner {
        Owner { process, tag: 0 }
    }

    #[test]
    fn stacks_share_their_common_root() {
        let frame = |offset| Frame::File { id: 1, offset };
        let mut aggregate = Aggregate::default();
        aggregate.add(owner(7), [frame(1), frame(2), frame(3)].into_iter());
        aggregate.add(owner(7), [frame(1), frame(2), frame(4)].into_iter());
        aggregate.add(owner(7), [frame(1), frame(2), frame(3)].into_iter());
        aggregate.add(owner(8), [frame(1)].into_iter());
        let nodes: Vec<_> = aggregate.nodes().collect();
        assert_eq!(nodes, [(0, frame(1)), (1, frame(2)), (2, frame(3)), (2, frame(4))]);
        let counts: Vec<_> = aggregate.counts().collect();
        assert_eq!(counts, [(7, 3, 0, 2), (7, 4, 0, 1), (8, 1, 0, 1)]);
        assert_eq!(aggregate.samples(), 4);
    }

    #[test]
    fn samples_are_kept_apart_by_the_attributes_that_were_asked_for() {
        let mut record = vec![0; 56];
        record[28] = 9;
        record[32..34].copy_from_slice(b"io");
        record[48] = 3;
        let sample = Sample::parse(&record).unwrap();
        let mut aggregate = Aggregate::default();
        assert_eq!(aggregate.tag(&sample, SampleAttributes::default()), 0);
        assert_eq!(aggregate.attributes(0), None);
        let all = SampleAttributes { thread_id: true, thread_name: true, cpu: true };
        let tag = aggregate.tag(&sample, all);
        let got = aggregate.attributes(tag).unwrap();
        assert_eq!((got.thread, got.cpu, &got.name[..3]), (9, 3, &b"io\0"[..]));
        let only_cpu = aggregate.tag(&sample, SampleAttributes { cpu: true, ..SampleAttributes::default() });
        assert_eq!(aggregate.attributes(only_cpu).map(|tag| tag.thread), Some(0));
        assert_ne!(only_cpu, tag);
    }

    #[test]
    fn incomplete_and_empty_stacks_are_marked() {
        assert_eq!(mark(StopReason::Root.number(), 3), None);
        assert_eq!(mark(StopReason::Root.number(), 0), Some(Frame::Stopped(0)));
        assert_eq!(mark(StopReason::Unreadable.number(), 3), Some(Frame::Stopped(7)));
        assert_eq!(mark(999, 3), Some(Frame::Stopped(999)));
    }
}
