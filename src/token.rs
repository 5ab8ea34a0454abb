//! Stage: acquire the token that a route needs.
//!
//! ```text
//! cache → flow → credential → authority
//! ```
//!
//! There are two caches, one for tokens in Vicar's own name and one for tokens on behalf of callers, and
//! nothing goes from one to the other. They answer almost always. When they cannot, the flow writes the
//! form, the credential signs it and the authority answers it (both in [`crate::authority`]). Nothing here
//! knows about proxying: the engine could as well serve a command line.

mod access_token;
pub mod cache;
mod claims_request;
mod error;
pub mod flow;
mod refusal;
mod request;
mod spec;
mod user_spec;
mod wire;

pub use access_token::{AccessToken, Lifetime};
pub use claims_request::ClaimsRequest;
pub use error::{AcquireError, AcquireFailure, Fault};
pub use refusal::{OAuthErrorCode, Refusal, Suberror};
pub use spec::TokenSpec;
pub use user_spec::{Credit, MayAct, SessionKey, SessionPolicy, TenantChoice, UserSpec};
