//! Tokens that only their issuer can read: it is asked, once per token and while (RFC 7662).
//!
//! Part of `inbound`. The question is authenticated with a client of Vicar's own. A good answer is kept by
//! the verification cache, no longer than the token lives; anything else is remembered for a moment with the
//! token it was about, so that a bad token costs one question, and no token costs others theirs: only when
//! several in a row cannot be answered is the issuer left alone for a while. One question per token is on its
//! way, and so many at all; places are kept for tokens that were good before.

mod answer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounterVec;
use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use url::Url;

use self::answer::Reading;
use super::authentication::Evidence;
use super::error::Fault;
use super::issuer::{IssuerKind, IssuerSpec};
use super::verified::Verified;
use crate::authority::{Answer, AuthorityError, ClientSpec, Endpoint, Form};
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
    /// Whether another token might well be answered.
    pub about_token: bool,
    /// When to ask again.
    pub retry_in: Duration,
}

/// An issuer that is asked, at work.
#[derive(Debug)]
pub struct Introspector {
    spec: Arc<IssuerSpec>,
    /// The number that tells it from all other issuers.
    id: usize,
    evidence: Arc<Evidence>,
    fetcher: Handle,
    questions: IntCounterVec,
    flights: Mutex<Flights>,
    /// What is wrong with a token, and until when that counts.
    refused: Cache<CacheKey, (Fault, Moment)>,
    /// Tokens that were good before.
    welcome: Cache<CacheKey, ()>,
    trouble: Mutex<Trouble>,
    room: Semaphore,
    room_for_welcome: Semaphore,
}

/// Questions on their way.
#[derive(Debug, Default)]
struct Flights {
    by_token: HashMap<CacheKey, Flight>,
    /// How many of them are about tokens that were not good before.
    strangers: usize,
}

