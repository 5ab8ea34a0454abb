//! Why no token could be had, by whose fault, and how soon to try again.
//!
//! Part of `token`. The texts here are for the log; what the caller may read is chosen in
//! `proxy::respond` from [`AcquireError::reason`] alone.

use std::sync::Arc;
use std::time::Duration;

use super::refusal::{OAuthErrorCode, Refusal};
use crate::authority::AuthorityError;

/// Why acquiring a token failed.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// The task that was fetching ended without an answer.
    #[error("the fetch ended without an answer")]
    Aborted,
    /// Our own token, by which we name ourselves as the actor, could not be had.
    #[error("the actor's token: {0}")]
    Actor(AcquireFailure),
    /// The authority gave no usable answer.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// It failed a moment ago, for this one or for everybody, so the authority was not asked.
    #[error("not asked again so soon: {0}")]
    Held(AcquireFailure),
    /// What the authority answered, which others have been told as well.
    #[error("{0}")]
    Shared(Arc<AcquireError>),
    /// More requests to the authority wait than it could ever answer in time.
    #[error("too many token requests wait for the authority")]
    Busy,
    /// The authority wants something of the person first; nobody else can help.
    #[error("the authority wants the person to act: {0}")]
    NeedsUser(Box<Refusal>),
    /// The authority refused our client or our request; trying again soon will not help.
    #[error("the authority refused with {0}")]
    Refused(Box<Refusal>),
    /// The call names its session twice, or in a way that nobody should.
    #[error("the name of the session is repeated, or not 16 to 256 characters")]
    SessionName,
    /// The session that the call names is another person's.
    #[error("the session belongs to another person")]
    SessionOfAnother,
    /// The session that the call names has ended or never began.
    #[error("there is no such session")]
    SessionUnknown,
    /// There is no room for another session.
    #[error("there are as many sessions as there may be")]
    SessionsFull,
    /// The authority told us to wait.
    #[error(
        "the authority told us to wait {retry_after:?} (status {status}{})",
        details.as_deref().unwrap_or_default()
    )]
    Throttled {
        /// HTTP status of the answer.
        status: u16,
        /// For how long, at most an hour.
        retry_after: Duration,
        /// Whether it says that this is about the client as a whole, not about this one token.
        whole_client: bool,
        /// Error numbers, correlation and trace ids, for the authority's support.
        details: Option<String>,
    },
    /// The authority issued a token of another type than what was asked for.
    #[error("the authority issued a token of another type than what was asked for")]
    WrongIssuedType,
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
    /// The person behind the call must sign in again, consent, or prove more.
    Caller,
    /// The caller asks for what is another's.
    Forbidden,
    /// The authority works and says no to us: our registration, our secret, our scopes.
    Ours,
    /// The request itself is wrong.
    Request,
    /// We are at a limit of our own.
    Room,
}

impl AcquireError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Actor(failure) | Self::Held(failure) => failure.error.fault(),
            Self::Shared(error) => error.fault(),
            Self::Refused(_) | Self::WrongTokenType | Self::WrongIssuedType => Fault::Ours,
            Self::Aborted | Self::Authority(_) | Self::Throttled { .. } => Fault::Authority,
            Self::NeedsUser(_) | Self::SessionUnknown => Fault::Caller,
            Self::SessionName => Fault::Request,
            Self::SessionOfAnother => Fault::Forbidden,
            Self::Busy | Self::SessionsFull => Fault::Room,
        }
    }

    /// A stable name for logs, metrics and the caller.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Aborted => "token_fetch_aborted",
            Self::Actor(failure) | Self::Held(failure) => failure.error.reason(),
            Self::Shared(error) => error.reason(),
            Self::Authority(error) => error.reason(),
            Self::Busy => "token_requests_busy",
            Self::NeedsUser(refusal) => refusal.step(),
            Self::Refused(refusal) if refusal.code.blames_client() => "authority_refused_client",
            Self::Refused(_) => "authority_refused_request",
            Self::SessionName => "session_name",
            Self::SessionOfAnother => "session_of_another",
            Self::SessionUnknown => "session_unknown",
            Self::SessionsFull => "sessions_full",
            Self::Throttled { .. } => "authority_throttled",
            Self::WrongIssuedType => "authority_issued_type",
            Self::WrongTokenType => "authority_token_type",
        }
    }

    /// Whether a second try within the same fetch is worth making.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Authority(error) if error.is_retryable())
    }

    /// How long the authority told us to wait, if it did.
    #[must_use]
    pub fn told_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Actor(failure) | Self::Held(failure) => Some(failure.retry_in),
            Self::Shared(error) => error.told_to_wait(),
            Self::Authority(AuthorityError::Throttled { retry_after, .. })
            | Self::Throttled { retry_after, .. } => Some(*retry_after),
            Self::Refused(refusal) | Self::NeedsUser(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether the authority was asked at all.
    #[must_use]
    pub fn was_asked(&self) -> bool {
        !matches!(self, Self::Held(_) | Self::Actor(_) | Self::Busy | Self::SessionUnknown)
    }

    /// Whether it says no to what was asked for, rather than nothing or not now.
    #[must_use]
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.fault(), Fault::Ours | Fault::Caller)
    }

    /// What the authority wants of the person, when that is why.
    #[must_use]
    pub fn needs_user(&self) -> Option<&Refusal> {
        match self {
            Self::NeedsUser(refusal) => Some(refusal),
            Self::Held(failure) => failure.error.needs_user(),
            Self::Shared(error) => error.needs_user(),
            _ => None,
        }
    }

    /// Whether the request as such was refused.
    #[must_use]
    pub(super) fn is_invalid_request(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == OAuthErrorCode::InvalidRequest)
    }

    /// Whether the authority failed to answer, which others may well find too.
    #[must_use]
    pub(super) fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Authority(AuthorityError::Unreachable(_) | AuthorityError::Unusable { .. })
        )
    }

    /// Whether every token of the client would meet the same failure now.
    #[must_use]
    pub fn is_about_the_client(&self) -> bool {
        match self {
            // Some say `invalid_client`, with status 400, of the target that is asked for.
            Self::Refused(refusal) => {
                refusal.code.blames_client() && refusal.status == UNAUTHORIZED
            }
            Self::Throttled { whole_client, .. } => *whole_client,
            Self::Authority(
                AuthorityError::Credential(_)
                | AuthorityError::Metadata { .. }
                | AuthorityError::Throttled { .. },
            ) => true,
            _ => false,
        }
    }

    /// The same failure of a grant on behalf of a caller, where some refusals are about the person.
    /// `blames_token` says that the refusal can only mean the subject token.
    #[must_use]
    pub(super) fn on_behalf(self, blames_token: bool) -> Self {
        match self {
            Self::Refused(refusal) if refusal.is_about_the_person() || blames_token => {
                Self::NeedsUser(refusal)
            }
            other => other,
        }
    }
}

const UNAUTHORIZED: u16 = 401;
