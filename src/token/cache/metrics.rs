//! Counters of one client's tokens.
//!
//! Part of `token::cache`.

use prometheus::{Histogram, IntCounter, IntCounterVec};

use crate::token::AcquireError;

/// Counters of one client's tokens of one kind.
#[derive(Clone, Debug)]
pub struct TokenMetrics {
    /// Requests that a cached token answered.
    pub hits: IntCounter,
    /// Requests that had to wait for the authority, or were refused from memory.
    pub misses: IntCounter,
    /// Renewals started in the background.
    pub refreshes: IntCounter,
    /// Renewals because an upstream did not want the token.
    pub rejections: IntCounter,
    /// Fetches by client, kind and `outcome`: `token`, or the failure's reason.
    pub fetches: IntCounterVec,
    /// Seconds per fetch, retry included.
    pub seconds: Histogram,
    /// `application`, `user` or `session`.
    pub kind: &'static str,
}

impl TokenMetrics {
    /// Counts the end of a fetch.
    pub(super) fn landed(&self, client: &str, error: Option<&AcquireError>) {
        let outcome = error.map_or("token", AcquireError::reason);
        self.fetches.with_label_values(&[client, self.kind, outcome]).inc();
    }
}
