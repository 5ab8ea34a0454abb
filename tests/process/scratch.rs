//! Scratch folders that go away with the test, and the one way to wait. The interop tests use this file
//! as well.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A folder of our own under the system's temporary one, removed when the guard goes.
#[derive(Debug)]
pub(crate) struct ScratchGuard(PathBuf);

impl ScratchGuard {
    /// Makes a folder that nobody else has and nobody else may read.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..NAME_TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("vicar-test-{}-{number}", process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Self(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make a scratch folder: {error}"),
            }
        }
        panic!("the temporary folder is full of old vicar-test-* folders")
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the scratch folder takes a file");
        path
    }
}

impl Drop for ScratchGuard {
    /// Removes the folder; what cannot be removed is left to the system.
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Repeats `attempt` until it yields something or `limit` has passed.
pub(crate) fn poll<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let outcome = attempt();
        if outcome.is_some() || start.elapsed() >= limit {
            return outcome;
        }
        thread::sleep(POLL_PAUSE);
    }
}

/// Between two attempts of a poll.
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// Folders that a killed run of the same process id may have left behind.
const NAME_TRIES: u32 = 1000;
