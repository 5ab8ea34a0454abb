//! Address, TLS and limits of one upstream.
//!
//! Part of `forward`: immutable, made by the configuration, shared by every route that sends there.

use std::time::Duration;

use http::uri::{Authority, Scheme};
use rustls::ClientConfig;
use url::Url;

use super::connect::ProxyAddress;

/// Where requests are sent and how connections to it are made.
#[derive(Debug)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
    base_path: String,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<ClientConfig>,
    pub(super) proxy: Option<ProxyAddress>,
    pub(super) connect_timeout: Duration,
    pub(super) idle_connections: usize,
    pub(super) idle_timeout: Duration,
}

/// The HTTP version towards an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// What TLS negotiates; HTTP/1.1 without TLS.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge when there is no TLS.
    Http2,
}

impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl Upstream {
    /// An upstream at `url`; `tls` settings belong to https URLs and to them alone.
    ///
    /// # Errors
    /// When the URL has no usable host.
    pub fn new(
        url: &Url,
        protocol: Protocol,
        tls: Option<ClientConfig>,
        proxy: Option<ProxyAddress>,
    ) -> Result<Self, String> {
        let host = url.host_str().ok_or("no host")?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            scheme: if url.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP },
            authority: Authority::try_from(authority).map_err(|error| error.to_string())?,
            base_path: url.path().trim_end_matches('/').to_owned(),
            protocol,
            tls,
            proxy,
            connect_timeout: Duration::from_secs(5),
            idle_connections: 64,
            idle_timeout: Duration::from_secs(60),
        })
    }

    /// Keeps at most `connections` idle ones, each for `timeout`.
    #[must_use]
    pub fn with_pool(self, connections: u16, timeout: Duration) -> Self {
        Self { idle_connections: connections.into(), idle_timeout: timeout, ..self }
    }

    /// Gives up on a connection after `timeout`, TLS handshake included.
    #[must_use]
    pub fn with_connect_timeout(self, timeout: Duration) -> Self {
        Self { connect_timeout: timeout, ..self }
    }

    /// Scheme and authority.
    #[must_use]
    pub fn origin(&self) -> (&Scheme, &Authority) {
        (&self.scheme, &self.authority)
    }

    /// What is put before every path; without a trailing slash, often empty.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }
}
