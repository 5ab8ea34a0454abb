//! Identifiers that tie a request's log line, its answer and its trace together.
//!
//! Part of `proxy`. A caller's `X-Request-Id` is kept when it is harmless, else one is made; it goes
//! to the upstream and back. W3C trace context is passed on as it is when well-formed and removed when
//! not, so that no malformed one spreads.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The identifiers of one request.
#[derive(Clone, Debug)]
pub(super) struct Correlation {
    request_id: HeaderValue,
    trace_id: Option<String>,
}

impl Correlation {
    /// Reads the caller's identifiers, makes what is missing and leaves them in `headers`.
    pub(super) fn establish(headers: &mut HeaderMap) -> Self {
        let mut given = headers.get_all(&REQUEST_ID).iter();
        let request_id = match (given.next(), given.next()) {
            (Some(id), None) if is_harmless(id) => id.clone(),
            _ => {
                let id = fresh_id();
                headers.insert(REQUEST_ID, id.clone());
                id
            }
        };
        let trace_id = match headers.get(&TRACEPARENT) {
            None => None,
            Some(parent) => {
                let only = headers.get_all(&TRACEPARENT).iter().count() == 1;
                let trace_id = trace_id(parent).filter(|_| only).map(str::to_owned);
                if trace_id.is_none() {
                    headers.remove(&TRACEPARENT);
                    headers.remove(&TRACESTATE);
                }
                trace_id
            }
        };
        Self { request_id, trace_id }
    }

    /// Puts the request id into the answer.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.request_id.clone());
    }

    pub(super) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    pub(super) fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }
}

/// Short, and nothing but characters that identifiers are made of.
fn is_harmless(id: &HeaderValue) -> bool {
    let character = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=:@".contains(b);
    !id.is_empty() && id.len() <= MAX_ID && id.as_bytes().iter().all(character)
}

fn fresh_id() -> HeaderValue {
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(fastrand::u128(..).to_ne_bytes()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 0xf)];
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// The trace id of a version 00 `traceparent` (W3C Trace Context section 3.2), or of a later version
/// that begins alike.
fn trace_id(parent: &HeaderValue) -> Option<&str> {
    let text = parent.to_str().ok()?;
    let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let nonzero = |part: &str| part.bytes().any(|b| b != b'0');
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sized = version.len() == 2 && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    let known = version != "ff" && (version != "00" || parts.next().is_none());
    let valid = sized && known && [version, trace, span, flags].into_iter().all(hex);
    (valid && nonzero(trace) && nonzero(span)).then_some(trace)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const MAX_ID: usize = 128;
const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn established(name: &'static str, values: &[&str]) -> (Correlation, HeaderMap) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        (Correlation::establish(&mut headers), headers)
    }

    #[test]
    fn keeps_harmless_ids_and_replaces_the_rest() {
        let (kept, _) = established("x-request-id", &["abc-123"]);
        assert_eq!(kept.request_id(), "abc-123");
        for values in [&[][..], &[""], &["a b"], &["a\"b"], &["a", "b"], &[&"x".repeat(129)]] {
            let (made, headers) = established("x-request-id", values);
            assert_eq!(made.request_id().len(), 32, "{values:?}");
            assert_eq!(headers.get_all("x-request-id").iter().count(), 1);
        }
        assert_ne!(fresh_id(), fresh_id());
    }

    #[test]
    fn passes_well_formed_trace_context_and_removes_the_rest() {
        let (seen, headers) = established("traceparent", &[PARENT]);
        assert_eq!(seen.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(headers["traceparent"], PARENT);
        let upper = PARENT.to_uppercase();
        let zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let long = format!("{PARENT}-x");
        for values in [&[&*upper][..], &[&*zero], &[&*long], &["x"], &[PARENT, PARENT]] {
            let (_, headers) = established("traceparent", values);
            assert!(!headers.contains_key("traceparent"), "{values:?}");
        }
    }
}
