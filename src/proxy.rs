//! The pipeline: the only place that knows the order of the stages.
//!
//! ```text
//! listener → route → inbound → token → inject → forward
//! ```
//!
//! Each stage's output is the next one's required input, so a request cannot be forwarded unrouted,
//! unjudged or with a credential nobody chose. What concerns every request alike (identifiers, the
//! access line, counters, errors into answers) wraps around it in [`Proxy::serve`].

mod correlation;
mod error;
mod observe;
mod plan;
mod resource_metadata;
mod respond;

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::body::Body;
use crate::drain::DrainWatch;
use crate::forward::TargetPath;
use crate::inbound::Arrival;
use crate::listener::{InFlight, Peer, Serve};
use crate::route::RouteTable;

pub use error::ProxyError;
pub use plan::{Plan, RouteSpec, TokenPlan, TokenSource};
pub use resource_metadata::ResourceMetadata;

use observe::Observation;

pub use observe::{ProxyMetrics, RouteMetrics};

/// Answers the requests of one listener, on one worker.
#[derive(Clone, Debug)]
pub struct Proxy {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    routes: RouteTable<Plan>,
    resource: Option<ResourceMetadata>,
    metrics: Arc<ProxyMetrics>,
    logs_access: bool,
    drain: DrainWatch,
}

impl Proxy {
    /// A proxy over `routes`, which make up `resource`; tunnels it opens hold on to `drain`.
    #[must_use]
    pub fn new(
        routes: RouteTable<Plan>,
        resource: Option<ResourceMetadata>,
        metrics: Arc<ProxyMetrics>,
        logs_access: bool,
        drain: DrainWatch,
    ) -> Self {
        Self { inner: Arc::new(Inner { routes, resource, metrics, logs_access, drain }) }
    }
}

impl Inner {
    /// One request through all stages.
    async fn answer(
        &self,
        request: Request<Incoming>,
        observation: &mut Observation,
    ) -> Result<Response<Body>, ProxyError> {
        let (parts, incoming) = request.into_parts();
        if let Some(answer) = self.resource.as_ref().and_then(|r| r.answer(&parts)) {
            return Ok(answer);
        }
        let route = self.routes.resolve(&parts)?;
        let plan = route.payload;
        observation.routed(plan);
        let path = route.path(&parts.uri);
        let arrival = Arrival { request: &parts, path, peer: observation.peer() };
        let caller = plan.inbound.admit(arrival).await?;
        observation.admitted(&caller);
        let injection = plan.token.acquire(&caller).await?;
        let body = Body::streaming(incoming, plan.forwarder.idle());
        let outbound = plan.injector.apply(parts, body, &injection, &caller)?;
        let path =
            TargetPath { rewritten: route.rewritten_path, matched_prefix: route.matched_prefix };
        let asked = Instant::now();
        let response = plan.forwarder.send(outbound, &path, observation.peer(), &self.drain).await;
        observation.upstream_answered(asked);
        Ok(response?)
    }
}

impl Serve for Proxy {
    async fn serve(
        &self,
        mut request: Request<Incoming>,
        peer: Arc<Peer>,
        in_flight: InFlight,
    ) -> Response<Body> {
        let Inner { metrics, logs_access, .. } = self.inner.as_ref();
        let mut observation =
            Observation::begin(&mut request, metrics, *logs_access, peer, in_flight);
        let response = match self.inner.answer(request, &mut observation).await {
            Ok(response) => response,
            Err(error) => {
                observation.failed(&error);
                respond::to(&error, observation.correlation())
            }
        };
        observation.finish(response)
    }
}
