//! What a person asks of a server from the command line: `hearth symbols`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use serde::Deserialize;

use crate::client;

/// Bytes of a file sent at once.
const PIECE_BYTES: usize = 256 << 10;
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A server, and on whose behalf it is asked.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its address: `http://HOST:PORT`, with or without a path.
    pub url: String,
    /// The tenant; none for a server that does not tell tenants apart.
    pub tenant: Option<String>,
    /// What to show as a bearer token; none for a server that asks nobody.
    pub token: Option<String>,
}

/// Symbols as a server describes them.
#[derive(Clone, Debug, Deserialize)]
pub struct RemoteSymbols {
    /// The binary's build ID.
    pub build_id: String,
    /// The file's name as it was brought.
    pub name: String,
    /// `upload` or `debuginfod`.
    pub origin: String,
    /// Bytes of the file that was brought.
    pub file_bytes: u64,
    /// Functions with names.
    pub functions: u64,
    /// Whether lines and inlined calls are known.
    pub lines: bool,
    /// Bytes kept; 0 if the server does not say.
    #[serde(default)]
    pub bytes: u64,
    /// Whether the file just brought is kept; otherwise the server had something as good.
    #[serde(default)]
    pub taken: bool,
}

#[derive(Deserialize)]
struct Listed {
    symbols: Vec<RemoteSymbols>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Remote {
    /// Brings the debug information in a file.
    ///
    /// # Errors
    ///
    /// Why the server does not have it now, for people.
    pub async fn upload(&self, path: &Path) -> Result<RemoteSymbols, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let facts = file.metadata().map_err(|error| error.to_string())?;
        if !facts.is_file() {
            return Err("no regular file".to_owned());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let address = format!("/api/v1/symbols?name={}", encoded(&name));
        let body = Body::new(FileBody { file, left: facts.len() });
        let answer = self.ask(Method::POST, &address, body).await?;
        serde_json::from_slice(&answer).map_err(|error| format!("{}: not understood: {error}", self.url))
    }

    /// What symbols the server has.
    ///
    /// # Errors
    ///
    /// Why it does not say, for people.
    pub async fn list(&self) -> Result<Vec<RemoteSymbols>, String> {
        let answer = self.ask(Method::GET, "/api/v1/symbols", Body::empty()).await?;
        let listed: Result<Listed, _> = serde_json::from_slice(&answer);
        Ok(listed.map_err(|error| format!("{}: not understood: {error}", self.url))?.symbols)
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Bytes, String> {
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return Err(format!("server {:?}: expected http://HOST:PORT or https://HOST", self.url));
        }
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.url.trim_end_matches('/')));
        if let Some(tenant) = &self.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| format!("{}: {error}", self.url))?;
        let response = client::send(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let answer = self.read(response).await?;
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let reason = serde_json::from_slice(&answer).map(|refused: Refused| refused.error);
        Err(reason.unwrap_or_else(|_| match status {
            StatusCode::UNAUTHORIZED => format!("{} wants to know who asks: give a token", self.url),
            StatusCode::NOT_FOUND => format!("{} is no Hearth server, or an old one", self.url),
            status => format!("{} answers {status}", self.url),
        }))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, String> {
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| format!("{}: {error}", self.url))?.to_bytes())
    }
}

/// A text as a value in an address.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A file as the body of a request. Reading it blocks: nothing else happens meanwhile.
struct FileBody {
    file: File,
    left: u64,
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let length = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        if length == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; length];
        Poll::Ready(Some(self.file.read_exact(&mut piece).map(|()| {
            self.left -= length as u64;
            Frame::data(piece.into())
        })))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded() {
        assert_eq!(encoded("libc.so.6 (ä)&x=1"), "libc.so.6%20%28%C3%A4%29%26x%3D1");
    }
}
