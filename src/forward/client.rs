//! Pooled connections to upstreams; each worker has its own.
//!
//! Part of `forward`. A wrapper around the pooled client that adds the one thing it cannot decide:
//! which connections may carry a protocol change.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::PROXY_AUTHORIZATION;
use http::{HeaderValue, Request};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::Connector;
use super::upstream::{Protocol, Upstream};
use crate::body::Body;

/// Connections to one upstream.
#[derive(Clone)]
pub struct UpstreamClient {
    upstream: Arc<Upstream>,
    client: Client<Connector, Body>,
    /// HTTP/1.1 only, since upgrades exist nowhere else; the same pool where that is spoken anyway.
    upgrades: Client<Connector, Body>,
    proxy_authorization: Option<HeaderValue>,
}

impl UpstreamClient {
    /// A client with no connection yet.
    #[must_use]
    pub fn new(upstream: &Arc<Upstream>) -> Self {
        let client = pool(upstream, upstream.protocol);
        let upgrades = match (upstream.protocol, &upstream.tls) {
            (Protocol::Http1, _) | (Protocol::Auto, None) => client.clone(),
            (Protocol::Auto | Protocol::Http2, _) => pool(upstream, Protocol::Http1),
        };
        let proxy = upstream.proxy.as_ref().filter(|_| upstream.tls.is_none());
        let proxy_authorization = proxy.and_then(|proxy| proxy.authorization.clone());
        Self { upstream: Arc::clone(upstream), client, upgrades, proxy_authorization }
    }

    /// The upstream these connections lead to.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn request(&self, mut request: Request<Body>, is_upgrade: bool) -> ResponseFuture {
        if let Some(authorization) = &self.proxy_authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        if is_upgrade { self.upgrades.request(request) } else { self.client.request(request) }
    }
}

impl std::fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamClient").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

/// One client per upstream, however many routes lead there.
#[derive(Debug, Default)]
pub struct UpstreamClients {
    clients: HashMap<*const Upstream, UpstreamClient>,
}

impl UpstreamClients {
    /// The client of `upstream`, made at the first call.
    pub fn client(&mut self, upstream: &Arc<Upstream>) -> UpstreamClient {
        let made = self.clients.entry(Arc::as_ptr(upstream));
        made.or_insert_with(|| UpstreamClient::new(upstream)).clone()
    }
}

fn pool(upstream: &Upstream, protocol: Protocol) -> Client<Connector, Body> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(upstream.idle_connections)
        .pool_idle_timeout(upstream.idle_timeout)
        .http2_only(protocol == Protocol::Http2)
        .http2_keep_alive_interval(HTTP2_PING)
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW);
    builder.build(Connector::new(upstream, protocol))
}

/// A connection that lost its other end is noticed by a ping, not by the next request.
const HTTP2_PING: std::time::Duration = std::time::Duration::from_secs(30);
const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;
