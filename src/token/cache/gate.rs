//! How much of one client's traffic on behalf of callers may reach its authority at once.
//!
//! Part of `token::cache`. Ten thousand users whose tokens expire together make ten thousand exchanges, but
//! the authority sees a bounded number of them on their way. And what is wrong with the client itself, or
//! with the authority, is found out once and not once for every user. Trouble in one tenant is that tenant's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::failure::Failure;
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};
use crate::token::{AcquireError, AcquireFailure};

/// One client's gate.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    room: Semaphore,
    waiting: AtomicUsize,
    /// By tenant, where callers bring their own.
    troubles: Mutex<HashMap<String, Trouble>>,
    /// Why the latest question got no token, unless it was for the person to act.
    latest: Mutex<Option<&'static str>>,
}

/// What went wrong for everybody.
#[derive(Debug, Default)]
struct Trouble {
    /// For whom questions in a row brought no answer; one person's may be about that person.
    silences: Vec<CacheKey>,
    failure: Option<Failure>,
}

impl Gate {
    pub(super) fn new(clock: Clock, max_in_flight: usize) -> Self {
        let room = Semaphore::new(max_in_flight);
        let (waiting, troubles) = (AtomicUsize::new(0), Mutex::default());
        Self { clock, room, waiting, troubles, latest: Mutex::default() }
    }

    /// Why nobody of this client asks at this tenant now.
    pub(super) fn closed(&self, tenant: Option<&str>, now: Moment) -> Option<AcquireFailure> {
        let troubles = self.lock();
        let failure = troubles.get(tenant.unwrap_or_default())?.failure.as_ref()?;
        (now < failure.ask_again).then(|| failure.as_seen_at(now))
    }

    /// Why the latest question got no token, for operations.
    pub(super) fn failure(&self) -> Option<&'static str> {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room, no longer than `patience`; what closes the gate meanwhile is not asked any more.
    pub(super) async fn enter(
        &self,
        tenant: Option<&str>,
        patience: Duration,
    ) -> Result<SemaphorePermit<'_>, AcquireFailure> {
        let open = || self.closed(tenant, self.clock.now()).map_or(Ok(()), Err);
        open()?;
        let waiting = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _leaves = Leaves(&self.waiting);
        if waiting >= MAX_WAITING {
            return Err(busy());
        }
        let permit = tokio::time::timeout(patience, self.room.acquire()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or_else(busy)?;
        open()?;
        Ok(permit)
    }

