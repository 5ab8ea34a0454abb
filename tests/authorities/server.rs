//! A server of somebody else's on a free loopback port, shared by all tests and ended with them.
//!
//! It is started once, because that takes seconds. Nothing drops what lives in a static, and a test
//! process may be killed: so a shell waits for the end of its standard input, which comes with the
//! end of the process however it ends, and then ends the server by its process id.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    plain_http,
    process::{ChildGuard, ScratchGuard, poll},
};

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    // Dropped in this order: the shell must not wait for a process id that is free again.
    _reaper: ChildGuard,
    java: Mutex<ChildGuard>,
    scratch: ScratchGuard,
}

impl Server {
    /// Starts what `command` describes for an address and a folder, and waits for its `page`.
    pub(crate) fn start(
        page: &str,
        command: impl Fn(SocketAddr, &ScratchGuard) -> Command,
    ) -> Result<Self, String> {
        if !folder().join("done").is_file() {
            return Err(format!("the authorities are missing. {SETUP}"));
        }
        let mut log = String::new();
        for _ in 0..START_TRIES {
            let server = Self::spawn(&command);
            match poll(START_LIMIT, || server.readiness(page)) {
                Some(Readiness::Answers) => return Ok(server),
                // The port may have been taken since it was free.
                Some(Readiness::Left) => log = server.log(),
                None => return Err(format!("no answer in {START_LIMIT:?}:\n{}", server.log())),
            }
        }
        Err(format!("it left instead of answering:\n{log}"))
    }

    /// Starts the process and the shell that will end it.
    fn spawn(command: impl Fn(SocketAddr, &ScratchGuard) -> Command) -> Self {
        let scratch = ScratchGuard::new();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free loopback port");
        let log = File::create(scratch.path(LOG)).expect("a log file");
        let mut command = command(address, &scratch);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let java = ChildGuard(command.spawn().expect("java starts"));
        let mut reaper = Command::new("sh");
        reaper.args(["-c", REAP, "sh", &java.0.id().to_string()]).arg(scratch.path(""));
        reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let reaper = ChildGuard(reaper.spawn().expect("a shell starts"));
        Self { address, _reaper: reaper, java: Mutex::new(java), scratch }
    }

    /// Whether it answers or has left by itself, if either.
    fn readiness(&self, page: &str) -> Option<Readiness> {
        if self.java.lock().unwrap_or_else(PoisonError::into_inner).has_left() {
            return Some(Readiness::Left);
        }
        let answers = plain_http::get(self.address, page, "").is_ok_and(|page| page.status == 200);
        answers.then_some(Readiness::Answers)
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scratch.path(LOG)).unwrap_or_default()
    }
}

/// How a start ended.
enum Readiness {
    Answers,
    Left,
}

/// Where the set-up put the authorities.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/authorities")
}

/// A file of this folder.
pub(crate) fn neighbour(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/authorities").join(name)
}

/// Java as tests want it: what runs for seconds is not worth the second compiler.
pub(crate) fn java() -> Command {
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]);
    java
}

/// Waits for the end of its input, then ends process `$1` and removes folder `$2`. An interrupt
/// from the terminal reaches it too, and must not keep it from that.
const REAP: &str = r#"trap "" HUP INT TERM; cat; kill -KILL "$1"; rm -rf -- "$2""#;

/// The name of a server's log in its folder.
const LOG: &str = "log";

/// What to do when something is missing.
const SETUP: &str = "Run `just authorities-setup`.";

/// A port that was free may be taken this often.
const START_TRIES: u32 = 3;

/// Keycloak needs ten seconds on an idle machine; this is for a busy one.
const START_LIMIT: Duration = Duration::from_secs(120);
