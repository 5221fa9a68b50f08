//! Requests from JSON: rewritten as protobuf on the fly, so that one decoder judges both.
//!
//! The text is read as a stream, twice: once for the names that tell revisions apart, once against
//! tables of the messages' fields; nothing is kept but the protobuf bytes. Rules are those of OTLP/JSON: lowerCamel names, 64-bit integers as strings or
//! numbers, ids in hexadecimal (base64, as plain protobuf JSON has it, is read too), unknown
//! fields ignored, `null` the same as absent.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Limits;
use crate::limits::within;
use crate::text::{from_base64, from_hex};
use crate::wire::Writer;

use super::decode::decode_as;
use super::json_detect::detect;
use super::json_fields::{self, Field, Kind};
use super::{DecodeError, Decoded, Revision};

/// Decodes an `ExportProfilesServiceRequest` from JSON; otherwise as
/// [`decode_request`](super::decode_request).
///
/// # Errors
///
/// As there, and if the text is not JSON or a field has the wrong kind of value.
pub fn decode_request_json(text: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    within("request bytes", text.len(), limits.max_bytes)?;
    let revision = detect(text)?;
    let (fields, written) = match revision {
        Revision::V1_3 => (json_fields::V1_3, Revision::V1_3),
        Revision::V1_4 => (json_fields::V1_4, Revision::V1_4),
        Revision::V1_6 => (json_fields::V1_6, Revision::V1_6),
        Revision::V1_7 => (json_fields::V1_7, Revision::V1_7),
        // What these number differently has the same name in JSON.
        Revision::V1_8 | Revision::V1_9 | Revision::V1_10 => (json_fields::V1_10, Revision::V1_10),
    };
    let mut writer = Writer::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Message { fields, writer: &mut writer }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    let decoded = decode_as(&writer.into_bytes(), limits, Some(written))?;
    Ok(Decoded { revision, ..decoded })
}

/// Reads an object as a message's fields.
struct Message<'w> {
    fields: &'static [Field],
    writer: &'w mut Writer,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let field = self.fields.iter().find(|(known, _, _)| *known == name || is_original(known, &name));
            match field {
                Some(&(name, number, kind)) => {
                    map.next_value_seed(Element { name, number, kind, in_list: false, writer: self.writer })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Whether `name` is the original (snake_case) spelling of the JSON name `known`.
pub(super) fn is_original(known: &str, name: &str) -> bool {
    let mut rest = name.chars();
    let same = known.chars().all(|letter| {
        if letter.is_ascii_uppercase() {
            rest.next() == Some('_') && rest.next() == Some(letter.to_ascii_lowercase())
        } else {
            rest.next() == Some(letter)
        }
    });
    same && rest.next().is_none()
}

/// Reads a field's value, or a list of them.
struct Element<'w> {
    name: &'static str,
    number: u32,
    kind: Kind,
    in_list: bool,
    writer: &'w mut Writer,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Element<'_> {
    fn integer<E: de::Error>(&mut self, number: i64) -> Result<(), E> {
        match self.kind {
            Kind::Int => self.writer.uint_always(self.number, number.cast_unsigned()),
            Kind::Fixed64 => self.writer.fixed64_always(self.number, number.cast_unsigned()),
            Kind::Double => self.writer.fixed64_always(self.number, (number as f64).to_bits()),
            _ => return Err(self.mismatch(&number)),
        }
        Ok(())
    }

    fn mismatch<E: de::Error>(&self, found: &dyn fmt::Display) -> E {
        let expected = match self.kind {
            Kind::Int | Kind::Fixed64 => "a 64-bit integer, as a number or a string",
            Kind::Double => "a number",
            Kind::Bool => "true or false",
            Kind::Text => "a string",
            Kind::Bytes => "a string with base64",
            Kind::Id(_) => "a string with hexadecimal digits or base64",
            Kind::Message(_) => "an object",
        };
        let found: String = found.to_string().chars().take(100).collect();
        E::custom(format_args!("{} has value {found}; expected {expected}", self.name))
    }
}

/// A text within quotation marks.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.chars().take(100).collect::<String>())
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {}", self.name)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match self.kind {
            Kind::Bool => {
                self.writer.uint_always(self.number, u64::from(value));
                Ok(())
            }
            _ => Err(self.mismatch(&value)),
        }
    }

    fn visit_i64<E: de::Error>(mut self, number: i64) -> Result<(), E> {
        self.integer(number)
    }

    fn visit_u64<E: de::Error>(mut self, number: u64) -> Result<(), E> {
        match self.kind {
            Kind::Double => self.visit_f64(number as f64),
            _ => self.integer(number.cast_signed()),
        }
    }

    fn visit_f64<E: de::Error>(mut self, number: f64) -> Result<(), E> {
        match self.kind {
            Kind::Double => {
                self.writer.fixed64_always(self.number, number.to_bits());
                Ok(())
            }
            _ if number.fract() == 0.0 && number.abs() < 9e18 => self.integer(number as i64),
            _ => Err(self.mismatch(&number)),
        }
    }

    fn visit_str<E: de::Error>(mut self, text: &str) -> Result<(), E> {
        match self.kind {
            Kind::Text => self.writer.bytes_always(self.number, text.as_bytes()),
            Kind::Bytes | Kind::Id(_) => {
                let hex = match self.kind {
                    Kind::Id(digits) if text.len() == digits => from_hex(text),
                    _ => None,
                };
                let bytes = hex.or_else(|| from_base64(text)).ok_or_else(|| self.mismatch(&Quoted(text)))?;
                self.writer.bytes_always(self.number, &bytes);
            }
            Kind::Int | Kind::Fixed64 => {
                let number = text.parse().or_else(|_| text.parse::<u64>().map(u64::cast_signed));
                return self.integer(number.map_err(|_| self.mismatch(&Quoted(text)))?);
            }
            Kind::Double => {
                let number = text.parse().map_err(|_| self.mismatch(&Quoted(text)))?;
                return self.visit_f64(number);
            }
            Kind::Bool | Kind::Message(_) => return Err(self.mismatch(&Quoted(text))),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.kind {
            Kind::Message(fields) => {
                self.writer.message(self.number, |writer| Message { fields, writer }.visit_map(map))
            }
            _ => Err(self.mismatch(&"an object")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.in_list {
            return Err(A::Error::custom(format_args!("{} has a list within a list", self.name)));
        }
        let Self { name, number, kind, writer, .. } = self;
        while list.next_element_seed(Element { name, number, kind, in_list: true, writer })?.is_some() {}
        Ok(())
    }
}
