//! One cached token: who may have it, who fetches it, what is remembered of failures.
//!
//! Part of `token::cache`. Invariants kept here, each with a test: an expired token is never handed
//! out; a still-valid one survives any failure; concurrent misses make one request; a caller that
//! goes away does not cancel the fetch that others wait for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus::{Histogram, IntCounter, IntCounterVec};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::authority::{AuthorityError, ClientSpec};
use crate::clock::{Clock, Moment};
use crate::token::error::{AcquireFailure, Fault};
use crate::token::{AccessToken, AcquireError, TokenSpec};

/// The place of one token.
#[derive(Debug)]
pub struct Slot {
    spec: Arc<TokenSpec>,
    clock: Clock,
    fetcher: Handle,
    metrics: TokenMetrics,
    current: ArcSwapOption<AccessToken>,
    state: Mutex<State>,
}

/// Counters of one client's tokens.
#[derive(Clone, Debug)]
pub struct TokenMetrics {
    /// Requests that a cached token answered.
    pub hits: IntCounter,
    /// Requests that had to wait for the authority, or were refused from memory.
    pub misses: IntCounter,
    /// Renewals started in the background.
    pub refreshes: IntCounter,
    /// Fetches by `outcome`: `token`, or the failure's reason.
    pub fetches: IntCounterVec,
    /// Seconds per fetch, retry included.
    pub seconds: Histogram,
}

type Fetched = Result<Arc<AccessToken>, AcquireFailure>;
type Flight = watch::Receiver<Option<Fetched>>;

#[derive(Debug, Default)]
struct State {
    flight: Option<Flight>,
    failure: Option<Failure>,
}

/// What is remembered of the latest failures, so that a broken authority is not hammered.
#[derive(Debug)]
struct Failure {
    error: Arc<AcquireError>,
    streak: u32,
    /// Until then nobody asks again, however much they need the token.
    ask_again: Moment,
    /// Until then nobody asks again merely to renew a token that is still good.
    renew_again: Moment,
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
        spec: Arc<TokenSpec>,
        clock: Clock,
        fetcher: Handle,
        metrics: TokenMetrics,
    ) -> Arc<Self> {
        let (current, state) = (ArcSwapOption::empty(), Mutex::default());
        Arc::new(Self { spec, clock, fetcher, metrics, current, state })
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
            Next::Wait(flight) => landed(flight).await,
            Next::Fly(pilot, flight) => {
                self.fly(pilot);
                match self.still_valid() {
                    // Renewal failed before, so the token at hand is not worth keeping anyone waiting.
                    Some(token) if self.failure().is_some() => Ok(token),
                    _ => landed(flight).await,
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

    /// The client whose token this is.
    #[must_use]
    pub fn client(&self) -> &ClientSpec {
        &self.spec.client
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
                let (pilot, flight) = self.take_off(&mut state);
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
            let (pilot, _) = self.take_off(&mut state);
            drop(state);
            self.fly(pilot);
        }
    }

    /// Reserves the one fetch that may be on its way.
    fn take_off(self: &Arc<Self>, state: &mut State) -> (Pilot, Flight) {
        let (landing, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        (Pilot { slot: Arc::clone(self), landing, landed: false }, flight)
    }

    /// Runs it in a task of its own: it belongs to nobody who waits for it. Never under the lock: a
    /// runtime that is shutting down drops the task at once, and dropping a pilot takes the lock.
    fn fly(&self, mut pilot: Pilot) {
        self.fetcher.spawn(async move {
            let timer = pilot.slot.metrics.seconds.start_timer();
            let fetched = pilot.slot.spec.fetch(&pilot.slot.clock).await;
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
    landing: watch::Sender<Option<Fetched>>,
    landed: bool,
}

impl Pilot {
    fn land(&mut self, fetched: Result<AccessToken, AcquireError>) {
        self.landed = true;
        let slot = &self.slot;
        let client = &slot.spec.client.name;
        let outcome = fetched.as_ref().map_or_else(AcquireError::reason, |_| "token");
        slot.metrics.fetches.with_label_values(&[client.as_ref(), outcome]).inc();
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
                let authority = slot.spec.client.authority.name();
                tracing::warn!(%client, authority, reason = error.reason(), %error, "no token");
                let streak = state.failure.as_ref().map_or(1, |failure| failure.streak + 1);
                let now = slot.clock.now();
                let failure = state.failure.insert(Failure::new(error, streak, now));
                Err(failure.as_seen_at(now))
            }
        };
        drop(state);
        self.landing.send_replace(Some(result));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.landed {
            self.land(Err(AcquireError::Aborted));
        }
    }
}

/// Waits for a fetch to land.
async fn landed(mut flight: Flight) -> Fetched {
    let landed = flight.wait_for(Option::is_some).await;
    landed.ok().and_then(|fetched| fetched.clone()).unwrap_or_else(|| {
        let (error, retry_in) = (Arc::new(AcquireError::Aborted), FIRST_PAUSE);
        Err(AcquireFailure { error, retry_in })
    })
}

impl Failure {
    fn new(error: AcquireError, streak: u32, now: Moment) -> Self {
        let doubled = 2_u32.saturating_pow(streak.min(16) - 1);
        let jitter = 0.75 + fastrand::f64() / 2.0;
        let (ask, renew) = match (&error, error.fault()) {
            (AcquireError::Authority(AuthorityError::Throttled { retry_after, .. }), _) => {
                (*retry_after, *retry_after)
            }
            // A refusal does not pass by itself; somebody has to change something.
            (_, Fault::Ours) => {
                let pause = (REFUSAL_PAUSE * doubled.min(3)).mul_f64(jitter);
                (pause, pause)
            }
            (_, Fault::Authority) => (
                (FIRST_PAUSE * doubled).min(MAX_ASK_PAUSE).mul_f64(jitter),
                (FIRST_PAUSE * doubled).min(MAX_RENEW_PAUSE).mul_f64(jitter),
            ),
        };
        let (ask_again, renew_again) = (now.after(ask), now.after(renew));
        Self { error: Arc::new(error), streak, ask_again, renew_again }
    }

    fn as_seen_at(&self, now: Moment) -> AcquireFailure {
        AcquireFailure { error: Arc::clone(&self.error), retry_in: now.until(self.ask_again) }
    }
}

/// After a first failure that may pass; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Short enough that Vicar is back within two seconds of the authority.
const MAX_ASK_PAUSE: Duration = Duration::from_secs(1);
/// While the old token is good there is no hurry.
const MAX_RENEW_PAUSE: Duration = Duration::from_secs(60);
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);
const MAX_WARM_UP_PAUSE: Duration = Duration::from_secs(60);
