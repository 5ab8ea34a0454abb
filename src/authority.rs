//! The other side: authorization servers and issuers, and how Vicar talks to them.
//!
//! No stage, used by two: `inbound` asks for key sets and introspection, `token` for tokens. Everything
//! that comes back is hostile input: bounded in time and size, never followed elsewhere, never trusted
//! to be JSON.

mod client;
mod client_refusal;
mod credential;
mod entra;
mod error;
mod form;
mod http;
mod metadata;

use std::time::Duration;

use url::Url;

pub use self::client::{ClientSpec, Posted};
pub use self::credential::{
    Asking, AssertionProvider, AssertionSource, AssertionUrl, Audience, Credential,
    CredentialError, Method, PrivateKeyJwt, RESERVED_CLAIMS, RESERVED_HEADERS, SecretMethod,
    SigningSource, Thumbprint, TlsClientAuth,
};
pub use self::entra::{Detection, Entra, Region, is_region, preferred_host};
pub use self::error::AuthorityError;
pub use self::form::Form;
use self::form::FormRequest;
pub use self::http::{Answer, AuthorityHttp, HttpSettings, ProxySettings};
pub use self::metadata::{ExpectedIssuer, Metadata};
use crate::cache_key::CacheKeyBuilder;
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
    Entra(Box<Entra>),
    /// Another of Microsoft's.
    Microsoft { kind: Microsoft, endpoint: Url },
    /// A server that publishes metadata.
    Oidc(Metadata),
    /// A bare token endpoint.
    TokenEndpoint { endpoint: Url },
}

/// Microsoft's servers besides Entra ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Microsoft {
    /// Active Directory Federation Services, which know nothing of Entra's additions.
    Adfs,
    /// Azure AD B2C: Entra behind a policy.
    B2c,
}

/// Where a form goes.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its address.
    pub url: Url,
    /// Its address for clients that show a certificate, where that is another (RFC 8705 section 5).
    pub mtls: Option<Url>,
    /// Who answers there, where that is known.
    pub issuer: Option<String>,
    /// Whether a client secret goes into the Authorization header unless the user chose.
    pub prefers_basic: bool,
}

impl Authority {
    /// Microsoft Entra ID.
    #[must_use]
    pub fn entra(entra: Entra, http: AuthorityHttp) -> Self {
        Self { kind: AuthorityKind::Entra(Box::new(entra)), http }
    }

    /// Another of Microsoft's servers at this token endpoint.
    #[must_use]
    pub fn microsoft(kind: Microsoft, endpoint: Url, http: AuthorityHttp) -> Self {
        Self { kind: AuthorityKind::Microsoft { kind, endpoint }, http }
    }

    /// A server found by discovery under `issuer`.
    #[must_use]
    pub fn oidc(issuer: String, http: AuthorityHttp) -> Self {
        Self { kind: AuthorityKind::Oidc(Metadata::of_issuer(issuer)), http }
    }

    /// A bare token endpoint.
    #[must_use]
    pub fn bare(endpoint: Url, http: AuthorityHttp) -> Self {
        Self { kind: AuthorityKind::TokenEndpoint { endpoint }, http }
    }

    /// Whether it is Entra, with its rules for scopes.
    #[must_use]
    pub fn is_entra(&self) -> bool {
        matches!(
            self.kind,
            AuthorityKind::Entra(_) | AuthorityKind::Microsoft { kind: Microsoft::B2c, .. }
        )
    }

    /// Whether it is AD FS, which knows certificates by SHA-1.
    #[must_use]
    pub fn is_adfs(&self) -> bool {
        matches!(self.kind, AuthorityKind::Microsoft { kind: Microsoft::Adfs, .. })
    }

    /// Whether its endpoints are discovered.
    #[must_use]
    pub fn has_metadata(&self) -> bool {
        matches!(self.kind, AuthorityKind::Oidc(_))
    }

    /// Whether its issuer identifier is known, at the latest after discovery.
    #[must_use]
    pub fn knows_issuer(&self) -> bool {
        matches!(self.kind, AuthorityKind::Entra(_) | AuthorityKind::Oidc(_))
    }

