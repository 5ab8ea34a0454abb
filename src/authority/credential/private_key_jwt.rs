//! `private_key_jwt`: an assertion that we sign (RFC 7523 section 2.2, OpenID Connect Core section 9).
//!
//! Part of `authority::credential`. A new assertion for every try, since some servers take each `jti` once. What Entra wants is
//! PS256 with `x5t#S256`; ADFS knows RS256 with `x5t`. There is no `nbf`: it adds nothing to `iat` but a refusal where
//! two clocks are a second apart.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::jwk;
use super::signing_key::{SigningKey, unfit};
use crate::algorithm::Algorithm;
use crate::authority::Endpoint;
use crate::authority::http::uuid;
use crate::cache_key::{CacheKey, CacheKeyBuilder};
use crate::identity::{Identity, IdentityFiles, IdentitySource, PrivateKey, check_times};
use crate::secret::{ExposeSecret as _, SecretError, SecretSource, SecretString};

/// How assertions are signed and written.
#[derive(Debug)]
pub struct PrivateKeyJwt {
    /// Where the key is.
    pub source: SigningSource,
    /// The signature's algorithm; the key's own when left out.
    pub algorithm: Option<Algorithm>,
    /// Whether an RSA key's own is PS256 rather than RS256.
    pub prefers_pss: bool,
    /// `kid`; a JWK's own when left out.
    pub key_id: Option<String>,
    /// By which digest the certificate is named.
    pub thumbprint: Thumbprint,
    /// Whether the chain goes into the header (subject name and issuer authentication).
    pub x5c: bool,
    /// `aud`.
    pub audience: Audience,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
    /// Further claims.
    pub claims: BTreeMap<String, String>,
    /// Further header fields.
    pub headers: BTreeMap<String, String>,
}

/// Where a signing key is.
#[derive(Debug)]
pub enum SigningSource {
    /// With a certificate.
    Identity(IdentitySource),
    /// Alone: PEM or JWK.
    Bare {
        /// The key.
        private_key: SecretSource,
        /// What it is encrypted with.
        password: Option<SecretSource>,
    },
}

/// By which digest the certificate is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thumbprint {
    /// `x5t#S256`.
    Sha256,
    /// `x5t`.
    Sha1,
    /// Not at all.
    None,
}

/// Whom an assertion is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The address it is sent to.
    TokenEndpoint,
    /// The authority's issuer identifier.
    Issuer,
    /// This.
    Literally(String),
}

/// What was read.
#[derive(Debug)]
pub(super) enum SigningFiles {
    Identity(IdentityFiles),
    Bare { place: String, key: SecretString, password: Option<SecretString> },
}

/// A key and the header that goes with it.
#[derive(Debug)]
pub(super) struct Signer {
    key: SigningKey,
    algorithm: Algorithm,
    /// The header, encoded.
    header: String,
    certificate: Option<Certificate>,
    audience: Audience,
    lifetime: Duration,
    claims: BTreeMap<String, String>,
}

/// What is left of a certificate once the header is written. The key is not kept twice.
#[derive(Debug)]
struct Certificate {
    file: String,
    validity: (Duration, Duration),
}

impl SigningSource {
    pub(super) fn read(&self) -> Result<SigningFiles, SecretError> {
        Ok(match self {
            Self::Identity(source) => SigningFiles::Identity(source.read()?),
            Self::Bare { private_key, password } => SigningFiles::Bare {
                place: private_key.described(),
                key: private_key.read()?,
                password: password.as_ref().map(SecretSource::read).transpose()?,
            },
        })
    }
}

impl SigningFiles {
    pub(super) fn version(&self) -> CacheKey {
        let mut version = CacheKey::builder();
        match self {
            Self::Identity(files) => files.add_to_key(&mut version),
            Self::Bare { key, password, .. } => {
                version.field("key", key.expose_secret().as_bytes());
                if let Some(password) = password {
                    version.field("password", password.expose_secret().as_bytes());
                }
            }
        }
        version.finish()
    }
}

impl PrivateKeyJwt {
    /// Makes a key of what was read, and writes the header.
    pub(super) fn signer(&self, files: &SigningFiles) -> Result<Signer, String> {
        let (key, kid, identity) = match files {
            SigningFiles::Identity(files) => {
                let identity = files.parse()?;
                (SigningKey::from_der(identity.key.der())?, None, Some(identity))
            }
            SigningFiles::Bare { place, key, password } => {
                let key = bare_key(key, password.as_ref());
                let (key, kid) = key.map_err(|what| format!("{place}: {what}"))?;
                (key, kid, None)
            }
        };
        let algorithm = self.algorithm.unwrap_or(key.default_algorithm(self.prefers_pss));
        if algorithm.family() != key.family() {
            return Err(unfit(algorithm));
        }
        let kid = self.key_id.clone().or(kid);
        let header = self.header(algorithm, kid, identity.as_ref());
        let certificate = match (&identity, &self.source) {
            (Some(identity), SigningSource::Identity(source)) => Some(Certificate {
                file: source.certificate().display().to_string(),
                validity: identity.validity()?,
            }),
            _ => None,
        };
        Ok(Signer {
            key,
            algorithm,
            header,
            certificate,
            audience: self.audience.clone(),
            lifetime: self.lifetime,
            claims: self.claims.clone(),
        })
    }