/// Questions in a row that were not answered.
#[derive(Debug, Default)]
struct Trouble {
    streak: u32,
    /// What the latest one failed with.
    latest: Option<&'static str>,
    /// Nobody asks before.
    pause: Option<(IntrospectionError, Moment)>,
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
            refused: Cache::new(MAX_REMEMBERED),
            welcome: Cache::new(MAX_REMEMBERED),
            trouble: Mutex::default(),
            room: Semaphore::new(MAX_QUESTIONS),
            room_for_welcome: Semaphore::new(MAX_QUESTIONS),
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// Why the latest question was not answered, unless one was answered since.
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        self.lock_trouble().latest
    }

    /// Whether what it said before still counts.
    #[must_use]
    pub fn still_vouches_for(&self, verified: &Verified) -> bool {
        !verified.good_until.is_past(&self.evidence.clock)
    }

    /// Asks about a token, together with everyone who wants to know the same.
    ///
    /// # Errors
    /// When the token is not good, or nobody can say.
    pub(super) async fn verify(self: &Arc<Self>, token: &str, digest: CacheKey) -> Outcome {
        let now = self.evidence.clock.now();
        if let Some((fault, until)) = self.refused.get(&digest)
            && now < until
        {
            return Err(fault);
        }
        if let Some((error, until)) = self.lock_trouble().pause.as_ref()
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
        let is_welcome = self.welcome.get(&digest).is_some();
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.by_token.get(&digest) {
            return Some(flight.clone());
        }
        let strangers = flights.strangers + usize::from(!is_welcome);
        if strangers > MAX_STRANGERS || flights.by_token.len() >= 2 * MAX_STRANGERS {
            return None;
        }
        flights.strangers = strangers;
        let (answers, flight) = watch::channel(None);
        flights.by_token.insert(digest, flight.clone());
        drop(flights);
        let landing = Landing { introspector: Arc::clone(self), digest, is_welcome, answers };
        let token = SecretString::from(token);
        self.fetcher.spawn(async move {
            let asked = landing.introspector.ask(token.expose_secret(), digest, is_welcome);
            let outcome = asked.await;
            landing.answers.send_replace(Some(outcome));
        });
        Some(flight)
    }

    async fn ask(&self, token: &str, digest: CacheKey, is_welcome: bool) -> Outcome {
        let room = if is_welcome { &self.room_for_welcome } else { &self.room };
        // A long line is nobody's fault but the callers', so it is not remembered as a failure.
        let Ok(Ok(_room)) = tokio::time::timeout(FIRST_PAUSE, room.acquire()).await else {
            return Err(crowded());
        };
        let answered = self.question(token).await.map_err(|fault| self.named(fault));
        let outcome = match &answered {
            Ok(verified) => {
                // Before the flight ends: whoever comes after it must find the answer.
                self.evidence.verified.put(digest, self.id, verified);
                self.welcome.insert(digest, ());
                *self.lock_trouble() = Trouble::default();
                "active"
            }
            Err(Fault::Introspection(error)) => {
                self.note_trouble(error);
                self.refuse(digest, &Fault::Introspection(error.clone()), error.retry_in);
                if error.refused { "refused" } else { "unavailable" }
            }
            Err(fault) => {
                let pause = self.introspection().map_or(FIRST_PAUSE, |spec| spec.negative_cache);
                self.refuse(digest, fault, pause);
                self.welcome.remove(&digest);
                *self.lock_trouble() = Trouble::default();
                "inactive"
            }
        };
        self.questions.with_label_values(&[self.spec.name.as_ref(), outcome]).inc();
        answered
    }

    /// Says in the log's text which issuer it was: a route may have several.
    fn named(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Introspection(error) => {
                let text = format!("issuer {}: {}", self.spec.name, error.text).into();
                IntrospectionError { text, ..error }.into()
            }
            other => other,
        }
    }

    /// Remembers what is wrong with one token.
    fn refuse(&self, digest: CacheKey, fault: &Fault, pause: Duration) {
        self.refused.insert(digest, (fault.clone(), self.evidence.clock.now().after(pause)));
    }

    /// Leaves the issuer alone when several questions in a row brought nothing.
    fn note_trouble(&self, error: &IntrospectionError) {
        let issuer = self.spec.name.as_ref();
        tracing::warn!(issuer, %error, "introspection failed");
        if error.about_token {
            return;
        }
        let mut trouble = self.lock_trouble();
        trouble.streak += 1;
        trouble.latest =
            Some(if error.refused { "issuer_refused_client" } else { "issuer_unavailable" });
        if trouble.streak >= TROUBLE {
            let until = self.evidence.clock.now().after(error.retry_in);
            trouble.pause = Some((error.clone(), until));
        }
    }

    async fn question(&self, token: &str) -> Outcome {
        let spec = self.introspection().ok_or(Fault::UnknownIssuer)?;
        let answer = self.exchange(spec, token).await.map_err(|error| {
            let retry_in = match &error {
                AuthorityError::Throttled { retry_after, .. } => (*retry_after).min(MAX_PAUSE),
                _ => FIRST_PAUSE,
            };
            Fault::from(unavailable(&error.to_string(), retry_in))
        })?;
        let reading = Reading { issuer: &self.spec, spec, clock: &self.evidence.clock };
        reading.judge(&answer, token)
    }

    async fn exchange(
        &self,
        spec: &IntrospectionSpec,
        token: &str,
    ) -> Result<Answer, AuthorityError> {
        let client = &spec.client;
        let endpoint = match &spec.endpoint {
            Some(url) => {
                Endpoint { url: url.clone(), mtls: None, issuer: None, prefers_basic: true }
            }
            None => client.authority.introspection_endpoint(&self.evidence.clock).await?,
        };
        let form = Form::from_iter([("token", token), ("token_type_hint", "access_token")]);
        Ok(client.post(&form, &endpoint, &self.evidence.clock).await?.answer)
    }

    fn introspection(&self) -> Option<&IntrospectionSpec> {
        match &self.spec.kind {
            IssuerKind::Introspection(introspection) => Some(introspection),
            IssuerKind::Jwt(_) => None,
        }
    }

    fn lock_trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a question for those who wait, even when the task is dropped.
struct Landing {
    introspector: Arc<Introspector>,
    digest: CacheKey,
    is_welcome: bool,
    answers: watch::Sender<Option<Outcome>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let flights = &self.introspector.flights;
        let mut flights = flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.by_token.remove(&self.digest).is_some() && !self.is_welcome {
            flights.strangers -= 1;
        }
    }
}

fn crowded() -> Fault {
    unavailable("too many questions at once", FIRST_PAUSE).into()
}

fn unavailable(text: &str, retry_in: Duration) -> IntrospectionError {
    IntrospectionError { text: text.into(), refused: false, about_token: false, retry_in }
}

const MAX_QUESTIONS: usize = 64;
const MAX_STRANGERS: usize = 2048;
const MAX_REMEMBERED: usize = 50_000;
/// So many in a row are no longer the tokens' fault.
const TROUBLE: u32 = 3;
/// Nobody asks again before; short enough to be back within two seconds of the issuer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// However long the issuer wants us to wait: callers wait as well.
const MAX_PAUSE: Duration = Duration::from_secs(30);
