//! TLS pieces that several stages share: roots, key material, client settings, and the question
//! whether an address may be spoken to in plain text.
//!
//! A leaf. One provider (aws-lc-rs) does all cryptography.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use crate::secret::{ExposeSecret, SecretString};

/// A certificate chain, leaf first, and its private key.
#[derive(Debug)]
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads a PEM chain and takes a PEM key.
    ///
    /// # Errors
    /// When either is not PEM of the right kind, or the two do not belong together.
    pub fn load(certificate: &Path, key: &SecretString) -> Result<Self, String> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
            .map_err(|error| format!("the private key is not a PEM private key: {error}"))?;
        let identity = Self { chain, key };
        identity.certified()?;
        Ok(identity)
    }

    /// The pair in the form rustls signs with; checks that key and certificate match.
    ///
    /// # Errors
    /// When the key is of an unknown kind or does not belong to the certificate.
    pub fn certified(&self) -> Result<rustls::sign::CertifiedKey, String> {
        rustls::sign::CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &provider())
            .map_err(|error| format!("the private key does not fit the certificate: {error}"))
    }
}

/// The cryptography everything uses.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// The system's roots and, when given, those in a PEM file.
///
/// # Errors
/// When there is no root at all, or the file holds none.
pub fn roots(extra: Option<&Path>) -> Result<Arc<RootCertStore>, String> {
    let system = system_roots();
    let Some(path) = extra else {
        return if system.is_empty() {
            Err("this system has no certificate roots; install them or give `ca`".into())
        } else {
            Ok(system)
        };
    };
    let mut roots = system.as_ref().clone();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(Arc::new(roots))
}

/// The system's roots, read once.
fn system_roots() -> Arc<RootCertStore> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    Arc::clone(SYSTEM.get_or_init(read))
}

/// Settings to call a server that `roots` vouch for, presenting `identity` when it asks.
///
/// # Errors
/// When the identity cannot be used.
pub fn client(
    roots: Arc<RootCertStore>,
    identity: Option<Identity>,
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
        }
    }
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// When it cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |what: String| format!("{}: {what}", path.display());
    #[allow(clippy::disallowed_methods, reason = "called at load and from blocking tasks")]
    let pem = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fail(format!("not PEM: {error}")))?;
    if chain.is_empty() { Err(fail("it holds no certificate".into())) } else { Ok(chain) }
}

/// Whether a secret may travel to `url`: TLS, or it does not leave this machine.
#[must_use]
pub fn is_https_or_loopback(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether `url` names this machine: a loopback address, `localhost`, or a name below it
/// (RFC 6761 section 6.3).
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
