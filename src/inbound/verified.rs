//! A caller whose token has been verified: who it is and what it was given.
//!
//! Part of `inbound`. Read out of the claims once, when the token is verified, so that the rules of every
//! route find it ready.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::claims::{self, BadClaim, Claims};
use super::key::VerificationKey;
use crate::cache_key::CacheKey;
use crate::clock::{Clock, Moment};

/// What a verified token says about its caller.
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
    pub claims: Arc<Claims>,
    /// The digest of who it is about, by [`Verified::subject_id`], where it says so.
    pub(super) subject: Option<CacheKey>,
    /// Until when it counts.
    pub(super) good_until: GoodUntil,
    /// For a token that its issuer was asked about although it is a JWS: what it names as issuer.
    pub(super) named_issuer: Option<String>,
    /// The key that signed it.
    pub(super) key: Option<Arc<VerificationKey>>,
    /// Whether Entra issued it, where a token without scopes and roles gives no right at all.
    pub(super) is_entra: bool,
}

/// Until when a token counts, skew included, by both clocks: a wall clock that is set back must not give it
/// a longer life, nor one that was wrong when the token was verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoodUntil {
    moment: Moment,
    wall: Duration,
}

impl GoodUntil {
    /// Until `wall` (since the epoch), but no longer than `at_most` from now.
    pub(super) fn new(clock: &Clock, wall: Duration, at_most: Duration) -> Self {
        let left = wall.saturating_sub(clock.wall()).min(at_most);
        Self { moment: clock.now().after(left), wall }
    }

    pub(super) fn moment(self) -> Moment {
        self.moment
    }

    pub(super) fn is_past(self, clock: &Clock) -> bool {
        clock.now() >= self.moment || clock.wall() >= self.wall
    }
}

/// On whose behalf a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// Nobody's: the application calls in its own name.
    Application,
    /// A person's.
    User,
    /// Something else, or nothing that the token tells: no rule for either kind lets it pass.
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
    /// What a caller is whose token does not tell.
    pub(super) assumed: CallerKind,
}

impl Verified {
    pub(super) fn new(
        issuer: &Arc<str>,
        claims: Arc<Claims>,
        names: ClaimNames<'_>,
        good_until: GoodUntil,
        key: Option<Arc<VerificationKey>>,
    ) -> Result<Self, BadClaim> {
        // Nobody here reads these two, but a wrong type is an error and not absence.
        claims.text("sub")?;
        claims.text("jti")?;
        let scopes = scopes(&claims, names.is_entra)?;
        let client_id = client_id(&claims)?;
        // Entra's `sub` is another one for each application; people look for `oid`.
        let id = claims.text("oid")?.filter(|_| names.is_entra).or(claims.text("sub")?);
        let subject = id.map(|id| Self::subject_id(issuer, id));
        Ok(Self {
            issuer: Arc::clone(issuer),
            kind: kind(&claims, &scopes, names)?,
            roles: roles(&claims, names.roles)?,
            confirmation: confirmation(&claims)?,
            scopes,
            client_id,
            claims,
            subject,
            good_until,
            named_issuer: None,
            key,
            is_entra: names.is_entra,
        })
    }

    /// The digest that stands for a subject of an issuer: `sub`, with Entra `oid`. It groups what is kept for
    /// one party; what is served to whom is decided by the exact token.
    #[must_use]
    pub fn subject_id(issuer: &str, id: &str) -> CacheKey {
        let mut subject = CacheKey::builder();
        subject.field("issuer", issuer.as_bytes());
        subject.field("subject", id.as_bytes());
        subject.finish()
    }

    /// Whether the application that got the token says that it can do this (`xms_cc`).
    #[must_use]
    pub fn is_capable_of(&self, capability: &str) -> bool {
        let declared = self.claims.at("xms_cc").and_then(claims::list).unwrap_or_default();
        declared.iter().any(|name| name.eq_ignore_ascii_case(capability))
    }

    /// The digest of the application that got the token, else of the person it is about.
    pub(super) fn holder(&self) -> CacheKey {
        let subject = || self.claims.at("sub").and_then(Value::as_str);
        let mut holder = CacheKey::builder();
        holder.field("issuer", self.issuer.as_bytes());
        let id = self.client_id.as_deref().or_else(subject).unwrap_or_default();
        holder.field("holder", id.as_bytes());
        holder.finish()
    }

