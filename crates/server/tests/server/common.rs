//! A real server on a free port, and real clients.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes};
use hearth_profile::{
    FrameKind, Function, Line, Location, Mapping, Profile, ProfileBatch, ResourceProfiles, Sample, StackId,
    ValueType,
};
use hearth_server::{Config, Server};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
pub(crate) const EXPORT: &str =
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";

/// Nanoseconds of CPU time per sample in [`batch`].
pub(crate) const PERIOD: i64 = 10_000_000;

pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    _dir: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Starts a server; `yaml` is its configuration file, if not empty.
pub(crate) async fn start(yaml: &str, flags: &[&str]) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let mut args = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
    args.extend(["--data".to_owned(), dir.path().join("data").display().to_string()]);
    if !yaml.is_empty() {
        let path = dir.path().join("pyroscope.yaml");
        std::fs::write(&path, yaml).unwrap();
        args.push(format!("-config.file={}", path.display()));
    }
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let config = Config::from_args(args.into_iter().map(Into::into)).unwrap();
    let server = Server::start(config).await.unwrap();
    let url = format!("http://{}", server.local_addr());
    Running { server, url, client: Client::builder(TokioExecutor::new()).build_http(), _dir: dir }
}

/// A server with data elsewhere.
pub(crate) fn around(server: Server) -> Running {
    let url = format!("http://{}", server.local_addr());
    let client = Client::builder(TokioExecutor::new()).build_http();
    Running { server, url, client, _dir: tempfile::tempdir().unwrap() }
}

impl Running {
    /// Stops and starts again with the same data.
    pub(crate) async fn restart(self, flags: &[&str]) -> Self {
        let Self { server, client, _dir, .. } = self;
        server.shutdown().await.unwrap();
        let data = _dir.path().join("data").display().to_string();
        let args = ["--listen", "127.0.0.1:0", "--data", &data].into_iter().chain(flags.iter().copied());
        let server = Server::start(Config::from_args(args.map(Into::into)).unwrap()).await.unwrap();
        let url = format!("http://{}", server.local_addr());
        Self { server, url, client, _dir }
    }

    /// Where its data is.
    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self._dir.path().join("data")
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_to(&self.url, method, path, headers, body).await
    }

    /// The same to another address of the server.
    pub(crate) async fn send_to(
        &self,
        url: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(format!("{url}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Bytes::new()).await
    }

    /// A Connect call in JSON.
    pub(crate) async fn ask(&self, method: &str, request: serde_json::Value) -> Answer {
        let path = format!("/querier.v1.QuerierService/{method}");
        self.send("POST", &path, &[("content-type", "application/json")], request.to_string()).await
    }

    /// A Connect call in protobuf, compressed both ways.
    pub(crate) async fn ask_proto<R: prost::Message + Default>(
        &self,
        method: &str,
        request: &impl prost::Message,
    ) -> R {
        let path = format!("/querier.v1.QuerierService/{method}");
        let headers = [
            ("content-type", "application/proto"),
            ("content-encoding", "gzip"),
            ("accept-encoding", "gzip"),
            ("connect-protocol-version", "1"),
        ];
        let answer = self.send("POST", &path, &headers, gzip(&request.encode_to_vec())).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/proto"),
            "{}",
            answer.text()
        );
        let body =
            if answer.header("content-encoding") == "gzip" { gunzip(&answer.body) } else { answer.body };
        R::decode(&*body).unwrap()
    }

    /// A gRPC call.
    pub(crate) async fn grpc(&self, path: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        self.grpc_with(path, message, |client| client).await
    }

    pub(crate) async fn grpc_with(
        &self,
        path: &str,
        message: Vec<u8>,
        with: impl FnOnce(Grpc<Channel>) -> Grpc<Channel>,
    ) -> Result<Vec<u8>, Status> {
        let channel = Endpoint::from_shared(self.url.clone()).unwrap().connect().await.unwrap();
        let mut client = with(Grpc::new(channel).max_decoding_message_size(64 << 20));
        client.ready().await.unwrap();
        let path: PathAndQuery = path.parse().unwrap();
        Ok(client.unary(tonic::Request::new(message), path, Raw).await?.into_inner())
    }

    pub(crate) async fn export(&self, batch: &ProfileBatch) {
        let answer = self.grpc(EXPORT, hearth_codec::otlp::encode_request(batch)).await.unwrap();
        assert_eq!(answer, Vec::<u8>::new());
    }
}

/// Bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = source.remaining();
        Ok(Some(source.copy_to_bytes(length).to_vec()))
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    hearth_codec::pprof::gzip(bytes)
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut plain).unwrap();
    plain
}

pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A batch as the agent sends it: per entry a service's executable, a folded stack and samples.
pub(crate) fn batch(time_ms: i64, entries: &[(&str, &str, i64)]) -> ProfileBatch {
    let mut batch = ProfileBatch::default();
    for (index, &(executable, folded, samples)) in entries.iter().enumerate() {
        let filename = batch.dictionary.string(&format!("/usr/bin/{executable}"));
        let mapping = batch.dictionary.mapping(Mapping { filename, ..Mapping::default() });
        let stack = folded.split(';').fold(StackId::NONE, |caller, name| {
            let lines: Box<[Line]> = if let Some(address) = name.strip_prefix("0x") {
                let address = u64::from_str_radix(address, 16).unwrap();
                let location = Location { mapping, address, kind: FrameKind::Native, ..Location::default() };
                let location = batch.dictionary.location(location);
                return batch.dictionary.push(caller, location);
            } else {
                let name = batch.dictionary.string(name);
                let function = batch.dictionary.function(Function { name, ..Function::default() });
                [Line { function, ..Line::default() }].into()
            };
            let address = 0x1000 + index as u64;
            let location = Location { mapping, address, lines, kind: FrameKind::Native };
            let location = batch.dictionary.location(location);
            batch.dictionary.push(caller, location)
        });
        let mut resource = ResourceProfiles::default();
        resource.resource.set("process.pid", i64::try_from(index).unwrap() + 100);
        resource.resource.set("process.executable.name", executable);
        resource.resource.set("host.name", "host-1");
        resource.profiles.push(Profile {
            sample_type: ValueType::new("samples", "count"),
            period_type: ValueType::new("cpu", "nanoseconds"),
            period: PERIOD,
            time_unix_nano: u64::try_from(time_ms).unwrap() * 1_000_000,
            duration_nano: 5_000_000_000,
            samples: vec![Sample { stack, value: samples, ..Sample::default() }],
            ..Profile::default()
        });
        batch.resources.push(resource);
    }
    batch
}
