//! A private key in JSON (RFC 7517, RFC 7518 section 6, RFC 8037).
//!
//! Part of `authority::credential`. Numbers are wiped when dropped; no error text repeats a member's value.

use aws_lc_rs::rsa::{self, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::signing_key::SigningKey;

/// The members of a private key that we know.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    d: Zeroizing<String>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    p: Zeroizing<String>,
    #[serde(default)]
    q: Zeroizing<String>,
    #[serde(default)]
    dp: Zeroizing<String>,
    #[serde(default)]
    dq: Zeroizing<String>,
    #[serde(default)]
    qi: Zeroizing<String>,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

/// Whether a text is meant to be JSON rather than PEM.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// The key, and the `kid` it goes by.
///
/// # Errors
/// When it is no private key, or of a kind that does not sign here.
pub(super) fn parse(text: &str) -> Result<(SigningKey, Option<String>), String> {
    let jwk: Jwk = serde_json::from_str(text)
        .map_err(|_| "not a JWK: JSON with `kty` and, all as text, the key's members".to_owned())?;
    let known = ["RSA", "EC", "OKP"].contains(&jwk.kty.as_str());
    if !known {
        return Err("the JWK's `kty` is none of RSA, EC, OKP".to_owned());
    }
    if jwk.d.is_empty() {
        return Err("the JWK is a public key; the private one has a member `d`".to_owned());
    }
    let key = match jwk.kty.as_str() {
        "RSA" => jwk.rsa()?,
        "EC" => jwk.ec()?,
        _ => jwk.okp()?,
    };
    Ok((key, jwk.kid))
}

impl Jwk {
    fn rsa(&self) -> Result<SigningKey, String> {
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n: bytes("n", &self.n)?, e: bytes("e", &self.e)? },
            d: bytes("d", &self.d)?,
            p: bytes("p", &self.p)?,
            q: bytes("q", &self.q)?,
            dP: bytes("dp", &self.dp)?,
            dQ: bytes("dq", &self.dq)?,
            qInv: bytes("qi", &self.qi)?,
        };
        let key = rsa::KeyPair::from_components(&components);
        let key = key.map_err(|_| "the JWK's members are no RSA key".to_owned())?;
        if key.public_modulus_len() < MIN_RSA_BYTES {
            return Err("an RSA key of less than 2048 bits is refused".to_owned());
        }
        Ok(SigningKey::Rsa(Box::new(key)))
    }

    fn ec(&self) -> Result<SigningKey, String> {
        let (algorithm, length) = match self.crv.as_str() {
            "P-256" => (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, 32),
            "P-384" => (&signature::ECDSA_P384_SHA384_FIXED_SIGNING, 48),
            _ => return Err("the JWK's `crv` is neither P-256 nor P-384".to_owned()),
        };
        let (d, x, y) = (bytes("d", &self.d)?, bytes("x", &self.x)?, bytes("y", &self.y)?);
        if [d.len(), x.len(), y.len()] != [length; 3] {
            return Err(format!("`d`, `x` and `y` of a {} key are {length} bytes", self.crv));
        }
        // An uncompressed point (SEC 1 section 2.3.3).
        let public = [&[4][..], &x, &y].concat();
        let key = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &d, &public)
            .map_err(|_| "the JWK's members do not belong together".to_owned())?;
        Ok(if length == 32 { SigningKey::P256(key) } else { SigningKey::P384(key) })
    }

    fn okp(&self) -> Result<SigningKey, String> {
        if self.crv != "Ed25519" {
            return Err("the JWK's `crv` is not Ed25519".to_owned());
        }
        let (d, x) = (bytes("d", &self.d)?, bytes("x", &self.x)?);
        let key = Ed25519KeyPair::from_seed_and_public_key(&d, &x)
            .map_err(|_| "the JWK's members do not belong together".to_owned())?;
        Ok(SigningKey::Ed25519(key))
    }
}

fn bytes(name: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let decoded = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
    match decoded {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(_) => Err(format!("the JWK lacks the member `{name}`")),
        Err(_) => Err(format!("the JWK's `{name}` is not base64url without padding")),
    }
}

const MIN_RSA_BYTES: usize = 256;
