//! `tls_client_auth` and `self_signed_tls_client_auth`: the certificate of the connection is the proof (RFC 8705
//! section 2).
//!
//! Part of `authority::credential`. Each version of the certificate has connections of its own, so that a new one is
//! shown at once and the old one is not shown any more.

use std::sync::Arc;
use std::time::Duration;

use crate::authority::{AuthorityHttp, HttpSettings};
use crate::cache_key::CacheKeyBuilder;
use crate::identity::{IdentityFiles, IdentitySource, check_times};
use crate::tls::ClientIdentity;

/// A certificate to show, and how the authority is reached with it.
#[derive(Debug)]
pub struct TlsClientAuth {
    /// Where the certificate is.
    pub source: IdentitySource,
    /// Connections to the authority.
    pub http: HttpSettings,
}

/// One version of the certificate, and the connections that show it.
#[derive(Debug)]
pub(super) struct Presented {
    http: AuthorityHttp,
    identity: Arc<ClientIdentity>,
    file: String,
    validity: (Duration, Duration),
}

impl TlsClientAuth {
    pub(super) fn present(&self, files: &IdentityFiles) -> Result<Presented, String> {
        let identity = files.parse()?;
        let validity = identity.validity()?;
        let identity = Arc::new(ClientIdentity::new(&identity)?);
        let http = AuthorityHttp::new(&self.http, Some(&identity))?;
        let file = self.source.certificate().display().to_string();
        Ok(Presented { http, identity, file, validity })
    }

    pub(super) fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        key.field("certificate", self.source.certificate().as_os_str().as_encoded_bytes());
    }
}

impl Presented {
    pub(super) fn http(&self) -> &AuthorityHttp {
        &self.http
    }

    pub(super) fn identity(&self) -> &Arc<ClientIdentity> {
        &self.identity
    }

    /// Whether the certificate is good at `now`, since the Unix epoch.
    pub(super) fn check(&self, now: Duration) -> Result<(), String> {
        check_times(self.validity, now).map_err(|what| format!("{}: {what}", self.file))
    }
}
