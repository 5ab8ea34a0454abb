//! The current key set of an issuer: fetched, renewed, kept through outages.
//!
//! Part of `inbound`. A task of its own renews it; traffic only reads. An unknown `kid` may be a key that
//! has just been published, so it brings one fetch forward for everyone who waits, but not more often than
//! the cool-down: callers must not be able to make us call. The last good set serves through an outage up
//! to a hard limit.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus::{IntCounterVec, IntGauge};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::key::VerificationKey;
use super::key_set::{KeySet, NoKey};
use super::key_source::{FetchError, Fetched, KeySource};
use crate::algorithm::Algorithm;
use crate::clock::{Clock, Moment};

/// Counters of one issuer's keys.
#[derive(Clone, Debug)]
pub struct KeyMetrics {
    /// Fetches by `issuer` and `outcome`.
    pub fetches: IntCounterVec,
    /// Keys in use.
    pub keys: IntGauge,
}

/// Why a key cannot be had now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// The set does not answer the question.
    #[error("{}", match .0 {
        NoKey::Ambiguous => "more than one key could be meant",
        NoKey::Unfit => "the key is not for this algorithm",
        NoKey::Unknown => "no such key is published",
    })]
    NoKey(NoKey),
    /// There is no set, or it is too old.
    #[error("the issuer's keys cannot be had: {0}")]
    Unavailable(String),
}

/// The current key set of an issuer.
#[derive(Debug)]
pub struct KeyRing {
    issuer: Arc<str>,
    source: Arc<KeySource>,
    clock: Clock,
    fetcher: Handle,
    metrics: KeyMetrics,
    current: ArcSwapOption<Current>,
    state: Mutex<State>,
    /// Dropped with the first key set: readiness waits for it.
    waiting: Mutex<Option<Box<dyn Any + Send>>>,
}

#[derive(Debug)]
struct Current {
    keys: KeySet,
    /// The issuer as the metadata name it.
    discovered: Option<String>,
    fetched: Moment,
}

#[derive(Debug, Default)]
struct State {
    /// Goes from false to true when the fetch on its way has ended.
    flight: Option<watch::Receiver<bool>>,
    failure: Option<Failure>,
    /// When an unknown name may bring the next fetch forward.
    next_on_demand: Option<Moment>,
}

#[derive(Clone, Debug)]
struct Failure {
    text: String,
    reason: &'static str,
    streak: u32,
    ask_again: Moment,
    told: Moment,
}

impl KeyRing {
    /// A ring whose fetches run on `fetcher`; nothing happens before [`Self::keep_fresh`].
    #[must_use]
    pub fn new(
        issuer: &Arc<str>,
        source: Arc<KeySource>,
        clock: Clock,
        fetcher: Handle,
        metrics: KeyMetrics,
    ) -> Arc<Self> {
        let (current, state, waiting) =
            (ArcSwapOption::empty(), Mutex::default(), Mutex::default());
        let issuer = Arc::clone(issuer);
        Arc::new(Self { issuer, source, clock, fetcher, metrics, current, state, waiting })
    }

    /// The key of this name, waiting for a newer set when the one at hand does not have it.
    ///
    /// # Errors
    /// When there is no such key, or no set that is fresh enough.
    pub async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<(Arc<VerificationKey>, Option<String>), KeyError> {
        // Twice: the fetch that is on its way may have begun before the key was published.
        for _ in 0..2 {
            match self.find_now(kid, algorithm) {
                Err(KeyError::NoKey(NoKey::Unknown) | KeyError::Unavailable(_)) => {}
                found => return found,
            }
            let Some(mut flight) = self.fetch_on_demand() else { break };
            let _ = flight.wait_for(|ended| *ended).await;
        }
        self.find_now(kid, algorithm)
    }

