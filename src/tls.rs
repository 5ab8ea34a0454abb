//! TLS pieces that several stages share: roots, client settings, and the question
//! whether an address may be spoken to in plain text.
//!
//! A leaf. One provider (aws-lc-rs) does all cryptography.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use crate::identity::{Identity, certificates};

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
    identity: Option<&Identity>,
) -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(match identity {
        None => config,
        Some(identity) => ClientIdentity::new(identity)?.shown_by(config),
    })
}

/// A certificate that we show, ready to be used by any number of connections.
#[derive(Clone)]
pub struct ClientIdentity {
    certified: Arc<CertifiedKey>,
    sha256: [u8; 32],
}

impl ClientIdentity {
    /// Makes it ready.
    ///
    /// # Errors
    /// When key and certificate do not belong together.
    pub fn new(identity: &Identity) -> Result<Self, String> {
        Ok(Self { certified: identity.certified()?, sha256: identity.sha256() })
    }

    /// The same settings, showing it. Sessions are resumed only among connections that show the same.
    #[must_use]
    pub fn shown_by(&self, mut config: ClientConfig) -> ClientConfig {
        let shown = SingleCertAndKey::from(Arc::clone(&self.certified));
        config.client_auth_cert_resolver = Arc::new(shown);
        config.resumption = rustls::client::Resumption::default();
        config
    }

    /// SHA-256 of the certificate, by which tokens are bound to it (RFC 8705 section 3.1).
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientIdentity")
    }
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
