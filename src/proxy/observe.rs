//! One request as operations sees it: the access line and the counters, at its very end.
//!
//! Part of `proxy`. Labels come from the configuration and from closed lists, never from callers, so
//! that no caller can grow them. The access line names the path without its query, which may hold
//! secrets, and no credential.

use std::sync::Arc;

use http::header::HOST;
use http::{Method, Request, Response, StatusCode, Version};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use tokio::time::Instant;

use super::correlation::Correlation;
use super::{Plan, ProxyError};
use crate::body::{Body, BodyEnd};
use crate::inbound::{Caller, CallerKind, Verdict};
use crate::listener::{InFlight, Peer};
use crate::token::Fault;

/// Counters of one listener.
#[derive(Debug)]
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
    /// Where its requests go, for the log.
    pub upstream: String,
    /// Requests by status class, 1xx first.
    pub classes: [IntCounter; 5],
    /// Seconds from the request's head to the end of the response.
    pub seconds: Histogram,
    /// Seconds until the upstream's response head.
    pub upstream_seconds: Histogram,
    /// Tokens that the upstream did not want, by route and outcome.
    pub rejections: IntCounterVec,
}

/// One request on its way; dropped at the end of its response, or when its caller leaves before.
#[derive(Debug)]
pub(super) struct Observation {
    started: Instant,
    metrics: Arc<ProxyMetrics>,
    correlation: Correlation,
    peer: Arc<Peer>,
    line: Option<Line>,
    route: Option<Arc<RouteMetrics>>,
    reason: Option<&'static str>,
    /// What was found out about the caller: the kind, or the precise class of what is wrong.
    caller: Option<&'static str>,
    /// What is wrong with the caller, in a sentence that repeats nothing of its token.
    detail: Option<String>,
    /// Who vouched for the caller.
    issuer: Option<Arc<str>>,
    status: Option<StatusCode>,
    end: BodyEnd,
    _in_flight: InFlight,
}

/// What only the access line needs.
#[derive(Debug)]
struct Line {
    method: Method,
    host: Option<String>,
    path: String,
    version: Version,
}

impl Line {
    fn of<B>(request: &Request<B>) -> Self {
        let host = request.uri().authority().map(http::uri::Authority::as_str);
        let host = host.or_else(|| request.headers().get(HOST)?.to_str().ok());
        Self {
            method: request.method().clone(),
            host: host.map(without_user),
            path: request.uri().path().to_owned(),
            version: request.version(),
        }
    }
}

impl Observation {
    /// Begins the books; settles the request's identifiers in its headers.
    pub(super) fn begin<B>(
        request: &mut Request<B>,
        metrics: &Arc<ProxyMetrics>,
        logs_access: bool,
        peer: Arc<Peer>,
        in_flight: InFlight,
    ) -> Self {
        metrics.in_flight.inc();
        let line = logs_access.then(|| Line::of(request));
        Self {
            started: Instant::now(),
            metrics: Arc::clone(metrics),
            correlation: Correlation::establish(request.headers_mut()),
            peer,
            line,
            route: None,
            reason: None,
            caller: None,
            detail: None,
            issuer: None,
            status: None,
            end: BodyEnd { bytes: 0, complete: false },
            _in_flight: in_flight,
        }
    }

    pub(super) fn correlation(&self) -> &Correlation {
        &self.correlation
    }

    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    pub(super) fn routed(&mut self, plan: &Plan) {
        self.route = Some(Arc::clone(&plan.metrics));
    }

    /// Notes what kind of caller it is.
    pub(super) fn admitted(&mut self, caller: &Caller) {
        self.issuer = caller.verified().map(|verified| Arc::clone(&verified.issuer));
        self.caller = match caller {
            Caller::Unchecked { .. } => None,
            Caller::Anonymous => Some("anonymous"),
            Caller::Exempt => Some("exempt"),
            Caller::Reported(class) => {
                let (route, request_id) = (self.route_name(), self.correlation.request_id());
                tracing::info!(route, class, request_id, "report only: this would be refused");
                Some(class)
            }
            Caller::Verified(subject) => Some(match subject.verified().kind {
                CallerKind::Application => "application",
                CallerKind::User => "user",
                CallerKind::Other => "other",
            }),
        };
    }

