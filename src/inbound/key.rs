//! One public key that signatures are verified with (RFC 7517, RFC 7518 section 6, RFC 8037).
//!
//! Part of `inbound`. A key is taken only when everything it says about itself fits: type, curve, size,
//! `use`, `key_ops`, `alg`. A set with private or symmetric material is misconfigured; such keys are
//! left out and said to be.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::algorithm::{Algorithm, Family};

/// A key of an issuer.
#[derive(Debug)]
pub struct VerificationKey {
    kid: Option<String>,
    /// The issuer this key alone may speak for, `{tenantid}` standing for any tenant (Entra).
    issuer: Option<String>,
    thumbprint: String,
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
    retired: AtomicBool,
}

/// Why a key of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Not for signatures, or for none of the allowed algorithms.
    #[error("not for verifying signatures with an allowed algorithm")]
    Elsewhere,
    /// Members missing, of a wrong type or size, or repeated.
    #[error("malformed")]
    Malformed,
    /// Its secret part is public.
    #[error("it holds private or symmetric material")]
    Private,
    /// Too short, or with a senseless exponent.
    #[error("too weak")]
    Weak,
}

/// A JSON Web Key, as far as we read it. Members that appear twice are an error.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    issuer: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

impl VerificationKey {
    /// Takes a key from its JSON, for use with those of `allowed` that fit it.
    ///
    /// # Errors
    /// When it cannot or must not be used.
    pub fn from_jwk(json: &str, allowed: &[Algorithm]) -> Result<Self, UnusableKey> {
        let jwk: Jwk = serde_json::from_str(json).map_err(|_| UnusableKey::Malformed)?;
        if jwk.has_private_material() {
            return Err(UnusableKey::Private);
        }
        let algorithms = jwk.algorithms(allowed)?;
        let verifiers = match jwk.kty.as_str() {
            "RSA" => jwk.rsa(&algorithms)?,
            _ => jwk.curve(&algorithms)?,
        };
        let thumbprint = jwk.thumbprint().ok_or(UnusableKey::Malformed)?;
        let Jwk { kid, issuer, .. } = jwk;
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(UnusableKey::Malformed);
        }
        Ok(Self { kid, issuer, thumbprint, verifiers, retired: AtomicBool::new(false) })
    }

    /// Its name in the set.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The issuer it alone may speak for.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The digest of its public members (RFC 7638), base64url.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether it verifies `algorithm`.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(fitting, _)| *fitting == algorithm)
    }

    /// Whether `signature` is this key's on `message`.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let mut verifiers = self.verifiers.iter();
        let verifier = verifiers.find(|(fitting, _)| *fitting == algorithm);
        verifier.is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }

    /// Whether both are the same key under the same name for the same algorithms.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let algorithms = |key: &Self| key.verifiers.iter().map(|(a, _)| *a).collect::<Vec<_>>();
        self.kid == other.kid
            && self.issuer == other.issuer
            && self.thumbprint == other.thumbprint
            && algorithms(self) == algorithms(other)
    }

    /// Its issuer no longer publishes it: what it has verified so far counts no more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether its issuer still publishes it.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

impl Jwk {
    fn has_private_material(&self) -> bool {
        [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.k]
            .into_iter()
            .any(Option::is_some)
    }

    /// The allowed algorithms that the key says it is for.
    fn algorithms(&self, allowed: &[Algorithm]) -> Result<Vec<Algorithm>, UnusableKey> {
        let family = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => Family::Rsa,
            ("EC", Some("P-256")) => Family::P256,
            ("EC", Some("P-384")) => Family::P384,
            ("OKP", Some("Ed25519")) => Family::Ed25519,
            _ => return Err(UnusableKey::Elsewhere),
        };
        let signs = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let named = |a: &Algorithm| self.alg.as_deref().is_none_or(|alg| alg == a.name());
        let fits = |a: &Algorithm| a.family() == family && named(a) && signs;
        let fitting: Vec<_> = allowed.iter().copied().filter(fits).collect();
        if fitting.is_empty() { Err(UnusableKey::Elsewhere) } else { Ok(fitting) }
    }

    fn rsa(
        &self,
        algorithms: &[Algorithm],
    ) -> Result<Vec<(Algorithm, ParsedPublicKey)>, UnusableKey> {
        let n = number(self.n.as_deref()).ok_or(UnusableKey::Malformed)?;
        let e = number(self.e.as_deref()).ok_or(UnusableKey::Malformed)?;
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if bits < MIN_RSA_BITS || !is_odd(&n) || !is_odd(&e) || e == [1] {
            return Err(UnusableKey::Weak);
        }
        let components = RsaPublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
        let parse = |algorithm: &Algorithm| {
            let parameters = algorithm.rsa().ok_or(UnusableKey::Elsewhere)?;
            let key = components.to_parsed_public_key(parameters);
            Ok((*algorithm, key.map_err(|_| UnusableKey::Malformed)?))
        };
        algorithms.iter().map(parse).collect()
    }

    fn curve(
        &self,
        algorithms: &[Algorithm],
    ) -> Result<Vec<(Algorithm, ParsedPublicKey)>, UnusableKey> {
        let coordinate = |text: &Option<String>, size| {
            let bytes = URL_SAFE_NO_PAD.decode(text.as_deref()?).ok()?;
            (bytes.len() == size).then_some(bytes)
        };
        let point = match self.crv.as_deref() {
            Some("Ed25519") => coordinate(&self.x, 32),
            curve => {
                let size = if curve == Some("P-256") { 32 } else { 48 };
                let point = coordinate(&self.x, size).zip(coordinate(&self.y, size));
                // An uncompressed point (SEC 1 section 2.3.3); the library checks that it is on the curve.
                point.map(|(x, y)| [&[4], x.as_slice(), y.as_slice()].concat())
            }
        };
        let point = point.ok_or(UnusableKey::Malformed)?;
        let parse = |algorithm: &Algorithm| {
            let key = ParsedPublicKey::new(algorithm.verification(), &point);
            Ok((*algorithm, key.map_err(|_| UnusableKey::Malformed)?))
        };
        algorithms.iter().map(parse).collect()
    }

    /// RFC 7638: the required members in order, without white space.
    fn thumbprint(&self) -> Option<String> {
        let text = |text: &Option<String>| serde_json::to_string(text.as_ref()?).ok();
        let members = match self.kty.as_str() {
            "RSA" => format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, text(&self.e)?, text(&self.n)?),
            "EC" => {
                let (crv, x, y) = (text(&self.crv)?, text(&self.x)?, text(&self.y)?);
                format!(r#"{{"crv":{crv},"kty":"EC","x":{x},"y":{y}}}"#)
            }
            _ => format!(r#"{{"crv":{},"kty":"OKP","x":{}}}"#, text(&self.crv)?, text(&self.x)?),
        };
        Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes())))
    }
}

/// A big-endian number without the leading zeros that some issuers send.
fn number(text: Option<&str>) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text?).ok()?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}

/// A name longer than this is no name.
pub(super) const MAX_KID: usize = 512;
const MIN_RSA_BITS: usize = 2048;
