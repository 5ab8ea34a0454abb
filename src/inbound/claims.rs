//! What a token says, with types: a wrong type is an error and never the same as absence.
//!
//! Part of `inbound`. The registered claims of RFC 7519 section 4.1 are checked here; what the claims
//! allow is decided in `rules`.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::jws::Header;
use super::strict_json;

/// The claims of a token, or the answer of an introspection.
pub struct Claims {
    members: Map<String, Value>,
}

/// What is wrong with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadClaim {
    /// It is for somebody else.
    #[error("`aud` does not name us")]
    Audience,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It was issued by somebody else.
    #[error("`iss` is not the issuer")]
    Issuer,
    /// It must be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// It is not valid yet.
    #[error("it is not valid yet")]
    NotYet,
    /// It is another kind of object by the same signer.
    #[error("it is not an access token")]
    OtherKind,
    /// Not the type that the claim has.
    #[error("`{0}` has the wrong type")]
    Type(&'static str),
    /// Not a JSON object that everybody reads alike.
    #[error("its payload is not a JSON object without repetition")]
    Unreadable,
}

/// How strictly a token must present itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `typ` absent, `JWT` or `at+jwt`.
    Jwt,
    /// RFC 9068: `typ` is `at+jwt` and every claim of section 2.2 is there.
    Rfc9068,
}

impl Claims {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// When it is not one, or two readers could read it differently.
    pub fn parse(json: &[u8]) -> Result<Self, BadClaim> {
        let members = strict_json::object(json).map_err(|_| BadClaim::Unreadable)?;
        Ok(Self { members })
    }

    /// How many bytes they take in memory, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.members.iter().map(member_weight).sum::<usize>() + NODE
    }

    /// All of them.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// The claim of this name, else the one at this dotted path.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Value> {
        self.members.get(path).or_else(|| {
            let mut steps = path.split('.');
            let first = self.members.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.get(step))
        })
    }

    /// A claim that is text when it is there.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, BadClaim> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(BadClaim::Type(name)),
        }
    }

    /// A claim that is one text or a list of texts (RFC 7519 section 4.1.3).
    ///
    /// # Errors
    /// When it is something else.
    pub fn texts(&self, name: &'static str) -> Result<Option<Vec<&str>>, BadClaim> {
        match self.members.get(name) {
            None => Ok(None),
            Some(value) => list(value).map(Some).ok_or(BadClaim::Type(name)),
        }
    }

    /// A time in seconds since the epoch; fractions are allowed (RFC 7519 section 2).
    ///
    /// # Errors
    /// When it is no number, or one that is no time.
    pub fn time(&self, name: &'static str) -> Result<Option<Duration>, BadClaim> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let seconds = number.as_f64().filter(|s| (0.0..=LAST_SECOND).contains(s));
                let seconds = seconds.ok_or(BadClaim::Type(name))?;
                Ok(Some(Duration::from_secs_f64(seconds)))
            }
            Some(_) => Err(BadClaim::Type(name)),
        }
    }

    /// Whether one of `audiences` is named.
    ///
    /// # Errors
    /// When none is.
    pub fn check_audience(&self, audiences: &[String]) -> Result<(), BadClaim> {
        let named = self.texts("aud")?.ok_or(BadClaim::Missing("aud"))?;
        let ours = named.iter().any(|name| audiences.iter().any(|audience| audience == name));
        if ours { Ok(()) } else { Err(BadClaim::Audience) }
    }

    /// Whether it may be used at `now`; gives the end of that, skew included.
    ///
    /// # Errors
    /// When it has expired, is not valid yet, or says nonsense about it.
    pub fn check_times(&self, now: Duration, skew: Duration) -> Result<Duration, BadClaim> {
        self.check_times_if_any(now, skew)?.ok_or(BadClaim::Missing("exp"))
    }

    /// The same where it need not say when it ends.
    ///
    /// # Errors
    /// When it has expired, is not valid yet, or says nonsense about it.
    pub fn check_times_if_any(
        &self,
        now: Duration,
        skew: Duration,
    ) -> Result<Option<Duration>, BadClaim> {
        let expires = self.time("exp")?;
        let not_before = self.time("nbf")?;
        let issued = self.time("iat")?;
        if [not_before, issued].into_iter().flatten().any(|begin| begin > now + skew) {
            return Err(BadClaim::NotYet);
        }
        let Some(expires) = expires else { return Ok(None) };
        if not_before.is_some_and(|begin| begin > expires) || now >= expires + skew {
            return Err(BadClaim::Expired);
        }
        Ok(Some(expires + skew))
    }

    /// Whether it has the marks of another kind: of logout and security-event tokens, of ID tokens, or the
    /// names Keycloak gives its other kinds.
    ///
    /// # Errors
    /// When it has one.
    pub fn check_other_kinds(&self) -> Result<(), BadClaim> {
        let foreign = ["events", "at_hash", "c_hash", "s_hash"];
        let named = self.members.get("typ").and_then(Value::as_str);
        let has = |name: &&str| self.members.contains_key(*name);
        // What was asked for in a sign-in and gives no right: an ID token (OpenID Connect Core section 2).
        let signed_in = has(&"nonce") && !["scp", "scope"].iter().any(has);
        // Cognito and Hydra name their kinds so.
        let usage = self.text("token_use")?;
        if usage.is_some_and(|usage| !["access", "access_token"].contains(&usage)) {
            return Err(BadClaim::OtherKind);
        }
        if foreign.iter().any(has)
            || signed_in
            || named.is_some_and(|typ| OTHER_KINDS.contains(&typ))
        {
            return Err(BadClaim::OtherKind);
        }
        Ok(())
    }

    /// Whether it is an access token and nothing else its issuer signs (RFC 8725 section 3.12).
    ///
    /// # Errors
    /// When it is another kind, or does not prove in the strict profile that it is none.
    pub fn check_kind(&self, header: &Header, profile: Profile) -> Result<(), BadClaim> {
        let typ = header.typ.as_deref().map(|typ| {
            // RFC 7515 section 4.1.9: `application/` may be left out, case does not count.
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
        });
        match (typ.as_deref(), profile) {
            (Some("at+jwt"), _) | (None | Some("jwt"), Profile::Jwt) => {}
            _ => return Err(BadClaim::OtherKind),
        }
        self.check_other_kinds()?;
        if profile == Profile::Rfc9068 {
            for name in ["client_id", "jti", "sub"] {
                self.text(name)?.ok_or(BadClaim::Missing(name))?;
            }
            self.time("iat")?.ok_or(BadClaim::Missing("iat"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("members", &self.members.len()).finish_non_exhaustive()
    }
}

/// Names and values stand in nodes that are half full on average.
fn member_weight((name, value): (&String, &Value)) -> usize {
    NODE / 6 + name.len() + 16 + value_weight(value)
}

fn value_weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() + 16,
        Value::Array(items) => items.iter().map(|item| 32 + value_weight(item)).sum::<usize>() + 16,
        Value::Object(members) => members.iter().map(member_weight).sum::<usize>() + NODE,
    }
}

/// One text, or a list of texts.
pub(super) fn list(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The node of a map: room for eleven names and values.
const NODE: usize = 640;
const OTHER_KINDS: &[&str] = &["ID", "Logout", "Offline", "Refresh"];
/// The year 9999; beyond it is nonsense, and must not overflow.
const LAST_SECOND: f64 = 253_402_300_799.0;
