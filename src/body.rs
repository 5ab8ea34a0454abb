//! The one body type that crosses the stages.
//!
//! A leaf. Bodies are streamed frame by frame and never decoded; what is added here is a limit on
//! silence (a peer that stops sending does not hold resources for ever) and a note to whoever wants
//! to know how the body ended.

mod recording;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

pub use recording::Recording;

/// A request or response body.
#[derive(Debug)]
pub struct Body {
    source: Source,
    silence: Option<SilenceLimit>,
    ending: Option<Ending>,
    trailers: Option<TrailerFilter>,
    progress: Option<Arc<Progress>>,
    recording: Option<Arc<Recording>>,
}

/// Decides what of a body's trailers goes on.
struct TrailerFilter(Box<dyn FnMut(&mut HeaderMap) + Send>);

/// How far a body has come, for whoever waits beside it.
#[derive(Debug, Default)]
pub struct Progress {
    frames: AtomicU64,
    state: AtomicU8,
    ended: Notify,
}

impl Progress {
    /// Frames handed on so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Acquire)
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<BodyEndState> {
        match self.state.load(Ordering::Acquire) {
            0 => None,
            1 => Some(BodyEndState::Complete),
            2 => Some(BodyEndState::Broken),
            _ => Some(BodyEndState::Abandoned),
        }
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) {
        while self.end().is_none() {
            self.ended.notified().await;
        }
    }

    fn finish(&self, end: BodyEndState) {
        let state = match end {
            BodyEndState::Complete => 1,
            BodyEndState::Broken => 2,
            BodyEndState::Abandoned => 3,
        };
        if self.state.compare_exchange(0, state, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // One waiter at most, and the permit stays for one that comes later.
            self.ended.notify_one();
        }
    }
}

/// How a body ended, as [`Progress`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEndState {
    /// Its reader went away.
    Abandoned,
    /// Its sender broke off or fell silent.
    Broken,
    /// Its last byte was handed on.
    Complete,
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
        Self {
            source,
            silence: None,
            ending: None,
            trailers: None,
            progress: None,
            recording: None,
        }
    }

    /// A body that arrives from a peer, which may be silent for `limit` at most.
    #[must_use]
    pub fn streaming(incoming: Incoming, limit: Duration) -> Self {
        let silence = Some(SilenceLimit { limit, last: None, timer: None });
        Self {
            source: Source::Stream(incoming),
            silence,
            ending: None,
            trailers: None,
            progress: None,
            recording: None,
        }
    }

    /// Lets `filter` take away trailers before they go on.
    #[must_use]
    pub fn filtering_trailers(
        mut self,
        filter: impl FnMut(&mut HeaderMap) + Send + 'static,
    ) -> Self {
        self.trailers = Some(TrailerFilter(Box::new(filter)));
        self
    }

    /// Tells `progress` how far it has come.
    #[must_use]
    pub fn reporting_to(mut self, progress: Arc<Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Keeps a copy of the first `limit` bytes, so that a body which is no longer can be sent again.
    #[must_use]
    pub fn recorded(mut self, limit: usize) -> (Self, Arc<Recording>) {
        let recording = Arc::new(Recording::new(limit));
        self.recording = Some(Arc::clone(&recording));
        (self, recording)
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
    #[error("the body broke off")]
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
            let frame = Some(Err(BodyError::Silent(silence.limit)));
            this.note(frame.as_ref());
            return Poll::Ready(frame);
        }
        let mut frame = ready!(polled).map(|frame| frame.map_err(BodyError::Broken));
        if let (Some(Ok(frame)), Some(TrailerFilter(filter))) = (&mut frame, &mut this.trailers)
            && let Some(trailers) = frame.trailers_mut()
        {
            filter(trailers);
        }
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
        if let Some(progress) = &self.progress {
            match frame {
                Some(Ok(_)) => {
                    progress.frames.fetch_add(1, Ordering::AcqRel);
                }
                Some(Err(_)) => progress.finish(BodyEndState::Broken),
                None => progress.finish(BodyEndState::Complete),
            }
        }
        if let Some(recording) = &self.recording {
            recording.note(frame, self.is_end_stream());
        }
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
        if let Some(progress) = &self.progress {
            let abandoned = BodyEndState::Abandoned;
            progress.finish(if complete { BodyEndState::Complete } else { abandoned });
        }
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

impl std::fmt::Debug for TrailerFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TrailerFilter")
    }
}

impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ending").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
