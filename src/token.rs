//! Stage: acquire the token that a route needs.
//!
//! ```text
//! cache → flow → credential → authority
//! ```
//!
//! The cache answers almost always. When it cannot, [`TokenSpec::fetch`] lets the flow write the
//! form, the credential sign it and the authority answer it (both in [`crate::authority`]). Nothing here knows about proxying: the
//! engine could as well serve a command line.

mod access_token;
pub mod cache;
mod error;
pub mod flow;
mod spec;
mod wire;

pub use access_token::{AccessToken, Lifetime};
pub use error::{AcquireError, AcquireFailure, Fault};
pub use spec::TokenSpec;
pub use wire::OAuthErrorCode;
