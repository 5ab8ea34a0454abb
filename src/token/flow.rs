//! Which grant is used: writes the form, does no I/O.
//!
//! Part of `token`, between cache and credential.

use crate::cache_key::CacheKeyBuilder;

/// A grant and its parameters.
#[derive(Debug)]
pub enum Flow {
    /// RFC 6749 section 4.4.
    ClientCredentials(ClientCredentials),
}

/// What an application asks for in its own name.
#[derive(Debug, Default)]
pub struct ClientCredentials {
    /// Scopes, sorted and without repetition.
    pub scopes: Vec<String>,
    /// The `audience` parameter some servers want.
    pub audience: Option<String>,
    /// Resource indicators (RFC 8707), each sent as a `resource` field.
    pub resource: Vec<String>,
    /// Further fields, none of them from [`RESERVED`].
    pub parameters: Vec<(String, String)>,
}

impl Flow {
    /// The grant's form fields; client authentication comes later.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        match self {
            Self::ClientCredentials(grant) => grant.form(),
        }
    }

    /// Adds everything that can change the answer.
    pub(super) fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        for (name, value) in self.form() {
            key.field(&name, value.as_bytes());
        }
    }
}

impl ClientCredentials {
    fn form(&self) -> Vec<(String, String)> {
        let mut form = vec![field("grant_type", "client_credentials")];
        if !self.scopes.is_empty() {
            form.push(("scope".to_owned(), self.scopes.join(" ")));
        }
        form.extend(self.audience.as_deref().map(|audience| field("audience", audience)));
        form.extend(self.resource.iter().map(|resource| field("resource", resource)));
        form.extend(self.parameters.iter().cloned());
        form
    }
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Fields that Vicar writes itself, so that `parameters` must not.
pub const RESERVED: &[&str] = &[
    "assertion",
    "audience",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "grant_type",
    "requested_token_use",
    "resource",
    "scope",
];
