//! Forgetting tokens on behalf of callers: of one subject, or of one session.
//!
//! Part of `admin`. Takes JSON with its own content type only, so that no page in somebody's browser can call it
//! by accident. What is forgotten is obtained anew when its person calls again, if the authority still agrees.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::json_response;
use crate::body::Body;
use crate::listener::Peer;
use crate::telemetry::Metrics;
use crate::token::cache::{UserCache, UserTokens};

/// Answers about tokens on behalf of callers.
#[derive(Clone, Debug)]
pub struct UserTokensAdmin {
    cache: Arc<UserCache>,
    /// By the name of the route.
    routes: Arc<[(Arc<str>, Arc<UserTokens>)]>,
    /// The names of all issuers.
    issuers: Arc<[Arc<str>]>,
}

impl UserTokensAdmin {
    /// Answers about `cache`, the routes that use it and the issuers whose tokens it was filled with.
    #[must_use]
    pub fn new(
        cache: Arc<UserCache>,
        routes: Arc<[(Arc<str>, Arc<UserTokens>)]>,
        issuers: Arc<[Arc<str>]>,
    ) -> Self {
        Self { cache, routes, issuers }
    }

    /// Forgets what the request names, for whoever is on this machine.
    pub(super) async fn change(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        // Scrapers may come from elsewhere; those who change something may not.
        if peer.address().is_some_and(|address| !address.ip().to_canonical().is_loopback()) {
            return refuse(StatusCode::FORBIDDEN, "only from this machine");
        }
        let is_purge = request.uri().path() == "/user-tokens/purge";
        let names = if is_purge { ["issuer", "subject"] } else { ["route", "session"] };
        let read = tokio::time::timeout(PATIENCE, fields(request, names)).await;
        match read {
            Ok(Ok([issuer, subject])) if is_purge => self.purge(&issuer, &subject),
            Ok(Ok([route, session])) => self.stop_session(&route, &session),
            Ok(Err(answer)) => answer,
            Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive"),
        }
    }

    /// `{"issuer": NAME, "subject": ID}`: all tokens and sessions of a subject.
    fn purge(&self, issuer: &str, subject: &str) -> Response<Body> {
        if !self.issuers.iter().any(|known| **known == *issuer) {
            return refuse(StatusCode::NOT_FOUND, "no issuer of this name");
        }
        let (tokens, sessions) = self.cache.purge(issuer, subject);
        tracing::info!(issuer, tokens, sessions, "tokens of a subject purged");
        json_response(StatusCode::OK, &json!({ "tokens": tokens, "sessions": sessions }))
    }

    /// `{"route": NAME, "session": NAME}`: one session.
    fn stop_session(&self, route: &str, session: &str) -> Response<Body> {
        let Some((_, tokens)) = self.routes.iter().find(|(name, _)| **name == *route) else {
            return refuse(
                StatusCode::NOT_FOUND,
                "no route of this name acts on behalf of callers",
            );
        };
        let stopped = tokens.stop_session(session.as_bytes());
        tracing::info!(route, stopped, "session stopped");
        json_response(StatusCode::OK, &json!({ "stopped": stopped }))
    }

    pub(super) fn status(&self) -> Value {
        let (subjects, bytes, sessions) = self.cache.size();
        let clients: Vec<Value> = self.clients_status().collect();
        json!({ "subjects": subjects, "bytes": bytes, "sessions": sessions, "clients": clients })
    }

    /// One entry per client: why its latest exchange gave no token.
    pub(super) fn clients_status(&self) -> impl Iterator<Item = Value> {
        let clients = self.cache.clients().into_iter();
        clients.map(|(client, failure)| {
            json!({ "client": client.as_ref(), "on_behalf": true, "failure": failure })
        })
    }

    pub(super) fn note_size(&self, metrics: &Metrics) {
        let (subjects, bytes, sessions) = self.cache.size();
        metrics.tokens.user_cache_subjects.set(i64::try_from(subjects).unwrap_or(i64::MAX));
        metrics.tokens.user_cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        metrics.tokens.sessions.set(i64::try_from(sessions).unwrap_or(i64::MAX));
    }
}

/// The texts of exactly these members, or the answer that says what is wrong.
async fn fields<const N: usize>(
    request: Request<Incoming>,
    names: [&str; N],
) -> Result<[String; N], Response<Body>> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let is_json = kind.eq_ignore_ascii_case("application/json");
    if !is_json {
        let what = "send JSON, with content-type: application/json";
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
    }
    let expected =
        format!("expected a JSON object with the texts {}, and nothing else", names.join(" and "));
    let wrong = || refuse(StatusCode::BAD_REQUEST, &expected);
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await.map_err(|_| wrong())?;
    let members: Map<String, Value> =
        serde_json::from_slice(&body.to_bytes()).map_err(|_| wrong())?;
    if members.len() != N {
        return Err(wrong());
    }
    let texts = names.map(|name| members.get(name).and_then(Value::as_str).map(str::to_owned));
    if texts.iter().any(|text| text.as_deref().is_none_or(str::is_empty)) {
        return Err(wrong());
    }
    Ok(texts.map(Option::unwrap_or_default))
}

fn refuse(status: StatusCode, what: &str) -> Response<Body> {
    json_response(status, &json!({ "error": what }))
}

const MAX_BODY: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
