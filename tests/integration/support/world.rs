//! A Vicar whose route acts on behalf of its callers, with the parties around it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::authority::{Asked, Authority};
use super::client::{self, Reply, get};
use super::issuer::{self, Key, bearer, claims_with};
use super::upstream::{Seen, Upstream};
use super::vicar::Vicar;

/// A world with one key, one authority that is issuer and token endpoint, and one upstream.
pub struct World {
    pub key: Key,
    pub authority: Authority,
    pub upstream: Upstream,
    pub vicar: Vicar,
}

/// What is in a world's configuration besides its routes: pieces of YAML, in which `AUTHORITY` stands for
/// the authority's address.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'t> {
    /// Further keys at the top, each with the end of its line.
    pub top: &'t str,
    /// What issuer `i` is.
    pub issuer: &'t str,
    /// Where client `c` is registered.
    pub authority: &'t str,
    /// How it proves itself.
    pub credential: &'t str,
    /// Further keys of it, each after a comma.
    pub client: &'t str,
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Self {
            top: "",
            issuer: "jwks: { issuer: 'https://issuer.test/', uri: 'AUTHORITY/jwks' }, \
                     audiences: ['api://orders']",
            authority: "token_endpoint: 'AUTHORITY/token'",
            credential: "client_secret_post: { danger_inline: s3cret }",
            client: "",
        }
    }
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
        Self::start(upstream, Terms::default(), &route(token, extra)).await
    }

    /// A world with these routes, in which `UPSTREAM` stands for the upstream's address.
    pub async fn start(upstream: Upstream, terms: Terms<'_>, routes: &str) -> Self {
        let authority = Authority::start().await;
        let key = Key::new("k");
        issuer::publish(&authority, &[&key]);
        issuer::publish_entra(&authority, &key);
        let Terms { top, issuer, authority: registered, credential, client } = terms;
        let yaml = format!(
            "runtime: {{ workers: 2 }}\nlog: {{ access: false }}\nshutdown: {{ grace: 5s }}\n\
             admin: {{ address: '127.0.0.1:0' }}\n{top}listeners:\n  l: {{ address: '127.0.0.1:0' }}\n\
             issuers:\n  i: {{ {issuer} }}\nclients:\n  c: {{ authority: {{ {registered} }}, \
             client_id: me, credential: {{ {credential} }}, warm_up: false {client} }}\nroutes:\n{routes}",
        );
        let yaml = yaml.replace("AUTHORITY", authority.url()).replace("UPSTREAM", upstream.url());
        Self { key, authority, upstream, vicar: Vicar::start(&yaml) }
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

    /// Any call, whose header lines each have their end.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let length = match body.len() {
            0 => String::new(),
            length => format!("content-length: {length}\r\n"),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: h\r\n{headers}{length}");
        let request = format!("{head}connection: close\r\n\r\n{body}");
        client::send(&self.vicar.address(), &request).await
    }

    /// The tokens that reached the upstream, in order.
    pub fn bearers(&self) -> Vec<String> {
        self.upstream.seen().iter().map(Seen::bearer).collect()
    }
}

/// A route `r` with this `token` and these further keys.
pub fn route(token: &str, extra: &str) -> String {
    format!(
        "  - {{ name: r, listener: l, authenticate: {{ issuers: [i] }}, token: {{ {token} }}, \
         upstream: 'UPSTREAM' {extra} }}\n"
    )
}

/// The challenge by which an API of Entra says that a token must have these claims.
pub fn claims_challenge(claims: &str) -> String {
    let claims = STANDARD.encode(claims);
    format!(
        "Bearer realm=\"\", authorization_uri=\"https://login.test/common/oauth2/authorize\", \
         error=\"insufficient_claims\", claims=\"{claims}\""
    )
}
