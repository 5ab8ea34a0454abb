//! Child processes that go away with the test, and where this folder is.

use std::{
    path::{Path, PathBuf},
    process::Child,
};

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

/// Where this file's neighbours `provider.mjs`, `verify.mjs` and `node_modules` lie.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}
