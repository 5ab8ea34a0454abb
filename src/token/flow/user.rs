//! Grants on behalf of a caller: on-behalf-of, token exchange, JWT bearer, and the refresh of what they gave.
//!
//! Part of `token::flow`. Each takes the caller's own token, which only `inbound` hands out, and only for a
//! caller it has verified.

use super::{Target, add_form_to_key};
use crate::authority::Form;
use crate::cache_key::CacheKeyBuilder;
use crate::inbound::Subject;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::token::AccessToken;

/// A grant on behalf of a caller.
#[derive(Debug)]
pub enum UserFlow {
    /// RFC 7523 section 2.1: the caller's token is the grant.
    JwtBearer(Target),
    /// The same with Entra's `requested_token_use`.
    OnBehalfOf(Target),
    /// RFC 8693.
    TokenExchange(TokenExchange),
}

/// What RFC 8693 adds.
#[derive(Debug)]
pub struct TokenExchange {
    /// What the token is asked for.
    pub target: Target,
    /// What the caller's token is.
    pub subject_token_type: String,
    /// What is asked for; the server's choice when nothing is said.
    pub requested_token_type: Option<String>,
    /// What our own token is, where we name ourselves as the actor.
    pub actor_token_type: String,
}

impl UserFlow {
    /// The grant's form fields; client authentication comes later.
    #[must_use]
    pub fn form(&self, subject: &Subject, actor: Option<&AccessToken>) -> Form {
        match self {
            Self::JwtBearer(_) | Self::OnBehalfOf(_) => {
                let mut form = self.fixed();
                form.push("assertion", subject.token());
                form
            }
            Self::TokenExchange(exchange) => {
                let mut form = self.fixed();
                form.push("subject_token", subject.token());
                if let Some(actor) = actor {
                    form.push("actor_token", actor.bare());
                    form.push("actor_token_type", &exchange.actor_token_type);
                }
                form
            }
        }
    }

    /// The form that renews what this grant gave (RFC 6749 section 6).
    #[must_use]
    pub fn refresh_form(&self, refresh_token: &SecretString) -> Form {
        let mut form = Form::from_iter([("grant_type", "refresh_token")]);
        form.push("refresh_token", refresh_token.expose_secret());
        let scopes = &self.target().scopes;
        if !scopes.is_empty() {
            form.push("scope", &scopes.join(" "));
        }
        // Without them the new token may be for more than the first was (RFC 8707 section 2.2).
        for resource in &self.target().resource {
            form.push("resource", resource);
        }
        form
    }

    /// Whether the type that the server says it issued is what was asked for (RFC 8693 section 2.2.1).
    #[must_use]
    pub fn accepts(&self, issued_token_type: Option<&str>) -> bool {
        match (self, issued_token_type) {
            (Self::TokenExchange(exchange), Some(issued)) => {
                match exchange.requested_token_type.as_deref() {
                    // An access token that comes with one, whichever of the two the server names.
                    Some(REFRESH_TOKEN) => [ACCESS_TOKEN, REFRESH_TOKEN].contains(&issued),
                    Some(requested) => requested == issued,
                    None => [ACCESS_TOKEN, JWT].contains(&issued),
                }
            }
            (Self::TokenExchange(_), None) => false,
            // The other grants know no such member; Entra's sends it for SAML only.
            (Self::JwtBearer(_) | Self::OnBehalfOf(_), issued) => {
                issued.is_none_or(|issued| [ACCESS_TOKEN, JWT].contains(&issued))
            }
        }
    }

    /// Whether a refresh token must come with the access token: where only the one was asked for and no other
    /// came, it would stand in the other's place.
    #[must_use]
    pub fn needs_refresh_token(&self) -> bool {
        match self {
            Self::TokenExchange(exchange) => {
                exchange.requested_token_type.as_deref() == Some(REFRESH_TOKEN)
            }
            Self::JwtBearer(_) | Self::OnBehalfOf(_) => false,
        }
    }

    /// Whether a token of another type than Bearer was asked for, which servers mark with `N_A`.
    #[must_use]
    pub fn asks_for_no_access_token(&self) -> bool {
        match self {
            Self::TokenExchange(TokenExchange {
                requested_token_type: Some(requested), ..
            }) => ![ACCESS_TOKEN, REFRESH_TOKEN].contains(&requested.as_str()),
            _ => false,
        }
    }

    /// Whether the server says `invalid_request` of a subject token that it does not want (RFC 8693 section
    /// 2.2.2), as it does of a request that is wrong for everybody.
    #[must_use]
    pub fn blames_tokens_as_requests(&self) -> bool {
        matches!(self, Self::TokenExchange(_))
    }

    /// Adds everything that can change the answer, but for the caller and its token.
    pub(in crate::token) fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        add_form_to_key(&self.fixed(), key);
        if let Self::TokenExchange(exchange) = self {
            key.field("actor_token_type", exchange.actor_token_type.as_bytes());
        }
    }

    fn target(&self) -> &Target {
        match self {
            Self::JwtBearer(target) | Self::OnBehalfOf(target) => target,
            Self::TokenExchange(exchange) => &exchange.target,
        }
    }

    /// The fields that are the same for every caller.
    fn fixed(&self) -> Form {
        let mut form = Form::default();
        match self {
            Self::JwtBearer(_) => form.push("grant_type", JWT_BEARER),
            Self::OnBehalfOf(_) => {
                form.push("grant_type", JWT_BEARER);
                form.push("requested_token_use", "on_behalf_of");
            }
            Self::TokenExchange(exchange) => {
                form.push("grant_type", TOKEN_EXCHANGE);
                form.push("subject_token_type", &exchange.subject_token_type);
                if let Some(requested) = &exchange.requested_token_type {
                    form.push("requested_token_type", requested);
                }
            }
        }
        self.target().add_to(&mut form);
        form
    }
}

/// RFC 8693 section 3: an access token of whatever form.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// An ID token.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// A refresh token, with which an access token comes.
pub const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
/// Any JWT.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
