//! The secret a request carries, and how long it is good for.
//!
//! Part of `token`. Freshness is stored with the token and judged when it is read: a cache that
//! merely evicts could hand out an expired token in the gap. The memory that holds the token is wiped
//! when the last who shares it lets go; what an HTTP library copied into its buffers is not ours to wipe.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::clock::Moment;

/// An access token, ready to be put into a header.
#[derive(Clone)]
pub struct AccessToken {
    bearer: HeaderValue,
    refresh_after: Moment,
    use_until: Moment,
    expires: Moment,
    cacheable: bool,
}

impl AccessToken {
    /// Wraps `token`, whose life is counted from when it was `asked` for: the authority may have
    /// taken its time after it began to count. (RFC 6750 `b64token` characters, checked by the wire parser.)
    ///
    /// Returns nothing when the text cannot be a header value.
    #[must_use]
    pub fn new(token: &str, lifetime: Lifetime, asked: Moment) -> Option<Self> {
        // At its full size from the start: growing would leave pieces behind.
        let mut field = Zeroizing::new(Vec::with_capacity(BEARER.len() + token.len()));
        field.extend_from_slice(BEARER.as_bytes());
        field.extend_from_slice(token.as_bytes());
        let mut bearer = HeaderValue::from_maybe_shared(Bytes::from_owner(field)).ok()?;
        bearer.set_sensitive(true);
        Some(Self {
            bearer,
            refresh_after: asked.after(lifetime.refresh_after()),
            use_until: asked.after(lifetime.total.saturating_sub(lifetime.margin())),
            expires: asked.after(lifetime.total),
            cacheable: !lifetime.total.is_zero(),
        })
    }

    /// `Bearer <token>`, marked sensitive; cloning it copies no bytes.
    #[must_use]
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }

    /// The token itself, without a scheme.
    #[must_use]
    pub fn bare(&self) -> &str {
        // It was made of text.
        self.bearer.to_str().ok().and_then(|text| text.strip_prefix(BEARER)).unwrap_or_default()
    }

    /// Whether it may be sent without hurry: not yet within the safety margin of its expiry.
    #[must_use]
    pub fn is_usable(&self, now: Moment) -> bool {
        now < self.use_until
    }

    /// Whether it is time to renew it in the background.
    #[must_use]
    pub fn is_due(&self, now: Moment) -> bool {
        now >= self.refresh_after
    }

    /// Whether it must never be sent again.
    #[must_use]
    pub fn is_expired(&self, now: Moment) -> bool {
        now >= self.expires
    }

    /// The same, but handed out no longer than until `end`: when what it was obtained with expires.
    #[must_use]
    pub fn no_longer_than(mut self, end: Moment) -> Self {
        self.expires = self.expires.min(end);
        if end <= self.use_until {
            // Another one would end at the same time, so there is no hurry before it.
            (self.use_until, self.refresh_after) = (end, end);
        }
        self
    }

    /// What it keeps in memory, about.
    #[must_use]
    pub fn weight(&self) -> u64 {
        (self.bearer.len() + size_of::<Self>() + OWNER) as u64
    }

    /// Time left before it expires.
    #[must_use]
    pub fn time_left(&self, now: Moment) -> Duration {
        now.until(self.expires)
    }

    /// Whether it may serve anyone but those who waited for it (`expires_in: 0` may not).
    #[must_use]
    pub fn is_cacheable(&self) -> bool {
        self.cacheable
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("bearer", &"[secret]").finish_non_exhaustive()
    }
}

/// How long a token lives, as its issuer said and within our own bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    total: Duration,
    refresh_in: Option<Duration>,
}

impl Lifetime {
    /// A lifetime of `total` (capped at 24 h) with the issuer's `refresh_in`, when it gave a
    /// sensible one.
    #[must_use]
    pub fn new(total: Duration, refresh_in: Option<Duration>) -> Self {
        let total = total.min(MAX_LIFETIME);
        Self { total, refresh_in: refresh_in.filter(|at| !at.is_zero() && *at < total) }
    }

    /// The whole of it.
    #[must_use]
    pub fn total(self) -> Duration {
        self.total
    }

    /// When renewal is due: the issuer's word, else 80 %; earlier by a random tenth of it (at most
    /// five minutes), drawn once, so that replicas and routes do not renew in step.
    fn refresh_after(self) -> Duration {
        let due = self.refresh_in.unwrap_or(self.total * 4 / 5);
        due.saturating_sub((due / 10).min(MAX_JITTER).mul_f64(fastrand::f64()))
    }

    /// How long before expiry it is no longer handed out while a newer one can be had: 60 s, or a
    /// tenth of a short life.
    fn margin(self) -> Duration {
        (self.total / 10).min(MAX_MARGIN)
    }
}

const BEARER: &str = "Bearer ";
/// Counter, wiper and vector that own the token's bytes, and what the allocator adds.
const OWNER: usize = 64;
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);
const MAX_JITTER: Duration = Duration::from_secs(300);
const MAX_MARGIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn margins_scale_with_the_lifetime_and_jitter_only_moves_forward() {
        let hour = Lifetime::new(Duration::from_secs(3600), None);
        assert_eq!(hour.margin(), Duration::from_secs(60));
        for _ in 0..1000 {
            let due = hour.refresh_after();
            assert!(due <= Duration::from_secs(2880) && due > Duration::from_secs(2580), "{due:?}");
        }
        let short = Lifetime::new(Duration::from_secs(10), Some(Duration::from_secs(10)));
        assert_eq!((short.margin(), short.refresh_in), (Duration::from_secs(1), None));
        assert_eq!(Lifetime::new(Duration::MAX, None).total(), MAX_LIFETIME);
    }

    #[test]
    fn debug_output_has_no_token() {
        let lifetime = Lifetime::new(Duration::from_secs(60), None);
        let token = AccessToken::new("T0P-S3CRET", lifetime, Clock::system().now()).unwrap();
        assert_eq!(token.bare(), "T0P-S3CRET");
        assert!(!format!("{token:?} {:?}", token.bearer()).contains("S3CRET"));
    }
}
