//! `clients.*.credential:` — how Vicar proves itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{AlgorithmYaml, FileRef, SecretRef};
use crate::config::units::DurationYaml;

/// How Vicar proves itself to the authority: one method, or several in order of preference.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum CredentialsYaml {
    /// Several: the next is tried when one cannot be used or is refused.
    Several(Vec<CredentialYaml>),
    /// One.
    One(CredentialYaml),
}

/// One way to prove oneself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum CredentialYaml {
    /// A signed JWT that somebody else writes into a file (RFC 7523 section 2.2), or gives when asked.
    ClientAssertion(AssertionYaml),
    /// A secret, sent by the method the authority prefers.
    ClientSecret(SecretRef),
    /// A secret in the Authorization header (RFC 6749 section 2.3.1).
    ClientSecretBasic(SecretRef),
    /// A secret in the form.
    ClientSecretPost(SecretRef),
    /// A JWT that Vicar signs anew for every token request (RFC 7523 section 2.2).
    PrivateKeyJwt(Box<PrivateKeyJwtYaml>),
    /// A certificate in the TLS handshake, issued by a CA that the authority trusts (RFC 8705 section 2.1).
    TlsClientAuth(IdentityYaml),
    /// A certificate in the TLS handshake that the authority knows itself (RFC 8705 section 2.2).
    SelfSignedTlsClientAuth(IdentityYaml),
    /// The token file of Azure workload identity, from `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity,
}

/// Where an assertion that somebody else signs comes from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AssertionYaml {
    /// A file, read for every token request.
    File(String),
    /// An environment variable, read once.
    Env(String),
    /// The assertion itself, in the configuration.
    DangerInline(String),
    /// An address that gives one.
    FromUrl(AssertionUrlYaml),
}

/// An address that gives assertions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AssertionUrlYaml {
    /// Where to ask, by GET.
    pub(in crate::config) url: String,
    /// What is shown there as a bearer token.
    pub(in crate::config) bearer: Option<SecretRef>,
    /// Whom the assertion is for: the query parameter `audience`.
    pub(in crate::config) audience: Option<String>,
    /// The member of the JSON answer that is the assertion.
    #[serde(default = "value")]
    pub(in crate::config) member: String,
}

/// A key that signs assertions, with its certificate or alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PrivateKeyJwtYaml {
    /// PEM chain, leaf first; left out for a bare key.
    pub(in crate::config) certificate: Option<FileRef>,
    /// PEM (PKCS#8, encrypted PKCS#8, PKCS#1, SEC 1) or a JWK.
    pub(in crate::config) private_key: Option<SecretRef>,
    /// Certificate and key in one file, instead of the two.
    pub(in crate::config) pkcs12: Option<FileRef>,
    /// What the key or the PKCS#12 file is encrypted with.
    pub(in crate::config) password: Option<SecretRef>,
    /// The signature's algorithm; by default what fits the key: PS256 for RSA at Entra, RS256 elsewhere.
    pub(in crate::config) algorithm: Option<AlgorithmYaml>,
    /// `kid`; by default the JWK's own.
    pub(in crate::config) key_id: Option<String>,
    /// By which digest the header names the certificate.
    pub(in crate::config) thumbprint: Option<ThumbprintYaml>,
    /// Send the chain in the header (subject name and issuer authentication).
    #[serde(default)]
    pub(in crate::config) x5c: bool,
    /// `aud`: `token_endpoint`, issuer, or a text of your own.
    #[serde(default = "token_endpoint")]
    pub(in crate::config) audience: String,
    /// From `iat` to `exp`, at most 10m.
    #[serde(default = "lifetime")]
    pub(in crate::config) lifetime: DurationYaml,
    /// Further claims.
    #[serde(default)]
    pub(in crate::config) claims: BTreeMap<String, String>,
    /// Further header fields.
    #[serde(default)]
    pub(in crate::config) headers: BTreeMap<String, String>,
}

/// By which digest a certificate is named.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ThumbprintYaml {
    /// `x5t#S256`.
    Sha256,
    /// `x5t`, for servers that know nothing newer.
    Sha1,
    /// Not at all.
    None,
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct IdentityYaml {
    /// PEM chain, leaf first.
    pub(in crate::config) certificate: Option<FileRef>,
    /// PEM (PKCS#8, encrypted PKCS#8, PKCS#1, SEC 1).
    pub(in crate::config) private_key: Option<SecretRef>,
    /// Both in one file, instead of the two.
    pub(in crate::config) pkcs12: Option<FileRef>,
    /// What the key or the PKCS#12 file is encrypted with.
    pub(in crate::config) password: Option<SecretRef>,
}

fn value() -> String {
    "value".into()
}

fn token_endpoint() -> String {
    "token_endpoint".into()
}

fn lifetime() -> DurationYaml {
    DurationYaml::secs(300)
}
