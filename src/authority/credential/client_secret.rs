//! `client_secret_basic` and `client_secret_post` (RFC 6749 section 2.3.1).
//!
//! Part of `authority::credential`. Exactly one of the two is used per request.

use http::HeaderValue;
use url::form_urlencoded::byte_serialize;

use crate::authority::FormRequest;
use crate::secret::{ExposeSecret, SecretString};

/// Adds the secret to the header (`basic`) or to the form.
pub(super) fn add_to(request: &mut FormRequest, secret: &SecretString, basic: bool) {
    if basic {
        request.authorization = Some(basic_header(&request.client_id, secret));
    } else {
        request.form.push("client_id", &request.client_id);
        request.form.push("client_secret", secret.expose_secret());
    }
}

/// Id and secret are form-encoded *before* they are joined and base64-encoded; clients that skip
/// that step fail on the first secret with a `+`, `%` or `:`.
fn basic_header(client_id: &str, secret: &SecretString) -> HeaderValue {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(client_id), encode(secret.expose_secret()));
    let value = format!("Basic {}", base64(&pair));
    let mut value = HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_a_form_before_base64() {
        let header = basic_header("a b", &SecretString::from("p:+%/\u{fc}"));
        // form encoding: `a+b` and `p%3A%2B%25%2F%C3%BC`
        let expected = format!("Basic {}", base64("a+b:p%3A%2B%25%2F%C3%BC"));
        assert_eq!(header.to_str().unwrap(), expected);
        assert!(header.is_sensitive());
    }
}
