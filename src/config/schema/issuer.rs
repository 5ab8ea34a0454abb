//! `issuers:` — parties whose tokens are accepted from callers.

use schemars::JsonSchema;
use serde::Deserialize;

use super::FileRef;
use super::client::{AuthorityTimeoutsYaml, CloudYaml, OidcYaml, environment, yes};
use crate::config::units::DurationYaml;

/// A party whose tokens are accepted: exactly one of entra, oidc, jwks, introspection, keycloak, okta, auth0.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct IssuerYaml {
    /// Microsoft Entra ID.
    pub(in crate::config) entra: Option<EntraIssuerYaml>,
    /// Any server with metadata; the key set is found there.
    pub(in crate::config) oidc: Option<OidcYaml>,
    /// A known key set, at an address or in a file.
    pub(in crate::config) jwks: Option<JwksYaml>,
    /// The issuer is asked about each token (RFC 7662).
    pub(in crate::config) introspection: Option<IntrospectionYaml>,
    /// A realm of Keycloak.
    pub(in crate::config) keycloak: Option<KeycloakYaml>,
    /// An authorization server of Okta.
    pub(in crate::config) okta: Option<OktaYaml>,
    /// A tenant of Auth0.
    pub(in crate::config) auth0: Option<Auth0Yaml>,
    /// Who the tokens must be for; one of these must be in `aud`. Needed.
    #[serde(default)]
    pub(in crate::config) audiences: Vec<String>,
    /// Signature algorithms; RS256 for Entra, otherwise all that Vicar knows.
    pub(in crate::config) algorithms: Option<Vec<AlgorithmYaml>>,
    /// How far the issuer's clock and ours may be apart; at most 5m.
    #[serde(default = "skew")]
    pub(in crate::config) clock_skew: DurationYaml,
    /// How strictly a token must present itself.
    #[serde(default)]
    pub(in crate::config) profile: ProfileYaml,
    /// The claim with the caller's roles: a name, or a dotted path.
    pub(in crate::config) roles_claim: Option<String>,
    /// What a caller is whose token bears no mark of either kind.
    #[serde(default)]
    pub(in crate::config) assume: AssumeYaml,
    /// How the key set is kept.
    #[serde(default)]
    pub(in crate::config) keys: KeysYaml,
    /// Be ready only when its first key set is there.
    #[serde(default = "yes")]
    pub(in crate::config) warm_up: bool,
    /// Roots to trust besides the system's.
    pub(in crate::config) ca: Option<FileRef>,
    /// environment (`https_proxy`, `no_proxy`), none, or `http://host:port`.
    #[serde(default = "environment")]
    pub(in crate::config) proxy: String,
    /// Limits on one fetch of metadata or keys.
    #[serde(default)]
    pub(in crate::config) timeouts: AuthorityTimeoutsYaml,
}

/// Microsoft Entra ID: exactly one of tenant and tenants.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct EntraIssuerYaml {
    /// The one tenant: its id or one of its domains.
    pub(in crate::config) tenant: Option<String>,
    /// Several tenants by id, or any for every tenant there is.
    pub(in crate::config) tenants: Option<TenantsYaml>,
    /// Which cloud the tenants live in.
    #[serde(default)]
    pub(in crate::config) cloud: CloudYaml,
    /// Another Entra-compatible host, `https://host`.
    pub(in crate::config) instance: Option<String>,
}

/// Several tenants by id, or `any`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum TenantsYaml {
    /// These.
    Ids(Vec<String>),
    /// Every tenant there is.
    Any(AnyYaml),
}

/// No restriction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum AnyYaml {
    /// No restriction.
    Any,
}

/// A known key set: exactly one of uri and file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct JwksYaml {
    /// What `iss` must be, byte for byte.
    pub(in crate::config) issuer: String,
    /// The key set's address.
    pub(in crate::config) uri: Option<String>,
    /// The key set's file; read again when it changes.
    pub(in crate::config) file: Option<String>,
}

/// The issuer is asked about each token (RFC 7662).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct IntrospectionYaml {
    /// A name from `clients`: who asks.
    pub(in crate::config) client: String,
    /// Where; left out, the metadata of the client's authority say.
    pub(in crate::config) endpoint: Option<String>,
    /// What `iss` must be, where the answer has one.
    pub(in crate::config) issuer: Option<String>,
    /// How long a yes counts, if the token lives that long.
    #[serde(default = "cache")]
    pub(in crate::config) cache: DurationYaml,
    /// Accept a token whoever it is for; without it `audiences` are needed.
    #[serde(default)]
    pub(in crate::config) danger_any_audience: bool,
    /// How long a no counts.
    #[serde(default = "negative_cache")]
    pub(in crate::config) negative_cache: DurationYaml,
}

/// A realm of Keycloak.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct KeycloakYaml {
    /// `https://host`, with a path if Keycloak is served below one.
    pub(in crate::config) url: String,
    /// The realm.
    pub(in crate::config) realm: String,
}

/// An authorization server of Okta.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OktaYaml {
    /// The organisation's host.
    pub(in crate::config) domain: String,
    /// The authorization server's id.
    #[serde(default = "default_server")]
    pub(in crate::config) server: String,
}

/// A tenant of Auth0.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Auth0Yaml {
    /// The tenant's host.
    pub(in crate::config) domain: String,
}

/// A signature algorithm (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[allow(missing_docs, clippy::upper_case_acronyms, reason = "their registered names")]
pub(in crate::config) enum AlgorithmYaml {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// How strictly a token must present itself.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ProfileYaml {
    /// `typ` is absent, JWT or at+jwt.
    #[default]
    Jwt,
    /// RFC 9068: `typ` is at+jwt, and its claims are there.
    Rfc9068,
}

/// What a caller is whose token does not tell.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum AssumeYaml {
    /// Neither: rules for people or for applications refuse it.
    #[default]
    Neither,
    /// A person.
    Users,
    /// An application calling in its own name.
    Applications,
}

/// How a key set is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct KeysYaml {
    /// How often it is fetched anew; a key that is removed stops working within it.
    pub(in crate::config) refresh: DurationYaml,
    /// How often a token with an unknown key may bring that forward.
    pub(in crate::config) cool_down: DurationYaml,
    /// How long the last good set serves when no newer one can be had.
    pub(in crate::config) stale: DurationYaml,
}

impl Default for KeysYaml {
    fn default() -> Self {
        Self {
            refresh: DurationYaml::secs(600),
            cool_down: DurationYaml::secs(30),
            stale: DurationYaml::secs(24 * 3600),
        }
    }
}

fn skew() -> DurationYaml {
    DurationYaml::secs(60)
}

fn cache() -> DurationYaml {
    DurationYaml::secs(60)
}

fn negative_cache() -> DurationYaml {
    DurationYaml::secs(10)
}

fn default_server() -> String {
    "default".into()
}
