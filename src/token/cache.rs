//! The application cache: tokens in Vicar's own name.
//!
//! Part of `token`. The number of keys is bounded by the configuration, so each key has a slot of
//! its own that routes point to directly: a hit is one atomic load, with no map in between. (Tokens
//! on behalf of callers will need a map with bounds; they never share this one.) Slots outlive the
//! configuration that made them as long as some route still holds them.

mod slot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;

pub use slot::{Slot, TokenMetrics};

use super::TokenSpec;
use crate::cache_key::CacheKey;
use crate::clock::Clock;

/// All slots, by key.
#[derive(Debug)]
pub struct ApplicationCache {
    clock: Clock,
    fetcher: Handle,
    slots: Mutex<HashMap<CacheKey, Weak<Slot>>>,
}

impl ApplicationCache {
    /// A cache whose fetches run on `fetcher`, whoever waits for them.
    #[must_use]
    pub fn new(clock: Clock, fetcher: Handle) -> Self {
        Self { clock, fetcher, slots: Mutex::default() }
    }

    /// The slot of this token, shared by every route that needs the very same token.
    #[must_use]
    pub fn slot(&self, spec: &Arc<TokenSpec>, metrics: &TokenMetrics) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
        let key = spec.key();
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            return slot;
        }
        let (spec, clock) = (Arc::clone(spec), self.clock.clone());
        let slot = Slot::new(spec, clock, self.fetcher.clone(), metrics.clone());
        slots.insert(key, Arc::downgrade(&slot));
        slot
    }

    /// Every slot in use, for metrics and status.
    #[must_use]
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(Weak::upgrade).collect()
    }
}
