//! Long-running work: a person's rights for calls that go on when the person's token has expired.
//!
//! Part of `token::cache`. A person's call names a session and so begins it; what the exchange gave is renewed
//! with its refresh token from then on. Calls of applications may go on with it where the route says so.
//! Refresh tokens stay in this process and are wiped when their session ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::exchanger::{Asking, Exchanger};
use super::slot::Slot;
use crate::authority::ClientSpec;
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};
use crate::inbound::Subject;
use crate::secret::SecretString;
use crate::token::user_spec::Obtained;
use crate::token::{AccessToken, AcquireError, AcquireFailure, ClaimsRequest};

/// Every session of the process.
#[derive(Debug)]
pub(super) struct Sessions {
    at_most: usize,
    per_subject: usize,
    open: Mutex<HashMap<CacheKey, Session>>,
}

#[derive(Debug)]
struct Session {
    grant: Arc<SessionGrant>,
    slot: Arc<Slot>,
    subject: CacheKey,
    /// The application that began it in the person's name.
    client_id: Option<String>,
    begun: Moment,
    /// When it is over whatever happens.
    ends: Moment,
    /// When it is over unless it is used.
    idles: Moment,
}

impl Sessions {
    pub(super) fn new(at_most: usize, per_subject: usize) -> Self {
        Self { at_most, per_subject, open: Mutex::default() }
    }

    /// The session of this key on a route; a person's call begins it when there is none, and `slot` makes the
    /// place of its token.
    ///
    /// # Errors
    /// When there is none and the call cannot begin one, or it is another person's.
    pub(super) fn open(
        &self,
        key: CacheKey,
        subject: Option<&Subject>,
        exchanger: &Arc<Exchanger>,
        slot: impl FnOnce(Arc<SessionGrant>) -> Arc<Slot>,
    ) -> Result<Arc<Slot>, AcquireError> {
        let policy = exchanger.spec.session.as_ref().ok_or(AcquireError::SessionUnknown)?;
        let now = exchanger.clock.now();
        let mut sessions = self.lock();
        if sessions.get(&key).is_some_and(|session| session.is_over(now)) {
            sessions.remove(&key);
        }
        let full = sessions.len() >= self.at_most;
        match (sessions.get_mut(&key), subject) {
            (Some(session), subject) => {
                if subject.is_some_and(|subject| !session.is_of(subject)) {
                    return Err(AcquireError::SessionOfAnother);
                }
                session.idles = now.after(policy.idle);
                if subject.is_some_and(|subject| session.grant.offer(subject)) {
                    // What the authority did not like of the old token need not be true of the new one.
                    session.slot.forgive();
                }
                Ok(Arc::clone(&session.slot))
            }
            (None, None) => Err(AcquireError::SessionUnknown),
            (None, Some(_)) if full => Err(AcquireError::SessionsFull),
            (None, Some(subject)) => {
                // A new name is no way around what is remembered.
                if let Some(failure) = exchanger.held(&exchanger.key(subject), subject, now) {
                    return Err(AcquireError::Shared(failure));
                }
                make_room(&mut sessions, subject.id(), self.per_subject);
                let grant = Arc::new(SessionGrant::begun_by(subject, exchanger));
                let slot = slot(Arc::clone(&grant));
                let (ends, idles) = (now.after(policy.max_age), now.after(policy.idle));
                let client_id = subject.verified().client_id.clone();
                let (place, subject) = (Arc::clone(&slot), *subject.id());
                let begun = now;
                let session =
                    Session { grant, slot: place, subject, client_id, begun, ends, idles };
                sessions.insert(key, session);
                Ok(slot)
            }
        }
    }

    /// Ends the session of this key; says whether there was one.
    pub(super) fn stop(&self, key: &CacheKey) -> bool {
        self.lock().remove(key).is_some()
    }

    /// Ends every session of a subject; says how many there were.
    pub(super) fn purge(&self, subject: &CacheKey) -> usize {
        let mut sessions = self.lock();
        let before = sessions.len();
        sessions.retain(|_, session| session.subject != *subject);
        before - sessions.len()
    }

