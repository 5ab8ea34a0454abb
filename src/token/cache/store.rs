//! Where tokens on behalf of callers are kept: by subject, within bounds.
//!
//! Part of `token::cache`. A subject's tokens are together, so that they can be counted, purged and aged as
//! one; which of them is served is decided by the token's own key alone. Beyond the bound of bytes those of
//! the subjects least seen go; beyond a subject's own bound its oldest go. Freshness is judged by who reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::cache_key::CacheKey;
use crate::clock::Moment;
use crate::token::AccessToken;

/// Tokens by subject.
#[derive(Debug)]
pub struct Store {
    subjects: Cache<CacheKey, Arc<[Held]>, Weight>,
    /// Writers of one subject take turns; readers wait for nobody. Each counts the purges among its subjects.
    turns: Vec<Mutex<u64>>,
    per_subject: usize,
}

/// One token of a subject.
#[derive(Clone, Debug)]
struct Held {
    key: CacheKey,
    token: Arc<AccessToken>,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<CacheKey, Arc<[Held]>> for Weight {
    fn weight(&self, _subject: &CacheKey, tokens: &Arc<[Held]>) -> u64 {
        weight(tokens)
    }
}

fn weight(tokens: &[Held]) -> u64 {
    tokens.iter().fold(SUBJECT, |sum, held| sum + HELD + held.token.weight())
}

impl Store {
    /// An empty one for about `bytes` in all, and so many tokens of one subject.
    #[must_use]
    pub fn new(bytes: u64, per_subject: usize) -> Self {
        let expected = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX).max(16);
        let turns = (0..TURNS).map(|_| Mutex::default()).collect();
        // Each shard has its own part of the bound, so there must not be many small ones.
        let shards = usize::try_from(bytes / SHARD).unwrap_or(usize::MAX).clamp(1, TURNS);
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(expected)
            .weight_capacity(bytes)
            .build();
        let subjects = match options {
            Ok(options) => Cache::with_options(options, Weight, hasher, lifecycle),
            Err(_) => Cache::with_weighter(expected, bytes, Weight),
        };
        Self { subjects, turns, per_subject }
    }

    /// The token under `key`, however old it is.
    #[must_use]
    pub fn get(&self, subject: &CacheKey, key: &CacheKey) -> Option<Arc<AccessToken>> {
        let tokens = self.subjects.get(subject)?;
        let held = tokens.iter().find(|held| held.key == *key)?;
        Some(Arc::clone(&held.token))
    }

    /// How often tokens of subjects like this one were purged, to be shown when a token comes.
    #[must_use]
    pub fn purges(&self, subject: &CacheKey) -> u64 {
        *self.turn(subject)
    }

    /// Keeps a token, unless its subject was purged since it was asked for (`purges`); lets go of what has
    /// expired.
    pub fn put(
        &self,
        subject: &CacheKey,
        key: CacheKey,
        token: &Arc<AccessToken>,
        purges: u64,
        now: Moment,
    ) {
        let turn = self.turn(subject);
        if *turn != purges {
            return;
        }
        self.rewrite(subject, now, |tokens| {
            tokens.retain(|held| held.key != key);
            let too_many = (tokens.len() + 1).saturating_sub(self.per_subject);
            tokens.drain(..too_many);
            tokens.push(Held { key, token: Arc::clone(token) });
        });
    }

    /// Lets go of one token, if it is still this one.
    pub fn remove(
        &self,
        subject: &CacheKey,
        key: &CacheKey,
        token: &Arc<AccessToken>,
        now: Moment,
    ) {
        let _turn = self.turn(subject);
        self.rewrite(subject, now, |tokens| {
            tokens.retain(|held| held.key != *key || !Arc::ptr_eq(&held.token, token));
        });
    }

    /// Lets go of all tokens of a subject; says how many there were.
    pub fn purge(&self, subject: &CacheKey) -> usize {
        let mut turn = self.turn(subject);
        *turn += 1;
        self.subjects.remove(subject).map_or(0, |(_, tokens)| tokens.len())
    }

