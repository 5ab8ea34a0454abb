//! Stage: send the outbound request to its upstream and give back the response.
//!
//! Takes only an [`OutboundRequest`], which only `inject` makes, and sends it only to the upstream of
//! the route it came from. Redirects are answers like any other. Bodies stream in both directions.

mod client;
mod connect;
mod forwarded;
mod rewrite;
mod upgrade;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderValue, TRANSFER_ENCODING, VIA};
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::body::{Body, BodyEndState, BodyError, Progress};
use crate::cause::{describe, find};
use crate::drain::DrainWatch;
use crate::inject::{OutboundRequest, strip_connection_fields};
use crate::listener::Peer;

pub use client::{UpstreamClient, UpstreamClients};
pub use connect::ProxyAddress;
pub use forwarded::ForwardedPolicy;
pub use rewrite::{HostPolicy, Rewrite, TargetPath};
pub use upstream::{Protocol, Upstream};

/// Sends a route's requests.
#[derive(Clone, Debug)]
pub struct Forwarder {
    client: UpstreamClient,
    rewrite: Rewrite,
    forwarded: ForwardedPolicy,
    timeouts: ForwardTimeouts,
}

/// How long an upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardTimeouts {
    /// Until the response head, counted from the end of the request.
    pub response: Duration,
    /// Between two pieces of a body, in either direction.
    pub idle: Duration,
}

/// Why there is no response from the upstream.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The connection broke, or what came over it was not HTTP.
    #[error("the upstream broke off: {0}")]
    Broken(String),
    /// The caller's body broke off or fell silent while it was being sent on.
    #[error("the caller's body: {0}")]
    CallerBody(String),
    /// No connection within the time limit.
    #[error("no connection to the upstream within {0:?}")]
    ConnectTimeout(Duration),
    /// The path and the upstream do not make a request target.
    #[error("the rewritten path is no request target")]
    Target,
    /// No response head within the time limit.
    #[error("no response from the upstream within {0:?}")]
    Timeout(Duration),
    /// No connection at all.
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(String),
}

impl Forwarder {
    /// A forwarder over `client`'s connections.
    #[must_use]
    pub fn new(
        client: UpstreamClient,
        rewrite: Rewrite,
        forwarded: ForwardedPolicy,
        timeouts: ForwardTimeouts,
    ) -> Self {
        Self { client, rewrite, forwarded, timeouts }
    }

