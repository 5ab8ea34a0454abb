//! Bodies stream in both directions, untouched and without being gathered; upgrades are tunnelled.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::{exchange, read_head, read_reply};
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

/// A proxy, a caller's connection to it, and the raw upstream's listener.
async fn scene() -> (Vicar, TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let route = format!("- {{ name: r, listener: l, token: strip, upstream: '{url}' }}");
    let vicar = Vicar::without_client(&route);
    let caller = TcpStream::connect(vicar.address()).await.expect("connects");
    (vicar, caller, listener)
}

/// Accepts the proxy's connection and reads the request head.
async fn accept(listener: &TcpListener) -> (TcpStream, String) {
    let accepted = tokio::time::timeout(Duration::from_secs(5), listener.accept()).await;
    let (mut stream, _) = accepted.expect("in time").expect("a connection");
    let head = read_head(&mut stream).await;
    (stream, head)
}

async fn read_some(stream: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut bytes)).await;
    read.expect("in time").expect("bytes");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[tokio::test]
async fn each_piece_passes_before_the_next_is_sent_in_both_directions() {
    let (_vicar, mut caller, listener) = scene().await;
    let head = b"POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
    caller.write_all(head).await.expect("sends");
    let (mut upstream, head) = accept(&listener).await;
    assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
    read_some(&mut upstream, "3\r\none\r\n").await;
    caller.write_all(b"3\r\ntwo\r\n").await.expect("sends");
    read_some(&mut upstream, "3\r\ntwo\r\n").await;
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n";
    upstream.write_all(answer).await.expect("sends");
    let head = read_head(&mut caller).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    read_some(&mut caller, "4\r\nfour\r\n").await;
    // The upload goes on while the answer is already coming.
    caller.write_all(b"5\r\nthree\r\n0\r\n\r\n").await.expect("sends");
    read_some(&mut upstream, "5\r\nthree\r\n0\r\n\r\n").await;
    upstream.write_all(b"4\r\nfive\r\n0\r\n\r\n").await.expect("sends");
    read_some(&mut caller, "4\r\nfive\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let (_vicar, mut caller, listener) = scene().await;
    let request = b"POST / HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntrailer: x-sum\r\n\
        transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n";
    caller.write_all(request).await.expect("sends");
    let (mut upstream, head) = accept(&listener).await;
    assert!(head.to_ascii_lowercase().contains("te: trailers"), "{head}");
    read_some(&mut upstream, "2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n").await;
    let answer = b"HTTP/1.1 200 OK\r\ntrailer: x-end\r\ntransfer-encoding: chunked\r\n\r\n\
        2\r\ncd\r\n0\r\nx-end: 9\r\n\r\n";
    upstream.write_all(answer).await.expect("sends");
    let reply = read_reply(&mut caller).await;
    assert_eq!(reply.body, "cdx-end: 9\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_binary_bodies_arrive_unchanged() {
    let upstream = Upstream::answering(|seen| http::Response::new(seen.body.clone().into())).await;
    let route =
        format!("- {{ name: r, listener: l, token: strip, upstream: '{}' }}", upstream.url());
    let vicar = Vicar::without_client(&route);
    let body: Vec<u8> = (0..20_000_000_u32).map(|i| (i ^ (i >> 9)) as u8).collect();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    for http2 in [false, true] {
        let client =
            client.clone().http2_only(http2).build_http::<http_body_util::Full<bytes::Bytes>>();
        let request = http::Request::post(format!("http://{}/", vicar.address()));
        let request = request.body(body.clone().into()).expect("a request");
        let response = client.request(request).await.expect("a response");
        let echoed = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body");
        assert!(echoed.to_bytes() == body, "the body changed on its way (http2: {http2})");
    }
}

#[tokio::test]
async fn a_slow_reader_holds_back_the_upstream_instead_of_filling_memory() {
    let (_vicar, mut caller, listener) = scene().await;
    caller.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sends");
    let (mut upstream, _) = accept(&listener).await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
    upstream.write_all(head).await.expect("sends");
    // Nobody reads at the caller's end: the upstream must soon be unable to send more.
    let chunk = vec![0; 1 << 20];
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(500), upstream.write_all(&chunk)).await.is_ok()
    {
        sent += 1;
        assert!(sent < 64, "{sent} MiB were taken though nobody reads");
    }
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_tunnelled_after_101_and_not_before() {
    let (_vicar, mut caller, listener) = scene().await;
    // Bytes that come too early wait.
    caller.write_all(format!("{UPGRADE}early").as_bytes()).await.expect("sends");
    let (mut upstream, head) = accept(&listener).await;
    let head = head.to_ascii_lowercase();
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"));
    assert!(head.contains("sec-websocket-key"), "{head}");
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), upstream.read(&mut byte)).await;
    assert!(early.is_err(), "the caller's bytes must wait for 101");
    let switch =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello";
    upstream.write_all(switch).await.expect("sends");
    let reply = read_head(&mut caller).await.to_ascii_lowercase();
    assert!(reply.starts_with("http/1.1 101") && reply.contains("upgrade: websocket"), "{reply}");
    read_some(&mut caller, "hello").await;
    read_some(&mut upstream, "early").await;
    // Not text: a tunnel carries bytes.
    caller.write_all(b"\x81\x00\xff").await.expect("sends");
    let mut bytes = [0; 3];
    upstream.read_exact(&mut bytes).await.expect("bytes");
    assert_eq!(bytes, *b"\x81\x00\xff");
    drop(upstream);
    assert_eq!(caller.read(&mut bytes).await.expect("a clean end"), 0);
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let (_vicar, mut caller, listener) = scene().await;
    let upstream = tokio::spawn(async move {
        let (mut upstream, _) = accept(&listener).await;
        let answer = b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno";
        upstream.write_all(answer).await.expect("sends");
        upstream
    });
    let reply = exchange(&mut caller, UPGRADE).await;
    assert_eq!((reply.status, reply.body.as_str()), (426, "no"));
    drop(upstream.await);
}

#[tokio::test]
async fn a_get_with_a_body_of_unknown_length_keeps_its_body() {
    let (_vicar, mut caller, listener) = scene().await;
    let request = b"GET /search HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\nquery\r\n0\r\n\r\n";
    caller.write_all(request).await.expect("sends");
    let (mut upstream, head) = accept(&listener).await;
    assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
    read_some(&mut upstream, "5\r\nquery\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn trailers_cannot_pose_as_a_credential_or_as_identity() {
    let upstream = Upstream::start().await;
    let authority = crate::support::authority::Authority::start().await;
    let settings = format!("{{ url: '{}', protocol: http2 }}", upstream.url());
    let route = format!(
        "- {{ {}, inject: {{ header: X-Api-Token, scheme: '' }}, upstream: {settings} }}",
        crate::support::vicar::TOKEN_ROUTE
    );
    let vicar = Vicar::with_client(&authority.token_endpoint(), &route);
    let request = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\
        te: trailers\r\n\r\n2\r\nab\r\n0\r\nx-api-token: theirs\r\nauthorization: theirs\r\n\
        x-forwarded-for: 9.9.9.9\r\nx-sum: 7\r\n\r\n";
    assert_eq!(crate::support::client::send(&vicar.address(), request).await.status, 200);
    let trailers = upstream.last().trailers.expect("trailers");
    let names: Vec<_> = trailers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-sum"]);
}
