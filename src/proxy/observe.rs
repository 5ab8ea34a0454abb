//! One request as operations sees it: the access line and the counters, at its very end.
//!
//! Part of `proxy`. Labels come from the configuration and from closed lists, never from callers, so
//! that no caller can grow them. The access line names the path without its query, which may hold
//! secrets, and no credential.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Version};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use tokio::time::Instant;

use super::correlation::Correlation;
use super::{Plan, ProxyError};
use crate::body::{Body, BodyEnd};
use crate::listener::{InFlight, Peer};

/// Counters of one listener.
#[derive(Clone, Debug)]
pub struct ProxyMetrics {
    /// Requests for which there was no route.
    pub unrouted: Arc<RouteMetrics>,
    /// Answers Vicar gave itself, by `reason`.
    pub refusals: IntCounterVec,
    /// Requests being served.
    pub in_flight: IntGauge,
}

/// One route's name and counters.
#[derive(Debug)]
pub struct RouteMetrics {
    /// The route's name, as the configuration has it.
    pub route: Arc<str>,
    /// Requests by status class, 1xx first.
    pub classes: [IntCounter; 5],
    /// Seconds from the request's head to the end of the response.
    pub seconds: Histogram,
    /// Seconds until the upstream's response head.
    pub upstream_seconds: Histogram,
}

/// What is noted while a request is on its way.
#[derive(Debug)]
pub(super) struct Observation {
    started: Instant,
    line: Option<Line>,
    route: Option<Arc<RouteMetrics>>,
    reason: Option<&'static str>,
}

/// What only the access line needs.
#[derive(Debug)]
struct Line {
    method: Method,
    path: String,
    version: Version,
}

impl Observation {
    pub(super) fn begin<B>(request: &Request<B>, logs_access: bool) -> Self {
        let line = logs_access.then(|| Line {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            version: request.version(),
        });
        Self { started: Instant::now(), line, route: None, reason: None }
    }

    pub(super) fn routed(&mut self, plan: &Plan) {
        self.route = Some(Arc::clone(&plan.metrics));
    }

    /// Counts how long the upstream took to answer since `asked`.
    pub(super) fn upstream_answered(&self, asked: Instant) {
        if let Some(route) = &self.route {
            route.upstream_seconds.observe(asked.elapsed().as_secs_f64());
        }
    }

    /// Logs the complete text of a failure; the caller gets the same request id and less text.
    pub(super) fn failed(&mut self, error: &ProxyError, correlation: &Correlation) {
        let reason = error.reason();
        self.reason = Some(reason);
        let route = self.route.as_ref().map(|route| route.route.as_ref());
        let request_id = correlation.request_id();
        match error {
            ProxyError::Acquire(_) | ProxyError::Forward(_) | ProxyError::Inject(_) => {
                tracing::warn!(route, reason, request_id, %error, "request failed");
            }
            ProxyError::Inbound(_) | ProxyError::Route(_) => {
                tracing::debug!(route, reason, request_id, %error, "request refused");
            }
        }
    }

    /// Attaches the end of the books to the end of the response.
    pub(super) fn finish(
        self,
        response: Response<Body>,
        metrics: &ProxyMetrics,
        correlation: Correlation,
        peer: Arc<Peer>,
        in_flight: InFlight,
    ) -> Response<Body> {
        if let Some(reason) = self.reason {
            metrics.refusals.with_label_values(&[reason]).inc();
        }
        let counters = Arc::clone(self.route.as_ref().unwrap_or(&metrics.unrouted));
        let running = metrics.in_flight.clone();
        running.inc();
        let status = response.status();
        response.map(|body| {
            body.observed(move |end| {
                running.dec();
                let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
                counters.classes[class].inc();
                counters.seconds.observe(self.started.elapsed().as_secs_f64());
                self.log(status, end, &correlation, &peer);
                drop(in_flight);
            })
        })
    }

    fn log(&self, status: StatusCode, end: BodyEnd, correlation: &Correlation, peer: &Peer) {
        let Some(line) = &self.line else { return };
        tracing::info!(
            target: "vicar::access",
            route = self.route.as_ref().map(|route| route.route.as_ref()),
            method = %line.method,
            path = line.path,
            version = ?line.version,
            status = status.as_u16(),
            reason = self.reason,
            complete = end.complete,
            bytes = end.bytes,
            ms = self.started.elapsed().as_micros() as f64 / 1000.0,
            peer = peer.address().map(tracing::field::display),
            request_id = correlation.request_id(),
            trace_id = correlation.trace_id(),
            "request"
        );
    }
}
