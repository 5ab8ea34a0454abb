//! What is remembered of failures, so that a broken authority is not hammered.
//!
//! Part of `token::cache`.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};
use crate::token::{AcquireError, AcquireFailure, Fault};

/// The latest of one or more failures in a row.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: Arc<AcquireError>,
    pub(super) streak: u32,
    /// Until then nobody asks again, however much they need the token.
    pub(super) ask_again: Moment,
    /// Until then nobody asks again merely to renew a token that is still good.
    pub(super) renew_again: Moment,
}

impl Failure {
    /// The failure that follows on `streak - 1` others.
    pub(super) fn new(error: Arc<AcquireError>, streak: u32, now: Moment) -> Self {
        let doubled = 2_u32.saturating_pow(streak.min(16) - 1);
        let jitter = 0.75 + fastrand::f64() / 2.0;
        let (ask, renew) = match (error.told_to_wait(), error.fault()) {
            (Some(wait), _) => (wait, wait),
            // It does not pass by itself; somebody has to change something.
            (None, Fault::Ours | Fault::Caller) => {
                let pause = (REFUSAL_PAUSE * doubled.min(3)).mul_f64(jitter);
                (pause, pause)
            }
            // Nothing was asked, so nothing is held against it.
            (None, Fault::Room | Fault::Forbidden | Fault::Request) => {
                (Duration::ZERO, FIRST_PAUSE)
            }
            (None, Fault::Authority) => (
                (FIRST_PAUSE * doubled).min(MAX_ASK_PAUSE).mul_f64(jitter),
                (FIRST_PAUSE * doubled).min(MAX_RENEW_PAUSE).mul_f64(jitter),
            ),
        };
        let (ask_again, renew_again) = (now.after(ask), now.after(renew));
        Self { error, streak, ask_again, renew_again }
    }

    pub(super) fn as_seen_at(&self, now: Moment) -> AcquireFailure {
        AcquireFailure { error: Arc::clone(&self.error), retry_in: now.until(self.ask_again) }
    }
}

/// The latest failures of many keys, those of the keys least asked for forgotten first.
#[derive(Debug)]
pub(super) struct Failures {
    clock: Clock,
    latest: Cache<CacheKey, Arc<Failure>>,
}

impl Failures {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, latest: Cache::new(REMEMBERED) }
    }

    /// Why nobody asks for this key now.
    pub(super) fn held(&self, key: &CacheKey, now: Moment) -> Option<AcquireFailure> {
        let failure = self.latest.get(key).filter(|failure| now < failure.ask_again)?;
        Some(failure.as_seen_at(now))
    }

    /// Whether asking merely to renew makes sense.
    pub(super) fn allow_renewal(&self, key: &CacheKey, now: Moment) -> bool {
        self.latest.get(key).is_none_or(|failure| now >= failure.renew_again)
    }

    /// Whether the latest fetch for this key failed.
    pub(super) fn know(&self, key: &CacheKey) -> bool {
        self.latest.contains_key(key)
    }

    pub(super) fn remember(&self, key: &CacheKey, error: Arc<AcquireError>) -> AcquireFailure {
        let now = self.clock.now();
        let streak = self.latest.get(key).map_or(1, |failure| failure.streak + 1);
        let failure = Failure::new(error, streak, now);
        let seen = failure.as_seen_at(now);
        self.latest.insert(*key, Arc::new(failure));
        seen
    }

    pub(super) fn forget(&self, key: &CacheKey) {
        self.latest.remove(key);
    }
}

/// Each may hold a claims challenge.
const REMEMBERED: usize = 16_384;
/// After a first failure that may pass; doubled after each further one.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Short enough that Vicar is back within two seconds of the authority.
const MAX_ASK_PAUSE: Duration = Duration::from_secs(1);
/// While the old token is good there is no hurry.
const MAX_RENEW_PAUSE: Duration = Duration::from_secs(60);
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);
