//! The user cache: tokens on behalf of callers.
//!
//! Part of `token::cache`. A token is found by the digest of everything that can change it, the exact subject
//! token included, so nobody is served what another's call obtained. It is never kept longer than the subject
//! token is good. Concurrent calls with one key share one exchange.

mod pilot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::runtime::Handle;

use self::pilot::Pilot;
use super::exchanger::Exchanger;
use super::failure::Failures;
use super::flight::Flight;
use super::gate::Gate;
use super::session::Sessions;
use super::slot::{Slot, Source};
use super::store::Store;
use super::{Fetched, Replacement, TokenMetrics};
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};
use crate::inbound::{Subject, Verified};
use crate::token::{AccessToken, AcquireFailure, ClaimsRequest, SessionKey, UserSpec};

/// Every token on behalf of callers, and what is remembered of failures.
#[derive(Debug)]
pub struct UserCache {
    clock: Clock,
    fetcher: Handle,
    store: Store,
    flights: Vec<Mutex<HashMap<CacheKey, Flight>>>,
    failures: Arc<Failures>,
    /// When an upstream's word last made us ask anew.
    rejections: Cache<CacheKey, Moment>,
    sessions: Sessions,
    gates: Mutex<HashMap<Arc<str>, Arc<Gate>>>,
}

/// What the user cache may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// All tokens together, about.
    pub bytes: u64,
    /// Tokens of one subject, and sessions.
    pub per_subject: usize,
    /// Long-running sessions.
    pub sessions: usize,
}

/// A route that acts on behalf of callers, as the cache needs to know it.
#[derive(Debug)]
pub struct UserRoute<'a> {
    /// Its name.
    pub name: &'a str,
    /// What is asked for.
    pub spec: &'a Arc<UserSpec>,
    /// The slot of our own token, where the route names us as the actor.
    pub actor: Option<Arc<Slot>>,
    /// How its tokens are counted.
    pub metrics: TokenMetrics,
    /// How those of its sessions are counted.
    pub session_metrics: TokenMetrics,
}

