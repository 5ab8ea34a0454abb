//! A route's check of its callers: whom it exempts, which token it finds good, what it lets pass.
//!
//! Part of `inbound`: ties the steps together.
//!
//! ```text
//! exempt? → credential → verified before? → issuer → key → signature → claims → binding → rules
//! ```
//!
//! Binding and rules are checked for every request, also when the token had been verified before.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};
use prometheus::{IntCounter, IntCounterVec};

use super::binding::{Bound, Origin, ProofPolicy};
use super::challenge::Challenges;
use super::claims::Claims;
use super::credential::{Presented, Scheme};
use super::dpop::ProofMemory;
use super::error::{Fault, Refusal, Verdict};
use super::introspection::Introspector;
use super::issuer::{IssuerSpec, JwtIssuer};
use super::jws::{Compact, EmbeddedKey};
use super::rules::Rules;
use super::subject::Subject;
use super::verified::Verified;
use super::verified_cache::VerifiedCache;
use super::{Arrival, Caller};
use crate::cache_key::CacheKey;
use crate::clock::Clock;
use crate::route::PathMatch;

/// A route's demands on its callers, as configured.
#[derive(Debug)]
pub struct AuthenticationSpec {
    /// Whose tokens are accepted; at most one of them by introspection.
    pub issuers: Vec<Arc<IssuerSpec>>,
    /// What the caller must be and have.
    pub rules: Rules,
    /// Whether a request without any credential passes as anonymous.
    pub optional: bool,
    /// Paths that anybody may call.
    pub exempt_paths: Vec<PathMatch>,
    /// Whether CORS preflight requests, which cannot carry a credential, pass.
    pub exempt_preflight: bool,
    /// Until then (since the epoch) refusals are reported and not made.
    pub report_only_until: Option<Duration>,
    /// How key-bound tokens prove their holder.
    pub proof: ProofPolicy,
    /// Which addresses a DPoP proof may be for.
    pub origin: Origin,
    /// What challenges say.
    pub challenges: Challenges,
}

/// A route's check of its callers, at work.
#[derive(Clone, Debug)]
pub struct Authentication {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    spec: Arc<AuthenticationSpec>,
    counters: Counters,
    issuers: RouteIssuers,
    evidence: Arc<Evidence>,
}

/// What happened to a route's callers.
#[derive(Debug)]
pub(super) struct Counters {
    route: Arc<str>,
    accepted: IntCounter,
    outcomes: IntCounterVec,
    reports: IntCounterVec,
}

impl Counters {
    pub(super) fn new(route: &Arc<str>, outcomes: &IntCounterVec, reports: &IntCounterVec) -> Self {
        let accepted = outcomes.with_label_values(&[route.as_ref(), "accepted"]);
        let (outcomes, reports) = (outcomes.clone(), reports.clone());
        Self { route: Arc::clone(route), accepted, outcomes, reports }
    }

    fn count(&self, outcome: &str) {
        self.outcomes.with_label_values(&[self.route.as_ref(), outcome]).inc();
    }

    fn report(&self, class: &str) {
        self.reports.with_label_values(&[self.route.as_ref(), class]).inc();
    }
}

/// The issuers of a route, each with the number that tells it from all others.
#[derive(Debug, Default)]
pub(super) struct RouteIssuers {
    pub(super) signed: Vec<(usize, Arc<JwtIssuer>)>,
    pub(super) asked: Option<(usize, Arc<Introspector>)>,
}

/// What all routes remember together.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) verified: VerifiedCache,
    pub(super) proofs: ProofMemory,
    pub(super) clock: Clock,
}

impl Authentication {
    pub(super) fn new(
        spec: Arc<AuthenticationSpec>,
        counters: Counters,
        issuers: RouteIssuers,
        evidence: Arc<Evidence>,
    ) -> Self {
        Self { inner: Arc::new(Inner { spec, counters, issuers, evidence }) }
    }

    /// Lets a request pass, or says why not.
    ///
    /// # Errors
    /// When the caller shows no good token, or one that is not enough here.
    pub async fn admit(&self, arrival: Arrival<'_>) -> Result<Caller, Refusal> {
        let inner = &self.inner;
        if inner.exempts(arrival) {
            inner.counters.count("exempt");
            return Ok(Caller::Exempt);
        }
        let presented = Presented::among(&arrival.request.headers);
        let scheme = presented.as_ref().ok().and_then(Option::as_ref).map(|p| p.scheme);
        let checked = match presented {
            Ok(Some(presented)) => inner.check(presented, arrival).await,
            Ok(None) if inner.spec.optional => {
                inner.counters.count("anonymous");
                return Ok(Caller::Anonymous);
            }
            Ok(None) => Err(Fault::Missing),
            Err(fault) => Err(fault),
        };
        match checked {
            Ok(caller) => {
                inner.counters.accepted.inc();
                Ok(Caller::Verified(caller))
            }
            Err(fault) => inner.refuse(fault, scheme.unwrap_or(Scheme::Bearer)),
        }
    }

