//! Authorization-server metadata: found, checked, kept (OIDC Discovery 1.0 section 4, RFC 8414).
//!
//! Part of `authority`. The last good document stays in use while a newer one cannot be had.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::http::AuthorityHttp;
use super::{AuthorityError, Endpoint};
use crate::clock::{Clock, Moment};
use crate::tls;

/// The metadata of one issuer.
#[derive(Debug)]
pub struct Metadata {
    location: String,
    expected: ExpectedIssuer,
    known: Mutex<Option<Known>>,
}

/// What the document must name as its issuer (RFC 8414 section 3.3).
#[derive(Clone, Debug)]
pub enum ExpectedIssuer {
    /// This, byte for byte.
    Exactly(String),
    /// Some one path segment between these two: Entra names a tenant's id where we know its domain.
    Between(String, String),
}

#[derive(Clone, Debug)]
struct Known {
    document: Arc<Document>,
    fresh_until: Moment,
}

/// What we read of the document; the rest is ignored.
#[derive(Debug, Deserialize)]
pub struct Document {
    /// Who issues; it has been checked.
    pub issuer: String,
    #[serde(default)]
    token_endpoint: Option<String>,
    #[serde(default)]
    introspection_endpoint: Option<String>,
    #[serde(default)]
    jwks_uri: Option<String>,
    #[serde(default)]
    mtls_endpoint_aliases: Aliases,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    introspection_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Where clients that show a certificate go instead (RFC 8705 section 5).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Aliases {
    token_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
}

impl ExpectedIssuer {
    fn accepts(&self, issuer: &str) -> bool {
        match self {
            Self::Exactly(expected) => issuer == expected,
            Self::Between(before, after) => issuer
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(|segment| !segment.is_empty() && !segment.contains(['/', '{'])),
        }
    }
}

impl Metadata {
    /// The metadata of `issuer`, which is also where they are found.
    #[must_use]
    pub fn of_issuer(issuer: String) -> Self {
        Self::new(issuer.clone(), ExpectedIssuer::Exactly(issuer))
    }

    /// Metadata found below `location`, of an issuer as `expected`.
    #[must_use]
    pub fn new(location: String, expected: ExpectedIssuer) -> Self {
        Self { location, expected, known: Mutex::default() }
    }

    /// Where the metadata are found.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The document: remembered, discovered, or the last good one when discovery fails.
    ///
    /// # Errors
    /// When discovery fails and never succeeded.
    pub async fn document(
        &self,
        http: &AuthorityHttp,
        clock: &Clock,
    ) -> Result<Arc<Document>, AuthorityError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = &known
            && clock.now() < known.fresh_until
        {
            return Ok(Arc::clone(&known.document));
        }
        // With a document at hand, a server that does not answer must not use up the fetch's time.
        let patience = http.total_timeout() / if known.is_some() { 4 } else { 1 };
        let discovered = tokio::time::timeout(patience, self.discover(http)).await;
        let slow = || AuthorityError::Unreachable(format!("no metadata within {patience:?}"));
        let (document, fresh_for) = match (discovered.unwrap_or_else(|_| Err(slow())), known) {
            (Ok(document), _) => (Arc::new(document), FRESH_FOR),
            (Err(error), Some(known)) => {
                let issuer = &self.location;
                tracing::warn!(%error, issuer, "metadata not renewed; keeping the old");
                (known.document, ASK_AGAIN_AFTER)
            }
            (Err(error), None) => return Err(error),
        };
        let fresh_until = clock.now().after(fresh_for);
        let kept = Known { document: Arc::clone(&document), fresh_until };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(document)
    }

