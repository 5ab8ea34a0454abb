//! `clients:` — registrations at authorities.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CredentialsYaml, FileRef};
use crate::config::units::DurationYaml;

/// Vicar's registration at an authority.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClientYaml {
    /// The authorization server that issues tokens to Vicar.
    pub(in crate::config) authority: AuthorityYaml,
    /// The identifier the authority gave Vicar.
    pub(in crate::config) client_id: String,
    /// How Vicar proves itself: one method, or a list in order of preference.
    pub(in crate::config) credential: CredentialsYaml,
    /// What it tells Entra that it can do: cp1 (it reacts to claims challenges, so tokens live longer).
    #[serde(default)]
    pub(in crate::config) capabilities: Vec<String>,
    /// Token requests on behalf of callers that are on their way at once; the rest wait.
    #[serde(default = "max_in_flight")]
    pub(in crate::config) max_in_flight: u16,
    /// Fetch its tokens at start, and be ready only when they are there.
    #[serde(default = "yes")]
    pub(in crate::config) warm_up: bool,
}

/// An authorization server: exactly one of `entra`, `adfs`, `b2c`, `external_id`, `oidc`, `token_endpoint`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AuthorityYaml {
    /// Microsoft Entra ID.
    pub(in crate::config) entra: Option<EntraYaml>,
    /// Active Directory Federation Services.
    pub(in crate::config) adfs: Option<AdfsYaml>,
    /// Azure AD B2C.
    pub(in crate::config) b2c: Option<B2cYaml>,
    /// Microsoft Entra External ID.
    pub(in crate::config) external_id: Option<ExternalIdYaml>,
    /// Any OpenID Connect or OAuth 2.0 server that publishes metadata.
    pub(in crate::config) oidc: Option<OidcYaml>,
    /// The token endpoint's address, without discovery.
    pub(in crate::config) token_endpoint: Option<String>,
    /// Roots to trust besides the system's.
    pub(in crate::config) ca: Option<FileRef>,
    /// environment (`https_proxy`, `no_proxy`), none, or `http://host:port`.
    #[serde(default = "environment")]
    pub(in crate::config) proxy: String,
    /// Limits on one token request.
    #[serde(default)]
    pub(in crate::config) timeouts: AuthorityTimeoutsYaml,
}

/// Microsoft Entra ID.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct EntraYaml {
    /// The tenant's id or one of its domains.
    pub(in crate::config) tenant: String,
    /// Which cloud the tenant lives in.
    #[serde(default)]
    pub(in crate::config) cloud: CloudYaml,
    /// Another Entra-compatible host, `https://host`; other names of a cloud's host become the one it prefers.
    pub(in crate::config) instance: Option<String>,
    /// Ask in this region for tokens in Vicar's own name: its name, or auto for the machine's own.
    pub(in crate::config) region: Option<String>,
}

/// Active Directory Federation Services.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AdfsYaml {
    /// `https://adfs.example/adfs`.
    pub(in crate::config) url: String,
}

/// Azure AD B2C.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct B2cYaml {
    /// The tenant's domain, `contoso.onmicrosoft.com`.
    pub(in crate::config) tenant: String,
    /// The user flow or policy.
    pub(in crate::config) policy: String,
    /// The host; by default `contoso.b2clogin.com` of the tenant's name.
    pub(in crate::config) host: Option<String>,
}

/// Microsoft Entra External ID.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ExternalIdYaml {
    /// The tenant's name: `contoso` of `contoso.ciamlogin.com`.
    pub(in crate::config) tenant: String,
}

/// An Entra cloud.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum CloudYaml {
    /// login.microsoftonline.com
    #[default]
    Public,
    /// login.partner.microsoftonline.cn
    China,
    /// login.microsoftonline.us
    UsGovernment,
    /// login.microsoftonline.de
    Germany,
    /// login.sovcloud-identity.fr
    Bleu,
    /// login.sovcloud-identity.de
    Delos,
    /// login.sovcloud-identity.sg
    GovSg,
}

/// A server that publishes metadata.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OidcYaml {
    /// Its issuer identifier, exactly as its metadata states it.
    pub(in crate::config) issuer: String,
}

/// Limits on one token request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct AuthorityTimeoutsYaml {
    /// To open a connection.
    pub(in crate::config) connect: DurationYaml,
    /// For one token request with its retry.
    pub(in crate::config) total: DurationYaml,
}

impl Default for AuthorityTimeoutsYaml {
    fn default() -> Self {
        Self { connect: DurationYaml::secs(2), total: DurationYaml::secs(10) }
    }
}

fn max_in_flight() -> u16 {
    64
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn environment() -> String {
    "environment".into()
}
