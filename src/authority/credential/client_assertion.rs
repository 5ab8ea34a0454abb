//! A client assertion that somebody else signed (RFC 7521 section 4.2, RFC 7523 section 2.2).
//!
//! Part of `authority::credential`. The file is rotated by whoever writes it, so it is read for every
//! request; one that has expired is never sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::authority::{AuthorityError, FormRequest};
use crate::clock::Clock;
use crate::secret::{ExposeSecret, SecretString};

/// Adds the assertion to the form.
///
/// # Errors
/// When it is no JWT, or has expired.
pub(super) fn authenticate(
    request: &mut FormRequest,
    assertion: &SecretString,
    clock: &Clock,
) -> Result<(), AuthorityError> {
    let text = assertion.expose_secret();
    match expiry(text) {
        None => return Err(AuthorityError::Assertion("is not a signed JWT with `exp`")),
        Some(exp) if exp <= clock.wall() => return Err(AuthorityError::Assertion("has expired")),
        Some(_) => {}
    }
    request.form.push("client_id", &request.client_id);
    request.form.push("client_assertion_type", ASSERTION_TYPE);
    request.form.push("client_assertion", text);
    Ok(())
}

/// `exp`; nothing else is read, the assertion is the authority's to judge.
fn expiry(assertion: &str) -> Option<Duration> {
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
    use crate::authority::Form;

    #[test]
    fn sends_what_is_good_and_nothing_else() {
        let clock = Clock::system();
        let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let attempt = |assertion: String| {
            let mut request = FormRequest::new("me", Form::default());
            authenticate(&mut request, &assertion.into(), &clock).map(|()| request)
        };
        let good = jwt(&format!(r#"{{"exp":{}}}"#, clock.wall().as_secs() + 60));
        let unsigned = good.trim_end_matches("c2ln").to_owned();
        let request = attempt(good.clone()).unwrap();
        assert_eq!(request.form.fields()[2], ("client_assertion".to_owned(), good));
        let expired = jwt(&format!(r#"{{"exp":{}}}"#, clock.wall().as_secs()));
        for bad in [
            expired,
            jwt("{}"),
            "a.b".into(),
            unsigned,
            "opaque".into(),
            format!("{}.x", jwt("{}")),
        ] {
            assert!(attempt(bad.clone()).is_err(), "{bad}");
        }
    }
}
