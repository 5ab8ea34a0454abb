//! What a connection is doing: waiting, sending a request head, or being served.
//!
//! Part of `listener`. hyper's own head timeout also counts the pause between two requests, so that
//! a kept-alive connection would be cut every ten seconds; these few atomics tell the two apart.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Shared between a connection's bytes, its requests and its watchman.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    in_flight: AtomicUsize,
    /// Milliseconds after `opened`, plus one, when the current head's first byte came; 0 for none.
    head_since: AtomicU64,
    /// Milliseconds after `opened` when the last request ended.
    idle_since: AtomicU64,
    is_http2: AtomicBool,
    has_begun: AtomicBool,
    /// Milliseconds after `opened`, plus one, since when the peer takes no bytes; 0 when it does.
    blocked_since: AtomicU64,
}

/// What the watchman should do about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Close it politely: nothing has happened for long.
    Idle,
    /// Drop it: a request head that does not end, or a peer that takes nothing of its response.
    Stalled,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            in_flight: AtomicUsize::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            is_http2: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            blocked_since: AtomicU64::new(0),
        })
    }

    /// A request head is complete.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        InFlight { activity: Some(Arc::clone(self)) }
    }

    pub(super) fn verdict(&self, header: Duration, idle: Duration) -> Verdict {
        let now = self.now();
        let blocked_since = self.blocked_since.load(Relaxed);
        if blocked_since > 0 && now.saturating_sub(blocked_since) >= millis(idle) {
            return Verdict::Stalled;
        }
        if self.in_flight.load(Relaxed) > 0 {
            return Verdict::Fine;
        }
        let head_since = self.head_since.load(Relaxed);
        let in_head = head_since > 0 && !self.is_http2.load(Relaxed);
        if in_head && now.saturating_sub(head_since) >= millis(header) {
            return Verdict::Stalled;
        }
        let idle_for = now.saturating_sub(self.idle_since.load(Relaxed));
        if idle_for >= millis(idle) { Verdict::Idle } else { Verdict::Fine }
    }

    /// Whether the peer has sent anything yet.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Relaxed)
    }

    fn bytes_arrived(&self, bytes: &[u8]) {
        self.has_begun.store(true, Relaxed);
        if self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            // An HTTP/2 connection has bytes of its own between requests.
            if bytes.starts_with(b"PRI ") {
                self.is_http2.store(true, Relaxed);
            }
            self.head_since.store(self.now() + 1, Relaxed);
        }
    }

    /// Notes whether the peer takes the bytes it is sent.
    fn written<T>(&self, polled: &Poll<T>) {
        let blocked = self.blocked_since.load(Relaxed) > 0;
        match polled {
            Poll::Pending if !blocked => self.blocked_since.store(self.now() + 1, Relaxed),
            Poll::Ready(_) if blocked => self.blocked_since.store(0, Relaxed),
            _ => {}
        }
    }

    fn now(&self) -> u64 {
        millis(self.opened.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Held while a request is being served, until its response has been sent.
#[derive(Debug)]
pub struct InFlight {
    activity: Option<Arc<Activity>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(activity) = self.activity.take() {
            activity.idle_since.store(activity.now(), Relaxed);
            activity.in_flight.fetch_sub(1, Relaxed);
        }
    }
}

/// A stream that tells its [`Activity`] when bytes arrive.
#[derive(Debug)]
pub(super) struct Watched<I> {
    pub(super) inner: I,
    pub(super) activity: Arc<Activity>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_arrived(&buffer.filled()[before..]);
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.activity.written(&polled);
        polled
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.activity.written(&polled);
        polled
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.activity.written(&polled);
        polled
    }
}
