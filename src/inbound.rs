//! Stage: who is calling, and whether they may go on.
//!
//! ```text
//! exempt? → credential → verified before? → issuer → key → signature → claims → binding → rules
//! ```
//!
//! A route with `authenticate` lets a request pass only for a verified [`Caller`] who satisfies the
//! route's rules ([`Authentication`]). A route without it does not ask who calls; it only decides about a
//! credential in the header that it injects into ([`ExistingPolicy`]).

mod authentication;
mod binding;
mod challenge;
pub mod claims;
mod credential;
mod dpop;
mod entra;
mod error;
mod introspection;
mod issuer;
mod issuers;
pub mod jws;
pub mod key;
mod key_ring;
pub mod key_set;
mod key_source;
mod rules;
mod strict_json;
mod subject;
mod verified;
mod verified_cache;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName};

pub use authentication::{Authentication, AuthenticationSpec};
pub use binding::{BadBinding, Origin, ProofPolicy};
pub use challenge::Challenges;
pub use claims::{Claims, Profile};
pub use dpop::DPOP;
pub use entra::{EntraIssuers, Tenants, is_tenant_id};
pub use error::{Fault, Refusal, Verdict};
pub use introspection::{IntrospectionSpec, Introspector};
pub use issuer::{IssuerIdentity, IssuerKind, IssuerSpec, JwtSpec};
pub use issuers::{Bounds, InboundMetrics, Issuers};
pub use key_ring::KeyRing;
pub use key_source::{KeyLocation, KeySource};
pub use rules::{Callers, Rules, Unmet};
pub use subject::Subject;
pub use verified::{CallerKind, Verified};
pub use verified_cache::VerifiedCacheMetrics;

use crate::listener::Peer;

/// A request as this stage sees it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'r> {
    /// Its head.
    pub request: &'r Parts,
    /// Its path in the one form that was matched and will be forwarded.
    pub path: &'r str,
    /// The other end of its connection.
    pub peer: &'r Peer,
}

/// The party behind a request, as far as it is known.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The route does not ask; whether a credential that came along stays is another matter.
    Unchecked {
        /// Whether the caller's own credential is to be forwarded.
        keeps_credential: bool,
    },
    /// Nobody in particular, where that is allowed.
    Anonymous,
    /// Anybody, on a path that anybody may call: no credential leaves with the request.
    Exempt,
    /// Somebody who would have been refused, for this class of reason, if the route did not only report.
    Reported(&'static str),
    /// Verified, and satisfying the route's rules.
    Verified(Subject),
}

impl Caller {
    /// Who it is, when that is verified.
    #[must_use]
    pub fn verified(&self) -> Option<&Verified> {
        match self {
            Self::Verified(subject) => Some(subject.verified()),
            Self::Unchecked { .. } | Self::Anonymous | Self::Exempt | Self::Reported(_) => None,
        }
    }
}

/// What a route demands of its callers.
#[derive(Clone, Debug)]
pub enum InboundPolicy {
    /// A good token, and what the rules say.
    Authenticated(Authentication),
    /// Nothing; only a credential in the injected header is looked at.
    Unchecked(ExistingPolicy),
}

/// The same, as configured.
#[derive(Clone, Debug)]
pub enum InboundSpec {
    /// A good token, and what the rules say.
    Authenticated(Arc<AuthenticationSpec>),
    /// Nothing; only a credential in the injected header is looked at.
    Unchecked(ExistingPolicy),
}

impl InboundPolicy {
    /// Judges the caller of a request.
    ///
    /// # Errors
    /// When the route refuses such callers.
    pub async fn admit(&self, arrival: Arrival<'_>) -> Result<Caller, Refusal> {
        match self {
            Self::Authenticated(authentication) => authentication.admit(arrival).await,
            Self::Unchecked(existing) => existing.admit(&arrival.request.headers),
        }
    }

    /// Refuses a caller whom a later stage finds to be the wrong one.
    #[must_use]
    pub fn refuse(&self, fault: Fault) -> Refusal {
        match self {
            Self::Authenticated(authentication) => authentication.refusal(fault),
            Self::Unchecked(_) => Refusal { fault, fields: Vec::new() },
        }
    }
}

/// What a route without authentication does with a credential the caller presents.
#[derive(Clone, Debug)]
pub struct ExistingPolicy {
    header: HeaderName,
    existing: Existing,
}

/// What happens to a credential the caller sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and no token is needed.
    Keep,
    /// The request is refused.
    Reject,
    /// Ours takes its place.
    Replace,
}

impl ExistingPolicy {
    /// A policy on `header`.
    #[must_use]
    pub fn new(header: HeaderName, existing: Existing) -> Self {
        Self { header, existing }
    }

    fn admit(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        if self.existing == Existing::Replace {
            return Ok(Caller::Unchecked { keeps_credential: false });
        }
        let presented = headers.get_all(&self.header).iter().count();
        let fault = match (self.existing, presented) {
            (Existing::Reject, 1..) => Fault::CredentialNotWelcome,
            (Existing::Keep, 2..) => Fault::CredentialRepeated,
            (existing, presented) => {
                let keeps_credential = existing == Existing::Keep && presented == 1;
                return Ok(Caller::Unchecked { keeps_credential });
            }
        };
        Err(Refusal { fault, fields: Vec::new() })
    }
}
