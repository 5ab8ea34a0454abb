//! Server-side TLS and the reload of its certificate.
//!
//! Part of `listener`. Files are compared by content, so a symlink swap counts and a touched file
//! does not; a pair that does not load (half written, or key and certificate of different ages)
//! leaves the old one in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::stream::Stream;
use crate::identity::{Identity, certificates};
use crate::secret::SecretSource;
use crate::tls;

/// A listener's certificate, key and demands on callers.
pub struct ServerTls {
    certificate: PathBuf,
    private_key: SecretSource,
    client_ca: Option<PathBuf>,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    client_roots: Vec<CertificateDer<'static>>,
}

impl ServerTls {
    /// Loads the files for the first time.
    ///
    /// # Errors
    /// When a file is missing or malformed, or key and certificate do not belong together.
    pub fn new(
        certificate: PathBuf,
        private_key: SecretSource,
        client_ca: Option<PathBuf>,
    ) -> Result<Self, String> {
        let loaded = load(&certificate, &private_key, client_ca.as_deref())?;
        let current = ArcSwap::from_pointee(loaded);
        Ok(Self { certificate, private_key, client_ca, current })
    }

    /// Whether callers must present a certificate.
    #[must_use]
    pub fn demands_certificate(&self) -> bool {
        self.client_ca.is_some()
    }

    /// Does the handshake on an accepted connection.
    pub(super) async fn accept(&self, stream: Stream) -> std::io::Result<TlsStream<Stream>> {
        let config = Arc::clone(&self.current.load().config);
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Takes up changed files; new connections use them. Reads files: not for async code.
    pub fn reload(&self) {
        match load(&self.certificate, &self.private_key, self.client_ca.as_deref()) {
            Ok(loaded) => {
                let current = self.current.load();
                let same_chain = loaded.chain == current.chain;
                if !same_chain || loaded.client_roots != current.client_roots {
                    tracing::info!(certificate = %self.certificate.display(), "certificate reloaded");
                    self.current.store(Arc::new(loaded));
                }
            }
            Err(error) => tracing::warn!(%error, "certificate not reloaded; the old one stays"),
        }
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn load(
    certificate: &Path,
    private_key: &SecretSource,
    client_ca: Option<&Path>,
) -> Result<Loaded, String> {
    let key = private_key.read().map_err(|error| error.to_string())?;
    let identity = Identity::load(certificate, &key)?;
    let builder = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let client_roots = client_ca.map_or(Ok(Vec::new()), certificates)?;
    let builder = if client_roots.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = rustls::RootCertStore::empty();
        for root in &client_roots {
            roots.add(root.clone()).map_err(|error| error.to_string())?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), tls::provider());
        builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
    };
    let shown = SingleCertAndKey::from(identity.certified()?);
    let mut config = builder.with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded { config: Arc::new(config), chain: identity.chain, client_roots })
}
