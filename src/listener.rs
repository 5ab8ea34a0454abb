//! Stage: accept connections on one address and hand their requests to a service.
//!
//! Knows nothing of routes and tokens. Every worker runs this on its own socket of the address; the
//! limit on connections is shared by all of them.

mod activity;
mod bind;
mod connection;
mod peer;
mod stream;
mod tls;

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use crate::body::Body;
use crate::drain::DrainWatch;

pub use activity::InFlight;
pub use bind::{BindAddress, BindError, Socket, bind};
pub use connection::ConnectionLimits;
pub use peer::Peer;
pub use tls::ServerTls;

use stream::{Acceptor, Stream};

/// What a listener hands requests to.
pub trait Serve: Clone + Send + Sync + 'static {
    /// Answers one request; `in_flight` is to be dropped when the response has been sent.
    fn serve(
        &self,
        request: Request<Incoming>,
        peer: Arc<Peer>,
        in_flight: InFlight,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// One worker's share of a listener.
#[derive(Clone, Debug)]
pub struct Listener<S> {
    /// Its name in the log.
    pub name: Arc<str>,
    /// TLS, if it is served.
    pub tls: Option<Arc<ServerTls>>,
    /// Bounds on each connection.
    pub limits: ConnectionLimits,
    /// Room for connections, shared by all workers.
    pub room: Arc<Semaphore>,
    /// Where requests go.
    pub service: S,
}

impl<S: Serve> Listener<S> {
    /// Accepts until the drain begins; connections live on in tasks that hold on to `drain`.
    ///
    /// # Errors
    /// When the socket cannot be registered with this runtime.
    pub async fn run(self, socket: Socket, mut drain: DrainWatch) -> std::io::Result<()> {
        let acceptor = Acceptor::new(socket)?;
        let mut noticing = drain.clone();
        loop {
            tokio::select! {
                biased;
                () = noticing.begun() => break,
                connection = self.accept(&acceptor, &mut drain) => {
                    tokio::spawn(connection);
                }
            }
        }
        // Callers whose connections the kernel has already completed would see a reset.
        tokio::task::yield_now().await;
        loop {
            tokio::select! {
                biased;
                connection = self.accept(&acceptor, &mut drain) => {
                    tokio::spawn(connection);
                }
                () = std::future::ready(()) => return Ok(()),
            }
        }
    }

    /// Waits for a connection, then for room; out of descriptors it waits for better times.
    async fn accept(
        &self,
        acceptor: &Acceptor,
        drain: &mut DrainWatch,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (stream, address) = loop {
            match acceptor.accept().await {
                Ok(accepted) => break accepted,
                // That connection's own fault; the next one may be fine.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionAborted
                            | ErrorKind::ConnectionReset
                            | ErrorKind::Interrupted
                    ) => {}
                Err(error) => {
                    tracing::warn!(listener = %self.name, %error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        };
        // Only now: a worker that has nobody to serve must not keep room from the others. (The
        // semaphore is never closed.)
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (listener, drain) = (self.clone(), drain.clone());
        let peer = Peer::new(address, self.tls.is_some(), room);
        async move { listener.connection(stream, peer, drain).await }
    }

    async fn connection(self, stream: Stream, peer: Peer, drain: DrainWatch) {
        let Some(tls) = &self.tls else {
            return connection::serve(stream, Arc::new(peer), self.limits, self.service, drain)
                .await;
        };
        match tokio::time::timeout(self.limits.header_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let peer = match shown.map(|certificate| certificate.to_vec()) {
                    Some(certificate) => peer.with_certificate(&certificate),
                    None => peer,
                };
                let peer = Arc::new(peer);
                connection::serve(stream, peer, self.limits, self.service, drain).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(listener = %self.name, %error, "TLS handshake failed");
            }
            Err(_) => tracing::debug!(listener = %self.name, "TLS handshake took too long"),
        }
    }
}

const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);
