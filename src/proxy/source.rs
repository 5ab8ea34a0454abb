//! Where the token of one request comes from: decided by the route and its caller, then asked.
//!
//! Part of `proxy`, the seam between `inbound` and `token`. A token on behalf of a person needs that person's
//! verified token; what anybody else gets on such a route is written in the configuration, and is a refusal
//! where nothing is written. Nothing falls back from one kind of token to the other.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::plan::{Instead, TokenPlan};
use super::{ProxyError, challenge};
use crate::inbound::claims::BadClaim;
use crate::inbound::{Caller, CallerKind, Fault, InboundPolicy, Subject, Unmet};
use crate::inject::Injection;
use crate::token::cache::{Replacement, Slot, UserTokens};
use crate::token::{AccessToken, AcquireError, AcquireFailure, ClaimsRequest, SessionKey};

/// Where the token of one request comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The caller's own credential stays.
    KeepCallers,
    /// A token in Vicar's own name.
    Application(Arc<Slot>),
    /// The token of a session, which the person behind it, or somebody else, goes on with.
    Session {
        /// Its place.
        slot: Arc<Slot>,
        /// Whether this call is the person's own.
        is_own: bool,
        /// The person's tenant, where tokens are asked for there.
        tenant: Option<String>,
    },
    /// No credential goes on.
    Strip,
    /// The user cache, on behalf of this caller.
    User(Arc<UserTokens>, Subject),
}

/// Why there is no source.
enum Unsourced {
    Acquire(AcquireFailure),
    Inbound(Fault),
}

