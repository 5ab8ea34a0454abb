//! Serve one connection: HTTP/1.1 or HTTP/2, with limits on size and patience, to a graceful end.
//!
//! Part of `listener`.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::MissedTickBehavior;

use super::activity::{Activity, Verdict, Watched};
use super::{Peer, Serve};
use crate::cause::describe;
use crate::drain::DrainWatch;

/// Bounds on what callers may send, and how slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections of the listener.
    pub connections: u32,
    /// Bytes of a request head.
    pub header_bytes: u32,
    /// Header fields of an HTTP/1.1 request.
    pub headers: usize,
    /// Concurrent HTTP/2 streams.
    pub streams: u32,
    /// The TLS handshake, and each request head from its first byte.
    pub header_timeout: Duration,
    /// A connection without a request.
    pub idle_timeout: Duration,
}

/// Serves `stream` until it ends, stalls, idles too long, or the drain has let it finish.
pub(super) async fn serve<I, S>(
    stream: I,
    peer: Arc<Peer>,
    limits: ConnectionLimits,
    service: S,
    mut drain: DrainWatch,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Serve,
{
    let activity = Activity::new();
    let io = TokioIo::new(Watched { inner: stream, activity: Arc::clone(&activity) });
    let requests = service_fn(|request| {
        let (service, peer, in_flight) = (service.clone(), Arc::clone(&peer), activity.request());
        async move { Ok::<_, Infallible>(service.serve(request, peer, in_flight).await) }
    });
    let builder = builder(&limits);
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, requests));
    let mut watch = tokio::time::interval(limits.watch_interval());
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closing = false;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    let error = describe(error.as_ref());
                    tracing::debug!(error, "connection ended with an error");
                }
                return;
            }
            () = draining(&mut drain, &activity), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = watch.tick() => match activity.verdict(limits.header_timeout, limits.idle_timeout) {
                Verdict::Fine => {}
                Verdict::Idle => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                Verdict::Stalled => {
                    tracing::debug!("the caller stopped sending its request, or taking its response");
                    return;
                }
            }
        }
    }
}

/// Resolves when the drain has begun and the connection had its chance: a request that is already
/// in the kernel's buffer is read before the connection is told to close.
async fn draining(drain: &mut DrainWatch, activity: &Activity) {
    drain.begun().await;
    if !activity.has_begun() {
        tokio::time::sleep(FIRST_BYTES).await;
    }
}

impl ConnectionLimits {
    /// How often the watchman looks, so that no limit is late by more than a quarter.
    fn watch_interval(&self) -> Duration {
        (self.header_timeout.min(self.idle_timeout) / 4).max(MIN_WATCH_INTERVAL)
    }
}

fn builder(limits: &ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_PATIENCE);
    builder
}

const FIRST_BYTES: Duration = Duration::from_millis(100);
const MIN_WATCH_INTERVAL: Duration = Duration::from_millis(50);
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const SEND_BUFFER: usize = 256 * 1024;
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);
