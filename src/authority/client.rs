//! Vicar's registration at an authority.
//!
//! Part of `authority`: a client id, a credential and the authority that knows both.

use std::sync::Arc;

use super::{Authority, ClientCredential};
use crate::cache_key::CacheKeyBuilder;

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
    /// What it tells Entra that it can do (`cp1`: it reacts to claims challenges).
    pub capabilities: Vec<String>,
    /// Token requests on behalf of callers that may be on their way at once.
    pub max_in_flight: usize,
    /// Whether its tokens are fetched at start.
    pub warm_up: bool,
}

impl ClientSpec {
    /// Adds everything of it that can change a token.
    pub fn add_to_key(&self, key: &mut CacheKeyBuilder) {
        // The name stands for what else differs between clients: roots, proxy, time limits.
        key.field("client", self.name.as_bytes());
        self.authority.add_to_key(key);
        key.field("client_id", self.client_id.as_bytes());
        self.credential.add_to_key(key);
        for capability in &self.capabilities {
            key.field("capability", capability.as_bytes());
        }
    }
}
