//! Child processes and scratch folders that go away with the test, and the one way to wait.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{self, Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A child process, killed by its handle when the guard goes.
#[derive(Debug)]
pub(crate) struct ChildGuard(Child);

impl ChildGuard {
    /// Starts it; it inherits nothing to read.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("the program starts"))
    }

    /// Its standard output, when that is a pipe and nobody took it yet.
    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("a piped stdout")
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_left(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }

    /// How it ended, when it does within `limit`.
    pub(crate) fn exit_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        poll(limit, || self.0.try_wait().expect("a child of ours"))
    }

    /// Sends it a signal, by the name that kill(1) knows.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {pid} failed");
    }

    /// Whether it would survive SIGTERM, as far as the system tells; only Linux does.
    pub(crate) fn handles_signals(&self) -> bool {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.0.id())) else {
            return !Path::new("/proc/self/status").exists();
        };
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
        [SIGHUP, SIGINT, SIGTERM].iter().all(|number| caught & (1 << (number - 1)) != 0)
    }
}

impl Drop for ChildGuard {
    /// Kills the child and collects it; one that has left already is only collected.
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A folder of our own under the system's temporary one, removed when the guard goes.
#[derive(Debug)]
pub(crate) struct ScratchGuard(PathBuf);

impl ScratchGuard {
    /// Makes a folder that nobody else has and nobody else may read.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..NAME_TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("vicar-process-{}-{number}", process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Self(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make a scratch folder: {error}"),
            }
        }
        panic!("the temporary folder is full of old vicar-process-* folders")
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
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

/// Numbers of the signals Vicar handles, the same on every Unix.
const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;
const SIGTERM: u32 = 15;
