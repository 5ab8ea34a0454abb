//! A caller that writes exactly the bytes it is told and reads one answer.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// One answer over HTTP/1.1.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// The value of a header; it must not be repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.trim());
        assert!(values.next().is_none(), "{name} is repeated: {}", self.head);
        value
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The `reason` of a problem, checking what every problem must have.
    pub fn reason(&self) -> String {
        let problem = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        problem["reason"].as_str().expect("a reason").to_owned()
    }
}

/// GETs `path` with Host `h` and further header lines, each ending in CRLF.
pub async fn get(address: &str, path: &str, headers: &str) -> Reply {
    send(address, &format!("GET {path} HTTP/1.1\r\nhost: h\r\n{headers}connection: close\r\n\r\n"))
        .await
}

/// Sends raw bytes on a connection of their own and reads one answer.
pub async fn send(address: &str, request: &str) -> Reply {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    exchange(&mut stream, request).await
}

/// Sends raw bytes and reads one answer; the connection stays usable if both sides keep it.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> Reply {
    stream.write_all(request.as_bytes()).await.expect("sends");
    let answer = tokio::time::timeout(PATIENCE, read_reply(stream)).await;
    answer.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?} to {request:?}"))
}

/// Reads one answer: by Content-Length, by chunks, or to the end.
pub async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Reply {
    let head = read_head(stream).await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut reply = Reply { status, head, body: String::new() };
    let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let body = match (reply.header("transfer-encoding"), length) {
        (Some(_), _) => read_chunks(stream).await,
        (None, Some(length)) => {
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.expect("the whole body");
            body
        }
        (None, None) if status == 101 || status == 204 => Vec::new(),
        (None, None) => {
            let mut body = Vec::new();
            let _ = stream.read_to_end(&mut body).await;
            body
        }
    };
    reply.body = String::from_utf8_lossy(&body).into_owned();
    reply
}

/// Reads up to the empty line; empty when the connection ends before.
pub async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn read_chunks<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.expect("a chunk size"));
        }
        let size = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        if size == 0 {
            // Trailers and the empty line.
            body.extend_from_slice(read_trailers(stream).await.as_bytes());
            return body;
        }
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).await.expect("a whole chunk");
        body.extend_from_slice(&chunk[..size]);
    }
}

/// Trailer lines, which the tests that want them find at the end of the body.
async fn read_trailers<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut lines = String::new();
    loop {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(char::from(stream.read_u8().await.expect("the end of the body")));
        }
        if line == "\r\n" {
            return lines;
        }
        lines.push_str(&line);
    }
}

const PATIENCE: Duration = Duration::from_secs(15);
