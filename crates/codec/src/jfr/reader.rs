//! JFR's primitive encodings.

use std::borrow::Cow;

use super::Error;

/// Reads values from a part of a chunk.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    /// Whether integers are of variable length.
    pub(super) compressed: bool,
}

/// A string, or the id of one in the pool of strings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Text<'a> {
    #[default]
    None,
    Inline(Cow<'a, str>),
    Id(i64),
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from `offset` on.
    pub(super) fn at(bytes: &'a [u8], offset: usize, compressed: bool) -> Self {
        Self { bytes, offset, compressed }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn error(&self, reason: &'static str) -> Error {
        Error::Malformed { reason, offset: self.offset }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let taken = self.bytes.get(self.offset..).and_then(|rest| rest.get(..length));
        let taken = taken.ok_or_else(|| self.error("it ends within a value"))?;
        self.offset += length;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    /// A big-endian number of `length` bytes, at most 8.
    pub(super) fn fixed(&mut self, length: usize) -> Result<u64, Error> {
        Ok(self.take(length)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// An integer of `length` bytes, or of variable length where the chunk says so: seven bits a
    /// byte, the ninth byte whole.
    pub(super) fn integer(&mut self, length: usize) -> Result<i64, Error> {
        if !self.compressed {
            let shift = 64 - 8 * length;
            return Ok((self.fixed(length)? << shift).cast_signed() >> shift);
        }
        let mut number = 0_u64;
        for index in 0..9 {
            let byte = self.byte()?;
            if index == 8 {
                number |= u64::from(byte) << 56;
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(number.cast_signed())
    }

    pub(super) fn int(&mut self) -> Result<i64, Error> {
        self.integer(4)
    }

    pub(super) fn long(&mut self) -> Result<i64, Error> {
        self.integer(8)
    }

    /// The number of elements that follow, each of which takes at least a byte.
    pub(super) fn count(&mut self) -> Result<usize, Error> {
        let count = usize::try_from(self.int()?).ok().filter(|&count| count <= self.left());
        count.ok_or_else(|| self.error("a count exceeds what is left"))
    }

    pub(super) fn text(&mut self) -> Result<Text<'a>, Error> {
        Ok(match self.byte()? {
            0 => Text::None,
            1 => Text::Inline(Cow::Borrowed("")),
            2 => Text::Id(self.long()?),
            3 => {
                let length = self.count()?;
                Text::Inline(String::from_utf8_lossy(self.take(length)?))
            }
            4 => {
                let length = self.count()?;
                let mut units = Vec::new();
                for _ in 0..length {
                    units.push(self.integer(2)? as u16);
                }
                Text::Inline(Cow::Owned(String::from_utf16_lossy(&units)))
            }
            5 => {
                let length = self.count()?;
                let bytes = self.take(length)?;
                Text::Inline(match std::str::from_utf8(bytes) {
                    Ok(text) if bytes.is_ascii() => Cow::Borrowed(text),
                    _ => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
                })
            }
            _ => return Err(self.error("a string has an unknown encoding")),
        })
    }
}
