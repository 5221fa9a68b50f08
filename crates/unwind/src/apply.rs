//! The reference of `rule_apply` in `bpf/rows.h`: registers of a frame and its rule → registers of its
//! caller.

use crate::StopReason;
use crate::rule::{Arch, Frame, Rule, Saved};
use crate::walk::{Memory, Outcome, Registers, walk_step, word};

/// A frame pointer whose value was lost: no address of a word, so that nothing is read through it.
pub const FP_UNKNOWN: u64 = 1;

/// DWARF's number of rbx.
const RBX: u8 = 3;

/// In the place of the stack pointer's bit: rbx is in the word whose address is `other[3]`.
const KNOWN_RBX_AT: u32 = 1 << 7;

/// User addresses on arm64 have 48 bits; above them lies a pointer's signature.
const ARM64_ADDRESS_MASK: u64 = (1 << 48) - 1;

/// The caller of a frame by the rule of its instruction.
///
/// None if the rule knows nothing and the frame pointer has to be tried, with
/// [`walk_step`](crate::walk_step).
pub fn apply(arch: Arch, rule: &Rule, registers: &Registers, memory: &impl Memory) -> Option<Outcome> {
    let frame = match *rule {
        Rule::None if is_signal_return(arch, registers, memory) => {
            return Some(signal(arch, registers, memory));
        }
        Rule::None => return None,
        Rule::Root => return Some(Outcome::Stop(StopReason::Root)),
        Rule::Unsupported => return Some(Outcome::Stop(StopReason::NoRule)),
        Rule::Signal => return Some(signal(arch, registers, memory)),
        Rule::Plt(from) => Frame {
            register: arch.sp(),
            offset: if registers.ip & 15 >= u64::from(from) { 16 } else { 8 },
            deref: None,
            index: None,
            fp: Saved::Same,
            ra: Saved::AtCfa(-8),
            bx: Saved::Same,
        },
        Rule::Frame(frame) => frame,
    };
    Some(caller(arch, &frame, registers, memory).map_or_else(Outcome::Stop, |caller| {
        if caller.ip == 0 { Outcome::Stop(StopReason::Root) } else { Outcome::Caller(caller) }
    }))
}

/// The caller of a frame by its rule or else by its frame pointer.
pub fn step(arch: Arch, rule: &Rule, registers: &Registers, memory: &impl Memory) -> Outcome {
    apply(arch, rule, registers, memory).unwrap_or_else(|| walk_step(registers, memory))
}

/// The value of a register in this frame, by its number.
fn register(arch: Arch, number: u8, registers: &Registers, memory: &impl Memory) -> Result<u64, StopReason> {
    if number == arch.sp() {
        return Ok(registers.sp);
    }
    if number == arch.fp() && registers.fp != FP_UNKNOWN {
        return Ok(registers.fp);
    }
    let value = registers.other[usize::from(number & (arch.registers() - 1))];
    if arch == Arch::X86_64 && number == RBX && registers.known & KNOWN_RBX_AT != 0 {
        return word(memory, value).ok_or(StopReason::Unreadable);
    }
    if registers.known >> (number & 31) & 1 == 0 {
        return Err(StopReason::Register);
    }
    Ok(value)
}

/// What a step leaves of the registers beside stack and frame pointer: rbx is followed wherever it is
/// saved, the others are kept for one step.
fn keep(arch: Arch, frame: &Frame, cfa: u64, registers: &Registers) -> (u32, [u64; 32]) {
    let mut other = registers.other;
    let bx = if arch == Arch::X86_64 { KNOWN_RBX_AT | 1 << RBX } else { 0 };
    let known = if registers.leaf { registers.known } else { registers.known & bx };
    let known = match frame.bx {
        _ if arch == Arch::Arm64 => known,
        Saved::Same => known,
        Saved::AtCfa(at) => {
            other[usize::from(RBX)] = cfa.wrapping_add_signed(at.into());
            known & !bx | KNOWN_RBX_AT
        }
        _ => known & !bx,
    };
    (known, other)
}

