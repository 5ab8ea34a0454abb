//! A client assertion in the form (RFC 7521 section 4.2, RFC 7523 section 2.2), and what is known of one that
//! somebody else signed.
//!
//! Part of `authority::credential`. One that has expired is never sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::authority::FormRequest;
use crate::secret::{ExposeSecret, SecretString};

/// Adds the assertion to the form.
pub(super) fn add_to(request: &mut FormRequest, assertion: &SecretString) {
    request.form.push("client_id", &request.client_id);
    request.form.push("client_assertion_type", ASSERTION_TYPE);
    request.form.push("client_assertion", assertion.expose_secret());
}

/// Whether the assertion may be sent at `now`, since the Unix epoch.
///
/// # Errors
/// When it is no JWT, or has expired.
pub(super) fn check(assertion: &SecretString, now: Duration) -> Result<(), String> {
    match expiry(assertion.expose_secret()) {
        None => Err("our client assertion is not a signed JWT with `exp`".to_owned()),
        Some(exp) if exp <= now => {
            let ago = now.saturating_sub(exp).as_secs();
            Err(format!("our client assertion has expired {ago} s ago; whoever writes it is late"))
        }
        Some(_) => Ok(()),
    }
}

/// `exp`; nothing else is read, the assertion is the authority's to judge.
pub(super) fn expiry(assertion: &str) -> Option<Duration> {
    let mut parts = assertion.split('.');
    let (_, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if signature.is_empty() || parts.next().is_some() {
        return None;
    }
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Duration::try_from_secs_f64(claims.get("exp")?.as_f64()?).ok()
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signed_jwt_that_lives_is_good() {
        let now = Duration::from_secs(1_000);
        let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let good = jwt(r#"{"exp":1060}"#);
        let unsigned = good.trim_end_matches("c2ln").to_owned();
        assert!(check(&good.clone().into(), now).is_ok());
        for bad in [
            jwt(r#"{"exp":1000}"#),
            jwt("{}"),
            "a.b".into(),
            unsigned,
            "opaque".into(),
            format!("{good}.x"),
        ] {
            assert!(check(&bad.clone().into(), now).is_err(), "{bad}");
        }
    }
}