    /// Lets go of everything that has expired.
    pub fn sweep(&self, now: Moment) {
        let aged = |tokens: &[Held]| tokens.iter().any(|held| held.token.is_expired(now));
        let aged = self.subjects.iter().filter(|(_, tokens)| aged(tokens));
        let subjects: Vec<CacheKey> = aged.map(|(subject, _)| subject).collect();
        for subject in &subjects {
            let _turn = self.turn(subject);
            self.rewrite(subject, now, |_| {});
        }
    }

    /// Subjects with a token.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// What they keep in memory, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.subjects.weight()
    }

    /// For whoever has the subject's turn.
    fn rewrite(&self, subject: &CacheKey, now: Moment, change: impl FnOnce(&mut Vec<Held>)) {
        let held = self.subjects.peek(subject);
        let held = held.iter().flat_map(|tokens| tokens.iter());
        let mut tokens: Vec<Held> =
            held.filter(|held| !held.token.is_expired(now)).cloned().collect();
        change(&mut tokens);
        // What is heavier than a shard would not be kept at all.
        let at_most = self.subjects.shard_capacity() * 9 / 10;
        while tokens.len() > 1 && weight(&tokens) > at_most {
            tokens.remove(0);
        }
        if tokens.is_empty() {
            self.subjects.remove(subject);
        } else {
            self.subjects.insert(*subject, tokens.into());
        }
    }

    fn turn(&self, subject: &CacheKey) -> MutexGuard<'_, u64> {
        let number = usize::from(subject.as_bytes()[0]) % self.turns.len();
        self.turns[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subject's entry in the table, with the list's own head.
const SUBJECT: u64 = 128;
const HELD: u64 = size_of::<Held>() as u64;
/// A subject with one token of usual size.
const TYPICAL: u64 = 2048;
const SHARD: u64 = 1024 * 1024;
const TURNS: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::token::Lifetime;

    fn key(name: &str) -> CacheKey {
        let mut key = CacheKey::builder();
        key.field("key", name.as_bytes());
        key.finish()
    }

    fn token(bytes: usize, seconds: u64, now: Moment) -> Arc<AccessToken> {
        let lifetime = Lifetime::new(Duration::from_secs(seconds), None);
        Arc::new(AccessToken::new(&"t".repeat(bytes), lifetime, now).unwrap())
    }

    #[test]
    fn what_was_asked_for_before_a_purge_is_not_kept_after_it() {
        let (store, now) = (Store::new(1 << 20, 8), Clock::system().now());
        let (subject, other) = (key("alice"), key("alice's other token"));
        let purges = store.purges(&subject);
        store.put(&subject, other, &token(9, 60, now), purges, now);
        assert_eq!(store.purge(&subject), 1);
        store.put(&subject, other, &token(9, 60, now), purges, now);
        assert_eq!(store.subjects(), 0);
        store.put(&subject, other, &token(9, 60, now), store.purges(&subject), now);
        assert!(store.get(&subject, &other).is_some());
    }

    #[test]
    fn the_oldest_of_a_subject_go_rather_than_all_of_them() {
        let (store, now) = (Store::new(256 * 1024, 1000), Clock::system().now());
        let (subject, purges) = (key("alice"), 0);
        for number in 0..100 {
            let key = key(&number.to_string());
            store.put(&subject, key, &token(8 * 1024, 60, now), purges, now);
            assert!(store.get(&subject, &key).is_some(), "the newest stays: {number}");
        }
        assert!(store.get(&subject, &key("0")).is_none());
        assert!(store.bytes() <= 256 * 1024, "{}", store.bytes());
    }

    #[test]
    fn sweeping_takes_what_has_expired_and_nothing_else() {
        let (store, now) = (Store::new(1 << 20, 8), Clock::system().now());
        for (name, seconds) in [("short", 10), ("long", 100)] {
            store.put(&key("alice"), key(name), &token(9, seconds, now), 0, now);
        }
        store.put(&key("bob"), key("short"), &token(9, 10, now), 0, now);
        store.sweep(now.after(Duration::from_secs(11)));
        assert!(store.get(&key("alice"), &key("short")).is_none());
        assert!(store.get(&key("alice"), &key("long")).is_some());
        assert_eq!(store.subjects(), 1);
    }
}
