//! Protobuf's JSON mapping on top of serde, and the macro that declares messages.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A text that is not JSON, or not the expected message.
#[derive(Debug, thiserror::Error)]
#[error("invalid JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads a message from JSON.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    let mut value: Value = serde_json::from_slice(bytes)?;
    normalize(&mut value);
    Ok(serde_json::from_value(value)?)
}

/// Writes a message as JSON.
pub fn to_json<T: Serialize>(message: &T) -> Result<Vec<u8>, JsonError> {
    Ok(serde_json::to_vec(message)?)
}

/// Removes `null` and turns original field names into lowerCamel ones, at every level. No message
/// here has a map, so every key is a field name.
fn normalize(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let taken = std::mem::take(fields);
            for (name, mut field) in taken.into_iter().filter(|(_, field)| !field.is_null()) {
                normalize(&mut field);
                fields.insert(lower_camel(name), field);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(normalize),
        _ => {}
    }
}

/// The name protobuf gives a field in JSON: each underscore goes, the letter after it is upper-case.
fn lower_camel(name: String) -> String {
    if !name.contains('_') {
        return name;
    }
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for letter in name.chars() {
        if letter == '_' {
            raise = true;
        } else {
            camel.push(if raise { letter.to_ascii_uppercase() } else { letter });
            raise = false;
        }
    }
    camel
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Int(i64),
    Unsigned(u64),
    Double(f64),
    Text(String),
}

impl Scalar {
    /// As a 64-bit integer in two's complement; a whole number may be written as `1e3` or `"12"`.
    fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Unsigned(number) => Some(number.cast_signed()),
            Self::Double(number) if number.fract() == 0.0 && number.abs() < 9e18 => Some(*number as i64),
            Self::Double(_) => None,
            Self::Text(text) => text
                .parse()
                .ok()
                .or_else(|| text.parse::<u64>().ok().map(u64::cast_signed))
                .or_else(|| Self::Double(text.parse().ok()?).int()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Int(number) => number.to_string(),
            Self::Unsigned(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Text(text) => format!("{:?}", text.chars().take(100).collect::<String>()),
        }
    }

    fn int_or_error<E: serde::de::Error>(&self) -> Result<i64, E> {
        self.int().ok_or_else(|| E::custom(format!("{} is no 64-bit integer", self.shown())))
    }
}

/// `int64`: written as a string.
pub(crate) mod int64 {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        Scalar::deserialize(deserializer)?.int_or_error()
    }
}

/// `uint64`: written as a string.
pub(crate) mod uint64 {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        Scalar::deserialize(deserializer)?.int_or_error().map(i64::cast_unsigned)
    }
}

/// `optional int64`.
pub(crate) mod optional_int64 {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(number: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => serializer.collect_str(number),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Scalar::deserialize(deserializer)?.int_or_error().map(Some)
    }
}

