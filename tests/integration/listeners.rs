//! Listeners: TLS with reload, ALPN, Unix sockets, limits, patience and drain.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::support::client::{exchange, get, read_reply, send};
use crate::support::eventually;
use crate::support::pki::Pki;
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// Starts with one listener `l` of these settings and one route to `upstream`.
fn vicar(listener: &str, upstream: &str) -> Vicar {
    Vicar::start(&format!(
        "runtime: {{ workers: 2 }}\nlog: {{ access: false }}\nshutdown: {{ grace: 5s }}\n\
         admin: {{ address: 'off' }}\nlisteners:\n  l: {{ {listener} }}\nroutes:\n  \
         - {{ name: r, listener: l, token: strip, upstream: '{upstream}' }}\n"
    ))
}

fn tls_listener(pki: &Pki, extra: &str) -> String {
    format!(
        "address: '127.0.0.1:0', tls: {{ certificate: {{ file: '{}' }}, private_key: {{ file: '{}' }} \
         {extra} }}",
        pki.path("tls.crt"),
        pki.path("tls.key")
    )
}

#[tokio::test]
async fn tls_offers_http2_and_http1_and_takes_up_a_new_certificate() {
    let (pki, upstream) = (Pki::new(), Upstream::start().await);
    pki.issue("tls", "localhost");
    let vicar = vicar(&tls_listener(&pki, ""), upstream.url());
    let (stream, first) =
        pki.connect(&vicar.address(), &["h2", "http/1.1"], None).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut stream, _) = pki.connect(&vicar.address(), &["http/1.1"], None).await.expect("TLS");
    assert_eq!(exchange(&mut stream, REQUEST).await.status, 200);
    assert_eq!(upstream.last().values("x-forwarded-proto"), ["https"]);

    // A half-written certificate changes nothing; a new pair is taken up without a restart.
    std::fs::write(pki.path("tls.crt"), "-----BEGIN CERTIFICATE-----\nAAA").expect("writes");
    tokio::time::sleep(Duration::from_millis(5500)).await;
    let (_, still) = pki.connect(&vicar.address(), &["http/1.1"], None).await.expect("TLS");
    assert_eq!(first, still);
    pki.issue("tls", "localhost");
    let started = Instant::now();
    loop {
        let (_, now) = pki.connect(&vicar.address(), &["http/1.1"], None).await.expect("TLS");
        if now != first {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "the certificate was not reloaded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The connection from before is still good.
    assert_eq!(exchange(&mut stream, REQUEST).await.status, 200);
}

#[tokio::test]
async fn with_a_client_ca_only_callers_with_a_certificate_get_in() {
    let (pki, upstream) = (Pki::new(), Upstream::start().await);
    pki.issue("tls", "localhost");
    pki.issue("caller", "caller");
    let extra = format!(", client_ca: {{ file: '{}' }}", pki.path("ca.crt"));
    let vicar = vicar(&tls_listener(&pki, &extra), upstream.url());
    let (mut stream, _) =
        pki.connect(&vicar.address(), &["http/1.1"], Some("caller")).await.expect("TLS");
    assert_eq!(exchange(&mut stream, REQUEST).await.status, 200);
    // With TLS 1.3 the refusal may only show when something is read.
    if let Ok((mut stream, _)) = pki.connect(&vicar.address(), &["http/1.1"], None).await {
        let _ = stream.write_all(REQUEST.as_bytes()).await;
        let read = stream.read(&mut [0; 16]).await;
        assert!(!matches!(read, Ok(1..)), "a caller without certificate got an answer");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_unix_socket_serves_and_a_stale_one_is_replaced() {
    let upstream = Upstream::start().await;
    let path = std::env::temp_dir().join(format!("vicar-{:x}.sock", fastrand::u64(..)));
    for _ in 0..2 {
        let vicar = vicar(&format!("address: 'unix:{}'", path.display()), upstream.url());
        let mut stream = UnixStream::connect(&path).await.expect("connects");
        assert_eq!(exchange(&mut stream, REQUEST).await.status, 200);
        assert!(upstream.last().values("x-forwarded-for").is_empty());
        assert!(vicar.stop().join().expect("stops"));
        assert!(path.exists(), "left behind, as after a crash");
    }
    std::fs::remove_file(&path).expect("removes");
}

#[tokio::test]
async fn a_taken_port_is_named_and_nothing_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("bound");
    for workers in [1, 2] {
        let yaml = format!(
            "runtime: {{ workers: {workers} }}\nadmin: {{ address: 'off' }}\nlisteners: \
             {{ l: {{ address: '{address}' }} }}\nroutes: [{{ name: r, listener: l, token: strip, \
             upstream: 'http://127.0.0.1:9' }}]\n"
        );
        let config = vicar::config::parse("t", &yaml, &|_| None).expect("good");
        let error =
            vicar::app::App::start(config, vicar::clock::Clock::system()).expect_err("taken");
        let text = error.to_string();
        assert!(text.contains(&address.to_string()) && text.contains("another process"), "{text}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_and_a_pause_between_requests_is_not() {
    let upstream = Upstream::start().await;
    let limits = "address: '127.0.0.1:0', timeouts: { header: 500ms, idle: 3s }";
    let vicar = vicar(limits, upstream.url());
    let mut slow = TcpStream::connect(vicar.address()).await.expect("connects");
    let mut patient = TcpStream::connect(vicar.address()).await.expect("connects");
    slow.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nx-").await.expect("sends");
    assert_eq!(exchange(&mut patient, REQUEST).await.status, 200);
    let started = Instant::now();
    assert!(!matches!(slow.read(&mut [0; 64]).await, Ok(1..)), "an answer to half a head");
    let cut_after = started.elapsed();
    assert!(cut_after < Duration::from_millis(1500), "cut only after {cut_after:?}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(exchange(&mut patient, REQUEST).await.status, 200, "the pause was counted");
    // In the end idleness closes it too.
    let started = Instant::now();
    assert_eq!(patient.read(&mut [0; 64]).await.expect("a clean end"), 0);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn request_heads_are_bounded() {
    let upstream = Upstream::start().await;
    let limits = "address: '127.0.0.1:0', limits: { header_bytes: 8KiB, headers: 20 }";
    let vicar = vicar(limits, upstream.url());
    let close = "connection: close\r\n\r\n";
    let large = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n{close}", "a".repeat(9000));
    assert_eq!(send(&vicar.address(), &large).await.status, 431);
    let many = format!("GET / HTTP/1.1\r\nhost: h\r\n{}{close}", "x: a\r\n".repeat(30));
    assert_eq!(send(&vicar.address(), &many).await.status, 431);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_room() {
    let upstream = Upstream::start().await;
    let vicar = vicar("address: '127.0.0.1:0', limits: { connections: 2 }", upstream.url());
    let mut first = TcpStream::connect(vicar.address()).await.expect("connects");
    let mut second = TcpStream::connect(vicar.address()).await.expect("connects");
    assert_eq!(exchange(&mut first, REQUEST).await.status, 200);
    assert_eq!(exchange(&mut second, REQUEST).await.status, 200);
    let mut third = TcpStream::connect(vicar.address()).await.expect("the kernel's queue");
    third.write_all(REQUEST.as_bytes()).await.expect("sends");
    let early = tokio::time::timeout(Duration::from_millis(300), third.read_u8()).await;
    assert!(early.is_err(), "a third connection was served beside two");
    drop((first, second));
    assert_eq!(read_reply(&mut third).await.status, 200);
}

#[tokio::test]
async fn drain_finishes_what_runs_and_takes_nothing_new() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let vicar = vicar("address: '127.0.0.1:0'", &url);
    let address = vicar.address();
    let mut idle = TcpStream::connect(&address).await.expect("connects");
    let running = tokio::spawn({
        let address = address.clone();
        async move { get(&address, "/", "").await }
    });
    let (mut upstream, _) = listener.accept().await.expect("the running request");
    let stopping = vicar.stop();
    assert_eq!(idle.read(&mut [0; 8]).await.expect("a clean end"), 0, "idle ones are closed");
    eventually("no new connections", || std::net::TcpStream::connect(&address).is_err()).await;
    assert!(!stopping.is_finished(), "it must wait for the running request");
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate";
    upstream.write_all(answer).await.expect("sends");
    let reply = running.await.expect("a reply");
    assert_eq!((reply.status, reply.body.as_str()), (200, "late"));
    assert!(stopping.join().expect("stops"), "nothing was cut off");
}

#[tokio::test]
async fn a_caller_that_takes_nothing_of_its_response_is_cut_off() {
    let upstream = Upstream::answering(|_| http::Response::new(vec![0; 50_000_000].into())).await;
    let listener = "address: '127.0.0.1:0', timeouts: { header: 1s, idle: 600ms }";
    let vicar = vicar(listener, upstream.url());
    let mut greedy = TcpStream::connect(vicar.address()).await.expect("connects");
    greedy.write_all(REQUEST.as_bytes()).await.expect("sends");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let mut taken = Vec::new();
    let _ = greedy.read_to_end(&mut taken).await;
    assert!(taken.len() < 50_000_000, "it was kept waiting for");
}

#[tokio::test]
async fn a_request_that_was_sent_before_the_drain_began_is_answered() {
    let upstream = Upstream::start().await;
    for _ in 0..20 {
        let vicar = vicar("address: '127.0.0.1:0'", upstream.url());
        let mut caller = std::net::TcpStream::connect(vicar.address()).expect("connects");
        std::io::Write::write_all(&mut caller, REQUEST.as_bytes()).expect("sends");
        let stopping = vicar.stop();
        caller.set_nonblocking(true).expect("non-blocking");
        let mut caller = TcpStream::from_std(caller).expect("registers");
        assert_eq!(read_reply(&mut caller).await.status, 200);
        assert!(stopping.join().expect("stops"), "nothing was cut off");
    }
}

#[tokio::test]
async fn a_tunnel_keeps_its_place_under_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let vicar = vicar("address: '127.0.0.1:0', limits: { connections: 1 }", &url);
    let mut tunnel = TcpStream::connect(vicar.address()).await.expect("connects");
    let ask = "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    tunnel.write_all(ask.as_bytes()).await.expect("sends");
    let (mut upstream, _) = listener.accept().await.expect("a connection");
    crate::support::client::read_head(&mut upstream).await;
    let switch =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    upstream.write_all(switch).await.expect("sends");
    assert_eq!(read_reply(&mut tunnel).await.status, 101);
    let mut second = TcpStream::connect(vicar.address()).await.expect("the kernel's queue");
    second.write_all(REQUEST.as_bytes()).await.expect("sends");
    let served = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
    assert!(served.is_err(), "served beside a tunnel though the limit is one");
    drop((tunnel, upstream));
    let served = tokio::time::timeout(Duration::from_secs(5), listener.accept()).await;
    assert!(served.is_ok(), "the tunnel's place was not given back");
}
