//! Long-running work: a person's rights for calls that go on when the person's token has expired.
//!
//! Part of `token::cache`. A person's call names a session and so begins it; what the exchange gave is renewed
//! with its refresh token from then on. Calls of applications may go on with it where the route says so.
//! Refresh tokens stay in this process and are wiped when their session ends. A token of the person is kept beside
//! it while it is good: it helps where the refresh token does not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::exchanger::{Asking, Exchanger};
use super::slot::Slot;
use crate::authority::ClientSpec;
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};
use crate::inbound::Subject;
use crate::secret::SecretString;
use crate::token::{AccessToken, AcquireError, ClaimsRequest, Refusal, SessionPolicy};

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
    /// The tenant of Entra that vouches for the person: ids need not be unique beyond it.
    tenant: Option<String>,
    /// The application that began it in the person's name.
    client_id: Option<String>,
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
        if sessions.get(&key).is_some_and(|session| session.has_ended(now)) {
            sessions.remove(&key);
        }
        let Some(session) = sessions.get_mut(&key) else {
            let subject = subject.ok_or(AcquireError::SessionUnknown)?;
            if sessions.len() >= self.at_most {
                // What is over takes no room until it is swept.
                sessions.retain(|_, session| !session.has_ended(now));
            }
            let theirs = sessions.values().filter(|session| session.subject == *subject.id());
            if sessions.len() >= self.at_most || theirs.count() >= self.per_subject {
                return Err(AcquireError::SessionsFull);
            }
            // A new name is no way around what is remembered.
            if let Some(failure) = exchanger.held(&exchanger.key(subject), subject, now) {
                return Err(AcquireError::Held(failure));
            }
            let session = Session::begin(subject, exchanger, policy, slot);
            let slot = Arc::clone(&session.slot);
            sessions.insert(key, session);
            return Ok(slot);
        };
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
        let mut sessions = self.lock();
        sessions.retain(|_, session| !session.has_ended(now));
        sessions.values().for_each(|session| session.grant.tidy(now));
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tenant_of(subject: &Subject) -> Option<&str> {
    subject.verified().claims.at("tid").and_then(Value::as_str)
}

impl Session {
    fn begin(
        subject: &Subject,
        exchanger: &Arc<Exchanger>,
        policy: &SessionPolicy,
        slot: impl FnOnce(Arc<SessionGrant>) -> Arc<Slot>,
    ) -> Self {
        let now = exchanger.clock.now();
        let grant = Arc::new(SessionGrant::begun_by(subject, exchanger));
        Self {
            slot: slot(Arc::clone(&grant)),
            grant,
            subject: *subject.id(),
            client_id: subject.verified().client_id.clone(),
            tenant: tenant_of(subject).map(str::to_owned),
            ends: now.after(policy.max_age),
            idles: now.after(policy.idle),
        }
    }

    /// Whether this is the person who began it, by the same application.
    fn is_of(&self, subject: &Subject) -> bool {
        *subject.id() == self.subject
            && subject.verified().client_id == self.client_id
            && tenant_of(subject) == self.tenant.as_deref()
    }

    /// Whether it is over; whoever finds out ends it, and the log says why.
    fn has_ended(&self, now: Moment) -> bool {
        let spent = || self.grant.is_spent(now) && self.slot.time_left().is_zero();
        let cause = match () {
            () if now >= self.ends => "max_age",
            () if now >= self.idles => "idle",
            () if spent() => "nothing left to ask with",
            () => return false,
        };
        tracing::info!(client = self.grant.client().name.as_ref(), cause, "a session has ended");
        true
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
    refresh_token: Option<SecretString>,
    /// A token of the person, from one of its calls.
    subject: Option<Subject>,
    /// Until when the longest-lived of the person's tokens so far is good.
    latest: Moment,
    /// Whether that one has come since the refresh token did: it may prove more.
    is_newer: bool,
}

impl SessionGrant {
    fn begun_by(subject: &Subject, exchanger: &Arc<Exchanger>) -> Self {
        let tenant = exchanger.spec.tenant_of(subject).map(str::to_owned);
        let latest = subject.expires(&exchanger.clock);
        let subject_copy = Some(subject.detached());
        let state = Holding { refresh_token: None, subject: subject_copy, latest, is_newer: true };
        let (exchanger, who) = (Arc::clone(exchanger), *subject.id());
        Self { exchanger, tenant, who, state: Mutex::new(state) }
    }

    pub(super) fn client(&self) -> &Arc<ClientSpec> {
        &self.exchanger.spec.client
    }

