//! The body of a streaming gRPC call: messages with a length each, one at a time.

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use hearth_codec::pyroscope::parca::{UploadInfo, UploadRequest};
use http_body_util::BodyExt;
use prost::Message as _;

use super::shelf::Refusal;
use super::upload::AsyncPieces;

/// Largest message: agents send a megabyte or less at once.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Messages of an upload.
#[derive(Debug)]
pub(crate) struct Stream {
    body: Body,
    buffer: BytesMut,
}

impl Stream {
    /// Reads a request's body.
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new() }
    }

    /// The first message, which says what the others belong to.
    pub(crate) async fn info(&mut self) -> Result<UploadInfo, Refusal> {
        let first = self.message().await?.and_then(|message| message.info);
        first.ok_or_else(|| Refusal::Wrong("the first message of an upload must have info".to_owned()))
    }

    async fn message(&mut self) -> Result<Option<UploadRequest>, Refusal> {
        let Some(head) = self.take(5).await? else { return Ok(None) };
        let (flag, length) = match *head {
            [flag, a, b, c, d] => (flag, u32::from_be_bytes([a, b, c, d]) as usize),
            _ => return Err(cut()),
        };
        if flag != 0 {
            return Err(Refusal::Wrong("compressed messages are not taken in uploads".to_owned()));
        }
        if length > MESSAGE_BYTES_MAX {
            return Err(Refusal::TooLarge(format!(
                "a message of {length} bytes; expected at most {MESSAGE_BYTES_MAX}"
            )));
        }
        let bytes = if length == 0 { Bytes::new() } else { self.take(length).await?.ok_or_else(cut)? };
        let message = UploadRequest::decode(bytes);
        message.map(Some).map_err(|error| Refusal::Wrong(format!("a message is no upload: {error}")))
    }

    /// Exactly `length` bytes; `None` if the body ends before the first of them.
    async fn take(&mut self, length: usize) -> Result<Option<Bytes>, Refusal> {
        while self.buffer.remaining() < length {
            let Some(frame) = self.body.frame().await else {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut()) };
            };
            let frame = frame.map_err(|error| Refusal::Wrong(format!("the upload broke off: {error}")))?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

fn cut() -> Refusal {
    Refusal::Wrong("the upload ends within a message".to_owned())
}

impl AsyncPieces for Stream {
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        match self.message().await? {
            None => Ok(None),
            Some(message) if message.info.is_some() => {
                Err(Refusal::Wrong("a second message with info within one upload".to_owned()))
            }
            Some(message) => Ok(Some(message.chunk_data.into())),
        }
    }
}
