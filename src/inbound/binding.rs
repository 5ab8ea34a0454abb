//! Tokens that only the holder of a key may use (RFC 7800, RFC 8705, RFC 9449).
//!
//! Part of `inbound`. A bound token without its proof is a stolen one, whatever else is right with it.

use http::header::HOST;

use super::Arrival;
use super::credential::{Presented, Scheme};
use super::dpop::{self, ProofMemory};
use super::verified::{Confirmation, Verified};

/// What a route demands of a token's binding.
#[derive(Clone, Debug)]
pub struct ProofPolicy {
    /// Whether tokens that are bound to nothing are refused.
    pub required: bool,
    /// How old a DPoP proof may be.
    pub max_age: std::time::Duration,
    /// Whether a DPoP proof must hold a nonce of ours.
    pub nonce: bool,
}

/// What is wrong with the binding or its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBinding {
    /// A DPoP-bound token sent as a bearer token.
    #[error("a key-bound token was sent as a bearer token")]
    Bearer,
    /// The token is bound to another client certificate than the connection's.
    #[error("the token is bound to a client certificate that was not shown")]
    Certificate,
    /// Too many proofs within a short time to remember them all.
    #[error("too many proofs to remember")]
    MemoryFull,
    /// The proof must hold the nonce that goes with this answer.
    #[error("the proof holds no nonce of ours")]
    Nonce,
    /// No proof can be checked here.
    #[error("neither the listener's `resource` nor the route's host says what a proof must be for")]
    Origin,
    /// The proof is not what it must be.
    #[error("the proof: {0}")]
    Proof(&'static str),
    /// The proof has been used before.
    #[error("the proof has been used before")]
    Replayed,
    /// The token is bound to nothing where it must be, or was presented as if it were.
    #[error("the token is bound to no key")]
    Unbound,
    /// The token is bound in a way we cannot check.
    #[error("the token is bound in a way that cannot be checked here")]
    Unknown,
}

impl BadBinding {
    /// The word for logs and metrics.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Bearer => "bound_token_as_bearer",
            Self::Certificate => "certificate_binding",
            Self::MemoryFull => "proof_memory_full",
            Self::Nonce => "proof_nonce",
            Self::Origin => "proof_origin_unknown",
            Self::Proof(_) => "proof",
            Self::Replayed => "proof_replayed",
            Self::Unbound => "token_unbound",
            Self::Unknown => "binding_unknown",
        }
    }
}

/// Which addresses a proof may be for. The caller's `Host` alone does not do: whoever got a proof for a host
/// of his own could show it here under that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This scheme, host and port: what the listener says it is to its callers.
    Public(String),
    /// The caller's `Host`, which the route has matched exactly.
    Matched,
    /// None is known, so no proof can be checked.
    Unknown,
}

/// A request and the token it came with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound<'r> {
    pub(super) caller: &'r Verified,
    pub(super) presented: Presented<'r>,
    pub(super) arrival: Arrival<'r>,
    /// Which addresses a proof may be for.
    pub(super) origin: &'r Origin,
}

impl Bound<'_> {
    /// Checks that whoever sent the request holds the key that the token is bound to.
    pub(super) fn check(
        self,
        policy: &ProofPolicy,
        proofs: &ProofMemory,
    ) -> Result<(), BadBinding> {
        match (&self.caller.confirmation, self.presented.scheme) {
            (Confirmation::None, Scheme::Bearer) if !policy.required => Ok(()),
            (Confirmation::None, _) | (Confirmation::Certificate(_), Scheme::Dpop) => {
                Err(BadBinding::Unbound)
            }
            (Confirmation::Unknown, _) => Err(BadBinding::Unknown),
            (Confirmation::Certificate(digest), Scheme::Bearer) => {
                let shown = self.arrival.peer.certificate_digest();
                if shown == Some(digest.as_str()) { Ok(()) } else { Err(BadBinding::Certificate) }
            }
            (Confirmation::Dpop(_), Scheme::Bearer) => Err(BadBinding::Bearer),
            (Confirmation::Dpop(thumbprint), Scheme::Dpop) => {
                let address = self.address().ok_or(BadBinding::Origin)?;
                let Arrival { request, .. } = self.arrival;
                let expected = dpop::Expected {
                    thumbprint,
                    holder: self.caller.holder(),
                    token: self.presented.token,
                    method: request.method.as_str(),
                    address: &address,
                };
                proofs.check(&request.headers, &expected, policy)
            }
        }
    }

    /// The request's address as its caller wrote it, without query (RFC 9449 section 4.3).
    fn address(&self) -> Option<String> {
        let Arrival { request, peer, .. } = self.arrival;
        let path = request.uri.path();
        match self.origin {
            Origin::Public(origin) => return Some([origin, path].concat()),
            Origin::Unknown => return None,
            Origin::Matched => {}
        }
        let host = request.uri.authority().map(http::uri::Authority::as_str);
        let host = host.or_else(|| request.headers.get(HOST)?.to_str().ok())?;
        let scheme = if peer.is_tls() { "https" } else { "http" };
        Some(format!("{scheme}://{host}{path}"))
    }
}