    /// What the document says has turned out wrong: it is read again before it is used again.
    pub fn doubt(&self, clock: &Clock) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_mut() {
            known.fresh_until = clock.now();
        }
    }

    async fn discover(&self, http: &AuthorityHttp) -> Result<Document, AuthorityError> {
        let mut failure = None;
        for url in candidates(&self.location) {
            let answer = http.get(&url).await?;
            match answer.status {
                StatusCode::OK => return self.read(&url, &answer.body),
                StatusCode::NOT_FOUND => {}
                status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    let status = status.as_u16();
                    return Err(match answer.retry_after() {
                        Some(retry_after) => AuthorityError::Throttled { status, retry_after },
                        None => AuthorityError::Unusable { status, what: "no metadata" },
                    });
                }
                _ => {}
            }
            failure = Some(problem(&url, format!("status {}", answer.status.as_u16())));
        }
        Err(failure.unwrap_or_else(|| AuthorityError::Metadata {
            url: self.location.clone(),
            what: "the issuer is not a URL".into(),
        }))
    }

    fn read(&self, url: &Url, body: &[u8]) -> Result<Document, AuthorityError> {
        let document: Document = serde_json::from_slice(body)
            .map_err(|_| problem(url, "not a metadata document with `issuer`".into()))?;
        // RFC 8414 section 3.3: identical, or the document must not be used.
        if !self.expected.accepts(&document.issuer) {
            // Not repeated: what they write is not ours to log.
            let what =
                "its `issuer` is not the configured one; both must be equal to the last slash";
            return Err(problem(url, what.into()));
        }
        Ok(document)
    }
}

impl Document {
    /// Where tokens are asked for.
    ///
    /// # Errors
    /// When the document names no usable address.
    pub fn token_endpoint(&self) -> Result<Endpoint, AuthorityError> {
        let url = self.address("token_endpoint", self.token_endpoint.as_deref())?;
        let prefers_basic = prefers_basic(self.token_endpoint_auth_methods_supported.as_ref());
        let alias = self.mtls_endpoint_aliases.token_endpoint.as_ref();
        let mtls = self.alias("token_endpoint", alias)?;
        Ok(Endpoint { url, mtls, issuer: Some(self.issuer.clone()), prefers_basic })
    }

    /// Where tokens are introspected (RFC 7662).
    ///
    /// # Errors
    /// When the document names no usable address.
    pub fn introspection_endpoint(&self) -> Result<Endpoint, AuthorityError> {
        let url = self.address("introspection_endpoint", self.introspection_endpoint.as_deref())?;
        let methods = self.introspection_endpoint_auth_methods_supported.as_ref();
        let methods = methods.or(self.token_endpoint_auth_methods_supported.as_ref());
        let prefers_basic = prefers_basic(methods);
        let alias = self.mtls_endpoint_aliases.introspection_endpoint.as_ref();
        let mtls = self.alias("introspection_endpoint", alias)?;
        Ok(Endpoint { url, mtls, issuer: Some(self.issuer.clone()), prefers_basic })
    }

    /// Where the key set is.
    ///
    /// # Errors
    /// When the document names no usable address.
    pub fn jwks_uri(&self) -> Result<Url, AuthorityError> {
        self.address("jwks_uri", self.jwks_uri.as_deref())
    }

    fn alias(&self, name: &str, given: Option<&String>) -> Result<Option<Url>, AuthorityError> {
        given.map(|given| self.address(name, Some(given))).transpose()
    }

    fn address(&self, name: &str, given: Option<&str>) -> Result<Url, AuthorityError> {
        // A document from elsewhere must not lead us to this machine, nor into plain text.
        let is_local = Url::parse(&self.issuer).is_ok_and(|issuer| tls::is_loopback(&issuer));
        let allowed =
            |url: &Url| tls::is_https_or_loopback(url) && (is_local || !tls::is_loopback(url));
        let wrong = |what: String| AuthorityError::Metadata { url: self.issuer.clone(), what };
        let given = given.ok_or_else(|| wrong(format!("it names no {name}")))?;
        let url = Url::parse(given).ok().filter(allowed);
        url.ok_or_else(|| wrong(format!("its {name} is not an https URL of another machine")))
    }
}

/// Without the member the default is Basic (RFC 8414 section 2).
fn prefers_basic(methods: Option<&Vec<String>>) -> bool {
    let supports = |name: &str| methods.into_iter().flatten().any(|method| method == name);
    supports("client_secret_basic") || !supports("client_secret_post")
}

/// Where the document may be: OIDC appends its path, RFC 8414 puts it after the host.
fn candidates(issuer: &str) -> Vec<Url> {
    let appended = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let inserted = Url::parse(issuer).ok().map(|mut url| {
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
        url
    });
    Url::parse(&appended).ok().into_iter().chain(inserted).collect()
}

fn problem(url: &Url, what: String) -> AuthorityError {
    AuthorityError::Metadata { url: url.to_string(), what }
}

const FRESH_FOR: Duration = Duration::from_secs(3600);
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);
