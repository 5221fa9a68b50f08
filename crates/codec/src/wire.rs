//! The protobuf wire format: a bounded reader and a writer.
//!
//! The reader borrows from its input, allocates nothing and checks every length before it uses it.
//! It accepts what real producers send (varints padded to more bytes than needed, packed and
//! unpacked lists, unknown fields) and refuses groups, which no message here has.
//!
//! Reference: protobuf's "Encoding" chapter.

/// Why bytes are no protobuf message, or not the expected one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The input ends within a field.
    #[error("the message ends within a field at offset {offset} ({need} more bytes needed, {left} left)")]
    Truncated {
        /// Where the missing part begins, within the innermost message.
        offset: usize,
        /// How many bytes the field has.
        need: u64,
        /// How many there are.
        left: usize,
    },
    /// A varint has more than ten bytes or does not fit 64 bits.
    #[error("the varint at offset {offset} does not fit 64 bits")]
    Varint {
        /// Where it begins.
        offset: usize,
    },
    /// A tag that no message has: field number 0, or one above 2^29 − 1.
    #[error("field number {number} at offset {offset} is out of range; expected 1 to 536870911")]
    FieldNumber {
        /// The number found.
        number: u64,
        /// Where its tag begins.
        offset: usize,
    },
    /// A wire type that is unknown (6, 7) or unsupported (3 and 4, groups).
    #[error("wire type {wire_type} at offset {offset} is not supported; expected 0, 1, 2 or 5")]
    WireType {
        /// The type found.
        wire_type: u8,
        /// Where its tag begins.
        offset: usize,
    },
    /// A known field with the wire type of something else.
    #[error("{field} has wire type {found}; expected {expected}")]
    Mismatch {
        /// Message and field.
        field: &'static str,
        /// The type found.
        found: &'static str,
        /// The type the field has.
        expected: &'static str,
    },
}

/// The value of a field, as its wire type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, a boolean or an enumeration.
    Varint(u64),
    /// `fixed64`, `sfixed64`, `double`.
    Fixed64(u64),
    /// A string, bytes, a message or a packed list.
    Bytes(&'a [u8]),
    /// `fixed32`, `sfixed32`, `float`.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    fn wire_type(self) -> &'static str {
        match self {
            Self::Varint(_) => "varint",
            Self::Fixed64(_) => "fixed64",
            Self::Bytes(_) => "length-delimited",
            Self::Fixed32(_) => "fixed32",
        }
    }

    fn mismatch(self, field: &'static str, expected: &'static str) -> WireError {
        WireError::Mismatch { field, found: self.wire_type(), expected }
    }

    /// The bytes of a string, bytes or message field named `field`.
    pub fn bytes(self, field: &'static str) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(other.mismatch(field, "length-delimited")),
        }
    }

    /// The number of a varint field named `field`.
    pub fn varint(self, field: &'static str) -> Result<u64, WireError> {
        match self {
            Self::Varint(number) => Ok(number),
            other => Err(other.mismatch(field, "varint")),
        }
    }

    /// The number of an `int64` or `int32` field named `field`.
    pub fn int(self, field: &'static str) -> Result<i64, WireError> {
        self.varint(field).map(u64::cast_signed)
    }

    /// The bits of a `fixed64` or `double` field named `field`.
    pub fn fixed64(self, field: &'static str) -> Result<u64, WireError> {
        match self {
            Self::Fixed64(bits) => Ok(bits),
            other => Err(other.mismatch(field, "fixed64")),
        }
    }

    /// Calls `each` for every number of a repeated integer field named `field`, packed or not.
    pub fn ints(self, field: &'static str, mut each: impl FnMut(i64)) -> Result<(), WireError> {
        match self {
            Self::Varint(number) => each(number.cast_signed()),
            Self::Bytes(bytes) => {
                let mut reader = Reader::new(bytes);
                while !reader.is_at_end() {
                    each(reader.varint()?.cast_signed());
                }
            }
            other => return Err(other.mismatch(field, "length-delimited or varint")),
        }
        Ok(())
    }

    /// Calls `each` for every number of a repeated `fixed64` field named `field`, packed or not.
    pub fn fixed64s(self, field: &'static str, mut each: impl FnMut(u64)) -> Result<(), WireError> {
        match self {
            Self::Fixed64(bits) => each(bits),
            Self::Bytes(bytes) => {
                let mut reader = Reader::new(bytes);
                while !reader.is_at_end() {
                    each(u64::from_le_bytes(reader.array()?));
                }
            }
            other => return Err(other.mismatch(field, "length-delimited or fixed64")),
        }
        Ok(())
    }
}

/// Reads the fields of one message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads the message in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.offset >= self.bytes.len()
    }

    /// The next field's number and value; `None` at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let offset = self.offset;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError::FieldNumber { number, offset });
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            wire_type => return Err(WireError::WireType { wire_type: wire_type as u8, offset }),
        };
        Ok(Some((number as u32, value)))
    }

    /// A varint that belongs to no field.
    pub fn bare_varint(&mut self) -> Result<u64, WireError> {
        self.varint()
    }

    /// The next `length` bytes, which belong to no field.
    pub fn bare_bytes(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        self.take(length)
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let offset = self.offset;
        let mut number = 0_u64;
        for index in 0..10 {
            let Some(&byte) = self.bytes.get(self.offset) else {
                return Err(WireError::Truncated { offset, need: index + 1, left: self.offset - offset });
            };
            self.offset += 1;
            let part = u64::from(byte & 0x7f);
            if index == 9 && part > 1 {
                break;
            }
            number |= part << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireError::Varint { offset })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let rest = &self.bytes[self.offset..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken =
            taken.ok_or(WireError::Truncated { offset: self.offset, need: length, left: rest.len() })?;
        self.offset += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (offset, left) = (self.offset, self.bytes.len() - self.offset);
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| WireError::Truncated { offset, need: N as u64, left })
    }
}

