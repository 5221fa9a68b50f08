//! A client of HTTP servers, with TLS: for debuginfod, and for `hearth symbols`.
//!
//! One connection per request: both ask seldom, and send or get much.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many times an answer may send us elsewhere.
const REDIRECTS_MAX: usize = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is none of HTTP.
    #[error("{url:?} is no address: {reason}; expected http://HOST:PORT or https://HOST")]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The server cannot be reached.
    #[error("cannot reach {server}: {reason}")]
    Connect {
        /// Which.
        server: String,
        /// Why.
        reason: String,
    },
    /// The server broke off.
    #[error("{server} broke off: {reason}")]
    Broken {
        /// Which.
        server: String,
        /// How.
        reason: String,
    },
}

/// Sends a request to an absolute address and returns the head of the answer.
///
/// # Errors
///
/// See [`ClientError`]. An answer with a status that means failure is no error here.
pub async fn send(mut request: Request<Body>) -> Result<Response<Incoming>, ClientError> {
    let uri = request.uri().clone();
    let bad = |reason: &str| ClientError::Url { url: uri.to_string(), reason: reason.to_owned() };
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad("it begins with neither http:// nor https://")),
    };
    let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let server = authority.as_str().to_owned();
    let failed = |reason: String| ClientError::Connect { server: server.clone(), reason };
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port))).await;
    let stream = match connecting {
        Ok(connected) => connected.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    };
    let host_header = server.parse().map_err(|_| bad("its host cannot be sent"))?;
    request.headers_mut().insert(header::HOST, host_header);
    let agent = header::HeaderValue::from_static(concat!("hearth/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(header::USER_AGENT, agent);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    *request.uri_mut() = path.parse().map_err(|_| bad("its path cannot be sent"))?;
    if !tls {
        return exchange(stream, request, &server).await;
    }
    let name = ServerName::try_from(host).map_err(|error| failed(error.to_string()))?;
    let connector = tls_connector().map_err(failed)?;
    let stream = connector.connect(name, stream).await.map_err(|error| failed(format!("TLS: {error}")))?;
    exchange(stream, request, &server).await
}

/// Gets what is at an address, also if the server sends us elsewhere for it.
///
/// # Errors
///
/// As [`send`].
pub async fn get(url: &str) -> Result<Response<Incoming>, ClientError> {
    let mut url: Uri = url.parse().map_err(|error| bad_url(url, error))?;
    let mut left = REDIRECTS_MAX;
    loop {
        let request = Request::get(url.clone()).body(Body::empty());
        let request =
            request.map_err(|error| ClientError::Url { url: url.to_string(), reason: error.to_string() })?;
        let response = send(request).await?;
        let elsewhere =
            response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection());
        let Some(location) = elsewhere.and_then(|location| location.to_str().ok()) else {
            return Ok(response);
        };
        if left == 0 {
            let reason = format!("more than {REDIRECTS_MAX} redirections");
            return Err(ClientError::Broken { server: url.to_string(), reason });
        }
        left -= 1;
        url = match location.starts_with('/') {
            true => {
                let (scheme, server) =
                    (url.scheme_str().unwrap_or("http"), url.authority().map_or("", |it| it.as_str()));
                let absolute = format!("{scheme}://{server}{location}");
                absolute.parse().map_err(|error| bad_url(&absolute, error))?
            }
            false => location.parse().map_err(|error| bad_url(location, error))?,
        };
    }
}

fn bad_url(url: &str, error: http::uri::InvalidUri) -> ClientError {
    ClientError::Url { url: url.chars().take(200).collect(), reason: error.to_string() }
}

fn tls_connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(
            "this system has no certificates to trust; install the package ca-certificates".to_owned()
        );
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
    server: &str,
) -> Result<Response<Incoming>, ClientError> {
    let broken = |error: hyper::Error| {
        let source =
            std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        ClientError::Broken { server: server.to_owned(), reason: format!("{error}{source}") }
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // What goes wrong with the connection is seen where the answer is read.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender.send_request(request).await.map_err(broken)
}
