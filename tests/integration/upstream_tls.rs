//! Upstreams over TLS: verified, with our own roots and certificate, and through forward proxies.

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::client::{get, read_head};
use crate::support::pki::Pki;
use crate::support::vicar::Vicar;

/// A TLS upstream for `localhost` that answers with its HTTP version and how many certificates the
/// caller showed.
async fn upstream(pki: &Pki, wants_certificate: bool) -> String {
    upstream_named(pki, "localhost", wants_certificate).await
}

/// The same under another name, which only a proxy can reach.
async fn upstream_named(pki: &Pki, name: &str, wants_certificate: bool) -> String {
    pki.issue("server", name);
    let key = std::fs::read_to_string(pki.path("server.key")).expect("a key").into();
    let certificate = pki.path("server.crt");
    let identity =
        vicar::identity::Identity::load(certificate.as_ref(), &key).expect("an identity");
    let builder = rustls::ServerConfig::builder_with_provider(vicar::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = if wants_certificate {
        let mut roots = rustls::RootCertStore::empty();
        let ca = vicar::identity::certificates(pki.path("ca.crt").as_ref()).expect("a CA");
        roots.add(ca[0].clone()).expect("a root");
        let provider = vicar::tls::provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder
        .with_single_cert(identity.chain.clone(), identity.key.der().clone_key())
        .expect("a config");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
    format!("https://{name}:{port}")
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
            let service = hyper::service::service_fn(move |request: http::Request<_>| async move {
                let _: &http::Request<hyper::body::Incoming> = &request;
                let text = format!("{:?} {shown}", request.version());
                let body = http_body_util::Full::<bytes::Bytes>::from(text);
                Ok::<_, std::convert::Infallible>(http::Response::new(body))
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn vicar_with(settings: &str) -> Vicar {
    let route = format!("- {{ name: r, listener: l, token: strip, upstream: {{ {settings} }} }}");
    Vicar::without_client(&route)
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_502_and_one_of_ours_is_not() {
    let pki = Pki::new();
    let url = upstream(&pki, false).await;
    let reply = get(&vicar_with(&format!("url: '{url}'")).address(), "/", "").await;
    assert_eq!((reply.status, reply.reason().as_str()), (502, "upstream_unreachable"));
    let ca = pki.path("ca.crt");
    for (protocol, answer) in
        [("auto", "HTTP/2.0 0"), ("http1", "HTTP/1.1 0"), ("http2", "HTTP/2.0 0")]
    {
        let settings = format!("url: '{url}', ca: {{ file: '{ca}' }}, protocol: {protocol}");
        let reply = get(&vicar_with(&settings).address(), "/", "").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, answer));
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_502() {
    let pki = Pki::new();
    let url = upstream(&pki, false).await.replace("localhost", "127.0.0.1");
    let settings = format!("url: '{url}', ca: {{ file: '{}' }}", pki.path("ca.crt"));
    assert_eq!(get(&vicar_with(&settings).address(), "/", "").await.status, 502);
}

#[tokio::test]
async fn our_certificate_is_shown_to_upstreams_that_ask() {
    let pki = Pki::new();
    let url = upstream(&pki, true).await;
    pki.issue("client", "vicar");
    let ca = pki.path("ca.crt");
    let settings = format!("url: '{url}', ca: {{ file: '{ca}' }}");
    assert_eq!(get(&vicar_with(&settings).address(), "/", "").await.status, 502);
    let settings = format!(
        "{settings}, client_certificate: {{ certificate: {{ file: '{}' }}, private_key: \
         {{ file: '{}' }} }}",
        pki.path("client.crt"),
        pki.path("client.key"),
    );
    let reply = get(&vicar_with(&settings).address(), "/", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "HTTP/2.0 1"));
}

/// A forward proxy that takes CONNECT and remembers the heads it was sent.
async fn forward_proxy() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (heads, seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let heads = heads.clone();
            tokio::spawn(async move {
                let head = read_head(&mut caller).await;
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let is_tunnel = head.starts_with("CONNECT");
                heads.send(head).expect("somebody listens");
                if !is_tunnel {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy";
                    let _ = caller.write_all(answer).await;
                    let _ = caller.read_u8().await;
                    return;
                }
                // Whatever it is called, it is here.
                let port = target.rsplit(':').next().unwrap_or_default();
                let origin = format!("127.0.0.1:{port}");
                let mut origin = TcpStream::connect(origin).await.expect("connects");
                caller.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("sends");
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut origin).await;
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_forward_proxy_gets_connect_for_https_and_absolute_form_for_http() {
    let pki = Pki::new();
    let url = upstream_named(&pki, "upstream.test", false).await;
    let (proxy, mut heads) = forward_proxy().await;
    let settings = format!(
        "url: '{url}', ca: {{ file: '{}' }}, proxy: 'http://u:p@{proxy}'",
        pki.path("ca.crt")
    );
    assert_eq!(get(&vicar_with(&settings).address(), "/", "").await.body, "HTTP/2.0 0");
    let head = heads.recv().await.expect("a head").to_ascii_lowercase();
    assert!(head.starts_with(&format!("connect {} http/1.1", &url[8..])), "{head}");
    assert!(head.contains("proxy-authorization: basic dtpw"), "{head}");

    let settings = format!("url: 'http://plain.test:81/x', proxy: 'http://u:p@{proxy}'");
    assert_eq!(get(&vicar_with(&settings).address(), "/y?z", "").await.body, "proxy");
    let head = heads.recv().await.expect("a head").to_ascii_lowercase();
    assert!(head.starts_with("get http://plain.test:81/x/y?z http/1.1"), "{head}");
    assert!(head.contains("proxy-authorization: basic dtpw"), "{head}");
}
