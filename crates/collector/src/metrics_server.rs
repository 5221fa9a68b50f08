//! The Prometheus endpoint: `GET /metrics` over HTTP/1.1, nothing else.
//!
//! A scrape a minute needs no web framework. Requests are bounded in size, time and number.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::Metrics;

const HEAD_BYTES_MAX: usize = 8 << 10;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
const REQUESTS_MAX: usize = 16;

/// A running endpoint; dropping it closes the port.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    address: std::net::SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MetricsServer {
    pub(crate) async fn start(host: &str, port: u16, metrics: Metrics) -> std::io::Result<Self> {
        let listener = TcpListener::bind((host, port)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let free = Arc::new(Semaphore::new(REQUESTS_MAX));
            loop {
                let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let metrics = metrics.clone();
                        tokio::spawn(async move {
                            // A scraper that went away or is too slow gets nothing; there is nobody to tell.
                            let _ = tokio::time::timeout(REQUEST_TIME_MAX, answer(stream, &metrics)).await;
                            drop(permit);
                        });
                    }
                    // Out of file descriptors, usually: let others finish first.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        Ok(Self { address, task })
    }

    pub(crate) fn local_addr(&self) -> std::net::SocketAddr {
        self.address
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 || head.len() + read > HEAD_BYTES_MAX {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", metrics.render()),
        ("GET" | "HEAD", _) => ("404 Not Found", "404 page not found\n".into()),
        _ => ("405 Method Not Allowed", "only GET /metrics is served here\n".into()),
    };
    let length = body.len();
    let body = if method == "HEAD" { String::new() } else { body };
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn metrics_are_served_and_nothing_else() {
        let metrics = Metrics::new("hearth", "1", "i");
        let server = MetricsServer::start("127.0.0.1", 0, metrics).await.unwrap();
        let address = server.local_addr();
        let response = get(address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.contains("otelcol_process_uptime"), "{response}");
        assert!(get(address, "GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        assert!(get(address, "POST /metrics HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405"));
    }
}
