//! A certificate chain and its private key, whatever they are kept in: PEM, encrypted PEM, PKCS#12.
//!
//! A leaf. Listeners show one to callers, upstream connections to upstreams, and clients prove themselves with one.
//! Keys are wiped when dropped. No error text holds a key or a password; each names the file and what to do.

mod pem;
mod pkcs12;

pub use self::pem::certificates;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};
use zeroize::{Zeroize as _, Zeroizing};

use crate::cache_key::CacheKeyBuilder;
use crate::secret::{ExposeSecret, SecretError, SecretSource, SecretString, read_file};

/// A certificate chain, leaf first, and its private key.
#[derive(Debug)]
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKey,
}

/// A private key in DER, wiped when dropped.
pub struct PrivateKey(PrivateKeyDer<'static>);

/// Where an identity is kept. Its files are read anew at each use.
#[derive(Debug)]
pub enum IdentitySource {
    /// A PEM chain and a PEM key, perhaps in one file.
    Pem {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// The key: PKCS#8, PKCS#1, SEC 1 or encrypted PKCS#8.
        private_key: SecretSource,
        /// What the key is encrypted with.
        password: Option<SecretSource>,
    },
    /// A PKCS#12 file.
    Pkcs12 {
        /// The file.
        file: PathBuf,
        /// What it is encrypted with; nothing is the empty password.
        password: Option<SecretSource>,
    },
}

impl PrivateKey {
    /// Takes over a key.
    #[must_use]
    pub fn new(key: PrivateKeyDer<'static>) -> Self {
        Self(key)
    }

    /// Reads a PEM key; `password` opens it if it is encrypted.
    ///
    /// # Errors
    /// When the text does not hold exactly one private key, or the password is not its own.
    pub fn from_pem(pem: &SecretString, password: Option<&SecretString>) -> Result<Self, String> {
        pem::private_key(pem, password).map(Self)
    }

    /// The key as DER.
    #[must_use]
    pub fn der(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// What the files of an identity hold at one moment.
pub struct IdentityFiles {
    /// Where the key is, for messages.
    place: String,
    content: Content,
    password: Option<SecretString>,
}

enum Content {
    Pem { certificate: PathBuf, chain: Zeroizing<Vec<u8>>, key: SecretString },
    Pkcs12(Zeroizing<Vec<u8>>),
}

impl IdentitySource {
    /// Reads the files. Blocks: not for async code.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn read(&self) -> Result<IdentityFiles, SecretError> {
        Ok(match self {
            Self::Pem { certificate, private_key, password } => IdentityFiles {
                place: private_key.described(),
                content: Content::Pem {
                    certificate: certificate.clone(),
                    chain: read_file(certificate)?,
                    key: private_key.read()?,
                },
                password: password.as_ref().map(SecretSource::read).transpose()?,
            },
            Self::Pkcs12 { file, password } => IdentityFiles {
                place: file.display().to_string(),
                content: Content::Pkcs12(read_file(file)?),
                password: password.as_ref().map(SecretSource::read).transpose()?,
            },
        })
    }

    /// Where the certificate is.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        match self {
            Self::Pem { certificate, .. } => certificate,
            Self::Pkcs12 { file, .. } => file,
        }
    }

    /// Where the private key is, if that is a file.
    #[must_use]
    pub fn key_file(&self) -> Option<&Path> {
        match self {
            Self::Pem { private_key, .. } => private_key.path(),
            Self::Pkcs12 { file, .. } => Some(file),
        }
    }
}

impl IdentityFiles {
    /// Makes sense of what was read.
    ///
    /// # Errors
    /// When a file is of another kind, or key and certificate do not belong together.
    pub fn parse(&self) -> Result<Identity, String> {
        let fail = |what: String| format!("{}: {what}", self.place);
        match &self.content {
            Content::Pem { certificate, chain, key } => {
                let chain = pem::chain(chain)
                    .map_err(|what| format!("{}: {what}", certificate.display()))?;
                let key = PrivateKey::from_pem(key, self.password.as_ref()).map_err(fail)?;
                let identity = Identity { chain, key };
                identity.certified().map_err(|what| {
                    let first = certificate.display();
                    fail(format!("{what}; the first certificate of {first} must be its own"))
                })?;
                Ok(identity)
            }
            Content::Pkcs12(data) => pkcs12::open(data, self.password.as_ref()).map_err(fail),
        }
    }

    /// Adds what was read, so that a change shows.
    pub fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        match &self.content {
            Content::Pem { chain, key: private, .. } => {
                key.field("chain", chain);
                key.field("key", private.expose_secret().as_bytes());
            }
            Content::Pkcs12(data) => key.field("pkcs12", data),
        }
        if let Some(password) = &self.password {
            key.field("password", password.expose_secret().as_bytes());
        }
    }
}

impl std::fmt::Debug for IdentityFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityFiles").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads a PEM chain and takes an unencrypted PEM key.
    ///
    /// # Errors
    /// When either is not PEM of the right kind, or the two do not belong together.
    pub fn load(certificate: &Path, key: &SecretString) -> Result<Self, String> {
        let chain = certificates(certificate)?;
        let identity = Self { chain, key: PrivateKey::from_pem(key, None)? };
        identity.certified()?;
        Ok(identity)
    }

    /// The pair in the form rustls signs with.
    ///
    /// # Errors
    /// When the key is of an unknown kind or does not belong to the certificate.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>, String> {
        let key = any_supported_type(self.key.der())
            .map_err(|_| "the private key is of no kind that is known here".to_owned())?;
        let certified = CertifiedKey::new(self.chain.clone(), key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Arc::new(certified))
            }
            Err(_) => Err("the private key does not fit the certificate".to_owned()),
        }
    }

    /// The leaf.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().map_or(&[], |leaf| leaf.as_ref())
    }

    /// From when until when the leaf is good, since the Unix epoch.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn validity(&self) -> Result<(Duration, Duration), String> {
        let (_, leaf) =
            X509Certificate::from_der(self.leaf()).map_err(|_| "not an X.509 certificate")?;
        let validity = leaf.validity();
        let since_epoch = |time: ASN1Time| {
            Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default())
        };
        Ok((since_epoch(validity.not_before), since_epoch(validity.not_after)))
    }

    /// SHA-256 of the leaf: `x5t#S256`.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest(&SHA256, self.leaf()).as_ref());
        thumbprint
    }

    /// SHA-1 of the leaf: `x5t`, a name and no proof.
    #[must_use]
    pub fn sha1(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, self.leaf()).as_ref().to_vec()
    }
}

/// Whether a certificate with this validity is good at `now`, all since the Unix epoch.
///
/// # Errors
/// When it has expired, or is not good yet.
pub fn check_times(
    (not_before, not_after): (Duration, Duration),
    now: Duration,
) -> Result<(), String> {
    let date = |time: Duration| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        ASN1Time::from_timestamp(seconds).map_or_else(|_| String::new(), |time| time.to_string())
    };
    if not_after < now {
        return Err(format!("the certificate expired on {}; put a new one there", date(not_after)));
    }
    if not_before > now + CLOCKS_APART {
        return Err(format!("the certificate is not valid before {}", date(not_before)));
    }
    Ok(())
}

/// A certificate made this very second may be from the future here.
const CLOCKS_APART: Duration = Duration::from_secs(60);
