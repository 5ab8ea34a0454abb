//! How much of one client's traffic on behalf of callers may reach its authority at once.
//!
//! Part of `token::cache`. Ten thousand users whose tokens expire together make ten thousand exchanges, but
//! the authority sees a bounded number of them on their way. And what is wrong with the client itself, or
//! with the way to the authority, is found out once and not once for every user.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::failure::Failure;
use crate::authority::AuthorityError;
use crate::clock::{Clock, Moment};
use crate::token::{AcquireError, AcquireFailure};

/// One client's gate.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    room: Semaphore,
    waiting: AtomicUsize,
    trouble: Mutex<Trouble>,
}

/// What went wrong for the client as a whole.
#[derive(Debug, Default)]
struct Trouble {
    /// Connections in a row that brought no answer.
    unreachable: u32,
    failure: Option<Failure>,
}

impl Gate {
    pub(super) fn new(clock: Clock, max_in_flight: usize) -> Self {
        let room = Semaphore::new(max_in_flight);
        Self { clock, room, waiting: AtomicUsize::new(0), trouble: Mutex::default() }
    }

    /// Why nobody of this client asks now.
    pub(super) fn closed(&self, now: Moment) -> Option<AcquireFailure> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = trouble.failure.as_ref().filter(|failure| now < failure.ask_again)?;
        Some(failure.as_seen_at(now))
    }

    /// Waits for room, no longer than `patience`.
    pub(super) async fn enter(
        &self,
        patience: Duration,
    ) -> Result<SemaphorePermit<'_>, AcquireError> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(AcquireError::Busy);
        }
        let _leaves = Leaves(&self.waiting);
        match tokio::time::timeout(patience, self.room.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(AcquireError::Busy),
        }
    }

    /// Learns from the end of an exchange.
    pub(super) fn note(&self, error: Option<&Arc<AcquireError>>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = error else {
            *trouble = Trouble::default();
            return;
        };
        let unreachable =
            matches!(**error, AcquireError::Authority(AuthorityError::Unreachable(_)));
        trouble.unreachable = if unreachable { trouble.unreachable + 1 } else { 0 };
        if error.is_about_the_client() || trouble.unreachable >= UNREACHABLE {
            let streak = trouble.failure.as_ref().map_or(1, |failure| failure.streak + 1);
            trouble.failure = Some(Failure::new(Arc::clone(error), streak, self.clock.now()));
        }
    }
}

/// Gives its place in the queue free again.
struct Leaves<'g>(&'g AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// More could not be answered within the time that a caller waits.
const MAX_WAITING: usize = 16_384;
/// One may be bad luck.
const UNREACHABLE: u32 = 3;
