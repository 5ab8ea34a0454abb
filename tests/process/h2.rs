//! HTTP/2 with prior knowledge: a well-behaved client (hyper's), and frames made by hand.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// An open connection and the runtime that drives it.
#[derive(Debug)]
pub(crate) struct Http2 {
    runtime: Runtime,
    requests: http2::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<()>,
}

/// An answer: its status, and its fields and body as bytes.
#[derive(Debug)]
pub(crate) struct Http2Answer {
    pub(crate) status: u16,
    pub(crate) raw: Vec<u8>,
}

impl Http2 {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (requests, connection) = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (requests, connection) = shaken.expect("an HTTP/2 handshake");
            // How the connection ended is not judged; that it ended is.
            (requests, tokio::spawn(async move { drop(connection.await) }))
        });
        Self { runtime, requests, connection }
    }

    pub(crate) fn get(&mut self, url: &str, fields: &[(&str, &str)]) -> Http2Answer {
        let mut request = http::Request::get(url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).expect("a request");
        self.runtime.block_on(async {
            self.requests.ready().await.expect("an open connection");
            let response = self.requests.send_request(request).await.expect("an answer");
            let (parts, body) = response.into_parts();
            let mut raw = Vec::new();
            for (name, value) in &parts.headers {
                raw.extend_from_slice(
                    &[name.as_str().as_bytes(), b": ", value.as_bytes()].concat(),
                );
                raw.push(b'\n');
            }
            raw.extend_from_slice(&body.collect().await.expect("a whole body").to_bytes());
            Http2Answer { status: parts.status.as_u16(), raw }
        })
    }

    /// Whether the other side has closed the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }
}

/// The client's connection preface with empty SETTINGS (RFC 9113 section 3.4).
pub(crate) fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, &[])].concat()
}

/// One frame (RFC 9113 section 4.1).
pub(crate) fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let head = [length[1], length[2], length[3], kind, 0, 0, 0, 0, stream];
    [&head, payload].concat()
}

/// A GOAWAY that blames an internal error and says why (RFC 9113 section 6.8).
pub(crate) fn goaway(debug_data: &[u8]) -> Vec<u8> {
    let last_stream_and_code = [0, 0, 0, 0, 0, 0, 0, 2];
    frame(GOAWAY, 0, &[&last_stream_and_code, debug_data].concat())
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

/// The flag of a HEADERS frame that holds the whole head.
pub(crate) const END_HEADERS: u8 = 4;
