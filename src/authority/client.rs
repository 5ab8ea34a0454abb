//! Vicar's registration at an authority.
//!
//! Part of `authority`: a client id, a credential and the authority that knows both.

use std::sync::Arc;

use super::{Authority, ClientCredential};

/// Vicar's registration at an authority.
#[derive(Debug)]
pub struct ClientSpec {
    /// Its name in the configuration, for logs and metrics.
    pub name: Arc<str>,
    /// The identifier the authority gave us.
    pub client_id: String,
    /// How we prove ourselves.
    pub credential: ClientCredential,
    /// Who issues the tokens.
    pub authority: Authority,
    /// Whether its tokens are fetched at start.
    pub warm_up: bool,
}
