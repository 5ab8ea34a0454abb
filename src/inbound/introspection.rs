//! Tokens that only their issuer can read: it is asked, once per token and while (RFC 7662).
//!
//! Part of `inbound`. The question is authenticated with a client of Vicar's own. A good answer is kept by
//! the verification cache, no longer than the token lives; a "no" is remembered for a moment, so that a bad
//! token costs one question. One question per token is on its way, and so many at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use prometheus::IntCounterVec;
use quick_cache::sync::Cache;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use url::Url;

use super::authentication::Evidence;
use super::claims::{BadClaim, Claims};
use super::error::Fault;
use super::issuer::{IssuerKind, IssuerSpec};
use super::verified::{ClaimNames, Verified};
use crate::authority::{Answer, AuthorityError, ClientSpec, Endpoint, FormRequest};
use crate::cache_key::CacheKey;
use crate::clock::Moment;
use crate::secret::{ExposeSecret, SecretString};

/// An issuer that is asked, as configured.
#[derive(Debug)]
pub struct IntrospectionSpec {
    /// Where; discovered from the client's authority when left out.
    pub endpoint: Option<Url>,
    /// In whose name.
    pub client: Arc<ClientSpec>,
    /// What `iss` must be, where the answer has one.
    pub issuer: Option<String>,
    /// How long a "yes" counts.
    pub cache: Duration,
    /// How long a "no" counts.
    pub negative_cache: Duration,
}

/// Why an issuer could not be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct IntrospectionError {
    /// What happened.
    pub text: Arc<str>,
    /// Whether the issuer refused us, rather than being out of reach.
    pub refused: bool,
    /// When to ask again.
    pub retry_in: Duration,
}

/// An issuer that is asked, at work.
#[derive(Debug)]
pub(super) struct Introspector {
    spec: Arc<IssuerSpec>,
    /// The number that tells it from all other issuers.
    id: usize,
    evidence: Arc<Evidence>,
    fetcher: Handle,
    questions: IntCounterVec,
    flights: Mutex<HashMap<CacheKey, Flight>>,
    inactive: Cache<CacheKey, Moment>,
    failure: Mutex<Option<(IntrospectionError, Moment)>>,
    room: Semaphore,
}

type Outcome = Result<Arc<Verified>, Fault>;
type Flight = watch::Receiver<Option<Outcome>>;

impl Introspector {
    /// An introspector whose questions run on `fetcher` and are counted by `issuer` and `outcome`.
    #[must_use]
    pub(super) fn new(
        spec: Arc<IssuerSpec>,
        id: usize,
        evidence: Arc<Evidence>,
        fetcher: Handle,
        questions: IntCounterVec,
    ) -> Arc<Self> {
        Arc::new(Self {
            spec,
            id,
            evidence,
            fetcher,
            questions,
            flights: Mutex::default(),
            inactive: Cache::new(MAX_INACTIVE),
            failure: Mutex::default(),
            room: Semaphore::new(MAX_QUESTIONS),
        })
    }

    /// Whether what it said before still counts.
    #[must_use]
    pub(super) fn still_vouches_for(&self, verified: &Verified) -> bool {
        self.evidence.clock.now() < verified.good_until
    }

