//! Stacks that met a file before its rows were ready, and are walked on when they are.
//!
//! The kernel side sends such a sample with the registers at that frame and the bytes of the stack, so that
//! not even the first sample of a program that nobody ran before is cut. A waiting stack belongs to the window
//! in which it was taken; what is not finished when the window closes, or does not fit the memory for it,
//! ends in a marked stop. No weight changes either way.

use std::collections::HashMap;

use hearth_unwind::{FP_UNKNOWN, Memory, Outcome, Registers, StopReason, apply, walk_step};

use crate::abi::{Frame, ProcessKey, RawTail};
use crate::budget::{Drops, Reason};
use crate::files::Lanes;
use crate::mappings::{Mapper, Mapping};
use crate::tables::{Readiness, Tables};

#[cfg(target_arch = "aarch64")]
const ARCH: hearth_unwind::Arch = hearth_unwind::Arch::Arm64;
#[cfg(not(target_arch = "aarch64"))]
const ARCH: hearth_unwind::Arch = hearth_unwind::Arch::X86_64;

/// Frames of one stack, as the kernel side has it.
const FRAMES_MAX: usize = 1024;
/// Bytes kept above a stack's top: the words that start code puts there.
const TOP_BYTES: u64 = 64;
/// What a waiting stack takes besides its bytes and frames.
const OVERHEAD: usize = 600;

/// What a stack is to be counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The incarnation.
    pub(crate) process: u32,
    /// Attributes of the sample.
    pub(crate) tag: u32,
}

/// A stack that waits.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) owner: Owner,
    /// User frames so far, leaf first.
    pub(crate) user: Vec<Frame>,
    /// Kernel frames, outermost first.
    pub(crate) kernel: Vec<Frame>,
    key: ProcessKey,
    registers: Registers,
    /// Bytes of the stack, from this address on.
    bytes: Box<[u8]>,
    at: u64,
    /// The frame on top of `user` has no caller yet.
    blocked_on: Blocked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    File(u32),
    Mappings,
}

/// Where a stack is at after walking on.
enum Walked {
    Waits(Blocked),
    Ends(StopReason),
}

impl Memory for Stack {
    fn read(&self, address: u64, to: &mut [u8]) -> bool {
        let from = address.checked_sub(self.at).and_then(|at| usize::try_from(at).ok());
        let bytes = from.and_then(|at| self.bytes.get(at..)?.get(..to.len()));
        bytes.inspect(|bytes| to.copy_from_slice(bytes)).is_some()
    }
}

/// The registers of a raw tail.
fn registers(tail: &RawTail<'_>) -> Registers {
    let (sp, fp) = (usize::from(ARCH.sp()), usize::from(ARCH.fp()));
    let ip = usize::from(ARCH.registers());
    let get = |number| tail.register(number).unwrap_or(0);
    let mut other = [0; 32];
    for (number, value) in other.iter_mut().enumerate().take(ip) {
        *value = get(number);
    }
    let known = u32::try_from(tail.known & u64::from(ARCH.known())).unwrap_or(0);
    Registers {
        ip: get(ip),
        sp: get(sp),
        fp: tail.register(fp).unwrap_or(FP_UNKNOWN),
        stack_top: tail.stack_top,
        start_bytes: tail.start_bytes,
        leaf: tail.leaf,
        lr: if ARCH == hearth_unwind::Arch::Arm64 { get(30) } else { 0 },
        known: if tail.leaf { known } else { 0 },
        other,
    }
}

impl Stack {
    /// A sample's stack, which ended at a frame of a file that is not ready.
    pub(crate) fn new(
        owner: Owner,
        key: ProcessKey,
        user: Vec<Frame>,
        kernel: Vec<Frame>,
        tail: &RawTail<'_>,
    ) -> Self {
        let registers = registers(tail);
        let blocked_on = match user.last() {
            Some(Frame::File { id, .. }) => Blocked::File(*id),
            _ => Blocked::Mappings,
        };
        // What lies beyond the stack's top holds no frame.
        let to_top =
            registers.stack_top.checked_sub(registers.sp).map(|bytes| bytes.saturating_add(TOP_BYTES));
        let wanted = to_top.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let bytes = tail.stack[..tail.stack.len().min(wanted)].into();
        Self { owner, user, kernel, key, registers, bytes, at: registers.sp, blocked_on }
    }

