//! `listeners:` — where connections are accepted.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{FileRef, SecretRef};
use crate::config::units::{DurationYaml, SizeYaml};

/// An address Vicar accepts connections on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ListenerYaml {
    /// `IP:PORT`, or `unix:/path`.
    pub(in crate::config) address: String,
    /// What callers may ask of it.
    #[serde(default)]
    pub(in crate::config) mode: ModeYaml,
    /// Serve TLS; without it plain HTTP/1.1 and HTTP/2.
    pub(in crate::config) tls: Option<ServerTlsYaml>,
    /// The address of this API as its callers know it, `https://api.example`; with it, protected-resource
    /// metadata (RFC 9728) are served and named in challenges, and DPoP proofs are held against it.
    pub(in crate::config) resource: Option<String>,
    /// Bounds on what callers may send.
    #[serde(default)]
    pub(in crate::config) limits: LimitsYaml,
    /// Bounds on how slowly they may send it.
    #[serde(default)]
    pub(in crate::config) timeouts: ListenerTimeoutsYaml,
}

/// What callers may ask of a listener.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ModeYaml {
    /// Requests for the routes of this listener; upstreams come from the configuration.
    #[default]
    Reverse,
}

/// The certificate a listener shows; its files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ServerTlsYaml {
    /// PEM chain, leaf first.
    pub(in crate::config) certificate: FileRef,
    /// PEM private key.
    pub(in crate::config) private_key: SecretRef,
    /// PEM roots; when given, callers must present a certificate that they signed.
    pub(in crate::config) client_ca: Option<FileRef>,
}

/// Bounds on what callers may send.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct LimitsYaml {
    /// Open connections; beyond it new ones wait in the kernel's queue.
    pub(in crate::config) connections: u32,
    /// A request head; beyond it 431.
    pub(in crate::config) header_bytes: SizeYaml,
    /// Header fields of a request over HTTP/1.1; beyond it 431.
    pub(in crate::config) headers: u16,
    /// Concurrent HTTP/2 streams per connection.
    pub(in crate::config) streams: u32,
}

impl Default for LimitsYaml {
    fn default() -> Self {
        Self { connections: 10_000, header_bytes: SizeYaml(64 * 1024), headers: 100, streams: 100 }
    }
}

/// Bounds on how slowly callers may send.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ListenerTimeoutsYaml {
    /// The TLS handshake, and each request head from its first byte.
    pub(in crate::config) header: DurationYaml,
    /// A connection without a request is closed after it.
    pub(in crate::config) idle: DurationYaml,
}

impl Default for ListenerTimeoutsYaml {
    fn default() -> Self {
        Self { header: DurationYaml::secs(10), idle: DurationYaml::secs(300) }
    }
}
