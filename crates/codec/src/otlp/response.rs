//! `ExportProfilesServiceResponse`.

use crate::wire::{Reader, Writer};

use super::DecodeError;

/// What a server did not accept; all zero if it accepted everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// How many profiles were rejected.
    pub rejected_profiles: i64,
    /// Why, for people; may also be set as a warning when nothing was rejected.
    pub error_message: String,
}

impl PartialSuccess {
    fn is_empty(&self) -> bool {
        self.rejected_profiles == 0 && self.error_message.is_empty()
    }
}

/// Encodes a response as protobuf.
pub fn encode_response(partial_success: &PartialSuccess) -> Vec<u8> {
    let mut writer = Writer::default();
    if !partial_success.is_empty() {
        writer.message(1, |message| {
            message.int(1, partial_success.rejected_profiles);
            message.bytes(2, partial_success.error_message.as_bytes());
        });
    }
    writer.into_bytes()
}

/// Encodes a response as JSON.
pub fn encode_response_json(partial_success: &PartialSuccess) -> String {
    if partial_success.is_empty() {
        return "{}".into();
    }
    serde_json::json!({"partialSuccess": {
        "rejectedProfiles": partial_success.rejected_profiles.to_string(),
        "errorMessage": partial_success.error_message,
    }})
    .to_string()
}

/// Decodes a response from protobuf.
pub fn decode_response(bytes: &[u8]) -> Result<PartialSuccess, DecodeError> {
    let mut response = PartialSuccess::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.field()? {
        if number != 1 {
            continue;
        }
        let mut message = Reader::new(value.bytes("ExportProfilesServiceResponse.partial_success")?);
        while let Some((number, value)) = message.field()? {
            match number {
                1 => response.rejected_profiles = value.int("partial_success.rejected_profiles")?,
                2 => {
                    let text = value.bytes("partial_success.error_message")?;
                    response.error_message = String::from_utf8_lossy(text).into_owned();
                }
                _ => {}
            }
        }
    }
    Ok(response)
}
