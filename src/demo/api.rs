//! The sample API: tells what reached it.
//!
//! Part of `demo`.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Response};
use serde_json::{Value, json};

use super::serve::{Party, Received};

/// The API, and what the last request that reached it told of its caller.
#[derive(Default)]
pub(super) struct SampleApi {
    last: Mutex<Told>,
}

#[derive(Clone, Default)]
struct Told {
    credentials: Vec<String>,
    caller: Option<String>,
}

impl SampleApi {
    /// Every `Authorization` value of the last request.
    pub(super) fn last_credentials(&self) -> Vec<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).credentials.clone()
    }

    /// The `X-Caller` of the last request.
    pub(super) fn last_caller(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).caller.clone()
    }
}

impl Party for SampleApi {
    fn answer(&self, received: Received) -> Response<String> {
        let values = received.headers.get_all(AUTHORIZATION).iter();
        let credentials: Vec<String> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        let headers: Vec<String> = received.headers.keys().map(ToString::to_string).collect();
        let shown = json!({
            "message": "this is what reached the API",
            "method": received.method.as_str(),
            "path": received.path,
            "headers": headers,
            "token_claims": credentials.first().and_then(|value| claims(value)),
            "body_bytes": received.body.len(),
        });
        let caller = received.headers.get("x-caller").and_then(|value| value.to_str().ok());
        let caller = caller.map(str::to_owned);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Told { credentials, caller };
        let mut response = Response::new(format!("{shown:#}\n"));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        response
    }
}

/// The claims inside a bearer JWT, for show; nothing is verified here.
pub(super) fn claims(credential: &str) -> Option<Value> {
    let payload = credential.strip_prefix("Bearer ")?.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
