//! Keys and certificates in PEM (RFC 7468), keys also encrypted (PKCS#8, RFC 5958).
//!
//! Part of `identity`.

use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::secret::{ExposeSecret, SecretString, read_file};

/// The one private key of a text.
pub(super) fn private_key(
    pem: &SecretString,
    password: Option<&SecretString>,
) -> Result<PrivateKeyDer<'static>, String> {
    let text = pem.expose_secret();
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let how = "convert it: openssl pkcs8 -topk8 -in OLD -out NEW";
        return Err(format!("a private key encrypted in an old form without a standard; {how}"));
    }
    let encrypted = text.matches(BEGIN_ENCRYPTED).count();
    let mut plain = Vec::new();
    for key in PrivateKeyDer::pem_slice_iter(text.as_bytes()) {
        plain.push(key.map_err(|_| "a damaged PEM private key".to_owned())?);
    }
    match (plain.len(), encrypted) {
        (0, 0) => Err("no PEM private key in it".to_owned()),
        (1, 0) if password.is_some() => {
            Err("the private key is not encrypted; take `password` out".to_owned())
        }
        (1, 0) => plain.pop().ok_or_else(String::new),
        (0, 1) => decrypt(text, password),
        (plain, encrypted) => Err(format!(
            "{} private keys in it; keep only the one that belongs to the certificate",
            plain + encrypted
        )),
    }
}

fn decrypt(text: &str, password: Option<&SecretString>) -> Result<PrivateKeyDer<'static>, String> {
    let password = password.ok_or("the private key is encrypted; give its `password`")?;
    let damaged = || "a damaged encrypted private key".to_owned();
    let begin = text.find(BEGIN_ENCRYPTED).ok_or_else(damaged)?;
    let end = text[begin..].find(END_ENCRYPTED).ok_or_else(damaged)?;
    let block = &text[begin..begin + end + END_ENCRYPTED.len()];
    let (_, document) = SecretDocument::from_pem(block).map_err(|_| damaged())?;
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| damaged())?;
    let key = info.decrypt(password.expose_secret()).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs8::pkcs5::Error::NoPbes1CryptSupport,
        ) => "the private key is encrypted by an algorithm not known here; \
              convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW"
            .to_owned(),
        _ => "the password does not open the private key".to_owned(),
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// When it cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_file(path).map_err(|error| error.to_string())?;
    chain(&pem).map_err(|what| format!("{}: {what}", path.display()))
}

/// The certificates of a text, at least one.
pub(super) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| "a damaged PEM certificate".to_owned())?;
    if chain.is_empty() { Err("no PEM certificate in it".to_owned()) } else { Ok(chain) }
}

const BEGIN_ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END_ENCRYPTED: &str = "-----END ENCRYPTED PRIVATE KEY-----";
