//! The binary under test: one that runs until the test is over, or one that does its job and ends.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    child::{ChildGuard, ScratchGuard, poll},
    wire::{self, Answer},
};

/// How a Vicar is to be started. In the YAML, LISTENER and ADMIN stand for free addresses and SCRATCH
/// for the folder of its files.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    yaml: String,
    environment: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    is_piped: bool,
    is_hasty: bool,
}

impl Setup {
    pub(crate) fn new(yaml: impl Into<String>) -> Self {
        Self { yaml: yaml.into(), ..Self::default() }
    }

    /// With a variable in its environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a file in its folder.
    pub(crate) fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.as_bytes().to_owned()));
        self
    }

    /// With a pipe as standard output, for the test to read, to ignore or to close.
    pub(crate) fn piped(mut self) -> Self {
        self.is_piped = true;
        self
    }

    /// Handed over as soon as it accepts connections, rather than when it has settled.
    pub(crate) fn hasty(mut self) -> Self {
        self.is_hasty = true;
        self
    }

    /// Starts it; tries again when it leaves at once, as a port that was free may be taken.
    pub(crate) fn start(&self) -> Vicar {
        let mut last_words = String::new();
        for _ in 0..START_TRIES {
            match self.try_start() {
                Ok(vicar) => return vicar,
                Err(log) => last_words = log,
            }
        }
        panic!("vicar left instead of serving; it said:\n{last_words}")
    }

    /// Starts it once; the error is the log of one that left by itself.
    fn try_start(&self) -> Result<Vicar, String> {
        let scratch = ScratchGuard::new();
        let [listener, admin] = free_addresses();
        for (name, content) in &self.files {
            scratch.write(name, content);
        }
        let folder = scratch.path("");
        let yaml = self.yaml.replace("LISTENER", &listener.to_string());
        let yaml = yaml.replace("ADMIN", &admin.to_string());
        let yaml = yaml.replace("SCRATCH/", folder.to_str().expect("a UTF-8 folder"));
        let config = scratch.write("vicar.yaml", yaml.as_bytes());
        let mut command = command(&["run", "-c"], &[]);
        command.arg(config).envs(self.environment.iter().map(|(name, value)| (name, value)));
        capture(&mut command, &scratch);
        if self.is_piped {
            command.stdout(Stdio::piped());
        }
        let mut child = ChildGuard::spawn(&mut command);
        let serves =
            if self.is_hasty { accepts(&mut child, listener) } else { settles(&mut child, admin) };
        let vicar = Vicar { listener, admin, child, scratch };
        match serves {
            Some(true) => Ok(vicar),
            Some(false) => Err(vicar.log()),
            None => panic!("vicar did not serve in {START_LIMIT:?}; it said:\n{}", vicar.log()),
        }
    }
}

/// Whether it came to answer and to handle signals, or left; `None` when neither in time.
fn settles(child: &mut ChildGuard, admin: SocketAddr) -> Option<bool> {
    poll(START_LIMIT, || {
        let left = child.has_left();
        let alive = wire::get(admin, "/livez", "").is_ok_and(|answer| answer.status == 200);
        (left || (alive && child.handles_signals())).then_some(!left)
    })
}

/// The same for its very first moment: asked without a pause, which would miss it.
fn accepts(child: &mut ChildGuard, listener: SocketAddr) -> Option<bool> {
    let start = Instant::now();
    while start.elapsed() < START_LIMIT {
        if !wire::is_refused(listener) {
            return Some(true);
        }
        if child.has_left() {
            return Some(false);
        }
    }
    None
}

/// A running Vicar that serves; it ends when this is dropped, and its files go with it.
#[derive(Debug)]
pub(crate) struct Vicar {
    pub(crate) listener: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) child: ChildGuard,
    pub(crate) scratch: ScratchGuard,
}

impl Vicar {
    /// One request to the listener, on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.get_with(target, "")
    }

    /// The same with header lines, each with its end.
    pub(crate) fn get_with(&self, target: &str, fields: &str) -> Answer {
        match wire::get(self.listener, target, fields) {
            Ok(answer) => answer,
            Err(error) => panic!("no answer to {target} ({error}); vicar said:\n{}", self.log()),
        }
    }

    /// A page of the admin listener.
    pub(crate) fn page(&self, path: &str) -> Answer {
        wire::get(self.admin, path, "").expect("the admin listener answers")
    }

    /// What it has written so far on standard output and then on standard error.
    pub(crate) fn log(&self) -> String {
        self.stdout() + &self.stderr()
    }

    /// Standard output so far, when it is not a pipe.
    pub(crate) fn stdout(&self) -> String {
        read(&self.scratch, STDOUT)
    }

    /// Standard error so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.scratch, STDERR)
    }

    /// The JSON lines so far that satisfy `wanted`.
    pub(crate) fn lines(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let stdout = self.stdout();
        // The last line may still be on its way.
        let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
        let parse = |line| serde_json::from_str(line).expect("every line is JSON");
        whole.lines().map(parse).filter(wanted).collect()
    }

    /// Standard output as a pipe.
    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.child.take_stdout()
    }

    /// Waits for it to end, and says how; `None` when it stays.
    pub(crate) fn exit_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.child.exit_within(limit)
    }
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    run_while(arguments, environment, || {})
}

/// The same, calling `meanwhile` again and again until it ends.
pub(crate) fn run_while(
    arguments: &[&str],
    environment: &[(&str, &str)],
    mut meanwhile: impl FnMut(),
) -> Ended {
    let scratch = ScratchGuard::new();
    let mut command = command(arguments, environment);
    capture(&mut command, &scratch);
    let mut child = ChildGuard::spawn(&mut command);
    let left = poll(COMMAND_LIMIT, || {
        meanwhile();
        child.has_left().then_some(())
    });
    let (stdout, stderr) = (read(&scratch, STDOUT), read(&scratch, STDERR));
    assert!(left.is_some(), "vicar {arguments:?} still runs:\n{stdout}\n{stderr}");
    let status = child.exit_within(COMMAND_LIMIT).expect("it has left");
    Ended { code: status.code(), stdout, stderr }
}

/// Finds two ports that are free now: both are held until both are known.
pub(crate) fn free_addresses() -> [SocketAddr; 2] {
    let held = [0, 0]
        .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free loopback port"));
    held.map(|listener| listener.local_addr().expect("a bound address"))
}

/// A YAML single-quoted scalar (YAML 1.2.2 section 7.3.2), its `$` kept from Vicar's expansion.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''").replace('$', "$$"))
}

/// The binary with arguments; the developer's own environment must not change what it does.
fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vicar"));
    command.args(arguments);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "vicar_config", "rust_log"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.envs(environment.iter().copied());
    command
}

/// Sends both outputs to files: a file never blocks the writer and outlives it.
fn capture(command: &mut Command, scratch: &ScratchGuard) {
    let file = |name| File::create(scratch.path(name)).expect("an output file");
    command.stdout(file(STDOUT)).stderr(file(STDERR));
}

fn read(scratch: &ScratchGuard, name: impl AsRef<Path>) -> String {
    let bytes = fs::read(scratch.path("").join(name)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";

/// A port that was free may be taken this often.
const START_TRIES: u32 = 3;

/// Start-up is counted in milliseconds; this is for a machine under load.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The slowest command is the demo, which is allowed two seconds of waiting.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
