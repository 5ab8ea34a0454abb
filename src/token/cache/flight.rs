//! One fetch on its way, which any number may wait for.
//!
//! Part of `token::cache`. It belongs to nobody who waits: a caller that goes away does not end it.

use std::sync::Arc;

use tokio::sync::watch;

use super::Fetched;
use super::failure::FIRST_PAUSE;
use crate::token::{AcquireError, AcquireFailure};

/// A fetch on its way, as one of those sees it who wait.
#[derive(Clone, Debug)]
pub struct Flight(watch::Receiver<Option<Fetched>>);

/// Where its result is told.
#[derive(Debug)]
pub(super) struct Landing(watch::Sender<Option<Fetched>>);

impl Flight {
    pub(super) fn take_off() -> (Landing, Self) {
        let (landing, flight) = watch::channel(None);
        (Landing(landing), Self(flight))
    }

    /// Waits for its result.
    ///
    /// # Errors
    /// As the fetch failed.
    pub async fn landed(mut self) -> Fetched {
        let landed = self.0.wait_for(Option::is_some).await;
        landed.ok().and_then(|fetched| fetched.clone()).unwrap_or_else(|| {
            let (error, retry_in) = (Arc::new(AcquireError::Aborted), FIRST_PAUSE);
            Err(AcquireFailure { error, retry_in })
        })
    }
}

impl Landing {
    pub(super) fn tell(&self, fetched: Fetched) {
        self.0.send_replace(Some(fetched));
    }
}
