//! Callers' tokens by a certified authority: which ones Vicar lets through to an upstream.
//!
//! The authority (npm oidc-provider) issues them: JWTs (RFC 9068) of three algorithms, opaque
//! tokens, tokens of applications and of a person, ID tokens. One Vicar has a route for each way to
//! check them, and the upstream must see the caller's own token, or nothing at all.

use std::time::Duration;

use serde_json::Value;

use crate::{
    authority::Authority,
    plain_http::Answer,
    process::poll,
    proxy::{Place, Proxy, quoted},
    upstream::{GREETING, Upstream, only_bearer_token},
};

#[test]
fn tokens_of_every_algorithm_pass_to_the_upstream_unchanged() {
    let gate = Gate::open();
    for algorithm in ALGORITHMS {
        let token = gate.token(algorithm);
        gate.assert_passes("/plain", &token);
        gate.assert_passes("/rfc9068", &token);
    }
}

#[test]
fn tokens_for_another_audience_are_refused() {
    let gate = Gate::open();
    for algorithm in ALGORITHMS {
        gate.assert_refused("/elsewhere", &gate.token(algorithm), 401, "token_invalid");
    }
}

#[test]
fn a_flipped_bit_of_the_signature_is_refused() {
    let gate = Gate::open();
    for algorithm in ALGORITHMS {
        let token = gate.token(algorithm);
        let (signed, signature) = token.rsplit_once('.').expect("a compact JWS");
        // The first character: it carries six bits of the signature, whatever its length.
        let other = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{signed}.{other}{}", &signature[1..]);
        gate.assert_refused("/plain", &forged, 401, "token_invalid");
        gate.assert_passes("/plain", &token);
    }
}

#[test]
fn only_the_listed_algorithms_are_accepted() {
    let gate = Gate::open();
    gate.assert_passes("/es256", &gate.token("ES256"));
    for algorithm in ["RS256", "EdDSA"] {
        gate.assert_refused("/es256", &gate.token(algorithm), 401, "token_invalid");
    }
}

#[test]
fn scopes_count_for_people_and_app_scopes_for_applications() {
    let gate = Gate::open();
    let reports = gate.authority.resource("RS256");
    let application = gate.authority.token(reports, "reports.read");
    let person = gate.authority.token_of_a_person("/_person");

    gate.assert_passes("/scopes", &person);
    let refused = gate.assert_refused("/scopes", &application, 403, "caller_not_allowed");
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
    // It has that scope already: naming it would send the client round in a circle.
    assert!(!challenge.contains("reports.read"), "{challenge}");

    gate.assert_passes("/app-scopes", &application);
    gate.assert_refused("/app-scopes", &person, 403, "caller_not_allowed");
    let other = gate.authority.token(reports, "reports.write");
    gate.assert_refused("/app-scopes", &other, 403, "insufficient_scope");
}

#[test]
fn id_tokens_are_no_access_tokens() {
    let gate = Gate::open();
    let with_hash = gate.authority.token_of_a_person("/_login?hash=1");
    let without = gate.authority.token_of_a_person("/_login");
    // The route takes the client's id as an audience, as APIs do that share it with a website.
    gate.assert_refused("/login", &with_hash, 401, "token_invalid");
    gate.assert_refused("/login-rfc9068", &with_hash, 401, "token_invalid");
    // Nothing marks this one but its missing `typ`: only RFC 9068 section 4 tells it apart.
    gate.assert_refused("/login-rfc9068", &without, 401, "token_invalid");
}

