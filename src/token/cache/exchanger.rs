//! Obtains one route's tokens on behalf of callers, through its client's gate.
//!
//! Part of `token::cache`: what the user cache and the sessions have in common.

use std::sync::Arc;
use std::time::Duration;

use super::Slot;
use super::gate::Gate;
use crate::clock::Clock;
use crate::inbound::Subject;
use crate::secret::SecretString;
use crate::token::user_spec::Obtained;
use crate::token::{AccessToken, AcquireError, ClaimsRequest, UserSpec};

/// Asks for one route's tokens.
#[derive(Debug)]
pub(super) struct Exchanger {
    pub(super) spec: Arc<UserSpec>,
    /// Our own token, where we name ourselves as the actor.
    pub(super) actor: Option<Arc<Slot>>,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Clock,
}

impl Exchanger {
    /// Exchanges a caller's token.
    ///
    /// # Errors
    /// As the authority answered, or when it could not be asked.
    pub(super) async fn exchange(
        &self,
        subject: &Subject,
        claims: Option<&ClaimsRequest>,
    ) -> Result<Obtained, AcquireError> {
        let actor = self.actors_token().await?;
        let _permit = self.gate.enter(self.patience()).await?;
        self.spec.exchange(subject, actor.as_deref(), claims, &self.clock).await
    }

    /// Renews what an exchange gave.
    ///
    /// # Errors
    /// As the authority answered, or when it could not be asked.
    pub(super) async fn refresh(
        &self,
        refresh_token: &SecretString,
        tenant: Option<&str>,
        claims: Option<&ClaimsRequest>,
    ) -> Result<Obtained, AcquireError> {
        let _permit = self.gate.enter(self.patience()).await?;
        self.spec.refresh(refresh_token, tenant, claims, &self.clock).await
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