    /// Its token endpoint, or the issuer under which that is discovered, for the log.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            AuthorityKind::Entra(entra) => entra.endpoint().as_str(),
            AuthorityKind::Microsoft { endpoint, .. }
            | AuthorityKind::TokenEndpoint { endpoint } => endpoint.as_str(),
            AuthorityKind::Oidc(metadata) => metadata.location(),
        }
    }

    /// The time one fetch may take, its retry included.
    #[must_use]
    pub fn total_timeout(&self) -> Duration {
        self.http.total_timeout()
    }

    /// The token endpoint, discovered when need be; of another `tenant` of Entra than the client's own, and in the
    /// region when an application asks for itself.
    ///
    /// # Errors
    /// When discovery fails and never succeeded, or the tenant makes no URL.
    pub async fn token_endpoint(
        &self,
        tenant: Option<&str>,
        regional: bool,
        clock: &Clock,
    ) -> Result<Endpoint, AuthorityError> {
        match &self.kind {
            AuthorityKind::Entra(entra) => {
                let url = entra.token_endpoint(tenant, regional).await.map_err(|_| {
                    let what = "the tenant makes no endpoint".to_owned();
                    AuthorityError::Metadata { url: entra.endpoint().to_string(), what }
                })?;
                let issuer = entra.issuer(tenant);
                Ok(Endpoint { url, mtls: None, issuer, prefers_basic: false })
            }
            AuthorityKind::Oidc(metadata) => {
                metadata.document(&self.http, clock).await?.token_endpoint()
            }
            AuthorityKind::Microsoft { endpoint, .. } => Ok(bare(endpoint, false)),
            // RFC 6749 section 2.3.1: every server that takes passwords takes Basic.
            AuthorityKind::TokenEndpoint { endpoint } => Ok(bare(endpoint, true)),
        }
    }

    /// The introspection endpoint that the metadata names.
    ///
    /// # Errors
    /// When there is no metadata, or it names none.
    pub async fn introspection_endpoint(&self, clock: &Clock) -> Result<Endpoint, AuthorityError> {
        if let AuthorityKind::Oidc(metadata) = &self.kind {
            return metadata.document(&self.http, clock).await?.introspection_endpoint();
        }
        let what = "no introspection endpoint is known for it".into();
        Err(AuthorityError::Metadata { url: self.name().to_owned(), what })
    }

    /// Where a person signs in, as claims challenges name it; known for Entra alone.
    #[must_use]
    pub fn authorization_uri(&self, tenant: Option<&str>) -> Option<String> {
        let AuthorityKind::Entra(entra) = &self.kind else { return None };
        entra.authorization_uri(tenant)
    }

    /// Sends a form once, over `connections` of its own or the usual ones; redirects are answers like others.
    ///
    /// # Errors
    /// When there is no answer, or it is too large.
    async fn post(
        &self,
        url: &Url,
        request: &FormRequest,
        connections: Option<&AuthorityHttp>,
    ) -> Result<Answer, AuthorityError> {
        let is_entra = self.is_entra();
        connections.unwrap_or(&self.http).post_form(url, request, is_entra).await
    }

    /// Adds what tells this authority from others.
    pub fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        match &self.kind {
            AuthorityKind::Entra(entra) => {
                key.field("entra", entra.endpoint().as_str().as_bytes());
            }
            AuthorityKind::Microsoft { endpoint, .. } => {
                key.field("microsoft", endpoint.as_str().as_bytes());
            }
            AuthorityKind::Oidc(metadata) => key.field("oidc", metadata.location().as_bytes()),
            AuthorityKind::TokenEndpoint { endpoint } => {
                key.field("token_endpoint", endpoint.as_str().as_bytes());
            }
        }
    }
}

fn bare(endpoint: &Url, prefers_basic: bool) -> Endpoint {
    Endpoint { url: endpoint.clone(), mtls: None, issuer: None, prefers_basic }
}
