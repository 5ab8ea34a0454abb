//! The pipeline: the only place that knows the order of the stages.
//!
//! ```text
//! listener → route → inbound → token → inject → forward
//! ```
//!
//! Each stage's output is the next one's required input, so a request cannot be forwarded unrouted,
//! unjudged or with a credential nobody chose. What concerns every request alike (identifiers, the
//! access line, counters, errors into answers) wraps around it in [`Proxy::serve`].

mod challenge;
mod correlation;
mod error;
mod observe;
mod plan;
mod recovery;
mod resource_metadata;
mod respond;
mod source;

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use crate::body::Body;
use crate::drain::DrainWatch;
use crate::forward::TargetPath;
use crate::inbound::Arrival;
use crate::listener::{InFlight, Peer, Serve};
use crate::route::RouteTable;

pub use error::ProxyError;
pub use plan::{Instead, Plan, RouteSpec, TokenPlan, TokenSource};
pub use recovery::Recovery;
pub use resource_metadata::ResourceMetadata;

use observe::Observation;
use recovery::Call;
use source::Source;

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
        let source = Source::choose(&plan.token, &plan.inbound, &caller, &parts.headers)?;
        let acquired = source.acquire().await;
        let injection =
            acquired.map_err(|failure| challenge::of(failure, &caller, Some(&source)))?;
        let path =
            &TargetPath { rewritten: route.rewritten_path, matched_prefix: route.matched_prefix };
        let (caller, source) = (&caller, &source);
        let (peer, drain) = (observation.peer(), &self.drain);
        let body = Body::streaming(incoming, plan.forwarder.idle());
        let call = Call { plan, caller, source, path, peer, drain };
        call.make(parts, body, &injection).await
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