macro_rules! int_list {
    ($(#[$doc:meta])* $name:ident, $int:ty, $cast:expr) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use super::*;

            pub(crate) fn serialize<S: Serializer>(list: &[$int], serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(list.iter().map(ToString::to_string))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Vec<$int>, D::Error> {
                let scalars = Vec::<Scalar>::deserialize(deserializer)?;
                scalars.iter().map(|scalar| scalar.int_or_error().map($cast)).collect()
            }
        }
    };
}
int_list!(/// `repeated int64`.
    int64s, i64, |number: i64| number);
int_list!(/// `repeated uint64`.
    uint64s, u64, i64::cast_unsigned);

/// `double`: read from a number or a string.
pub(crate) mod double {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if number.is_finite() {
            serializer.serialize_f64(*number)
        } else if number.is_nan() {
            serializer.serialize_str("NaN")
        } else {
            serializer.serialize_str(if *number > 0.0 { "Infinity" } else { "-Infinity" })
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let scalar = Scalar::deserialize(deserializer)?;
        let number = match &scalar {
            Scalar::Int(number) => Some(*number as f64),
            Scalar::Unsigned(number) => Some(*number as f64),
            Scalar::Double(number) => Some(*number),
            Scalar::Text(text) => text.parse().ok(),
        };
        number.ok_or_else(|| D::Error::custom(format!("{} is no number", scalar.shown())))
    }
}

/// `bytes`: base64.
pub(crate) mod base64 {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::text::to_base64(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::text::from_base64(&text).ok_or_else(|| D::Error::custom("a bytes field is not base64"))
    }
}

/// Names of the values of all enums here; the names are unique across enums, as protobuf demands.
const ENUM_VALUES: [(&str, i32); 14] = [
    ("PROFILE_FORMAT_UNSPECIFIED", 0),
    ("PROFILE_FORMAT_FLAMEGRAPH", 1),
    ("PROFILE_FORMAT_TREE", 2),
    ("PROFILE_FORMAT_DOT", 3),
    ("PROFILE_FORMAT_PPROF", 4),
    ("TIME_SERIES_AGGREGATION_TYPE_SUM", 0),
    ("TIME_SERIES_AGGREGATION_TYPE_AVERAGE", 1),
    ("EXEMPLAR_TYPE_UNSPECIFIED", 0),
    ("EXEMPLAR_TYPE_NONE", 1),
    ("EXEMPLAR_TYPE_INDIVIDUAL", 2),
    ("EXEMPLAR_TYPE_SPAN", 3),
    ("HEATMAP_QUERY_TYPE_UNSPECIFIED", 0),
    ("TYPE_EXECUTABLE_FULL", 1),
    ("TYPE_EXECUTABLE_NO_TEXT", 2),
];

/// An enum: read from its number or name; unknown names become 0. Written as its number.
pub(crate) mod enumeration {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        Ok(match Scalar::deserialize(deserializer)? {
            Scalar::Text(name) => {
                ENUM_VALUES.iter().find(|(known, _)| *known == name).map_or(0, |(_, number)| *number)
            }
            number => number.int().and_then(|number| i32::try_from(number).ok()).unwrap_or(0),
        })
    }
}

