//! One token request: authenticated anew for each try, retried once, bounded in time.
//!
//! Part of `token`: ties flow, credential and authority together, for every grant alike.

use std::time::Duration;

use tokio::time::Instant;

use super::claims_request::ClaimsRequest;
use super::wire::{self, TokenResponse};
use super::{AccessToken, AcquireError};
use crate::authority::{AuthorityError, ClientSpec, Form, Posted};
use crate::clock::Clock;

/// What is asked of the authority.
#[derive(Debug)]
pub(super) struct TokenRequest<'a> {
    /// In whose name.
    pub(super) client: &'a ClientSpec,
    /// Another tenant than the client's own.
    pub(super) tenant: Option<&'a str>,
    /// Whether an application asks for itself, which regions answer.
    pub(super) regional: bool,
    /// The grant's fields.
    pub(super) form: Form,
    /// What the token must have besides.
    pub(super) claims: Option<&'a ClaimsRequest>,
    /// Whether the same form may be sent twice. A refresh token that rotates may not: the second use looks
    /// like theft.
    pub(super) repeatable: bool,
}

/// What the authority gave.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) token: AccessToken,
    /// The rest of what it said.
    pub(super) response: TokenResponse,
}

impl TokenRequest<'_> {
    /// Asks the authority, with one retry after a pause when the first failure may be passing.
    ///
    /// # Errors
    /// As the last try failed. Takes no longer than the authority's total timeout.
    pub(super) async fn send(mut self, clock: &Clock) -> Result<Answered, AcquireError> {
        let claims = ClaimsRequest::of_capabilities(&self.client.capabilities);
        let claims = self.claims.map_or(claims.clone(), |wanted| claims.merged_with(wanted));
        if let Some(claims) = claims.to_parameter() {
            self.form.push("claims", &claims);
        }
        let total = self.client.authority.total_timeout();
        let deadline = Instant::now() + total;
        let within_deadline = tokio::time::timeout_at(deadline, async {
            let first = self.send_once(clock).await;
            let Err(error) = first.as_ref() else { return first };
            let pause = RETRY_PAUSE.mul_f64(0.5 + fastrand::f64());
            if !self.repeatable || !error.is_retryable() || Instant::now() + pause * 2 > deadline {
                return first;
            }
            tracing::debug!(client = %self.client.name, %error, "token request failed; once more");
            tokio::time::sleep(pause).await;
            self.send_once(clock).await
        });
        within_deadline.await.unwrap_or_else(|_| {
            Err(AuthorityError::Unreachable(format!("no token within {total:?}")).into())
        })
    }

    /// One try. The credential signs anew for each, since an assertion is good for one use.
    async fn send_once(&self, clock: &Clock) -> Result<Answered, AcquireError> {
        let client = self.client;
        let endpoint = client.authority.token_endpoint(self.tenant, self.regional, clock).await?;
        let Posted { answer, asked, .. } = client.post(&self.form, &endpoint, clock).await?;
        let response = wire::judge(answer.status, answer.retry_after(), &answer.body)?;
        Ok(Answered { token: response.to_token(clock, asked)?, response })
    }
}

/// Half of it to one and a half, at random.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
