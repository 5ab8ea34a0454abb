//! Every issuer at work, made once whatever the number of routes that name it.
//!
//! Part of `inbound`. What is made here is shared by all workers: key sets, verified tokens, proofs.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounterVec, IntGaugeVec};
use tokio::runtime::Handle;

use super::authentication::{Authentication, AuthenticationSpec, Counters, Evidence, RouteIssuers};
use super::dpop::ProofMemory;
use super::introspection::Introspector;
use super::issuer::{IssuerKind, IssuerSpec, JwtIssuer};
use super::key_ring::{KeyMetrics, KeyRing};
use super::verified_cache::{VerifiedCache, VerifiedCacheMetrics};
use crate::clock::Clock;

/// Counters of the inbound stage.
#[derive(Clone, Debug)]
pub struct InboundMetrics {
    /// Requests by `route` and `outcome`.
    pub outcomes: IntCounterVec,
    /// Look-ups of verified tokens.
    pub verified: VerifiedCacheMetrics,
    /// Key-set fetches by `issuer` and `outcome`.
    pub key_fetches: IntCounterVec,
    /// Keys in use by `issuer`.
    pub keys: IntGaugeVec,
    /// Introspections by `issuer` and `outcome`.
    pub introspections: IntCounterVec,
    /// Requests that would have been refused, by `route` and `outcome`.
    pub reports: IntCounterVec,
}

/// What may be remembered.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// About how many bytes verified tokens may take.
    pub verified_bytes: u64,
    /// How old a proof may be on any route.
    pub proof_age: Duration,
}

/// The issuers at work.
#[derive(Debug)]
pub struct Issuers {
    fetcher: Handle,
    metrics: InboundMetrics,
    evidence: Arc<Evidence>,
    known: Vec<Issuer>,
}

/// One of them; its place in the list is its number.
#[derive(Debug)]
enum Issuer {
    Signed(Arc<IssuerSpec>, Arc<JwtIssuer>),
    Asked(Arc<IssuerSpec>, Arc<Introspector>),
}

impl Issuers {
    /// None yet; fetches will run on `fetcher`.
    #[must_use]
    pub fn new(clock: Clock, fetcher: Handle, metrics: InboundMetrics, bounds: Bounds) -> Self {
        let verified = VerifiedCache::new(bounds.verified_bytes, metrics.verified.clone());
        let proofs = ProofMemory::new(clock.clone(), bounds.proof_age);
        let evidence = Arc::new(Evidence { verified, proofs, clock });
        Self { fetcher, metrics, evidence, known: Vec::new() }
    }

    /// A route's check of its callers.
    #[must_use]
    pub fn authentication(
        &mut self,
        spec: &Arc<AuthenticationSpec>,
        route: &Arc<str>,
    ) -> Authentication {
        let mut issuers = RouteIssuers::default();
        for issuer in &spec.issuers {
            let id = self.place_of(issuer);
            match &self.known[id] {
                Issuer::Signed(_, issuer) => issuers.signed.push((id, Arc::clone(issuer))),
                Issuer::Asked(_, issuer) => issuers.asked = Some((id, Arc::clone(issuer))),
            }
        }
        let (spec, evidence) = (Arc::clone(spec), Arc::clone(&self.evidence));
        let counters = Counters::new(route, &self.metrics.outcomes, &self.metrics.reports);
        Authentication::new(spec, counters, issuers, evidence)
    }

    /// Every issuer of signed tokens with its keys.
    pub fn key_rings(&self) -> impl Iterator<Item = (&Arc<IssuerSpec>, &Arc<KeyRing>)> {
        self.known.iter().filter_map(|issuer| match issuer {
            Issuer::Signed(spec, issuer) => Some((spec, issuer.keys())),
            Issuer::Asked(..) => None,
        })
    }

    /// The names of all issuers that some route accepts.
    pub fn names(&self) -> impl Iterator<Item = Arc<str>> {
        self.known.iter().map(|issuer| match issuer {
            Issuer::Signed(spec, _) | Issuer::Asked(spec, _) => Arc::clone(&spec.name),
        })
    }

    /// Every issuer that is asked.
    pub fn introspectors(&self) -> impl Iterator<Item = &Arc<Introspector>> {
        self.known.iter().filter_map(|issuer| match issuer {
            Issuer::Asked(_, issuer) => Some(issuer),
            Issuer::Signed(..) => None,
        })
    }

    fn place_of(&mut self, spec: &Arc<IssuerSpec>) -> usize {
        let same = |known: &Issuer| {
            let (Issuer::Signed(known, _) | Issuer::Asked(known, _)) = known;
            Arc::ptr_eq(known, spec)
        };
        if let Some(place) = self.known.iter().position(same) {
            return place;
        }
        let issuer = self.make(spec);
        self.known.push(issuer);
        self.known.len() - 1
    }

    fn make(&self, spec: &Arc<IssuerSpec>) -> Issuer {
        let (clock, fetcher) = (self.evidence.clock.clone(), self.fetcher.clone());
        match &spec.kind {
            IssuerKind::Introspection(_) => {
                let questions = self.metrics.introspections.clone();
                let (id, evidence) = (self.known.len(), Arc::clone(&self.evidence));
                let issuer = Introspector::new(Arc::clone(spec), id, evidence, fetcher, questions);
                Issuer::Asked(Arc::clone(spec), issuer)
            }
            IssuerKind::Jwt(jwt) => {
                let metrics = KeyMetrics {
                    fetches: self.metrics.key_fetches.clone(),
                    keys: self.metrics.keys.with_label_values(&[spec.name.as_ref()]),
                };
                let source = Arc::clone(&jwt.keys);
                let keys = KeyRing::new(&spec.name, source, clock.clone(), fetcher, metrics);
                let issuer = Arc::new(JwtIssuer::new(Arc::clone(spec), keys, clock));
                Issuer::Signed(Arc::clone(spec), issuer)
            }
        }
    }
}
