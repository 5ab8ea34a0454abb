//! A party whose tokens are accepted: which tokens are its, and whether one of them is good.
//!
//! Part of `inbound`. The order is fixed: issuer by name, key by name, signature, then what the claims say.
//! Nothing a token says is used before its signature is verified, but for the name of the issuer that it
//! is to be held against.

use std::sync::Arc;
use std::time::Duration;

use super::claims::{BadClaim, Claims, Profile};
use super::entra::EntraIssuers;
use super::error::Fault;
use super::introspection::IntrospectionSpec;
use super::jws::Compact;
use super::key_ring::KeyRing;
use super::key_source::KeySource;
use super::verified::{CallerKind, ClaimNames, GoodUntil, Verified};
use crate::clock::Clock;

/// An issuer as configured.
#[derive(Debug)]
pub struct IssuerSpec {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Who the tokens must be for; for introspection, empty means that the server decides.
    pub audiences: Vec<String>,
    /// How far its clock and ours may be apart.
    pub skew: Duration,
    /// The claim with roles: a name, or a dotted path.
    pub roles_claim: String,
    /// What a caller is whose token bears no mark of either kind.
    pub assumed: CallerKind,
    /// Whether readiness waits for its first key set.
    pub warm_up: bool,
    /// How its tokens are checked.
    pub kind: IssuerKind,
}

/// How an issuer's tokens are checked.
#[derive(Debug)]
pub enum IssuerKind {
    /// They are signed.
    Jwt(JwtSpec),
    /// The issuer is asked (RFC 7662).
    Introspection(IntrospectionSpec),
}

/// Signed tokens.
#[derive(Debug)]
pub struct JwtSpec {
    /// Whose they are.
    pub identity: IssuerIdentity,
    /// How strictly they must present themselves.
    pub profile: Profile,
    /// The keys they are signed with.
    pub keys: Arc<KeySource>,
}

/// What `iss` must be.
#[derive(Debug)]
pub enum IssuerIdentity {
    /// This, byte for byte.
    Exactly(String),
    /// That of an allowed tenant of Entra.
    Entra(EntraIssuers),
}

/// An issuer of signed tokens, at work.
#[derive(Debug)]
pub(super) struct JwtIssuer {
    spec: Arc<IssuerSpec>,
    keys: Arc<KeyRing>,
    clock: Clock,
}

impl IssuerSpec {
    fn jwt(&self) -> Option<&JwtSpec> {
        match &self.kind {
            IssuerKind::Jwt(jwt) => Some(jwt),
            IssuerKind::Introspection(_) => None,
        }
    }

    /// The issuer identifiers to name to clients that ask where to get a token (RFC 9728).
    #[must_use]
    pub fn identifiers(&self) -> Vec<String> {
        match &self.kind {
            IssuerKind::Introspection(introspection) => {
                introspection.issuer.iter().cloned().collect()
            }
            IssuerKind::Jwt(jwt) => match &jwt.identity {
                IssuerIdentity::Exactly(issuer) => vec![issuer.clone()],
                IssuerIdentity::Entra(entra) => entra.identifiers(),
            },
        }
    }
}

impl JwtIssuer {
    /// An issuer that finds its keys in `keys`.
    #[must_use]
    pub(super) fn new(spec: Arc<IssuerSpec>, keys: Arc<KeyRing>, clock: Clock) -> Self {
        Self { spec, keys, clock }
    }

    /// Its keys.
    #[must_use]
    pub(super) fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Whether a token of `iss` is to be held against this issuer.
    #[must_use]
    pub(super) fn recognises(&self, iss: &str) -> bool {
        match self.spec.jwt().map(|jwt| &jwt.identity) {
            Some(IssuerIdentity::Exactly(issuer)) => issuer == iss,
            Some(IssuerIdentity::Entra(entra)) => entra.recognise(iss),
            None => false,
        }
    }

    /// Whether what it verified before still counts.
    #[must_use]
    pub(super) fn still_vouches_for(&self, verified: &Verified) -> bool {
        !verified.good_until.is_past(&self.clock)
            && verified.key.as_ref().is_none_or(|key| !key.is_retired())
            && self.keys.is_usable()
    }

    /// Verifies a token; `claims` are its payload.
    ///
    /// # Errors
    /// When it is not good, or its key cannot be had.
    pub(super) async fn verify(
        &self,
        jws: &Compact<'_>,
        claims: &Arc<Claims>,
    ) -> Result<Verified, Fault> {
        let jwt = self.spec.jwt().ok_or(Fault::UnknownIssuer)?;
        let header = jws.header();
        let (key, discovered) = self.keys.find(header.kid.as_deref(), header.algorithm).await?;
        if !jws.is_signed_by(&key) {
            return Err(Fault::Signature);
        }
        match &jwt.identity {
            IssuerIdentity::Exactly(issuer) => {
                if claims.text("iss")? != Some(issuer) {
                    return Err(BadClaim::Issuer.into());
                }
            }
            IssuerIdentity::Entra(entra) => entra.check(claims, &key, discovered.as_deref())?,
        }
        claims.check_kind(header, jwt.profile)?;
        claims.check_audience(&self.spec.audiences)?;
        let ends = claims.check_times(self.clock.wall(), self.spec.skew)?;
        let is_entra = matches!(jwt.identity, IssuerIdentity::Entra(_));
        let (roles, assumed) = (&self.spec.roles_claim, self.spec.assumed);
        let names = ClaimNames { roles, is_entra, assumed };
        let good_until = GoodUntil::new(&self.clock, ends, Duration::MAX);
        Ok(Verified::new(&self.spec.name, Arc::clone(claims), names, good_until, Some(key))?)
    }
}
