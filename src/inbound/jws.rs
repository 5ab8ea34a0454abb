//! A signed token in its compact form, taken apart strictly (RFC 7515 section 7.1, RFC 8725).
//!
//! Part of `inbound`. Nothing in the header is obeyed: it selects, inside what the configuration allows.
//! Whatever could make two readers disagree, or asks for an extension, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key::{MAX_KID, VerificationKey};
use super::strict_json;
use crate::algorithm::Algorithm;

/// A compact JWS whose signature nobody has verified yet.
pub struct Compact<'t> {
    header: Header,
    signed: &'t [u8],
    payload: &'t str,
    signature: Vec<u8>,
}

/// What the header selects.
#[derive(Debug)]
pub struct Header {
    /// How it claims to be signed.
    pub algorithm: Algorithm,
    /// By which key.
    pub kid: Option<String>,
    /// What kind of object it claims to be.
    pub typ: Option<String>,
    /// The public key it brings along, where that is allowed (RFC 9449 section 4.2).
    pub jwk: Option<Value>,
}

/// Why a text is not a compact JWS that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJws {
    /// An algorithm that is never accepted, or none.
    #[error("its `alg` is missing or never accepted")]
    Algorithm,
    /// Five parts, or an `enc` header.
    #[error("it is encrypted")]
    Encrypted,
    /// It names a key of its own, or asks for an extension.
    #[error("its header has `{0}`")]
    Forbidden(&'static str),
    /// Not base64url, not JSON, or of wrong types.
    #[error("its header is malformed")]
    Header,
    /// Not three parts, or characters that are not base64url.
    #[error("it is not a compact JWS")]
    Shape,
    /// Larger than any token should be.
    #[error("it is too large")]
    Size,
}

/// Whether the header may bring the key along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddedKey {
    /// Never for tokens: whoever signs would choose the key.
    Refused,
    /// A DPoP proof shows possession of exactly this key.
    Expected,
}

impl<'t> Compact<'t> {
    /// Takes `token` apart.
    ///
    /// # Errors
    /// When it is not a compact JWS, or its header has what we do not accept.
    pub fn parse(token: &'t str, embedded: EmbeddedKey) -> Result<Self, BadJws> {
        if token.len() > MAX_TOKEN {
            return Err(BadJws::Size);
        }
        let mut parts = token.splitn(6, '.');
        let (header, payload, signature) = match std::array::from_fn(|_| parts.next()) {
            [Some(header), Some(payload), Some(signature), None, None, None] => {
                (header, payload, signature)
            }
            [Some(_), Some(_), Some(_), Some(_), Some(_), None] => return Err(BadJws::Encrypted),
            _ => return Err(BadJws::Shape),
        };
        if header.len() > MAX_HEADER {
            return Err(BadJws::Size);
        }
        let signature = decode(signature).ok_or(BadJws::Shape)?;
        let json = decode(header).ok_or(BadJws::Shape)?;
        let members = strict_json::object(&json).map_err(|_| BadJws::Header)?;
        let header_length = header.len();
        let header = Header::read(members, embedded)?;
        let signed = &token.as_bytes()[..header_length + 1 + payload.len()];
        Ok(Self { header, signed, payload, signature })
    }

    /// What the header selects.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload, of which nothing is known to be true before [`Self::is_signed_by`].
    ///
    /// # Errors
    /// When it is not base64url.
    pub fn payload(&self) -> Result<Vec<u8>, BadJws> {
        decode(self.payload).ok_or(BadJws::Shape)
    }

    /// Whether `key` signed it, with the algorithm that the header names.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerificationKey) -> bool {
        key.verify(self.header.algorithm, self.signed, &self.signature)
    }
}

impl std::fmt::Debug for Compact<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compact").field("algorithm", &self.header.algorithm).finish_non_exhaustive()
    }
}

impl Header {
    fn read(mut members: Map<String, Value>, embedded: EmbeddedKey) -> Result<Self, BadJws> {
        for name in FORBIDDEN {
            if members.contains_key(*name) {
                let encrypted = *name == "enc";
                return Err(if encrypted { BadJws::Encrypted } else { BadJws::Forbidden(name) });
            }
        }
        let jwk = members.remove("jwk");
        if jwk.is_some() && embedded == EmbeddedKey::Refused {
            return Err(BadJws::Forbidden("jwk"));
        }
        let mut text = |name: &str| match members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(BadJws::Header),
        };
        let (alg, kid, typ, cty) = (text("alg")?, text("kid")?, text("typ")?, text("cty")?);
        let algorithm = alg.as_deref().and_then(Algorithm::named).ok_or(BadJws::Algorithm)?;
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(BadJws::Header);
        }
        // A token inside a token is not what the outer claims say.
        if cty.is_some_and(|cty| cty.to_ascii_lowercase().contains("jwt")) {
            return Err(BadJws::Forbidden("cty"));
        }
        Ok(Self { algorithm, kid, typ, jwk })
    }
}

/// Base64url without padding, white space or loose bits.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// Members that name a key to trust, ask for an extension, or belong to another kind of object.
const FORBIDDEN: &[&str] = &["b64", "crit", "enc", "jku", "x5c", "x5u", "zip"];
/// As large as a token may be, in characters.
pub const MAX_TOKEN: usize = 16 * 1024;
const MAX_HEADER: usize = 4 * 1024;
