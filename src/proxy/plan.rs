//! Everything one route needs: as configured, and ready-built for one worker.
//!
//! Part of `proxy`; ties the stages' value types together so that none of them knows the others.

use std::sync::Arc;

use http::HeaderName;

use super::observe::RouteMetrics;
use super::recovery::Recovery;
use crate::forward::{ForwardTimeouts, ForwardedPolicy, Forwarder, Rewrite, Upstream};
use crate::inbound::{InboundPolicy, InboundSpec};
use crate::inject::Injector;
use crate::route::Matcher;
use crate::token::cache::{Slot, UserTokens};
use crate::token::{SessionKey, TokenSpec, UserSpec};

/// A route as the configuration describes it.
#[derive(Debug)]
pub struct RouteSpec {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// What it matches.
    pub matcher: Matcher,
    /// What callers must fulfil.
    pub inbound: InboundSpec,
    /// Where its token comes from.
    pub token: TokenSource,
    /// How the token is written.
    pub injector: Injector,
    /// What happens when the upstream does not want the token.
    pub recovery: Recovery,
    /// What changes in the target.
    pub rewrite: Rewrite,
    /// What the upstream learns about the caller's connection.
    pub forwarded: ForwardedPolicy,
    /// How long the upstream may take.
    pub timeouts: ForwardTimeouts,
    /// Where requests go.
    pub upstream: Arc<Upstream>,
}

/// Where a route's token comes from, as configured.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A token in Vicar's own name.
    Application(Arc<TokenSpec>),
    /// The caller's own credential goes on.
    Passthrough,
    /// No credential goes on.
    Strip,
    /// A token on behalf of the caller.
    User {
        /// What is asked for.
        spec: Arc<UserSpec>,
        /// What a verified application gets.
        app_only: Instead<Arc<TokenSpec>>,
        /// What a caller without a credential gets.
        anonymous: Instead<Arc<TokenSpec>>,
    },
}

impl TokenSource {
    /// The field in which a call names its session, which is for Vicar alone.
    #[must_use]
    pub fn session_header(&self) -> Option<&HeaderName> {
        match self {
            Self::User { spec, .. } => match &spec.session.as_ref()?.key {
                SessionKey::Header(header) => Some(header),
                SessionKey::Fixed(_) => None,
            },
            _ => None,
        }
    }

    /// Whether a caller without a credential gets a token.
    #[must_use]
    pub fn serves_anybody(&self) -> bool {
        match self {
            Self::Application(_) => true,
            Self::User { anonymous, .. } => !matches!(anonymous, Instead::Refuse),
            Self::Passthrough | Self::Strip => false,
        }
    }
}

/// What a caller who is no person gets on a route that acts on behalf of people.
#[derive(Clone, Debug)]
pub enum Instead<T> {
    /// A refusal.
    Refuse,
    /// The application's own token.
    Application(T),
    /// The token of the session that the call names.
    Session,
}

impl<T> Instead<T> {
    /// The same with what `f` makes of the application's token.
    pub fn map<U>(&self, f: impl FnOnce(&T) -> U) -> Instead<U> {
        match self {
            Self::Refuse => Instead::Refuse,
            Self::Application(token) => Instead::Application(f(token)),
            Self::Session => Instead::Session,
        }
    }
}

/// A route, ready to be used by one worker.
#[derive(Debug)]
pub struct Plan {
    /// What callers must fulfil.
    pub inbound: InboundPolicy,
    /// Where its token comes from.
    pub token: TokenPlan,
    /// How the token is written.
    pub injector: Injector,
    /// What happens when the upstream does not want the token.
    pub recovery: Recovery,
    /// Sends the request on.
    pub forwarder: Forwarder,
    /// Its name and counters.
    pub metrics: Arc<RouteMetrics>,
}

/// Where a route's token comes from, ready to be asked.
#[derive(Clone, Debug)]
pub enum TokenPlan {
    /// The slot of a token in Vicar's own name.
    Application(Arc<Slot>),
    /// The caller's own credential goes on.
    Passthrough,
    /// No credential goes on.
    Strip,
    /// A token on behalf of the caller.
    User {
        /// The way into the user cache.
        tokens: Arc<UserTokens>,
        /// What a verified application gets.
        app_only: Instead<Arc<Slot>>,
        /// What a caller without a credential gets.
        anonymous: Instead<Arc<Slot>>,
    },
}
