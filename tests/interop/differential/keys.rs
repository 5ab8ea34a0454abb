//! The issuer's keys, made anew for each run, and every way in which they may sign.
//!
//! Part of `differential`. aws-lc-rs signs because it is there; nothing here verifies.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// A key of the issuer, published for one algorithm.
pub(super) struct Signer {
    pub(super) algorithm: &'static str,
    pub(super) kid: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
    Ed(Box<Ed25519KeyPair>),
}

impl Signer {
    /// One for each algorithm that the three judges know.
    pub(super) fn all() -> Vec<Self> {
        let rsa = || Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")));
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let ed = Ed25519KeyPair::generate().expect("a key");
        vec![
            Self { algorithm: "RS256", kid: "first", pair: rsa() },
            Self { algorithm: "PS256", kid: "second", pair: rsa() },
            Self { algorithm: "ES256", kid: "third", pair: Pair::Ec(Box::new(ec)) },
            Self { algorithm: "EdDSA", kid: "fourth", pair: Pair::Ed(Box::new(ed)) },
        ]
    }

    /// Signs as the key's own algorithm does.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign_as(self.algorithm, message)
    }

    /// Signs with this key as `algorithm` would, or as its own where the key cannot.
    pub(super) fn sign_as(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = if algorithm == "PS256" || algorithm != "RS256" && self.is_pss() {
                    &signature::RSA_PSS_SHA256
                } else {
                    &signature::RSA_PKCS1_SHA256
                };
                pair.sign(padding, &random, message, &mut signature).expect("a signature");
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A signature of the key in DER where it has one, as X.509 has it and JWS must not.
    pub(super) fn sign_in_der(&self, message: &[u8]) -> Vec<u8> {
        let Pair::Ec(pair) = &self.pair else {
            // A bit string around the real signature: the closest there is.
            let inner = self.sign(message);
            let length = u16::try_from(inner.len() + 1).expect("a short signature").to_be_bytes();
            return [&[3, 0x82], length.as_slice(), &[0], inner.as_slice()].concat();
        };
        let private = pair.to_pkcs8v1().expect("a private key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, private.as_ref());
        let signature = pair.expect("the same key").sign(&SystemRandom::new(), message);
        signature.expect("a signature").as_ref().to_vec()
    }

    /// The public key as the key set has it.
    pub(super) fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                json!({
                    "kty": "RSA",
                    "n": text(n.big_endian_without_leading_zero()),
                    "e": text(e.big_endian_without_leading_zero()),
                })
            }
            Pair::Ec(pair) => {
                // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
                let point = pair.public_key().as_ref();
                json!({
                    "kty": "EC",
                    "crv": "P-256",
                    "x": text(&point[1..33]),
                    "y": text(&point[33..65]),
                })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
        };
        jwk["alg"] = self.algorithm.into();
        jwk["kid"] = self.kid.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// Everything public about the key that a careless verifier could take for an HMAC secret.
    pub(super) fn public_bytes(&self) -> Vec<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ec(pair) => pair.public_key().as_der(),
            Pair::Ed(pair) => pair.public_key().as_der(),
        }
        .expect("a public key in DER");
        let body = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = body.as_bytes().chunks(64).map(ascii).collect();
        let begin = "-----BEGIN PUBLIC KEY-----";
        let pem = format!("{begin}\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
        let raw = match &self.pair {
            Pair::Rsa(pair) => {
                pair.public_key().modulus().big_endian_without_leading_zero().to_vec()
            }
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        };
        vec![
            raw,
            der.as_ref().to_vec(),
            pem.clone().into_bytes(),
            format!("{pem}\n").into_bytes(),
            self.jwk().to_string().into_bytes(),
            Vec::new(),
        ]
    }

    /// The modulus of an RSA key.
    pub(super) fn modulus(&self) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) => {
                Some(pair.public_key().modulus().big_endian_without_leading_zero().to_vec())
            }
            Pair::Ec(_) | Pair::Ed(_) => None,
        }
    }

    fn is_pss(&self) -> bool {
        self.algorithm == "PS256"
    }
}

/// HMAC with SHA-256 under a "secret" (RFC 7518 section 3.2).
pub(super) fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, message).as_ref().to_vec()
}

fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("base64 is ASCII")
}
