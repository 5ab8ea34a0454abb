//! What the token endpoint answers, judged as hostile input (RFC 6749 section 5).
//!
//! Part of `token`. A token comes out only of status 200 with a JSON object, a non-empty
//! `access_token` of allowed characters and `token_type` Bearer (or `N_A`, for whoever asked for no access token). `error_description` is never read:
//! a server may echo our request in it.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::authority::AuthorityError;
use crate::clock::{Clock, Moment};
use crate::secret::SecretString;
use crate::token::claims_request::ClaimsRequest;
use crate::token::refusal::{OAuthErrorCode, Refusal, Suberror};
use crate::token::{AccessToken, AcquireError, Lifetime};

/// A good answer.
pub(super) struct TokenResponse {
    access_token: Zeroizing<String>,
    kind: TokenKind,
    expires_in: Option<u64>,
    refresh_in: Option<u64>,
    /// What the server says it issued (RFC 8693 section 2.2.1).
    pub(super) issued_token_type: Option<String>,
    /// What renews it.
    pub(super) refresh_token: Option<SecretString>,
}

/// `token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    Bearer,
    /// `N_A`: no access token, but another that was asked for (RFC 8693 section 2.2.1).
    NoAccessToken,
}

/// RFC 6749 section 5.1, and `refresh_in`, which Entra adds.
#[derive(Deserialize)]
struct SuccessBody {
    access_token: String,
    token_type: Option<String>,
    #[serde(default)]
    issued_token_type: Value,
    #[serde(default)]
    refresh_token: Value,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    refresh_in: Value,
}

/// RFC 6749 section 5.2, and the identifiers Entra adds. Wrong types are as good as absence: the
/// status alone already says that there is no token.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: Value,
    suberror: Value,
    claims: Value,
    error_codes: Value,
    correlation_id: Value,
    trace_id: Value,
}

/// Turns status, `Retry-After` and body into a token or the reason why there is none.
pub(super) fn judge(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Result<TokenResponse, AcquireError> {
    if status == StatusCode::OK {
        return success(body);
    }
    let error: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let throttled = |status, wait| error.throttled(status, wait);
    let code = OAuthErrorCode::from(error.error.as_str().unwrap_or_default());
    let number = status.as_u16();
    let overloaded = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
    Err(match (status, retry_after) {
        (StatusCode::TOO_MANY_REQUESTS, wait) => {
            throttled(number, wait.unwrap_or(DEFAULT_RETRY_AFTER))
        }
        (_, Some(wait)) if overloaded || code.is_passing() => throttled(number, wait),
        _ if overloaded || code.is_passing() => unusable(number, "the authority failed"),
        _ if status.is_success() => unusable(number, "only status 200 carries a token"),
        _ => AcquireError::Refused(Box::new(error.refusal(number, retry_after))),
    })
}

fn unusable(status: u16, what: &'static str) -> AcquireError {
    AuthorityError::Unusable { status, what }.into()
}

fn success(body: &[u8]) -> Result<TokenResponse, AcquireError> {
    let unusable = |what| unusable(200, what);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(unusable("an empty body"));
    }
    let body: SuccessBody = serde_json::from_slice(body)
        .map_err(|_| unusable("not a JSON object with a string `access_token`"))?;
    let access_token = Zeroizing::new(body.access_token);
    let kind = match body.token_type.as_deref() {
        Some(token_type) if token_type.eq_ignore_ascii_case("Bearer") => TokenKind::Bearer,
        Some(token_type) if token_type.eq_ignore_ascii_case("N_A") => TokenKind::NoAccessToken,
        _ => return Err(AcquireError::WrongTokenType),
    };
    if !is_b64token(&access_token) {
        return Err(unusable(
            "an `access_token` that is empty, too long or not of token characters",
        ));
    }
    let expires_in =
        seconds(&body.expires_in).map_err(|Nonsense| unusable("a senseless `expires_in`"))?;
    // Advice only: when it makes no sense the token is still good.
    let refresh_in = seconds(&body.refresh_in).ok().flatten();
    let text = |value: Value| match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    };
    let refresh_token = text(body.refresh_token).filter(|token| token.len() <= MAX_TOKEN);
    Ok(TokenResponse {
        access_token,
        kind,
        expires_in,
        refresh_in,
        issued_token_type: text(body.issued_token_type),
        refresh_token: refresh_token.map(SecretString::from),
    })
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

