//! Turns arguments into a command and runs it.
//!
//! Exit codes: 0 it worked, 1 it failed while running, 2 the configuration or the arguments are wrong.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::clock::Clock;
use crate::{config, telemetry};

/// A small proxy that carries OAuth 2.0 tokens so that applications do not have to.
#[derive(Debug, Parser)]
#[command(name = "vicar", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy.
    Run {
        /// The configuration file.
        #[arg(short, long, env = "VICAR_CONFIG", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Check a configuration file without starting anything.
    Check {
        /// The configuration file.
        #[arg(env = "VICAR_CONFIG", default_value = DEFAULT_CONFIG)]
        file: PathBuf,
    },
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Show the whole thing at work on loopback, with an authority and an API made for the purpose.
    #[cfg(feature = "demo")]
    Demo {
        /// Run the narration and exit; non-zero when a step did not do what it says.
        #[arg(long)]
        once: bool,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong while running; problems of the configuration are printed and exit with 2.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run { config } => run(&config),
            Command::Check { file } => Ok(check(&file)),
            Command::Schema => {
                print(&serde_json::to_string_pretty(&config::json_schema())?);
                Ok(ExitCode::SUCCESS)
            }
            #[cfg(feature = "demo")]
            Command::Demo { once } => crate::demo::run(once),
        }
    }
}

fn run(path: &Path) -> anyhow::Result<ExitCode> {
    // Before anything else: a signal that comes while Vicar starts must not kill it.
    let signals = Signals::listen()?;
    let config = match config::load(path) {
        Ok(config) => config,
        Err(problems) => return Ok(refuse(&problems)),
    };
    let _flushes_when_dropped = telemetry::start_logging(config.log);
    let app = App::start(config, Clock::system())?;
    for (listener, address) in app.addresses() {
        tracing::info!(%listener, %address, "listening");
    }
    if let Some(address) = app.admin_address() {
        tracing::info!(%address, "admin listening");
    }
    signals.wait();
    tracing::info!("stopping: no new connections, what runs may finish");
    let finished = app.stop();
    tracing::info!(finished, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// The signals that mean something, and the runtime that hears them.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }

    /// Waits for SIGTERM or SIGINT.
    fn wait(self) {
        let Self { runtime, mut terminate, mut interrupt, mut hangup } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hangup.recv() => tracing::warn!(
                        "SIGHUP: secrets and listener certificates are re-read anyway; \
                         a changed configuration file needs a restart in this version"
                    ),
                }
            }
        });
    }
}

fn check(file: &Path) -> ExitCode {
    match config::load(file) {
        Ok(config) => {
            for warning in &config.warnings {
                let _ = writeln!(std::io::stderr(), "warning: {}:{warning}", file.display());
            }
            let routes: usize = config.listeners.iter().map(|l| l.routes.len()).sum();
            print(&format!(
                "{}: good ({} listeners, {} clients, {routes} routes)",
                file.display(),
                config.listeners.len(),
                config.clients.len(),
            ));
            ExitCode::SUCCESS
        }
        Err(problems) => refuse(&problems),
    }
}

fn refuse(problems: &config::Problems) -> ExitCode {
    // Nobody to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{problems}");
    ExitCode::from(2)
}

fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

const DEFAULT_CONFIG: &str = "/etc/vicar/vicar.yaml";
