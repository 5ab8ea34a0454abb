//! Ready when the last guard is dropped.
//!
//! Part of `admin`. Whatever must happen before traffic makes sense holds a named [`ReadyGuard`];
//! the names of those still held are the answer to "why not ready".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the process still waits for.
#[derive(Debug, Default)]
pub struct Readiness {
    pending: Mutex<BTreeMap<String, usize>>,
}

/// Keeps the process from being ready while it lives.
#[derive(Debug)]
pub struct ReadyGuard {
    readiness: Arc<Readiness>,
    name: String,
}

impl Readiness {
    /// Makes readiness wait for `name`.
    #[must_use]
    pub fn wait_for(self: &Arc<Self>, name: impl Into<String>) -> ReadyGuard {
        let name = name.into();
        *self.lock().entry(name.clone()).or_default() += 1;
        ReadyGuard { readiness: Arc::clone(self), name }
    }

    /// The names of what is still missing; empty when ready.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ReadyGuard {
    fn drop(&mut self) {
        let mut pending = self.readiness.lock();
        if let Some(count) = pending.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                pending.remove(&self.name);
            }
        }
    }
}
