//! The application cache: tokens in Vicar's own name.
//!
//! Part of `token::cache`. The number of keys is bounded by the configuration, so each key has a slot of
//! its own that routes point to directly: a hit is one atomic load, with no map in between. Slots
//! outlive the configuration that made them as long as some route still holds them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;

use super::TokenMetrics;
use super::slot::{Slot, Source};
use crate::cache_key::CacheKey;
use crate::clock::Clock;
use crate::token::TokenSpec;

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
        let (source, clock) = (Source::Application(Arc::clone(spec)), self.clock.clone());
        let slot = Slot::new(source, clock, self.fetcher.clone(), metrics.clone());
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
