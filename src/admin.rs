//! Live, ready, metrics and status, on a listener of their own.
//!
//! Nothing here shows a token or a secret, and all that can be changed is that tokens on behalf of callers
//! are forgotten. It is served by the same listener code as traffic, on the control thread, so it answers
//! while traffic drains.

mod readiness;
mod user_tokens;

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::body::Body;
use crate::inbound::Issuers;
use crate::listener::{InFlight, Peer, Serve};
use crate::telemetry::Metrics;
use crate::token::cache::ApplicationCache;

pub use readiness::{Readiness, ReadyGuard};
pub use user_tokens::UserTokensAdmin;

/// Answers the admin listener's requests.
#[derive(Clone, Debug)]
pub struct Admin {
    /// What the process still waits for.
    pub readiness: Arc<Readiness>,
    /// Every metric.
    pub metrics: Metrics,
    /// Tokens, for their age and health.
    pub tokens: Arc<ApplicationCache>,
    /// Tokens on behalf of callers, to be counted and forgotten.
    pub user_tokens: UserTokensAdmin,
    /// Issuers, for the age and health of their keys.
    pub issuers: Arc<Issuers>,
}

impl Serve for Admin {
    async fn serve(
        &self,
        request: Request<Incoming>,
        peer: Arc<Peer>,
        in_flight: InFlight,
    ) -> Response<Body> {
        let response = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, path) => self.answer(path),
            (&Method::POST, "/user-tokens/purge" | "/sessions/stop") => {
                self.user_tokens.change(request, &peer).await
            }
            _ => text(StatusCode::METHOD_NOT_ALLOWED, PATHS.to_owned()),
        };
        response.map(|body| body.observed(move |_| drop(in_flight)))
    }
}

impl Admin {
    fn answer(&self, path: &str) -> Response<Body> {
        match path {
            "/livez" => text(StatusCode::OK, "alive\n".to_owned()),
            "/readyz" => self.ready(),
            "/metrics" => {
                self.note_expiry();
                self.note_key_age();
                self.user_tokens.note_size(&self.metrics);
                text(StatusCode::OK, self.metrics.text())
            }
            "/status" => json_response(StatusCode::OK, &self.status()),
            _ => text(StatusCode::NOT_FOUND, PATHS.to_owned()),
        }
    }

    fn ready(&self) -> Response<Body> {
        let waiting_for = self.readiness.waiting_for();
        let (status, word) = if waiting_for.is_empty() {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        };
        let all = self.clients_status().chain(self.issuers_status());
        let all = all.chain(self.user_tokens.clients_status());
        let failing: Vec<Value> = all.filter(|party| !party["failure"].is_null()).collect();
        json_response(
            status,
            &json!({ "status": word, "waiting_for": waiting_for, "failing": failing }),
        )
    }

    fn status(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "waiting_for": self.readiness.waiting_for(),
            "tokens": self.clients_status().collect::<Vec<_>>(),
            "issuers": self.issuers_status().collect::<Vec<_>>(),
            "user_tokens": self.user_tokens.status(),
        })
    }

    /// One entry per application token: how long it lasts, and why it was not renewed.
    fn clients_status(&self) -> impl Iterator<Item = Value> {
        self.tokens.slots().into_iter().map(|slot| {
            json!({
                "client": slot.client().name.as_ref(),
                "seconds_to_expiry": slot.time_left().as_secs(),
                "failure": slot.failure(),
            })
        })
    }

    /// One entry per issuer: its keys, or that it is asked, and what is wrong with it.
    fn issuers_status(&self) -> impl Iterator<Item = Value> {
        let signed = self.issuers.key_rings().map(|(issuer, ring)| {
            json!({
                "issuer": issuer.name.as_ref(),
                "keys": ring.len(),
                "usable": ring.is_usable(),
                "keys_age_seconds": ring.age().map(|age| age.as_secs()),
                "failure": ring.failure(),
            })
        });
        let asked = self
            .issuers
            .introspectors()
            .map(|issuer| json!({ "issuer": issuer.name().as_ref(), "failure": issuer.failure() }));
        signed.chain(asked)
    }

    fn note_key_age(&self) {
        let metrics = &self.metrics.inbound;
        for (issuer, ring) in self.issuers.key_rings() {
            let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            let age = ring.age().map_or(-1, |age| number(age.as_secs()));
            let usable = if ring.is_usable() { ring.len() as u64 } else { 0 };
            metrics.issuer_keys_age.with_label_values(&[issuer.name.as_ref()]).set(age);
            metrics.issuer_keys.with_label_values(&[issuer.name.as_ref()]).set(number(usable));
        }
    }

    /// The smallest remaining lifetime per client, as of now.
    fn note_expiry(&self) {
        let gauges = &self.metrics.tokens.seconds_to_expiry;
        gauges.reset();
        let mut slots = self.tokens.slots();
        slots.sort_by_key(|slot| std::cmp::Reverse(slot.time_left()));
        for slot in slots {
            let seconds = i64::try_from(slot.time_left().as_secs()).unwrap_or(i64::MAX);
            gauges.with_label_values(&[slot.client().name.as_ref()]).set(seconds);
        }
    }
}

const PATHS: &str = "GET /livez /readyz /metrics /status\n\
    POST /user-tokens/purge /sessions/stop\n";

fn text(status: StatusCode, text: String) -> Response<Body> {
    respond(status, "text/plain; version=0.0.4; charset=utf-8", text)
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    respond(status, "application/json", format!("{value}\n"))
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
