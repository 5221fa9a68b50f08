//! Who may ask: bearer tokens and passwords, from a file.
//!
//! ```text
//! # comment
//! bearer 0a1b2c…
//! basic  grafana:password
//! ```
//!
//! With a file, every request but `GET /ready` needs one of its lines. Without, nobody is asked.

use std::path::Path;

use axum::response::Response;
use hearth_codec::text::to_base64;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Most lines of a file.
const CREDENTIALS_MAX: usize = 10_000;

/// What a request's `authorization` may be.
#[derive(Clone, Default)]
pub(crate) struct Access(Vec<Box<[u8]>>);

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access({} credentials)", self.0.len())
    }
}

impl Access {
    /// Reads a file of credentials.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let named = |reason: String| format!("credentials {}: {reason}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        Self::parse(&text).map_err(named)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut allowed = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The line's text is not shown: it is a secret, however wrong.
            let wrong =
                || format!("line {}: expected \"bearer TOKEN\" or \"basic USER:PASSWORD\"", index + 1);
            let (kind, secret) = line.split_once(char::is_whitespace).ok_or_else(wrong)?;
            let secret = secret.trim();
            let value = match kind {
                "bearer" if !secret.contains(char::is_whitespace) => format!("Bearer {secret}"),
                "basic" if secret.split_once(':').is_some_and(|(user, _)| !user.is_empty()) => {
                    format!("Basic {}", to_base64(secret.as_bytes()))
                }
                _ => return Err(wrong()),
            };
            allowed.push(value.into_bytes().into_boxed_slice());
            if allowed.len() > CREDENTIALS_MAX {
                return Err(format!("more than {CREDENTIALS_MAX} credentials"));
            }
        }
        if allowed.is_empty() {
            return Err("it has no credentials, so that nobody could ask anything".to_owned());
        }
        Ok(Self(allowed))
    }

    /// Whether anybody is asked for credentials.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request for `path` with these headers may pass.
    pub(crate) fn allows(&self, path: &str, headers: &HeaderMap) -> bool {
        if self.is_open() || path == "/ready" {
            return true;
        }
        let Some(given) = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes) else { return false };
        let Some(at) = given.iter().position(|&byte| byte == b' ') else { return false };
        // The scheme's name is the same in upper and lower case; the secret is not.
        let mut given = given.to_vec();
        given[..at].make_ascii_lowercase();
        given[..1].make_ascii_uppercase();
        // All are compared, and whole, so that the time says nothing about them.
        self.0.iter().fold(false, |found, allowed| found | same(&given, allowed))
    }
}

/// Whether two secrets are the same, in a time that depends on their lengths only.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

/// What a request without credentials gets. Clients of gRPC go by the status and take a body for a message.
pub(crate) fn refusal(headers: &HeaderMap) -> Response {
    let media = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let text = if media.starts_with(b"application/grpc") {
        ""
    } else {
        "401 credentials needed: authorization: Bearer TOKEN, or Basic\n"
    };
    let mut response = Response::new(axum::body::Body::from(text));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hearth\""));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn only_listed_credentials_pass() {
        let access = Access::parse("# people\nbasic grafana:pass:word\n\nbearer  0a1b\n").unwrap();
        let cases = [
            ("/",      "",                                false),
            ("/ready", "",                                true),
            ("/",      "Bearer 0a1b",                     true),
            ("/",      "bearer 0a1b",                     true),
            ("/",      "Bearer 0a1",                      false),
            ("/",      "Bearer 0A1B",                     false),
            ("/",      "Basic Z3JhZmFuYTpwYXNzOndvcmQ=",  true),
            ("/",      "Basic Z3JhZmFuYTpwYXNz",          false),
            ("/",      "Bearer",                          false),
            ("/",      " ",                               false),
        ];
        for (path, value, want) in cases {
            let mut headers = HeaderMap::new();
            if !value.is_empty() {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(access.allows(path, &headers), want, "{path} {value}");
        }
        assert!(Access::default().allows("/", &HeaderMap::new()));
        assert!(!format!("{access:?}").contains("0a1b"));
    }

    #[test]
    fn wrong_files_are_refused_without_showing_secrets() {
        for (text, want) in [
            ("", "no credentials"),
            ("bearer", "line 1: expected"),
            ("bearer a b", "line 1: expected"),
            ("# x\nbasic secret", "line 2: expected"),
            ("token secret", "line 1: expected"),
        ] {
            let error = Access::parse(text).unwrap_err();
            assert!(error.contains(want) && !error.contains("secret"), "{error}");
        }
    }
}