    fn header(
        &self,
        algorithm: Algorithm,
        kid: Option<String>,
        identity: Option<&Identity>,
    ) -> String {
        let mut header = Map::new();
        header.insert("alg".into(), algorithm.name().into());
        header.insert("typ".into(), "JWT".into());
        if let Some(kid) = kid {
            header.insert("kid".into(), kid.into());
        }
        if let Some(identity) = identity {
            match self.thumbprint {
                Thumbprint::Sha256 => {
                    let digest = URL_SAFE_NO_PAD.encode(identity.sha256());
                    header.insert("x5t#S256".into(), digest.into());
                }
                Thumbprint::Sha1 => {
                    header.insert("x5t".into(), URL_SAFE_NO_PAD.encode(identity.sha1()).into());
                }
                Thumbprint::None => {}
            }
            if self.x5c {
                let chain = identity.chain.iter().map(|der| STANDARD.encode(der));
                header.insert("x5c".into(), chain.collect());
            }
        }
        let further = self.headers.iter();
        header.extend(further.map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
        URL_SAFE_NO_PAD.encode(Value::Object(header).to_string())
    }

    pub(super) fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        match &self.source {
            SigningSource::Identity(source) => {
                let file = source.certificate().as_os_str();
                key.field("certificate", file.as_encoded_bytes());
            }
            SigningSource::Bare { private_key, .. } => {
                let (kind, identity) = private_key.identity();
                key.field(kind, identity);
            }
        }
        for (name, value) in self.claims.iter().chain(&self.headers) {
            key.field(name, value.as_bytes());
        }
    }
}

fn bare_key(
    key: &SecretString,
    password: Option<&SecretString>,
) -> Result<(SigningKey, Option<String>), String> {
    if jwk::is_json(key.expose_secret()) {
        if password.is_some() {
            return Err("a JWK is not encrypted; take `password` out".to_owned());
        }
        return jwk::parse(key.expose_secret());
    }
    let key = PrivateKey::from_pem(key, password)?;
    Ok((SigningKey::from_der(key.der())?, None))
}

impl Signer {
    /// A new assertion for a request in the name of `client_id` to `endpoint`, at `now` since the Unix epoch.
    ///
    /// # Errors
    /// When the endpoint has no issuer and that should be the audience.
    pub(super) fn sign(
        &self,
        client_id: &str,
        endpoint: &Endpoint,
        now: Duration,
    ) -> Result<SecretString, String> {
        let audience = match &self.audience {
            Audience::TokenEndpoint => endpoint.url.as_str(),
            Audience::Issuer => endpoint.issuer.as_deref().ok_or("no issuer is known for `aud`")?,
            Audience::Literally(audience) => audience,
        };
        let mut claims = json!({
            "aud": audience,
            "exp": (now + self.lifetime).as_secs(),
            "iat": now.as_secs(),
            "iss": client_id,
            "jti": uuid(),
            "sub": client_id,
        });
        for (name, value) in &self.claims {
            claims[name] = value.as_str().into();
        }
        let mut assertion = Zeroizing::new(String::with_capacity(ROOM));
        assertion.push_str(&self.header);
        assertion.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut assertion);
        let signature = self.key.sign(self.algorithm, assertion.as_bytes())?;
        assertion.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut assertion);
        Ok(SecretString::from(assertion.as_str()))
    }

    /// Whether the certificate is good at `now`, since the Unix epoch.
    pub(super) fn check(&self, now: Duration) -> Result<(), String> {
        self.certificate.as_ref().map_or(Ok(()), |Certificate { file, validity }| {
            check_times(*validity, now).map_err(|what| format!("{file}: {what}"))
        })
    }
}

/// Claims that Vicar writes itself.
pub const RESERVED_CLAIMS: &[&str] = &["aud", "exp", "iat", "iss", "jti", "nbf", "sub"];
/// Header fields that Vicar writes itself, or that would change what the signature means.
pub const RESERVED_HEADERS: &[&str] =
    &["alg", "b64", "crit", "jku", "jwk", "kid", "typ", "x5c", "x5t", "x5t#S256", "x5u"];
const ROOM: usize = 8 * 1024;
