//! Assertions from an address that gives them, as CI systems have one for each job (GitHub Actions' OIDC token).
//!
//! Part of `authority::credential`. The latest is kept until half of its life is over; one request at a time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::client_assertion::expiry;
use super::{Asking, AssertionProvider};
use crate::authority::{AuthorityError, AuthorityHttp};
use crate::cache_key::CacheKeyBuilder;
use crate::clock::{Clock, Moment};
use crate::secret::{SecretSource, SecretString};

/// An address that gives assertions.
#[derive(Debug)]
pub struct AssertionUrl {
    /// Where, with the audience in its query.
    url: Url,
    /// What it wants to be shown.
    bearer: Option<Arc<SecretSource>>,
    /// The member of the answer that is the assertion.
    member: String,
    http: AuthorityHttp,
    latest: Mutex<Option<(SecretString, Moment)>>,
}

impl AssertionUrl {
    /// The address `url`; `audience` is added to its query.
    #[must_use]
    pub fn new(
        mut url: Url,
        audience: Option<&str>,
        bearer: Option<SecretSource>,
        member: String,
        http: AuthorityHttp,
    ) -> Self {
        if let Some(audience) = audience {
            url.query_pairs_mut().append_pair("audience", audience);
        }
        Self { url, bearer: bearer.map(Arc::new), member, http, latest: Mutex::default() }
    }

    async fn ask(&self, clock: &Clock) -> Result<(SecretString, Moment), String> {
        let bearer = match &self.bearer {
            Some(bearer) => Some(bearer.load().await.map_err(|error| error.to_string())?),
            None => None,
        };
        let asked = clock.now();
        let answer = self.http.get_with(&self.url, bearer.as_ref()).await;
        let answer = answer.map_err(|error: AuthorityError| error.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("status {}", answer.status.as_u16()));
        }
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| "no JSON")?;
        let assertion = body.get(&self.member).and_then(Value::as_str);
        let assertion = assertion.ok_or_else(|| format!("no text member `{}`", self.member))?;
        let exp = expiry(assertion).ok_or("no signed JWT with `exp`")?;
        let life = exp.saturating_sub(clock.wall()).min(MAX_LIFE);
        Ok((assertion.into(), asked.after(life / 2)))
    }

    async fn current(&self, clock: &Clock) -> Result<SecretString, String> {
        let mut latest = self.latest.lock().await;
        if let Some((assertion, until)) = latest.as_ref()
            && clock.now() < *until
        {
            return Ok(assertion.clone());
        }
        let host = self.url.host_str().unwrap_or_default();
        let fresh =
            self.ask(clock).await.map_err(|what| format!("the assertion of {host}: {what}"))?;
        let assertion = fresh.0.clone();
        *latest = Some(fresh);
        Ok(assertion)
    }
}

impl AssertionProvider for AssertionUrl {
    fn assertion<'a>(&'a self, clock: &'a Clock) -> Asking<'a> {
        Box::pin(self.current(clock))
    }

    fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        key.field("url", self.url.as_str().as_bytes());
        if let Some(bearer) = &self.bearer {
            let (kind, identity) = bearer.identity();
            key.field(kind, identity);
        }
    }
}

const MAX_LIFE: Duration = Duration::from_secs(3600);
