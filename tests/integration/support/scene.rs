//! A Vicar between very many people and an authority that makes each of them a token.

use std::sync::Arc;

use http_body_util::Full;
use hyper::Response;
use tokio::task::JoinHandle;

use super::authority::Authority;
use super::client::{Reply, get, send};
use super::crowd::Crowd;
use super::issuer::{self, Key, bearer, claims_with, issuer_yaml};
use super::minting::Minted;
use super::upstream::Upstream;
use super::vicar::Vicar;

/// Route `r` for everything and `other` for `/other`, whose upstream answers with the subject of the token
/// it got: `k/NAME/ID`.
pub struct Scene {
    pub vicar: Vicar,
    key: Arc<Key>,
    _issuer: Authority,
    _upstream: Upstream,
}

impl Scene {
    /// One whose client asks at `authority`, with further keys of the client and of the file.
    pub async fn with(key: &Arc<Key>, authority: &str, client: &str, file: &str) -> Self {
        let issuer = Authority::start().await;
        issuer::publish(&issuer, &[key]);
        let upstream = Upstream::judging(|seen| {
            let minted = Minted::read(&seen.bearer()).expect("a token of the authority");
            Response::new(Full::from(minted.subject))
        })
        .await;
        let address = "l: { address: '127.0.0.1:0'";
        let limited = format!("{address}, limits: {{ streams: 1000 }}");
        let common = issuer_yaml(&issuer, "").replace(address, &limited);
        let route = |name: &str, path: &str| {
            format!(
                "  - {{ name: {name}, listener: l, match: {{ path: {path} }}, \
                 authenticate: {{ issuers: [i] }}, token: {{ jwt_bearer: {{ client: c, \
                 scopes: [{name}] }} }}, upstream: '{}' }}\n",
                upstream.url()
            )
        };
        let vicar = Vicar::start(&format!(
            "{common}{file}clients:\n  c: {{ authority: {{ {authority} }}, client_id: me, \
             credential: {{ client_secret_post: {{ danger_inline: s }} }}, warm_up: false {client} }}\n\
             routes:\n{}{}",
            route("r", "/"),
            route("other", "/other"),
        ));
        Self { vicar, key: Arc::clone(key), _issuer: issuer, _upstream: upstream }
    }

    /// A token of this person, one of several.
    pub fn token(&self, name: &str, id: &str) -> String {
        self.key.token(&claims_with(&serde_json::json!({ "sub": name, "jti": id })))
    }

    /// A token of this person that is good for so many seconds.
    pub fn short_token(&self, name: &str, seconds: u64) -> String {
        let exp = issuer::now() + seconds;
        self.key.token(&claims_with(&serde_json::json!({ "sub": name, "jti": "", "exp": exp })))
    }

    /// One token each of so many people.
    pub fn tokens(&self, people: usize) -> Vec<String> {
        (0..people).map(|number| self.token(&format!("u{number}"), "")).collect()
    }

    /// A call by a connection of its own.
    pub async fn call(&self, path: &str, token: &str) -> Reply {
        get(&self.vicar.address(), path, &bearer(token)).await
    }

    /// Calls with all of these at once; gives back statuses and bodies in their order.
    pub fn calls(&self, tokens: Vec<String>) -> JoinHandle<Vec<(u16, String)>> {
        let crowds: Vec<_> =
            (0..CONNECTIONS).map(|_| Crowd::over_http2(&self.vicar.address())).collect();
        tokio::spawn(async move {
            let calls = tokens.into_iter().zip(crowds.iter().cycle().cloned());
            let calls: Vec<_> = calls
                .map(|(token, crowd)| tokio::spawn(async move { crowd.get("/", &token).await }))
                .collect();
            let mut answers = Vec::new();
            for call in calls {
                answers.push(call.await.expect("a call"));
            }
            answers
        })
    }

    /// POSTs to the admin listener.
    pub async fn post(&self, path: &str, content_type: &str, body: &str) -> Reply {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: {content_type}\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        send(&self.vicar.admin(), &request).await
    }
}

/// Enough for ten thousand calls at once.
const CONNECTIONS: usize = 12;
