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
use crate::token::{AccessToken, AcquireError, AcquireFailure, ClaimsRequest, UserSpec};

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

    /// Exchanges a caller's token. A failure is remembered for its key, unless `claims` of a challenge brought
    /// it about: they are nothing that other calls ask for.
    ///
    /// # Errors
    /// As the authority answered, or when it could not be asked.
    pub(super) async fn exchange(
        &self,
        key: &CacheKey,
        subject: &Subject,
        claims: Option<&ClaimsRequest>,
    ) -> Result<Obtained, AcquireFailure> {
        let asking = Asking { tenant: self.spec.tenant_of(subject), who: subject.id() };
        let _permit = self.gate.enter(asking.tenant, self.patience()).await?;
        let obtained = match self.actors_token().await {
            Ok(actor) => self.spec.exchange(subject, actor.as_deref(), claims, &self.clock).await,
            Err(error) => Err(error),
        };
        match self.learn(asking, obtained) {
            Ok(obtained) => {
                self.failures.forget(key);
                Ok(obtained)
            }
            Err(error) if claims.is_some() => Err(AcquireFailure { error, retry_in: SOON }),
            Err(error) => Err(self.failures.remember(key, error)),
        }
    }

    /// Renews what an exchange gave.
    ///
    /// # Errors
    /// As the authority answered, or when it could not be asked.
    pub(super) async fn refresh(
        &self,
        refresh_token: &SecretString,
        asking: Asking<'_>,
        claims: Option<&ClaimsRequest>,
    ) -> Result<Obtained, AcquireFailure> {
        let _permit = self.gate.enter(asking.tenant, self.patience()).await?;
        let obtained = self.spec.refresh(refresh_token, asking.tenant, claims, &self.clock).await;
        // Whoever asked remembers it: a refresh token has no key.
        self.learn(asking, obtained).map_err(|error| AcquireFailure { error, retry_in: SOON })
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

    async fn actors_token(&self) -> Result<Option<Arc<AccessToken>>, AcquireError> {
        match &self.actor {
            None => Ok(None),
            Some(slot) => match slot.token().await {
                Ok(token) => Ok(Some(token)),
                Err(failure) => Err(AcquireError::Actor(failure.error)),
            },
        }
    }
}

const SOON: Duration = Duration::from_secs(1);
