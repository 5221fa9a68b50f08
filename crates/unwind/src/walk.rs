//! The reference walker: one step from a frame to its caller by frame pointers, on x86-64.
//!
//! Says the same as `bpf/walk.h`, in the plainest way; `tests/c_walker.rs` compares the two.

use crate::StopReason;

/// How far below the main thread's stack top a broken chain still counts as complete.
pub const START_BYTES_MAIN: u32 = 512;
/// The same for other threads, whose thread-local variables lie there too.
pub const START_BYTES_THREAD: u32 = 4096;

/// Something like a process's memory.
pub trait Memory {
    /// Fills `to` from `address`; false if any byte cannot be read.
    fn read(&self, address: u64, to: &mut [u8]) -> bool;
}

/// What is needed to find the caller of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Instruction pointer; in callers the return address.
    pub ip: u64,
    /// Lower bound of what may be read next: the stack pointer, then the end of the frame.
    pub sp: u64,
    /// Frame pointer.
    pub fp: u64,
    /// Link register (arm64); means something only where `leaf` is set.
    pub lr: u64,
    /// Top of the thread's stack, or 0 if unknown.
    pub stack_top: u64,
    /// [`START_BYTES_MAIN`] or [`START_BYTES_THREAD`].
    pub start_bytes: u32,
    /// The frame was interrupted, so `ip` is the instruction itself.
    pub leaf: bool,
    /// Bit n says that `other[n]` is known; [`Arch::known`](crate::Arch::known) where a walk begins.
    pub known: u32,
    /// The registers by DWARF's numbers, for code that addresses its frame by any of them.
    pub other: [u64; 32],
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "lives for one step, on the stack")]
pub enum Outcome {
    /// There is a caller, with these registers.
    Caller(Registers),
    /// The walk ends here.
    Stop(StopReason),
}

pub(crate) fn word(memory: &impl Memory, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
}

/// Why a chain that cannot be followed further ends: where only start code can be missing, it is
/// complete.
fn chain_end(registers: &Registers, reason: StopReason) -> StopReason {
    match registers.stack_top.checked_sub(registers.sp) {
        Some(distance) if distance <= u64::from(registers.start_bytes) => StopReason::Start,
        _ => reason,
    }
}

/// Where the return address is if the leaf has no frame of its own at this instruction.
fn return_address_slot(registers: &Registers, memory: &impl Memory) -> Option<u64> {
    const RET: &[u8] = &[0xc3];
    const REP_RET: &[u8] = &[0xf3, 0xc3];
    const PUSH_MOV: &[u8] = &[0x55, 0x48, 0x89, 0xe5];
    const ENDBR_PUSH_MOV: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5];
    const MOV: &[u8] = &[0x48, 0x89, 0xe5];
    const AFTER_SYSCALL: &[u8] = &[0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x77];

    let mut code = [0; 10];
    if !memory.read(registers.ip.wrapping_sub(1), &mut code) {
        return None;
    }
    let (previous, at) = (code[0], &code[1..]);
    if [RET, REP_RET, PUSH_MOV, ENDBR_PUSH_MOV].iter().any(|pattern| at.starts_with(pattern)) {
        return Some(registers.sp);
    }
    if at.starts_with(MOV) && previous == 0x55 {
        return Some(registers.sp.wrapping_add(8));
    }
    (at.starts_with(AFTER_SYSCALL) && at[8] == 0xc3).then_some(registers.sp)
}

/// The function which the direct call before `return_address` calls.
fn call_target(return_address: u64, memory: &impl Memory) -> Option<u64> {
    let mut code = [0; 5];
    let readable = return_address != 0 && memory.read(return_address.wrapping_sub(5), &mut code);
    let [0xe8, distance @ ..] = code else { return None };
    let target = return_address.wrapping_add_signed(i32::from_le_bytes(distance).into());
    (readable && target != 0).then_some(target)
}

/// Whether the leaf is a function that never sets up a frame: the word at the stack pointer follows
/// a call of a function that begins closer below `ip` than the one whose frame this seems to be.
fn is_frameless(registers: &Registers, memory: &impl Memory) -> bool {
    const BYTES_MAX: u64 = 4096;
    let ip = registers.ip;
    let begin = |at: u64| word(memory, at).and_then(|address| call_target(address, memory));
    registers.fp >= registers.sp
        && begin(registers.sp).is_some_and(|at_sp| {
            at_sp <= ip
                && ip - at_sp < BYTES_MAX
                && begin(registers.fp.wrapping_add(8))
                    .is_some_and(|in_frame| in_frame > ip || in_frame < at_sp)
        })
}

/// The caller of a leaf without a frame of its own; none if the leaf may have one.
pub fn leaf_step(registers: &Registers, memory: &impl Memory) -> Option<Registers> {
    let slot = return_address_slot(registers, memory)
        .filter(|slot| *slot != 0)
        .or_else(|| is_frameless(registers, memory).then_some(registers.sp).filter(|slot| *slot != 0))?;
    let ip = word(memory, slot).filter(|ip| *ip != 0)?;
    Some(Registers { ip, sp: slot.wrapping_add(8), leaf: false, known: 0, ..*registers })
}