    /// Logs the complete text of a failure; the caller gets the same request id and less text.
    pub(super) fn failed(&mut self, error: &ProxyError) {
        let reason = error.reason();
        self.reason = Some(reason);
        if let ProxyError::Inbound(refusal) = error {
            self.caller = Some(refusal.fault.class());
            self.detail = Some(refusal.fault.to_string());
        }
        let route = self.route_name();
        let upstream = self.route.as_ref().map(|route| route.upstream.as_str());
        let request_id = self.correlation.request_id();
        match error {
            // Not for want of anything of ours.
            ProxyError::Acquire(failure)
                if matches!(failure.error.fault(), Fault::Forbidden | Fault::Request) =>
            {
                tracing::debug!(route, reason, request_id, %error, "request refused");
            }
            ProxyError::Acquire(_) | ProxyError::Forward(_) | ProxyError::Inject(_) => {
                tracing::warn!(route, upstream, reason, request_id, %error, "request failed");
            }
            ProxyError::Inbound(refusal) => {
                let class = refusal.fault.class();
                if matches!(refusal.fault.verdict(), Verdict::Unavailable | Verdict::RefusesUs) {
                    tracing::warn!(route, reason, class, request_id, %error, "request failed");
                } else {
                    tracing::debug!(route, reason, class, request_id, %error, "request refused");
                }
            }
            // What the authority said was logged when it said it.
            ProxyError::Interaction(_) => {
                tracing::debug!(route, reason, request_id, %error, "the person must act");
            }
            ProxyError::Route(_) => {
                tracing::debug!(route, reason, request_id, %error, "request refused");
            }
        }
    }

    /// Attaches the end of the books to the end of the response.
    pub(super) fn finish(mut self, mut response: Response<Body>) -> Response<Body> {
        self.correlation.mark(response.headers_mut());
        self.status = Some(response.status());
        response.map(|body| body.observed(move |end| self.ended(end)))
    }

    /// The response is over; what is dropped here closes the books.
    fn ended(mut self, end: BodyEnd) {
        self.end = end;
    }

    fn route_name(&self) -> Option<&str> {
        self.route.as_ref().map(|route| route.route.as_ref())
    }

    fn log(&self) {
        let Some(line) = &self.line else { return };
        tracing::info!(
            target: "vicar::access",
            route = self.route_name(),
            method = %line.method,
            host = line.host,
            path = line.path,
            version = ?line.version,
            status = self.status.map(|status| status.as_u16()),
            reason = self.reason,
            caller = self.caller,
            detail = self.detail,
            issuer = self.issuer.as_deref(),
            complete = self.end.complete,
            bytes = self.end.bytes,
            ms = self.started.elapsed().as_secs_f64() * 1000.0,
            peer = self.peer.address().map(tracing::field::display),
            request_id = self.correlation.request_id(),
            trace_id = self.correlation.trace_id(),
            "request"
        );
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let counters = self.route.as_ref().unwrap_or(&self.metrics.unrouted);
        counters.seconds.observe(self.started.elapsed().as_secs_f64());
        match self.status {
            Some(status) => {
                let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
                counters.classes[class].inc();
            }
            // No answer was sent, so no class counts it; this does.
            None => self.reason = Some(CALLER_GONE),
        }
        if let Some(reason) = self.reason {
            self.metrics.refusals.with_label_values(&[reason]).inc();
        }
        self.log();
    }
}

/// The caller left before there was an answer.
const CALLER_GONE: &str = "caller_gone";
/// The host alone: what some put before an `@` may be a password.
fn without_user(authority: &str) -> String {
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.chars().take(MAX_HOST).collect()
}

/// A name is no longer; what is longer is noise.
const MAX_HOST: usize = 255;