/// One route's way into the user cache.
#[derive(Debug)]
pub struct UserTokens {
    cache: Arc<UserCache>,
    exchanger: Arc<Exchanger>,
    route: String,
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
            fetcher,
            store: Store::new(bounds.bytes, bounds.per_subject),
            flights: (0..FLIGHT_SHARDS).map(|_| Mutex::default()).collect(),
            failures: Arc::new(Failures::new(clock.clone())),
            rejections: Cache::new(REJECTIONS),
            sessions: Sessions::new(bounds.sessions, bounds.per_subject),
            gates: Mutex::default(),
            clock,
        }
    }

    /// A route's way in.
    #[must_use]
    pub fn tokens(self: &Arc<Self>, route: UserRoute<'_>) -> Arc<UserTokens> {
        let UserRoute { name, spec, actor, metrics, session_metrics } = route;
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            let gate = || Arc::new(Gate::new(self.clock.clone(), spec.client.max_in_flight));
            Arc::clone(gates.entry(Arc::clone(&spec.client.name)).or_insert_with(gate))
        };
        let (base, spec) = (spec.base_key(), Arc::clone(spec));
        let (failures, clock) = (Arc::clone(&self.failures), self.clock.clone());
        let exchanger = Arc::new(Exchanger { spec, base, actor, gate, failures, clock });
        let (cache, route) = (Arc::clone(self), name.to_owned());
        Arc::new(UserTokens { cache, exchanger, route, metrics, session_metrics })
    }

    /// Lets go of everything that is kept for a subject; says how many tokens and sessions that were.
    pub fn purge(&self, issuer: &str, subject: &str) -> (usize, usize) {
        let subject = Verified::subject_id(issuer, subject);
        (self.store.purge(&subject), self.sessions.purge(&subject))
    }

    /// Lets go of everything that has expired.
    pub fn sweep(&self) {
        let now = self.clock.now();
        self.store.sweep(now);
        self.sessions.sweep(now);
    }

    /// Every client that asks on behalf of callers, and why its latest question got no token.
    #[must_use]
    pub fn clients(&self) -> Vec<(Arc<str>, Option<&'static str>)> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().map(|(client, gate)| (Arc::clone(client), gate.failure())).collect()
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

    /// Whether the subject's own token has expired, though `inbound` still lets it pass for the sake of clocks
    /// that differ: what it is exchanged for could not be kept.
    #[must_use]
    pub fn is_over(&self, subject: &Subject) -> bool {
        self.now() >= subject.expires(&self.cache.clock)
    }

    /// A token on behalf of `subject` that may be sent now.
    ///
    /// # Errors
    /// When there is none and the authority gave none, or failed so recently that it was not asked.
    pub async fn token(self: &Arc<Self>, subject: &Subject) -> Fetched {
        let (now, key) = (self.now(), self.exchanger.key(subject));
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
                Some(token) if self.cache.failures.know(&key) => Ok(Arc::clone(token)),
                _ => flight.landed().await,
            },
            Next::Refused(failure) => Err(failure),
        };
        // Within its margin it is no longer handed out freely, but better than a failure of any kind.
        fetched.or_else(|failure| held.filter(|token| !token.is_expired(self.now())).ok_or(failure))
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
        opened.map_err(|error| {
            let retry_in = error.told_to_wait().unwrap_or(SOON);
            AcquireFailure { error: Arc::new(error), retry_in }
        })
    }

    /// Ends a session; says whether there was one.
    #[must_use]
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
        let (now, key) = (self.now(), self.exchanger.key(subject));
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
        if lately || self.exchanger.held(&key, subject, now).is_some() {
            return Replacement::TooSoon;
        }
        self.cache.rejections.insert(key, now);
        self.metrics.rejections.inc();
        let (mut pilot, flight) = self.take_off(&mut flights, subject, key);
        drop(flights);
        pilot.replaces(rejected);
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
        if let Some(failure) = self.exchanger.held(&key, subject, now) {
            return Next::Refused(failure);
        }
        let (pilot, flight) = self.take_off(&mut flights, subject, key);
        drop(flights);
        self.fly(pilot, None);
        Next::Wait(flight)
    }

    /// Starts an exchange in the background unless one is on its way or failed a moment ago.
    fn renew(self: &Arc<Self>, subject: &Subject, key: CacheKey, now: Moment) {
        let held = self.exchanger.held(&key, subject, now).is_some();
        if held || !self.cache.failures.allow_renewal(&key, now) {
            return;
        }
        let mut flights = self.cache.flights(&key);
        let renewed = self.cache.store.get(subject.id(), &key).is_some_and(|t| !t.is_due(now));
        if !renewed && !flights.contains_key(&key) {
            self.metrics.refreshes.inc();
            let (pilot, _) = self.take_off(&mut flights, subject, key);
            drop(flights);
            self.fly(pilot, None);
        }
    }

    /// Reserves the one exchange that may be on its way.
    fn take_off(
        self: &Arc<Self>,
        flights: &mut HashMap<CacheKey, Flight>,
        subject: &Subject,
        key: CacheKey,
    ) -> (Pilot, Flight) {
        // A copy of the token: the request's own buffers must not live as long as the queue is.
        let subject = subject.detached();
        let (landing, flight) = Flight::take_off();
        flights.insert(key, flight.clone());
        let purges = self.cache.store.purges(subject.id());
        let tokens = Arc::clone(self);
        (Pilot::new(tokens, subject, key, purges, landing), flight)
    }

    /// Runs it in a task of its own: it belongs to nobody who waits for it. Never under the lock: a
    /// runtime that is shutting down drops the task at once, and dropping a pilot takes the lock.
    fn fly(&self, pilot: Pilot, claims: Option<ClaimsRequest>) {
        self.cache.fetcher.spawn(pilot.fly(claims));
    }

    fn now(&self) -> Moment {
        self.cache.clock.now()
    }

    /// A session belongs to its route: what one route lets go on, another need not.
    fn session_key(&self, name: &[u8]) -> CacheKey {
        let mut key = CacheKey::builder();
        key.field("session of", self.exchanger.base.as_bytes());
        key.field("route", self.route.as_bytes());
        let named_by: &[u8] = match self.spec().session.as_ref().map(|session| &session.key) {
            Some(SessionKey::Fixed(_)) => b"route",
            _ => b"call",
        };
        key.field("named by", named_by);
        key.field("name", name);
        key.finish()
    }
}

const FLIGHT_SHARDS: usize = 64;
const REJECTIONS: usize = 65_536;
const SOON: Duration = Duration::from_secs(1);
