//! What a cached token on behalf of a caller costs besides the token itself.
//!
//! Measured as the process's resident memory, so the allocator's own share counts. One test in a binary of its
//! own: nothing else allocates meanwhile. More entries, and the figures themselves:
//!
//! ```sh
//! VICAR_MEMORY_ENTRIES=1000000 cargo test --release --test user_cache_memory -- --nocapture
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and shows what it measured"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use vicar::cache_key::CacheKey;
use vicar::clock::Clock;
use vicar::token::cache::Store;
use vicar::token::{AccessToken, Lifetime};

#[test]
fn a_cached_token_costs_at_most_400_bytes_besides_itself() {
    let entries = std::env::var("VICAR_MEMORY_ENTRIES").ok();
    let entries: usize = entries.map_or(100_000, |text| text.parse().expect("a number"));
    let clock = Clock::system();
    // Room for all of them, also where chance puts more than its share into one part of the table.
    let store = Store::new(entries as u64 * 2400, 64);
    let now = clock.now();
    let token = "t".repeat(TOKEN);
    // The first keys a process makes cost it some memory once.
    let _ = (key(0, "s"), key(0, "k"));
    let before = resident();
    let started = Instant::now();
    for number in 0..entries {
        let lifetime = Lifetime::new(Duration::from_secs(3600), None);
        let token = AccessToken::new(&token, lifetime, now).expect("a token");
        store.put(&key(number, "s"), key(number, "k"), &Arc::new(token), 0, now);
    }
    let filled = started.elapsed();
    assert_eq!(store.subjects(), entries, "all of them are kept");
    let used = resident() - before;
    let started = Instant::now();
    for number in 0..entries {
        assert!(store.get(&key(number, "s"), &key(number, "k")).is_some(), "{number}");
    }
    let read = started.elapsed();
    let state = used / entries - TOKEN;
    let each = |took: Duration| took.as_nanos() / entries as u128;
    println!(
        "{entries} subjects with one token of {TOKEN} bytes: {state} bytes of state each, \
         {} ns to put, {} ns to get, both with two digests",
        each(filled),
        each(read)
    );
    assert!(state <= 400, "{state} bytes of state per token");
    // The bound of the cache is in the bytes that it reckons with.
    let (used, reckoned) = (used as u64, store.bytes());
    assert!(reckoned > used * 4 / 5 && reckoned < used * 5 / 4, "{reckoned} for {used}");
}

/// A key as the cache makes them.
fn key(number: usize, kind: &str) -> CacheKey {
    let mut key = CacheKey::builder();
    key.field(kind, &number.to_be_bytes());
    key.finish()
}

/// Bytes of resident memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    kilobytes * 1024
}

/// A usual access token of Entra.
const TOKEN: usize = 1700;
