//! Obtains one route's tokens on behalf of callers, through its client's gate.
//!
//! Part of `token::cache`: what the user cache and the sessions have in common. Whoever asks here asks within the
//! bounds, heeds what failed a moment ago, and leaves word of what fails now.

use std::sync::Arc;
use std::time::Duration;

use super::Slot;
use super::failure::Failures;
use super::gate::Gate;
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};
use crate::inbound::Subject;
use crate::secret::SecretString;
use crate::token::user_spec::Obtained;
use crate::token::{AcquireError, AcquireFailure, ClaimsRequest, UserSpec};

/// Asks for one route's tokens.
#[derive(Debug)]
pub(super) struct Exchanger {
    pub(super) spec: Arc<UserSpec>,
    /// The digest of everything that is the same for all callers.
    pub(super) base: CacheKey,
    /// Our own token, where we name ourselves as the actor.
    pub(super) actor: Option<Arc<Slot>>,
    pub(super) gate: Arc<Gate>,
    pub(super) failures: Arc<Failures>,
    pub(super) clock: Clock,
}

/// At which tenant something is asked, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) tenant: Option<&'a str>,
    pub(super) who: &'a CacheKey,
}

/// Why nothing was obtained.
#[derive(Debug)]
pub(super) enum NotObtained {
    /// The authority said so, or fell silent.
    Answered(AcquireFailure),
    /// It was not asked.
    Held(AcquireFailure),
}

impl NotObtained {
    /// The failure, whichever it is.
    pub(super) fn failure(self) -> AcquireFailure {
        match self {
            Self::Answered(failure) | Self::Held(failure) => failure,
        }
    }
}

impl From<NotObtained> for AcquireError {
    fn from(not: NotObtained) -> Self {
        match not {
            NotObtained::Answered(failure) => Self::Shared(failure.error),
            NotObtained::Held(failure) => Self::Held(failure),
        }
    }
}

impl Exchanger {
    /// The digest of everything that can change the token of this caller.
    pub(super) fn key(&self, subject: &Subject) -> CacheKey {
        self.spec.key(&self.base, subject)
    }

    /// Why the authority is not asked for this caller's token now.
    pub(super) fn held(
        &self,
        key: &CacheKey,
        subject: &Subject,
        now: Moment,
    ) -> Option<AcquireFailure> {
        let closed = || self.gate.closed(self.spec.tenant_of(subject), now);
        self.failures.held(key, now).or_else(closed)
    }

    /// Exchanges a caller's token. A failure is remembered for its key, unless it is a refusal that `claims` of a
    /// challenge brought about: they are nothing that other calls ask for.
    ///
    /// # Errors
    /// As the authority answered, or when it could not be asked.
    pub(super) async fn exchange(
        &self,
        key: &CacheKey,
        subject: &Subject,
        claims: Option<&ClaimsRequest>,
    ) -> Result<Obtained, NotObtained> {
        let asking = Asking { tenant: self.spec.tenant_of(subject), who: subject.id() };
        // Before there is room: it may take its own time.
        let actor = match &self.actor {
            None => None,
            Some(slot) => Some(slot.token().await.map_err(|failure| {
                let error = Arc::new(AcquireError::Actor(failure));
                NotObtained::Held(self.failures.remember(key, error))
            })?),
        };
        let permit = self.gate.enter(asking.tenant, self.patience()).await;
        let _permit = permit.map_err(NotObtained::Held)?;
        let obtained = self.spec.exchange(subject, actor.as_deref(), claims, &self.clock).await;
        match self.learn(asking, obtained) {
            Ok(obtained) => {
                self.failures.forget(key);
                Ok(obtained)
            }
            Err(error) if claims.is_some() && error.is_refusal() => {
                Err(NotObtained::Answered(AcquireFailure { error, retry_in: SOON }))
            }
            Err(error) => Err(NotObtained::Answered(self.failures.remember(key, error))),
        }
    }

    /// Renews what an exchange gave. Whoever asked remembers a failure: a refresh token has no key.
    ///
    /// # Errors
    /// As the authority answered, or when it could not be asked.
    pub(super) async fn refresh(
        &self,
        refresh_token: &SecretString,
        asking: Asking<'_>,
        claims: Option<&ClaimsRequest>,
    ) -> Result<Obtained, NotObtained> {
        let permit = self.gate.enter(asking.tenant, self.patience()).await;
        let _permit = permit.map_err(NotObtained::Held)?;
        let obtained = self.spec.refresh(refresh_token, asking.tenant, claims, &self.clock).await;
        let learnt = self.learn(asking, obtained);
        learnt.map_err(|error| NotObtained::Answered(AcquireFailure { error, retry_in: SOON }))
    }

    fn learn(
        &self,
        asking: Asking<'_>,
        obtained: Result<Obtained, AcquireError>,
    ) -> Result<Obtained, Arc<AcquireError>> {
        let obtained = obtained.map_err(Arc::new);
        self.gate.note(asking.tenant, asking.who, obtained.as_ref().err());
        obtained
    }

    /// How long a place in the queue is worth waiting for.
    fn patience(&self) -> Duration {
        self.spec.client.authority.total_timeout() / 2
    }
}

const SOON: Duration = Duration::from_secs(1);
