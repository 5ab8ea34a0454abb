//! A Vicar whose route acts on behalf of its callers, with the parties around it.

use serde_json::Value;

use super::authority::{Asked, Authority};
use super::client::{Reply, get};
use super::issuer::{self, Key, bearer, claims_with};
use super::upstream::Upstream;
use super::vicar::Vicar;

/// A world with one key, one authority that is issuer and token endpoint, and one upstream.
pub struct World {
    pub key: Key,
    pub authority: Authority,
    pub upstream: Upstream,
    pub vicar: Vicar,
}

impl World {
    /// A route `r` with this `token`, and everything else as usual.
    pub async fn with(token: &str) -> Self {
        Self::with_route(token, "").await
    }

    /// The same with further keys of the route.
    pub async fn with_route(token: &str, extra: &str) -> Self {
        Self::with_upstream(Upstream::start().await, token, extra).await
    }

    /// The same with this upstream.
    pub async fn with_upstream(upstream: Upstream, token: &str, extra: &str) -> Self {
        let authority = Authority::start().await;
        let key = Key::new("k");
        issuer::publish(&authority, &[&key]);
        let endpoint = authority.token_endpoint();
        let vicar = Vicar::start(&format!(
            "{}clients:\n  c:\n    authority: {{ {endpoint} }}\n    client_id: me\n    \
             credential: {{ client_secret_post: {{ danger_inline: s3cret }} }}\n    warm_up: false\n\
             routes:\n  - {{ name: r, listener: l, authenticate: {{ issuers: [i] }}, \
             token: {{ {token} }}, upstream: '{}' {extra} }}\n",
            issuer::issuer_yaml(&authority, ""),
            upstream.url(),
        ));
        Self { key, authority, upstream, vicar }
    }

    /// A token of this person, with these claims changed.
    pub fn token_of(&self, user: &str, changes: &Value) -> String {
        let mut changes = changes.clone();
        changes["sub"] = user.into();
        self.key.token(&claims_with(&changes))
    }

    /// A call with this token.
    pub async fn call(&self, token: &str) -> Reply {
        get(&self.vicar.address(), "/", &bearer(token)).await
    }

    /// The one token request so far.
    pub fn only_request(&self) -> Asked {
        let asked = self.authority.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }
}
