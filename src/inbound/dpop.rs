//! DPoP proofs: a small token, signed anew for each request by the holder of the key (RFC 9449).
//!
//! Part of `inbound`. Proofs are remembered for longer than they are valid, up to a bound; beyond it
//! requests are refused, since forgetting one would let it be used twice. Nonces need no memory: they are
//! a digest of the current minutes under a key of this process.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName};
use url::Url;

use super::binding::{BadBinding, ProofPolicy};
use super::claims::Claims;
use super::jws::{Compact, EmbeddedKey};
use super::key::VerificationKey;
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};

/// The proof's header field.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");
/// Our nonce's header field.
pub(super) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What a proof must prove.
pub(super) struct Expected<'r> {
    /// The key that the token is bound to.
    pub thumbprint: &'r str,
    /// Whose share of the memory the proof takes.
    pub holder: CacheKey,
    /// The token.
    pub token: &'r [u8],
    /// The request's method.
    pub method: &'r str,
    /// The request's address without query.
    pub address: &'r str,
}

/// The proofs seen lately.
#[derive(Debug)]
pub(super) struct ProofMemory {
    clock: Clock,
    /// Longer than a proof may be old.
    generation: Duration,
    seen: Mutex<Seen>,
}

/// Two generations: a proof is forgotten when the generation after its own ends.
#[derive(Debug)]
struct Seen {
    since: Moment,
    current: Generation,
    previous: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    proofs: HashSet<CacheKey>,
    /// How many of them each holder has made.
    by_holder: HashMap<CacheKey, usize>,
}

impl ProofMemory {
    /// An empty memory of proofs that may be `max_age` old.
    #[must_use]
    pub(super) fn new(clock: Clock, max_age: Duration) -> Self {
        let (since, generation) = (clock.now(), max_age + FUTURE * 2);
        let (current, previous) = (Generation::default(), Generation::default());
        Self { clock, generation, seen: Mutex::new(Seen { since, current, previous }) }
    }

    /// The nonce to put into the next proof.
    #[must_use]
    pub(super) fn nonce(&self) -> String {
        nonce(self.clock.wall().as_secs() / NONCE_SECONDS)
    }

    /// Checks the one proof in `headers` and remembers it.
    ///
    /// # Errors
    /// When it is missing, does not prove what it must, or has been used.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        expected: &Expected<'_>,
        policy: &ProofPolicy,
    ) -> Result<(), BadBinding> {
        let mut fields = headers.get_all(DPOP).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return Err(BadBinding::Proof("there must be exactly one"));
        };
        let text = field.to_str().map_err(|_| BadBinding::Proof("not text"))?;
        let claims = signed_claims(text, expected.thumbprint)?;
        self.check_claims(&claims, expected, policy)?;
        let jti =
            claims.text("jti").ok().flatten().filter(|jti| (1..=MAX_JTI).contains(&jti.len()));
        let jti = jti.ok_or(BadBinding::Proof("`jti`"))?;
        let mut proof = CacheKey::builder();
        proof.field("key", expected.thumbprint.as_bytes());
        proof.field("jti", jti.as_bytes());
        self.remember(proof.finish(), expected.holder)
    }

    fn check_claims(
        &self,
        claims: &Claims,
        expected: &Expected<'_>,
        policy: &ProofPolicy,
    ) -> Result<(), BadBinding> {
        let text = |name| claims.text(name).ok().flatten();
        if text("htm") != Some(expected.method) {
            return Err(BadBinding::Proof("`htm` is another method"));
        }
        let address = |text: &str| {
            let mut url = Url::parse(text).ok()?;
            url.set_query(None);
            url.set_fragment(None);
            Some(url)
        };
        let htu = text("htu").and_then(address);
        if htu.is_none() || htu != address(expected.address) {
            return Err(BadBinding::Proof("`htu` is another address"));
        }
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, expected.token));
        if text("ath") != Some(hash.as_str()) {
            return Err(BadBinding::Proof("`ath` is of another token"));
        }
        let now = self.clock.wall();
        let issued = claims.time("iat").ok().flatten().ok_or(BadBinding::Proof("`iat`"))?;
        if issued > now + FUTURE || issued + policy.max_age < now {
            return Err(BadBinding::Proof("`iat` is too old, or in the future"));
        }
        if policy.nonce && !text("nonce").is_some_and(|nonce| self.is_ours(nonce)) {
            return Err(BadBinding::Nonce);
        }
        Ok(())
    }

    /// This nonce or the one before it.
    fn is_ours(&self, given: &str) -> bool {
        let now = self.clock.wall().as_secs() / NONCE_SECONDS;
        [now, now.saturating_sub(1)].into_iter().any(|period| {
            verify_slices_are_equal(nonce(period).as_bytes(), given.as_bytes()).is_ok()
        })
    }

    /// Remembers a proof of `holder`, whose own bound is met first: nobody fills the memory alone.
    fn remember(&self, proof: CacheKey, holder: CacheKey) -> Result<(), BadBinding> {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.since.until(now) >= self.generation {
            seen.previous = std::mem::take(&mut seen.current);
            seen.since = now;
        }
        if seen.previous.proofs.contains(&proof) || seen.current.proofs.contains(&proof) {
            return Err(BadBinding::Replayed);
        }
        let made = seen.current.by_holder.get(&holder).copied().unwrap_or_default();
        if made >= MAX_PER_HOLDER || seen.current.proofs.len() >= MAX_REMEMBERED {
            return Err(BadBinding::MemoryFull);
        }
        seen.current.by_holder.insert(holder, made + 1);
        seen.current.proofs.insert(proof);
        Ok(())
    }
}

