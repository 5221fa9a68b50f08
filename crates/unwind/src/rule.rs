//! Rules: how to find the caller of a frame, as facts and as the 16 and 160 bits of a page.

use hearth_objfile::Machine;

/// An instruction set whose stacks are walked by rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// x86-64.
    X86_64,
    /// AArch64.
    Arm64,
}

impl Arch {
    /// The instruction set of a file; none if it is not walked by rules.
    pub fn of(machine: Machine) -> Option<Self> {
        match machine {
            Machine::X86_64 => Some(Self::X86_64),
            Machine::Aarch64 => Some(Self::Arm64),
            _ => None,
        }
    }

    /// DWARF's number of the stack pointer.
    pub const fn sp(self) -> u8 {
        match self {
            Self::X86_64 => 7,
            Self::Arm64 => 31,
        }
    }

    /// DWARF's number of the frame pointer.
    pub const fn fp(self) -> u8 {
        match self {
            Self::X86_64 => 6,
            Self::Arm64 => 29,
        }
    }

    /// How many registers a rule may name; a power of two.
    pub const fn registers(self) -> u8 {
        match self {
            Self::X86_64 => 16,
            Self::Arm64 => 32,
        }
    }

    /// The registers known in a frame that was interrupted: bit n for DWARF's number n. Not the stack
    /// pointer, and on x86-64 not the frame pointer, which have fields of their own.
    pub const fn known(self) -> u32 {
        match self {
            Self::X86_64 => 0xff3f,
            Self::Arm64 => 0x7fff_ffff,
        }
    }
}

/// Where the caller's value of a register is. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Saved {
    /// It was not touched. For the return address: it is in the link register.
    Same,
    /// In the word at CFA + offset.
    AtCfa(i32),
    /// It is CFA + offset.
    IsCfa(i32),
    /// In the word at the frame pointer + offset.
    AtFp(i32),
    /// In the word at the stack pointer + offset.
    AtSp(i32),
    /// In this register, by DWARF's number.
    Register(u8),
    /// Lost.
    Unknown,
}

/// A frame whose caller is found by its canonical frame address (CFA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The register which the CFA is computed from, by DWARF's number.
    pub register: u8,
    /// What is added to it.
    pub offset: i32,
    /// If some, the sum is the address of a word, and the CFA is that word plus this.
    pub deref: Option<i32>,
    /// The caller's frame pointer.
    pub fp: Saved,
    /// The return address.
    pub ra: Saved,
}

/// How to find the caller of a frame from the instruction it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Nothing is known; only the frame pointer can help.
    None,
    /// There is no caller.
    Root,
    /// There is a caller, but how to find it is said in a way that is not understood.
    Unsupported,
    /// The kernel's signal frame lies at the stack pointer.
    Signal,
    /// An entry of a procedure linkage table of 16 bytes on x86-64: the CFA is the stack pointer + 8,
    /// and 8 more from this byte of the entry on.
    Plt(u8),
    /// An ordinary frame.
    Frame(Frame),
}

/// Rules with this bit are not the common ones: see [`Rule::compact`].
pub(crate) const WIDE: u16 = 0x8000;

/// The sixteen-bit code of a rule that needs no more: `enum rule_kind` below eight.
pub(crate) const NONE: u16 = WIDE;
const ROOT: u16 = WIDE | 1;
pub(crate) const UNSUPPORTED: u16 = WIDE | 2;
const SIGNAL: u16 = WIDE | 3;
/// Codes of wide rules begin here.
pub(crate) const WIDE_MIN: u16 = 8;

const KIND_PLT: u8 = 4;
const KIND_CFA: u8 = 5;
const KIND_CFA_AT: u8 = 6;

/// Words of a wide rule.
pub(crate) const WIDE_WORDS: usize = 5;

/// Wide rules of one file, so that the places of all have 15 bits. Real files have a few hundred.
pub(crate) const WIDE_RULES_MAX: usize = 6000;

