//! How Vicar proves to the authority who it is.
//!
//! Part of `authority`. A [`Credential`] is one way to do it, as configured; a [`Proof`] is what its files held at one
//! moment, ready to authenticate any number of requests; [`Attempts`] are the proofs worth trying, best first.
//! Files are read for every token request and compared by content: whatever is renewed, by whatever means, is used
//! by the next request, and what cannot be used leaves the one before in place.

mod assertion_url;
mod attempts;
mod client_assertion;
mod client_secret;
mod jwk;
mod private_key_jwt;
mod signing_key;
mod tls_client_auth;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::assertion_url::AssertionUrl;
pub(super) use self::attempts::Attempts;
pub use self::private_key_jwt::{
    Audience, PrivateKeyJwt, RESERVED_CLAIMS, RESERVED_HEADERS, SigningSource, Thumbprint,
};
pub use self::tls_client_auth::TlsClientAuth;
use super::{AuthorityError, AuthorityHttp, Endpoint, FormRequest};
use crate::cache_key::{CacheKey, CacheKeyBuilder};
use crate::clock::{Clock, Moment};
use crate::secret::{ExposeSecret as _, SecretSource, SecretString};
use crate::tls::ClientIdentity;

/// One way for a client to prove itself.
#[derive(Debug)]
pub struct Credential {
    method: Method,
    history: Mutex<History>,
}

/// A client authentication method (names as registered with RFC 8414) and where its material is.
#[derive(Debug)]
pub enum Method {
    /// A JWT that somebody else signs for us (RFC 7523 section 2.2).
    ClientAssertion(AssertionSource),
    /// A shared secret.
    ClientSecret {
        /// How it is sent.
        how: SecretMethod,
        /// Where it is read from.
        source: SecretSource,
    },
    /// A JWT that we sign (RFC 7523 section 2.2), anew for every request.
    PrivateKeyJwt(Box<PrivateKeyJwt>),
    /// A certificate shown in the TLS handshake (RFC 8705 section 2).
    TlsClientAuth(Box<TlsClientAuth>),
}

/// How a shared secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretMethod {
    /// As the authority prefers.
    Preferred,
    /// In the Authorization header.
    Basic,
    /// In the form.
    Post,
}

/// Who signs assertions for us.
#[derive(Debug)]
pub enum AssertionSource {
    /// Whoever writes this file.
    Kept(SecretSource),
    /// Somebody who is asked.
    Asked(Arc<dyn AssertionProvider>),
}

/// Somebody who is asked for an assertion: it keeps the latest while that is good.
pub trait AssertionProvider: fmt::Debug + Send + Sync {
    /// An assertion that is good now; the error is for the log.
    fn assertion<'a>(&'a self, clock: &'a Clock) -> Asking<'a>;

    /// Adds what tells it from others.
    fn add_to_key(&self, key: &mut CacheKeyBuilder);
}

/// An assertion on its way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<SecretString, String>> + Send + 'a>>;

/// Our own credential cannot be used. The text names the file and what to do; it never holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialError(pub(super) String);

/// What a credential's files held at one moment.
#[derive(Debug)]
pub(super) struct Proof {
    version: CacheKey,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Assertion(SecretString),
    Secret(SecretMethod, SecretString),
    Signer(private_key_jwt::Signer),
    Certificate(tls_client_auth::Presented),
}

/// What is known of a credential's versions.
#[derive(Debug, Default)]
struct History {
    /// The last that could be read.
    latest: Option<Arc<Proof>>,
    /// The last that the authority took.
    working: Option<Arc<Proof>>,
    /// The one that it did not take, and until when that counts.
    refused: Option<(CacheKey, Moment)>,
    /// Whether the log has been told that the files are unusable.
    told: bool,
}

impl Credential {
    /// A credential by `method`, nothing read yet.
    #[must_use]
    pub fn new(method: Method) -> Arc<Self> {
        Arc::new(Self { method, history: Mutex::default() })
    }

    /// How it proves us.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Reads its files as they are now, to say early what is wrong. Blocks. Nothing is asked of anybody.
    ///
    /// # Errors
    /// When they do not hold a proof that is good now.
    pub fn check(&self, clock: &Clock) -> Result<(), CredentialError> {
        if let Some(proof) = self.method.read(None)? {
            self.judge(&proof, clock)?;
            self.lock().latest = Some(Arc::new(proof));
        }
        Ok(())
    }

