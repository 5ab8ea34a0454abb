//! Which grant is used: writes the form, does no I/O.
//!
//! Part of `token`, between cache and credential. Flows in the application's own name are here; those on
//! behalf of a caller are in [`user`], and cannot write a form without a verified caller's token.

pub mod user;

use crate::authority::Form;
use crate::cache_key::CacheKeyBuilder;

/// A grant in the application's own name.
#[derive(Debug)]
pub enum Flow {
    /// RFC 6749 section 4.4.
    ClientCredentials(Target),
}

/// What a token is asked for.
#[derive(Debug, Default)]
pub struct Target {
    /// Scopes, sorted and without repetition.
    pub scopes: Vec<String>,
    /// `audience` fields, which some servers and RFC 8693 know.
    pub audience: Vec<String>,
    /// Resource indicators (RFC 8707), each sent as a `resource` field.
    pub resource: Vec<String>,
    /// Further fields, none of them from [`RESERVED`].
    pub parameters: Vec<(String, String)>,
}

impl Flow {
    /// The grant's form fields; client authentication comes later.
    #[must_use]
    pub fn form(&self) -> Form {
        match self {
            Self::ClientCredentials(target) => {
                let mut form = Form::from_iter([("grant_type", "client_credentials")]);
                target.add_to(&mut form);
                form
            }
        }
    }

    /// Adds everything that can change the answer.
    pub(super) fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        add_form_to_key(&self.form(), key);
    }
}

impl Target {
    fn add_to(&self, form: &mut Form) {
        if !self.scopes.is_empty() {
            form.push("scope", &self.scopes.join(" "));
        }
        self.audience.iter().for_each(|audience| form.push("audience", audience));
        self.resource.iter().for_each(|resource| form.push("resource", resource));
        self.parameters.iter().for_each(|(name, value)| form.push(name, value));
    }
}

fn add_form_to_key(form: &Form, key: &mut CacheKeyBuilder) {
    for (name, value) in form.fields() {
        key.field(name, value.as_bytes());
    }
}

/// Fields that Vicar writes itself, so that `parameters` must not.
pub const RESERVED: &[&str] = &[
    "actor_token",
    "actor_token_type",
    "assertion",
    "audience",
    "claims",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "grant_type",
    "refresh_token",
    "requested_token_type",
    "requested_token_use",
    "resource",
    "scope",
    "subject_token",
    "subject_token_type",
];
