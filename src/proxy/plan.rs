//! Everything one route needs: as configured, and ready-built for one worker.
//!
//! Part of `proxy`; ties the stages' value types together so that none of them knows the others.

use std::sync::Arc;

use super::observe::RouteMetrics;
use crate::forward::{ForwardTimeouts, ForwardedPolicy, Forwarder, Rewrite, Upstream};
use crate::inbound::{Caller, InboundPolicy, InboundSpec};
use crate::inject::{Injection, Injector};
use crate::route::Matcher;
use crate::token::cache::Slot;
use crate::token::{AcquireFailure, TokenSpec};

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
}

impl TokenPlan {
    /// Decides what is injected, waiting for a token when it must.
    ///
    /// # Errors
    /// When a token is due and cannot be had.
    pub async fn acquire(&self, caller: &Caller) -> Result<Injection, AcquireFailure> {
        match (self, caller) {
            // Nobody has checked who this is, so no credential leaves with it, ours least of all.
            (Self::Strip, _) | (_, Caller::Exempt) => Ok(Injection::Strip),
            (Self::Passthrough, _)
            | (Self::Application(_), Caller::Unchecked { keeps_credential: true }) => {
                Ok(Injection::KeepCallers)
            }
            (Self::Application(slot), _) => slot.token().await.map(Injection::Token),
        }
    }
}
