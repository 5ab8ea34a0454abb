//! One cached token: who may have it, who fetches it, what is remembered of failures.
//!
//! Part of `token::cache`. Invariants kept here, each with a test: an expired token is never handed
//! out; a still-valid one survives any failure; concurrent misses make one request; a caller that
//! goes away does not cancel the fetch that others wait for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;

use super::failure::Failure;
use super::flight::{Flight, Landing};
use super::session::SessionGrant;
use super::{Replacement, TokenMetrics};
use crate::authority::ClientSpec;
use crate::clock::{Clock, Moment};
use crate::token::{AccessToken, AcquireError, AcquireFailure, ClaimsRequest, TokenSpec};

/// The place of one token.
#[derive(Debug)]
pub struct Slot {
    source: Source,
    clock: Clock,
    fetcher: Handle,
    metrics: TokenMetrics,
    current: ArcSwapOption<AccessToken>,
    state: Mutex<State>,
}

/// Where its token comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A grant in Vicar's own name.
    Application(Arc<TokenSpec>),
    /// A refresh token that a person's call gave.
    Session(Arc<SessionGrant>),
}

impl Source {
    fn client(&self) -> &Arc<ClientSpec> {
        match self {
            Self::Application(spec) => &spec.client,
            Self::Session(grant) => grant.client(),
        }
    }

    async fn fetch(
        &self,
        claims: Option<&ClaimsRequest>,
        clock: &Clock,
    ) -> Result<AccessToken, AcquireError> {
        match self {
            Self::Application(spec) => spec.fetch(claims, clock).await,
            Self::Session(grant) => grant.fetch(claims, clock).await,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    flight: Option<Flight>,
    failure: Option<Failure>,
    /// When an upstream's word last made us ask anew.
    rejected: Option<Moment>,
}

/// How a request without a usable token goes on.
enum Next {
    Have(Arc<AccessToken>),
    Wait(Flight),
    Refused(AcquireFailure),
    Fly(Pilot, Flight),
}

impl Slot {
    pub(super) fn new(
        source: Source,
        clock: Clock,
        fetcher: Handle,
        metrics: TokenMetrics,
    ) -> Arc<Self> {
        let (current, state) = (ArcSwapOption::empty(), Mutex::default());
        Arc::new(Self { source, clock, fetcher, metrics, current, state })
    }

    /// A token that may be sent now.
    ///
    /// # Errors
    /// When there is none and the authority gave none, or failed so recently that it was not asked.
    pub async fn token(self: &Arc<Self>) -> Result<Arc<AccessToken>, AcquireFailure> {
        let now = self.clock.now();
        if let Some(token) = self.current.load_full().filter(|token| token.is_usable(now)) {
            self.metrics.hits.inc();
            if token.is_due(now) {
                self.renew(now);
            }
            return Ok(token);
        }
        self.metrics.misses.inc();
        let fetched = match self.next(now) {
            Next::Have(token) => return Ok(token),
            Next::Wait(flight) => flight.landed().await,
            Next::Fly(pilot, flight) => {
                self.fly(pilot);
                match self.still_valid() {
                    // Renewal failed before, so the token at hand is not worth keeping anyone waiting.
                    Some(token) if self.failure().is_some() => Ok(token),
                    _ => flight.landed().await,
                }
            }
            Next::Refused(failure) => Err(failure),
        };
        fetched.or_else(|failure| self.still_valid().ok_or(failure))
    }

    /// Fetches the first token, again and again until there is one.
    pub async fn warm_up(self: Arc<Self>) {
        while let Err(failure) = self.token().await {
            tokio::time::sleep(failure.retry_in.min(MAX_WARM_UP_PAUSE)).await;
        }
    }

    /// Takes an upstream's word that it does not want `rejected`, and asks for another one, which `claims`
    /// demand something of; at most once per `window`. The old one is handed out until the new one is there: an
    /// upstream that refuses everything, or a part of it, cannot take away a token that is good elsewhere.
    #[must_use]
    pub fn replace(
        self: &Arc<Self>,
        rejected: &Arc<AccessToken>,
        claims: Option<ClaimsRequest>,
        window: Duration,
    ) -> Replacement {
        let now = self.clock.now();
        let mut state = self.lock();
        match self.current.load_full() {
            Some(other) if !Arc::ptr_eq(&other, rejected) && !other.is_expired(now) => {
                return Replacement::Now(other);
            }
            _ => {}
        }
        if let Some(flight) = &state.flight {
            return Replacement::Coming(flight.clone());
        }
        let lately = state.rejected.is_some_and(|then| now < then.after(window));
        if lately || state.failure.as_ref().is_some_and(|failure| now < failure.ask_again) {
            return Replacement::TooSoon;
        }
        state.rejected = Some(now);
        self.metrics.rejections.inc();
        let (mut pilot, flight) = self.take_off(&mut state, claims);
        drop(state);
        pilot.rejected = true;
        self.fly(pilot);
        Replacement::Coming(flight)
    }

    /// Forgets that a person had to act: perhaps the person has.
    pub(super) fn forgive(&self) {
        let mut state = self.lock();
        state.failure.take_if(|failure| failure.error.needs_user().is_some());
    }

    /// The client whose token this is.
    #[must_use]
    pub fn client(&self) -> &ClientSpec {
        self.source.client()
    }

    /// Time until the token expires; zero when there is none.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let now = self.clock.now();
        self.current.load().as_ref().map_or(Duration::ZERO, |token| token.time_left(now))
    }

    /// Why the latest fetch failed, unless a token came since.
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        self.lock().failure.as_ref().map(|failure| failure.error.reason())
    }

