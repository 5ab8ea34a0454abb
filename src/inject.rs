//! Stage: remove the caller's credential, set ours, produce the outbound request.
//!
//! The only place that writes a credential header, and the only maker of [`OutboundRequest`]: what is
//! forwarded has passed here. The order is fixed: what is scoped to the caller's connection goes
//! first, so that nothing the caller names in `Connection` can remove what Vicar adds (RFC 9110
//! section 7.6.1).

mod hop_by_hop;
mod identity;

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::request::Parts;
use http_body::Body as _;

use crate::body::Body;
use crate::inbound::{Caller, DPOP};
use crate::token::AccessToken;

pub use hop_by_hop::{Upgrade, strip_connection_fields};
pub use identity::{IdentityHeaders, OwnedNames};

/// How a route writes the credential.
#[derive(Clone, Debug)]
pub struct Injector {
    header: HeaderName,
    scheme: Scheme,
    identity: IdentityHeaders,
    /// A field that is for Vicar alone.
    removed: Option<HeaderName>,
}

#[derive(Clone, Debug)]
enum Scheme {
    /// `Bearer `, which tokens already carry.
    Bearer,
    /// Another one, or none at all.
    Other(String),
}

/// What the route decided to send as credential.
#[derive(Debug)]
pub enum Injection {
    /// None, and not the caller's either.
    Strip,
    /// The caller's own.
    KeepCallers,
    /// This token.
    Token(Arc<AccessToken>),
}

/// A request whose credential somebody chose; only this stage makes it.
#[derive(Debug)]
pub struct OutboundRequest {
    pub(crate) parts: Parts,
    pub(crate) body: Body,
    /// The protocol change the caller asked for, if any.
    pub(crate) upgrade: Option<Upgrade>,
}

/// Why a credential could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token cannot be a header value")]
pub struct InjectError;

impl Injector {
    /// An injector for `header`; an empty `scheme` sends the bare token.
    ///
    /// # Errors
    /// When the scheme is not an RFC 9110 token.
    pub fn new(header: HeaderName, scheme: &str) -> Result<Self, InjectError> {
        let scheme = match scheme {
            "Bearer" => Scheme::Bearer,
            "" => Scheme::Other(String::new()),
            // A header name has the same characters as a scheme.
            other => {
                HeaderName::try_from(other).map_err(|_| InjectError)?;
                Scheme::Other(format!("{other} "))
            }
        };
        Ok(Self { header, scheme, identity: IdentityHeaders::default(), removed: None })
    }

    /// The same, telling the caller's identity in these fields.
    #[must_use]
    pub fn with_identity(mut self, identity: IdentityHeaders) -> Self {
        self.identity = identity;
        self
    }

    /// The same, never letting this field pass.
    #[must_use]
    pub fn removing(mut self, header: HeaderName) -> Self {
        self.removed = Some(header);
        self
    }

    /// Whether `header` is none a credential may go into.
    #[must_use]
    pub fn may_not_write(header: &HeaderName) -> bool {
        hop_by_hop::is_connection_field(header) || MESSAGE_FIELDS.contains(&header.as_str())
    }

    /// Makes the outbound request.
    ///
    /// # Errors
    /// When the token cannot be written into a header.
    pub fn apply(
        &self,
        mut parts: Parts,
        body: Body,
        injection: &Injection,
        caller: &Caller,
    ) -> Result<OutboundRequest, InjectError> {
        let upgrade = strip_connection_fields(&mut parts.headers, parts.version);
        self.identity.scrub(&mut parts.headers);
        if let Some(removed) = &self.removed {
            parts.headers.remove(removed);
        }
        match injection {
            Injection::KeepCallers => {}
            Injection::Strip => self.remove_callers(&mut parts),
            Injection::Token(token) => {
                self.remove_callers(&mut parts);
                parts.headers.insert(self.header.clone(), self.value(token)?);
            }
        }
        if let Some(caller) = caller.verified() {
            self.identity.write(caller, &mut parts.headers);
        }
        let body = if body.is_end_stream() { body } else { self.without_our_fields(body) };
        Ok(OutboundRequest { parts, body, upgrade })
    }

    /// Both the usual header and the one we write: neither may carry what the caller sent.
    fn remove_callers(&self, parts: &mut Parts) {
        parts.headers.remove(AUTHORIZATION);
        // A proof is made for this hop, and useless at the next.
        parts.headers.remove(DPOP);
        if self.header != AUTHORIZATION {
            parts.headers.remove(&self.header);
        }
    }

    /// Trailers are fields too: none may pose as a credential or as ours.
    fn without_our_fields(&self, body: Body) -> Body {
        let (header, owned) = (self.header.clone(), self.identity.owned().clone());
        let removed = self.removed.clone();
        body.filtering_trailers(move |trailers| {
            trailers.remove(&header);
            trailers.remove(AUTHORIZATION);
            trailers.remove(DPOP);
            if let Some(removed) = &removed {
                trailers.remove(removed);
            }
            hop_by_hop::strip_from_trailers(trailers);
            owned.scrub(trailers);
        })
    }

    fn value(&self, token: &AccessToken) -> Result<HeaderValue, InjectError> {
        match &self.scheme {
            Scheme::Bearer => Ok(token.bearer().clone()),
            Scheme::Other(prefix) => {
                let bytes = [prefix.as_str(), token.bare()].concat();
                let mut value = HeaderValue::try_from(bytes).map_err(|_| InjectError)?;
                value.set_sensitive(true);
                Ok(value)
            }
        }
    }
}

/// Fields that frame or address the message.
const MESSAGE_FIELDS: &[&str] =
    &["content-length", "content-type", "expect", "host", "trailer", "via", "x-request-id"];