    /// Learns from the end of a question that was asked for `who`.
    pub(super) fn note(
        &self,
        tenant: Option<&str>,
        who: &CacheKey,
        error: Option<&Arc<AcquireError>>,
    ) {
        let now = self.clock.now();
        if error.is_none_or(|error| error.needs_user().is_none()) {
            let latest = error.map(|error| error.reason());
            *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = latest;
        }
        let mut troubles = self.lock();
        let tenant = tenant.unwrap_or_default();
        let matters = error.filter(|error| error.is_silence() || error.is_about_the_client());
        let Some(error) = matters else {
            // An answer ends the silence. What others were told stays: one that was on its way does not take it back.
            if let Some(trouble) = troubles.get_mut(tenant) {
                trouble.silences.clear();
                if error.is_none() && trouble.has_passed(now) {
                    troubles.remove(tenant);
                }
            }
            return;
        };
        if troubles.len() >= MAX_TENANTS && !troubles.contains_key(tenant) {
            troubles.retain(|_, trouble| !trouble.has_passed(now));
        }
        if troubles.len() < MAX_TENANTS || troubles.contains_key(tenant) {
            troubles.entry(tenant.to_owned()).or_default().note(who, error, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    fn has_passed(&self, now: Moment) -> bool {
        self.failure.as_ref().is_none_or(|failure| now >= failure.ask_again)
    }

    fn note(&mut self, who: &CacheKey, error: &Arc<AcquireError>, now: Moment) {
        if !error.is_silence() {
            self.silences.clear();
        } else if self.silences.len() < SILENCES && !self.silences.contains(who) {
            self.silences.push(*who);
        }
        if !error.is_about_the_client() && self.silences.len() < SILENCES {
            return;
        }
        // Many that fail together are one failure.
        let streak = self
            .failure
            .as_ref()
            .map_or(1, |known| if now < known.ask_again { known.streak } else { known.streak + 1 });
        let failure = Failure::new(Arc::clone(error), streak, now);
        if self.failure.as_ref().is_none_or(|known| known.ask_again < failure.ask_again) {
            self.failure = Some(failure);
        }
    }
}

fn busy() -> AcquireFailure {
    AcquireFailure { error: Arc::new(AcquireError::Busy), retry_in: SOON }
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
const SILENCES: usize = 3;
const MAX_TENANTS: usize = 1024;
const SOON: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::AuthorityError;

    fn silence() -> Arc<AcquireError> {
        Arc::new(AuthorityError::Unreachable("no route".to_owned()).into())
    }

    fn throttled(whole_client: bool) -> Arc<AcquireError> {
        let (status, retry_after, details) = (429, Duration::from_secs(60), None);
        Arc::new(AcquireError::Throttled { status, retry_after, whole_client, details })
    }

    fn person(name: &str) -> CacheKey {
        let mut key = CacheKey::builder();
        key.field("person", name.as_bytes());
        key.finish()
    }

    fn gate() -> (Gate, Arc<crate::clock::ManualClock>) {
        let (clock, moved) = Clock::manual();
        (Gate::new(clock, 1), moved)
    }

    fn is_closed(gate: &Gate, tenant: Option<&str>) -> bool {
        gate.closed(tenant, gate.clock.now()).is_some()
    }

    #[test]
    fn an_answer_that_was_on_its_way_does_not_take_a_closing_back() {
        let (gate, clock) = gate();
        gate.note(None, &person("a"), Some(&throttled(true)));
        gate.note(None, &person("b"), None);
        assert!(is_closed(&gate, None));
        clock.advance(Duration::from_secs(61));
        assert!(!is_closed(&gate, None));
        gate.note(None, &person("b"), None);
        assert!(gate.lock().is_empty(), "nothing is kept of what has passed");
    }

    #[test]
    fn trouble_in_one_tenant_or_of_one_person_is_not_that_of_others() {
        let (gate, _) = gate();
        gate.note(Some("theirs"), &person("a"), Some(&throttled(true)));
        assert!(is_closed(&gate, Some("theirs")) && !is_closed(&gate, Some("ours")));
        gate.note(Some("ours"), &person("a"), Some(&throttled(false)));
        (0..9).for_each(|_| gate.note(Some("ours"), &person("a"), Some(&silence())));
        assert!(!is_closed(&gate, Some("ours")));
        gate.note(Some("ours"), &person("b"), Some(&silence()));
        gate.note(Some("ours"), &person("a"), Some(&silence()));
        assert!(!is_closed(&gate, Some("ours")), "two people may have bad luck");
        gate.note(Some("ours"), &person("c"), Some(&silence()));
        assert!(is_closed(&gate, Some("ours")), "three people");
    }

    #[test]
    fn many_that_fail_together_are_one_failure() {
        let (gate, _) = gate();
        (0..99).for_each(|n| gate.note(None, &person(&n.to_string()), Some(&silence())));
        let closed = gate.closed(None, gate.clock.now()).unwrap();
        assert!(closed.retry_in < Duration::from_millis(400), "{:?}", closed.retry_in);
    }

    #[tokio::test]
    async fn whoever_waits_does_not_ask_when_the_gate_has_closed_meanwhile() {
        let (gate, _) = gate();
        let held = gate.enter(None, Duration::from_secs(9)).await.unwrap();
        let waiting = gate.enter(None, Duration::from_secs(9));
        let closes = async {
            gate.note(None, &person("a"), Some(&throttled(true)));
            drop(held);
        };
        let (entered, ()) = tokio::join!(waiting, closes);
        assert_eq!(
            entered.err().map(|failure| failure.error.reason()),
            Some("authority_throttled")
        );
        let busy = gate.enter(Some("another"), Duration::from_millis(1)).await;
        assert!(busy.is_ok(), "its place was given free");
    }
}
