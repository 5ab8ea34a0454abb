//! Upstreams that refuse, reset, hang or talk nonsense: an answer each, never a hang.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::{Reply, get, send};
use crate::support::vicar::Vicar;

/// What a misbehaving upstream does with a connection after it read the request head.
#[derive(Clone, Copy)]
enum Fault {
    Close,
    Hang,
    Say(&'static str),
}

/// Calls through a route to an upstream with that fault.
async fn call(fault: Fault) -> Reply {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(misbehave(stream, fault));
        }
    });
    let vicar = Vicar::without_client(&route(&format!("http://{address}")));
    get(&vicar.address(), "/", "").await
}

async fn misbehave(mut stream: TcpStream, fault: Fault) {
    let mut head = [0; 1024];
    let _ = stream.read(&mut head).await;
    match fault {
        Fault::Close => {}
        Fault::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
        Fault::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
    }
}

fn route(upstream: &str) -> String {
    format!(
        "- {{ name: r, listener: l, token: strip, timeouts: {{ response: 300ms, connect: 300ms, \
         idle: 300ms }}, upstream: '{upstream}' }}"
    )
}

#[tokio::test]
async fn a_refused_connection_is_502() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().unwrap();
    let vicar = Vicar::without_client(&route(&format!("http://{closed}")));
    let reply = get(&vicar.address(), "/", "").await;
    assert_eq!((reply.status, reply.reason().as_str()), (502, "upstream_unreachable"));
    assert!(!reply.body.contains(&closed.to_string()), "the answer names no host");
}

#[tokio::test]
async fn a_reset_and_nonsense_are_502() {
    for fault in [
        Fault::Close,
        Fault::Say("nonsense\r\n\r\n"),
        Fault::Say("HTTP/1.1 200 OK\r\nbad header\r\n\r\n"),
        Fault::Say("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde"),
        Fault::Say("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ] {
        assert_eq!(call(fault).await.status, 502);
    }
}

#[tokio::test]
async fn a_hang_is_504_in_time() {
    let started = Instant::now();
    let reply = call(Fault::Hang).await;
    assert_eq!((reply.status, reply.reason().as_str()), (504, "upstream_timeout"));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_upstream_that_falls_silent_in_the_body_ends_the_response_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let vicar =
        Vicar::without_client(&route(&format!("http://{}", listener.local_addr().unwrap())));
    let caller = tokio::spawn({
        let address = vicar.address();
        async move {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            let request = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
            stream.write_all(request).await.expect("sends");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        }
    });
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut head = [0; 1024];
    let _ = stream.read(&mut head).await;
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    stream.write_all(half).await.expect("sends");
    let answer = tokio::time::timeout(Duration::from_secs(5), caller).await.expect("in time");
    let answer = answer.expect("a caller");
    // The caller can tell: fewer bytes than promised, and the connection is closed.
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("half"), "{answer}");
}

#[tokio::test]
async fn a_caller_that_falls_silent_in_its_body_gets_408() {
    let upstream = crate::support::upstream::Upstream::start().await;
    let vicar = Vicar::without_client(&route(upstream.url()));
    let request = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nhalf";
    let reply = send(&vicar.address(), request).await;
    assert_eq!((reply.status, reply.reason().as_str()), (408, "request_body_broken"));
}

#[tokio::test]
async fn a_long_upload_is_not_cut_and_the_response_limit_counts_from_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let vicar =
        Vicar::without_client(&route(&format!("http://{}", listener.local_addr().unwrap())));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"xxxxxxxx") {
            request.push(stream.read_u8().await.expect("the upload"));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.expect("answers");
    });
    let mut stream = TcpStream::connect(vicar.address()).await.expect("connects");
    let head = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 8\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.expect("sends");
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(140)).await;
        stream.write_all(b"x").await.expect("sends");
    }
    assert_eq!(crate::support::client::read_reply(&mut stream).await.status, 200);
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_of_a_large_upload_is_504() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let vicar =
        Vicar::without_client(&route(&format!("http://{}", listener.local_addr().unwrap())));
    let _silent = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    });
    let mut stream = TcpStream::connect(vicar.address()).await.expect("connects");
    let head = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100000000\r\n\r\n";
    stream.write_all(head).await.expect("sends");
    let (mut from_vicar, mut to_vicar) = stream.into_split();
    let upload = tokio::spawn(async move {
        let piece = vec![0; 1 << 20];
        while to_vicar.write_all(&piece).await.is_ok() {}
    });
    let reply = crate::support::client::read_reply(&mut from_vicar);
    let reply = tokio::time::timeout(Duration::from_secs(5), reply).await.expect("in time");
    assert_eq!((reply.status, reply.reason().as_str()), (504, "upstream_timeout"));
    upload.abort();
}

#[tokio::test]
async fn a_stale_pooled_connection_does_not_cost_a_request() {
    // Answers one request per connection, then closes it without saying so.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let vicar =
        Vicar::without_client(&route(&format!("http://{}", listener.local_addr().unwrap())));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            tokio::spawn(misbehave(stream, Fault::Say(answer)));
        }
    });
    for _ in 0..20 {
        assert_eq!(get(&vicar.address(), "/", "").await.status, 200);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