    /// What its files hold now, or held when they could last be read.
    async fn load(self: &Arc<Self>, clock: &Clock) -> Result<Arc<Proof>, CredentialError> {
        let read = if let Method::ClientAssertion(AssertionSource::Asked(provider)) = &self.method {
            let asked = provider.assertion(clock).await.map_err(CredentialError);
            asked.map(|assertion| Some(Proof::of_assertion(assertion)))
        } else {
            let (credential, known) = (Arc::clone(self), self.lock().latest.clone());
            let read = move || credential.method.read(known.as_deref());
            let read = tokio::task::spawn_blocking(read).await;
            read.unwrap_or_else(|_| Err(CredentialError("reading it was aborted".into())))
        };
        let mut history = self.lock();
        match read {
            Ok(None) => history.latest.clone().ok_or(CredentialError("nothing was read".into())),
            Ok(Some(fresh)) => {
                let fresh = Arc::new(fresh);
                history.told = false;
                history.latest = Some(Arc::clone(&fresh));
                Ok(fresh)
            }
            Err(error) => {
                let Some(latest) = history.latest.clone() else { return Err(error) };
                if !std::mem::replace(&mut history.told, true) {
                    tracing::warn!(%error, "credential unusable; the last good one stays in use");
                }
                Ok(latest)
            }
        }
    }

    /// What is worth trying, best first: what the files hold, unless it was refused a moment ago, and what worked
    /// before.
    async fn proofs(self: &Arc<Self>, clock: &Clock) -> Result<Vec<Arc<Proof>>, CredentialError> {
        let fresh = self.load(clock).await;
        let history = self.lock();
        let old = history.working.clone();
        let proofs = match (fresh, old) {
            (Ok(fresh), Some(old)) if old.version != fresh.version => {
                let lately = |(refused, until): (CacheKey, Moment)| {
                    refused == fresh.version && clock.now() < until
                };
                if history.refused.is_some_and(lately) { vec![old] } else { vec![fresh, old] }
            }
            (Ok(proof), _) | (Err(_), Some(proof)) => vec![proof],
            (Err(error), None) => return Err(error),
        };
        drop(history);
        let mut failure = None;
        let good = |proof: &Arc<Proof>| match self.judge(proof, clock) {
            Ok(()) => true,
            Err(error) => {
                failure.get_or_insert(error);
                false
            }
        };
        let proofs: Vec<_> = proofs.into_iter().filter(good).collect();
        match failure {
            Some(error) if proofs.is_empty() => Err(error),
            _ => Ok(proofs),
        }
    }

    /// Whether a proof is good now; the error says where it is from.
    fn judge(&self, proof: &Proof, clock: &Clock) -> Result<(), CredentialError> {
        let place = match &self.method {
            Method::ClientAssertion(AssertionSource::Kept(source)) => source.described() + ": ",
            _ => String::new(),
        };
        proof.check(clock).map_err(|CredentialError(what)| CredentialError(place + &what))
    }

    /// The authority has taken it.
    fn worked(&self, proof: &Arc<Proof>) {
        let mut history = self.lock();
        if history.refused.is_some_and(|(refused, _)| refused == proof.version) {
            history.refused = None;
        }
        if !history.working.as_ref().is_some_and(|working| working.version == proof.version) {
            if history.working.is_some() {
                tracing::info!(method = self.method.name(), "a new credential is in use");
            }
            history.working = Some(Arc::clone(proof));
        }
    }

    /// The authority has refused it.
    fn refused(&self, proof: &Arc<Proof>, clock: &Clock) {
        self.lock().refused = Some((proof.version, clock.now().after(REFUSED_FOR)));
    }

    /// Whether it worked before.
    fn has_worked(&self, proof: &Arc<Proof>) -> bool {
        self.lock().working.as_ref().is_some_and(|working| working.version == proof.version)
    }

