//! `parca.debuginfo.v1alpha1`: how agents of the Parca family bring debug information.
//!
//! Reference: `proto/parca/debuginfo/v1alpha1/debuginfo.proto` of Parca.

/// How to send a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum UploadStrategy {
    /// Not at all.
    Unspecified = 0,
    /// With `Upload`.
    Grpc = 1,
}

messages! {
    /// Asks whether a file is wanted.
    ShouldInitiateUploadRequest {
        /// Build ID.
        1 build_id: string,
        /// Hash of the file.
        2 hash: string,
        /// Whether to replace what there is.
        3 force: bool,
    }

    /// Announces a file.
    InitiateUploadRequest {
        /// Build ID.
        1 build_id: string,
        /// Its size in bytes.
        2 size: int64,
        /// Its hash.
        3 hash: string,
        /// Whether to replace what there is.
        4 force: bool,
    }

    /// How to send the announced file.
    InitiateUploadResponse {
        /// How.
        1 upload_instructions: message<UploadInstructions>,
    }

    /// How to send a file.
    UploadInstructions {
        /// Build ID.
        1 build_id: string,
        /// What to call the upload.
        2 upload_id: string,
        /// An [`UploadStrategy`].
        3 upload_strategy: enumeration,
        /// Where to send it, for other strategies than ours.
        4 signed_url: string,
    }

    /// Says that a file was sent completely.
    MarkUploadFinishedRequest {
        /// Build ID.
        1 build_id: string,
        /// What the upload is called.
        2 upload_id: string,
    }

    /// Nothing.
    MarkUploadFinishedResponse {
    }

    /// What a stream of chunks belongs to.
    UploadInfo {
        /// Build ID.
        1 build_id: string,
        /// What the upload is called.
        2 upload_id: string,
    }

    /// What was received.
    UploadResponse {
        /// Build ID.
        1 build_id: string,
        /// Bytes received.
        2 size: uint64,
    }
}

/// A message of the stream: `info` first, then chunks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UploadRequest {
    /// What the chunks belong to.
    #[prost(message, optional, tag = "1")]
    pub info: Option<UploadInfo>,
    /// A piece of the file.
    #[prost(bytes = "vec", tag = "2")]
    pub chunk_data: Vec<u8>,
}
