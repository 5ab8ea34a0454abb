//! Claims challenges, both halves: what the authority wants of a person is told to the caller, and what an
//! upstream wants of a token is told to the authority.
//!
//! Part of `proxy`. The form is Entra's: a `Bearer` challenge with `error="insufficient_claims"` and the claims
//! request in base64. Callers that do not declare that they can meet one (`xms_cc`: `cp1`) get a plain 401.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use http_auth::parser::ChallengeParser;

use super::ProxyError;
use super::error::Interaction;
use super::source::Source;
use crate::inbound::Caller;
use crate::token::{AcquireFailure, ClaimsRequest, Fault};

/// Whether the caller says that it can meet a claims challenge.
pub(super) fn is_capable(caller: &Caller) -> bool {
    caller.verified().is_some_and(|caller| caller.is_capable_of(CLAIMS_CHALLENGES))
}

/// What a failed acquisition is to this caller: with a challenge where the person can do something about it.
/// Every 401 has one (RFC 9110 section 15.5.2).
pub(super) fn of(failure: AcquireFailure, caller: &Caller, source: Option<&Source>) -> ProxyError {
    if failure.error.fault() != Fault::Caller {
        return ProxyError::Acquire(failure);
    }
    let is_own = source.is_none_or(Source::is_on_behalf);
    let challenge = match failure.error.needs_user().filter(|_| is_own) {
        Some(refusal) => match refusal.claims.as_ref().filter(|_| is_capable(caller)) {
            Some(claims) => with_claims(claims, source),
            None => PLAIN.to_owned(),
        },
        // The caller's own token is good; it is another's that is not enough.
        None => "Bearer".to_owned(),
    };
    let challenge = HeaderValue::try_from(challenge);
    let challenge = challenge.unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    ProxyError::Interaction(Interaction { failure, challenge })
}

fn with_claims(claims: &str, source: Option<&Source>) -> String {
    let where_to = source.and_then(Source::authorization_uri);
    let where_to = where_to.map(|uri| format!("authorization_uri=\"{uri}\", "));
    let where_to = where_to.unwrap_or_default();
    format!("Bearer {where_to}error=\"{INSUFFICIENT_CLAIMS}\", claims=\"{claims}\"")
}

/// What an upstream's challenge wants of the next token. Only heeded for a client that declares that it meets
/// challenges, and only as far as access tokens go: upstreams have no other say in what we ask for.
pub(super) fn claims_wanted(headers: &HeaderMap, source: &Source) -> Option<ClaimsRequest> {
    if !source.is_capable_of(CLAIMS_CHALLENGES) {
        return None;
    }
    claims_among(headers)?.of_access_tokens()
}

fn claims_among(headers: &HeaderMap) -> Option<ClaimsRequest> {
    headers.get_all(WWW_AUTHENTICATE).iter().find_map(claims_of)
}

/// Leaves a plain challenge where there is one that the caller cannot meet.
pub(super) fn remove_claims(headers: &mut HeaderMap) {
    if !headers.get_all(WWW_AUTHENTICATE).iter().any(wants_claims) {
        return;
    }
    let kept: Vec<HeaderValue> =
        headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .map(|field| {
                if wants_claims(field) { HeaderValue::from_static("Bearer") } else { field.clone() }
            })
            .collect();
    headers.remove(WWW_AUTHENTICATE);
    for field in kept {
        headers.append(WWW_AUTHENTICATE, field);
    }
}

/// Whether a field is, or may be, a claims challenge, readable or not.
fn wants_claims(field: &HeaderValue) -> bool {
    let text = String::from_utf8_lossy(field.as_bytes()).to_ascii_lowercase();
    text.contains("bearer") && (text.contains(INSUFFICIENT_CLAIMS) || text.contains("claims="))
}

fn claims_of(field: &HeaderValue) -> Option<ClaimsRequest> {
    let text = field.to_str().ok().filter(|text| text.len() <= MAX_FIELD)?;
    // All parts of a challenge stand in one field; one that is no challenge ends the reading.
    let challenges = ChallengeParser::new(text).map_while(Result::ok);
    challenges.filter(|challenge| challenge.scheme.eq_ignore_ascii_case("Bearer")).find_map(
        |bearer| {
            let value = |name: &str| {
                let mut named =
                    bearer.params.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
                named.next().map(|(_, value)| value.to_unescaped())
            };
            let error = value("error")?;
            let is_challenge = error.eq_ignore_ascii_case(INSUFFICIENT_CLAIMS);
            is_challenge.then(|| ClaimsRequest::parse_challenge(&value("claims")?)).flatten()
        },
    )
}

const INSUFFICIENT_CLAIMS: &str = "insufficient_claims";
const CLAIMS_CHALLENGES: &str = "cp1";
/// RFC 6750 section 3.1: get another token. Which step that takes is in the body.
const PLAIN: &str =
    "Bearer error=\"invalid_token\", error_description=\"the user must sign in again\"";
const MAX_FIELD: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_claims_wherever_they_stand_and_nothing_else() {
        let claims = ClaimsRequest::parse(r#"{"access_token":{"nbf":{"value":"1"}}}"#).unwrap();
        let text = claims.to_challenge();
        let wanted = |field: &str| {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, field.parse().unwrap())]);
            claims_among(&headers)
        };
        for field in [
            format!("Bearer error=\"insufficient_claims\", claims=\"{text}\""),
            format!("bearer claims=\"{text}\", realm=\"\", error=Insufficient_Claims"),
            format!(
                "Negotiate, Basic realm=\"a, b\", Bearer claims=\"{text}\",error=\"insufficient_claims\""
            ),
        ] {
            assert_eq!(wanted(&field), Some(claims.clone()), "{field}");
        }
        for field in [
            format!("Bearer error=\"invalid_token\", claims=\"{text}\""),
            format!("DPoP error=\"insufficient_claims\", claims=\"{text}\""),
            "Bearer error=\"insufficient_claims\"".to_owned(),
            "Bearer error=\"insufficient_claims\", claims=\"!\"".to_owned(),
            "\"".to_owned(),
        ] {
            assert_eq!(wanted(&field), None, "{field}");
        }
    }

    #[test]
    fn a_plain_challenge_is_left_of_one_with_claims_and_others_stay() {
        let mut headers = HeaderMap::new();
        for field in
            ["Negotiate", "Bearer error=\"insufficient_claims\", claims=\"e30=\"", "Bearer"]
        {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(field));
        }
        remove_claims(&mut headers);
        let left: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(left, ["Negotiate", "Bearer", "Bearer"]);
    }
}