    /// The refusal of a caller whom a later stage finds to be the wrong one; nothing is counted twice.
    #[must_use]
    pub fn refusal(&self, fault: Fault) -> Refusal {
        self.inner.refusal(fault, Scheme::Bearer)
    }
}

impl Inner {
    fn exempts(&self, arrival: Arrival<'_>) -> bool {
        let Arrival { request, path, .. } = arrival;
        let has = |name| request.headers.contains_key(name);
        let preflight = self.spec.exempt_preflight
            && request.method == Method::OPTIONS
            && has(ORIGIN)
            && has(ACCESS_CONTROL_REQUEST_METHOD)
            && !has(AUTHORIZATION);
        preflight || self.spec.exempt_paths.iter().any(|exempt| exempt.covers(path))
    }

    async fn check(
        &self,
        presented: Presented<'_>,
        arrival: Arrival<'_>,
    ) -> Result<Subject, Fault> {
        let digest = VerifiedCache::digest(presented.token);
        let caller = match self.known(digest) {
            Some(caller) => caller,
            // Boxed: the way of a known token stays small.
            None => Box::pin(self.verify(presented, digest)).await?,
        };
        let (spec, proofs) = (&self.spec, &self.evidence.proofs);
        let bound = Bound { caller: &caller, presented, arrival, origin: &spec.origin };
        bound.check(&spec.proof, proofs)?;
        self.spec.rules.judge(&caller)?;
        let token_at = presented.field.len() - presented.token.len();
        Ok(Subject::new(caller, presented.field.clone(), token_at, digest))
    }

    /// What one of the route's issuers found out before, if it still counts.
    fn known(&self, digest: CacheKey) -> Option<Arc<Verified>> {
        let verified = &self.evidence.verified;
        let mut signed = self.issuers.signed.iter();
        let known = signed
            .find_map(|(id, issuer)| verified.get(digest, *id, |v| issuer.still_vouches_for(v)));
        known.or_else(|| {
            let (id, issuer) = self.issuers.asked.as_ref()?;
            let known = verified.get(digest, *id, |v| issuer.still_vouches_for(v))?;
            // Where another route has asked, this one may know the issuer's keys, and then they decide.
            let iss = known.named_issuer.as_deref();
            let ours = |(_, signed): &(usize, Arc<JwtIssuer>)| {
                iss.is_some_and(|iss| signed.recognises(iss))
            };
            (!self.issuers.signed.iter().any(ours)).then_some(known)
        })
    }

    async fn verify(
        &self,
        presented: Presented<'_>,
        digest: CacheKey,
    ) -> Result<Arc<Verified>, Fault> {
        self.evidence.verified.missed();
        let token = presented.text()?;
        let fault = match self.verify_signed(token, digest).await {
            Err(fault @ (Fault::Jws(_) | Fault::UnknownIssuer)) => fault,
            verified => return verified,
        };
        presented.check()?;
        match &self.issuers.asked {
            // What no other issuer knows may be a token that only its issuer can read.
            Some((_, issuer)) => issuer.verify(token, digest).await,
            None => Err(fault),
        }
    }

    /// Holds the token against the issuers that its `iss` names; of several, one must find it good.
    async fn verify_signed(&self, token: &str, digest: CacheKey) -> Result<Arc<Verified>, Fault> {
        let jws = Compact::parse(token, EmbeddedKey::Refused)?;
        let claims = Arc::new(Claims::parse(&jws.payload()?)?);
        let iss = claims.text("iss")?.ok_or(Fault::UnknownIssuer)?;
        let mut fault = Fault::UnknownIssuer;
        for (id, issuer) in self.issuers.signed.iter().filter(|(_, i)| i.recognises(iss)) {
            match issuer.verify(&jws, &claims).await {
                Ok(verified) => {
                    let verified = Arc::new(verified);
                    self.evidence.verified.put(digest, *id, &verified);
                    return Ok(verified);
                }
                Err(other) if other.outranks(&fault) => fault = other,
                Err(_) => {}
            }
        }
        Err(fault)
    }

    /// The refusal, or, while the route only reports, what lets the request pass all the same.
    fn refuse(&self, fault: Fault, scheme: Scheme) -> Result<Caller, Refusal> {
        let until = self.spec.report_only_until;
        let reports = until.is_some_and(|until| self.evidence.clock.wall() < until);
        if reports && fault.verdict() != Verdict::BadRequest {
            self.counters.count("reported");
            self.counters.report(fault.class());
            return Ok(Caller::Reported(fault.class()));
        }
        self.counters.count(fault.class());
        Err(self.refusal(fault, scheme))
    }

    fn refusal(&self, fault: Fault, scheme: Scheme) -> Refusal {
        let proofs = &self.evidence.proofs;
        let fields = self.spec.challenges.fields(&fault, scheme, || proofs.nonce());
        Refusal { fault, fields }
    }
}