    /// The person calls again: its token helps where the refresh token does not. Whether it is a newer one than
    /// all before; of two in use at once only one is.
    fn offer(&self, subject: &Subject) -> bool {
        let expires = subject.expires(&self.exchanger.clock);
        let mut holding = self.lock();
        let is_newer = expires > holding.latest.after(READING);
        if is_newer || holding.subject.is_none() {
            holding.subject = Some(subject.detached());
        }
        if is_newer {
            (holding.latest, holding.is_newer) = (expires, true);
        }
        is_newer
    }

    fn is_spent(&self, now: Moment) -> bool {
        let holding = self.lock();
        let expired = |subject: &Subject| now >= subject.expires(&self.exchanger.clock);
        holding.refresh_token.is_none() && holding.subject.as_ref().is_none_or(expired)
    }

    /// Lets go of a token of the person that has expired.
    fn tidy(&self, now: Moment) {
        let expired = |subject: &mut Subject| now >= subject.expires(&self.exchanger.clock);
        self.lock().subject.take_if(expired);
    }

    /// With the newest proof first: the person's token when it has come since the refresh token, else that one.
    ///
    /// # Errors
    /// As the authority answered; [`AcquireError::SessionUnknown`] when there is nothing left to ask with.
    pub(super) async fn fetch(
        &self,
        claims: Option<&ClaimsRequest>,
        clock: &Clock,
    ) -> Result<AccessToken, AcquireError> {
        let (refresh_token, subject, is_newer) = {
            let holding = self.lock();
            (holding.refresh_token.clone(), holding.subject.clone(), holding.is_newer)
        };
        let subject = subject.filter(|subject| clock.now() < subject.expires(clock));
        match (refresh_token, subject) {
            (None, None) => Err(AcquireError::SessionUnknown),
            (Some(token), None) => self.refreshed(&token, claims).await,
            (None, Some(subject)) => self.exchanged(&subject, claims).await,
            (Some(token), Some(subject)) if is_newer => {
                match self.exchanged(&subject, claims).await {
                    Err(error) if error.is_refusal() => {
                        self.refreshed(&token, claims).await.map_err(|_| error)
                    }
                    other => other,
                }
            }
            (Some(token), Some(subject)) => match self.refreshed(&token, claims).await {
                Err(error) if error.needs_user().is_some() => {
                    self.exchanged(&subject, claims).await
                }
                other => other,
            },
        }
    }

    async fn refreshed(
        &self,
        refresh_token: &SecretString,
        claims: Option<&ClaimsRequest>,
    ) -> Result<AccessToken, AcquireError> {
        let asking = Asking { tenant: self.tenant.as_deref(), who: &self.who };
        match self.exchanger.refresh(refresh_token, asking, claims).await {
            Ok(obtained) => {
                let mut holding = self.lock();
                // An answer without one leaves the old one good.
                if obtained.refresh_token.is_some() {
                    holding.refresh_token = obtained.refresh_token;
                }
                Ok(obtained.token)
            }
            Err(not) => {
                let error = AcquireError::from(not);
                // What a challenge demands may be too much for it, and it is good all the same.
                let ends = error.needs_user().is_some_and(Refusal::ends_refresh_tokens);
                if ends && claims.is_none() {
                    self.lock().refresh_token = None;
                    let client = self.client().name.as_ref();
                    tracing::info!(client, %error, "a session's refresh token is no longer good");
                }
                Err(error)
            }
        }
    }

    async fn exchanged(
        &self,
        subject: &Subject,
        claims: Option<&ClaimsRequest>,
    ) -> Result<AccessToken, AcquireError> {
        let (exchanger, clock) = (&self.exchanger, &self.exchanger.clock);
        let key = exchanger.key(subject);
        if let Some(failure) = exchanger.held(&key, subject, clock.now()) {
            return Err(AcquireError::Held(failure));
        }
        let obtained = exchanger.exchange(&key, subject, claims).await?;
        let mut holding = self.lock();
        let is_latest = holding.subject.as_ref().is_some_and(|s| s.digest() == subject.digest());
        holding.is_newer &= !is_latest;
        if obtained.refresh_token.is_none() {
            let client = self.client().name.as_ref();
            tracing::warn!(
                client,
                "no refresh token came: the session ends with its person's token"
            );
            return Ok(obtained.token.no_longer_than(subject.expires(clock)));
        }
        holding.refresh_token = obtained.refresh_token;
        if is_latest {
            // It has done its work.
            holding.subject = None;
        }
        Ok(obtained.token)
    }

    fn lock(&self) -> MutexGuard<'_, Holding> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What two readings of one token's life may differ by.
const READING: Duration = Duration::from_secs(1);
