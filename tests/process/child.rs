//! Child processes that go away with the test.

use std::{
    fs,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

pub(crate) use crate::scratch::{ScratchGuard, poll};

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

/// Numbers of the signals Vicar handles, the same on every Unix.
const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;
const SIGTERM: u32 = 15;