#[test]
fn opaque_tokens_pass_until_they_are_revoked() {
    let gate = Gate::open();
    let token = gate.token("opaque");
    assert!(!token.contains('.'), "an opaque token is no JWT");
    gate.assert_passes("/opaque", &token);
    gate.assert_refused("/opaque", "n0-such-t0ken", 401, "token_invalid");

    gate.authority.revoke(&token);
    let refused = poll(CACHE_LIMIT, || {
        let answer = gate.proxy.call_with("/opaque", &token);
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("a yes counts no longer than `cache` says");
    assert_refusal(&refused, 401, "token_invalid");
    gate.assert_passes("/opaque", &gate.token("opaque"));
}

#[test]
fn rules_hold_for_opaque_tokens_too() {
    let gate = Gate::open();
    let payments = gate.authority.resource("opaque");
    gate.assert_passes("/opaque-app-scopes", &gate.authority.token(payments, "reports.read"));
    let other = gate.authority.token(payments, "reports.write");
    gate.assert_refused("/opaque-app-scopes", &other, 403, "insufficient_scope");
}

/// The authority answers 400 about a JWT, because it has nothing to look up; that says something
/// about the token and nothing about Vicar's credential.
#[test]
fn a_token_that_the_authority_cannot_look_up_harms_nobody_else() {
    let gate = Gate::open();
    let known = gate.token("opaque");
    gate.assert_passes("/opaque", &known);
    gate.assert_refused("/opaque", &gate.token("RS256"), 401, "token_invalid");
    gate.assert_refused("/opaque", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA", 401, "token_invalid");
    gate.assert_passes("/opaque", &gate.token("opaque"));
}

/// An authority and an upstream with Vicar between the callers and the upstream.
struct Gate {
    authority: Authority,
    upstream: Upstream,
    proxy: Proxy,
}

impl Gate {
    fn open() -> Self {
        let (authority, upstream) = (Authority::start(), Upstream::start());
        let proxy = Proxy::configured(|place| configuration(&authority, &upstream, place));
        Self { authority, upstream, proxy }
    }

    /// A fresh token of an application, for the resource of this kind.
    fn token(&self, kind: &str) -> String {
        self.authority.token(self.authority.resource(kind), "reports.read")
    }

    /// Calls, and wants the upstream's own answer to a request with the very same token.
    fn assert_passes(&self, target: &str, token: &str) {
        let before = self.upstream.heads().len();
        let answer = self.proxy.call_with(target, token);
        let greeted = answer.status == 200 && answer.body == GREETING;
        assert!(greeted, "{target}: {answer:?}; vicar said:\n{}", self.proxy.log());
        let heads = self.upstream.heads();
        assert_eq!(heads.len(), before + 1, "one call is one request at the upstream");
        assert!(only_bearer_token(&heads[before]) == token, "{target}: another token arrived");
    }

    /// Calls, and wants a refusal that the upstream hears nothing of.
    fn assert_refused(&self, target: &str, token: &str, status: u16, reason: &str) -> Answer {
        let before = self.upstream.heads().len();
        let answer = self.proxy.call_with(target, token);
        assert_refusal(&answer, status, reason);
        assert_eq!(self.upstream.heads().len(), before, "{target}: a refused call went on");
        assert!(!self.proxy.log().contains(token), "{target}: the token is in the log");
        answer
    }
}

/// A problem (RFC 9457) of this status and reason, with a challenge (RFC 6750 section 3).
fn assert_refusal(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let problem: Value = serde_json::from_str(&answer.body).expect("the problem is JSON");
    assert_eq!(problem["reason"], reason, "{answer:?}");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Bearer "), "{answer:?}");
}

/// One issuer and one route for each way to check the authority's tokens.
fn configuration(authority: &Authority, upstream: &Upstream, place: &Place<'_>) -> String {
    let (client_id, secret) = authority.client("client_secret_basic");
    let issuer = quoted(authority.about("issuer"));
    let signed = ALGORITHMS.map(|algorithm| quoted(authority.resource(algorithm))).join(", ");
    let caller = quoted(authority.client("client_secret_post").0);
    let issuers = format!(
        "\
admin: {{ address: {admin} }}
listeners:
  inbound: {{ address: {listener} }}
clients:
  asker:
    authority: {{ oidc: {{ issuer: {issuer} }} }}
    client_id: {client_id}
    credential: {{ client_secret_basic: {{ file: {secret} }} }}
issuers:
  plain: {{ oidc: {{ issuer: {issuer} }}, audiences: [{signed}] }}
  rfc9068: {{ oidc: {{ issuer: {issuer} }}, audiences: [{signed}], profile: rfc9068 }}
  es256: {{ oidc: {{ issuer: {issuer} }}, audiences: [{signed}], algorithms: [ES256] }}
  elsewhere: {{ oidc: {{ issuer: {issuer} }}, audiences: ['https://elsewhere.example/'] }}
  login: {{ oidc: {{ issuer: {issuer} }}, audiences: [{caller}] }}
  login-rfc9068: {{ oidc: {{ issuer: {issuer} }}, audiences: [{caller}], profile: rfc9068 }}
  opaque:
    introspection: {{ client: asker, issuer: {issuer}, cache: 1s, negative_cache: 1s }}
    audiences: [{opaque}]
    assume: applications   # it names people by `sub`, and applications not at all
routes:
",
        admin = place.admin,
        listener = place.listener,
        client_id = quoted(client_id),
        secret = place.file("secret", secret),
        opaque = quoted(authority.resource("opaque")),
    );
    let route = |(name, rules): &(&str, &str)| {
        format!(
            "  - name: {name}\n    listener: inbound\n    match: {{ path: /{name} }}\n    \
             authenticate: {{ {rules} }}\n    token: passthrough\n    upstream: http://{}\n",
            upstream.address,
        )
    };
    let routes: Vec<String> = ROUTES.iter().map(route).collect();
    issuers + &routes.concat()
}

/// Every route by its path, and what it demands.
const ROUTES: &[(&str, &str)] = &[
    ("plain", "issuers: [plain]"),
    ("rfc9068", "issuers: [rfc9068]"),
    ("es256", "issuers: [es256]"),
    ("elsewhere", "issuers: [elsewhere]"),
    ("login", "issuers: [login]"),
    ("login-rfc9068", "issuers: [login-rfc9068]"),
    ("scopes", "issuers: [plain], scopes: [reports.read]"),
    ("app-scopes", "issuers: [plain], app_scopes: [reports.read]"),
    ("opaque", "issuers: [opaque]"),
    ("opaque-app-scopes", "issuers: [opaque], app_scopes: [reports.read]"),
];

/// The kinds of token that are signed, by their algorithm.
const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// `cache` is one second; the rest is for a machine under load.
const CACHE_LIMIT: Duration = Duration::from_secs(10);
