//! `routes:` — what to match, which token to attach, where to send.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::authenticate::AuthenticateYaml;
use super::client::environment;
use super::token::TokenYaml;
use super::{FileRef, SecretRef};
use crate::config::units::{DurationYaml, SizeYaml};

/// One route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RouteYaml {
    /// Its name in logs and metrics.
    pub(in crate::config) name: String,
    /// The listener it belongs to.
    pub(in crate::config) listener: String,
    /// What it matches; everything when left out.
    #[serde(default, rename = "match")]
    pub(in crate::config) matches: MatchYaml,
    /// Who may call; everybody when left out.
    pub(in crate::config) authenticate: Option<AuthenticateYaml>,
    /// The token to attach: strip, passthrough, or one flow. Never left out.
    pub(in crate::config) token: TokenYaml,
    /// Where and how the token is put.
    #[serde(default)]
    pub(in crate::config) inject: InjectYaml,
    /// Upstream statuses that say the token is not wanted: it is renewed once and the request sent once more.
    #[serde(default = "retry_on")]
    pub(in crate::config) retry_on: Vec<u16>,
    /// What may be sent once more, and how often.
    #[serde(default)]
    pub(in crate::config) retry: RetryYaml,
    /// What changes in the request line.
    #[serde(default)]
    pub(in crate::config) rewrite: RewriteYaml,
    /// X-Forwarded-For, -Host, -Proto and Forwarded.
    #[serde(default)]
    pub(in crate::config) forwarded: ForwardedYaml,
    /// How long the upstream may take.
    #[serde(default)]
    pub(in crate::config) timeouts: RouteTimeoutsYaml,
    /// Where the request is sent: a URL, or a URL with settings.
    pub(in crate::config) upstream: UpstreamYaml,
}

/// What a route matches; all that are given must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct MatchYaml {
    /// A host, or *.suffix for every host below it; with :port only that port.
    pub(in crate::config) host: Option<String>,
    /// A path prefix at a segment boundary.
    pub(in crate::config) path: Option<String>,
    /// One path exactly.
    pub(in crate::config) path_exact: Option<String>,
    /// Methods; every method when empty.
    pub(in crate::config) methods: Vec<String>,
    /// Headers and their exact values.
    pub(in crate::config) headers: BTreeMap<String, String>,
}

/// Where and how the token is put.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct InjectYaml {
    /// The header that carries it.
    pub(in crate::config) header: String,
    /// The scheme before it; "" sends the bare token.
    pub(in crate::config) scheme: String,
    /// What happens to a credential the caller sent in that header.
    pub(in crate::config) existing: ExistingYaml,
}

impl Default for InjectYaml {
    fn default() -> Self {
        Self {
            header: "Authorization".into(),
            scheme: "Bearer".into(),
            existing: ExistingYaml::Replace,
        }
    }
}

/// What happens to a credential the caller sent.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ExistingYaml {
    /// Ours takes its place.
    Replace,
    /// It stays, and no token is fetched.
    Keep,
    /// The request is refused with 400.
    Reject,
}

/// What may be sent once more, and how often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RetryYaml {
    /// Bodies up to this size are kept for it; 0 keeps none.
    pub(in crate::config) body: SizeYaml,
    /// Methods that may be sent twice.
    pub(in crate::config) methods: Vec<String>,
    /// How often one token is renewed on an upstream's word, at most.
    pub(in crate::config) window: DurationYaml,
}

impl Default for RetryYaml {
    fn default() -> Self {
        let methods = ["DELETE", "GET", "HEAD", "OPTIONS", "PUT"].map(str::to_owned);
        Self { body: SizeYaml(16 * 1024), methods: methods.into(), window: DurationYaml::secs(30) }
    }
}

/// What changes in the request line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RewriteYaml {
    /// Takes the place of what `match.path` matched.
    pub(in crate::config) path_prefix: Option<String>,
    /// The Host the upstream sees: upstream, preserve, or a fixed name.
    pub(in crate::config) host: String,
}

impl Default for RewriteYaml {
    fn default() -> Self {
        Self { path_prefix: None, host: "upstream".into() }
    }
}

/// What the upstream learns about the caller's connection.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ForwardedYaml {
    /// What the caller claims is dropped, what Vicar sees is set.
    #[default]
    Replace,
    /// What Vicar sees is added to what the caller claims.
    Append,
    /// What the caller claims stays, nothing is added.
    Keep,
    /// Nothing at all.
    Strip,
}

/// How long the upstream may take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RouteTimeoutsYaml {
    /// To open a connection, TLS included.
    pub(in crate::config) connect: DurationYaml,
    /// Until its response head, counted from the end of the request.
    pub(in crate::config) response: DurationYaml,
    /// A body in either direction must make progress within it.
    pub(in crate::config) idle: DurationYaml,
}

impl Default for RouteTimeoutsYaml {
    fn default() -> Self {
        Self {
            connect: DurationYaml::secs(5),
            response: DurationYaml::secs(60),
            idle: DurationYaml::secs(300),
        }
    }
}

/// A URL, or a URL with settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum UpstreamYaml {
    /// Just a URL; everything else has its default.
    Url(String),
    /// A URL with settings.
    Settings(Box<UpstreamSettingsYaml>),
}

/// An upstream with settings.
#[derive(Clone, Deserialize, Eq, Hash, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UpstreamSettingsYaml {
    /// `http://host` or `https://host`, with a port and a path if need be.
    pub(in crate::config) url: String,
    /// The HTTP version towards the upstream.
    #[serde(default)]
    pub(in crate::config) protocol: ProtocolYaml,
    /// Roots to trust besides the system's.
    pub(in crate::config) ca: Option<FileRef>,
    /// A certificate to present to the upstream.
    pub(in crate::config) client_certificate: Option<ClientCertificateYaml>,
    /// environment (`https_proxy`, `http_proxy`, `no_proxy`), none, or `http://host:port`.
    #[serde(default = "environment")]
    pub(in crate::config) proxy: String,
    /// Idle connections kept warm per worker.
    #[serde(default = "idle_connections")]
    pub(in crate::config) idle_connections: u16,
    /// How long one is kept.
    #[serde(default = "idle_timeout")]
    pub(in crate::config) idle_timeout: DurationYaml,
    /// Allow a token over plain HTTP to a host that is not this one.
    #[serde(default)]
    pub(in crate::config) danger_plaintext_upstream: bool,
}

impl std::fmt::Debug for UpstreamSettingsYaml {
    /// Without the proxy, whose address may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamSettingsYaml").field("url", &self.url).finish_non_exhaustive()
    }
}

impl UpstreamSettingsYaml {
    pub(in crate::config) fn plain(url: String) -> Self {
        Self {
            url,
            protocol: ProtocolYaml::default(),
            ca: None,
            client_certificate: None,
            proxy: environment(),
            idle_connections: idle_connections(),
            idle_timeout: idle_timeout(),
            danger_plaintext_upstream: false,
        }
    }
}

/// The HTTP version towards an upstream.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ProtocolYaml {
    /// What TLS negotiates; HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge when there is no TLS.
    Http2,
}

/// A certificate to present.
#[derive(Clone, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClientCertificateYaml {
    /// PEM chain, leaf first.
    pub(in crate::config) certificate: FileRef,
    /// PEM private key.
    pub(in crate::config) private_key: SecretRef,
}

fn retry_on() -> Vec<u16> {
    vec![401]
}

fn idle_connections() -> u16 {
    64
}

fn idle_timeout() -> DurationYaml {
    DurationYaml::secs(60)
}
