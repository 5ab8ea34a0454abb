//! Turns the mirror of the YAML into the types the stages understand, recording every problem.
//!
//! Part of `config`. [`Lowering`] carries what all sections need: where a path stands in the file,
//! the problems so far, and the environment.

mod authenticate;
mod clients;
mod credentials;
mod entra;
mod issuers;
mod listeners;
mod microsoft;
mod proxies;
mod routes;
mod secrets;
mod tls;
mod tokens;
mod upstreams;
mod user_terms;
mod user_tokens;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use super::expand::Lookup;
use super::problem::{Position, Problem};
use super::schema::{
    CachesYaml, ConfigYaml, LayoutYaml, LogFormatYaml, LogLevelYaml, LogYaml, RuntimeYaml,
    WorkersYaml,
};
use super::tree::Node;
use super::{Caches, Config, Layout, Runtime};
use crate::authority::ClientSpec;
use crate::inbound::IssuerSpec;
use crate::telemetry::{LogFormat, LogSettings};
use crate::token::cache::Bounds;

/// Turns `yaml` into a [`Config`]; `tree` is only asked for positions.
pub(super) fn lower(
    yaml: ConfigYaml,
    tree: &Node,
    lookup: Lookup<'_>,
) -> Result<Config, Vec<Problem>> {
    let (problems, clients, issuers) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let (warnings, defers_files) = (Vec::new(), false);
    let mut lowering =
        Lowering { tree, lookup, problems, warnings, defers_files, clients, issuers };
    lowering.clients(yaml.clients);
    // After the clients: introspection is asked for in the name of one.
    lowering.issuers(yaml.issuers);
    if matches!(yaml.runtime.workers, WorkersYaml::Count(0)) {
        lowering.problem("runtime.workers", "no worker would carry traffic", "auto, or 1 and more");
    }
    let admin = lowering.admin(&yaml.admin);
    let listeners = lowering.listeners(yaml.listeners, yaml.routes);
    let caches = lowering.caches(&yaml.caches);
    let config = Config {
        runtime: runtime(&yaml.runtime),
        log: log(&yaml.log),
        grace: yaml.shutdown.grace.0,
        admin,
        listeners,
        caches,
        clients: lowering.clients.into_values().collect(),
        warnings: lowering.warnings,
    };
    if lowering.problems.is_empty() { Ok(config) } else { Err(lowering.problems) }
}

/// What every section needs while it is lowered.
pub(super) struct Lowering<'a> {
    tree: &'a Node,
    lookup: Lookup<'a>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Whether a secret file that cannot be read is judged by whoever asked for it.
    defers_files: bool,
    clients: BTreeMap<String, Arc<ClientSpec>>,
    issuers: BTreeMap<String, Arc<IssuerSpec>>,
}

impl Lowering<'_> {
    fn caches(&mut self, yaml: &CachesYaml) -> Caches {
        for (key, none) in [
            ("user_tokens_per_subject", yaml.user_tokens_per_subject == 0),
            ("user_tokens", yaml.user_tokens.0 < 1024 * 1024),
        ] {
            if none {
                let what =
                    "too little: calls on behalf of people would ask the authority each time";
                self.problem(&format!("caches.{key}"), what, "leave it out for the default");
            }
        }
        Caches {
            verified_token_bytes: yaml.verified_tokens.0,
            user_tokens: Bounds {
                bytes: yaml.user_tokens.0.into(),
                per_subject: yaml.user_tokens_per_subject.into(),
                sessions: yaml.sessions as usize,
            },
        }
    }

    /// Records a problem at `path`.
    fn problem(&mut self, path: &str, what: impl Display, hint: impl Display) {
        let problem = self.remark(path, what, hint);
        self.problems.push(problem);
    }

    /// Records what is no problem yet.
    fn warning(&mut self, path: &str, what: impl Display, hint: impl Display) {
        let warning = self.remark(path, what, hint);
        self.warnings.push(warning);
    }

    fn remark(&self, path: &str, what: impl Display, hint: impl Display) -> Problem {
        let (position, _) = locate(self.tree, path);
        let (what, hint) = (what.to_string(), hint.to_string());
        Problem { position, path: path.to_owned(), what, hint }
    }

    /// Whether something stands at `path`, not only above it.
    fn is_written(&self, path: &str) -> bool {
        locate(self.tree, path).1
    }

    /// Unwraps a result whose error is the problem's text.
    fn accept<T, E: Display>(&mut self, path: &str, result: Result<T, E>, hint: &str) -> Option<T> {
        result.map_err(|error| self.problem(path, error, hint)).ok()
    }
}

fn runtime(yaml: &RuntimeYaml) -> Runtime {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    Runtime {
        workers: match yaml.workers {
            WorkersYaml::Count(count) => usize::from(count),
            WorkersYaml::Auto => available.min(MAX_AUTO_WORKERS),
        },
        layout: match yaml.layout {
            LayoutYaml::PerWorker => Layout::PerWorker,
            LayoutYaml::Shared => Layout::Shared,
        },
    }
}

fn log(yaml: &LogYaml) -> LogSettings {
    LogSettings {
        format: match yaml.format {
            LogFormatYaml::Json => LogFormat::Json,
            LogFormatYaml::Pretty => LogFormat::Pretty,
        },
        level: match yaml.level {
            LogLevelYaml::Error => tracing::Level::ERROR,
            LogLevelYaml::Warn => tracing::Level::WARN,
            LogLevelYaml::Info => tracing::Level::INFO,
            LogLevelYaml::Debug => tracing::Level::DEBUG,
            LogLevelYaml::Trace => tracing::Level::TRACE,
        },
        access: yaml.access,
    }
}

/// Where `path` stands, or the nearest thing above it that is written down; and whether it is `path` itself.
/// Names may hold dots, so the longest one that fits is taken.
fn locate(tree: &Node, path: &str) -> (Position, bool) {
    let (mut node, mut position, mut rest) = (tree, tree.position, path);
    while !rest.is_empty() {
        let found = match (&node.value, rest.strip_prefix('[')) {
            (super::tree::Value::List(items), Some(index)) => {
                index.split_once(']').and_then(|(i, r)| {
                    let item = items.get(i.parse::<usize>().ok()?)?;
                    Some((item, item.position, r))
                })
            }
            (super::tree::Value::Map(entries), None) => {
                let ends = |after: &str| after.is_empty() || after.starts_with(['.', '[']);
                let fits = entries.iter().filter_map(|entry| {
                    let after =
                        rest.strip_prefix(entry.key.as_str()).filter(|after| ends(after))?;
                    Some((&entry.node, entry.position, after))
                });
                fits.min_by_key(|(_, _, after)| after.len())
            }
            _ => None,
        };
        let Some((inner, at, after)) = found else { return (position, false) };
        (node, position, rest) = (inner, at, after.strip_prefix('.').unwrap_or(after));
    }
    (position, true)
}

/// A sidecar seldom needs more; a gateway sets its own number.
const MAX_AUTO_WORKERS: usize = 4;
