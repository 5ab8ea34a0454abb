//! Where a caller's token may stand: one `Authorization` field, and nowhere else (RFC 6750 section 2.1).
//!
//! Part of `inbound`. Query, form and cookie are never looked at: tokens leak from there.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::Fault;

/// The credential a caller presents.
#[derive(Clone, Copy)]
pub(super) struct Presented<'r> {
    /// How it is presented.
    pub scheme: Scheme,
    /// The token.
    pub token: &'r str,
}

/// The authentication schemes we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449 section 7.1.
    Dpop,
}

impl<'r> Presented<'r> {
    /// The one credential in `headers`, if there is any.
    ///
    /// # Errors
    /// When there are several, or it is none that we read.
    pub(super) fn among(headers: &'r HeaderMap) -> Result<Option<Self>, Fault> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err(Fault::CredentialRepeated);
        }
        let text = field.to_str().map_err(|_| Fault::Text)?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        let scheme = if scheme.eq_ignore_ascii_case("Bearer") {
            Scheme::Bearer
        } else if scheme.eq_ignore_ascii_case("DPoP") {
            Scheme::Dpop
        } else {
            return Err(Fault::Scheme);
        };
        if token.contains(',') {
            return Err(Fault::CredentialRepeated);
        }
        if is_b64token(token) { Ok(Some(Self { scheme, token })) } else { Err(Fault::Text) }
    }
}

impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// RFC 6750 section 2.1.
fn is_b64token(text: &str) -> bool {
    let token = text.trim_end_matches('=');
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}