impl TokenResponse {
    /// Whether it may be sent as a bearer token whatever was asked for.
    #[must_use]
    pub(super) fn is_bearer(&self) -> bool {
        self.kind == TokenKind::Bearer
    }

    /// The token with its lifetime, counted from when it was `asked` for: `expires_in`, else the JWT's
    /// own `exp`, else 300 s.
    pub(super) fn to_token(
        &self,
        clock: &Clock,
        asked: Moment,
    ) -> Result<AccessToken, AcquireError> {
        let unusable = |what| unusable(200, what);
        let total = match (self.expires_in, jwt_exp(&self.access_token)) {
            (Some(seconds), _) => Duration::from_secs(seconds),
            (None, Some(exp)) => match exp.saturating_sub(clock.wall().as_secs()) {
                0 => return Err(unusable("a token that has already expired")),
                left => Duration::from_secs(left),
            },
            (None, None) => DEFAULT_LIFETIME,
        };
        let lifetime = Lifetime::new(total, self.refresh_in.map(Duration::from_secs));
        let token = AccessToken::new(&self.access_token, lifetime, asked)
            .ok_or(unusable("an impossible `access_token`"))?;
        // It may have taken longer to come than it lives.
        if token.is_cacheable() && token.is_expired(clock.now()) {
            return Err(unusable("a token that has already expired"));
        }
        Ok(token)
    }
}

impl ErrorBody {
    fn refusal(&self, status: u16, retry_after: Option<Duration>) -> Refusal {
        Refusal {
            status,
            code: OAuthErrorCode::from(self.error.as_str().unwrap_or_default()),
            suberror: self.suberror.as_str().and_then(Suberror::named),
            claims: self
                .claims
                .as_str()
                .and_then(ClaimsRequest::parse)
                .map(|claims| claims.to_challenge()),
            retry_after,
            details: self.details(),
        }
    }

    fn throttled(&self, status: u16, retry_after: Duration) -> AcquireError {
        let code = OAuthErrorCode::from(self.error.as_str().unwrap_or_default());
        let whole_client = code.blames_client() || self.numbers().any(|n| n == TENANT_THROTTLED);
        AcquireError::Throttled { status, retry_after, whole_client, details: self.details() }
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.error_codes.as_array().into_iter().flatten().filter_map(Value::as_u64)
    }

    /// Error numbers and identifiers in a form that is safe to log.
    fn details(&self) -> Option<String> {
        let codes: Vec<String> =
            self.numbers().take(8).map(|code| format!("AADSTS{code}")).collect();
        let ids = [("correlation id", &self.correlation_id), ("trace id", &self.trace_id)];
        let ids = ids.into_iter().filter_map(|(name, id)| Some((name, id.as_str()?)));
        let ids = ids.filter(|(_, id)| is_uuid(id)).map(|(name, id)| format!("{name} {id}"));
        let details: String =
            codes.into_iter().chain(ids).map(|part| [", ", &part].concat()).collect();
        (!details.is_empty()).then_some(details)
    }
}

/// A number that is none, or a wrong type.
struct Nonsense;

/// A lifetime in whole seconds: a number or a numeric string, fractions floored; nothing for absence.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked; `as` saturates"
)]
fn seconds(value: &Value) -> Result<Option<u64>, Nonsense> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let sensible = number.filter(|number| number.is_finite() && *number >= 0.0);
    sensible.map(|number| Some(number as u64)).ok_or(Nonsense)
}

/// RFC 6750 section 2.1.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && token.len() <= MAX_TOKEN
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// `exp` of a token that happens to be a JWT; nothing is verified, the token is not ours to judge.
fn jwt_exp(token: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    seconds(&Value::from(claims.exp)).ok().flatten()
}

const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
/// Entra: a whole tenant is held back, not one person's sign-in.
const TENANT_THROTTLED: u64 = 90055;
const MAX_TOKEN: usize = 64 * 1024;
