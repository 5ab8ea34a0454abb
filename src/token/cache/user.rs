//! The user cache: tokens on behalf of callers.
//!
//! Part of `token::cache`. A token is found by the digest of everything that can change it, the exact subject
//! token included, so nobody is served what another's call obtained. It is never kept longer than the subject
//! token is good. Concurrent calls with one key share one exchange.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::runtime::Handle;

use super::exchanger::Exchanger;
use super::failure::Failure;
use super::flight::{Flight, Landing};
use super::gate::Gate;
use super::session::Sessions;
use super::slot::{Slot, Source};
use super::store::Store;
use super::{Fetched, Replacement, TokenMetrics};
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};
use crate::inbound::{Subject, Verified};
use crate::token::{AccessToken, AcquireError, AcquireFailure, ClaimsRequest, UserSpec};

/// Every token on behalf of callers, and what is remembered of failures.
#[derive(Debug)]
pub struct UserCache {
    clock: Clock,
    fetcher: Handle,
    store: Store,
    flights: Vec<Mutex<HashMap<CacheKey, Flight>>>,
    failures: Cache<CacheKey, Arc<Failure>>,
    /// When an upstream's word last made us ask anew.
    rejections: Cache<CacheKey, Moment>,
    sessions: Sessions,
    gates: Mutex<HashMap<Arc<str>, Arc<Gate>>>,
    /// Counts purges: what took off before one is not kept after it.
    purges: AtomicU64,
}

/// What the user cache may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// All tokens together, about.
    pub bytes: u64,
    /// Tokens of one subject.
    pub per_subject: usize,
    /// Long-running sessions.
    pub sessions: usize,
}

/// One route's way into the user cache.
#[derive(Debug)]
pub struct UserTokens {
    cache: Arc<UserCache>,
    exchanger: Arc<Exchanger>,
    base: CacheKey,
    metrics: TokenMetrics,
    session_metrics: TokenMetrics,
}

/// How a call without a usable token goes on.
enum Next {
    Have(Arc<AccessToken>),
    Wait(Flight),
    Refused(AcquireFailure),
}

impl UserCache {
    /// An empty cache whose fetches run on `fetcher`, whoever waits for them.
    #[must_use]
    pub fn new(clock: Clock, fetcher: Handle, bounds: Bounds) -> Self {
        Self {
            clock,
            fetcher,
            store: Store::new(bounds.bytes, bounds.per_subject),
            flights: (0..FLIGHT_SHARDS).map(|_| Mutex::default()).collect(),
            failures: Cache::new(REMEMBERED),
            rejections: Cache::new(REMEMBERED),
            sessions: Sessions::new(bounds.sessions),
            gates: Mutex::default(),
            purges: AtomicU64::new(0),
        }
    }

