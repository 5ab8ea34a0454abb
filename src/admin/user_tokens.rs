//! Forgetting tokens on behalf of callers: of one subject, or of one session.
//!
//! Part of `admin`. Takes JSON with its own content type only, so that no page in somebody's browser can call it
//! by accident. What is forgotten is obtained anew when its person calls again, if the authority still agrees.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::json_response;
use crate::body::Body;
use crate::telemetry::Metrics;
use crate::token::cache::{UserCache, UserTokens};

/// Answers about tokens on behalf of callers.
#[derive(Clone, Debug)]
pub struct UserTokensAdmin {
    cache: Arc<UserCache>,
    /// By the name of the route.
    routes: Arc<[(Arc<str>, Arc<UserTokens>)]>,
}

impl UserTokensAdmin {
    /// Answers about `cache` and the routes that use it.
    #[must_use]
    pub fn new(cache: Arc<UserCache>, routes: Arc<[(Arc<str>, Arc<UserTokens>)]>) -> Self {
        Self { cache, routes }
    }

    /// `{"issuer": NAME, "subject": ID}`: forgets all tokens and sessions of a subject.
    pub(super) async fn purge(&self, request: Request<Incoming>) -> Response<Body> {
        let fields = match fields(request, ["issuer", "subject"]).await {
            Ok(fields) => fields,
            Err(answer) => return answer,
        };
        let [issuer, subject] = &fields;
        let (tokens, sessions) = self.cache.purge(issuer, subject);
        tracing::info!(issuer, tokens, sessions, "tokens of a subject purged");
        json_response(StatusCode::OK, &json!({ "tokens": tokens, "sessions": sessions }))
    }

    /// `{"route": NAME, "session": NAME}`: ends a session.
    pub(super) async fn stop_session(&self, request: Request<Incoming>) -> Response<Body> {
        let fields = match fields(request, ["route", "session"]).await {
            Ok(fields) => fields,
            Err(answer) => return answer,
        };
        let [route, session] = &fields;
        let Some((_, tokens)) = self.routes.iter().find(|(name, _)| **name == **route) else {
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
        json!({ "subjects": subjects, "bytes": bytes, "sessions": sessions })
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
    let is_json =
        request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
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