/// Writes the fields of one message. Fields of value zero or empty are left out, as proto3 does;
/// a list's elements never are.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// The message so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The finished message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends a bare varint.
    pub fn raw_varint(&mut self, number: u64) {
        push_varint(&mut self.bytes, number);
    }

    /// Appends fields that are already encoded.
    pub fn raw(&mut self, fields: &[u8]) {
        self.bytes.extend_from_slice(fields);
    }

    fn tag(&mut self, number: u32, wire_type: u32) {
        self.raw_varint(u64::from(number << 3 | wire_type));
    }

    /// An unsigned integer, a boolean or an enumeration.
    pub fn uint(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.uint_always(number, value);
        }
    }

    /// As [`Self::uint`], written even if zero: an element of a list or a member of a `oneof`.
    pub fn uint_always(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.raw_varint(value);
    }

    /// A signed integer (`int64`, `int32`).
    pub fn int(&mut self, number: u32, value: i64) {
        self.uint(number, value.cast_unsigned());
    }

    /// A `fixed64`.
    pub fn fixed64(&mut self, number: u32, bits: u64) {
        if bits != 0 {
            self.fixed64_always(number, bits);
        }
    }

    /// As [`Self::fixed64`], written even if zero.
    pub fn fixed64_always(&mut self, number: u32, bits: u64) {
        self.tag(number, 1);
        self.bytes.extend_from_slice(&bits.to_le_bytes());
    }

    /// A string or bytes.
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes_always(number, bytes);
        }
    }

    /// As [`Self::bytes`], written even if empty: an element of a list or a member of a `oneof`.
    pub fn bytes_always(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.raw_varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A message whose fields `write` writes; always written, empty or not.
    pub fn message<R>(&mut self, number: u32, write: impl FnOnce(&mut Self) -> R) -> R {
        self.tag(number, 2);
        let start = self.bytes.len();
        let result = write(self);
        let end = self.bytes.len();
        push_varint(&mut self.bytes, (end - start) as u64);
        let prefix = self.bytes.len() - end;
        self.bytes[start..].rotate_right(prefix);
        result
    }

    /// A packed list of integers; nothing if there is none.
    pub fn packed_ints(&mut self, number: u32, values: impl IntoIterator<Item = i64>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            self.message(number, |list| values.for_each(|value| list.raw_varint(value.cast_unsigned())));
        }
    }

    /// A packed list of `fixed64`; nothing if there is none.
    pub fn packed_fixed64s(&mut self, number: u32, values: &[u64]) {
        if !values.is_empty() {
            self.tag(number, 2);
            self.raw_varint(values.len() as u64 * 8);
            self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
}

/// Appends `number` as a varint.
pub fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        let mut reader = Reader::new(bytes);
        let mut fields = Vec::new();
        while let Some(field) = reader.field()? {
            fields.push(field);
        }
        Ok(fields)
    }

    #[test]
    #[rustfmt::skip]
    fn fields_are_read_or_refused() {
        type Case<'a> = (&'a str, &'a [u8], Result<&'a [(u32, Value<'a>)], &'a str>);
        let cases: &[Case<'_>] = &[
            ("nothing",              &[],                        Ok(&[])),
            ("a varint",             &[0x08, 0x96, 0x01],        Ok(&[(1, Value::Varint(150))])),
            ("a padded varint",      &[0x08, 0x81, 0x80, 0x00],  Ok(&[(1, Value::Varint(1))])),
            ("bytes",                &[0x12, 1, 7],              Ok(&[(2, Value::Bytes(&[7]))])),
            ("fixed32",              &[0x0d, 1, 0, 0, 0],        Ok(&[(1, Value::Fixed32(1))])),
            ("cut varint",           &[0x08, 0x80],              Err("ends within a field at offset 1")),
            ("cut bytes",            &[0x12, 5, 7],              Err("(5 more bytes needed, 1 left)")),
            ("length of 2^63",       &[0x12, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1], Err("9223372036854775808")),
            ("eleven byte varint",   &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], Err("does not fit 64 bits")),
            ("65 bit varint",        &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], Err("does not fit 64 bits")),
            ("a group",              &[0x0b, 0x0c],              Err("wire type 3")),
            ("field number 0",       &[0x00, 0x00],              Err("field number 0")),
        ];
        for (case, bytes, want) in cases {
            match (read(bytes), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, *want, "{case}"),
                (Err(got), Err(want)) => assert!(got.to_string().contains(want), "{case}: {got}"),
                (got, want) => panic!("{case}: {got:?}, expected {want:?}"),
            }
        }
    }

    #[test]
    fn nested_messages_of_any_length_read_back() {
        for length in [0, 1, 127, 128, 20_000] {
            let mut writer = Writer::default();
            writer.message(1, |outer| outer.message(3, |inner| inner.bytes(5, &vec![9; length])));
            let outer = read(writer.as_bytes()).unwrap()[0].1.bytes("outer").unwrap();
            let inner = read(outer).unwrap()[0].1.bytes("inner").unwrap();
            let got = read(inner).unwrap().first().map_or(0, |field| field.1.bytes("bytes").unwrap().len());
            assert_eq!(got, length);
        }
    }

    #[test]
    fn lists_are_read_packed_and_unpacked() {
        let mut writer = Writer::default();
        writer.packed_ints(1, [1, -1, 300]);
        writer.uint_always(1, 7);
        let mut got = Vec::new();
        for (_, value) in read(writer.as_bytes()).unwrap() {
            value.ints("list", |number| got.push(number)).unwrap();
        }
        assert_eq!(got, [1, -1, 300, 7]);
    }
}