impl Rule {
    /// The rule in 16 bits if it is one of the common ones, which are nearly all.
    ///
    /// Bit 14 says frame pointer rather than stack pointer, bits 13 to 5 are the CFA's offset in words
    /// (x86-64: of 8 bytes, arm64: of 16), and bits 4 to 0 say where the frame pointer was saved.
    pub(crate) fn compact(self, arch: Arch) -> Option<u16> {
        let frame = match self {
            Self::None => return Some(NONE),
            Self::Root => return Some(ROOT),
            Self::Unsupported => return Some(UNSUPPORTED),
            Self::Signal => return Some(SIGNAL),
            Self::Plt(_) => return None,
            Self::Frame(frame) => frame,
        };
        let base = match frame.register {
            register if register == arch.sp() => 0,
            register if register == arch.fp() => 0x4000,
            _ => return None,
        };
        let unit = match arch {
            Arch::X86_64 => 8,
            Arch::Arm64 => 16,
        };
        if frame.deref.is_some() || !(0..512 * unit).contains(&frame.offset) || frame.offset % unit != 0 {
            return None;
        }
        let slot = match arch {
            Arch::X86_64 => slot_x86(frame)?,
            Arch::Arm64 => slot_arm64(frame)?,
        };
        Some(base | ((frame.offset / unit) as u16) << 5 | slot)
    }

    /// What [`compact`](Self::compact) made; none if the code stands for a wide rule.
    pub(crate) fn from_compact(code: u16, arch: Arch) -> Option<Self> {
        match code {
            NONE => return Some(Self::None),
            ROOT => return Some(Self::Root),
            UNSUPPORTED => return Some(Self::Unsupported),
            SIGNAL => return Some(Self::Signal),
            _ if code & WIDE != 0 => return None,
            _ => {}
        }
        let register = if code & 0x4000 != 0 { arch.fp() } else { arch.sp() };
        let (size, slot) = (i32::from(code >> 5 & 511), i32::from(code & 31));
        let (offset, fp, ra) = match (arch, slot) {
            (Arch::X86_64, 0) => (8 * size, Saved::Same, Saved::AtCfa(-8)),
            (Arch::X86_64, _) => (8 * size, Saved::AtCfa(-8 * (slot + 1)), Saved::AtCfa(-8)),
            (Arch::Arm64, 0) => (16 * size, Saved::Same, Saved::Same),
            (Arch::Arm64, 1) => (16 * size, Saved::AtCfa(-16 * size), Saved::AtCfa(8 - 16 * size)),
            (Arch::Arm64, _) => {
                (16 * size, Saved::AtCfa(-16 * (slot - 1)), Saved::AtCfa(8 - 16 * (slot - 1)))
            }
        };
        Some(Self::Frame(Frame { register, offset, deref: None, fp, ra }))
    }

    /// The rule in five words: `struct rule` of `bpf/rows.h`.
    pub(crate) fn wide(self) -> [u32; WIDE_WORDS] {
        let frame = match self {
            Self::None => return [0, 0, 0, 0, 0],
            Self::Root => return [1, 0, 0, 0, 0],
            Self::Unsupported => return [2, 0, 0, 0, 0],
            Self::Signal => return [3, 0, 0, 0, 0],
            Self::Plt(from) => return [u32::from_le_bytes([KIND_PLT, from, 0, 0]), 0, 0, 0, 0],
            Self::Frame(frame) => frame,
        };
        let kind = if frame.deref.is_some() { KIND_CFA_AT } else { KIND_CFA };
        let (fp, fp_at) = saved_wide(frame.fp);
        let (ra, ra_at) = saved_wide(frame.ra);
        let head = u32::from_le_bytes([kind, frame.register, fp, ra]);
        let words = [frame.offset, frame.deref.unwrap_or(0), fp_at, ra_at];
        let [cfa, add, fp_at, ra_at] = words.map(|word| word as u32);
        [head, cfa, add, fp_at, ra_at]
    }

