//! Roots and certificates.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;

use super::Lowering;
use crate::config::schema::{FileRef, SecretRef};
use crate::identity::Identity;
use crate::secret::SecretSource;
use crate::tls;

impl Lowering<'_> {
    /// The system's roots and those of `ca`.
    pub(super) fn roots(&mut self, ca: Option<&str>, path: &str) -> Option<Arc<RootCertStore>> {
        self.accept(path, tls::roots(ca.map(Path::new)), "a PEM file with CA certificates")
    }

    /// A certificate with its key, and where the key is read from.
    pub(super) fn identity(
        &mut self,
        certificate: &FileRef,
        private_key: SecretRef,
        path: &str,
    ) -> Option<(Identity, SecretSource)> {
        let source = self.secret(private_key, &format!("{path}.private_key"))?;
        let key = self.accept(path, source.read(), "")?;
        let loaded = Identity::load(Path::new(&certificate.file), &key);
        let identity = self.accept(&format!("{path}.certificate"), loaded, "")?;
        Some((identity, source))
    }
}
