//! Credentials and TLS.

use std::process::Command;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Code;

use crate::common::{EXPORT, start};

#[tokio::test]
async fn whoever_has_no_credentials_is_turned_away_at_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials");
    std::fs::write(&file, "# agents\nbearer abc123\nbasic grafana:secret\n").unwrap();
    let server = start("", &[&format!("--auth.credentials-file={}", file.display())]).await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/types"),
        ("POST", "/ingest?name=a"),
        ("POST", "/v1development/profiles"),
        ("POST", "/push.v1.PusherService/Push"),
        ("POST", "/querier.v1.QuerierService/ProfileTypes"),
        ("GET", "/nonsense"),
    ] {
        let answer = server.send(method, path, &[], "").await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"hearth\"");
        let wrong = [("authorization", "Bearer abc124")];
        assert_eq!(server.send(method, path, &wrong, "").await.status, 401, "{method} {path}");
    }
    let status = server.grpc(EXPORT, Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(server.get("/ready").await.status, 200);
    for value in ["Bearer abc123", "Basic Z3JhZmFuYTpzZWNyZXQ="] {
        let answer = server.send("GET", "/api/v1/types", &[("authorization", value)], "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn the_server_speaks_tls_with_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args([
            std::ffi::OsStr::new("-keyout"),
            key.as_os_str(),
            std::ffi::OsStr::new("-out"),
            cert.as_os_str(),
        ])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("skipped: no openssl to make a certificate with");
        return;
    }
    let flags = [
        format!("-server.http-tls-cert-path={}", cert.display()),
        format!("-server.http-tls-key-path={}", key.display()),
    ];
    let server = start("", &[&flags[0], &flags[1]]).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&cert).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(server.server.local_addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ready\n"), "{answer}");
    // Without TLS there is no answer.
    let mut plain = TcpStream::connect(server.server.local_addr()).await.unwrap();
    plain.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"));
}

#[tokio::test]
async fn wrong_files_keep_the_server_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let empty = file("empty", "");
    let overrides = file("overrides", "overrides:\n  a:\n    max_label_nmes_per_series: 3\n");
    for (flags, want) in [
        (vec![format!("--auth.credentials-file={empty}")], "it has no credentials"),
        (vec![format!("-server.http-tls-cert-path={empty}")], "TLS needs both a certificate"),
        (
            vec![format!("-server.http-tls-cert-path={empty}"), format!("-server.http-tls-key-path={empty}")],
            "it has no certificate",
        ),
        (
            vec![format!("-runtime-config.file={overrides}")],
            "line 3: unknown key max_label_nmes_per_series of tenant a; did you mean max_label_names_per_series?",
        ),
        (vec!["-runtime-config.file=/nowhere".to_owned()], "/nowhere: No such file"),
    ] {
        let mut args =
            vec!["--listen=127.0.0.1:0".to_owned(), format!("--data={}/data", dir.path().display())];
        args.extend(flags);
        let config = hearth_server::Config::from_args(args.into_iter().map(Into::into)).unwrap();
        let error = hearth_server::Server::start(config).await.err().unwrap().to_string();
        assert!(error.contains(want), "{error}");
    }
}
