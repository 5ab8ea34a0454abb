//! A key that signs callers' tokens.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A fresh key of the name `k`.
#[derive(Debug)]
pub(crate) struct CallerKey(Ed25519KeyPair);

impl CallerKey {
    pub(crate) fn generate() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key"))
    }

    /// The key set that an issuer publishes.
    pub(crate) fn set(&self) -> Value {
        let x = encode(self.0.public_key().as_ref());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] })
    }

    /// A token with an ordinary header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "EdDSA", "kid": "k" }), claims)
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.0.sign(message.as_bytes());
        format!("{message}.{}", encode(signature.as_ref()))
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