    /// What [`wide`](Self::wide) made; none if the words are no rule.
    pub(crate) fn from_wide([head, cfa, add, fp_at, ra_at]: [u32; WIDE_WORDS]) -> Option<Self> {
        let [kind, register, fp, ra] = head.to_le_bytes();
        let frame = |deref| {
            let (fp, ra) = (saved(fp, fp_at as i32)?, saved(ra, ra_at as i32)?);
            Some(Self::Frame(Frame { register, offset: cfa as i32, deref, fp, ra }))
        };
        match kind {
            0 => Some(Self::None),
            1 => Some(Self::Root),
            2 => Some(Self::Unsupported),
            3 => Some(Self::Signal),
            KIND_PLT => Some(Self::Plt(register)),
            KIND_CFA => frame(None),
            KIND_CFA_AT => frame(Some(add as i32)),
            _ => None,
        }
    }
}

fn slot_x86(frame: Frame) -> Option<u16> {
    match (frame.fp, frame.ra) {
        (Saved::Same, Saved::AtCfa(-8)) => Some(0),
        (Saved::AtCfa(at), Saved::AtCfa(-8)) if at % 8 == 0 && (-256..=-16).contains(&at) => {
            Some((-at / 8 - 1) as u16)
        }
        _ => None,
    }
}

fn slot_arm64(frame: Frame) -> Option<u16> {
    match (frame.fp, frame.ra) {
        (Saved::Same, Saved::Same) => Some(0),
        (Saved::AtCfa(fp), Saved::AtCfa(ra)) if ra == fp.wrapping_add(8) => {
            if fp == -frame.offset {
                return Some(1);
            }
            (fp % 16 == 0 && (-480..=-16).contains(&fp)).then(|| (-fp / 16 + 1) as u16)
        }
        _ => None,
    }
}

fn saved_wide(saved: Saved) -> (u8, i32) {
    match saved {
        Saved::Same => (0, 0),
        Saved::AtCfa(at) => (1, at),
        Saved::IsCfa(at) => (2, at),
        Saved::AtFp(at) => (3, at),
        Saved::AtSp(at) => (4, at),
        Saved::Register(register) => (5, register.into()),
        Saved::Unknown => (6, 0),
    }
}

fn saved(kind: u8, at: i32) -> Option<Saved> {
    match kind {
        0 => Some(Saved::Same),
        1 => Some(Saved::AtCfa(at)),
        2 => Some(Saved::IsCfa(at)),
        3 => Some(Saved::AtFp(at)),
        4 => Some(Saved::AtSp(at)),
        5 => u8::try_from(at).ok().map(Saved::Register),
        6 => Some(Saved::Unknown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compact_code_round_trips() {
        for arch in [Arch::X86_64, Arch::Arm64] {
            for code in 0..=u16::MAX {
                let Some(rule) = Rule::from_compact(code, arch) else { continue };
                let again = rule.compact(arch);
                // arm64 can say "at the frame's bottom" in two ways.
                let same = again.and_then(|code| Rule::from_compact(code, arch)) == Some(rule);
                assert!(again == Some(code) || (arch == Arch::Arm64 && same), "{arch:?} {code:#x} {rule:?}");
                assert_eq!(Rule::from_wide(rule.wide()), Some(rule));
            }
        }
    }

    #[test]
    #[rustfmt::skip]
    fn rare_rules_round_trip_in_the_wide_form() {
        let frame = Frame { register: 10, offset: 0, deref: None, fp: Saved::Same, ra: Saved::AtCfa(-8) };
        let cases = [
            Rule::Plt(11),
            Rule::Frame(frame),
            Rule::Frame(Frame { register: 6, offset: -8, deref: Some(8), ..frame }),
            Rule::Frame(Frame { fp: Saved::AtFp(-16), ra: Saved::AtSp(24), ..frame }),
            Rule::Frame(Frame { fp: Saved::Register(3), ra: Saved::Register(11), ..frame }),
            Rule::Frame(Frame { fp: Saved::Unknown, ra: Saved::IsCfa(4), ..frame }),
            Rule::Frame(Frame { register: 7, offset: 1 << 20, ..frame }),
        ];
        for rule in cases {
            assert_eq!(rule.compact(Arch::X86_64), None, "{rule:?}");
            assert_eq!(Rule::from_wide(rule.wide()), Some(rule));
        }
    }
}
