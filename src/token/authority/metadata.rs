//! Authorization-server metadata: found, checked, kept (OIDC Discovery 1.0 section 4, RFC 8414).
//!
//! Part of `token::authority`. The last good document stays in use while a newer one cannot be had.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::Endpoint;
use super::http::AuthorityHttp;
use crate::clock::{Clock, Moment};
use crate::token::AcquireError;

/// The metadata of one issuer.
#[derive(Debug)]
pub(super) struct Metadata {
    issuer: String,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    endpoint: Arc<Endpoint>,
    fresh_until: Moment,
}

/// What we read of the document; the rest is ignored.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    pub(super) fn new(issuer: String) -> Self {
        Self { issuer, known: Mutex::default() }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The token endpoint: remembered, discovered, or the last good one when discovery fails.
    pub(super) async fn endpoint(
        &self,
        http: &AuthorityHttp,
        clock: &Clock,
    ) -> Result<Endpoint, AcquireError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = &known
            && clock.now() < known.fresh_until
        {
            return Ok(known.endpoint.as_ref().clone());
        }
        // With a document at hand, a server that does not answer must not use up the fetch's time.
        let patience = http.total_timeout() / if known.is_some() { 4 } else { 1 };
        let discovered = tokio::time::timeout(patience, self.discover(http)).await;
        let slow = || AcquireError::Unreachable(format!("no metadata within {patience:?}"));
        match (discovered.unwrap_or_else(|_| Err(slow())), known) {
            (Ok(endpoint), _) => {
                let fresh_until = clock.now().after(FRESH_FOR);
                let known = Known { endpoint: Arc::new(endpoint.clone()), fresh_until };
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                Ok(endpoint)
            }
            (Err(error), Some(known)) => {
                tracing::warn!(%error, issuer = %self.issuer, "metadata not renewed; keeping the old");
                let fresh_until = clock.now().after(ASK_AGAIN_AFTER);
                let endpoint = Arc::clone(&known.endpoint);
                let kept = Known { endpoint, fresh_until };
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
                Ok(known.endpoint.as_ref().clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn discover(&self, http: &AuthorityHttp) -> Result<Endpoint, AcquireError> {
        let mut failure = None;
        for url in candidates(&self.issuer) {
            let answer = http.get(&url).await?;
            match answer.status {
                StatusCode::OK => return self.read(&url, &answer.body),
                StatusCode::NOT_FOUND => {}
                status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    let status = status.as_u16();
                    return Err(match answer.retry_after() {
                        Some(retry_after) => AcquireError::Throttled { status, retry_after },
                        None => AcquireError::Unusable { status, what: "no metadata" },
                    });
                }
                _ => {}
            }
            failure = Some(problem(&url, format!("status {}", answer.status.as_u16())));
        }
        Err(failure.unwrap_or_else(|| AcquireError::Metadata {
            url: self.issuer.clone(),
            what: "the issuer is not a URL".into(),
        }))
    }

    fn read(&self, url: &Url, body: &[u8]) -> Result<Endpoint, AcquireError> {
        let document: Document = serde_json::from_slice(body)
            .map_err(|_| problem(url, "not metadata with `issuer` and `token_endpoint`".into()))?;
        // RFC 8414 section 3.3: identical, or the document must not be used.
        if document.issuer != self.issuer {
            return Err(problem(url, "it is for another issuer than configured".into()));
        }
        let endpoint = Url::parse(&document.token_endpoint)
            .ok()
            .filter(crate::tls::is_https_or_loopback)
            .ok_or_else(|| problem(url, "its token endpoint is not an https URL".into()))?;
        let methods = document.token_endpoint_auth_methods_supported;
        let supports = |name: &str| methods.iter().flatten().any(|method| method == name);
        // Without the member the default is Basic (RFC 8414 section 2).
        let prefers_basic = supports("client_secret_basic") || !supports("client_secret_post");
        Ok(Endpoint { url: endpoint, prefers_basic })
    }
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

fn problem(url: &Url, what: String) -> AcquireError {
    AcquireError::Metadata { url: url.to_string(), what }
}

const FRESH_FOR: Duration = Duration::from_secs(3600);
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);
