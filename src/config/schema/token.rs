//! `routes[].token:` — whose token the upstream gets, and by which grant.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::authenticate::OneOrManyYaml;
use crate::config::units::DurationYaml;

/// The token a route attaches.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum TokenYaml {
    /// Remove the caller's credential, attach none.
    Strip,
    /// Leave the caller's credential as it is.
    Passthrough,
    /// A token in Vicar's own name (RFC 6749 section 4.4).
    ClientCredentials(ClientCredentialsYaml),
    /// A token on behalf of the caller: Entra's on-behalf-of.
    OnBehalfOf(Box<OnBehalfOfYaml>),
    /// A token on behalf of the caller: token exchange (RFC 8693).
    TokenExchange(Box<TokenExchangeYaml>),
    /// A token on behalf of the caller: its token as the grant (RFC 7523 section 2.1).
    JwtBearer(Box<JwtBearerYaml>),
}

/// A token in Vicar's own name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClientCredentialsYaml {
    /// A name from `clients`.
    pub(in crate::config) client: String,
    /// What to ask for; Entra takes exactly one, ending in /.default.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<String>,
    /// The `audience` parameter some servers want.
    pub(in crate::config) audience: Option<String>,
    /// Resource indicators (RFC 8707).
    #[serde(default)]
    pub(in crate::config) resource: Vec<String>,
    /// Further form fields.
    #[serde(default)]
    pub(in crate::config) parameters: BTreeMap<String, String>,
}

/// Entra's on-behalf-of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OnBehalfOfYaml {
    /// A name from `clients`.
    pub(in crate::config) client: String,
    /// What to ask for: scopes of one resource, or its /.default.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<String>,
    /// At which tenant of Entra.
    #[serde(default)]
    pub(in crate::config) tenant: TenantChoiceYaml,
    /// Further form fields.
    #[serde(default)]
    pub(in crate::config) parameters: BTreeMap<String, String>,
    /// What a verified application gets: refuse (403), session, or a token in Vicar's own name.
    #[serde(default)]
    pub(in crate::config) when_app_only: InsteadYaml,
    /// What a caller without a credential gets, where `authenticate.mode` is optional: the same choices.
    #[serde(default)]
    pub(in crate::config) when_anonymous: InsteadYaml,
    /// Long-running work, which goes on when the person's token has expired.
    pub(in crate::config) session: Option<SessionYaml>,
}

/// Token exchange.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TokenExchangeYaml {
    /// A name from `clients`.
    pub(in crate::config) client: String,
    /// What to ask for.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<String>,
    /// The services the token is for, by the names the server knows them by.
    pub(in crate::config) audience: Option<OneOrManyYaml>,
    /// The services the token is for, by their addresses (RFC 8707).
    #[serde(default)]
    pub(in crate::config) resource: Vec<String>,
    /// What the caller's token is: `access_token`, jwt, `id_token`, or a URI.
    #[serde(default = "access_token")]
    pub(in crate::config) subject_token_type: String,
    /// What to ask for: `access_token`, jwt, `id_token`, `refresh_token` (an access token with it), or a URI.
    pub(in crate::config) requested_token_type: Option<String>,
    /// Vicar's own token, which names it as the one who acts.
    pub(in crate::config) actor: Option<ActorYaml>,
    /// What that token is: `access_token`, jwt, `id_token`, or a URI.
    #[serde(default = "access_token")]
    pub(in crate::config) actor_token_type: String,
    /// Whether the caller's token must let this client act.
    #[serde(default)]
    pub(in crate::config) may_act: MayActYaml,
    /// Further form fields.
    #[serde(default)]
    pub(in crate::config) parameters: BTreeMap<String, String>,
    /// What a verified application gets: refuse (403), session, or a token in Vicar's own name.
    #[serde(default)]
    pub(in crate::config) when_app_only: InsteadYaml,
    /// What a caller without a credential gets, where `authenticate.mode` is optional: the same choices.
    #[serde(default)]
    pub(in crate::config) when_anonymous: InsteadYaml,
    /// Long-running work, which goes on when the person's token has expired.
    pub(in crate::config) session: Option<SessionYaml>,
}

/// The caller's token as the grant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct JwtBearerYaml {
    /// A name from `clients`.
    pub(in crate::config) client: String,
    /// What to ask for.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<String>,
    /// The `audience` parameter some servers want.
    pub(in crate::config) audience: Option<String>,
    /// Resource indicators (RFC 8707).
    #[serde(default)]
    pub(in crate::config) resource: Vec<String>,
    /// Further form fields.
    #[serde(default)]
    pub(in crate::config) parameters: BTreeMap<String, String>,
    /// What a verified application gets: refuse (403), session, or a token in Vicar's own name.
    #[serde(default)]
    pub(in crate::config) when_app_only: InsteadYaml,
    /// What a caller without a credential gets, where `authenticate.mode` is optional: the same choices.
    #[serde(default)]
    pub(in crate::config) when_anonymous: InsteadYaml,
    /// Long-running work, which goes on when the person's token has expired.
    pub(in crate::config) session: Option<SessionYaml>,
}

/// At which tenant of Entra a token is asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum TenantChoiceYaml {
    /// The client's own.
    #[default]
    Configured,
    /// The one that issued the caller's token.
    Caller,
}

/// Whether a subject token must let this client act (RFC 8693 section 4.4).
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum MayActYaml {
    /// The server judges.
    #[default]
    Ignore,
    /// Where the token has `may_act`, it must name this client.
    Honour,
    /// The token must have `may_act`, naming this client.
    Require,
}

/// Who acts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ActorYaml {
    /// Whom this token is issued to.
    ClientCredentials(ClientCredentialsYaml),
}

/// What callers who are no people get.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum InsteadYaml {
    /// A refusal.
    #[default]
    Refuse,
    /// The token of the session that the call names.
    Session,
    /// A token in Vicar's own name.
    ClientCredentials(ClientCredentialsYaml),
}

/// Long-running work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SessionYaml {
    /// The header in which a call names its session; it does not go on to the upstream.
    pub(in crate::config) header: Option<String>,
    /// The name of the route's one session, instead of a header.
    pub(in crate::config) key: Option<String>,
    /// A session that is not used for so long ends.
    #[serde(default = "session_idle")]
    pub(in crate::config) idle: DurationYaml,
    /// Every session ends after it.
    #[serde(default = "session_max_age")]
    pub(in crate::config) max_age: DurationYaml,
}

fn access_token() -> String {
    "access_token".into()
}

fn session_idle() -> DurationYaml {
    DurationYaml::secs(8 * 3600)
}

fn session_max_age() -> DurationYaml {
    DurationYaml::secs(24 * 3600)
}
