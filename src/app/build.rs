//! Builds, for one worker, what the configuration describes once.
//!
//! Part of `app`. What is shared by all workers (token slots, counters, room for connections) is
//! made here too, before the first of them starts.

use std::sync::Arc;

use prometheus::IntCounterVec;
use tokio::sync::Semaphore;

use crate::config::ListenerConfig;
use crate::drain::DrainWatch;
use crate::forward::{Forwarder, UpstreamClients};
use crate::inbound::{InboundMetrics, InboundPolicy, InboundSpec, Issuers, VerifiedCacheMetrics};
use crate::listener::{ConnectionLimits, Listener, ServerTls};
use crate::proxy::{
    Instead, Plan, Proxy, ProxyMetrics, ResourceMetadata, RouteMetrics, RouteSpec, TokenPlan,
    TokenSource,
};
use crate::route::RouteTable;
use crate::telemetry::Metrics;
use crate::token::TokenSpec;
use crate::token::cache::{ApplicationCache, Slot, TokenMetrics, UserCache, UserRoute, UserTokens};

/// Everything the workers share, and how to make what they do not.
#[derive(Debug)]
pub(super) struct Blueprint {
    listeners: Vec<ListenerBlueprint>,
    pub(super) slots: Vec<Arc<Slot>>,
    /// Each route's way into the user cache, by the route's name.
    pub(super) user_tokens: Vec<(Arc<str>, Arc<UserTokens>)>,
    metrics: Arc<ProxyMetrics>,
    logs_access: bool,
}

#[derive(Debug)]
struct ListenerBlueprint {
    name: Arc<str>,
    tls: Option<Arc<ServerTls>>,
    limits: ConnectionLimits,
    room: Arc<Semaphore>,
    resource: Option<ResourceMetadata>,
    routes: Vec<RouteBlueprint>,
}

#[derive(Debug)]
struct RouteBlueprint {
    spec: RouteSpec,
    inbound: InboundPolicy,
    token: TokenPlan,
    metrics: Arc<RouteMetrics>,
}

/// The two caches, and how their tokens are counted.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    pub(super) application: &'a ApplicationCache,
    pub(super) user: &'a Arc<UserCache>,
    pub(super) metrics: &'a Metrics,
}

impl Blueprint {
    pub(super) fn new(
        listeners: Vec<ListenerConfig>,
        tokens: &Tokens<'_>,
        issuers: &mut Issuers,
        logs_access: bool,
    ) -> Self {
        let metrics = tokens.metrics;
        let listeners = listeners.into_iter();
        let listeners: Vec<_> =
            listeners.map(|l| ListenerBlueprint::new(l, tokens, issuers)).collect();
        let routes = || listeners.iter().flat_map(|listener| &listener.routes);
        let user_tokens = routes().filter_map(|route| match &route.token {
            TokenPlan::User { tokens, .. } => {
                Some((Arc::clone(&route.spec.name), Arc::clone(tokens)))
            }
            _ => None,
        });
        let user_tokens = user_tokens.collect();
        let slots = tokens.application.slots();
        let metrics = Arc::new(ProxyMetrics {
            unrouted: route_metrics("", String::new(), metrics),
            refusals: metrics.refusals.clone(),
            in_flight: metrics.in_flight.clone(),
        });
        Self { listeners, slots, user_tokens, metrics, logs_access }
    }

    /// Every listener's certificate.
    pub(super) fn certificates(&self) -> Vec<Arc<ServerTls>> {
        self.listeners.iter().filter_map(|listener| listener.tls.clone()).collect()
    }

    /// The listeners of one worker, with connections of their own.
    pub(super) fn listeners(&self, drain: &DrainWatch) -> Vec<Listener<Proxy>> {
        let mut clients = UpstreamClients::default();
        let listeners = self.listeners.iter();
        listeners.map(|blueprint| blueprint.listener(self, &mut clients, drain)).collect()
    }
}

impl Tokens<'_> {
    fn plan(&self, route: &str, source: &TokenSource) -> TokenPlan {
        match source {
            TokenSource::Strip => TokenPlan::Strip,
            TokenSource::Passthrough => TokenPlan::Passthrough,
            TokenSource::Application(spec) => TokenPlan::Application(self.slot(spec)),
            TokenSource::User { spec, app_only, anonymous } => {
                let actor = spec.actor.as_ref().map(|actor| self.slot(actor));
                let metrics = |kind| token_metrics(&spec.client.name, kind, self.metrics);
                let (name, session_metrics) = (route, metrics("session"));
                let metrics = metrics("user");
                let route = UserRoute { name, spec, actor, metrics, session_metrics };
                TokenPlan::User {
                    tokens: self.user.tokens(route),
                    app_only: self.instead(app_only),
                    anonymous: self.instead(anonymous),
                }
            }
        }
    }

    fn instead(&self, instead: &Instead<Arc<TokenSpec>>) -> Instead<Arc<Slot>> {
        instead.map(|spec| self.slot(spec))
    }

    fn slot(&self, spec: &Arc<TokenSpec>) -> Arc<Slot> {
        let metrics = token_metrics(&spec.client.name, "application", self.metrics);
        self.application.slot(spec, &metrics)
    }
}

