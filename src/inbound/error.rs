//! Why a caller may not go on: precise for the log, coarse for the caller.
//!
//! Part of `inbound`. [`Fault::class`] is the word for logs and metrics; [`Fault::reason`] is all that the
//! caller learns, so that nobody can feel their way to a token that passes.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::binding::BadBinding;
use super::claims::BadClaim;
use super::introspection::IntrospectionError;
use super::jws::BadJws;
use super::key_ring::KeyError;
use super::key_set::NoKey;
use super::rules::Unmet;

/// What is wrong with a caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The proof of possession that the token demands is missing or wrong.
    #[error("proof of possession: {0}")]
    Binding(#[from] BadBinding),
    /// What the token says is not acceptable.
    #[error("the token: {0}")]
    Claim(#[from] BadClaim),
    /// The route takes no credentials from callers.
    #[error("the caller sent a credential where this route takes none")]
    CredentialNotWelcome,
    /// Two credentials: which one counts would be a guess.
    #[error("the caller sent more than one credential")]
    CredentialRepeated,
    /// The issuer says that the token is not active.
    #[error("the issuer says that the token is not active")]
    Inactive,
    /// The issuer could not be asked.
    #[error("introspection: {0}")]
    Introspection(#[from] IntrospectionError),
    /// Not a token that we read.
    #[error("the token: {0}")]
    Jws(#[from] BadJws),
    /// No key to verify it with.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// No credential at all.
    #[error("the caller sent no credential")]
    Missing,
    /// A credential of another scheme.
    #[error("the credential is not a bearer token")]
    Scheme,
    /// The signature is not the key's.
    #[error("the signature is wrong")]
    Signature,
    /// Text that no token can be.
    #[error("the credential has characters that no token has")]
    Text,
    /// None of the route's issuers.
    #[error("no issuer of this route issued it")]
    UnknownIssuer,
    /// The token is good, but not for this.
    #[error("not allowed: {0}")]
    Unmet(#[from] Unmet),
}

/// What kind of answer a fault gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request itself is malformed (RFC 6750 `invalid_request`).
    BadRequest,
    /// Show a credential, or a better one.
    Unauthenticated,
    /// The caller is known but not allowed.
    Forbidden,
    /// The issuer refuses us, so nobody can tell.
    RefusesUs,
    /// It is our side that cannot tell; come back later.
    Unavailable,
}

/// A fault and what the answer must carry.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct Refusal {
    /// What is wrong.
    pub fault: Fault,
    /// Fields of the answer: `WWW-Authenticate`, `DPoP-Nonce`.
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

impl Fault {
    /// What kind of answer it gets.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::CredentialNotWelcome | Self::CredentialRepeated => Verdict::BadRequest,
            Self::Introspection(error) if error.refused => Verdict::RefusesUs,
            Self::Key(KeyError::Unavailable(_))
            | Self::Introspection(_)
            | Self::Binding(BadBinding::MemoryFull) => Verdict::Unavailable,
            Self::Unmet(_) => Verdict::Forbidden,
            Self::Binding(_)
            | Self::Claim(_)
            | Self::Inactive
            | Self::Jws(_)
            | Self::Key(KeyError::NoKey(_))
            | Self::Missing
            | Self::Scheme
            | Self::Signature
            | Self::Text
            | Self::UnknownIssuer => Verdict::Unauthenticated,
        }
    }

    /// Whether it says more than `other`, when several issuers judged one token: that nobody can tell, then
    /// that it was good once, then the rest.
    #[must_use]
    pub fn outranks(&self, other: &Self) -> bool {
        let rank = |fault: &Self| match fault {
            Self::UnknownIssuer => 0,
            Self::Claim(BadClaim::Expired) => 2,
            fault if fault.verdict() == Verdict::Unavailable => 3,
            _ => 1,
        };
        rank(self) > rank(other)
    }

    /// What the caller may know: a stable name.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::CredentialNotWelcome => "credential_not_welcome",
            Self::CredentialRepeated => "credential_repeated",
            Self::Missing | Self::Scheme => "credential_missing",
            // Said only of tokens whose signature is good, and what every client must react to.
            Self::Claim(BadClaim::Expired) => "token_expired",
            Self::Key(KeyError::Unavailable(_)) => "issuer_keys_unavailable",
            Self::Introspection(error) if error.refused => "issuer_refused_client",
            Self::Introspection(_) => "issuer_unavailable",
            Self::Binding(BadBinding::MemoryFull) => "proof_memory_full",
            Self::Binding(_) => "proof_invalid",
            Self::Unmet(Unmet::AppScope | Unmet::Scope | Unmet::Role) => "insufficient_scope",
            Self::Unmet(Unmet::NotAPerson) => "user_required",
            Self::Unmet(_) => "caller_not_allowed",
            Self::Claim(_)
            | Self::Inactive
            | Self::Jws(_)
            | Self::Key(KeyError::NoKey(_))
            | Self::Signature
            | Self::Text
            | Self::UnknownIssuer => "token_invalid",
        }
    }

    /// The precise class, for logs and metrics: one of a closed list.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Binding(binding) => binding.class(),
            Self::Claim(claim) => match claim {
                BadClaim::Audience => "audience",
                BadClaim::Expired => "expired",
                BadClaim::Issuer => "issuer",
                BadClaim::Missing(_) => "claim_missing",
                BadClaim::NotYet => "not_yet_valid",
                BadClaim::OtherKind => "not_an_access_token",
                BadClaim::Type(_) => "claim_type",
                BadClaim::Unreadable => "payload",
            },
            Self::CredentialNotWelcome => "credential_not_welcome",
            Self::CredentialRepeated => "credential_repeated",
            Self::Inactive => "inactive",
            Self::Introspection(_) => "introspection_unavailable",
            Self::Jws(jws) => match jws {
                BadJws::Algorithm => "algorithm",
                BadJws::Encrypted => "encrypted",
                BadJws::Forbidden(_) => "header_forbidden",
                BadJws::Header => "header",
                BadJws::Shape => "shape",
                BadJws::Size => "size",
            },
            Self::Key(KeyError::NoKey(NoKey::Ambiguous)) => "key_ambiguous",
            Self::Key(KeyError::NoKey(NoKey::Unfit)) => "key_unfit",
            Self::Key(KeyError::NoKey(NoKey::Unknown)) => "key_unknown",
            Self::Key(KeyError::Unavailable(_)) => "keys_unavailable",
            Self::Missing => "missing",
            Self::Scheme => "scheme",
            Self::Signature => "signature",
            Self::Text => "text",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Unmet(unmet) => match unmet {
                Unmet::Claim => "claim_value",
                Unmet::ClientId => "client_id",
                Unmet::Kind => "caller_kind",
                Unmet::MayAct => "may_act",
                Unmet::NoRights => "no_rights",
                Unmet::NotAPerson => "not_a_person",
                Unmet::Role => "role",
                Unmet::AppScope | Unmet::Scope => "scope",
            },
        }
    }

    /// When to come back, where that is known.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Introspection(error) => Some(error.retry_in),
            _ if self.verdict() == Verdict::Unavailable => Some(SOON),
            _ => None,
        }
    }
}

const SOON: Duration = Duration::from_secs(1);
