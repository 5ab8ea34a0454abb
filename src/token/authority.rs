//! The authorization server: find its token endpoint, send the form, judge the answer.
//!
//! Part of `token`, the last step of a fetch. Everything that comes back is hostile input: bounded
//! in time and size, never followed elsewhere, never trusted to be JSON.

mod http;
mod metadata;
pub mod wire;

use std::time::Duration;

use url::Url;

pub use self::http::{AuthorityHttp, ProxySettings};
use self::metadata::Metadata;
use self::wire::TokenResponse;
use super::AcquireError;
use super::cache::CacheKeyBuilder;
use crate::clock::Clock;

/// An authorization server as configured.
#[derive(Debug)]
pub struct Authority {
    kind: AuthorityKind,
    http: AuthorityHttp,
}

#[derive(Debug)]
enum AuthorityKind {
    /// Microsoft Entra ID: the endpoint is known by construction.
    Entra { endpoint: Url },
    /// A server that publishes metadata.
    Oidc(Metadata),
    /// A bare token endpoint.
    TokenEndpoint { endpoint: Url },
}

/// Where one token request goes.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The token endpoint.
    pub url: Url,
    /// Whether a client secret goes into the Authorization header unless the user chose.
    pub prefers_basic: bool,
}

/// A token request under construction: the flow's form, then the credential's additions.
pub struct TokenRequest {
    pub(super) client_id: String,
    pub(super) form: Vec<(String, String)>,
    pub(super) authorization: Option<::http::HeaderValue>,
}

impl TokenRequest {
    pub(super) fn new(client_id: &str, form: Vec<(String, String)>) -> Self {
        Self { client_id: client_id.to_owned(), form, authorization: None }
    }
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequest").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Authority {
    /// Microsoft Entra ID at `instance` (`https://login.microsoftonline.com`), for one tenant.
    ///
    /// # Errors
    /// When the two do not make a URL.
    pub fn entra(instance: &Url, tenant: &str, http: AuthorityHttp) -> Result<Self, String> {
        let endpoint = instance
            .join(&format!("/{tenant}/oauth2/v2.0/token"))
            .map_err(|error| error.to_string())?;
        Ok(Self { kind: AuthorityKind::Entra { endpoint }, http })
    }

    /// A server found by discovery under `issuer`.
    #[must_use]
    pub fn oidc(issuer: String, http: AuthorityHttp) -> Self {
        Self { kind: AuthorityKind::Oidc(Metadata::new(issuer)), http }
    }

    /// A bare token endpoint.
    #[must_use]
    pub fn token_endpoint(endpoint: Url, http: AuthorityHttp) -> Self {
        Self { kind: AuthorityKind::TokenEndpoint { endpoint }, http }
    }

    /// Whether it is Entra, with its rules for scopes.
    #[must_use]
    pub fn is_entra(&self) -> bool {
        matches!(self.kind, AuthorityKind::Entra { .. })
    }

    /// Its token endpoint, or the issuer under which that is discovered, for the log.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            AuthorityKind::Entra { endpoint } | AuthorityKind::TokenEndpoint { endpoint } => {
                endpoint.as_str()
            }
            AuthorityKind::Oidc(metadata) => metadata.issuer(),
        }
    }

    /// The time one fetch may take, its retry included.
    #[must_use]
    pub fn total_timeout(&self) -> Duration {
        self.http.total_timeout()
    }

    /// The token endpoint, discovered when need be.
    pub(super) async fn endpoint(&self, clock: &Clock) -> Result<Endpoint, AcquireError> {
        match &self.kind {
            AuthorityKind::Entra { endpoint } => {
                Ok(Endpoint { url: endpoint.clone(), prefers_basic: false })
            }
            AuthorityKind::Oidc(metadata) => metadata.endpoint(&self.http, clock).await,
            // RFC 6749 section 2.3.1: every server that takes passwords takes Basic.
            AuthorityKind::TokenEndpoint { endpoint } => {
                Ok(Endpoint { url: endpoint.clone(), prefers_basic: true })
            }
        }
    }

    /// Sends the request once and judges the answer.
    pub(super) async fn request_token(
        &self,
        endpoint: &Endpoint,
        request: TokenRequest,
    ) -> Result<TokenResponse, AcquireError> {
        let is_entra = matches!(self.kind, AuthorityKind::Entra { .. });
        let answer = self.http.post_form(&endpoint.url, &request, is_entra).await?;
        wire::judge(answer.status, answer.retry_after(), &answer.body)
    }

    /// Adds what tells this authority from others.
    pub(super) fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        match &self.kind {
            AuthorityKind::Entra { endpoint } => key.field("entra", endpoint.as_str().as_bytes()),
            AuthorityKind::Oidc(metadata) => key.field("oidc", metadata.issuer().as_bytes()),
            AuthorityKind::TokenEndpoint { endpoint } => {
                key.field("token_endpoint", endpoint.as_str().as_bytes());
            }
        }
    }
}
