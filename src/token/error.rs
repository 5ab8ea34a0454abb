//! Why no token could be had, by whose fault, and how soon to try again.
//!
//! Part of `token`. The texts here are for the log; what the caller may read is chosen in
//! `proxy::respond` from [`AcquireError::reason`] alone.

use std::sync::Arc;
use std::time::Duration;

use super::wire::OAuthErrorCode;
use crate::authority::AuthorityError;

/// Why acquiring a token failed.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// The task that was fetching ended without an answer.
    #[error("the fetch ended without an answer")]
    Aborted,
    /// The authority gave no usable answer.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The authority refused our client or our request; trying again soon will not help.
    #[error(
        "the authority refused with status {status}, error {code}{}",
        details.as_deref().unwrap_or_default()
    )]
    Refused {
        /// HTTP status of the refusal.
        status: u16,
        /// RFC 6749 section 5.2 `error`.
        code: OAuthErrorCode,
        /// Error numbers, correlation and trace ids, for the authority's support.
        details: Option<String>,
    },
    /// The authority issued a token of a type we must not send as a bearer token.
    #[error("the authority issued a token that is not of type Bearer")]
    WrongTokenType,
}

/// A failure as one of those sees it who wait for the token.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct AcquireFailure {
    /// What happened; shared by all who waited.
    pub error: Arc<AcquireError>,
    /// How long until asking again makes sense.
    pub retry_in: Duration,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The authority is down, slow, confused, or wants us to wait.
    Authority,
    /// The authority works and says no to us: our registration, our secret, our scopes.
    Ours,
}

impl AcquireError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused { .. } | Self::WrongTokenType => Fault::Ours,
            Self::Aborted | Self::Authority(_) => Fault::Authority,
        }
    }

    /// A stable name for logs, metrics and the caller.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Aborted => "token_fetch_aborted",
            Self::Authority(error) => error.reason(),
            Self::Refused { code, .. } if code.blames_client() => "authority_refused_client",
            Self::Refused { .. } => "authority_refused_request",
            Self::WrongTokenType => "authority_token_type",
        }
    }

    /// Whether a second try within the same fetch is worth making.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Authority(error) if error.is_retryable())
    }
}
