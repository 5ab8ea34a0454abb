//! Tokens that have been verified before: a second look costs no public-key operation.
//!
//! Part of `inbound`. The key is a digest of the whole token under a key of this process, together with
//! the issuer that verified it; the weight of all entries is bounded. What comes out is evidence, not a
//! verdict: whoever takes it asks the issuer whether it still counts, and evaluates the route's rules.

use std::sync::Arc;

use prometheus::IntCounter;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::verified::Verified;
use crate::cache_key::CacheKey;

/// Verified tokens, by token and issuer.
#[derive(Debug)]
pub(super) struct VerifiedCache {
    entries: Cache<(CacheKey, usize), Arc<Verified>, Weight>,
    metrics: VerifiedCacheMetrics,
}

/// Counters of the cache.
#[derive(Clone, Debug)]
pub struct VerifiedCacheMetrics {
    /// Requests whose token had been verified before.
    pub hits: IntCounter,
    /// Requests whose token had to be verified.
    pub misses: IntCounter,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<(CacheKey, usize), Arc<Verified>> for Weight {
    fn weight(&self, _key: &(CacheKey, usize), verified: &Arc<Verified>) -> u64 {
        verified.weight()
    }
}

impl VerifiedCache {
    /// A cache of at most about `bytes`.
    #[must_use]
    pub(super) fn new(bytes: u64, metrics: VerifiedCacheMetrics) -> Self {
        let expected = usize::try_from(bytes / TYPICAL_ENTRY).unwrap_or(usize::MAX).max(16);
        Self { entries: Cache::with_weighter(expected, bytes, Weight), metrics }
    }

    /// The digest under which a token is kept.
    #[must_use]
    pub(super) fn digest(token: &[u8]) -> CacheKey {
        let mut key = CacheKey::builder();
        key.field("verified token", token);
        key.finish()
    }

    /// What `issuer` found out about the token, if `still_counts`.
    pub(super) fn get(
        &self,
        digest: CacheKey,
        issuer: usize,
        still_counts: impl Fn(&Verified) -> bool,
    ) -> Option<Arc<Verified>> {
        let key = (digest, issuer);
        let verified = self.entries.get(&key)?;
        if still_counts(&verified) {
            self.metrics.hits.inc();
            return Some(verified);
        }
        self.entries.remove(&key);
        None
    }

    /// Counts a token that was not found with any issuer.
    pub(super) fn missed(&self) {
        self.metrics.misses.inc();
    }

    /// Keeps what `issuer` found out.
    pub(super) fn put(&self, digest: CacheKey, issuer: usize, verified: &Arc<Verified>) {
        self.entries.insert((digest, issuer), Arc::clone(verified));
    }
}

const TYPICAL_ENTRY: u64 = 4096;

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;

    use super::*;
    use crate::clock::Clock;
    use crate::inbound::claims::Claims;
    use crate::inbound::verified::{CallerKind, ClaimNames, GoodUntil};

    #[test]
    fn all_entries_together_stay_within_the_bound() {
        let counter = || IntCounter::new("c", "c").unwrap();
        let metrics = VerifiedCacheMetrics { hits: counter(), misses: counter() };
        let bound = 1024 * 1024;
        let cache = VerifiedCache::new(bound, metrics);
        let clock = Clock::system();
        let until = GoodUntil::new(&clock, clock.wall() * 2, std::time::Duration::MAX);
        let names = ClaimNames { roles: "roles", is_entra: false, assumed: CallerKind::Other };
        for number in 0..5_000 {
            let json = format!(r#"{{"sub":"{number}","pad":"{}"}}"#, "x".repeat(1000));
            let claims = Claims::parse(json.as_bytes()).unwrap();
            let verified = Verified::new(&"i".into(), claims.into(), names, until, None).unwrap();
            assert!(verified.weight() > 1000, "{}", verified.weight());
            let digest = VerifiedCache::digest(json.as_bytes());
            cache.put(digest, 0, &Arc::new(verified));
        }
        assert!(cache.entries.weight() <= bound, "{}", cache.entries.weight());
        assert!(cache.entries.len() > 100, "{}", cache.entries.len());
    }
}
