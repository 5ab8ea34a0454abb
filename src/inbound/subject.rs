//! A verified caller together with the very token it was verified by: the subject token.
//!
//! Part of `inbound`, its output for flows that act on a caller's behalf. Only this stage makes one, so
//! whoever holds a [`Subject`] holds a token that was found good for this route.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;
use zeroize::Zeroizing;

use super::verified::Verified;
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};

/// A verified caller and its token.
#[derive(Clone)]
pub struct Subject {
    verified: Arc<Verified>,
    /// The field the token came in, shared with the request.
    field: HeaderValue,
    /// Where in it the token starts.
    token_at: usize,
    digest: CacheKey,
}

impl Subject {
    pub(super) fn new(
        verified: Arc<Verified>,
        field: HeaderValue,
        token_at: usize,
        digest: CacheKey,
    ) -> Self {
        Self { verified, field, token_at, digest }
    }

    /// The same with a copy of the token, so that nothing of the request is kept; wiped when dropped.
    #[must_use]
    pub fn detached(&self) -> Self {
        let copy = Bytes::from_owner(Zeroizing::new(self.field.as_bytes().to_vec()));
        let field = HeaderValue::from_maybe_shared(copy).unwrap_or_else(|_| self.field.clone());
        Self { field, ..self.clone() }
    }

    /// What its token says.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The token itself, to be shown to an authority and to nobody else.
    #[must_use]
    pub fn token(&self) -> &str {
        let token = self.field.as_bytes().get(self.token_at..).unwrap_or_default();
        std::str::from_utf8(token).unwrap_or_default()
    }

    /// Who it is, as a digest: [`Verified::subject_id`], or the token itself where it names nobody. Two who
    /// are not named are never taken for one.
    #[must_use]
    pub fn id(&self) -> &CacheKey {
        self.verified.subject.as_ref().unwrap_or(&self.digest)
    }

    /// The digest of the exact token.
    #[must_use]
    pub fn digest(&self) -> &CacheKey {
        &self.digest
    }

    /// When the token expires, without skew; for one that does not say, until when it counts here. What has
    /// expired has done so long ago, also for whoever read the clock before asking.
    #[must_use]
    pub fn expires(&self, clock: &Clock) -> Moment {
        let counts_until = self.verified.good_until.moment();
        let Some(exp) = self.verified.claims.at("exp").and_then(Value::as_f64) else {
            return counts_until;
        };
        let exp = Duration::try_from_secs_f64(exp).unwrap_or(Duration::ZERO);
        match exp.saturating_sub(clock.wall()) {
            Duration::ZERO => Moment::LONG_AGO,
            // A wall clock that is set back gives no signed token a longer life than it had when it was verified.
            left if self.verified.key.is_some() => clock.now().after(left).min(counts_until),
            left => clock.now().after(left),
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("verified", &self.verified).finish_non_exhaustive()
    }
}