    /// A route's way in; `actor` is the slot of our own token, where the route names one.
    #[must_use]
    pub fn tokens(
        self: &Arc<Self>,
        spec: &Arc<UserSpec>,
        actor: Option<Arc<Slot>>,
        metrics: TokenMetrics,
        session_metrics: TokenMetrics,
    ) -> Arc<UserTokens> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            let gate = || Arc::new(Gate::new(self.clock.clone(), spec.client.max_in_flight));
            Arc::clone(gates.entry(Arc::clone(&spec.client.name)).or_insert_with(gate))
        };
        let (spec, clock) = (Arc::clone(spec), self.clock.clone());
        let base = spec.base_key();
        let exchanger = Arc::new(Exchanger { spec, actor, gate, clock });
        let cache = Arc::clone(self);
        Arc::new(UserTokens { cache, exchanger, base, metrics, session_metrics })
    }

    /// Lets go of everything that is kept for a subject; says how many tokens and sessions that were.
    pub fn purge(&self, issuer: &str, subject: &str) -> (usize, usize) {
        let subject = Verified::subject_id(issuer, subject);
        // First, so that an exchange that ends just now is not kept either.
        self.purges.fetch_add(1, Ordering::SeqCst);
        (self.store.purge(&subject), self.sessions.purge(&subject))
    }

    /// Lets go of everything that has expired.
    pub fn sweep(&self) {
        let now = self.clock.now();
        self.store.sweep(now);
        self.sessions.sweep(now);
    }

    /// Subjects with a token, about how many bytes all tokens take, and sessions.
    #[must_use]
    pub fn size(&self) -> (usize, u64, usize) {
        (self.store.subjects(), self.store.bytes(), self.sessions.len())
    }

    fn flights(&self, key: &CacheKey) -> MutexGuard<'_, HashMap<CacheKey, Flight>> {
        let shard = usize::from(key.as_bytes()[0]) % self.flights.len();
        self.flights[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserTokens {
    /// What is asked for.
    #[must_use]
    pub fn spec(&self) -> &UserSpec {
        &self.exchanger.spec
    }

    /// A token on behalf of `subject` that may be sent now.
    ///
    /// # Errors
    /// When there is none and the authority gave none, or failed so recently that it was not asked.
    pub async fn token(self: &Arc<Self>, subject: &Subject) -> Fetched {
        let now = self.now();
        let key = self.spec().key(&self.base, subject);
        let held = self.cache.store.get(subject.id(), &key);
        let held = held.filter(|token| !token.is_expired(now));
        if let Some(token) = held.as_ref().filter(|token| token.is_usable(now)) {
            self.metrics.hits.inc();
            if token.is_due(now) {
                self.renew(subject, key, now);
            }
            return Ok(Arc::clone(token));
        }
        self.metrics.misses.inc();
        let fetched = match self.next(subject, key, now) {
            Next::Have(token) => return Ok(token),
            Next::Wait(flight) => match &held {
                // Renewal failed before, so the token at hand is not worth keeping anyone waiting.
                Some(token) if self.cache.failures.contains_key(&key) => Ok(Arc::clone(token)),
                _ => flight.landed().await,
            },
            Next::Refused(failure) => Err(failure),
        };
        // Within its margin it is no longer handed out freely, but better than a passing failure.
        fetched.or_else(|failure| match held.filter(|token| !token.is_expired(self.now())) {
            Some(token) if !matches!(*failure.error, AcquireError::NeedsUser(_)) => Ok(token),
            _ => Err(failure),
        })
    }

    /// The place of the token of a session, which a person's call begins.
    ///
    /// # Errors
    /// When there is no such session and the call cannot begin one, or it is another person's.
    pub fn session(
        &self,
        name: &[u8],
        subject: Option<&Subject>,
    ) -> Result<Arc<Slot>, AcquireFailure> {
        let cache = &self.cache;
        let slot = |grant| {
            let (clock, fetcher) = (cache.clock.clone(), cache.fetcher.clone());
            Slot::new(Source::Session(grant), clock, fetcher, self.session_metrics.clone())
        };
        let opened = cache.sessions.open(self.session_key(name), subject, &self.exchanger, slot);
        opened.map_err(|error| AcquireFailure { error: Arc::new(error), retry_in: SOON })
    }

    /// Ends a session; says whether there was one.
    pub fn stop_session(&self, name: &[u8]) -> bool {
        self.cache.sessions.stop(&self.session_key(name))
    }

    /// Takes an upstream's word that it does not want `rejected`, as [`Slot::replace`] does.
    #[must_use]
    pub fn replace(
        self: &Arc<Self>,
        subject: &Subject,
        rejected: &Arc<AccessToken>,
        claims: Option<ClaimsRequest>,
        window: Duration,
    ) -> Replacement {
        let now = self.now();
        let key = self.spec().key(&self.base, subject);
        let mut flights = self.cache.flights(&key);
        match self.cache.store.get(subject.id(), &key) {
            Some(other) if !Arc::ptr_eq(&other, rejected) && other.is_usable(now) => {
                return Replacement::Now(other);
            }
            _ => {}
        }
        if let Some(flight) = flights.get(&key) {
            return Replacement::Coming(flight.clone());
        }
        let lately = self.cache.rejections.get(&key).is_some_and(|then| now < then.after(window));
        if lately || self.asked_lately(&key, now).is_some() {
            return Replacement::TooSoon;
        }
        self.cache.rejections.insert(key, now);
        self.metrics.rejections.inc();
        let (mut pilot, flight) = self.take_off(&mut flights, subject, key);
        drop(flights);
        pilot.rejected = Some(Arc::clone(rejected));
        self.fly(pilot, claims);
        Replacement::Coming(flight)
    }

    /// Decides under the lock, so that of any number of misses exactly one starts a fetch.
    fn next(self: &Arc<Self>, subject: &Subject, key: CacheKey, now: Moment) -> Next {
        let mut flights = self.cache.flights(&key);
        let held = self.cache.store.get(subject.id(), &key);
        if let Some(token) = held.filter(|token| token.is_usable(now)) {
            return Next::Have(token);
        }
        if let Some(flight) = flights.get(&key) {
            return Next::Wait(flight.clone());
        }
        if let Some(failure) = self.asked_lately(&key, now) {
            return Next::Refused(failure);
        }
        let (pilot, flight) = self.take_off(&mut flights, subject, key);
        drop(flights);
        self.fly(pilot, None);
        Next::Wait(flight)
    }

    /// Starts an exchange in the background unless one is on its way or failed a moment ago.
    fn renew(self: &Arc<Self>, subject: &Subject, key: CacheKey, now: Moment) {
        let failure = self.cache.failures.get(&key);
        if failure.is_some_and(|failure| now < failure.renew_again) {
            return;
        }
        let mut flights = self.cache.flights(&key);
        if !flights.contains_key(&key) && self.exchanger.gate.closed(now).is_none() {
            self.metrics.refreshes.inc();
            let (pilot, _) = self.take_off(&mut flights, subject, key);
            drop(flights);
            self.fly(pilot, None);
        }
    }

    /// Why the authority is not asked for this token now.
    fn asked_lately(&self, key: &CacheKey, now: Moment) -> Option<AcquireFailure> {
        let failure = self.cache.failures.get(key).filter(|failure| now < failure.ask_again);
        failure.map(|failure| failure.as_seen_at(now)).or_else(|| self.exchanger.gate.closed(now))
    }

    /// Reserves the one exchange that may be on its way.
    fn take_off(
        self: &Arc<Self>,
        flights: &mut HashMap<CacheKey, Flight>,
        subject: &Subject,
        key: CacheKey,
    ) -> (Pilot, Flight) {
        let (landing, flight) = Flight::take_off();
        flights.insert(key, flight.clone());
        let purges = self.cache.purges.load(Ordering::SeqCst);
        // A copy of the token: the request's own buffers must not live as long as the queue is.
        let (tokens, subject) = (Arc::clone(self), subject.detached());
        let rejected = None;
        (Pilot { tokens, subject, key, rejected, purges, landing, landed: false }, flight)
    }

    /// Runs it in a task of its own: it belongs to nobody who waits for it. Never under the lock: a
    /// runtime that is shutting down drops the task at once, and dropping a pilot takes the lock.
    fn fly(&self, pilot: Pilot, claims: Option<ClaimsRequest>) {
        self.cache.fetcher.spawn(pilot.fly(claims));
    }

    fn now(&self) -> Moment {
        self.cache.clock.now()
    }

    fn session_key(&self, name: &[u8]) -> CacheKey {
        let mut key = CacheKey::builder();
        key.field("session of", self.base.as_bytes());
        key.field("name", name);
        key.finish()
    }
}

/// Carries one exchange to its end, even when the task panics or is dropped.
struct Pilot {
    tokens: Arc<UserTokens>,
    subject: Subject,
    key: CacheKey,
    rejected: Option<Arc<AccessToken>>,
    purges: u64,
    landing: Landing,
    landed: bool,
}

impl Pilot {
    async fn fly(mut self, claims: Option<ClaimsRequest>) {
        let timer = self.tokens.metrics.seconds.start_timer();
        let obtained = self.tokens.exchanger.exchange(&self.subject, claims.as_ref()).await;
        timer.observe_duration();
        // A refresh token has no place here: without a session nobody would ever use it.
        let end = self.subject.expires(&self.tokens.cache.clock);
        self.land(obtained.map(|obtained| obtained.token.no_longer_than(end)));
    }

    fn land(&mut self, fetched: Result<AccessToken, AcquireError>) {
        self.landed = true;
        let (tokens, cache) = (&self.tokens, &self.tokens.cache);
        let client = &tokens.spec().client;
        tokens.metrics.landed(&client.name, &fetched);
        let fetched = match fetched.map(Arc::new) {
            Ok(token) => {
                tokens.exchanger.gate.note(None);
                self.keep(&token);
                tracing::debug!(client = %client.name, "token on behalf of a caller obtained");
                Ok(token)
            }
            Err(error) => Err(self.remember(error)),
        };
        cache.flights(&self.key).remove(&self.key);
        self.landing.tell(fetched);
    }

    fn keep(&self, token: &Arc<AccessToken>) {
        let cache = &self.tokens.cache;
        cache.failures.remove(&self.key);
        let now = cache.clock.now();
        let may_be_kept = token.is_cacheable() && !token.is_expired(now);
        if may_be_kept && cache.purges.load(Ordering::SeqCst) == self.purges {
            cache.store.put(self.subject.id(), self.key, token, now);
        }
    }

    fn remember(&self, error: AcquireError) -> AcquireFailure {
        let cache = &self.tokens.cache;
        let client = &self.tokens.spec().client;
        let (name, authority) = (client.name.as_ref(), client.authority.name());
        let reason = error.reason();
        tracing::warn!(client = name, authority, reason, %error, "no token on behalf of a caller");
        let error = Arc::new(error);
        self.tokens.exchanger.gate.note(Some(&error));
        let (now, subject) = (cache.clock.now(), self.subject.id());
        if let (Some(rejected), AcquireError::NeedsUser(_)) = (&self.rejected, &*error) {
            // Neither the upstream nor the authority wants it any more.
            cache.store.remove(subject, &self.key, rejected, now);
        }
        let streak = cache.failures.get(&self.key).map_or(1, |failure| failure.streak + 1);
        let failure = Failure::new(error, streak, now);
        let seen = failure.as_seen_at(now);
        cache.failures.insert(self.key, Arc::new(failure));
        seen
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.landed {
            self.land(Err(AcquireError::Aborted));
        }
    }
}

const FLIGHT_SHARDS: usize = 64;
/// Keys whose latest failure, or rejection by an upstream, is remembered.
const REMEMBERED: usize = 65_536;
const SOON: Duration = Duration::from_secs(1);