/// The caller of a frame, by its frame pointer.
pub fn frame_pointer_step(registers: &Registers, memory: &impl Memory) -> Outcome {
    if registers.fp == 0 {
        return Outcome::Stop(StopReason::Root);
    }
    if registers.fp < registers.sp || !registers.fp.is_multiple_of(8) {
        return Outcome::Stop(chain_end(registers, StopReason::FramePointer));
    }
    let mut link = [0; 16];
    if !memory.read(registers.fp, &mut link) {
        return Outcome::Stop(chain_end(registers, StopReason::Unreadable));
    }
    let [fp, ip] = [0, 8].map(|at| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&link[at..at + 8]);
        u64::from_le_bytes(bytes)
    });
    if ip == 0 {
        return Outcome::Stop(StopReason::Root);
    }
    Outcome::Caller(Registers {
        ip,
        sp: registers.fp.wrapping_add(16),
        fp,
        leaf: false,
        known: 0,
        ..*registers
    })
}

/// The caller of a frame.
pub fn walk_step(registers: &Registers, memory: &impl Memory) -> Outcome {
    if registers.leaf
        && let Some(caller) = leaf_step(registers, memory)
    {
        return Outcome::Caller(caller);
    }
    frame_pointer_step(registers, memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory of one stretch.
    struct Stretch(u64, Vec<u8>);

    impl Memory for Stretch {
        fn read(&self, address: u64, to: &mut [u8]) -> bool {
            let from = address.checked_sub(self.0).and_then(|at| usize::try_from(at).ok());
            let bytes = from.and_then(|at| self.1.get(at..)?.get(..to.len()));
            bytes.inspect(|bytes| to.copy_from_slice(bytes)).is_some()
        }
    }

    fn stack(words: &[u64]) -> Stretch {
        Stretch(0x1000, words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    #[test]
    fn a_chain_of_frame_pointers_is_followed_to_its_zero() {
        let memory = stack(&[0x1020, 0xaaa, 7, 7, 0, 0xbbb]);
        let leaf = Registers { ip: 0x99, sp: 0x1000, fp: 0x1000, leaf: true, ..Registers::default() };
        let Outcome::Caller(first) = walk_step(&leaf, &memory) else { panic!("no caller") };
        assert_eq!((first.ip, first.sp, first.fp, first.leaf), (0xaaa, 0x1010, 0x1020, false));
        let Outcome::Caller(second) = walk_step(&first, &memory) else { panic!("no caller") };
        assert_eq!((second.ip, second.fp), (0xbbb, 0));
        assert_eq!(walk_step(&second, &memory), Outcome::Stop(StopReason::Root));
    }

    #[test]
    #[rustfmt::skip]
    fn a_broken_chain_says_why() {
        let memory = stack(&[0x1000, 0xaaa]);
        let at = |fp, stack_top| Registers { sp: 0x1000, fp, stack_top, start_bytes: 512, ..Registers::default() };
        let cases = [
            ("frame pointer below the stack pointer", at(0xff8, 0),       StopReason::FramePointer),
            ("frame pointer not aligned",             at(0x1001, 0),      StopReason::FramePointer),
            ("frame pointer outside memory",          at(0x9000, 0),      StopReason::Unreadable),
            ("broken next to the stack's top",        at(0x9000, 0x1200), StopReason::Start),
            ("broken a word further down",            at(0x9000, 0x1208), StopReason::Unreadable),
        ];
        for (case, registers, want) in cases {
            assert_eq!(walk_step(&registers, &memory), Outcome::Stop(want), "{case}");
        }
    }

    /// Code at 0x4000 holds two calls, of 0x4100 and of 0x4000; a stack of return addresses follows.
    #[test]
    fn a_leaf_that_never_has_a_frame_does_not_skip_its_caller() {
        let mut bytes = vec![0x90; 0x200];
        bytes[0x10..0x15].copy_from_slice(&[0xe8, 0xeb, 0x00, 0x00, 0x00]);
        bytes[0x20..0x25].copy_from_slice(&[0xe8, 0xdb, 0xff, 0xff, 0xff]);
        bytes.extend([0x4015, 0, 0x5000, 0x4025].iter().flat_map(|word: &u64| word.to_le_bytes()));
        let memory = Stretch(0x4000, bytes);
        let leaf = Registers { ip: 0x4108, sp: 0x4200, fp: 0x4210, leaf: true, ..Registers::default() };
        let Outcome::Caller(caller) = walk_step(&leaf, &memory) else { panic!("no caller") };
        assert_eq!((caller.ip, caller.sp, caller.fp), (0x4015, 0x4208, 0x4210));
        // In the function which the frame belongs to, the same words mean nothing.
        let framed = Registers { ip: 0x4008, ..leaf };
        let Outcome::Caller(caller) = walk_step(&framed, &memory) else { panic!("no caller") };
        assert_eq!((caller.ip, caller.fp), (0x4025, 0x5000));
    }

    #[test]
    fn a_leaf_before_its_prologue_does_not_skip_its_caller() {
        let mut code = vec![0x90, 0x55, 0x48, 0x89, 0xe5];
        code.resize(0x1000, 0x90);
        code.extend(0xccc_u64.to_le_bytes());
        let memory = Stretch(0x4000, code);
        let entry = Registers { ip: 0x4001, sp: 0x5000, fp: 0x6000, leaf: true, ..Registers::default() };
        let Outcome::Caller(caller) = walk_step(&entry, &memory) else { panic!("no caller") };
        assert_eq!((caller.ip, caller.sp, caller.fp), (0xccc, 0x5008, 0x6000));
    }
}