    /// Adds what tells this credential from others.
    pub fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        key.field("credential", self.method.name().as_bytes());
        match &self.method {
            Method::ClientAssertion(AssertionSource::Asked(provider)) => provider.add_to_key(key),
            Method::ClientAssertion(AssertionSource::Kept(source))
            | Method::ClientSecret { source, .. } => {
                let (kind, identity) = source.identity();
                key.field(kind, identity);
            }
            Method::PrivateKeyJwt(jwt) => jwt.add_to_key(key),
            Method::TlsClientAuth(tls) => tls.add_to_key(key),
        }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Method {
    /// Its registered name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ClientAssertion(_) => "client_assertion",
            Self::ClientSecret { how: SecretMethod::Basic, .. } => "client_secret_basic",
            Self::ClientSecret { how: SecretMethod::Post, .. } => "client_secret_post",
            Self::ClientSecret { how: SecretMethod::Preferred, .. } => "client_secret",
            Self::PrivateKeyJwt(_) => "private_key_jwt",
            Self::TlsClientAuth(_) => "tls_client_auth",
        }
    }

    /// Reads the files; nothing when they hold what is `known`, or when there are none.
    fn read(&self, known: Option<&Proof>) -> Result<Option<Proof>, CredentialError> {
        let is_known = |version| known.is_some_and(|known| known.version == version);
        let (version, material) = match self {
            Self::ClientAssertion(AssertionSource::Asked(_)) => return Ok(None),
            Self::ClientAssertion(AssertionSource::Kept(source)) => {
                let text = source.read()?;
                (version_of(&text), Material::Assertion(text))
            }
            Self::ClientSecret { how, source } => {
                let secret = source.read()?;
                (version_of(&secret), Material::Secret(*how, secret))
            }
            Self::PrivateKeyJwt(jwt) => {
                let files = jwt.source.read()?;
                let version = files.version();
                if is_known(version) {
                    return Ok(None);
                }
                (version, Material::Signer(jwt.signer(&files).map_err(CredentialError)?))
            }
            Self::TlsClientAuth(tls) => {
                let files = tls.source.read()?;
                let mut version = CacheKey::builder();
                files.add_to_key(&mut version);
                let version = version.finish();
                if is_known(version) {
                    return Ok(None);
                }
                (version, Material::Certificate(tls.present(&files).map_err(CredentialError)?))
            }
        };
        if is_known(version) { Ok(None) } else { Ok(Some(Proof { version, material })) }
    }
}

impl Proof {
    fn of_assertion(assertion: SecretString) -> Self {
        Self { version: version_of(&assertion), material: Material::Assertion(assertion) }
    }

    /// Whether it is good now.
    fn check(&self, clock: &Clock) -> Result<(), CredentialError> {
        let now = clock.wall();
        match &self.material {
            Material::Assertion(assertion) => client_assertion::check(assertion, now),
            Material::Secret(..) => Ok(()),
            Material::Signer(signer) => signer.check(now),
            Material::Certificate(presented) => presented.check(now),
        }
        .map_err(CredentialError)
    }

    /// Adds the proof to `request`, which goes to `endpoint`.
    pub(super) fn add_to(
        &self,
        request: &mut FormRequest,
        endpoint: &Endpoint,
        clock: &Clock,
    ) -> Result<(), AuthorityError> {
        match &self.material {
            Material::Assertion(assertion) => client_assertion::add_to(request, assertion),
            Material::Secret(how, secret) => {
                let basic = match how {
                    SecretMethod::Basic => true,
                    SecretMethod::Post => false,
                    SecretMethod::Preferred => endpoint.prefers_basic,
                };
                client_secret::add_to(request, secret, basic);
            }
            Material::Signer(signer) => {
                let assertion = signer.sign(&request.client_id, endpoint, clock.wall());
                client_assertion::add_to(request, &assertion.map_err(CredentialError)?);
            }
            Material::Certificate(_) => {
                // RFC 8705 section 2: the certificate proves us, the form says who we are.
                request.form.push("client_id", &request.client_id);
            }
        }
        Ok(())
    }

    /// The connections that show its certificate, if it has one to show.
    pub(super) fn connections(&self) -> Option<&AuthorityHttp> {
        match &self.material {
            Material::Certificate(presented) => Some(presented.http()),
            Material::Assertion(_) | Material::Secret(..) | Material::Signer(_) => None,
        }
    }

    /// The certificate it shows.
    pub(super) fn certificate(&self) -> Option<&Arc<ClientIdentity>> {
        match &self.material {
            Material::Certificate(presented) => Some(presented.identity()),
            Material::Assertion(_) | Material::Secret(..) | Material::Signer(_) => None,
        }
    }
}

impl From<crate::secret::SecretError> for CredentialError {
    fn from(error: crate::secret::SecretError) -> Self {
        Self(error.to_string())
    }
}

fn version_of(secret: &SecretString) -> CacheKey {
    let mut version = CacheKey::builder();
    version.field("secret", secret.expose_secret().as_bytes());
    version.finish()
}

/// Long enough not to ask twice for every token, short enough that a secret which becomes good is used.
const REFUSED_FOR: Duration = Duration::from_secs(10);
