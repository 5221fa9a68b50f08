//! The few shapes of DWARF expressions that compilers and assemblers write into call frame information,
//! and the reader of its numbers.
//!
//! Expressions are recognised, not run: a rule must stay small enough for the kernel.

use crate::cfi::Cfa;
use crate::rule::{Arch, Saved};

/// A cursor over bytes. Every read is checked; none means that they ended or a number is too large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*array)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn uleb(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn sleb(&mut self) -> Option<i64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= i64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let unused = 64u32.saturating_sub(shift + 7);
                return Some(value << unused >> unused);
            }
        }
        None
    }

    /// A number in the lower half of a pointer's encoding (`DW_EH_PE`).
    pub(crate) fn pointer(&mut self, format: u8) -> Option<u64> {
        match format {
            0x00 | 0x04 | 0x0c => self.u64(),
            0x01 => self.uleb(),
            0x02 => self.u16().map(u64::from),
            0x03 => self.u32().map(u64::from),
            0x09 => self.sleb().map(|value| value as u64),
            0x0a => self.u16().map(|value| i64::from(value as i16) as u64),
            0x0b => self.u32().map(|value| i64::from(value as i32) as u64),
            _ => None,
        }
    }

    /// A text that ends with a zero, which is skipped.
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let text = &rest[..rest.iter().position(|byte| *byte == 0)?];
        self.at += text.len() + 1;
        Some(text)
    }

    /// The next bytes as a cursor of their own; this one goes on behind them.
    pub(crate) fn split(&mut self, bytes: u64) -> Option<Bytes<'a>> {
        let end = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        let part = Bytes { bytes: self.bytes.get(..end)?, at: self.at };
        self.at = end;
        Some(part)
    }

    fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }
}

/// A sum that an expression leaves on its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// A register plus an offset.
    Register(u8, i32),
    /// The word at a register plus an offset, plus another.
    Word(u8, i32, i32),
    /// The sum of a register, an offset and eight times another register.
    Array(u8, i32, u8),
    /// The word there, plus another offset.
    ArrayWord(u8, i32, u8, i32),
    /// The CFA, which expressions for saved registers begin with, plus an offset.
    Cfa(i32),
}

impl Value {
    fn plus(self, add: i64) -> Option<Self> {
        let sum = |offset: i32| i32::try_from(i64::from(offset).checked_add(add)?).ok();
        Some(match self {
            Self::Register(register, offset) => Self::Register(register, sum(offset)?),
            Self::Word(register, offset, more) => Self::Word(register, offset, sum(more)?),
            Self::Array(register, offset, index) => Self::Array(register, sum(offset)?, index),
            Self::ArrayWord(register, offset, index, more) => {
                Self::ArrayWord(register, offset, index, sum(more)?)
            }
            Self::Cfa(offset) => Self::Cfa(sum(offset)?),
        })
    }
}

/// A constant that an operation pushes.
fn constant(op: u8, bytes: &mut Bytes<'_>) -> Option<i64> {
    Some(match op {
        0x08 => bytes.u8()?.into(),
        0x09 => i64::from(bytes.u8()? as i8),
        0x0a => bytes.u16()?.into(),
        0x0b => i64::from(bytes.u16()? as i16),
        0x0c => bytes.u32()?.into(),
        0x0d => i64::from(bytes.u32()? as i32),
        0x10 => i64::try_from(bytes.uleb()?).ok()?,
        0x11 => bytes.sleb()?,
        0x30..=0x4f => i64::from(op - 0x30),
        _ => return None,
    })
}

/// What an expression computes if it is a register, offsets and at most one word read from memory.
fn value(mut bytes: Bytes<'_>, mut value: Option<Value>) -> Option<Value> {
    while !bytes.is_empty() {
        let op = bytes.u8()?;
        value = Some(match (op, value) {
            (0x70..=0x8f, None) => Value::Register(op - 0x70, i32::try_from(bytes.sleb()?).ok()?),
            (0x92, None) => {
                let register = u8::try_from(bytes.uleb()?).ok()?;
                Value::Register(register, i32::try_from(bytes.sleb()?).ok()?)
            }
            (0x06, Some(Value::Register(register, offset))) => Value::Word(register, offset, 0),
            (0x06, Some(Value::Array(register, offset, index))) => {
                Value::ArrayWord(register, offset, index, 0)
            }
            // breg index 0; const 8; mul; plus: OpenSSL's big numbers
            (0x70..=0x8f, Some(Value::Register(register, offset))) => {
                let scale = (bytes.sleb()?, bytes.u8()?);
                let factor = constant(scale.1, &mut bytes)?;
                if (scale.0, factor, bytes.u8()?, bytes.u8()?) != (0, 8, 0x1e, 0x22) {
                    return None;
                }
                Value::Array(register, offset, op - 0x70)
            }
            (0x23, Some(value)) => value.plus(i64::try_from(bytes.uleb()?).ok()?)?,
            // DW_OP_nop
            (0x96, Some(value)) => value,
            (_, Some(value)) => {
                let number = constant(op, &mut bytes)?;
                match bytes.u8()? {
                    0x22 => value.plus(number)?,
                    0x1c => value.plus(number.checked_neg()?)?,
                    _ => return None,
                }
            }
            (_, None) => return None,
        });
    }
    value
}

/// The entry of a procedure linkage table: 8 above the stack pointer, and 8 more from a certain byte of
/// 16 on: `breg7 8; breg16 0; lit15; and; lit11; ge; lit3; shl; plus`.
fn plt(bytes: Bytes<'_>) -> Option<u8> {
    let rest = bytes.bytes.get(bytes.at..)?;
    match rest {
        [0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, from @ 0x30..=0x3f, 0x2a, 0x33, 0x24, 0x22] => Some(from - 0x30),
        _ => None,
    }
}

/// The CFA by an expression.
pub(crate) fn cfa(arch: Arch, bytes: Bytes<'_>) -> Cfa {
    if arch == Arch::X86_64
        && let Some(from) = plt(bytes)
    {
        return Cfa::Plt(from);
    }
    match value(bytes, None) {
        Some(Value::Register(register, offset)) => Cfa::Register { register, offset },
        Some(Value::Word(register, offset, add)) => Cfa::Deref { register, offset, add, index: None },
        Some(Value::ArrayWord(register, offset, index, add)) if index < arch.registers() => {
            Cfa::Deref { register, offset, add, index: Some(index) }
        }
        _ => Cfa::Unsupported,
    }
}

/// Where a register was saved, by an expression: the address of its word, or with `is_value` itself.
pub(crate) fn saved(arch: Arch, bytes: Bytes<'_>, is_value: bool) -> Saved {
    match (value(bytes, Some(Value::Cfa(0))).or_else(|| value(bytes, None)), is_value) {
        (Some(Value::Cfa(offset)), false) => Saved::AtCfa(offset),
        (Some(Value::Cfa(offset)), true) => Saved::IsCfa(offset),
        (Some(Value::Register(register, offset)), false) if register == arch.fp() => Saved::AtFp(offset),
        (Some(Value::Register(register, offset)), false) if register == arch.sp() => Saved::AtSp(offset),
        (Some(Value::Register(register, 0)), true) => Saved::Register(register),
        (Some(Value::Word(register, offset, 0)), true) if register == arch.fp() => Saved::AtFp(offset),
        (Some(Value::Word(register, offset, 0)), true) if register == arch.sp() => Saved::AtSp(offset),
        _ => Saved::Unknown,
    }
}