    fn cost(&self) -> usize {
        OVERHEAD + self.bytes.len() + 16 * (self.user.capacity() + self.kernel.capacity())
    }

    /// Address of the frame on top.
    fn address(&self) -> u64 {
        self.registers.ip.wrapping_sub(u64::from(!self.registers.leaf))
    }

    /// Whether only start code can be missing where the walk cannot go on.
    fn end(&self, reason: StopReason) -> StopReason {
        match self.registers.stack_top.checked_sub(self.registers.sp) {
            Some(distance) if distance <= u64::from(self.registers.start_bytes) => StopReason::Start,
            _ => reason,
        }
    }

    /// Walks on as far as files are ready.
    ///
    /// `unmapped` is said of an address in no mapping; `find` gives none while mappings are asked for.
    fn walk(
        &mut self,
        tables: &Tables,
        unmapped: StopReason,
        find: impl Fn(u64) -> Option<Option<Mapping>>,
    ) -> Walked {
        loop {
            let rule = match self.user.last().copied() {
                Some(Frame::File { id, offset }) => match tables.readiness(id) {
                    Readiness::Awaited => return Walked::Waits(Blocked::File(id)),
                    Readiness::Ready => tables.rule(id, offset),
                    Readiness::Never => None,
                },
                Some(Frame::Raw(_)) | None => match find(self.address()) {
                    None => return Walked::Waits(Blocked::Mappings),
                    Some(None) => return Walked::Ends(self.end(unmapped)),
                    Some(Some(mapping)) => {
                        let frame = mapping.frame(self.address());
                        self.user.pop();
                        self.user.push(frame);
                        continue;
                    }
                },
                _ => None,
            };
            let outcome = rule
                .and_then(|(arch, rule)| apply(arch, &rule, &self.registers, self))
                .unwrap_or_else(|| walk_step(&self.registers, self));
            match outcome {
                Outcome::Stop(StopReason::Unreadable) if !self.holds_top() => {
                    // It lies beyond the bytes that were sent.
                    return Walked::Ends(StopReason::UnknownFile);
                }
                Outcome::Stop(reason) => return Walked::Ends(self.end(reason)),
                Outcome::Caller(registers) => self.registers = registers,
            }
            if self.user.len() >= FRAMES_MAX {
                return Walked::Ends(StopReason::Depth);
            }
            match find(self.address()) {
                Some(Some(mapping)) => self.user.push(mapping.frame(self.address())),
                Some(None) => return Walked::Ends(self.end(unmapped)),
                None => self.user.push(Frame::Raw(self.address())),
            }
        }
    }

    /// Whether the bytes reach up to the stack's top.
    fn holds_top(&self) -> bool {
        self.registers.stack_top <= self.at.saturating_add(self.bytes.len() as u64)
    }

    /// Gives up: a frame that was never looked up is no frame.
    fn cut(&mut self) {
        if self.user.len() > 1 && matches!(self.user.last(), Some(Frame::Raw(_))) {
            self.user.pop();
        }
    }
}

/// The range of a mapping through which a file was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) file: u32,
}

/// What is known of a process without asking /proc, which may come too late.
#[derive(Debug, Default)]
struct Learned {
    met: Vec<Met>,
    mappings: Vec<Mapping>,
}

/// All waiting stacks of one window.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    stacks: Vec<Stack>,
    bytes: usize,
    /// Mappings through which files were met, by incarnation: they outlive their process.
    learned: HashMap<u32, Learned>,
    /// What the tables had changed to when they were last looked at.
    seen: u64,
}

impl Pending {
    /// Whether a stack waits for something that is about to come.
    pub(crate) fn has_hope(&self, lanes: &Lanes, mapper: &Mapper) -> bool {
        self.stacks.iter().any(|stack| match stack.blocked_on {
            Blocked::File(id) => lanes.is_coming(id),
            Blocked::Mappings => mapper.is_asked(stack.owner.process),
        })
    }

    /// Incarnations that have a waiting stack.
    pub(crate) fn processes(&self) -> impl Iterator<Item = u32> {
        self.stacks.iter().map(|stack| stack.owner.process)
    }

