//! A server of OTLP profiles that answers as told and remembers what it got.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

type Received = (http::HeaderMap, ExportProfilesServiceRequest);

#[derive(Default)]
struct State {
    answers: Mutex<VecDeque<Status>>,
    times: Mutex<Vec<Instant>>,
    received: Mutex<Vec<Received>>,
}

/// Running until dropped.
pub(crate) struct FakeServer {
    state: Arc<State>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeServer {
    /// Answers with `answers` in turn, then with success.
    pub(crate) async fn start(answers: Vec<Status>) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answers).await
    }

    /// As `start`, at an address.
    pub(crate) async fn start_at(address: SocketAddr, answers: Vec<Status>) -> Self {
        Self::run(address, answers, None).await
    }

    /// As `start`, over TLS.
    pub(crate) async fn start_tls(identity: Identity) -> Self {
        Self::run(SocketAddr::from(([127, 0, 0, 1], 0)), Vec::new(), Some(identity)).await
    }

    async fn run(address: SocketAddr, answers: Vec<Status>, identity: Option<Identity>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { answers: Mutex::new(answers.into()), ..State::default() });
        let mut builder = Server::builder();
        if let Some(identity) = identity {
            builder = builder.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        }
        let serving = builder
            .add_service(Profiles(Arc::clone(&state)))
            .serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { state, address, task }
    }

    /// Stops and frees the address.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.address
    }

    pub(crate) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    pub(crate) fn attempts(&self) -> usize {
        self.state.times.lock().unwrap().len()
    }

    pub(crate) fn times(&self) -> Vec<Instant> {
        self.state.times.lock().unwrap().clone()
    }
}

/// `google.rpc.Status` with a `google.rpc.RetryInfo`, written by hand as a server would send it.
pub(crate) fn retry_info(delay: Duration) -> Bytes {
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }
    let mut nanos = vec![2 << 3];
    prost::encoding::encode_varint(u64::from(delay.subsec_nanos()), &mut nanos);
    let any = [field(1, b"type.googleapis.com/google.rpc.RetryInfo"), field(2, &field(1, &nanos))].concat();
    field(3, &any).into()
}

#[derive(Clone)]
struct Profiles(Arc<State>);

impl NamedService for Profiles {
    const NAME: &'static str = "opentelemetry.proto.collector.profiles.v1development.ProfilesService";
}

impl Service<http::Request<tonic::body::Body>> for Profiles {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let export = Export { state: Arc::clone(&self.0), headers: request.headers().clone() };
        assert_eq!(request.uri().path(), format!("/{}/Export", Self::NAME));
        Box::pin(async move {
            let grpc = tonic::server::Grpc::new(Raw);
            let mut grpc = grpc
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd);
            Ok(grpc.unary(export, request).await)
        })
    }
}

struct Export {
    state: Arc<State>,
    headers: http::HeaderMap,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (state, headers) = (Arc::clone(&self.state), self.headers.clone());
        Box::pin(async move {
            state.times.lock().unwrap().push(Instant::now());
            if let Some(status) = state.answers.lock().unwrap().pop_front() {
                return Err(status);
            }
            let decoded = ExportProfilesServiceRequest::decode(request.into_inner());
            let decoded = decoded.map_err(|error| Status::invalid_argument(error.to_string()))?;
            state.received.lock().unwrap().push((headers, decoded));
            Ok(Response::from_parts(MetadataMap::new(), Bytes::new(), Default::default()))
        })
    }
}

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