impl ListenerBlueprint {
    fn new(config: ListenerConfig, tokens: &Tokens<'_>, issuers: &mut Issuers) -> Self {
        let routes = config.routes.into_iter().map(|spec| {
            let inbound = match &spec.inbound {
                InboundSpec::Unchecked(existing) => InboundPolicy::Unchecked(existing.clone()),
                InboundSpec::Authenticated(authentication) => {
                    InboundPolicy::Authenticated(issuers.authentication(authentication, &spec.name))
                }
            };
            let token = tokens.plan(&spec.name, &spec.token);
            let metrics = route_metrics(&spec.name, spec.upstream.to_string(), tokens.metrics);
            RouteBlueprint { spec, inbound, token, metrics }
        });
        Self {
            name: config.name.into(),
            tls: config.tls.map(Arc::new),
            limits: config.limits,
            room: Arc::new(Semaphore::new(config.limits.connections as usize)),
            resource: config.resource,
            routes: routes.collect(),
        }
    }

    fn listener(
        &self,
        shared: &Blueprint,
        clients: &mut UpstreamClients,
        drain: &DrainWatch,
    ) -> Listener<Proxy> {
        let plans = self.routes.iter().map(|RouteBlueprint { spec, inbound, token, metrics }| {
            let client = clients.client(&spec.upstream);
            let rewrite = spec.rewrite.clone();
            let plan = Plan {
                inbound: inbound.clone(),
                token: token.clone(),
                injector: spec.injector.clone(),
                recovery: spec.recovery.clone(),
                forwarder: Forwarder::new(client, rewrite, spec.forwarded, spec.timeouts),
                metrics: Arc::clone(metrics),
            };
            (spec.matcher.clone(), plan)
        });
        let (metrics, logs_access) = (Arc::clone(&shared.metrics), shared.logs_access);
        let (routes, resource) = (RouteTable::new(plans), self.resource.clone());
        let service = Proxy::new(routes, resource, metrics, logs_access, drain.clone());
        Listener {
            name: Arc::clone(&self.name),
            tls: self.tls.clone(),
            limits: self.limits,
            room: Arc::clone(&self.room),
            service,
        }
    }
}

fn route_metrics(route: &str, upstream: String, metrics: &Metrics) -> Arc<RouteMetrics> {
    let class = |class: &str| metrics.requests.with_label_values(&[route, class]);
    Arc::new(RouteMetrics {
        route: route.into(),
        upstream,
        classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
        seconds: metrics.request_seconds.with_label_values(&[route]),
        upstream_seconds: metrics.upstream_seconds.with_label_values(&[route]),
        rejections: metrics.rejected_requests.clone(),
    })
}

/// Counters of the inbound stage.
pub(super) fn inbound_metrics(metrics: &Metrics) -> InboundMetrics {
    let lookups =
        |result: &str| metrics.inbound.verified_token_lookups.with_label_values(&[result]);
    InboundMetrics {
        outcomes: metrics.inbound.authentications.clone(),
        verified: VerifiedCacheMetrics { hits: lookups("hit"), misses: lookups("miss") },
        key_fetches: metrics.inbound.key_fetches.clone(),
        keys: metrics.inbound.issuer_keys.clone(),
        introspections: metrics.inbound.introspections.clone(),
        reports: metrics.inbound.reports.clone(),
    }
}

fn token_metrics(client: &str, kind: &'static str, metrics: &Metrics) -> TokenMetrics {
    let lookups = |result| metrics.tokens.lookups.with_label_values(&[client, kind, result]);
    let with = |vec: &IntCounterVec| vec.with_label_values(&[client, kind]);
    TokenMetrics {
        hits: lookups("hit"),
        misses: lookups("miss"),
        refreshes: with(&metrics.tokens.refreshes),
        rejections: with(&metrics.tokens.rejections),
        kind,
        fetches: metrics.tokens.requests.clone(),
        seconds: metrics.tokens.request_seconds.with_label_values(&[client]),
    }
}
