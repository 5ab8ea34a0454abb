//! A refusal of the authority, without its texts (RFC 6749 section 5.2, and what Entra adds).
//!
//! Part of `token`. Everything that decides is a code of a closed list; descriptions are never read, since a
//! server may echo our request in them. The classes are MSAL's.

use std::fmt;
use std::time::Duration;

/// What the authority refused with.
#[derive(Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error`.
    pub code: OAuthErrorCode,
    /// `suberror`, which Entra sends.
    pub suberror: Option<Suberror>,
    /// What the person's next token must have, as challenges write it.
    pub claims: Option<String>,
    /// When to ask again, where it says so.
    pub retry_after: Option<Duration>,
    /// Error numbers, correlation and trace ids, for the authority's support.
    pub details: Option<String>,
}

impl Refusal {
    /// Whether only the person can help: by signing in again, consenting, proving more.
    #[must_use]
    pub(super) fn is_about_the_person(&self) -> bool {
        let not_the_person = [Suberror::ClientMismatch, Suberror::ProtectionPolicyRequired];
        match self.code {
            OAuthErrorCode::ConsentRequired
            | OAuthErrorCode::InteractionRequired
            | OAuthErrorCode::InvalidToken
            | OAuthErrorCode::LoginRequired => true,
            OAuthErrorCode::InvalidGrant => {
                self.suberror.is_none_or(|suberror| !not_the_person.contains(&suberror))
            }
            _ => false,
        }
    }

    /// Whether a refresh token is worth nothing any more, rather than not enough for now.
    #[must_use]
    pub(super) fn ends_refresh_tokens(&self) -> bool {
        self.code == OAuthErrorCode::InvalidGrant
            && self.claims.is_none()
            && self.suberror.is_none()
    }

    /// What the person must do, as a stable name.
    #[must_use]
    pub fn step(&self) -> &'static str {
        match (self.suberror, self.code) {
            (Some(Suberror::ConsentRequired), _) | (_, OAuthErrorCode::ConsentRequired) => {
                "user_consent_required"
            }
            (Some(Suberror::UserPasswordExpired), _) => "user_password_expired",
            (_, OAuthErrorCode::InteractionRequired) => "user_interaction_required",
            _ if self.claims.is_some() => "user_interaction_required",
            _ => "user_sign_in_required",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}, error {}", self.status, self.code)?;
        if let Some(suberror) = self.suberror {
            write!(f, ", suberror {}", suberror.name())?;
        }
        let challenge = if self.claims.is_some() { ", with a claims challenge" } else { "" };
        write!(f, "{challenge}{}", self.details.as_deref().unwrap_or_default())
    }
}

/// Entra's `suberror`s that MSAL knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suberror {
    /// Something beyond what this sign-in can do.
    AdditionalAction,
    /// Something a new sign-in settles.
    BasicAction,
    /// The refresh token is another client's.
    ClientMismatch,
    /// The person must agree to what is asked for.
    ConsentRequired,
    /// There is only a message.
    MessageOnly,
    /// The device must be managed.
    ProtectionPolicyRequired,
    /// The password has expired.
    UserPasswordExpired,
}

impl Suberror {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, suberror)| *suberror)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, suberror)| *suberror == self).map_or("", |(name, _)| name)
    }

    const NAMES: [(&'static str, Self); 7] = [
        ("additional_action", Self::AdditionalAction),
        ("basic_action", Self::BasicAction),
        ("client_mismatch", Self::ClientMismatch),
        ("consent_required", Self::ConsentRequired),
        ("message_only", Self::MessageOnly),
        ("protection_policy_required", Self::ProtectionPolicyRequired),
        ("user_password_expired", Self::UserPasswordExpired),
    ];
}

/// `error` codes we know; anything else has no name here, since its text is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OAuthErrorCode {
    /// RFC 6749 section 4.1.2.1, and what some servers say of an exchange they do not allow.
    AccessDenied,
    /// OpenID Connect: the person must agree to what is asked for.
    ConsentRequired,
    /// RFC 6749: our registration or our proof is wrong.
    InvalidClient,
    /// RFC 6749: the grant itself is refused.
    InvalidGrant,
    /// RFC 6749: a parameter is missing or malformed.
    InvalidRequest,
    /// RFC 6749: a scope is unknown or not for us.
    InvalidScope,
    /// RFC 8707: a resource is unknown or not for us.
    InvalidTarget,
    /// RFC 6750, and what some servers say of a subject token.
    InvalidToken,
    /// Entra and OpenID Connect: a person must do something first.
    InteractionRequired,
    /// OpenID Connect: the person must sign in.
    LoginRequired,
    /// RFC 6749: the server failed.
    ServerError,
    /// RFC 6749: the server is overloaded.
    TemporarilyUnavailable,
    /// RFC 6749: we may not use this grant.
    UnauthorizedClient,
    /// Any other text, or none.
    Unrecognised,
    /// RFC 6749: the server does not know this grant.
    UnsupportedGrantType,
}

impl OAuthErrorCode {
    /// Whether it says that our registration or our proof is wrong.
    #[must_use]
    pub fn blames_client(self) -> bool {
        matches!(self, Self::InvalidClient | Self::UnauthorizedClient)
    }

    pub(super) fn is_passing(self) -> bool {
        matches!(self, Self::ServerError | Self::TemporarilyUnavailable)
    }

    const NAMES: [(&'static str, Self); 14] = [
        ("access_denied", Self::AccessDenied),
        ("consent_required", Self::ConsentRequired),
        ("invalid_client", Self::InvalidClient),
        ("invalid_grant", Self::InvalidGrant),
        ("invalid_request", Self::InvalidRequest),
        ("invalid_scope", Self::InvalidScope),
        ("invalid_target", Self::InvalidTarget),
        ("invalid_token", Self::InvalidToken),
        ("interaction_required", Self::InteractionRequired),
        ("login_required", Self::LoginRequired),
        ("server_error", Self::ServerError),
        ("temporarily_unavailable", Self::TemporarilyUnavailable),
        ("unauthorized_client", Self::UnauthorizedClient),
        ("unsupported_grant_type", Self::UnsupportedGrantType),
    ];
}

impl From<&str> for OAuthErrorCode {
    fn from(text: &str) -> Self {
        Self::NAMES.iter().find(|(name, _)| *name == text).map_or(Self::Unrecognised, |(_, c)| *c)
    }
}

impl fmt::Display for OAuthErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, code)| code == self);
        f.write_str(name.map_or("unrecognised", |(name, _)| name))
    }
}
