//! Stage: find the route for a request, or refuse to guess.
//!
//! The table is generic over what a route leads to, so that this stage knows nothing of those that
//! follow. Look-up is by hash at every step: ten thousand routes cost what one costs.

mod matcher;
mod table;
mod target;

pub use matcher::{HostMatch, Matcher, PathMatch, conflicts};
pub use table::{RouteMatch, RouteTable};
pub use target::{Target, normalise_path};

/// Why a request has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two readers could understand the request differently.
    #[error("ambiguous request: {0}")]
    Ambiguous(&'static str),
    /// CONNECT and TRACE are not for a reverse proxy.
    #[error("a method this listener does not serve")]
    MethodRefused,
    /// Nothing matches.
    #[error("no route matches")]
    NoRoute,
}
