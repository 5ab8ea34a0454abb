//! The other end of a connection, as far as the connection tells.
//!
//! Part of `listener`: made once per connection, so that each request finds its text ready.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use tokio::sync::OwnedSemaphorePermit;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    address: Option<SocketAddr>,
    address_text: Option<HeaderValue>,
    is_tls: bool,
    certificate_digest: Option<String>,
    /// The connection's place under the listener's limit; a tunnel keeps it by keeping the peer.
    _room: Option<OwnedSemaphorePermit>,
}

impl Peer {
    /// A peer at `address`; none for Unix sockets.
    #[must_use]
    pub fn new(
        address: Option<SocketAddr>,
        is_tls: bool,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let ip = address.map(|address| address.ip().to_canonical().to_string());
        let address_text = ip.and_then(|ip| HeaderValue::try_from(ip).ok());
        Self { address, address_text, is_tls, certificate_digest: None, _room: room }
    }

    /// The same peer, which has shown this certificate (DER) in the handshake.
    #[must_use]
    pub fn with_certificate(mut self, certificate: &[u8]) -> Self {
        self.certificate_digest = Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate)));
        self
    }

    /// The SHA-256 digest of the certificate it has shown, base64url, as `x5t#S256` writes it (RFC 8705
    /// section 3.1).
    #[must_use]
    pub fn certificate_digest(&self) -> Option<&str> {
        self.certificate_digest.as_deref()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The address as `X-Forwarded-For` writes it.
    #[must_use]
    pub fn address_text(&self) -> Option<&HeaderValue> {
        self.address_text.as_ref()
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> HeaderValue {
        HeaderValue::from_static(if self.is_tls { "https" } else { "http" })
    }
}