impl std::fmt::Debug for Expected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expected").field("method", &self.method).finish_non_exhaustive()
    }
}

/// The claims of a proof that is signed with the key it brings, which must be the token's.
fn signed_claims(text: &str, thumbprint: &str) -> Result<Claims, BadBinding> {
    let jws = Compact::parse(text, EmbeddedKey::Expected);
    let jws = jws.map_err(|_| BadBinding::Proof("not a compact JWS"))?;
    let header = jws.header();
    if header.typ.as_deref() != Some("dpop+jwt") {
        return Err(BadBinding::Proof("`typ` is not dpop+jwt"));
    }
    let jwk = header.jwk.as_ref().map(ToString::to_string);
    let jwk = jwk.ok_or(BadBinding::Proof("no `jwk`"))?;
    let key = VerificationKey::from_jwk(&jwk, &[header.algorithm]);
    let key = key.map_err(|_| BadBinding::Proof("an unusable `jwk`"))?;
    if key.thumbprint() != thumbprint {
        return Err(BadBinding::Proof("another key than the token's"));
    }
    if !jws.is_signed_by(&key) {
        return Err(BadBinding::Proof("a wrong signature"));
    }
    let claims = jws.payload().ok().and_then(|payload| Claims::parse(&payload).ok());
    claims.ok_or(BadBinding::Proof("a malformed payload"))
}

fn nonce(period: u64) -> String {
    let mut key = CacheKey::builder();
    key.field("dpop nonce", &period.to_be_bytes());
    URL_SAFE_NO_PAD.encode(key.finish().as_bytes())
}

/// What a proof may be ahead of our clock.
const FUTURE: Duration = Duration::from_secs(5);
const NONCE_SECONDS: u64 = 120;
const MAX_JTI: usize = 256;
const MAX_REMEMBERED: usize = 500_000;
const MAX_PER_HOLDER: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, number: usize) -> CacheKey {
        let mut key = CacheKey::builder();
        key.field(name, &number.to_be_bytes());
        key.finish()
    }

    #[test]
    fn a_proof_is_remembered_for_longer_than_it_is_good_and_one_holder_fills_its_share_only() {
        let (clock, moved) = Clock::manual();
        let memory = ProofMemory::new(clock, Duration::from_secs(60));
        let (ann, bob) = (key("holder", 1), key("holder", 2));
        assert_eq!(memory.remember(key("proof", 0), ann), Ok(()));
        for _ in 0..6 {
            assert_eq!(memory.remember(key("proof", 0), ann), Err(BadBinding::Replayed));
            moved.advance(Duration::from_secs(11));
        }
        for number in 1..=MAX_PER_HOLDER {
            let _ = memory.remember(key("proof", number), ann);
        }
        let more = MAX_PER_HOLDER + 1;
        assert_eq!(memory.remember(key("proof", more), ann), Err(BadBinding::MemoryFull));
        assert_eq!(memory.remember(key("proof", more), bob), Ok(()));
        moved.advance(Duration::from_secs(200));
        assert_eq!(memory.remember(key("proof", more + 1), ann), Ok(()), "the next generation");
    }
}
