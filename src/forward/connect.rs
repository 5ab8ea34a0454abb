//! Opens connections to an upstream: directly or through a forward proxy, with TLS when the URL says
//! so, all within one time limit.
//!
//! Part of `forward`. TLS towards the upstream goes through a CONNECT tunnel; plain HTTP goes to the
//! proxy in absolute form (RFC 9112 section 3.2.2), as proxies expect.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::upstream::{Protocol, Upstream};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A forward proxy and what it wants to be shown.
#[derive(Clone, Debug)]
pub struct ProxyAddress {
    /// `http://host:port`.
    pub uri: Uri,
    /// `Proxy-Authorization`, when the proxy's URL holds a user and password.
    pub authorization: Option<HeaderValue>,
}

/// No connection within the limit.
#[derive(Debug, thiserror::Error)]
#[error("not connected within {0:?}")]
pub(super) struct ConnectTimedOut(pub(super) Duration);

/// Connects to one upstream.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Dial>,
    timeout: Duration,
}

impl Connector {
    /// A connector for `upstream` that speaks `protocol`.
    pub(super) fn new(upstream: &Upstream, protocol: Protocol) -> Self {
        let dial = Dial::new(upstream.proxy.as_ref());
        let tls = upstream.tls.clone().unwrap_or_else(no_trust);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let https = match protocol {
            Protocol::Auto => builder.enable_all_versions().wrap_connector(dial),
            Protocol::Http1 => builder.enable_http1().wrap_connector(dial),
            Protocol::Http2 => builder.enable_http2().wrap_connector(dial),
        };
        Self { https, timeout: upstream.connect_timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Dialled>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, timeout) = (self.https.call(uri), self.timeout);
        Box::pin(async move {
            let connected = tokio::time::timeout(timeout, connecting).await;
            connected.unwrap_or_else(|_| Err(ConnectTimedOut(timeout).into()))
        })
    }
}

/// Opens the TCP connection, and the tunnel when there is a proxy.
#[derive(Clone)]
struct Dial {
    direct: HttpConnector,
    proxy: Option<ProxyAddress>,
}

impl Dial {
    fn new(proxy: Option<&ProxyAddress>) -> Self {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        direct.set_nodelay(true);
        direct.set_keepalive(Some(KEEPALIVE));
        Self { direct, proxy: proxy.cloned() }
    }
}

impl Service<Uri> for Dial {
    type Response = Dialled;
    type Error = BoxError;
    type Future = Connecting<Dialled>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut direct = self.direct.clone();
        let Some(proxy) = self.proxy.clone() else {
            let connecting = direct.call(uri);
            return Box::pin(async move { Ok(Dialled { io: connecting.await?, to_proxy: false }) });
        };
        if uri.scheme() == Some(&Scheme::HTTP) {
            let connecting = direct.call(proxy.uri);
            return Box::pin(async move { Ok(Dialled { io: connecting.await?, to_proxy: true }) });
        }
        let mut tunnel = Tunnel::new(proxy.uri, direct);
        if let Some(authorization) = proxy.authorization {
            tunnel = tunnel.with_auth(authorization);
        }
        let connecting = tunnel.call(uri);
        Box::pin(async move { Ok(Dialled { io: connecting.await?, to_proxy: false }) })
    }
}

/// An open connection; `to_proxy` makes the client send targets in absolute form.
#[derive(Debug)]
pub(super) struct Dialled {
    io: TokioIo<TcpStream>,
    to_proxy: bool,
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.to_proxy)
    }
}

impl Read for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}

/// For upstreams without TLS: settings that would trust nobody, should they ever be used.
fn no_trust() -> ClientConfig {
    #[allow(
        clippy::expect_used,
        reason = "the provider supports the protocol versions it ships with"
    )]
    ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("protocol versions of our own provider")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

const KEEPALIVE: Duration = Duration::from_secs(60);
