//! How Vicar proves to the authority who it is.
//!
//! Part of `authority`: takes the flow's form and adds client authentication, anew for every request.

mod client_assertion;
mod client_secret;

use std::sync::Arc;

use super::AuthorityError;
use super::{Endpoint, FormRequest};
use crate::cache_key::CacheKeyBuilder;
use crate::clock::Clock;
use crate::secret::SecretSource;

/// A client authentication method (names as registered with RFC 8414) and its material.
#[derive(Debug)]
pub enum ClientCredential {
    /// A JWT that somebody else signs for us (RFC 7523 section 2.2), read anew for every request.
    ClientAssertion {
        /// Where it is read from.
        source: Arc<SecretSource>,
    },
    /// A shared secret.
    ClientSecret {
        /// How it is sent.
        method: SecretMethod,
        /// Where it is read from.
        source: Arc<SecretSource>,
    },
}

/// How a shared secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretMethod {
    /// As the authority prefers.
    Preferred,
    /// In the Authorization header.
    Basic,
    /// In the form.
    Post,
}

impl ClientCredential {
    /// Adds the proof to `request`, reading rotated files again.
    ///
    /// # Errors
    /// When a file cannot be read and never could, or the assertion in it has expired.
    pub async fn authenticate(
        &self,
        request: &mut FormRequest,
        endpoint: &Endpoint,
        clock: &Clock,
    ) -> Result<(), AuthorityError> {
        match self {
            Self::ClientAssertion { source } => {
                let assertion = source.load().await?;
                client_assertion::authenticate(request, &assertion, clock)
            }
            Self::ClientSecret { method, source } => {
                let secret = source.load().await?;
                let basic = match method {
                    SecretMethod::Basic => true,
                    SecretMethod::Post => false,
                    SecretMethod::Preferred => endpoint.prefers_basic,
                };
                client_secret::authenticate(request, &secret, basic);
                Ok(())
            }
        }
    }

    /// Adds what tells this credential from others.
    pub fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        match self {
            Self::ClientAssertion { source } => {
                let (kind, identity) = source.identity();
                key.field("credential", b"client_assertion");
                key.field(kind, identity);
            }
            Self::ClientSecret { method, source } => {
                let (kind, identity) = source.identity();
                key.field("credential", format!("{method:?}").as_bytes());
                key.field(kind, identity);
            }
        }
    }
}
