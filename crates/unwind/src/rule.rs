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
    /// If some, with `deref`: eight times this register is added to the word's address.
    pub index: Option<u8>,
    /// The caller's frame pointer.
    pub fp: Saved,
    /// The return address.
    pub ra: Saved,
    /// x86-64: the caller's rbx, the only register but these which compilers and the dynamic linker
    /// address frames by across calls. [`Saved::Same`], [`Saved::AtCfa`] or [`Saved::Unknown`].
    pub bx: Saved,
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
const KIND_CFA_ARRAY: u8 = 7;
/// Where rbx is if it is lost.
const BX_UNKNOWN: i16 = 1;

/// Words of a wide rule.
pub const WIDE_WORDS: usize = 6;

/// Wide rules of one file, so that the places of all have 15 bits. Real files have a few hundred.
pub(crate) const WIDE_RULES_MAX: usize = 5000;

impl Rule {
    /// The rule in 16 bits if it is one of the common ones, which are nearly all.
    ///
    /// Bit 14 says frame pointer rather than stack pointer. On x86-64 bits 13 to 6 are the CFA's offset in
    /// words of 8 bytes, bits 5 to 3 say where the frame pointer was saved and bits 2 to 0 where rbx was:
    /// n + 1 words below the CFA, or not if 0. On arm64 bits 13 to 5 are the CFA's offset in units of 16
    /// bytes, and bits 4 to 0 say where frame pointer and link register were saved: not if 0, at the
    /// frame's bottom if 1, else n - 1 units below the CFA.
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
        if frame.deref.is_some() {
            return None;
        }
        match arch {
            Arch::X86_64 => compact_x86(frame),
            Arch::Arm64 => compact_arm64(frame),
        }
        .map(|code| base | code)
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
        let below = |words: u16| match words {
            0 => Saved::Same,
            _ => Saved::AtCfa(-8 * i32::from(words + 1)),
        };
        let frame = Frame {
            register,
            offset: 8 * i32::from(code >> 6 & 255),
            deref: None,
            index: None,
            fp: below(code >> 3 & 7),
            ra: Saved::AtCfa(-8),
            bx: below(code & 7),
        };
        if arch == Arch::X86_64 {
            return Some(Self::Frame(frame));
        }
        let offset = 16 * i32::from(code >> 5 & 511);
        let at = match i32::from(code & 31) {
            0 => None,
            1 => Some(-offset),
            slot => Some(-16 * (slot - 1)),
        };
        let (fp, ra) = at.map_or((Saved::Same, Saved::Same), |at| (Saved::AtCfa(at), Saved::AtCfa(at + 8)));
        Some(Self::Frame(Frame { offset, fp, ra, bx: Saved::Same, ..frame }))
    }

    /// The rule in six words: `struct rule` of `bpf/rows.h`.
    pub fn wide(self) -> [u32; WIDE_WORDS] {
        let frame = match self {
            Self::None => return [0; WIDE_WORDS],
            Self::Root => return [1, 0, 0, 0, 0, 0],
            Self::Unsupported => return [2, 0, 0, 0, 0, 0],
            Self::Signal => return [3, 0, 0, 0, 0, 0],
            Self::Plt(from) => return [u32::from_le_bytes([KIND_PLT, from, 0, 0]), 0, 0, 0, 0, 0],
            Self::Frame(frame) => frame,
        };
        let kind = match (frame.deref, frame.index) {
            (None, _) => KIND_CFA,
            (Some(_), None) => KIND_CFA_AT,
            (Some(_), Some(_)) => KIND_CFA_ARRAY,
        };
        let (fp, fp_at) = saved_wide(frame.fp);
        let (ra, ra_at) = saved_wide(frame.ra);
        let bx = match frame.bx {
            Saved::Same => 0,
            Saved::AtCfa(at) => i16::try_from(at).unwrap_or(BX_UNKNOWN),
            _ => BX_UNKNOWN,
        };
        let head = u32::from_le_bytes([kind, frame.register, fp, ra]);
        let more = u32::from(frame.index.unwrap_or(0)) | u32::from(bx as u16) << 16;
        let words = [frame.offset, frame.deref.unwrap_or(0), fp_at, ra_at];
        let [cfa, add, fp_at, ra_at] = words.map(|word| word as u32);
        [head, more, cfa, add, fp_at, ra_at]
    }

    /// What [`wide`](Self::wide) made; none if the words are no rule.
    pub fn from_wide([head, more, cfa, add, fp_at, ra_at]: [u32; WIDE_WORDS]) -> Option<Self> {
        let [kind, register, fp, ra] = head.to_le_bytes();
        let frame = |deref, index| {
            let (fp, ra) = (saved(fp, fp_at as i32)?, saved(ra, ra_at as i32)?);
            let bx = match (more >> 16) as i16 {
                0 => Saved::Same,
                BX_UNKNOWN => Saved::Unknown,
                at => Saved::AtCfa(at.into()),
            };
            Some(Self::Frame(Frame { register, offset: cfa as i32, deref, index, fp, ra, bx }))
        };
        match kind {
            0 => Some(Self::None),
            1 => Some(Self::Root),
            2 => Some(Self::Unsupported),
            3 => Some(Self::Signal),
            KIND_PLT => Some(Self::Plt(register)),
            KIND_CFA => frame(None, None),
            KIND_CFA_AT => frame(Some(add as i32), None),
            KIND_CFA_ARRAY => frame(Some(add as i32), Some(more as u8)),
            _ => None,
        }
    }
}

/// How many words below the CFA a register was saved: 2 to 8 as 1 to 7; 0 if it was not.
fn words_below(saved: Saved) -> Option<u16> {
    match saved {
        Saved::Same => Some(0),
        Saved::AtCfa(at) if at % 8 == 0 && (-64..=-16).contains(&at) => Some((-at / 8 - 1) as u16),
        _ => None,
    }
}

fn compact_x86(frame: Frame) -> Option<u16> {
    if frame.ra != Saved::AtCfa(-8) || !(0..2048).contains(&frame.offset) || frame.offset % 8 != 0 {
        return None;
    }
    Some(((frame.offset / 8) as u16) << 6 | words_below(frame.fp)? << 3 | words_below(frame.bx)?)
}

fn compact_arm64(frame: Frame) -> Option<u16> {
    if frame.bx != Saved::Same || !(0..512 * 16).contains(&frame.offset) || frame.offset % 16 != 0 {
        return None;
    }
    let slot = match (frame.fp, frame.ra) {
        (Saved::Same, Saved::Same) => 0,
        (Saved::AtCfa(fp), Saved::AtCfa(ra)) if Some(ra) == fp.checked_add(8) => {
            if fp == -frame.offset {
                1
            } else if fp % 16 == 0 && (-480..=-16).contains(&fp) {
                (-fp / 16 + 1) as u16
            } else {
                return None;
            }
        }
        _ => return None,
    };
    Some(((frame.offset / 16) as u16) << 5 | slot)
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
        let (deref, index) = (None, None);
        let frame = Frame { register: 10, offset: 0, deref, index, fp: Saved::Same, ra: Saved::AtCfa(-8), bx: Saved::Same };
        let cases = [
            Rule::Plt(11),
            Rule::Frame(frame),
            Rule::Frame(Frame { register: 6, offset: -8, deref: Some(8), ..frame }),
            Rule::Frame(Frame { register: 7, offset: 8, deref: Some(8), index: Some(9), ..frame }),
            Rule::Frame(Frame { register: 7, offset: 80, bx: Saved::AtCfa(-80), ..frame }),
            Rule::Frame(Frame { register: 7, offset: 80, bx: Saved::Unknown, ..frame }),
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
