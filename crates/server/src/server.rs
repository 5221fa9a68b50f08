//! The server's life: bind, open the store, accept, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hearth_store::{Options, Store};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::access::Access;
use crate::config::Config;
use crate::http::{App, Peer, router};
use crate::symbols::{Debuginfod, Shelf, Symbols};
use crate::tenants::{Tenants, watch_file};
use crate::tls::acceptor;

/// How long running requests may take after the order to stop.
const GRACE: Duration = Duration::from_millis(500);
/// Most connections at the same time; further ones wait.
const CONNECTIONS_MAX: usize = 4_096;
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the server does not start or stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is taken.
    #[error(
        "cannot listen on {address}: it is in use, probably by another Hearth or Pyroscope; stop that one or \
         choose another port with --listen {host}:PORT"
    )]
    InUse {
        /// The address.
        address: String,
        /// Its host.
        host: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that the configuration names is wrong: limits of tenants, credentials, certificate.
    #[error("{0}")]
    File(String),
    /// The symbols cannot be read.
    #[error("cannot read the symbols in {dir}: {source}")]
    Symbols {
        /// The data directory.
        dir: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store cannot be opened or closed.
    #[error(transparent)]
    Store(#[from] hearth_store::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    otlp_addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    accepting: Vec<JoinHandle<()>>,
    store: Arc<Store>,
}

impl Server {
    /// Binds, opens the store and answers requests from then on.
    ///
    /// # Errors
    ///
    /// [`Error`], if the address is taken or the data directory cannot be used.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let options = config.store_options();
        Self::start_with(config, options).await
    }

    /// The same with other options of the store than the configuration gives.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_with(config: Config, options: Options) -> Result<Self, Error> {
        let tenants = Arc::new(Tenants::new(&config).map_err(Error::File)?);
        let access = config.credentials_file.as_deref().map_or_else(|| Ok(Access::default()), Access::load);
        let access = access.map_err(Error::File)?;
        let tls = acceptor(config.tls_cert.as_ref(), config.tls_key.as_ref()).map_err(Error::File)?;
        let (listener, address) = bind(&config.listen_host, config.listen_port).await?;
        warn(&config, address);
        let mut listeners = vec![listener];
        let mut otlp_addresses = Vec::new();
        for (host, port) in &config.otlp_listen {
            let (listener, address) = bind(host, *port).await?;
            listeners.push(listener);
            otlp_addresses.push(address);
        }
        let symbols = Arc::new(Symbols::new(options.dir.clone(), options.owner, &config.symbols));
        let opening = {
            let shelf = symbols.shelf.clone();
            tokio::task::spawn_blocking(move || open(options, &shelf))
        };
        let store = match opening.await {
            Ok(opened) => opened?,
            Err(_) => return Err(hearth_store::Error::Closed.into()),
        };
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(watch_file(tenants.clone(), config.clone(), stopped.clone()));
        if !config.symbols.debuginfod_urls.is_empty() {
            let (urls, interval) =
                (config.symbols.debuginfod_urls.clone(), config.symbols.debuginfod_interval);
            let debuginfod = Debuginfod { symbols: symbols.clone(), store: store.clone(), urls, interval };
            tokio::spawn(debuginfod.run(stopped.clone()));
        }
        let app = Arc::new(App::new(config, store, symbols, tenants, access));
        let store = app.store().clone();
        let router = router(app);
        let accepting = listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept(listener, router.clone(), tls.clone(), stopped.clone())))
            .collect();
        tracing::info!(%address, otlp = ?otlp_addresses, "ready");
        Ok(Self { address, otlp_addresses, stop, accepting, store })
    }

    /// The further addresses it listens on, for OTLP.
    pub fn otlp_addresses(&self) -> &[SocketAddr] {
        &self.otlp_addresses
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Finishes running requests, writes what is in memory and stops.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the last write fails. What was acknowledged is in the log nevertheless.
    pub async fn shutdown(self) -> Result<(), Error> {
        let _ = self.stop.send(true);
        for accepting in self.accepting {
            if accepting.await.is_err() {
                tracing::warn!("a listener ended with a panic");
            }
        }
        Ok(self.store.shutdown().await?)
    }
}

/// Listens on an address.
async fn bind(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source: std::io::Error| {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::InUse { address, host: host.to_owned() },
            _ => Error::Listen { address, source },
        }
    };
    let listener = TcpListener::bind((host, port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Opens the store, then the symbols: the store's lock protects both.
fn open(mut options: Options, shelf: &Arc<Shelf>) -> Result<Arc<Store>, Error> {
    let dir = options.dir.display().to_string();
    options.namer = Some(shelf.clone());
    let store = Store::open(options)?;
    shelf.load().map_err(|source| Error::Symbols { dir, source })?;
    Ok(store)
}

fn warn(config: &Config, address: SocketAddr) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if !address.ip().is_loopback() && config.credentials_file.is_none() {
        tracing::warn!(
            %address,
            "listening beyond this host without authentication: whoever reaches this port can read and write profiles; \
             use --listen 127.0.0.1:4040, --auth.credentials-file or an authenticating proxy in front"
        );
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            accepted = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (slot, Ok((stream, peer))) => {
                let (router, tls, stopped) = (router.clone(), tls.clone(), stopped.clone());
                connections.spawn(async move {
                    greet(stream, peer, router, tls, stopped).await;
                    drop(slot);
                });
            }
            (_, Err(error)) => {
                // Out of file descriptors, usually: wait for some to be closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, finished).await;
    connections.shutdown().await;
}

/// Waits for the first byte, without which hyper would wait for ever, and speaks TLS if configured.
async fn greet(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    stopped: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    if !matches!(tokio::time::timeout(HEADER_TIMEOUT, stream.readable()).await, Ok(Ok(()))) {
        return;
    }
    let Some(tls) = tls else { return serve(stream, peer, router, stopped).await };
    match tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, peer, router, stopped).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
        Err(_) => tracing::debug!(%peer, "TLS took too long"),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        request.map(axum::body::Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended");
    }
}
