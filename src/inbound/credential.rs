//! Where a caller's token may stand: one `Authorization` field, and nowhere else (RFC 6750 section 2.1).
//!
//! Part of `inbound`. Query, form and cookie are never looked at: tokens leak from there.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::error::Fault;
use super::jws::{BadJws, MAX_TOKEN};

/// The credential a caller presents.
#[derive(Clone, Copy)]
pub(super) struct Presented<'r> {
    /// How it is presented.
    pub scheme: Scheme,
    /// What stands where the token belongs, unread.
    pub token: &'r [u8],
    /// The whole field.
    pub field: &'r HeaderValue,
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
        let text = field.as_bytes();
        let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        let (scheme, token) = (&text[..end], text.get(end + 1..).unwrap_or_default());
        if scheme.eq_ignore_ascii_case(b"Bearer") {
            Ok(Some(Self { scheme: Scheme::Bearer, token, field }))
        } else if scheme.eq_ignore_ascii_case(b"DPoP") {
            Ok(Some(Self { scheme: Scheme::Dpop, token, field }))
        } else {
            Err(Fault::Scheme)
        }
    }

    /// What was presented, as far as any reading goes. A token that is known needs none, and one that is a
    /// JWS has passed a stricter one than [`Self::check`].
    ///
    /// # Errors
    /// When it is too long or not text.
    pub(super) fn text(self) -> Result<&'r str, Fault> {
        if self.token.len() > MAX_TOKEN {
            return Err(BadJws::Size.into());
        }
        std::str::from_utf8(self.token).map_err(|_| Fault::Text)
    }

    /// Whether it could be one token (RFC 6750 section 2.1).
    ///
    /// # Errors
    /// When it is several, or has characters that no token has.
    pub(super) fn check(self) -> Result<(), Fault> {
        let text = self.text()?;
        let token = text.trim_end_matches('=');
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        if !token.is_empty() && token.bytes().all(allowed) {
            Ok(())
        } else if text.contains(',') {
            Err(Fault::CredentialRepeated)
        } else {
            Err(Fault::Text)
        }
    }
}

impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}
