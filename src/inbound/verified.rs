//! A caller whose token has been verified: who it is and what it was given.
//!
//! Part of `inbound`. Read out of the claims once, when the token is verified, so that the rules of every
//! route find it ready.

use std::sync::Arc;

use serde_json::Value;

use super::claims::{self, BadClaim, Claims};
use super::key::VerificationKey;
use crate::clock::Moment;

/// What a verified token says about its caller.
#[derive(Debug)]
pub struct Verified {
    /// The issuer's name in the configuration.
    pub issuer: Arc<str>,
    /// A person, an application, or something else.
    pub kind: CallerKind,
    /// What a person allowed the application to do.
    pub scopes: Vec<String>,
    /// What the person, or the application itself, was given.
    pub roles: Vec<String>,
    /// The application that got the token (`azp`, `appid`, `client_id`, `cid`).
    pub client_id: Option<String>,
    /// The key that the token is bound to.
    pub confirmation: Confirmation,
    /// All claims.
    pub claims: Claims,
    /// Until when it counts, skew included.
    pub(super) good_until: Moment,
    /// The key that signed it.
    pub(super) key: Option<Arc<VerificationKey>>,
    /// Whether Entra issued it, where a token without scopes and roles gives no right at all.
    pub(super) is_entra: bool,
}

/// On whose behalf a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// Nobody's: the application calls in its own name.
    Application,
    /// A person's.
    User,
    /// Something else that the issuer names, such as a device.
    Other,
}

/// What a caller must prove besides having the token (RFC 7800).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Nothing: whoever bears it may use it.
    None,
    /// The private key of a client certificate with this SHA-256 digest, base64url (RFC 8705).
    Certificate(String),
    /// The private key with this thumbprint (RFC 9449).
    Dpop(String),
    /// Something we cannot check.
    Unknown,
}

/// Where an issuer puts what we need.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClaimNames<'a> {
    pub(super) roles: &'a str,
    pub(super) is_entra: bool,
}

impl Verified {
    pub(super) fn new(
        issuer: &Arc<str>,
        claims: Claims,
        names: ClaimNames<'_>,
        good_until: Moment,
        key: Option<Arc<VerificationKey>>,
    ) -> Result<Self, BadClaim> {
        let scopes = scopes(&claims, names.is_entra)?;
        let client_id = client_id(&claims)?;
        Ok(Self {
            issuer: Arc::clone(issuer),
            kind: kind(&claims, &scopes, client_id.as_deref(), names.is_entra)?,
            roles: roles(&claims, names.roles)?,
            confirmation: confirmation(&claims)?,
            scopes,
            client_id,
            claims,
            good_until,
            key,
            is_entra: names.is_entra,
        })
    }

    /// What it keeps in memory, about: the parsed claims take several times their text.
    pub(super) fn weight(&self) -> u64 {
        (self.claims.size() * 4 + 512) as u64
    }
}

/// `scp` (Entra, Okta) or `scope` (RFC 8693): names separated by spaces, or a list.
fn scopes(claims: &Claims, is_entra: bool) -> Result<Vec<String>, BadClaim> {
    let scp = claims.texts("scp")?;
    let scope = if is_entra { None } else { claims.texts("scope")? };
    let names = scp.or(scope).unwrap_or_default();
    let names = names.into_iter().flat_map(|text| text.split(' '));
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn roles(claims: &Claims, path: &str) -> Result<Vec<String>, BadClaim> {
    let Some(value) = claims.at(path) else { return Ok(Vec::new()) };
    let names = claims::list(value).ok_or(BadClaim::Type("roles"))?;
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// RFC 9068 says `client_id`, OpenID Connect and Entra v2 `azp`, Entra v1 `appid`, Okta `cid`.
fn client_id(claims: &Claims) -> Result<Option<String>, BadClaim> {
    for name in CLIENT_ID_CLAIMS {
        if let Some(id) = claims.text(name)? {
            return Ok(Some(id.to_owned()));
        }
    }
    Ok(None)
}

/// `idtyp` where it is given; otherwise by the traces that each kind leaves. A token that could be an
/// application's counts as one, so that it passes no rule for people.
fn kind(
    claims: &Claims,
    scopes: &[String],
    client_id: Option<&str>,
    is_entra: bool,
) -> Result<CallerKind, BadClaim> {
    match claims.text("idtyp")? {
        Some("app") => return Ok(CallerKind::Application),
        Some("user") => return Ok(CallerKind::User),
        Some(_) => return Ok(CallerKind::Other),
        None => {}
    }
    let subject = claims.text("sub")?;
    // Keycloak: no person can take the name while the account exists.
    let service_account = client_id.map(|id| format!("service-account-{}", id.to_lowercase()));
    let name = claims.at("preferred_username").and_then(Value::as_str);
    let is_application = if is_entra {
        // Entra gives a token scopes when, and only when, a person stands behind it.
        scopes.is_empty()
    } else {
        let ids = CLIENT_ID_CLAIMS.iter().filter_map(|claim| claims.at(claim)?.as_str());
        subject.is_none_or(|subject| ids.into_iter().any(|id| id == subject))
            // Auth0
            || claims.at("gty").and_then(Value::as_str) == Some("client-credentials")
            || name.is_some_and(|name| service_account.as_deref() == Some(name))
    };
    Ok(if is_application { CallerKind::Application } else { CallerKind::User })
}

fn confirmation(claims: &Claims) -> Result<Confirmation, BadClaim> {
    let Some(cnf) = claims.members().get("cnf") else { return Ok(Confirmation::None) };
    let members = cnf.as_object().ok_or(BadClaim::Type("cnf"))?;
    let mut members = members.iter();
    Ok(match (members.next(), members.next()) {
        (Some((name, Value::String(text))), None) if name == "x5t#S256" => {
            Confirmation::Certificate(text.clone())
        }
        (Some((name, Value::String(text))), None) if name == "jkt" => {
            Confirmation::Dpop(text.clone())
        }
        // Two at once, or a method we do not know: what we cannot check in full does not count.
        _ => Confirmation::Unknown,
    })
}

const CLIENT_ID_CLAIMS: [&str; 4] = ["azp", "appid", "client_id", "cid"];
