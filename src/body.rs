//! The one body type that crosses the stages.
//!
//! A leaf. Bodies are streamed frame by frame and never decoded; what is added here is a limit on
//! silence (a peer that stops sending does not hold resources for ever) and a note to whoever wants
//! to know how the body ended.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// A request or response body.
#[derive(Debug)]
pub struct Body {
    source: Source,
    silence: Option<SilenceLimit>,
    ending: Option<Ending>,
}

#[derive(Debug)]
enum Source {
    Full(Option<Bytes>),
    Stream(Incoming),
}

impl Body {
    /// A body that is already in memory; empty bytes make an empty body.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let source = Source::Full((!bytes.is_empty()).then_some(bytes));
        Self { source, silence: None, ending: None }
    }

    /// A body that arrives from a peer, which may be silent for `limit` at most.
    #[must_use]
    pub fn streaming(incoming: Incoming, limit: Duration) -> Self {
        let silence = Some(SilenceLimit { limit, last: None, timer: None });
        Self { source: Source::Stream(incoming), silence, ending: None }
    }

    /// Calls `observer` once, when the last byte was handed on or the body was dropped before it.
    #[must_use]
    pub fn observed(mut self, observer: impl FnOnce(BodyEnd) + Send + 'static) -> Self {
        self.ending = Some(Ending { observer: Some(Box::new(observer)), bytes: 0 });
        self
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyEnd {
    /// Payload bytes handed on.
    pub bytes: u64,
    /// Whether the end was reached, rather than an error or the reader's departure.
    pub complete: bool,
}

/// Why a body stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The peer broke off or sent something malformed.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The peer sent nothing for the time it is allowed to be silent.
    #[error("no byte of the body arrived for {0:?}")]
    Silent(Duration),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let stream = match &mut this.source {
            Source::Full(bytes) => {
                let frame = bytes.take().map(|bytes| Ok(Frame::data(bytes)));
                this.note(frame.as_ref());
                return Poll::Ready(frame);
            }
            Source::Stream(stream) => stream,
        };
        let polled = Pin::new(stream).poll_frame(context);
        if let (Poll::Pending, Some(silence)) = (&polled, &mut this.silence) {
            ready!(silence.poll_expired(context));
            return Poll::Ready(Some(Err(BodyError::Silent(silence.limit))));
        }
        let frame = ready!(polled).map(|frame| frame.map_err(BodyError::Broken));
        if let Some(silence) = &mut this.silence {
            silence.last = None;
        }
        this.note(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Full(bytes) => bytes.is_none(),
            Source::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Source::Stream(stream) => stream.size_hint(),
        }
    }
}

impl Body {
    /// Keeps the observer's books: bytes so far, and the end when this frame is the last.
    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
        let Some(ending) = &mut self.ending else { return };
        match frame {
            Some(Ok(frame)) => ending.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => ending.report(false),
            None => ending.report(true),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // hyper stops polling once `is_end_stream` holds, so that the closing `None` is never seen.
        let complete = self.is_end_stream();
        if let Some(ending) = &mut self.ending {
            ending.report(complete);
        }
    }
}

/// Bounds how long a peer may send nothing, with at most one timer per body and none for bodies
/// that never make anyone wait.
#[derive(Debug)]
struct SilenceLimit {
    limit: Duration,
    last: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl SilenceLimit {
    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.last.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context)
    }
}

struct Ending {
    observer: Option<Box<dyn FnOnce(BodyEnd) + Send>>,
    bytes: u64,
}

impl Ending {
    fn report(&mut self, complete: bool) {
        if let Some(observer) = self.observer.take() {
            observer(BodyEnd { bytes: self.bytes, complete });
        }
    }
}

impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ending").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
