//! Vicar's registration at an authority.
//!
//! Part of `authority`: a client id, its credentials, and the authority that knows both.

use std::sync::Arc;

use super::credential::{Attempts, Proof};
use super::{Answer, Authority, AuthorityError, Credential, Endpoint, Form, FormRequest};
use crate::cache_key::CacheKeyBuilder;
use crate::clock::{Clock, Moment};
use crate::tls::ClientIdentity;

/// Vicar's registration at an authority.
#[derive(Debug)]
pub struct ClientSpec {
    /// Its name in the configuration, for logs and metrics.
    pub name: Arc<str>,
    /// The identifier the authority gave us.
    pub client_id: String,
    /// How we prove ourselves, best first; at least one.
    pub credentials: Vec<Arc<Credential>>,
    /// Who issues the tokens.
    pub authority: Authority,
    /// What it tells Entra that it can do (`cp1`: it reacts to claims challenges).
    pub capabilities: Vec<String>,
    /// Token requests on behalf of callers that may be on their way at once.
    pub max_in_flight: usize,
    /// Whether its tokens are fetched at start.
    pub warm_up: bool,
}

/// An answer to a form in a client's name.
#[derive(Debug)]
pub struct Posted {
    /// What came back.
    pub answer: Answer,
    /// When it was asked.
    pub asked: Moment,
    /// The certificate that proved us.
    pub certificate: Option<Arc<ClientIdentity>>,
}

impl ClientSpec {
    /// Sends a form in this client's name: with the next credential when the authority does not take one, and with
    /// the one that worked before when it does not take a new one.
    ///
    /// # Errors
    /// When no credential can be used, or there is no answer.
    pub async fn post(
        &self,
        form: &Form,
        endpoint: &Endpoint,
        clock: &Clock,
    ) -> Result<Posted, AuthorityError> {
        let mut attempts = Attempts::new(&self.credentials, clock);
        let mut last = None;
        while let Some(attempt) = attempts.next().await {
            let posted = self.post_with(&attempt.proof, form, endpoint, clock).await;
            if !attempts.learn(&attempt, &posted) {
                return posted;
            }
            tracing::warn!(client = %self.name, method = attempt.method(), "credential refused");
            last = Some(posted);
        }
        last.unwrap_or_else(|| Err(attempts.failure().into()))
    }

    async fn post_with(
        &self,
        proof: &Proof,
        form: &Form,
        endpoint: &Endpoint,
        clock: &Clock,
    ) -> Result<Posted, AuthorityError> {
        let mut request = FormRequest::new(&self.client_id, form.clone());
        proof.add_to(&mut request, endpoint, clock)?;
        let certificate = proof.certificate().cloned();
        let url = match (&certificate, &endpoint.mtls) {
            (Some(_), Some(mtls)) => mtls,
            _ => &endpoint.url,
        };
        let asked = clock.now();
        let answer = self.authority.post(url, &request, proof.connections()).await?;
        Ok(Posted { answer, asked, certificate })
    }

    /// Adds everything of it that can change a token.
    pub fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        // The name stands for what else differs between clients: roots, proxy, time limits.
        key.field("client", self.name.as_bytes());
        self.authority.add_to_key(key);
        key.field("client_id", self.client_id.as_bytes());
        for credential in &self.credentials {
            credential.add_to_key(key);
        }
        for capability in &self.capabilities {
            key.field("capability", capability.as_bytes());
        }
    }
}
