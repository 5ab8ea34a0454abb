//! `routes[].authenticate:` — who may call.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::units::{DateYaml, DurationYaml};

/// Who may call. Each caller is judged by the rules for its kind; where there are only rules for the
/// other kind, it is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AuthenticateYaml {
    /// Names from `issuers`, at least one; at most one of them by introspection.
    pub(in crate::config) issuers: Vec<String>,
    /// Whether a request without any credential is refused.
    #[serde(default)]
    pub(in crate::config) mode: AuthenticateModeYaml,
    /// People, applications, or both.
    #[serde(default)]
    pub(in crate::config) callers: CallersYaml,
    /// For people: each of these scopes. An application's own token never passes.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<String>,
    /// For people: at least one of these scopes.
    #[serde(default)]
    pub(in crate::config) any_scope: Vec<String>,
    /// For people: each of these roles.
    #[serde(default)]
    pub(in crate::config) roles: Vec<String>,
    /// For people: at least one of these roles.
    #[serde(default)]
    pub(in crate::config) any_role: Vec<String>,
    /// For applications: each of these roles. A person's token never passes.
    #[serde(default)]
    pub(in crate::config) app_roles: Vec<String>,
    /// For applications: at least one of these roles.
    #[serde(default)]
    pub(in crate::config) any_app_role: Vec<String>,
    /// For applications: each of these scopes, for servers that give applications scopes.
    #[serde(default)]
    pub(in crate::config) app_scopes: Vec<String>,
    /// Applications the token may have been issued to (azp, appid, `client_id`, cid); all when empty.
    #[serde(default)]
    pub(in crate::config) client_ids: Vec<String>,
    /// Claims and the value, or one of the values, that each must have; of a list one item must.
    #[serde(default)]
    pub(in crate::config) claims: BTreeMap<String, OneOrManyYaml>,
    /// What anybody may call, without any token leaving with the request.
    #[serde(default)]
    pub(in crate::config) bypass: BypassYaml,
    /// Forward what would be refused, but log and count it, until a date.
    pub(in crate::config) report_only: Option<ReportOnlyYaml>,
    /// Tokens that only the holder of a key may use.
    #[serde(default)]
    pub(in crate::config) proof: ProofYaml,
    /// Header fields for the upstream and the claim (a name, or a dotted path) each is filled from.
    #[serde(default)]
    pub(in crate::config) claims_to_headers: BTreeMap<String, String>,
    /// A header field for the upstream with all claims, as base64url JSON.
    pub(in crate::config) claims_header: Option<String>,
}

/// Whether a request without any credential is refused.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AuthenticateModeYaml {
    /// It is.
    #[default]
    Required,
    /// It passes as anonymous; a bad credential is still refused.
    Optional,
}

/// People, applications, or both.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum CallersYaml {
    /// Both.
    #[default]
    Any,
    /// Applications calling in their own name.
    Applications,
    /// Applications calling on behalf of a person.
    Users,
}

/// One value or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum OneOrManyYaml {
    /// This.
    One(String),
    /// One of these.
    Many(Vec<String>),
}

/// What anybody may call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct BypassYaml {
    /// Paths; one that ends in a slash stands for everything below it.
    pub(in crate::config) paths: Vec<String>,
    /// CORS preflight requests, which cannot carry a credential.
    pub(in crate::config) preflight: bool,
}

/// Forward what would be refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ReportOnlyYaml {
    /// The last day (UTC, YYYY-MM-DD), at most 180 days ahead; afterwards refusals are made.
    pub(in crate::config) until: DateYaml,
}

/// Tokens that only the holder of a key may use: bound to a client certificate, or by DPoP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ProofYaml {
    /// Refuse tokens that are bound to no key. Bound ones must always prove it.
    pub(in crate::config) required: bool,
    /// How old a DPoP proof may be; at most 5m.
    pub(in crate::config) max_age: DurationYaml,
    /// Demand a nonce of ours in each DPoP proof.
    pub(in crate::config) nonce: bool,
}

impl Default for ProofYaml {
    fn default() -> Self {
        Self { required: false, max_age: DurationYaml::secs(60), nonce: false }
    }
}
