//! Stage: what the caller presented, and whether it may go on.
//!
//! So far this stage looks at one thing only: a credential the caller put into the header that the
//! route injects into. Who the caller *is* will be decided here too; until then a configuration that
//! asks for it is refused at load.

use http::{HeaderMap, HeaderName};

/// What a route does with a credential the caller presents.
#[derive(Clone, Debug)]
pub struct InboundPolicy {
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

/// The party behind a request, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whether the caller's own credential is to be forwarded.
    pub keeps_credential: bool,
}

/// Why a caller may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// The route takes no credentials from callers.
    #[error("the caller sent a credential where this route takes none")]
    CredentialNotWelcome,
    /// Two credentials: which one counts would be a guess.
    #[error("the caller sent more than one credential")]
    CredentialRepeated,
}

impl InboundPolicy {
    /// A policy on `header`.
    #[must_use]
    pub fn new(header: HeaderName, existing: Existing) -> Self {
        Self { header, existing }
    }

    /// Judges the caller by its headers.
    ///
    /// # Errors
    /// When the route refuses such callers.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Caller, InboundError> {
        if self.existing == Existing::Replace {
            return Ok(Caller { keeps_credential: false });
        }
        let presented = headers.get_all(&self.header).iter().count();
        match (self.existing, presented) {
            (Existing::Reject, 1..) => Err(InboundError::CredentialNotWelcome),
            (Existing::Keep, 2..) => Err(InboundError::CredentialRepeated),
            (existing, presented) => {
                Ok(Caller { keeps_credential: existing == Existing::Keep && presented == 1 })
            }
        }
    }
}