    /// Decides under the lock, so that of any number of misses exactly one starts a fetch.
    fn next(self: &Arc<Self>, now: Moment) -> Next {
        let mut state = self.lock();
        if let Some(token) = self.current.load_full().filter(|token| token.is_usable(now)) {
            return Next::Have(token);
        }
        match (&state.flight, &state.failure) {
            (Some(flight), None) => Next::Wait(flight.clone()),
            (Some(flight), Some(_)) => match self.still_valid() {
                Some(token) => Next::Have(token),
                None => Next::Wait(flight.clone()),
            },
            (None, Some(failure)) if now < failure.ask_again => {
                Next::Refused(failure.as_seen_at(now))
            }
            (None, _) => {
                let (pilot, flight) = self.take_off(&mut state, None);
                Next::Fly(pilot, flight)
            }
        }
    }

    /// Starts a fetch in the background unless one is on its way or failed a moment ago.
    fn renew(self: &Arc<Self>, now: Moment) {
        let Ok(mut state) = self.state.try_lock() else { return };
        let too_soon = state.failure.as_ref().is_some_and(|f| now < f.renew_again);
        if state.flight.is_none() && !too_soon {
            self.metrics.refreshes.inc();
            let (pilot, _) = self.take_off(&mut state, None);
            drop(state);
            self.fly(pilot);
        }
    }

    /// Reserves the one fetch that may be on its way.
    fn take_off(
        self: &Arc<Self>,
        state: &mut State,
        claims: Option<ClaimsRequest>,
    ) -> (Pilot, Flight) {
        let (landing, flight) = Flight::take_off();
        state.flight = Some(flight.clone());
        let slot = Arc::clone(self);
        (Pilot { slot, claims, rejected: false, landing, landed: false }, flight)
    }

    /// Runs it in a task of its own: it belongs to nobody who waits for it. Never under the lock: a
    /// runtime that is shutting down drops the task at once, and dropping a pilot takes the lock.
    fn fly(&self, mut pilot: Pilot) {
        self.fetcher.spawn(async move {
            let timer = pilot.slot.metrics.seconds.start_timer();
            let slot = Arc::clone(&pilot.slot);
            let fetched = slot.source.fetch(pilot.claims.as_ref(), &slot.clock).await;
            timer.observe_duration();
            pilot.land(fetched);
        });
    }

    /// The token within its margin: no longer handed out freely, but better than a failure.
    fn still_valid(&self) -> Option<Arc<AccessToken>> {
        let now = self.clock.now();
        self.current.load_full().filter(|token| !token.is_expired(now))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries one fetch to its end, even when the task panics.
struct Pilot {
    slot: Arc<Slot>,
    claims: Option<ClaimsRequest>,
    /// Whether an upstream did not want the token that it replaces.
    rejected: bool,
    landing: Landing,
    landed: bool,
}

impl Pilot {
    fn land(&mut self, fetched: Result<AccessToken, AcquireError>) {
        self.landed = true;
        let slot = &self.slot;
        let client = &slot.source.client().name;
        if fetched.as_ref().err().is_none_or(AcquireError::was_asked) {
            slot.metrics.landed(client, fetched.as_ref().err());
        }
        let mut state = slot.lock();
        state.flight = None;
        let result = match fetched.map(Arc::new) {
            Ok(token) => {
                if let Some(failure) = state.failure.take() {
                    tracing::info!(%client, after_failures = failure.streak, "token obtained");
                } else {
                    tracing::debug!(%client, "token obtained");
                }
                if token.is_cacheable() {
                    slot.current.store(Some(Arc::clone(&token)));
                }
                Ok(token)
            }
            Err(error) => {
                if self.rejected && self.claims.is_none() && error.needs_user().is_some() {
                    // Neither the upstream nor the authority wants it any more.
                    slot.current.store(None);
                }
                let authority = slot.source.client().authority.name();
                tracing::warn!(%client, authority, reason = error.reason(), %error, "no token");
                let streak = state.failure.as_ref().map_or(1, |failure| failure.streak + 1);
                let now = slot.clock.now();
                // What a challenge demanded is nothing that other calls ask for.
                let is_theirs = self.claims.is_some() && error.is_refusal();
                let failure = Failure::new(Arc::new(error), streak, now);
                let seen = failure.as_seen_at(now);
                if !is_theirs {
                    state.failure = Some(failure);
                }
                Err(seen)
            }
        };
        drop(state);
        self.landing.tell(result);
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.landed {
            self.land(Err(AcquireError::Aborted));
        }
    }
}

const MAX_WARM_UP_PAUSE: Duration = Duration::from_secs(60);
