//! The two caches: tokens in Vicar's own name, and tokens on behalf of callers.
//!
//! Part of `token`. They share how a fetch is waited for (`flight`) and what is remembered of failures
//! (`failure`), and nothing else: a token of one kind cannot be found in the place of the other.

mod application;
mod exchanger;
mod failure;
mod flight;
mod gate;
mod metrics;
mod session;
mod slot;
mod store;
mod user;

pub use application::ApplicationCache;
pub use flight::Flight;
pub use metrics::TokenMetrics;
pub use slot::Slot;
pub use store::Store;
pub use user::{Bounds, UserCache, UserRoute, UserTokens};

use std::sync::Arc;

use super::{AccessToken, AcquireFailure};

/// What came of asking for a token.
pub type Fetched = Result<Arc<AccessToken>, AcquireFailure>;

/// What follows when an upstream does not want a token that is still good here.
#[derive(Debug)]
pub enum Replacement {
    /// There is another one already.
    Now(Arc<AccessToken>),
    /// Another one is on its way.
    Coming(Flight),
    /// One was asked for a moment ago on an upstream's word, so that word does not count now.
    TooSoon,
}
