//! An issuer of callers' tokens: keys made for the test, headers and claims exactly as it says.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::authority::Authority;
use super::vicar::Vicar;

/// A key pair and its name.
pub struct Key {
    pub kid: String,
    pub alg: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(rsa::KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// An RSA key of 2048 bits for RS256.
    pub fn rsa(kid: &str) -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
        Self { kid: kid.to_owned(), alg: "RS256", pair: Pair::Rsa(pair) }
    }

    /// A quick one: Ed25519.
    pub fn new(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        Self { kid: kid.to_owned(), alg: "EdDSA", pair: Pair::Ed25519(pair) }
    }

    /// A key for this algorithm.
    pub fn of(alg: &'static str, kid: &str) -> Self {
        let curve = |algorithm| EcdsaKeyPair::generate(algorithm).expect("a key");
        let pair = match alg {
            "ES256" => Pair::P256(curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)),
            "ES384" => Pair::P384(curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)),
            "EdDSA" => return Self::new(kid),
            alg => return Self { alg, ..Self::rsa(kid) },
        };
        Self { kid: kid.to_owned(), alg, pair }
    }

    /// The public key as a JWK without `use` and `alg`.
    pub fn bare_jwk(&self) -> Value {
        let curve = |crv: &str, pair: &EcdsaKeyPair| {
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": crv, "x": encode(x), "y": encode(y) })
        };
        match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
            }
            Pair::P256(pair) => curve("P-256", pair),
            Pair::P384(pair) => curve("P-384", pair),
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
        }
    }

    /// The public key as issuers publish it.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.alg.into();
        jwk["kid"] = self.kid.as_str().into();
        jwk
    }

    /// The DER form of an RSA public key, as key-confusion attacks use it.
    pub fn public_der(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().expect("DER").as_ref().to_vec(),
            _ => panic!("not RSA"),
        }
    }

    /// A token with this header and these claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// The same, byte for byte.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", encode(&signature))
    }

    /// A token with an ordinary header.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }

    /// What a token says, if this key signed it; for Ed25519 alone.
    pub fn claims_of(&self, token: &str) -> Option<Value> {
        let Pair::Ed25519(pair) = &self.pair else { panic!("not Ed25519") };
        let (message, signature) = token.rsplit_once('.')?;
        let public = UnparsedPublicKey::new(&signature::ED25519, pair.public_key());
        public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()?;
        serde_json::from_slice(&claims).ok()
    }

    /// An ordinary header.
    pub fn header(&self) -> Value {
        json!({ "alg": self.alg, "kid": self.kid, "typ": "JWT" })
    }

    /// The key's signature, in the form that JWS wants.
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match self.alg {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).expect("signs");
                signature
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).expect("signs").as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// One RSA key for all tests that need just some: they take a while to make.
pub fn rsa_key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| Key::rsa("rsa"))
}

/// Claims of a good token for [`ISSUER`] and [`AUDIENCE`], valid for an hour.
pub fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "azp": "app-1", "exp": now() + 3600 })
}

/// The same with these instead; null removes one.
pub fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let claims = claims.as_object().expect("an object").clone();
    claims.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(Duration::ZERO, |time| time).as_secs()
}

/// Base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Publishes these keys at `/jwks`.
pub fn publish(authority: &Authority, keys: &[&Key]) {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    authority.publish("/jwks", &json!({ "keys": keys }));
}

/// Publishes this key as an Entra look-alike does: metadata below tenant, domain and `common`, keys that name
/// their issuer.
pub fn publish_entra(authority: &Authority, key: &Key) {
    let url = authority.url();
    let mut jwk = key.jwk();
    jwk["issuer"] = format!("{url}/{{tenantid}}/v2.0").into();
    authority.publish("/keys", &json!({ "keys": [jwk] }));
    for (segment, tenant) in [(TENANT, TENANT), ("contoso.test", TENANT), ("common", "{tenantid}")]
    {
        let issuer = format!("{url}/{tenant}/v2.0");
        let document = json!({ "issuer": issuer, "jwks_uri": format!("{url}/keys") });
        authority.publish(&format!("/{segment}/v2.0/.well-known/openid-configuration"), &document);
    }
}

/// A header line with a bearer token.
pub fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// Starts with issuer `i` at `authority`, and one route with this `authenticate` to `upstream`.
pub fn vicar(authority: &Authority, issuer: &str, authenticate: &str, upstream: &str) -> Vicar {
    let route = format!(
        "  - {{ name: r, listener: l, token: passthrough, upstream: '{upstream}', \
         authenticate: {{ issuers: [i] {authenticate} }} }}\n"
    );
    Vicar::start(&format!("{}routes:\n{route}", issuer_yaml(authority, issuer)))
}

/// A configuration up to its routes: listener `l`, issuer `i` with keys at `authority`.
pub fn issuer_yaml(authority: &Authority, extra: &str) -> String {
    let url = authority.url();
    format!(
        "runtime: {{ workers: 2 }}\nlog: {{ access: false }}\nshutdown: {{ grace: 5s }}\n\
         admin: {{ address: '127.0.0.1:0' }}\nlisteners:\n  l: {{ address: '127.0.0.1:0' }}\n\
         issuers:\n  i: {{ jwks: {{ issuer: '{ISSUER}', uri: '{url}/jwks' }}, \
         audiences: ['{AUDIENCE}'] {extra} }}\n"
    )
}

pub const ISSUER: &str = "https://issuer.test/";
pub const AUDIENCE: &str = "api://orders";
/// A tenant of the Entra look-alike, `contoso.test` by its domain.
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
/// Another tenant.
pub const OTHER_TENANT: &str = "99999999-2222-3333-4444-555555555555";
