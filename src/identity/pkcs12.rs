//! PKCS#12 files (RFC 7292), which Windows and Key Vault call PFX.
//!
//! Part of `identity`. The parsing is a library's; which of the certificates is the key's own, and which follow
//! it, is decided here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Identity, PrivateKey};
use crate::secret::{ExposeSecret, SecretString};

/// The one private key of the file, and its chain.
pub(super) fn open(data: &[u8], password: Option<&SecretString>) -> Result<Identity, String> {
    let password = password.map_or("", |password| password.expose_secret());
    // The file may come from anywhere, and the parser of so old a format is young.
    let opened = catch_unwind(AssertUnwindSafe(|| Pkcs12Archive::from_pkcs12(data, password)));
    let archive = match opened {
        Ok(opened) => opened.map_err(|error| what_is_wrong(&error))?,
        Err(_) => return Err("not a PKCS#12 file, or a damaged one".to_owned()),
    };
    let [bag] = archive.keys.as_slice() else {
        return Err(match archive.keys.len() {
            0 => "no private key in it; export it with its key".to_owned(),
            several => format!("{several} private keys in it; export one with its certificate"),
        });
    };
    let key = PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec());
    let key = PrivateKey::new(key.into());
    let certificates: Vec<CertificateDer<'static>> =
        archive.certs.iter().map(|bag| bag.cert.as_der().to_vec().into()).collect();
    let mut identity = Identity { chain: Vec::new(), key };
    let own = certificates.iter().position(|certificate| {
        identity.chain = vec![certificate.clone()];
        identity.certified().is_ok()
    });
    let own = own.ok_or("none of its certificates is the private key's own")?;
    identity.chain = chain(&certificates, own);
    Ok(identity)
}

/// The leaf and those that vouch for each other from there on.
fn chain(certificates: &[CertificateDer<'static>], leaf: usize) -> Vec<CertificateDer<'static>> {
    let parse = |der: &'_ CertificateDer<'static>| {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        Some((parsed.subject().as_raw().to_vec(), parsed.issuer().as_raw().to_vec()))
    };
    let mut chain = vec![certificates[leaf].clone()];
    let mut issuer = parse(&certificates[leaf]).map(|(_, issuer)| issuer);
    while let Some(wanted) = issuer.take() {
        let next = certificates.iter().find_map(|certificate| {
            let (subject, issuer) = parse(certificate)?;
            (subject == wanted && !chain.contains(certificate)).then_some((certificate, issuer))
        });
        if let Some((certificate, next)) = next {
            chain.push(certificate.clone());
            issuer = Some(next);
        }
    }
    chain
}

fn what_is_wrong(error: &Error) -> String {
    match error {
        Error::MacError(_) => "the password does not open it".to_owned(),
        Error::UnpadError | Error::Pkcs5Error(_) | Error::InvalidPrivateKey => {
            "it cannot be decrypted: the password is wrong, or the file is damaged".to_owned()
        }
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm => {
            "it is encrypted by an algorithm not known here; export it with AES-256".to_owned()
        }
        _ => "not a PKCS#12 file, or a damaged one".to_owned(),
    }
}
