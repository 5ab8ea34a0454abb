//! A digest of every input that can change what is cached.
//!
//! A leaf. Fields are length-prefixed, so no two different lists of fields are the
//! same bytes, and hashed under a key drawn at start, so a dump of keys tells nothing.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;

/// Identifies one token among all that this process may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// Starts a key.
    #[must_use]
    pub fn builder() -> CacheKeyBuilder {
        CacheKeyBuilder { context: hmac::Context::with_key(&PROCESS_KEY) }
    }

    /// Its bytes, which tell nothing to whoever does not know the key of this process.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Collects the fields of a key.
pub struct CacheKeyBuilder {
    context: hmac::Context,
}

impl CacheKeyBuilder {
    /// Adds one named field; order and repetition count.
    pub fn field(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.context.update(&(part.len() as u64).to_be_bytes());
            self.context.update(part);
        }
    }

    /// The key.
    #[must_use]
    pub fn finish(self) -> CacheKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.context.sign().as_ref());
        CacheKey(key)
    }
}

impl std::fmt::Debug for CacheKeyBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheKeyBuilder").finish_non_exhaustive()
    }
}

static PROCESS_KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
    #[allow(
        clippy::expect_used,
        reason = "the system's generator does not fail once it has started"
    )]
    hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("system randomness")
});

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fields: &[(&str, &str)]) -> CacheKey {
        let mut builder = CacheKey::builder();
        for (name, value) in fields {
            builder.field(name, value.as_bytes());
        }
        builder.finish()
    }

    #[test]
    fn fields_that_join_to_the_same_text_make_different_keys() {
        let lists: [&[(&str, &str)]; 8] = [
            &[("scope", "a b")],
            &[("scope", "a"), ("scope", "b")],
            &[("scope", "a"), ("b", "")],
            &[("scopea", "b")],
            &[("scope", "a\0b")],
            &[("scope", "a b"), ("", "")],
            &[("", "scopea b")],
            &[],
        ];
        for (i, one) in lists.iter().enumerate() {
            for (j, other) in lists.iter().enumerate() {
                assert_eq!(key(one) == key(other), i == j, "{one:?} {other:?}");
            }
        }
    }
}
