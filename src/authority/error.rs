//! Why an authority gave no answer that can be used.
//!
//! Part of `authority`. The texts are for the log; none repeats a body or a URL's query.

use std::time::Duration;

use super::CredentialError;

/// Why asking an authority failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Our own credential cannot be used.
    #[error("our credential: {0}")]
    Credential(#[from] CredentialError),
    /// The authority's metadata is not what it must be.
    #[error("the authority's metadata at {url}: {what}")]
    Metadata {
        /// The document's address.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The authority told us to wait.
    #[error("the authority told us to wait {retry_after:?} (status {status})")]
    Throttled {
        /// HTTP status of the answer.
        status: u16,
        /// For how long, at most an hour.
        retry_after: Duration,
    },
    /// The authority cannot be reached, or failed while it answered.
    #[error("the authority cannot be reached: {0}")]
    Unreachable(String),
    /// The authority answered something that cannot be used.
    #[error("the authority's answer is unusable (status {status}): {what}")]
    Unusable {
        /// HTTP status of the answer.
        status: u16,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl AuthorityError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Credential(_) => "credential_unreadable",
            Self::Metadata { .. } => "authority_metadata_unusable",
            Self::Throttled { .. } => "authority_throttled",
            Self::Unreachable(_) => "authority_unreachable",
            Self::Unusable { .. } => "authority_answer_unusable",
        }
    }

    /// Whether a second try soon is worth making.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unusable { .. } | Self::Metadata { .. })
    }
}