    /// Silence allowed in a body.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.timeouts.idle
    }

    /// Sends `outbound` and waits for the response head. A tunnel that follows a protocol change
    /// holds on to `drain`.
    ///
    /// # Errors
    /// When no response head comes.
    pub async fn send(
        &self,
        outbound: OutboundRequest,
        path: &TargetPath,
        peer: &Arc<Peer>,
        drain: &DrainWatch,
    ) -> Result<Response<Body>, ForwardError> {
        let OutboundRequest { mut parts, body, upgrade } = outbound;
        let callers_side = upgrade.as_ref().and_then(|_| parts.extensions.remove::<OnUpgrade>());
        let callers_host = callers_host(&parts);
        join_cookies(&mut parts.headers);
        append_via(&mut parts.headers, parts.version);
        self.forwarded.apply(&mut parts.headers, peer, callers_host.as_ref());
        let uri = self.rewrite.target(self.client.upstream(), &parts.uri, path);
        self.rewrite.set_host(&mut parts.headers, callers_host);
        if let Some(upgrade) = &upgrade {
            upgrade::ask(&mut parts.headers, upgrade);
        }

        // hyper sends no body with a GET of unknown length unless it is told that there is one.
        if !body.is_end_stream() && !parts.headers.contains_key(CONTENT_LENGTH) {
            let chunked = HeaderValue::from_static("chunked");
            parts.headers.insert(TRANSFER_ENCODING, chunked);
        }
        let upload = (!body.is_end_stream()).then(|| Arc::new(Progress::default()));
        let body = match &upload {
            Some(upload) => body.reporting_to(Arc::clone(upload)),
            None => body,
        };
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri.map_err(|_| ForwardError::Target)?;
        *request.headers_mut() = parts.headers;
        // The version towards the upstream is its connection's affair; hyper refuses a request that
        // still says HTTP/2 on an HTTP/1.1 connection.
        *request.version_mut() = Version::HTTP_11;

        let response = self.response(request, upgrade.is_some(), upload.as_deref()).await?;
        self.inward(response, callers_side, peer, drain)
    }

    /// Waits for the response head: while the request goes out as long as it makes progress, then
    /// for the response limit.
    async fn response(
        &self,
        request: Request<Body>,
        is_upgrade: bool,
        upload: Option<&Progress>,
    ) -> Result<Response<Incoming>, ForwardError> {
        let mut response = self.client.request(request, is_upgrade);
        if let Some(upload) = upload {
            loop {
                let seen = upload.frames();
                tokio::select! {
                    biased;
                    answer = &mut response => return answer.map_err(|error| blame(&error, Some(upload))),
                    () = upload.ended() => break,
                    () = tokio::time::sleep(self.timeouts.idle) => {
                        // The upstream takes nothing, or the caller's silence is about to end it.
                        if upload.end().is_none() && upload.frames() == seen {
                            return Err(ForwardError::Timeout(self.timeouts.idle));
                        }
                    }
                }
            }
        }
        let limit = self.timeouts.response;
        match tokio::time::timeout(limit, response).await {
            Ok(answer) => answer.map_err(|error| blame(&error, upload)),
            Err(_) => Err(ForwardError::Timeout(limit)),
        }
    }

    /// What of the upstream's response crosses to the caller.
    fn inward(
        &self,
        response: Response<Incoming>,
        callers_side: Option<OnUpgrade>,
        peer: &Arc<Peer>,
        drain: &DrainWatch,
    ) -> Result<Response<Body>, ForwardError> {
        let (mut parts, body) = response.into_parts();
        let switched = strip_connection_fields(&mut parts.headers, Version::HTTP_11);
        let upstreams_side = parts.extensions.remove::<OnUpgrade>();
        parts.extensions.clear();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            if let (Some(caller), Some(upstream), Some(protocol)) =
                (callers_side, upstreams_side, switched)
            {
                upgrade::ask(&mut parts.headers, &protocol);
                upgrade::tunnel(caller, upstream, (Arc::clone(peer), drain.clone()));
                return Ok(Response::from_parts(parts, Body::full("")));
            }
            return Err(ForwardError::Broken("it switched protocols unasked".to_owned()));
        }
        append_via(&mut parts.headers, parts.version);
        Ok(Response::from_parts(parts, Body::streaming(body, self.timeouts.idle)))
    }
}

/// Finds out whose fault a failure is.
fn blame(error: &hyper_util::client::legacy::Error, upload: Option<&Progress>) -> ForwardError {
    let text = describe(error);
    // Over HTTP/2 the caller's failure comes back as a mere reset, without its cause.
    let callers_end = upload.and_then(Progress::end);
    if find::<BodyError>(error).is_some() || callers_end == Some(BodyEndState::Broken) {
        ForwardError::CallerBody(text)
    } else if let Some(timeout) = find::<connect::ConnectTimedOut>(error) {
        ForwardError::ConnectTimeout(timeout.0)
    } else if error.is_connect() {
        ForwardError::Unreachable(text)
    } else {
        ForwardError::Broken(text)
    }
}

/// The host the caller asked for, wherever its HTTP version puts it.
fn callers_host(parts: &http::request::Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => parts.headers.get(HOST).cloned(),
    }
}

/// HTTP/2 lets callers split Cookie into pieces; elsewhere there is one field (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut http::HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    // The parts came from header values, so the whole is one too.
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// RFC 9110 section 7.6.3.
fn append_via(headers: &mut http::HeaderMap, received: Version) {
    let ours = match received {
        Version::HTTP_10 => "1.0 vicar",
        Version::HTTP_2 => "2 vicar",
        _ => "1.1 vicar",
    };
    headers.append(VIA, HeaderValue::from_static(ours));
}