    /// Asks about a token, together with everyone who wants to know the same.
    ///
    /// # Errors
    /// When the token is not good, or nobody can say.
    pub(super) async fn verify(self: &Arc<Self>, token: &str, digest: CacheKey) -> Outcome {
        let now = self.evidence.clock.now();
        if self.inactive.get(&digest).is_some_and(|until| now < until) {
            return Err(Fault::Inactive);
        }
        if let Some((error, until)) = self.lock_failure().as_ref()
            && now < *until
        {
            return Err(IntrospectionError { retry_in: now.until(*until), ..error.clone() }.into());
        }
        let mut flight = self.flight(token, digest).ok_or_else(crowded)?;
        let landed = flight.wait_for(Option::is_some).await;
        let outcome = landed.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| Err(unavailable("the question was aborted", FIRST_PAUSE).into()))
    }

    /// The question on its way for this token, or a new one in a task of its own.
    fn flight(self: &Arc<Self>, token: &str, digest: CacheKey) -> Option<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&digest) {
            return Some(flight.clone());
        }
        if flights.len() >= MAX_WAITING {
            return None;
        }
        let (answers, flight) = watch::channel(None);
        flights.insert(digest, flight.clone());
        drop(flights);
        let landing = Landing { introspector: Arc::clone(self), digest, answers };
        let token = SecretString::from(token);
        self.fetcher.spawn(async move {
            let outcome = landing.introspector.ask(token.expose_secret(), digest).await;
            landing.answers.send_replace(Some(outcome));
        });
        Some(flight)
    }

    async fn ask(&self, token: &str, digest: CacheKey) -> Outcome {
        let issuer = self.spec.name.as_ref();
        // A long line is nobody's fault but the callers', so it is not remembered as a failure.
        let Ok(Ok(_room)) = tokio::time::timeout(FIRST_PAUSE, self.room.acquire()).await else {
            return Err(crowded());
        };
        let answered = self.question(token).await;
        let outcome = match &answered {
            Ok(verified) => {
                // Before the flight ends: whoever comes after it must find the answer.
                self.evidence.verified.put(digest, self.id, verified);
                "active"
            }
            Err(Fault::Introspection(error)) => {
                tracing::warn!(issuer, %error, "introspection failed");
                let until = self.evidence.clock.now().after(error.retry_in);
                *self.lock_failure() = Some((error.clone(), until));
                if error.refused { "refused" } else { "unavailable" }
            }
            Err(_) => {
                let pause = self.introspection().map_or(FIRST_PAUSE, |spec| spec.negative_cache);
                self.inactive.insert(digest, self.evidence.clock.now().after(pause));
                "inactive"
            }
        };
        self.questions.with_label_values(&[issuer, outcome]).inc();
        answered
    }

    async fn question(&self, token: &str) -> Outcome {
        let spec = self.introspection().ok_or(Fault::UnknownIssuer)?;
        let answer = self.exchange(spec, token).await.map_err(|error| {
            let retry_in = match &error {
                AuthorityError::Throttled { retry_after, .. } => *retry_after,
                _ => FIRST_PAUSE,
            };
            Fault::from(unavailable(&error.to_string(), retry_in))
        })?;
        self.judge(spec, &answer)
    }

    async fn exchange(
        &self,
        spec: &IntrospectionSpec,
        token: &str,
    ) -> Result<Answer, AuthorityError> {
        let client = &spec.client;
        let endpoint = match &spec.endpoint {
            Some(url) => Endpoint { url: url.clone(), prefers_basic: true },
            None => client.authority.introspection_endpoint(&self.evidence.clock).await?,
        };
        let form = vec![
            ("token".to_owned(), token.to_owned()),
            ("token_type_hint".to_owned(), "access_token".to_owned()),
        ];
        let mut request = FormRequest::new(&client.client_id, form);
        client.credential.authenticate(&mut request, &endpoint).await?;
        client.authority.post(&endpoint.url, &request).await
    }

    fn judge(&self, spec: &IntrospectionSpec, answer: &Answer) -> Outcome {
        if answer.status != StatusCode::OK {
            let text = format!("the issuer answered with status {}", answer.status.as_u16());
            let retry_in = answer.retry_after().unwrap_or(FIRST_PAUSE);
            let refused = answer.status.is_client_error()
                && answer.status != StatusCode::TOO_MANY_REQUESTS
                && answer.status != StatusCode::REQUEST_TIMEOUT;
            let retry_in = if refused { REFUSAL_PAUSE } else { retry_in };
            return Err(IntrospectionError { text: text.into(), refused, retry_in }.into());
        }
        let senseless = |what: &str| Fault::from(unavailable(what, FIRST_PAUSE));
        let claims = Claims::parse(&answer.body).map_err(|_| senseless("not a JSON object"))?;
        match claims.members().get("active") {
            Some(Value::Bool(true)) => Ok(Arc::new(self.read(spec, claims)?)),
            Some(Value::Bool(false)) => Err(Fault::Inactive),
            _ => Err(senseless("no `active` in the answer")),
        }
    }

    /// An active token's answer is held against the same rules as a signed one's claims.
    fn read(&self, spec: &IntrospectionSpec, claims: Claims) -> Result<Verified, Fault> {
        let issuer = claims.text("iss")?;
        if spec.issuer.is_some() && issuer.is_some() && issuer != spec.issuer.as_deref() {
            return Err(BadClaim::Issuer.into());
        }
        if !self.spec.audiences.is_empty() {
            claims.check_audience(&self.spec.audiences)?;
        }
        let known = ["bearer", "dpop", "access_token"];
        let kind = claims.text("token_type")?.map(str::to_ascii_lowercase);
        if kind.is_some_and(|kind| !known.contains(&kind.as_str())) {
            return Err(BadClaim::OtherKind.into());
        }
        claims.check_other_kinds()?;
        let (now, wall) = (self.evidence.clock.now(), self.evidence.clock.wall());
        let left = match claims.time("exp")? {
            Some(_) => claims.check_times(wall, self.spec.skew)?.saturating_sub(wall),
            None => spec.cache,
        };
        let names = ClaimNames { roles: &self.spec.roles_claim, is_entra: false };
        let good_until = now.after(left.min(spec.cache));
        Ok(Verified::new(&self.spec.name, claims, names, good_until, None)?)
    }

    fn introspection(&self) -> Option<&IntrospectionSpec> {
        match &self.spec.kind {
            IssuerKind::Introspection(introspection) => Some(introspection),
            IssuerKind::Jwt(_) => None,
        }
    }

    fn lock_failure(&self) -> std::sync::MutexGuard<'_, Option<(IntrospectionError, Moment)>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a question for those who wait, even when the task is dropped.
struct Landing {
    introspector: Arc<Introspector>,
    digest: CacheKey,
    answers: watch::Sender<Option<Outcome>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let flights = &self.introspector.flights;
        flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

fn crowded() -> Fault {
    unavailable("too many questions at once", FIRST_PAUSE).into()
}

fn unavailable(text: &str, retry_in: Duration) -> IntrospectionError {
    IntrospectionError { text: text.into(), refused: false, retry_in }
}

const MAX_QUESTIONS: usize = 64;
const MAX_WAITING: usize = 4096;
const MAX_INACTIVE: usize = 100_000;
/// Nobody asks again before; short enough to be back within two seconds of the issuer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);
