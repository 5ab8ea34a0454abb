//! The exact mirror of the YAML: every key, its type and its default. No behaviour.
//!
//! Part of `config`. The JSON Schema that `vicar schema` prints and the check that names unknown
//! keys both come from these types, so that neither can drift from what is read. Doc comments here
//! are the schema's descriptions.

mod authenticate;
mod client;
mod credential;
mod issuer;
mod listener;
mod route;
mod token;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use authenticate::{
    AuthenticateModeYaml, AuthenticateYaml, CallersYaml, OneOrManyYaml, ProofYaml, ReportOnlyYaml,
};
pub(super) use client::{
    AdfsYaml, AuthorityTimeoutsYaml, AuthorityYaml, B2cYaml, ClientYaml, CloudYaml, EntraYaml,
    ExternalIdYaml,
};
pub(super) use credential::{
    AssertionUrlYaml, AssertionYaml, CredentialYaml, CredentialsYaml, IdentityYaml,
    PrivateKeyJwtYaml, ThumbprintYaml,
};
pub(super) use issuer::{
    AlgorithmYaml, AssumeYaml, EntraIssuerYaml, IntrospectionYaml, IssuerYaml, JwksYaml, KeysYaml,
    ProfileYaml, TenantsYaml,
};
pub(super) use listener::{ListenerYaml, ModeYaml, ServerTlsYaml};
pub(super) use route::{
    ExistingYaml, ForwardedYaml, InjectYaml, MatchYaml, ProtocolYaml, RetryYaml, RewriteYaml,
    RouteYaml, UpstreamSettingsYaml, UpstreamYaml,
};
pub(super) use token::{
    ActorYaml, ClientCredentialsYaml, InsteadYaml, JwtBearerYaml, MayActYaml, OnBehalfOfYaml,
    SessionYaml, TenantChoiceYaml, TokenExchangeYaml, TokenYaml,
};

use super::units::{DurationYaml, SizeYaml};

/// Vicar's configuration: one YAML file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Vicar configuration")]
pub(super) struct ConfigYaml {
    /// How the process uses its processors.
    #[serde(default)]
    pub(super) runtime: RuntimeYaml,
    /// What is written to standard output.
    #[serde(default)]
    pub(super) log: LogYaml,
    /// How the process ends.
    #[serde(default)]
    pub(super) shutdown: ShutdownYaml,
    /// Health, readiness and metrics.
    #[serde(default)]
    pub(super) admin: AdminYaml,
    /// Addresses Vicar accepts connections on, by name.
    pub(super) listeners: BTreeMap<String, ListenerYaml>,
    /// Bounds on what is remembered.
    #[serde(default)]
    pub(super) caches: CachesYaml,
    /// Parties whose tokens are accepted from callers, by name.
    #[serde(default)]
    pub(super) issuers: BTreeMap<String, IssuerYaml>,
    /// Vicar's registrations at authorities, by name.
    #[serde(default)]
    pub(super) clients: BTreeMap<String, ClientYaml>,
    /// What to match, which token to attach, where to send; the most specific route wins.
    pub(super) routes: Vec<RouteYaml>,
}

/// How the process uses its processors.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RuntimeYaml {
    /// Threads that carry traffic: a number, or auto (the processors this process may use, at most 4).
    pub(super) workers: WorkersYaml,
    /// Whether each worker has its own connections.
    pub(super) layout: LayoutYaml,
}

/// A number of workers, or `auto`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum WorkersYaml {
    /// That many.
    Count(u8),
    /// As many as processors, at most 4.
    #[default]
    #[serde(with = "auto")]
    #[schemars(with = "AutoYaml")]
    Auto,
}

/// Chosen by Vicar.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AutoYaml {
    /// Chosen by Vicar.
    Auto,
}

mod auto {
    //! `auto` inside an untagged enum.
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<(), D::Error> {
        let super::AutoYaml::Auto = serde::Deserialize::deserialize(from)?;
        Ok(())
    }
}

/// Whether each worker has its own connections.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LayoutYaml {
    /// One single-threaded runtime per worker, each with its own connections: the fastest.
    #[default]
    PerWorker,
    /// One runtime over all workers: better for a few long HTTP/2 connections.
    Shared,
}

/// What is written to standard output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogYaml {
    /// JSON objects or text for people.
    pub(super) format: LogFormatYaml,
    /// The least severe level that is written; libraries never log below warn.
    pub(super) level: LogLevelYaml,
    /// One line per request.
    pub(super) access: bool,
}

impl Default for LogYaml {
    fn default() -> Self {
        Self { format: LogFormatYaml::Json, level: LogLevelYaml::Info, access: true }
    }
}

/// JSON objects or text for people.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormatYaml {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Pretty,
}

/// Severity of log lines.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLevelYaml {
    /// Something failed.
    Error,
    /// Something may fail soon.
    Warn,
    /// Life signs and one line per request.
    Info,
    /// What each stage decided.
    Debug,
    /// Everything.
    Trace,
}

/// How the process ends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ShutdownYaml {
    /// After SIGTERM or SIGINT, what runs may finish within this time.
    pub(super) grace: DurationYaml,
}

impl Default for ShutdownYaml {
    fn default() -> Self {
        Self { grace: DurationYaml::secs(25) }
    }
}

/// Health, readiness and metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminYaml {
    /// `IP:PORT`, `unix:/path`, or off.
    pub(super) address: String,
}

impl Default for AdminYaml {
    fn default() -> Self {
        Self { address: "127.0.0.1:9901".into() }
    }
}

/// Bounds on what is remembered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CachesYaml {
    /// Callers' tokens that have been verified; beyond it the least used are verified again.
    pub(super) verified_tokens: SizeYaml,
    /// Tokens on behalf of callers; beyond it those of the callers least seen go.
    pub(super) user_tokens: SizeYaml,
    /// Tokens on behalf of one caller; beyond it the oldest go.
    pub(super) user_tokens_per_subject: u16,
    /// Long-running sessions; beyond it none begins.
    pub(super) sessions: u32,
}

impl Default for CachesYaml {
    fn default() -> Self {
        Self {
            verified_tokens: SizeYaml(32 * 1024 * 1024),
            user_tokens: SizeYaml(64 * 1024 * 1024),
            user_tokens_per_subject: 64,
            sessions: 10_000,
        }
    }
}

/// A reference to a secret; the secret itself never stands in the file.
#[derive(Clone, Deserialize, Eq, Hash, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum SecretRef {
    /// A file that holds it; read again when it is needed.
    File(String),
    /// An environment variable that holds it; read once.
    Env(String),
    /// The secret itself. Anyone who can read the file has it.
    DangerInline(String),
}

impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::DangerInline(_) => f.write_str("DangerInline([secret])"),
        }
    }
}

/// A reference to something public that is read from a file.
#[derive(Clone, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRef {
    /// The file's path.
    pub(super) file: String,
}
