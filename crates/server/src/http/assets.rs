//! The UI's files: built in, or from a directory while the UI is developed.

use std::path::PathBuf;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::body;
use crate::md5::md5;

/// Nothing from elsewhere, no inline scripts; the UI sets inline styles.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'self'";

/// Paths of pages, which are all the same document.
const PAGES: [&str; 5] = ["/", "/index.html", "/explore", "/status", "/compare"];

/// Path, media type and content of what is built in.
const BUILT_IN: [(&str, &str, &[u8]); 3] = [
    ("index.html", "text/html; charset=utf-8", include_bytes!("../../../../ui/dist/index.html")),
    ("assets/app.js", "text/javascript; charset=utf-8", include_bytes!("../../../../ui/dist/assets/app.js")),
    ("assets/app.css", "text/css; charset=utf-8", include_bytes!("../../../../ui/dist/assets/app.css")),
];

struct Asset {
    name: &'static str,
    media: &'static str,
    plain: Bytes,
    packed: Bytes,
    tag: HeaderValue,
}

/// The UI's files.
pub(super) struct Assets {
    built_in: Vec<Asset>,
    dir: Option<PathBuf>,
}

impl Assets {
    /// The built-in files; those of `dir` instead if it is given.
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        let asset = |(name, media, plain): (&'static str, &'static str, &'static [u8])| {
            let plain = Bytes::from_static(plain);
            Asset { name, media, packed: body::gzip(&plain).into(), tag: tag(&plain), plain }
        };
        Self { built_in: BUILT_IN.into_iter().map(asset).collect(), dir }
    }

    /// The file or page at `path`; `None` if there is none.
    pub(super) async fn serve(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        if path == "/ui" || path == "/ui/" {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
            return Some(response);
        }
        let name = if PAGES.contains(&path) { "index.html" } else { path.strip_prefix('/')? };
        let asset = self.built_in.iter().find(|asset| asset.name == name)?;
        if let Some(dir) = &self.dir {
            let plain = Bytes::from(tokio::fs::read(dir.join(asset.name)).await.ok()?);
            return Some(respond(headers, asset.media, &tag(&plain), &plain, &Bytes::new()));
        }
        Some(respond(headers, asset.media, &asset.tag, &asset.plain, &asset.packed))
    }
}

fn tag(bytes: &[u8]) -> HeaderValue {
    let hex: String = md5(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

fn respond(
    headers: &HeaderMap,
    media: &'static str,
    tag: &HeaderValue,
    plain: &Bytes,
    packed: &Bytes,
) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag);
    let gzip = !packed.is_empty() && body::wants_gzip(headers, plain.len());
    let content = if known {
        Bytes::new()
    } else if gzip {
        packed.clone()
    } else {
        plain.clone()
    };
    let mut response = Response::new(Body::from(content));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let out = response.headers_mut();
    if gzip && !known {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    out.insert(header::ETAG, tag.clone());
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    out.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
