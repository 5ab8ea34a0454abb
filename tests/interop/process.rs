//! Child processes that go away with the test. Other test targets use this file as well.

use std::process::Child;

pub(crate) use crate::scratch::{ScratchGuard, poll};

/// A child process, killed by its handle when the guard goes; its stdin stays open until then.
#[derive(Debug)]
pub(crate) struct ChildGuard(pub(crate) Child);

impl ChildGuard {
    /// Whether the child has ended by itself.
    pub(crate) fn has_left(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for ChildGuard {
    /// Kills the child and collects it; one that has left already is only collected.
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
