//! Whether an answer refuses us, rather than what we asked for (RFC 6749 section 5.2).
//!
//! Part of `authority`. Decides which credential is tried next; what the answer means for the token is judged by whoever
//! asked. Descriptions are never read.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Answer;

/// What the authority does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientRefusal {
    /// This proof.
    Proof,
    /// This certificate or assertion, in a way that a newer one may mend (the numbers after which
    /// Microsoft.Identity.Web reads its credential again).
    Certificate,
    /// The client as such: no proof will help.
    Client,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Value,
    error_codes: Value,
}

impl ClientRefusal {
    /// What `answer` refuses of us, if anything.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        let status = answer.status;
        if !matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) {
            return None;
        }
        let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = body.error.as_str();
        // 401 is for a client that failed to authenticate, and for nothing else.
        let is_ours = match code {
            Some(code) => code == "invalid_client",
            None => status == StatusCode::UNAUTHORIZED,
        };
        if !is_ours {
            return None;
        }
        let numbers =
            || body.error_codes.as_array().into_iter().flatten().filter_map(Value::as_u64);
        Some(if numbers().any(|number| number == UNKNOWN_APPLICATION) {
            Self::Client
        } else if numbers().any(|number| READ_AGAIN.contains(&number)) {
            Self::Certificate
        } else {
            Self::Proof
        })
    }
}

const UNKNOWN_APPLICATION: u64 = 700_016;
const READ_AGAIN: [u64; 6] = [700_027, 700_024, 7_000_214, 1_000_502, 7_000_274, 7_000_277];
