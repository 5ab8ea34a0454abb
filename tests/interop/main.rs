//! Vicar against parties nobody here wrote: a certified authority and independent verifiers.
//!
//! Each test starts the real binary between a plain HTTP caller, `provider.mjs` (npm oidc-provider)
//! and a recording upstream, all on free loopback ports. The tests of this file have `verify.mjs`
//! (npm jose) judge the token that reached the upstream; ids and secrets hold characters that
//! arrive wrong unless they were encoded as RFC 6749 section 2.3.1 and appendix B say. `inbound`
//! has Vicar judge the authority's tokens, `differential` compares its judgement with that of two
//! libraries, and `msal` its token requests with those of a third. `credentials` has the clients
//! that prove themselves with a key, `assertions` what they sign.
//!
//! Built only with the feature `interop`, so a missing set-up fails instead of being skipped:
//!
//! ```sh
//! just interop-setup                               # npm ci and pip in tests/interop
//! cargo test --features interop --test interop
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise and waits by the real clock"
)]

mod assertions;
mod authority;
mod credentials;
mod differential;
mod inbound;
mod msal;
mod openssl;
mod plain_http;
mod plain_server;
mod plan;
mod process;
mod program;
mod proxy;
mod recorder;
#[path = "../process/scratch.rs"]
mod scratch;
mod upstream;

use serde_json::{Value, json};

use crate::{
    authority::Authority,
    plan::{Plan, TARGET, call},
    proxy::{Proxy, quoted},
    upstream::{GREETING, Upstream, only_bearer_token},
};

/// How Vicar is told where the token endpoint is.
#[derive(Clone, Copy, Debug)]
enum Reach {
    Discovery,
    TokenEndpoint,
}

#[test]
fn discovery_with_client_secret_basic_carries_a_valid_token() {
    carries_a_valid_token(Reach::Discovery, BASIC);
}

#[test]
fn discovery_with_client_secret_post_carries_a_valid_token() {
    carries_a_valid_token(Reach::Discovery, POST);
}

#[test]
fn token_endpoint_with_client_secret_basic_carries_a_valid_token() {
    carries_a_valid_token(Reach::TokenEndpoint, BASIC);
}

#[test]
fn token_endpoint_with_client_secret_post_carries_a_valid_token() {
    carries_a_valid_token(Reach::TokenEndpoint, POST);
}

#[test]
fn wrong_secret_by_basic_is_a_502_that_tells_the_caller_nothing() {
    wrong_secret_is_a_silent_502(BASIC);
}

#[test]
fn wrong_secret_by_post_is_a_502_that_tells_the_caller_nothing() {
    wrong_secret_is_a_silent_502(POST);
}

/// Two calls: one token request, in the right form, and the same valid token for both.
fn carries_a_valid_token(reach: Reach, method: &str) {
    let authority = Authority::start();
    let upstream = Upstream::start();
    let (client_id, secret) = authority.client(method);
    let proxy = plan(&authority, reach, method, secret, &upstream).start();

    assert_greeted(&proxy);
    let heads = upstream.heads();
    assert_eq!(heads.len(), 1, "one call is one request at the upstream: {heads:?}");
    let request_line = format!("GET {TARGET} HTTP/1.1");
    assert_eq!(heads[0].lines().next(), Some(request_line.as_str()));
    let token = only_bearer_token(&heads[0]).to_owned();
    assert_eq!(authority.token_requests(), 1, "one miss is one token request");
    assert_token_request(&authority.last(), method);

    let audience = authority.about("resource");
    let claims = authority.verify(&token, audience).expect("jose accepts the token");
    assert_eq!(claims["scope"], authority.about("scope"), "{claims}");
    assert_eq!(claims["client_id"], client_id, "{claims}");
    let elsewhere = authority.verify(&token, "https://elsewhere.example/");
    assert!(elsewhere.is_err(), "the verifier must not accept any audience: {elsewhere:?}");

    assert_greeted(&proxy);
    let heads = upstream.heads();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(only_bearer_token(&heads[1]) == token, "the second call carries the same token");
    assert_eq!(authority.token_requests(), 1, "the second call is served from the cache");

    let log = proxy.log();
    assert!(secret.contains(CANARY), "the secret can be recognised");
    assert!(!log.contains(CANARY), "the secret is in the log");
    assert!(!log.contains(&token), "the token is in the log");
}

