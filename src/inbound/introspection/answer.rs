//! What an issuer answers about a token, judged as hostile input (RFC 7662 section 2.2).
//!
//! Part of `inbound::introspection`. A token is good only by status 200 and `active: true`, and then held against
//! the same rules as a signed one's claims. What says nothing about the token is told apart by whose
//! fault it is.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{FIRST_PAUSE, IntrospectionError, IntrospectionSpec, MAX_PAUSE, Outcome, unavailable};
use crate::authority::Answer;
use crate::clock::Clock;
use crate::inbound::claims::{BadClaim, Claims};
use crate::inbound::error::Fault;
use crate::inbound::issuer::IssuerSpec;
use crate::inbound::jws::{Compact, EmbeddedKey};
use crate::inbound::verified::{ClaimNames, Confirmation, GoodUntil, Verified};

/// What an answer is held against.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) issuer: &'a IssuerSpec,
    pub(super) spec: &'a IntrospectionSpec,
    pub(super) clock: &'a Clock,
}

impl Reading<'_> {
    /// Turns an answer about `token` into what is known of its caller.
    pub(super) fn judge(&self, answer: &Answer, token: &str) -> Outcome {
        if answer.status == StatusCode::BAD_REQUEST && blames_the_token(&answer.body) {
            return Err(Fault::Inactive);
        }
        if answer.status != StatusCode::OK {
            let text = format!("the issuer answered with status {}", answer.status.as_u16());
            // RFC 7662 section 2.3: it is our credential that is wrong, which does not pass by itself.
            let refused = answer.status == StatusCode::UNAUTHORIZED;
            let asked_to_wait = answer.retry_after().unwrap_or(FIRST_PAUSE).min(MAX_PAUSE);
            let retry_in = if refused { REFUSAL_PAUSE } else { asked_to_wait };
            // 408 and 429 are about time, and so is what servers fail with; the rest is about this question.
            let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
            let about_token =
                answer.status.is_client_error() && !refused && !passing.contains(&answer.status);
            let text = text.into();
            return Err(IntrospectionError { text, refused, about_token, retry_in }.into());
        }
        let senseless = |what: &str| Fault::from(unavailable(what, FIRST_PAUSE));
        let claims = Claims::parse(&answer.body).map_err(|_| senseless("not a JSON object"))?;
        match claims.members().get("active") {
            Some(Value::Bool(true)) => Ok(Arc::new(self.read(claims, token)?)),
            Some(Value::Bool(false)) => Err(Fault::Inactive),
            _ => Err(senseless("no `active` in the answer")),
        }
    }

    /// An active token's answer is held against the same rules as a signed one's claims.
    fn read(&self, claims: Claims, token: &str) -> Result<Verified, Fault> {
        let Self { issuer: ours, spec, clock } = *self;
        let issuer = claims.text("iss")?;
        if spec.issuer.is_some() && issuer.is_some() && issuer != spec.issuer.as_deref() {
            return Err(BadClaim::Issuer.into());
        }
        if !ours.audiences.is_empty() {
            claims.check_audience(&ours.audiences)?;
        }
        let known = ["bearer", "dpop", "access_token"];
        let kind = claims.text("token_type")?.map(str::to_ascii_lowercase);
        if kind.as_deref().is_some_and(|kind| !known.contains(&kind)) {
            return Err(BadClaim::OtherKind.into());
        }
        claims.check_other_kinds()?;
        let ends = claims.check_times_if_any(clock.wall(), ours.skew)?;
        let ends = ends.unwrap_or_else(|| clock.wall() + spec.cache);
        let (roles, assumed) = (&ours.roles_claim, ours.assumed);
        let names = ClaimNames { roles, is_entra: false, assumed };
        let good_until = GoodUntil::new(clock, ends, spec.cache);
        let mut verified = Verified::new(&ours.name, claims.into(), names, good_until, None)?;
        if kind.as_deref() == Some("dpop") && verified.confirmation == Confirmation::None {
            return Err(BadClaim::OtherKind.into());
        }
        verified.named_issuer = named_issuer(token);
        Ok(verified)
    }
}

/// What a token that is a JWS names as its issuer; nothing of it is believed.
fn named_issuer(token: &str) -> Option<String> {
    let payload = Compact::parse(token, EmbeddedKey::Refused).ok()?.payload().ok()?;
    Claims::parse(&payload).ok()?.text("iss").ok()?.map(str::to_owned)
}

/// Some servers answer so to a token of a kind they cannot look up.
fn blames_the_token(body: &[u8]) -> bool {
    let error = Claims::parse(body).ok();
    let error = error.as_ref().and_then(|body| body.text("error").ok().flatten());
    error.is_some_and(|error| ["invalid_token", "unsupported_token_type"].contains(&error))
}

const REFUSAL_PAUSE: Duration = Duration::from_secs(10);