fn caller(
    arch: Arch,
    frame: &Frame,
    registers: &Registers,
    memory: &impl Memory,
) -> Result<Registers, StopReason> {
    let base = register(arch, frame.register, registers, memory)?;
    let mut cfa = base.wrapping_add_signed(frame.offset.into());
    if let (Some(index), Some(_)) = (frame.index, frame.deref) {
        cfa = cfa.wrapping_add(register(arch, index, registers, memory)?.wrapping_mul(8));
    }
    if let Some(add) = frame.deref {
        cfa = word(memory, cfa).ok_or(StopReason::Unreadable)?.wrapping_add_signed(add.into());
    }
    // Stacks grow down: a caller's frame lies above, hence no walk can loop.
    if cfa < registers.sp || (cfa == registers.sp && !registers.leaf) {
        return Err(StopReason::Backwards);
    }
    if frame.ra == Saved::Same && !registers.leaf {
        return Err(StopReason::Register);
    }
    let find = |saved, same| {
        let at = |base: u64, offset: i32| {
            word(memory, base.wrapping_add_signed(offset.into())).ok_or(StopReason::Unreadable)
        };
        match saved {
            Saved::Same => Ok(same),
            Saved::AtCfa(offset) => at(cfa, offset),
            Saved::IsCfa(offset) => Ok(cfa.wrapping_add_signed(offset.into())),
            Saved::AtFp(offset) => at(registers.fp, offset),
            Saved::AtSp(offset) => at(registers.sp, offset),
            Saved::Register(number) => register(arch, number, registers, memory),
            Saved::Unknown => Err(StopReason::Register),
        }
    };
    let mut ip = find(frame.ra, registers.lr)?;
    if arch == Arch::Arm64 {
        ip &= ARM64_ADDRESS_MASK;
    }
    let fp = if frame.fp == Saved::Unknown { FP_UNKNOWN } else { find(frame.fp, registers.fp)? };
    let (known, other) = keep(arch, frame, cfa, registers);
    Ok(Registers { ip, sp: cfa, fp, leaf: false, known, other, ..*registers })
}

/// What a signal interrupted, from the kernel's `struct rt_sigframe` at the stack pointer.
fn signal(arch: Arch, registers: &Registers, memory: &impl Memory) -> Outcome {
    // Where general registers are saved, and DWARF's number of each; then come sp and ip.
    const X86_64: [usize; 15] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2];
    let (offset, numbers): (u64, &[usize]) = match arch {
        Arch::X86_64 => (40, &X86_64),
        Arch::Arm64 => (312, &ARM64),
    };
    let mut bytes = [0; 33 * 8];
    let bytes = &mut bytes[..(numbers.len() + 2) * 8];
    if !memory.read(registers.sp.wrapping_add(offset), bytes) {
        return Outcome::Stop(StopReason::Unreadable);
    }
    let mut words = bytes.chunks_exact(8).map(|word| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        u64::from_le_bytes(bytes)
    });
    let mut found = Registers { leaf: true, known: arch.known(), ..*registers };
    for (number, word) in numbers.iter().zip(&mut words) {
        found.other[*number] = word;
    }
    found.sp = words.next().unwrap_or(0);
    found.ip = words.next().unwrap_or(0);
    found.fp = found.other[usize::from(arch.fp())];
    if arch == Arch::Arm64 {
        found.lr = found.other[30];
    } else {
        // The frame pointer has a field of its own.
        found.other[usize::from(arch.fp())] = registers.other[usize::from(arch.fp())];
    }
    if found.ip == 0 { Outcome::Stop(StopReason::Root) } else { Outcome::Caller(found) }
}

const ARM64: [usize; 31] = {
    let mut numbers = [0; 31];
    let mut number = 0;
    while number < 31 {
        numbers[number] = number;
        number += 1;
    }
    numbers
};

/// Whether the next instructions are a signal handler's return code: `rt_sigreturn` by its number.
fn is_signal_return(arch: Arch, registers: &Registers, memory: &impl Memory) -> bool {
    const MOV_RAX: [u8; 9] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
    const MOV_EAX: [u8; 7] = [0xb8, 15, 0, 0, 0, 0x0f, 0x05];
    const ARM64: [u8; 8] = [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
    let mut code = [0; 9];
    match arch {
        Arch::X86_64 => {
            memory.read(registers.ip, &mut code) && (code == MOV_RAX || code.starts_with(&MOV_EAX))
        }
        Arch::Arm64 => memory.read(registers.ip, &mut code[..8]) && code.starts_with(&ARM64),
    }
}
