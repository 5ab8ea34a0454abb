//! Vicar between callers and an upstream, with a route for each thing a test wants to ask for.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    plain_http::{Answer, field},
    proxy::{Place, Proxy},
    server::Server,
    upstream::{GREETING, Upstream, only_bearer_token},
};

/// A Vicar for one test.
pub(crate) struct Gate {
    server: &'static Server,
    upstream: Upstream,
    proxy: Proxy,
    calls: AtomicU32,
}

/// A route: its name, which is its path as well; whom it lets in; and its token; all as YAML.
pub(crate) type Route = (&'static str, &'static str, &'static str);

impl Gate {
    /// Starts Vicar with issuers and clients as YAML.
    pub(crate) fn open(
        server: &'static Server,
        parties: impl Fn(&Place<'_>) -> String,
        routes: &[Route],
    ) -> Self {
        let upstream = Upstream::start();
        let proxy = Proxy::configured(|place| {
            let route = |(name, rules, token): &Route| {
                format!(
                    "  - {{ name: {name}, listener: outbound, match: {{ path: /{name} }}, \
                     authenticate: {{ {rules} }}, token: {token}, upstream: 'http://{}' }}\n",
                    upstream.address,
                )
            };
            let routes: String = routes.iter().map(route).collect();
            let Place { admin, listener, .. } = place;
            format!(
                "admin: {{ address: {admin} }}\n\
                 listeners: {{ outbound: {{ address: {listener} }} }}\n\
                 {}routes:\n{routes}",
                parties(place),
            )
        });
        Self { server, upstream, proxy, calls: AtomicU32::new(0) }
    }

    /// Calls with a token and wants the upstream's own answer; the token that arrived there.
    pub(crate) fn pass(&self, route: &str, token: &str) -> String {
        self.pass_with(route, token, "")
    }

    /// The same with further header lines, each with its line end.
    pub(crate) fn pass_with(&self, route: &str, token: &str, fields: &str) -> String {
        let (target, answer) = self.call(route, token, fields);
        assert!(answer.status == 200 && answer.body == GREETING, "/{route}: {answer:?}");
        let heads = self.heads(&target);
        assert_eq!(heads.len(), 1, "one call is one request at the upstream: {heads:?}");
        assert_eq!(field(&heads[0], "x-session").next(), None, "a session's name is a secret");
        only_bearer_token(&heads[0]).to_owned()
    }

    /// Calls with a token and wants a problem that the upstream hears nothing of.
    pub(crate) fn refuse(&self, route: &str, token: &str, status: u16, reason: &str) -> Answer {
        self.refuse_with(route, token, "", (status, reason))
    }

    /// The same with further header lines, each with its line end.
    pub(crate) fn refuse_with(
        &self,
        route: &str,
        token: &str,
        fields: &str,
        (status, reason): (u16, &str),
    ) -> Answer {
        let (target, answer) = self.call(route, token, fields);
        assert_eq!(answer.status, status, "/{route}: {answer:?}");
        let problem: Value = serde_json::from_str(&answer.body).expect("the problem is JSON");
        assert_eq!(problem["reason"], reason, "/{route}: {answer:?}");
        let challenge = answer.header("www-authenticate");
        assert!(status != 401 || challenge.starts_with("Bearer"), "/{route}: {answer:?}");
        assert!(self.heads(&target).is_empty(), "a refused call goes nowhere: /{route}");
        answer
    }

    /// What Vicar has logged so far.
    pub(crate) fn log(&self) -> String {
        self.proxy.log()
    }

    /// Calls a route; each call has a target of its own, so that it is found at the upstream.
    pub(crate) fn call(&self, route: &str, token: &str, fields: &str) -> (String, Answer) {
        let target = format!("/{route}?call={}", self.calls.fetch_add(1, Ordering::Relaxed));
        let answer = self.proxy.get(&target, &format!("Authorization: Bearer {token}\r\n{fields}"));
        assert!(!self.proxy.log().contains(token), "/{route}: the token is in the log");
        (target, answer)
    }

    /// The heads of the requests that reached the upstream for a target.
    fn heads(&self, target: &str) -> Vec<String> {
        let line = format!("GET {target} HTTP/1.1");
        let mut heads = self.upstream.heads();
        heads.retain(|head| head.lines().next() == Some(line.as_str()));
        heads
    }
}

impl Drop for Gate {
    /// A failed test shows what the parties said.
    #[allow(clippy::print_stderr, reason = "the test harness shows it with the failure")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the authority said:\n{}", self.server.log());
            eprintln!("vicar said:\n{}", self.proxy.log());
        }
    }
}

/// The claims of a JWT, unverified.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a compact JWS");
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("claims are JSON")
}
