//! `KeyValue` and `AnyValue`.

use hearth_profile::{AttributeValue, Attributes};

use crate::wire::{Reader, Value, Writer};

use super::tables::{Reason, Tables};

/// How deep lists and maps may nest.
pub(super) const DEPTH_MAX: usize = 16;

/// Bytes a value takes in memory beyond its text.
const OVERHEAD_BYTES: usize = 56;

/// Decodes a list of `KeyValue` messages that were found in field `field`.
pub(super) fn decode_list<'a>(
    tables: &Tables<'a>,
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Attributes, usize), Reason> {
    let mut attributes = Attributes::default();
    let mut size = 0;
    for (index, entry) in entries.into_iter().enumerate() {
        if index >= tables.limits.max_attributes {
            return Err(format!("more than {} attributes", tables.limits.max_attributes).into());
        }
        let (key, value) = decode_key_value(tables, entry, DEPTH_MAX)?;
        size += key.len() + size_of(&value);
        attributes.set(key, value);
    }
    Ok((attributes, size))
}

/// Decodes a `KeyValue`: a key that is not empty wins over a reference.
pub(super) fn decode_key_value(
    tables: &Tables<'_>,
    bytes: &[u8],
    depth: usize,
) -> Result<(String, AttributeValue), Reason> {
    let mut key = String::new();
    let mut key_index = 0;
    let mut value = AttributeValue::String(String::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => key = String::from_utf8_lossy(field.bytes("KeyValue.key")?).into_owned(),
            2 => value = decode_value(tables, field.bytes("KeyValue.value")?, depth)?,
            3 => key_index = field.int("KeyValue.key_strindex")?,
            _ => {}
        }
    }
    if key.is_empty() {
        key = tables.string("KeyValue.key_strindex", key_index)?.into_owned();
    }
    Ok((key, value))
}

/// Decodes an `AnyValue`. One without a value becomes empty text.
pub(super) fn decode_value(
    tables: &Tables<'_>,
    bytes: &[u8],
    depth: usize,
) -> Result<AttributeValue, Reason> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("AnyValue nests deeper than {DEPTH_MAX} levels").into());
    };
    let mut result = AttributeValue::String(String::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.field()? {
        result = match number {
            1 => AttributeValue::String(text(field.bytes("AnyValue.string_value")?)),
            2 => AttributeValue::Bool(field.varint("AnyValue.bool_value")? != 0),
            3 => AttributeValue::Int(field.int("AnyValue.int_value")?),
            4 => AttributeValue::Double(f64::from_bits(field.fixed64("AnyValue.double_value")?)),
            5 => decode_array(tables, field, depth)?,
            6 => decode_map(tables, field, depth)?,
            7 => AttributeValue::Bytes(field.bytes("AnyValue.bytes_value")?.to_vec()),
            8 => {
                let name = "AnyValue.string_value_strindex";
                AttributeValue::String(tables.string(name, field.int(name)?)?.into_owned())
            }
            _ => continue,
        };
    }
    Ok(result)
}

fn decode_array(tables: &Tables<'_>, field: Value<'_>, depth: usize) -> Result<AttributeValue, Reason> {
    let mut values = Vec::new();
    let mut reader = Reader::new(field.bytes("AnyValue.array_value")?);
    while let Some((number, value)) = reader.field()? {
        if number == 1 {
            values.push(decode_value(tables, value.bytes("ArrayValue.values")?, depth)?);
        }
    }
    Ok(AttributeValue::Array(values))
}

fn decode_map(tables: &Tables<'_>, field: Value<'_>, depth: usize) -> Result<AttributeValue, Reason> {
    let mut entries = Vec::new();
    let mut reader = Reader::new(field.bytes("AnyValue.kvlist_value")?);
    while let Some((number, value)) = reader.field()? {
        if number == 1 {
            entries.push(decode_key_value(tables, value.bytes("KeyValueList.values")?, depth)?);
        }
    }
    Ok(AttributeValue::Map(entries))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes a value takes in memory, roughly.
pub(super) fn size_of(value: &AttributeValue) -> usize {
    OVERHEAD_BYTES
        + match value {
            AttributeValue::String(text) => text.len(),
            AttributeValue::Bytes(bytes) => bytes.len(),
            AttributeValue::Array(values) => values.iter().map(size_of).sum(),
            AttributeValue::Map(entries) => {
                entries.iter().map(|(key, value)| key.len() + size_of(value)).sum()
            }
            _ => 0,
        }
}

/// Encodes a `KeyValue` with its key inline.
pub(super) fn encode_key_value(writer: &mut Writer, key: &str, value: &AttributeValue) {
    writer.bytes(1, key.as_bytes());
    writer.message(2, |any| encode_value(any, value));
}

/// Encodes the fields of an `AnyValue`.
pub(super) fn encode_value(writer: &mut Writer, value: &AttributeValue) {
    match value {
        AttributeValue::String(text) => writer.bytes_always(1, text.as_bytes()),
        AttributeValue::Bool(value) => writer.uint_always(2, u64::from(*value)),
        AttributeValue::Int(value) => writer.uint_always(3, value.cast_unsigned()),
        AttributeValue::Double(value) => writer.fixed64_always(4, value.to_bits()),
        AttributeValue::Array(values) => writer.message(5, |array| {
            for value in values {
                array.message(1, |any| encode_value(any, value));
            }
        }),
        AttributeValue::Map(entries) => writer.message(6, |list| {
            for (key, value) in entries {
                list.message(1, |entry| encode_key_value(entry, key, value));
            }
        }),
        AttributeValue::Bytes(bytes) => writer.bytes_always(7, bytes),
    }
}
