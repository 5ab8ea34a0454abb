//! What a refused caller is told to do: the `WWW-Authenticate` field (RFC 6750 section 3).
//!
//! Part of `inbound`. No error code when nothing was sent; no more than the class of the error when
//! something was. With protected-resource metadata (RFC 9728 section 5.1) it names where to read on.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue};

use super::binding::BadBinding;
use super::claims::BadClaim;
use super::credential::Scheme;
use super::dpop::DPOP_NONCE;
use super::error::{Fault, Verdict};
use super::rules::Unmet;
use crate::algorithm::Algorithm;

/// What a route's challenges have in common.
#[derive(Clone, Debug, Default)]
pub struct Challenges {
    /// The address of the protected-resource metadata.
    pub resource_metadata: Option<String>,
    /// Scopes for a person to ask for, separated by spaces.
    pub scope: String,
    /// Scopes for an application to ask for, separated by spaces.
    pub app_scope: String,
    /// Whether only bound tokens are taken.
    pub proof_required: bool,
}

impl Challenges {
    /// The fields of the answer to `fault`; `nonce` makes one when it is needed.
    pub(super) fn fields(
        &self,
        fault: &Fault,
        scheme: Scheme,
        nonce: impl FnOnce() -> String,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut parameters = Vec::new();
        let mut fields = Vec::new();
        let quoted = |name: &str, value: &str| format!("{name}=\"{value}\"");
        match (fault.verdict(), fault) {
            (Verdict::Unavailable | Verdict::RefusesUs, _) => return fields,
            (_, Fault::Missing | Fault::Scheme) => {}
            (Verdict::BadRequest, _) => parameters.push(quoted("error", "invalid_request")),
            (Verdict::Forbidden, _) => {
                parameters.push(quoted("error", "insufficient_scope"));
                // A scope the token has already would send its client round in a circle.
                let scope = match fault {
                    Fault::Unmet(Unmet::Scope) => self.scope.as_str(),
                    Fault::Unmet(Unmet::AppScope) => self.app_scope.as_str(),
                    _ => "",
                };
                if !scope.is_empty() {
                    parameters.push(quoted("scope", scope));
                }
            }
            (_, Fault::Binding(BadBinding::Nonce)) => {
                parameters.push(quoted("error", "use_dpop_nonce"));
                fields.extend(HeaderValue::try_from(nonce()).ok().map(|nonce| (DPOP_NONCE, nonce)));
            }
            (_, Fault::Binding(BadBinding::Proof(_) | BadBinding::Replayed)) => {
                parameters.push(quoted("error", "invalid_dpop_proof"));
            }
            (Verdict::Unauthenticated, fault) => {
                parameters.push(quoted("error", "invalid_token"));
                if matches!(fault, Fault::Claim(BadClaim::Expired)) {
                    parameters.push(quoted("error_description", "the token has expired"));
                }
            }
        }
        let bound = matches!(fault, Fault::Binding(BadBinding::Bearer));
        let dpop = scheme == Scheme::Dpop || self.proof_required || bound;
        if dpop {
            let algorithms = Algorithm::ALL.map(Algorithm::name).join(" ");
            parameters.push(quoted("algs", &algorithms));
        }
        let metadata = self.resource_metadata.as_ref();
        parameters.extend(metadata.map(|url| quoted("resource_metadata", url)));
        let scheme = if dpop { "DPoP" } else { "Bearer" };
        let challenge = if parameters.is_empty() {
            scheme.to_owned()
        } else {
            format!("{scheme} {}", parameters.join(", "))
        };
        fields.extend(HeaderValue::try_from(challenge).ok().map(|value| (WWW_AUTHENTICATE, value)));
        fields
    }
}