    /// Whether there is a set that may still be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.age().is_some_and(|age| age <= self.source.stale)
    }

    /// Time since the set was last seen at its source.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let current = self.current.load();
        Some(current.as_ref()?.fetched.until(self.clock.now()))
    }

    /// How many keys are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.load().as_ref().map_or(0, |current| current.keys.len())
    }

    /// Whether no key is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why the latest fetch failed, unless one succeeded since.
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        self.lock().failure.as_ref().map(|failure| failure.reason)
    }

    /// Fetches the set again and again for as long as somebody holds the ring; drops `waiting` when there
    /// is one for the first time.
    pub async fn keep_fresh(ring: Weak<Self>, waiting: impl Any + Send) {
        if let Some(ring) = ring.upgrade() {
            *ring.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(waiting));
        }
        while let Some(ring) = ring.upgrade() {
            if ring.is_due() {
                let mut flight = ring.fetch_anyway();
                let _ = flight.wait_for(|ended| *ended).await;
            }
            let pause = ring.pause();
            drop(ring);
            tokio::time::sleep(pause).await;
        }
    }

    /// Not when somebody who waited has just had it fetched.
    fn is_due(&self) -> bool {
        let fresh = self.age().is_some_and(|age| age < self.source.pause().mul_f64(0.85));
        !fresh || self.failure().is_some()
    }

    fn find_now(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<(Arc<VerificationKey>, Option<String>), KeyError> {
        let current = self.current.load();
        let current = current.as_ref().filter(|_| self.is_usable()).ok_or_else(|| {
            let failure = self.lock().failure.clone();
            let why = failure.map_or_else(|| "not fetched yet".into(), |failure| failure.text);
            KeyError::Unavailable(format!("issuer {}: {why}", self.issuer))
        })?;
        let key = current.keys.find(kid, algorithm).map_err(KeyError::NoKey)?;
        Ok((Arc::clone(key), current.discovered.clone()))
    }

    /// The fetch on its way, or a new one when the cool-down allows it.
    fn fetch_on_demand(self: &Arc<Self>) -> Option<watch::Receiver<bool>> {
        let now = self.clock.now();
        let mut state = self.lock();
        if let Some(flight) = &state.flight {
            return Some(flight.clone());
        }
        // While there is no key at all, the pause after a failure is all that holds us back.
        let is_usable = self.is_usable();
        let after_failure = || state.failure.as_ref().map(|failure| failure.ask_again);
        let next = if is_usable { state.next_on_demand } else { after_failure() };
        if next.is_some_and(|next| now < next) {
            return None;
        }
        if is_usable {
            state.next_on_demand = Some(now.after(self.source.cool_down));
        }
        let (landing, flight) = Self::take_off(&mut state);
        drop(state);
        self.fly(landing);
        Some(flight)
    }

    fn fetch_anyway(self: &Arc<Self>) -> watch::Receiver<bool> {
        let mut state = self.lock();
        if let Some(flight) = &state.flight {
            return flight.clone();
        }
        let (landing, flight) = Self::take_off(&mut state);
        drop(state);
        self.fly(landing);
        flight
    }

    fn take_off(state: &mut State) -> (watch::Sender<bool>, watch::Receiver<bool>) {
        let (landing, flight) = watch::channel(false);
        state.flight = Some(flight.clone());
        (landing, flight)
    }

    /// Runs in a task of its own: it belongs to nobody who waits for it.
    fn fly(self: &Arc<Self>, landing: watch::Sender<bool>) {
        let landing = Landing { ring: Arc::clone(self), landing };
        self.fetcher.spawn(async move {
            let ring = &landing.ring;
            let previous = ring.current.load_full();
            let previous = previous.as_ref().map(|current| &current.keys);
            let fetched = ring.source.fetch(previous, &ring.clock).await;
            landing.ring.take(fetched);
            drop(landing);
        });
    }

    /// Puts a new set in place, or remembers why there is none.
    fn take(&self, fetched: Fetched) {
        let now = self.clock.now();
        let issuer = self.issuer.as_ref();
        let outcome = match fetched {
            Ok((keys, discovered)) => {
                if let Some(old) = self.current.load().as_ref() {
                    old.keys.retire_all_but(&keys);
                }
                let private = keys.private();
                let told = self.current.load().as_ref().map_or(0, |old| old.keys.private());
                if private > told {
                    let what = "the issuer publishes private or symmetric keys; they are not used";
                    tracing::warn!(issuer, private, "{what}");
                }
                self.metrics.keys.set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
                self.current.store(Some(Arc::new(Current { keys, discovered, fetched: now })));
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(failure) = self.lock().failure.take() {
                    tracing::info!(issuer, after_failures = failure.streak, "keys obtained");
                }
                if private > 0 { "keys_and_private_ones" } else { "keys" }
            }
            Err(error) => self.note_failure(&error),
        };
        self.metrics.fetches.with_label_values(&[issuer, outcome]).inc();
    }

    /// Remembers why there is no newer set, and says so: at first, when it changes, and once a minute.
    fn note_failure(&self, error: &FetchError) -> &'static str {
        let (issuer, now, age) = (self.issuer.as_ref(), self.clock.now(), self.age());
        let (text, reason) = (error.to_string(), error.reason());
        let mut state = self.lock();
        let old = state.failure.as_ref();
        let streak = old.map_or(1, |failure| failure.streak + 1);
        let is_news = old.is_none_or(|old| old.text != text || old.told.until(now) >= TELL_AGAIN);
        let told = old.filter(|_| !is_news).map_or(now, |old| old.told);
        let doubled = FIRST_PAUSE * 2_u32.saturating_pow(streak.min(8) - 1);
        let ask_again = now.after(doubled.min(MAX_ASK_PAUSE));
        if is_news {
            let age = age.map(|age| age.as_secs());
            let what = match age {
                None => "no keys yet: this issuer's callers get 503",
                Some(_) if self.is_usable() => "no newer keys; the last good ones serve",
                Some(_) => "the last good keys are too old: this issuer's callers get 503",
            };
            tracing::warn!(issuer, reason, error = text, failures = streak, age, "{what}");
        }
        state.failure = Some(Failure { text, reason, streak, ask_again, told });
        reason
    }

    /// Until the next fetch: soon while there is no set, less often with one, jittered.
    fn pause(&self) -> Duration {
        let streak = self.lock().failure.as_ref().map_or(0, |failure| failure.streak);
        let doubled = FIRST_PAUSE * 2_u32.saturating_pow(streak.clamp(1, 12) - 1);
        let pause = match (streak, self.is_usable()) {
            (0, true) => self.source.pause().saturating_sub(self.age().unwrap_or_default()),
            (_, true) => doubled.min(MAX_RENEW_PAUSE).min(self.source.pause()),
            // A caller who needs a key has it fetched sooner.
            (_, false) => doubled.min(MAX_WAIT),
        };
        pause.mul_f64(0.9 + fastrand::f64() / 10.0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a fetch for those who wait, even when the task is dropped.
struct Landing {
    ring: Arc<KeyRing>,
    landing: watch::Sender<bool>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.ring.lock().flight = None;
        self.landing.send_replace(true);
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Short enough that Vicar is back within two seconds of the issuer.
const MAX_ASK_PAUSE: Duration = Duration::from_secs(1);
/// Without a caller who waits.
const MAX_WAIT: Duration = Duration::from_secs(10);
const TELL_AGAIN: Duration = Duration::from_secs(60);
const MAX_RENEW_PAUSE: Duration = Duration::from_secs(60);