    /// What it keeps in memory, about.
    pub(super) fn weight(&self) -> u64 {
        let texts: usize = self.scopes.iter().chain(&self.roles).map(|text| text.len() + 24).sum();
        (self.claims.weight() + texts + 512) as u64
    }
}

impl fmt::Debug for Verified {
    /// Without what it says about a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("issuer", &self.issuer)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
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
    let mut first = None;
    for name in CLIENT_ID_CLAIMS {
        first = first.or(claims.text(name)?);
    }
    Ok(first.map(str::to_owned))
}

/// `idtyp` where it is given; otherwise by the marks that each kind leaves. Where there are none nobody
/// guesses: it is what the configuration says such tokens are, by default neither.
fn kind(claims: &Claims, scopes: &[String], names: ClaimNames<'_>) -> Result<CallerKind, BadClaim> {
    match claims.text("idtyp")? {
        Some("app") => return Ok(CallerKind::Application),
        Some("user") => return Ok(CallerKind::User),
        Some(_) => return Ok(CallerKind::Other),
        None => {}
    }
    let subject = claims.text("sub")?;
    // Entra: an application is its own subject, and has no scopes.
    let own_subject = subject.is_some() && subject == claims.text("oid")? && scopes.is_empty();
    if names.is_entra {
        return Ok(match (scopes.is_empty(), own_subject) {
            (false, _) => CallerKind::User,
            (true, true) => CallerKind::Application,
            (true, false) => CallerKind::Other,
        });
    }
    let ids = CLIENT_ID_CLAIMS.iter().filter_map(|claim| claims.at(claim)?.as_str());
    let ids: Vec<&str> = ids.collect();
    let has = |name: &&str| claims.members().contains_key(*name);
    // A token of Entra, whoever checks it: it says how the application proved itself, or was given roles.
    let is_entra_app = own_subject
        && (["azpacr", "appidacr"].iter().any(has) || (has(&"roles") && !ids.is_empty()));
    Ok(if is_entra_app || has_marks_of_an_application(claims, subject, &ids) {
        CallerKind::Application
    } else if own_subject || looks_like_a_service_account(claims) {
        // Not enough to tell, and too much to be taken for a person.
        CallerKind::Other
    } else if subject.is_some() && (!ids.is_empty() || !scopes.is_empty()) {
        CallerKind::User
    } else {
        names.assumed
    })
}

fn has_marks_of_an_application(claims: &Claims, subject: Option<&str>, ids: &[&str]) -> bool {
    let text = |name| claims.at(name).and_then(Value::as_str);
    let has = |name: &&str| claims.members().contains_key(*name);
    // RFC 9068 section 2.2: without a person the client is the subject. Auth0 adds a suffix.
    let is_client = |id: &&str| {
        subject.is_some_and(|subject| subject.strip_suffix("@clients").unwrap_or(subject) == *id)
    };
    // Keycloak: an application has no session, and its account a name that only it may have.
    let account = text("preferred_username").and_then(|name| name.strip_prefix(SERVICE_ACCOUNT));
    let is_service_account =
        |id: &&str| account.is_some_and(|account| account == id.to_lowercase());
    let sessions = ["sid", "session_state", "auth_time"];
    // Servers that name no client issue its own tokens for itself (Spring's, unless told otherwise).
    let is_audience = || {
        let audiences = claims.texts("aud").ok().flatten().unwrap_or_default();
        subject.is_some_and(|subject| audiences.contains(&subject))
    };
    ids.iter().any(is_client)
        || is_audience()
        || text("gty") == Some("client-credentials")
        || ["clientHost", "clientAddress"].iter().any(has)
        || (ids.iter().any(is_service_account) && has(&"client_id") && !sessions.iter().any(has))
}

/// A name that people should not have, though some may.
fn looks_like_a_service_account(claims: &Claims) -> bool {
    let name = claims.at("preferred_username").and_then(Value::as_str);
    name.is_some_and(|name| name.starts_with(SERVICE_ACCOUNT))
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
const SERVICE_ACCOUNT: &str = "service-account-";
