//! What token a route needs in Vicar's own name, and the one way to fetch it.
//!
//! Part of `token`; the application cache calls [`TokenSpec::fetch`].

use std::sync::Arc;

use super::claims_request::ClaimsRequest;
use super::flow::Flow;
use super::request::TokenRequest;
use super::{AccessToken, AcquireError};
use crate::authority::ClientSpec;
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
        let mut key = CacheKey::builder();
        self.client.add_to_key(&mut key);
        self.flow.add_to_key(&mut key);
        key.finish()
    }

    /// Asks the authority; `claims` is what a challenge demands of the new token.
    ///
    /// # Errors
    /// When there is no token that may be sent as a bearer token.
    pub async fn fetch(
        &self,
        claims: Option<&ClaimsRequest>,
        clock: &Clock,
    ) -> Result<AccessToken, AcquireError> {
        let form = self.flow.form();
        let request = TokenRequest {
            client: &self.client,
            tenant: None,
            regional: true,
            form,
            claims,
            repeatable: true,
        };
        let answered = request.send(clock).await?;
        if !answered.response.is_bearer() {
            return Err(AcquireError::WrongTokenType);
        }
        Ok(answered.token)
    }
}
