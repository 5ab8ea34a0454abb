//! The other end of a connection, as far as the connection tells.
//!
//! Part of `listener`: made once per connection, so that each request finds its text ready.

use std::net::SocketAddr;

use http::HeaderValue;
use tokio::sync::OwnedSemaphorePermit;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    address: Option<SocketAddr>,
    address_text: Option<HeaderValue>,
    is_tls: bool,
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
        Self { address, address_text, is_tls, _room: room }
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