impl Source {
    /// Decides for a request with these `headers` from this `caller`.
    ///
    /// # Errors
    /// When such a caller gets no token here.
    pub(super) fn choose(
        plan: &TokenPlan,
        inbound: &InboundPolicy,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Self, ProxyError> {
        let chosen = match (plan, caller) {
            // Nobody has checked who this is, so no credential leaves with it, ours least of all.
            (TokenPlan::Strip, _) | (_, Caller::Exempt) => Ok(Self::Strip),
            (TokenPlan::Passthrough, _)
            | (TokenPlan::Application(_), Caller::Unchecked { keeps_credential: true }) => {
                Ok(Self::KeepCallers)
            }
            (TokenPlan::Application(slot), _) => Ok(Self::Application(Arc::clone(slot))),
            (TokenPlan::User { tokens, app_only, .. }, Caller::Verified(subject)) => {
                for_verified(tokens, app_only, subject, headers)
            }
            (TokenPlan::User { tokens, anonymous, .. }, Caller::Anonymous) => {
                instead(anonymous, tokens, headers, Fault::Missing)
            }
            // The configuration lets no route act on behalf of callers whom it does not check.
            (TokenPlan::User { .. }, Caller::Unchecked { .. } | Caller::Reported(_)) => {
                Err(Unsourced::Inbound(Fault::Missing))
            }
        };
        chosen.map_err(|unsourced| match unsourced {
            Unsourced::Acquire(failure) => challenge::of(failure, caller, None),
            Unsourced::Inbound(fault) => ProxyError::Inbound(inbound.refuse(fault)),
        })
    }

    /// What is injected, waiting for a token when it must.
    ///
    /// # Errors
    /// When a token is due and cannot be had.
    pub(super) async fn acquire(&self) -> Result<Injection, AcquireFailure> {
        match self {
            Self::KeepCallers => Ok(Injection::KeepCallers),
            Self::Application(slot) | Self::Session { slot, .. } => {
                slot.token().await.map(Injection::Token)
            }
            Self::Strip => Ok(Injection::Strip),
            Self::User(tokens, subject) => tokens.token(subject).await.map(Injection::Token),
        }
    }

    /// Takes the upstream's word that it does not want this token.
    pub(super) fn replace(
        &self,
        rejected: &Arc<AccessToken>,
        claims: Option<ClaimsRequest>,
        window: Duration,
    ) -> Replacement {
        match self {
            Self::Application(slot) | Self::Session { slot, .. } => {
                slot.replace(rejected, claims, window)
            }
            Self::User(tokens, subject) => tokens.replace(subject, rejected, claims, window),
            Self::KeepCallers | Self::Strip => Replacement::TooSoon,
        }
    }

    /// Whether the token is on behalf of the very caller of this request.
    pub(super) fn is_on_behalf(&self) -> bool {
        matches!(self, Self::User(..) | Self::Session { is_own: true, .. })
    }

    /// Whether our client tells the authority that it reacts to claims challenges.
    pub(super) fn is_capable_of(&self, capability: &str) -> bool {
        let capabilities = match self {
            Self::Application(slot) | Self::Session { slot, .. } => &slot.client().capabilities,
            Self::User(tokens, _) => &tokens.spec().client.capabilities,
            Self::KeepCallers | Self::Strip => return false,
        };
        capabilities.iter().any(|known| known == capability)
    }

    /// Where the person behind the call can do what the authority wants, where that is known.
    pub(super) fn authorization_uri(&self) -> Option<String> {
        match self {
            Self::Application(slot) => slot.client().authority.authorization_uri(None),
            Self::Session { slot, tenant, .. } => {
                slot.client().authority.authorization_uri(tenant.as_deref())
            }
            Self::User(tokens, subject) => {
                let spec = tokens.spec();
                spec.client.authority.authorization_uri(spec.tenant_of(subject))
            }
            Self::KeepCallers | Self::Strip => None,
        }
    }
}

fn for_verified(
    tokens: &Arc<UserTokens>,
    app_only: &Instead<Arc<Slot>>,
    subject: &Subject,
    headers: &HeaderMap,
) -> Result<Source, Unsourced> {
    match subject.verified().kind {
        CallerKind::User if tokens.is_over(subject) => {
            Err(Unsourced::Inbound(BadClaim::Expired.into()))
        }
        CallerKind::User => {
            let checked = tokens.spec().check_may_act(subject);
            checked.map_err(|unmet| Unsourced::Inbound(unmet.into()))?;
            match session_name(tokens, headers)? {
                Some(name) => session(tokens, name, Some(subject)),
                None => Ok(Source::User(Arc::clone(tokens), subject.clone())),
            }
        }
        CallerKind::Application => instead(app_only, tokens, headers, Unmet::NotAPerson.into()),
        CallerKind::Other => Err(Unsourced::Inbound(Unmet::NotAPerson.into())),
    }
}

fn instead(
    instead: &Instead<Arc<Slot>>,
    tokens: &Arc<UserTokens>,
    headers: &HeaderMap,
    fault: Fault,
) -> Result<Source, Unsourced> {
    match instead {
        Instead::Refuse => Err(Unsourced::Inbound(fault)),
        Instead::Application(slot) => Ok(Source::Application(Arc::clone(slot))),
        Instead::Session => match session_name(tokens, headers)? {
            Some(name) => session(tokens, name, None),
            None => Err(Unsourced::Inbound(fault)),
        },
    }
}

fn session(
    tokens: &Arc<UserTokens>,
    name: &[u8],
    subject: Option<&Subject>,
) -> Result<Source, Unsourced> {
    let is_own = subject.is_some();
    let slot = tokens.session(name, subject).map_err(Unsourced::Acquire)?;
    let tenant = subject.and_then(|subject| tokens.spec().tenant_of(subject));
    Ok(Source::Session { slot, is_own, tenant: tenant.map(str::to_owned) })
}

/// How the call names its session, if it does.
fn session_name<'r>(
    tokens: &'r UserTokens,
    headers: &'r HeaderMap,
) -> Result<Option<&'r [u8]>, Unsourced> {
    let header = match tokens.spec().session.as_ref().map(|session| &session.key) {
        None => return Ok(None),
        Some(SessionKey::Fixed(name)) => return Ok(Some(name.as_bytes())),
        Some(SessionKey::Header(header)) => header,
    };
    let mut names = headers.get_all(header).iter();
    match (names.next(), names.next()) {
        (None, _) => Ok(None),
        (Some(name), None) if NAME_LENGTH.contains(&name.len()) => Ok(Some(name.as_bytes())),
        _ => {
            let (error, retry_in) = (Arc::new(AcquireError::SessionName), Duration::ZERO);
            Err(Unsourced::Acquire(AcquireFailure { error, retry_in }))
        }
    }
}

/// Short names are guessed, and a session is worth its person's rights.
const NAME_LENGTH: std::ops::RangeInclusive<usize> = 16..=256;
