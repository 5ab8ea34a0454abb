//! What this API is and who issues tokens for it, for clients that ask (RFC 9728).
//!
//! Part of `proxy`: a listener with a `resource` answers this one path itself, to anybody.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use serde_json::json;
use url::Url;

use super::RouteSpec;
use crate::algorithm::Algorithm;
use crate::body::Body;
use crate::inbound::InboundSpec;

/// The metadata of one listener.
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    resource: String,
    origin: String,
    path: String,
    url: String,
    document: Bytes,
}

impl ResourceMetadata {
    /// Metadata for the resource with this identifier (`https://api.example`), without issuers yet.
    #[must_use]
    pub fn new(resource: &Url) -> Self {
        let origin = resource.origin().ascii_serialization();
        // RFC 9728 section 3.1: the well-known part goes between host and path.
        let path = format!("{WELL_KNOWN}{}", resource.path().trim_end_matches('/'));
        let url = format!("{origin}{path}");
        let resource = resource.as_str().trim_end_matches('/').to_owned();
        Self { resource, origin, path, url, document: Bytes::new() }
    }

    /// The same, naming the issuers and scopes of these routes.
    #[must_use]
    pub fn of_routes<'r>(mut self, routes: impl Iterator<Item = &'r RouteSpec>) -> Self {
        let (mut issuers, mut scopes) = (BTreeSet::new(), BTreeSet::new());
        let mut bound = None;
        for route in routes {
            let InboundSpec::Authenticated(spec) = &route.inbound else { continue };
            issuers.extend(spec.issuers.iter().flat_map(|issuer| issuer.identifiers()));
            scopes.extend(spec.rules.scopes.iter().chain(&spec.rules.any_scope).cloned());
            bound = Some(bound.unwrap_or(true) && spec.proof.required);
        }
        let document = json!({
            "resource": self.resource,
            "authorization_servers": issuers,
            "scopes_supported": scopes,
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
            "dpop_bound_access_tokens_required": bound.unwrap_or_default(),
        });
        self.document = Bytes::from(document.to_string());
        self
    }

    /// Where the metadata are, for challenges.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Scheme, host and port that callers use.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The answer, when it is the metadata that are asked for.
    pub(super) fn answer(&self, request: &Parts) -> Option<Response<Body>> {
        let asked = matches!(request.method, Method::GET | Method::HEAD);
        if !asked || request.uri.path() != self.path {
            return None;
        }
        let mut response = Response::new(Body::full(self.document.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
        Some(response)
    }
}

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
