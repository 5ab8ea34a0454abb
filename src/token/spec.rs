//! What token a route needs, and the one way to fetch it.
//!
//! Part of `token`: ties flow, credential and authority together; the cache calls [`TokenSpec::fetch`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::flow::Flow;
use super::wire;
use super::{AccessToken, AcquireError};
use crate::authority::{AuthorityError, ClientSpec, FormRequest};
use crate::cache_key::CacheKey;
use crate::clock::Clock;

/// A token some route needs: a client and a flow.
#[derive(Debug)]
pub struct TokenSpec {
    /// In whose name.
    pub client: Arc<ClientSpec>,
    /// By which grant, for what.
    pub flow: Flow,
}

impl TokenSpec {
    /// The digest of every input that can change the token.
    #[must_use]
    pub fn key(&self) -> CacheKey {
        let client = &self.client;
        let mut key = CacheKey::builder();
        // The name stands for what else differs between clients: roots, proxy, time limits.
        key.field("client", client.name.as_bytes());
        client.authority.add_to_key(&mut key);
        key.field("client_id", client.client_id.as_bytes());
        client.credential.add_to_key(&mut key);
        self.flow.add_to_key(&mut key);
        key.finish()
    }

    /// Asks the authority, with one retry after a pause when the first failure may be passing.
    ///
    /// # Errors
    /// As the last try failed. Takes no longer than the authority's total timeout.
    pub async fn fetch(&self, clock: &Clock) -> Result<AccessToken, AcquireError> {
        let total = self.client.authority.total_timeout();
        let deadline = Instant::now() + total;
        let within_deadline = tokio::time::timeout_at(deadline, async {
            let first = self.fetch_once(clock).await;
            let Err(error) = first.as_ref() else { return first };
            let pause = RETRY_PAUSE.mul_f64(0.5 + fastrand::f64());
            if !error.is_retryable() || Instant::now() + pause * 2 > deadline {
                return first;
            }
            tracing::debug!(client = %self.client.name, %error, "token request failed; once more");
            tokio::time::sleep(pause).await;
            self.fetch_once(clock).await
        });
        within_deadline.await.unwrap_or_else(|_| {
            Err(AuthorityError::Unreachable(format!("no token within {total:?}")).into())
        })
    }

    /// One request. The credential signs anew for each, since an assertion is good for one use.
    async fn fetch_once(&self, clock: &Clock) -> Result<AccessToken, AcquireError> {
        let client = &self.client;
        let endpoint = client.authority.token_endpoint(clock).await?;
        let mut request = FormRequest::new(&client.client_id, self.flow.form());
        client.credential.authenticate(&mut request, &endpoint).await?;
        let asked = clock.now();
        let answer = client.authority.post(&endpoint.url, &request).await?;
        wire::judge(answer.status, answer.retry_after(), &answer.body)?.into_token(clock, asked)
    }
}

/// Half of it to one and a half, at random.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