/// A refused credential: a problem with our own words only, and nothing goes upstream.
fn wrong_secret_is_a_silent_502(method: &str) {
    let authority = Authority::start();
    let upstream = Upstream::start();
    let proxy = plan(&authority, Reach::Discovery, method, WRONG_SECRET, &upstream).start();

    let answer = call(&proxy);
    let last = authority.last();
    assert_eq!(last["status"], 401, "the authority refuses the client: {last}");
    assert_eq!(last["authentication"], json!([method]), "{last}");
    assert_eq!(answer.status, 502, "{answer:?}");
    let content_type = answer.header("content-type");
    assert!(content_type.starts_with("application/problem+json"), "{content_type}");
    let problem: Value = serde_json::from_str(&answer.body).expect("the problem is JSON");
    assert_problem(&problem);

    let words = authority.about("words");
    let description = last["error_description"].as_str().unwrap_or_default();
    assert!(description.contains(words), "{last}");
    let error = last["error"].as_str().expect("an error code");
    let (client_id, _) = authority.client(method);
    for forbidden in [CANARY, client_id, authority.about("issuer"), error, words] {
        assert!(!answer.raw.contains(forbidden), "{forbidden:?} reached the caller: {answer:?}");
    }
    assert_eq!(authority.token_requests(), 1, "a refusal is not tried again");
    assert!(upstream.heads().is_empty(), "a request without its token goes nowhere");
    assert!(!proxy.log().contains(CANARY), "the secret is in the log");
}

/// The plan of a test: everything as registered at the authority, except perhaps the secret.
fn plan<'a>(
    authority: &'a Authority,
    reach: Reach,
    method: &'a str,
    secret: &'a str,
    upstream: &Upstream,
) -> Plan<'a> {
    let reached = match reach {
        Reach::Discovery => format!("oidc: {{ issuer: {} }}", quoted(authority.about("issuer"))),
        Reach::TokenEndpoint => {
            format!("token_endpoint: {}", quoted(authority.about("token_endpoint")))
        }
    };
    Plan {
        authority: reached,
        client_id: authority.client(method).0,
        method,
        secret,
        scope: authority.about("scope"),
        resource: authority.about("resource"),
        upstream: upstream.address,
    }
}

/// Calls through Vicar and wants the upstream's own answer.
fn assert_greeted(proxy: &Proxy) {
    let answer = call(proxy);
    let greeted = answer.status == 200 && answer.body == GREETING;
    assert!(greeted, "not the upstream's answer: {answer:?}; vicar said:\n{}", proxy.log());
}

/// The form of a token request: RFC 6749 sections 2.3.1 and 4.4.2, RFC 8707 section 2.2.
fn assert_token_request(last: &Value, method: &str) {
    let by_basic = method == BASIC;
    assert_eq!(last["status"], 200, "{last}");
    assert_eq!(last["authentication"], json!([method]), "one way, and the configured one: {last}");
    assert_eq!(
        last["basic_form_encoded"],
        if by_basic { json!(true) } else { json!(null) },
        "{last}"
    );
    assert_eq!(last["form"]["grant_type"], "client_credentials", "{last}");
    assert_eq!(last["form"]["scope"], "reports.read", "{last}");
    assert_eq!(last["form"]["resource"], "https://reports.example/", "{last}");
}

/// The contract of a problem (RFC 9457) for a credential the authority refused.
fn assert_problem(problem: &Value) {
    let members = problem.as_object().expect("a problem is an object");
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["detail", "reason", "request_id", "status", "title", "type"]);
    assert_eq!(problem["status"], 502, "{problem}");
    assert_eq!(problem["reason"], "authority_refused_client", "{problem}");
    for name in ["detail", "request_id", "title", "type"] {
        let filled = problem[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(filled, "{name} has no text: {problem}");
    }
}

/// The two client authentication methods, by their registered names.
const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";

/// A part of every secret that no encoding of a log or an answer changes.
const CANARY: &str = "canary5b1e";

/// A secret that the authority does not know.
const WRONG_SECRET: &str = "wr0ng%+: canary5b1e &=";
