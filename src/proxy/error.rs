//! The sum of the stages' errors, with a stable reason for each.
//!
//! Part of `proxy`.

use http::HeaderValue;

use crate::forward::ForwardError;
use crate::inbound::Refusal;
use crate::inject::InjectError;
use crate::route::RouteError;
use crate::token::AcquireFailure;

/// Why a request was answered by Vicar itself.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No token for it.
    #[error("no token: {0}")]
    Acquire(#[from] AcquireFailure),
    /// No response to it.
    #[error("{0}")]
    Forward(#[from] ForwardError),
    /// The caller may not go on.
    #[error("{0}")]
    Inbound(#[from] Refusal),
    /// The token could not be written.
    #[error("{0}")]
    Inject(#[from] InjectError),
    /// No token until the person behind the call has done something.
    #[error("no token: {}", .0.failure)]
    Interaction(Interaction),
    /// No route for it.
    #[error("{0}")]
    Route(#[from] RouteError),
}

/// What a person must do, and how its application is told.
#[derive(Debug)]
pub struct Interaction {
    /// What happened.
    pub failure: AcquireFailure,
    /// The `WWW-Authenticate` field of the answer.
    pub challenge: HeaderValue,
}

impl ProxyError {
    /// A stable name for logs, metrics and the answer.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Acquire(failure) | Self::Interaction(Interaction { failure, .. }) => {
                failure.error.reason()
            }
            Self::Forward(ForwardError::Broken(_)) => "upstream_broken",
            Self::Forward(ForwardError::CallerBody(_)) => "request_body_broken",
            Self::Forward(ForwardError::ConnectTimeout(_)) => "upstream_connect_timeout",
            Self::Forward(ForwardError::Target) => "target_not_forwardable",
            Self::Forward(ForwardError::Timeout(_)) => "upstream_timeout",
            Self::Forward(ForwardError::Unreachable(_)) => "upstream_unreachable",
            Self::Inbound(refusal) => refusal.fault.reason(),
            Self::Inject(InjectError) => "token_not_writable",
            Self::Route(RouteError::Ambiguous(_)) => "ambiguous_request",
            Self::Route(RouteError::MethodRefused) => "method_refused",
            Self::Route(RouteError::NoRoute) => "no_route",
        }
    }
}
