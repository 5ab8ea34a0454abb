//! Loads a configuration file into the one [`Config`] that the rest of the program sees.
//!
//! ```text
//! YAML text → tree (with positions) → ${VAR} → schema check → mirror structs → lowering → Config
//! ```
//!
//! Each step reports all it can find before the next one starts. Loading reads the file and what it
//! refers to; it never touches the network. Only this module and `cli` know the environment.

mod check;
mod expand;
mod lower;
mod problem;
mod schema;
mod tree;
mod units;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use problem::{Position, Problem, Problems};

use crate::authority::ClientSpec;
use crate::listener::{BindAddress, ConnectionLimits, ServerTls};
use crate::proxy::{ResourceMetadata, RouteSpec};
use crate::telemetry::LogSettings;
use crate::token::cache::Bounds;

/// A configuration that can be run.
#[derive(Debug)]
pub struct Config {
    /// Threads and their layout.
    pub runtime: Runtime,
    /// What is logged, and how.
    pub log: LogSettings,
    /// How long requests may take to finish after the signal to stop.
    pub grace: Duration,
    /// Where health and metrics are served, if anywhere.
    pub admin: Option<BindAddress>,
    /// Where traffic is accepted, each with its routes.
    pub listeners: Vec<ListenerConfig>,
    /// What may be remembered.
    pub caches: Caches,
    /// Every registration, used or not.
    pub clients: Vec<Arc<ClientSpec>>,
    /// What works, and should be looked at.
    pub warnings: Vec<Problem>,
}

/// What may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// About how much memory verified tokens of callers may take.
    pub verified_token_bytes: u32,
    /// Tokens on behalf of callers.
    pub user_tokens: Bounds,
}

/// Threads and their layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Threads that carry traffic, at least one.
    pub workers: usize,
    /// Whether each has its own connections.
    pub layout: Layout,
}

/// Whether each worker has its own connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One single-threaded runtime per worker.
    PerWorker,
    /// One runtime over all workers.
    Shared,
}

/// One listener and its routes.
#[derive(Debug)]
pub struct ListenerConfig {
    /// Its name in logs and metrics.
    pub name: String,
    /// Where it accepts.
    pub address: BindAddress,
    /// The certificate it shows, if any.
    pub tls: Option<ServerTls>,
    /// Bounds on its connections.
    pub limits: ConnectionLimits,
    /// What it is to its callers, if it says so.
    pub resource: Option<ResourceMetadata>,
    /// What it serves.
    pub routes: Vec<RouteSpec>,
}

/// Loads `path` with the process's environment.
///
/// # Errors
/// Every problem found.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let file = path.display().to_string();
    #[allow(clippy::disallowed_methods, reason = "nothing runs yet that this could block")]
    let text = std::fs::read_to_string(path).map_err(|error| {
        let (position, what) =
            (Position { line: 1, column: 1 }, format!("cannot read it: {error}"));
        let hint = "name the file with -c or the environment variable VICAR_CONFIG".to_owned();
        Problems {
            file: file.clone(),
            problems: vec![Problem { position, path: String::new(), what, hint }],
        }
    })?;
    #[allow(clippy::disallowed_methods, reason = "the one door for the environment")]
    parse(&file, &text, &|name| std::env::var(name).ok())
}

/// Loads configuration text; `lookup` stands for the environment.
///
/// # Errors
/// Every problem found.
pub fn parse(
    file: &str,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let result = tree::parse(text).and_then(|mut tree| {
        expand::expand(&mut tree, "", lookup, &mut problems);
        let typed = match check::check(&tree, &json_schema()) {
            Ok(typed) if problems.is_empty() => typed,
            Ok(_) => return Err(Vec::new()),
            Err(shape) => return Err(shape),
        };
        let yaml = serde_json::from_value(typed).map_err(|error| {
            let (position, path) = (tree.position, String::new());
            vec![Problem { position, path, what: error.to_string(), hint: String::new() }]
        })?;
        lower::lower(yaml, &tree, lookup)
    });
    result.map_err(|more| {
        problems.extend(more);
        problems.sort();
        problems.dedup();
        Problems { file: file.to_owned(), problems }
    })
}

/// The JSON Schema of the configuration file (draft 2020-12).
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(schema::ConfigYaml).to_value()
}

/// The path of `key` below `path`.
fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
