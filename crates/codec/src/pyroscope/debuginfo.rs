//! `debuginfo.v1alpha1`: how agents and `profilecli` bring debug information, and the service of
//! the same name of `parca`, from which it descends.
//!
//! Pyroscope's has three steps: ask, send the file as the body of a plain POST, say that it is
//! complete. Parca's has four: ask, announce, send the file as a stream of messages, say that it is
//! complete.
//!
//! References: `api/debuginfo/v1alpha1/debuginfo.proto` of Pyroscope 2.2,
//! `proto/parca/debuginfo/v1alpha1/debuginfo.proto` of Parca.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What kind of file is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum FileType {
    /// Not said.
    Unspecified = 0,
    /// The whole executable.
    ExecutableFull = 1,
    /// An executable without its code.
    ExecutableNoText = 2,
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum UploadState {
    /// Not complete yet.
    Uploading = 0,
    /// Complete and in use.
    Uploaded = 1,
}

/// A moment; RFC 3339 in JSON.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds of that second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// A moment given in milliseconds since the Unix epoch.
    pub fn from_ms(time_ms: i64) -> Self {
        let nanos = i32::try_from(time_ms.rem_euclid(1000) * 1_000_000).unwrap_or(0);
        Self { seconds: time_ms.div_euclid(1000), nanos }
    }

    /// As RFC 3339, in whole milliseconds.
    fn text(&self) -> String {
        let (days, second) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        // Days since the first of March of the year 0; leap days come last in such years.
        let days = days.saturating_add(719_468);
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
        let year = year + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let millis = self.nanos / 1_000_000;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    /// Times come from the server only: what a client says is not read.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self::default())
    }
}

messages! {
    /// Whose debug information a file holds.
    FileMetadata {
        /// GNU build ID in hexadecimal.
        1 gnu_build_id: string,
        /// Go's build ID.
        2 go_build_id: string,
        /// The file ID of OpenTelemetry's eBPF profiler.
        3 otel_file_id: string,
        /// The file's name.
        4 name: string,
        /// A [`FileType`].
        5 r#type: enumeration,
    }

    /// Asks whether a file is wanted.
    ShouldInitiateUploadRequest {
        /// The file.
        1 file: message<FileMetadata>,
    }

    /// Whether a file is wanted.
    ShouldInitiateUploadResponse {
        /// Whether to send it.
        1 should_initiate_upload: bool,
        /// Why, for people.
        2 reason: string,
    }

    /// Says that a file was sent completely.
    UploadFinishedRequest {
        /// GNU build ID in hexadecimal.
        1 gnu_build_id: string,
    }

    /// Nothing.
    UploadFinishedResponse {
    }

    /// Asks what there is.
    ListDebuginfoRequest {
    }

    /// What there is.
    ListDebuginfoResponse {
        /// One entry per build ID.
        1 object: messages<ObjectMetadata>,
    }

    /// Deletes what there is for a build ID.
    DeleteDebuginfoRequest {
        /// GNU build ID in hexadecimal.
        1 gnu_build_id: string,
    }

    /// Nothing.
    DeleteDebuginfoResponse {
    }

    /// What there is for a build ID.
    ObjectMetadata {
        /// The file.
        1 file: message<FileMetadata>,
        /// An [`UploadState`].
        2 state: enumeration,
        /// When it was announced.
        3 started_at: message<Timestamp>,
        /// When it was complete.
        4 finished_at: message<Timestamp>,
        /// Its size.
        5 size_bytes: int64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{from_json, to_json};
    use super::*;

    #[test]
    fn messages_speak_protobufs_json() {
        let request: ShouldInitiateUploadRequest =
            from_json(br#"{"file":{"gnuBuildId":"ab12","name":"app","type":"TYPE_EXECUTABLE_NO_TEXT"}}"#)
                .unwrap();
        let file = request.file.unwrap();
        assert_eq!((file.gnu_build_id.as_str(), file.r#type), ("ab12", FileType::ExecutableNoText as i32));
        let object = ObjectMetadata {
            file: Some(file),
            state: UploadState::Uploaded as i32,
            finished_at: Some(Timestamp::from_ms(951_782_400_250)),
            size_bytes: 7,
            ..ObjectMetadata::default()
        };
        let text = String::from_utf8(to_json(&object).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"file":{"gnuBuildId":"ab12","name":"app","type":2},"state":1,"finishedAt":"2000-02-29T00:00:00.250Z","sizeBytes":"7"}"#
        );
    }

    #[test]
    #[rustfmt::skip]
    fn moments_are_dates() {
        let cases = [
            (0,                 "1970-01-01T00:00:00.000Z"),
            (-1,                "1969-12-31T23:59:59.999Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
        ];
        for (time_ms, want) in cases {
            assert_eq!(Timestamp::from_ms(time_ms).text(), want);
        }
    }
}
