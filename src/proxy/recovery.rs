//! Inject and forward, and once more when the upstream does not want the token.
//!
//! Part of `proxy`. An upstream's 401 to a token of ours makes us renew that token once, and send the request
//! once more where that is safe: its method may be repeated, and its body is none or was small enough to be
//! kept. A window for each token stops an upstream from making us hammer the authority.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;

use super::plan::Plan;
use super::source::Source;
use super::{ProxyError, challenge};
use crate::body::{Body, Recording};
use crate::drain::DrainWatch;
use crate::forward::TargetPath;
use crate::inbound::Caller;
use crate::inject::Injection;
use crate::listener::Peer;
use crate::token::cache::Replacement;
use crate::token::{AccessToken, ClaimsRequest};

/// What a route does when its upstream does not want the token.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// Whether a 401 counts at all.
    pub on_unauthorized: bool,
    /// What may be sent twice.
    pub methods: Vec<Method>,
    /// Bytes of a body that are kept for it.
    pub body: usize,
    /// How often a token is renewed on the upstream's word, at most.
    pub window: Duration,
}

/// Everything that sending a request takes besides the request.
pub(super) struct Call<'r> {
    pub(super) plan: &'r Plan,
    pub(super) caller: &'r Caller,
    pub(super) source: &'r Source,
    pub(super) path: &'r TargetPath,
    pub(super) peer: &'r Arc<Peer>,
    pub(super) drain: &'r DrainWatch,
}

/// What is kept of a request.
struct Spare {
    parts: Parts,
    /// Nothing for a request without a body.
    body: Option<Arc<Recording>>,
}

impl Call<'_> {
    /// Sends the request and gives the upstream's answer.
    ///
    /// # Errors
    /// When there is no answer, or the authority wants the person to act before there can be a good one.
    pub(super) async fn make(
        &self,
        parts: Parts,
        body: Body,
        injection: &Injection,
    ) -> Result<Response<Body>, ProxyError> {
        let Injection::Token(token) = injection else {
            return self.once(parts, body, injection).await;
        };
        let (body, spare) = self.keep(&parts, body);
        let response = self.once(parts, body, injection).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        if !self.plan.recovery.on_unauthorized {
            return Ok(self.relay(response));
        }
        self.refused(response, token, spare).await
    }

    /// Inject, forward.
    async fn once(
        &self,
        parts: Parts,
        body: Body,
        injection: &Injection,
    ) -> Result<Response<Body>, ProxyError> {
        let outbound = self.plan.injector.apply(parts, body, injection, self.caller)?;
        let asked = Instant::now();
        let sent = self.plan.forwarder.send(outbound, self.path, self.peer, self.drain).await;
        self.plan.metrics.upstream_seconds.observe(asked.elapsed().as_secs_f64());
        Ok(sent?)
    }

    /// The upstream does not want the token.
    async fn refused(
        &self,
        response: Response<Body>,
        rejected: &Arc<AccessToken>,
        spare: Option<Spare>,
    ) -> Result<Response<Body>, ProxyError> {
        let claims = challenge::claims_wanted(response.headers(), self.source);
        let again = spare.and_then(Spare::again);
        let token = self.renewed(rejected, claims, again.is_some()).await?;
        // The very same token would be refused once more.
        let token = token.filter(|token| token.bare() != rejected.bare());
        let (Some(token), Some((parts, body))) = (token, again) else {
            self.count("relayed");
            return Ok(self.relay(response));
        };
        // Its body is not read: the connection is given up if need be, not the caller's time.
        drop(response);
        let response = self.once(parts, body, &Injection::Token(token)).await?;
        let is_refused = response.status() == StatusCode::UNAUTHORIZED;
        self.count(if is_refused { "refused_again" } else { "sent_again" });
        Ok(self.relay(response))
    }

    /// Another token, when one can be had and somebody waits for it. Without, the old one stays where it is,
    /// and the renewal that has begun goes on by itself.
    async fn renewed(
        &self,
        rejected: &Arc<AccessToken>,
        claims: Option<ClaimsRequest>,
        waits: bool,
    ) -> Result<Option<Arc<AccessToken>>, ProxyError> {
        match self.source.replace(rejected, claims, self.plan.recovery.window) {
            Replacement::Now(token) => Ok(Some(token)),
            Replacement::Coming(flight) if waits => match flight.landed().await {
                Ok(token) => Ok(Some(token)),
                Err(failure) if failure.error.needs_user().is_some() => {
                    self.count("needs_user");
                    Err(challenge::of(failure, self.caller, Some(self.source)))
                }
                Err(_) => Ok(None),
            },
            Replacement::Coming(_) | Replacement::TooSoon => Ok(None),
        }
    }

    /// What of the upstream's answer the caller may see: a claims challenge only one who can meet it.
    fn relay(&self, mut response: Response<Body>) -> Response<Body> {
        let meets = self.source.is_on_behalf() && challenge::is_capable(self.caller);
        if response.status() == StatusCode::UNAUTHORIZED && !meets {
            challenge::remove_claims(response.headers_mut());
        }
        response
    }

    /// Keeps what a second try would need, where there may be one.
    fn keep(&self, parts: &Parts, body: Body) -> (Body, Option<Spare>) {
        let recovery = &self.plan.recovery;
        let is_upgrade = parts.headers.contains_key(http::header::UPGRADE);
        let kept_at_most = recovery.body as u64;
        if !recovery.on_unauthorized
            || is_upgrade
            || !recovery.methods.contains(&parts.method)
            || body.size_hint().lower() > kept_at_most
        {
            return (body, None);
        }
        let (body, recording) = if body.is_end_stream() {
            (body, None)
        } else {
            let (body, recording) = body.recorded(recovery.body);
            (body, Some(recording))
        };
        (body, Some(Spare { parts: parts.clone(), body: recording }))
    }

    fn count(&self, outcome: &str) {
        let metrics = &self.plan.metrics;
        metrics.rejections.with_label_values(&[metrics.route.as_ref(), outcome]).inc();
    }
}

impl Spare {
    /// The request once more, if all of it was kept.
    fn again(self) -> Option<(Parts, Body)> {
        let body = match self.body {
            None => Body::full(""),
            Some(recording) => recording.replay()?,
        };
        Some((self.parts, body))
    }
}