/// Whether a field has the value that is left out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares messages: `number name: kind` per field, with the JSON name in parentheses after the
/// kind where it is not the lowerCamel form of the Rust name.
macro_rules! messages {
    ($($(#[$meta:meta])* $name:ident { $($fields:tt)* })*) => {
        $(messages!(@fields [$(#[$meta])*] $name [] $($fields)*);)*
    };

    (@fields [$($meta:tt)*] $name:ident [$($done:tt)*]) => {
        $($meta)*
        #[derive(Clone, PartialEq, prost::Message, serde::Serialize, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name { $($done)* }
    };

    (@fields [$($meta:tt)*] $name:ident [$($done:tt)*]
        $(#[$doc:meta])* $tag:literal $field:ident : $kind:ident $(<$message:ty>)? $(($json:literal))?, $($rest:tt)*) => {
        messages!(@kind $kind $($message)?; [$($meta)*] $name [$($done)*] [$(#[$doc])* $(#[serde(rename = $json)])?] $tag $field; $($rest)*);
    };

    (@kind string; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(string, tag = $tag)] #[serde(skip_serializing_if = "String::is_empty")] pub $field: String,] $($rest)*);
    };
    (@kind strings; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(string, repeated, tag = $tag)] #[serde(skip_serializing_if = "Vec::is_empty")] pub $field: Vec<String>,] $($rest)*);
    };
    (@kind bytes; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(bytes = "vec", tag = $tag)] #[serde(with = "super::json::base64", skip_serializing_if = "Vec::is_empty")] pub $field: Vec<u8>,] $($rest)*);
    };
    (@kind bool; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(bool, tag = $tag)] #[serde(skip_serializing_if = "super::json::is_default")] pub $field: bool,] $($rest)*);
    };
    (@kind double; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(double, tag = $tag)] #[serde(with = "super::json::double", skip_serializing_if = "super::json::is_default")] pub $field: f64,] $($rest)*);
    };
    (@kind uint32; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(uint32, tag = $tag)] #[serde(skip_serializing_if = "super::json::is_default")] pub $field: u32,] $($rest)*);
    };
    (@kind int64; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(int64, tag = $tag)] #[serde(with = "super::json::int64", skip_serializing_if = "super::json::is_default")] pub $field: i64,] $($rest)*);
    };
    (@kind uint64; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(uint64, tag = $tag)] #[serde(with = "super::json::uint64", skip_serializing_if = "super::json::is_default")] pub $field: u64,] $($rest)*);
    };
    (@kind optional_int64; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(int64, optional, tag = $tag)] #[serde(with = "super::json::optional_int64", skip_serializing_if = "Option::is_none")] pub $field: Option<i64>,] $($rest)*);
    };
    (@kind int64s; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(int64, repeated, tag = $tag)] #[serde(with = "super::json::int64s", skip_serializing_if = "Vec::is_empty")] pub $field: Vec<i64>,] $($rest)*);
    };
    (@kind uint64s; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(uint64, repeated, tag = $tag)] #[serde(with = "super::json::uint64s", skip_serializing_if = "Vec::is_empty")] pub $field: Vec<u64>,] $($rest)*);
    };
    (@kind enumeration; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(int32, tag = $tag)] #[serde(deserialize_with = "super::json::enumeration::deserialize", skip_serializing_if = "super::json::is_default")] pub $field: i32,] $($rest)*);
    };
    (@kind message $message:ty; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(message, optional, tag = $tag)] #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$message>,] $($rest)*);
    };
    (@kind messages $message:ty; $m:tt $name:ident [$($done:tt)*] [$($attr:tt)*] $tag:literal $field:ident; $($rest:tt)*) => {
        messages!(@fields $m $name [$($done)* $($attr)* #[prost(message, repeated, tag = $tag)] #[serde(skip_serializing_if = "Vec::is_empty")] pub $field: Vec<$message>,] $($rest)*);
    };
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::{querier, types};
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn requests_are_read_in_every_spelling_of_protobufs_json() {
        let want = querier::SelectSeriesRequest {
            profile_type_id: "a:b:c:d:e".into(), label_selector: "{}".into(), start: 1, end: 2, step: 15.0,
            limit: Some(3), ..Default::default()
        };
        let cases = [
            r#"{"profileTypeID":"a:b:c:d:e","labelSelector":"{}","start":"1","end":2,"step":15,"limit":"3"}"#,
            r#"{"profile_typeID":"a:b:c:d:e","label_selector":"{}","start":1,"end":"2","step":"15","limit":3}"#,
            r#"{"profileTypeID":"a:b:c:d:e","labelSelector":"{}","start":1.0,"end":2,"step":1.5e1,"limit":3,
                "groupBy":null,"unknown":{"a":[null]},"exemplarType":"EXEMPLAR_TYPE_OF_THE_FUTURE"}"#,
        ];
        for case in cases {
            assert_eq!(from_json::<querier::SelectSeriesRequest>(case.as_bytes()).unwrap(), want, "{case}");
        }
        let request: querier::SelectMergeStacktracesRequest =
            from_json(br#"{"format":"PROFILE_FORMAT_TREE","maxNodes":"16"}"#).unwrap();
        assert_eq!((request.format, request.max_nodes), (2, Some(16)));
    }

    #[test]
    fn bad_json_names_the_value() {
        let error = from_json::<querier::SelectSeriesRequest>(br#"{"start":"soon"}"#).unwrap_err();
        expect![[r#"invalid JSON: "soon" is no 64-bit integer"#]].assert_eq(&error.to_string());
        assert!(from_json::<querier::SelectSeriesRequest>(b"").is_err());
    }

    #[test]
    fn responses_follow_protobufs_json() {
        let response = querier::SelectMergeStacktracesResponse {
            flamegraph: Some(querier::FlameGraph {
                names: vec!["total".into()],
                levels: vec![querier::Level { values: vec![0, 7, 7, 0] }],
                total: 7,
                max_self: 7,
            }),
            ..Default::default()
        };
        let json = String::from_utf8(to_json(&response).unwrap()).unwrap();
        expect![[
            r#"{"flamegraph":{"names":["total"],"levels":[{"values":["0","7","7","0"]}],"total":"7","maxSelf":"7"}}"#
        ]]
        .assert_eq(&json);
        assert_eq!(from_json::<querier::SelectMergeStacktracesResponse>(json.as_bytes()).unwrap(), response);
        let types = querier::ProfileTypesResponse {
            profile_types: vec![types::ProfileType { id: "a:b:c:d:e".into(), ..Default::default() }],
        };
        expect![[r#"{"profileTypes":[{"ID":"a:b:c:d:e"}]}"#]]
            .assert_eq(std::str::from_utf8(&to_json(&types).unwrap()).unwrap());
    }
}
