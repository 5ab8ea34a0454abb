//! A copy of a small body while it is sent, in case it must be sent again.
//!
//! Part of `body`. Bounded: a body that turns out larger than the limit is not kept at all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body::Frame;

use super::{Body, BodyError};

/// The copy.
#[derive(Debug)]
pub struct Recording {
    limit: usize,
    copy: Mutex<Copy>,
}

#[derive(Debug)]
enum Copy {
    /// What has been sent so far.
    Growing(Vec<u8>),
    Whole(Bytes),
    /// Too large, broken off, or with trailers.
    Lost,
}

impl Recording {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, copy: Mutex::new(Copy::Growing(Vec::new())) }
    }

    /// The same body again, if all of it was sent and kept.
    #[must_use]
    pub fn replay(&self) -> Option<Body> {
        match &*self.lock() {
            Copy::Whole(bytes) => Some(Body::full(bytes.clone())),
            Copy::Growing(_) | Copy::Lost => None,
        }
    }

    /// Takes note of a frame, which `is_last` says is the last.
    pub(super) fn note(&self, frame: Option<&Result<Frame<Bytes>, BodyError>>, is_last: bool) {
        let mut copy = self.lock();
        let Copy::Growing(bytes) = &mut *copy else { return };
        match frame.map(|frame| frame.as_ref().map(Frame::data_ref)) {
            None => *copy = Copy::Whole(std::mem::take(bytes).into()),
            Some(Ok(Some(data))) if bytes.len() + data.len() <= self.limit => {
                bytes.extend_from_slice(data);
                if is_last {
                    *copy = Copy::Whole(std::mem::take(bytes).into());
                }
            }
            Some(_) => *copy = Copy::Lost,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