    /// Notes the range through which a file was met.
    pub(crate) fn met(&mut self, process: u32, met: Met) {
        const PROCESSES_MAX: usize = 4096;
        const RANGES_MAX: usize = 64;
        if self.learned.len() >= PROCESSES_MAX && !self.learned.contains_key(&process) {
            return;
        }
        let learned = self.learned.entry(process).or_default();
        if learned.met.len() < RANGES_MAX && !learned.met.contains(&met) {
            learned.met.push(met);
        }
    }

    /// Learns from a stack how the range of its last frame is mapped: its address and offset are known.
    fn learn(&mut self, stack: &Stack) {
        let Some(Frame::File { id, offset }) = stack.user.last().copied() else { return };
        let Some(learned) = self.learned.get_mut(&stack.owner.process) else { return };
        let address = stack.address();
        let covers = |met: &&Met| met.file == id && (met.start..met.end).contains(&address);
        let Some(Met { start, end, .. }) = learned.met.iter().find(covers).copied() else { return };
        let Some(offset) = offset.checked_sub(address - start) else { return };
        let mapping = Mapping { start, end, file: Some((id, offset)) };
        if !learned.mappings.contains(&mapping) {
            learned.mappings.push(mapping);
        }
    }

    /// Adds a stack; gives it back if there is no memory for it.
    pub(crate) fn add(&mut self, stack: Stack, bytes_max: usize, drops: &Drops) -> Option<Stack> {
        if self.bytes + stack.cost() > bytes_max {
            drops.count(Reason::StackMemory);
            return Some(stack);
        }
        self.bytes += stack.cost();
        self.learn(&stack);
        self.stacks.push(stack);
        // It has not been looked at yet.
        self.seen = u64::MAX;
        None
    }

    /// Walks on what can be walked on; hands those that are at their end to `done`.
    pub(crate) fn advance(
        &mut self,
        tables: &Tables,
        mapper: &Mapper,
        mut done: impl FnMut(Stack, StopReason),
    ) {
        let changes = tables.changes() + mapper.changes();
        if self.stacks.is_empty() || changes == self.seen {
            return;
        }
        self.seen = changes;
        let learned = &self.learned;
        let mut waiting = Vec::with_capacity(self.stacks.len());
        let mut bytes = 0;
        for mut stack in self.stacks.drain(..) {
            if let Blocked::File(id) = stack.blocked_on
                && tables.readiness(id) == Readiness::Awaited
            {
                bytes += stack.cost();
                waiting.push(stack);
                continue;
            }
            let process = stack.owner.process;
            let known = mapper.get(process);
            let find = |address: u64| {
                // What the kernel side met is what was mapped then; /proc shows what is mapped now.
                let learned = learned.get(&process).into_iter().flat_map(|learned| &learned.mappings);
                let covers = |mapping: &&Mapping| (mapping.start..mapping.end).contains(&address);
                if let Some(found) = learned.clone().find(covers) {
                    return Some(Some(*found));
                }
                if let Some(found) = known.as_ref().and_then(|known| known.find(address)) {
                    return Some(Some(*found));
                }
                // What is gone cannot be asked any more: then no mapping covers it, as far as we know.
                known.as_ref().map(|_| None)
            };
            // Of a process that was gone too early, any address is in no mapping.
            let is_gone = known.as_ref().is_some_and(|known| known.is_empty());
            let unmapped = if is_gone { StopReason::UnknownFile } else { StopReason::NoMapping };
            match stack.walk(tables, unmapped, find) {
                Walked::Ends(reason) => {
                    stack.cut();
                    done(stack, reason);
                }
                Walked::Waits(on) => {
                    if on == Blocked::Mappings {
                        mapper.ask(process, stack.key);
                    }
                    stack.blocked_on = on;
                    bytes += stack.cost();
                    waiting.push(stack);
                }
            }
        }
        self.stacks = waiting;
        self.bytes = bytes;
    }

    /// Gives up all that still wait.
    pub(crate) fn give_up(&mut self, mut done: impl FnMut(Stack, StopReason)) {
        for mut stack in self.stacks.drain(..) {
            stack.cut();
            done(stack, StopReason::UnknownFile);
        }
        self.bytes = 0;
        self.learned.clear();
    }
}