    /// Ends what is over.
    pub(super) fn sweep(&self, now: Moment) {
        self.lock().retain(|_, session| !session.is_over(now));
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the oldest session of a subject that has as many as it may.
fn make_room(sessions: &mut HashMap<CacheKey, Session>, subject: &CacheKey, per_subject: usize) {
    let of_subject = || sessions.iter().filter(|(_, session)| session.subject == *subject);
    if of_subject().count() < per_subject {
        return;
    }
    if let Some(oldest) = of_subject().min_by_key(|(_, session)| session.begun).map(|(key, _)| *key)
    {
        sessions.remove(&oldest);
    }
}

impl Session {
    /// Whether this is the person who began it, by the same application.
    fn is_of(&self, subject: &Subject) -> bool {
        *subject.id() == self.subject && subject.verified().client_id == self.client_id
    }

    fn is_over(&self, now: Moment) -> bool {
        now >= self.ends || now >= self.idles || self.grant.is_spent(now)
    }
}

/// How a session gets its tokens.
#[derive(Debug)]
pub(super) struct SessionGrant {
    exchanger: Arc<Exchanger>,
    tenant: Option<String>,
    who: CacheKey,
    state: Mutex<Holding>,
}

/// What a session can ask with: at least one of the two, or it is spent.
#[derive(Debug)]
struct Holding {
    /// The digest of the latest token of the person.
    latest: CacheKey,
    refresh_token: Option<SecretString>,
    /// The token of the latest call of its person, while there is no refresh token.
    subject: Option<Subject>,
}

impl SessionGrant {
    fn begun_by(subject: &Subject, exchanger: &Arc<Exchanger>) -> Self {
        let tenant = exchanger.spec.tenant_of(subject).map(str::to_owned);
        let latest = *subject.digest();
        let holding = Holding { latest, refresh_token: None, subject: Some(subject.detached()) };
        let (exchanger, who) = (Arc::clone(exchanger), *subject.id());
        Self { exchanger, tenant, who, state: Mutex::new(holding) }
    }

    pub(super) fn client(&self) -> &Arc<ClientSpec> {
        &self.exchanger.spec.client
    }

    /// The person calls again: its token helps where the refresh token does not. Whether it is another one
    /// than before.
    fn offer(&self, subject: &Subject) -> bool {
        let mut holding = self.lock();
        let is_new = holding.latest != *subject.digest();
        if is_new {
            (holding.latest, holding.subject) = (*subject.digest(), Some(subject.detached()));
        }
        is_new
    }

    fn is_spent(&self, now: Moment) -> bool {
        let holding = self.lock();
        let expired = |subject: &Subject| now >= subject.expires(&self.exchanger.clock);
        holding.refresh_token.is_none() && holding.subject.as_ref().is_none_or(expired)
    }

    /// With the refresh token while it is good, else with the person's own.
    ///
    /// # Errors
    /// As the authority answered; [`AcquireError::SessionUnknown`] when neither is left.
    pub(super) async fn fetch(
        &self,
        claims: Option<&ClaimsRequest>,
        clock: &Clock,
    ) -> Result<AccessToken, AcquireError> {
        let (refresh_token, subject) = {
            let holding = self.lock();
            (holding.refresh_token.clone(), holding.subject.clone())
        };
        let subject = subject.filter(|subject| clock.now() < subject.expires(clock));
        let refused = match refresh_token {
            None => None,
            Some(refresh_token) => {
                let asking = Asking { tenant: self.tenant.as_deref(), who: &self.who };
                match self.exchanger.refresh(&refresh_token, asking, claims).await {
                    Ok(obtained) => return Ok(self.keep(obtained)),
                    Err(failure) => Some(self.refresh_failed(failure, claims.is_some())?),
                }
            }
        };
        let Some(subject) = subject else {
            return Err(refused.map_or(AcquireError::SessionUnknown, AcquireError::Shared));
        };
        let key = self.exchanger.key(&subject);
        let obtained = self.exchanger.exchange(&key, &subject, claims).await;
        let obtained = obtained.map_err(AcquireError::Shared)?;
        if obtained.refresh_token.is_some() {
            return Ok(self.keep(obtained));
        }
        let client = self.client().name.as_ref();
        tracing::warn!(client, "no refresh token came: the session ends with its person's token");
        Ok(obtained.token.no_longer_than(subject.expires(clock)))
    }

    /// Gives back why the refresh token does not help, when the person's own might.
    fn refresh_failed(
        &self,
        failure: AcquireFailure,
        with_claims: bool,
    ) -> Result<AcquireFailure, AcquireError> {
        let Some(refusal) = failure.error.needs_user() else {
            return Err(AcquireError::Shared(failure));
        };
        // What a challenge demands may be too much for it, and it is good all the same.
        if !with_claims && refusal.ends_refresh_tokens() {
            self.lock().refresh_token = None;
            let client = self.client().name.as_ref();
            tracing::info!(client, %refusal, "a session's refresh token is no longer good");
        }
        Ok(failure)
    }

    /// Keeps the newest refresh token; an answer without one leaves the old one good.
    fn keep(&self, obtained: Obtained) -> AccessToken {
        let mut holding = self.lock();
        if obtained.refresh_token.is_some() {
            holding.refresh_token = obtained.refresh_token;
        }
        // The person's own token has done its work.
        holding.subject = None;
        obtained.token
    }

    fn lock(&self) -> MutexGuard<'_, Holding> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
