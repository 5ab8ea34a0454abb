//! The real `vicar` binary with a configuration written for one test. Other test targets use this file
//! as well.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    plain_http::{self, Answer},
    process::{ChildGuard, ScratchGuard, poll},
};

/// A running Vicar that accepts requests; it ends when this is dropped, and its files go with it.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    _child: ChildGuard,
    scratch: ScratchGuard,
}

/// What a configuration is written for: two ports that are free, and a folder for its files.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) listener: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) scratch: &'a ScratchGuard,
}

impl Proxy {
    /// Starts Vicar with the YAML that `write` makes; tries again when it leaves at once, as a port
    /// that was free may be taken.
    pub(crate) fn configured(write: impl Fn(&Place<'_>) -> String) -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = String::new();
        for _ in 0..START_TRIES {
            match Self::try_start(&write) {
                Ok(proxy) => return proxy,
                Err(last_words) => log = last_words,
            }
        }
        panic!("vicar left instead of answering; it said:\n{log}")
    }

    /// Starts Vicar once; the error is the log of one that left by itself.
    fn try_start(write: &impl Fn(&Place<'_>) -> String) -> Result<Self, String> {
        let scratch = ScratchGuard::new();
        let [address, admin] = free_addresses().expect("two free loopback ports");
        let yaml = write(&Place { listener: address, admin, scratch: &scratch });
        let config = scratch.write("vicar.yaml", &yaml);
        let log = File::create(scratch.path("log")).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vicar"));
        command.args(["run", "-c"]).arg(&config).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        for name in PROXY_VARIABLES {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        let mut child = ChildGuard(command.spawn().expect("the vicar binary starts"));
        let ready = poll(READY_LIMIT, || {
            let left = child.has_left();
            let ready =
                plain_http::get(admin, "/livez", "").is_ok_and(|answer| answer.status == 200);
            (left || ready).then_some(!left)
        });
        let proxy = Self { address, _child: child, scratch };
        match ready {
            Some(true) => Ok(proxy),
            Some(false) => Err(proxy.log()),
            None => {
                panic!("vicar did not answer within {READY_LIMIT:?}; it said:\n{}", proxy.log())
            }
        }
    }

    /// Sends what a caller with a token would.
    pub(crate) fn call_with(&self, target: &str, token: &str) -> Answer {
        self.get(target, &format!("Authorization: Bearer {token}\r\n"))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a GET request; `fields` are further header lines, each with its line end.
    pub(crate) fn get(&self, target: &str, fields: &str) -> Answer {
        match plain_http::get(self.address, target, fields) {
            Ok(answer) => answer,
            Err(error) => panic!("vicar gave no answer ({error}); it said:\n{}", self.log()),
        }
    }

    /// What Vicar has written so far on stdout and stderr.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scratch.path("log")).unwrap_or_default()
    }
}

impl Place<'_> {
    /// Writes a file beside the configuration; its path as a YAML scalar.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.scratch.write(name, text);
        quoted(path.to_str().expect("a temporary folder with a UTF-8 name"))
    }
}

/// Finds two ports that are free now: both are held until both are known.
fn free_addresses() -> io::Result<[SocketAddr; 2]> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok([first.local_addr()?, second.local_addr()?])
}

/// A YAML single-quoted scalar (YAML 1.2.2 section 7.3.2), its `$` kept from Vicar's expansion.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''").replace('$', "$$"))
}

/// A port that was free may be taken this often.
const START_TRIES: u32 = 3;

/// Start-up is counted in milliseconds; this is for a machine under load.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// A proxy of the developer's environment must not stand between loopback parties.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
