//! Turns an error into the answer the caller sees: the one place that chooses status codes.
//!
//! Part of `proxy`. Bodies are RFC 9457 problems with a stable `reason` and the request id that the
//! log line carries. They name no host, client, scope or text of the authority.

use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde_json::json;

use super::ProxyError;
use super::correlation::Correlation;
use super::error::Interaction;
use crate::body::Body;
use crate::forward::ForwardError;
use crate::inbound::Verdict;
use crate::route::RouteError;
use crate::token::{AcquireError, Fault};

/// The answer to a request that failed with `error`.
pub(super) fn to(error: &ProxyError, correlation: &Correlation) -> Response<Body> {
    let (status, detail) = answer(error);
    let problem = json!({
        "type": format!("urn:vicar:problem:{}", error.reason()),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
        "reason": error.reason(),
        "request_id": correlation.request_id(),
    });
    let mut response = Response::new(Body::full(problem.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = retry_after(error, status) {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if let ProxyError::Interaction(interaction) = error {
        headers.insert(WWW_AUTHENTICATE, interaction.challenge.clone());
    }
    if let ProxyError::Inbound(refusal) = error {
        for (name, value) in &refusal.fields {
            headers.append(name, value.clone());
        }
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(
            ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    response
}

/// Status and the text the caller may read.
fn answer(error: &ProxyError) -> (StatusCode, &'static str) {
    match error {
        ProxyError::Route(RouteError::NoRoute) => {
            (StatusCode::NOT_FOUND, "No route matches this request.")
        }
        ProxyError::Route(RouteError::Ambiguous(what)) => (StatusCode::BAD_REQUEST, what),
        ProxyError::Route(RouteError::MethodRefused) => {
            (StatusCode::METHOD_NOT_ALLOWED, "This method is not served here.")
        }
        ProxyError::Inbound(refusal) => inbound(refusal.fault.verdict()),
        ProxyError::Acquire(failure) | ProxyError::Interaction(Interaction { failure, .. }) => {
            acquire(&failure.error)
        }
        ProxyError::Inject(_) => {
            (StatusCode::BAD_GATEWAY, "The authorization server issued an unusable token.")
        }
        ProxyError::Forward(ForwardError::Timeout(_) | ForwardError::ConnectTimeout(_)) => {
            (StatusCode::GATEWAY_TIMEOUT, "The upstream took too long.")
        }
        ProxyError::Forward(ForwardError::CallerBody(_)) => {
            (StatusCode::REQUEST_TIMEOUT, "The request body did not arrive.")
        }
        ProxyError::Forward(ForwardError::Target) => {
            (StatusCode::BAD_REQUEST, "The request target cannot be forwarded.")
        }
        ProxyError::Forward(ForwardError::Unreachable(_)) => {
            (StatusCode::BAD_GATEWAY, "The upstream cannot be reached.")
        }
        ProxyError::Forward(ForwardError::Broken(_)) => {
            (StatusCode::BAD_GATEWAY, "The upstream broke off.")
        }
    }
}

fn acquire(error: &AcquireError) -> (StatusCode, &'static str) {
    match error.fault() {
        Fault::Ours => (
            StatusCode::BAD_GATEWAY,
            "The authorization server refused the proxy; its operator must act.",
        ),
        Fault::Authority => (StatusCode::SERVICE_UNAVAILABLE, "No token can be had at the moment."),
        Fault::Caller => (StatusCode::UNAUTHORIZED, step(error)),
        Fault::Forbidden => (StatusCode::FORBIDDEN, "The session named here is not the caller's."),
        Fault::Request => (StatusCode::BAD_REQUEST, "The name of the session cannot be used."),
        Fault::Room => (StatusCode::SERVICE_UNAVAILABLE, "The proxy is at a limit."),
    }
}

/// What the person must do, in words that come from us.
fn step(error: &AcquireError) -> &'static str {
    match error.reason() {
        "session_unknown" => "There is no such session: it begins with a call in a user's name.",
        "user_consent_required" => "The user must agree to what is done in the user's name.",
        "user_interaction_required" => "The user must sign in again, and may have to prove more.",
        "user_password_expired" => "The user's password has expired.",
        _ => "The user must sign in again.",
    }
}

fn inbound(verdict: Verdict) -> (StatusCode, &'static str) {
    match verdict {
        Verdict::BadRequest => {
            (StatusCode::BAD_REQUEST, "The credential in this request is not accepted here.")
        }
        Verdict::Unauthenticated => {
            (StatusCode::UNAUTHORIZED, "A valid access token for this API is needed.")
        }
        Verdict::Forbidden => {
            (StatusCode::FORBIDDEN, "The access token does not allow this request.")
        }
        Verdict::RefusesUs => {
            (StatusCode::BAD_GATEWAY, "The issuer refused the proxy; its operator must act.")
        }
        Verdict::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "Access tokens cannot be checked at the moment.")
        }
    }
}

/// When asking again makes sense, for answers that promise it.
fn retry_after(error: &ProxyError, status: StatusCode) -> Option<Duration> {
    let wait = match error {
        ProxyError::Acquire(failure) => Some(failure.retry_in),
        ProxyError::Inbound(refusal) => refusal.fault.retry_in(),
        _ => None,
    };
    // Whole seconds, rounded up: coming back early helps nobody.
    let wait = wait.filter(|_| status == StatusCode::SERVICE_UNAVAILABLE)?;
    Some(wait + Duration::from_millis(999))
}
