//! Tokens that only the holder of a key may use: client certificates and DPoP proofs.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::support::authority::Authority;
use crate::support::client::{Reply, exchange, get};
use crate::support::issuer::{Key, bearer, claims_with, encode, issuer_yaml, now, publish, vicar};
use crate::support::pki::Pki;
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

#[tokio::test]
async fn rs12_a_bound_token_is_no_bearer_token() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let vicar = vicar(&authority, "", "", upstream.url());
    for (cnf, status) in [
        (json!({ "jkt": "x" }), 401),
        (json!({ "x5t#S256": "x" }), 401),
        (json!({ "jwk": {} }), 401),
        (json!({}), 401),
        (json!({ "jkt": "x", "x5t#S256": "x" }), 401),
        (json!("jkt"), 401),
    ] {
        let token = key.token(&claims_with(&json!({ "cnf": cnf })));
        let reply = get(&vicar.address(), "/", &bearer(&token)).await;
        assert_eq!(reply.status, status, "{cnf}");
    }
    assert!(upstream.seen().is_empty());
}

/// A TLS listener that demands certificates, in front of one route.
fn with_certificates(authority: &Authority, pki: &Pki, rules: &str, upstream: &str) -> Vicar {
    let file = |name: &str| pki.path(name);
    let listener = format!(
        "l: {{ address: '127.0.0.1:0', tls: {{ certificate: {{ file: '{}' }}, private_key: {{ file: \
         '{}' }}, client_ca: {{ file: '{}' }} }} }}",
        file("tls.crt"),
        file("tls.key"),
        file("ca.crt")
    );
    let yaml = issuer_yaml(authority, "").replace("l: { address: '127.0.0.1:0' }", &listener);
    Vicar::start(&format!(
        "{yaml}routes:\n  - {{ name: r, listener: l, token: strip, authenticate: {{ issuers: [i] {rules} \
         }}, upstream: '{upstream}' }}\n"
    ))
}

#[tokio::test]
async fn rs12_a_certificate_bound_token_needs_that_certificate() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let pki = Pki::new();
    pki.issue("tls", "localhost");
    pki.issue("ann", "ann");
    pki.issue("bob", "bob");
    let bound = key.token(&claims_with(&json!({ "cnf": { "x5t#S256": pki.digest("ann") } })));
    let free = key.token(&claims_with(&json!({})));
    for (rules, [bound_ann, bound_bob, free_ann]) in
        [("", [200, 401, 200]), (", proof: { required: true }", [200, 401, 401])]
    {
        let vicar = with_certificates(&authority, &pki, rules, upstream.url());
        // Twice: what is known of a token says nothing about its holder.
        for _ in 0..2 {
            for (name, token, status) in
                [("ann", &bound, bound_ann), ("bob", &bound, bound_bob), ("ann", &free, free_ann)]
            {
                let connected = pki.connect(&vicar.address(), &["http/1.1"], Some(name)).await;
                let (mut stream, _) = connected.expect("TLS");
                let request = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", bearer(token));
                let reply = exchange(&mut stream, &request).await;
                assert_eq!(reply.status, status, "{rules} {name}");
            }
        }
    }
}

/// A caller with a DPoP key and a token bound to it.
struct Holder {
    key: Key,
    token: String,
}

impl Holder {
    fn new(issuer: &Key) -> Self {
        let key = Key::of("ES256", "ignored");
        let jwk = key.bare_jwk();
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        let thumbprint = encode(digest(&SHA256, members.as_bytes()));
        let token = issuer.token(&claims_with(&json!({ "cnf": { "jkt": thumbprint } })));
        Self { key, token }
    }

    fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.bare_jwk() })
    }

    /// The claims of a good proof for `GET http://h/`.
    fn claims(&self) -> Value {
        let ath = encode(digest(&SHA256, self.token.as_bytes()));
        let jti = format!("{:x}", fastrand::u128(..));
        json!({ "jti": jti, "htm": "GET", "htu": "http://h/", "iat": now(), "ath": ath })
    }

    fn proof(&self, changes: &Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        self.key.sign(&self.header(), &claims)
    }

    async fn call(&self, vicar: &Vicar, proof: &str) -> Reply {
        let headers = format!("authorization: DPoP {}\r\ndpop: {proof}\r\n", self.token);
        get(&vicar.address(), "/", &headers).await
    }
}

fn with_match(authority: &Authority, matches: &str, rules: &str, upstream: &str) -> Vicar {
    Vicar::start(&format!(
        "{}routes:\n  - {{ name: r, listener: l, match: {{ {matches} }}, token: strip, authenticate: {{ \
         issuers: [i] {rules} }}, upstream: '{upstream}' }}\n",
        issuer_yaml(authority, "")
    ))
}

#[tokio::test]
async fn a_proof_counts_only_where_its_address_is_known() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let holder = Holder::new(&key);
    for (matches, status) in [("host: h", 200), ("host: '*.h'", 404), ("path: /", 401)] {
        let vicar = with_match(&authority, matches, "", upstream.url());
        let reply = holder.call(&vicar, &holder.proof(&json!({}))).await;
        assert_eq!(reply.status, status, "{matches}");
    }
}

async fn dpop_parties(rules: &str) -> (Vicar, Holder, Key, Authority, Upstream) {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let vicar = with_match(&authority, "host: h", rules, upstream.url());
    let holder = Holder::new(&key);
    (vicar, holder, key, authority, upstream)
}

#[tokio::test]
async fn rs12_a_dpop_bound_token_needs_a_fresh_proof_of_its_key() {
    let (vicar, holder, issuer, _authority, upstream) = dpop_parties("").await;
    let good = holder.proof(&json!({}));
    assert_eq!(holder.call(&vicar, &good).await.status, 200);
    assert_eq!(upstream.seen().len(), 1);
    for (change, status) in [
        (json!({ "htu": "http://h/?query=ignored#x" }), 200),
        (json!({ "htu": "HTTP://H:80/" }), 200),
        (json!({ "iat": now() - 30 }), 200),
        (json!({ "htm": "POST" }), 401),
        (json!({ "htm": "get" }), 401),
        (json!({ "htu": "https://h/" }), 401),
        (json!({ "htu": "http://h/other" }), 401),
        (json!({ "htu": "http://other/" }), 401),
        (json!({ "htu": null }), 401),
        (json!({ "ath": encode(digest(&SHA256, b"other")) }), 401),
        (json!({ "ath": null }), 401),
        (json!({ "iat": now() - 120 }), 401),
        (json!({ "iat": now() + 60 }), 401),
        (json!({ "iat": null }), 401),
        (json!({ "jti": null }), 401),
        (json!({ "jti": "j".repeat(300) }), 401),
    ] {
        let reply = holder.call(&vicar, &holder.proof(&change)).await;
        assert_eq!(reply.status, status, "{change}");
        if status == 401 {
            assert_eq!(reply.reason(), "proof_invalid");
            let challenge = reply.header("www-authenticate").unwrap_or_default();
            assert!(
                challenge.starts_with("DPoP error=\"invalid_dpop_proof\", algs="),
                "{challenge}"
            );
        }
    }
    assert_eq!(holder.call(&vicar, &good).await.status, 401, "used before");
    let thief = Holder::new(&issuer);
    let stolen = Holder { key: thief.key, token: holder.token.clone() };
    assert_eq!(stolen.call(&vicar, &stolen.proof(&json!({}))).await.status, 401);
    // A bound token as bearer, and an unbound one as DPoP.
    let reply = get(&vicar.address(), "/", &bearer(&holder.token)).await;
    assert_eq!(reply.status, 401);
    let unbound = Holder { token: issuer.token(&claims_with(&json!({}))), key: holder.key };
    assert_eq!(unbound.call(&vicar, &unbound.proof(&json!({}))).await.status, 401);
}

#[tokio::test]
async fn rs12_a_proof_is_exactly_one_well_formed_token() {
    let (vicar, holder, _issuer, _authority, upstream) = dpop_parties("").await;
    let (header, claims) = (holder.header(), || holder.claims());
    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        holder.key.sign(&header, &claims())
    };
    let other = Key::of("ES256", "other");
    let mut private = holder.key.bare_jwk();
    private["d"] = json!("AQAB");
    let good = holder.proof(&json!({}));
    for proof in [
        String::new(),
        "x".to_owned(),
        format!("{good}x"),
        format!("{good}\r\ndpop: {}", holder.proof(&json!({}))),
        with("typ", json!("JWT")),
        with("typ", json!(null)),
        with("alg", json!("none")),
        with("alg", json!("HS256")),
        with("jwk", json!(null)),
        with("jwk", other.bare_jwk()),
        with("jwk", private),
        with("crit", json!(["x"])),
        other.sign(&header, &claims()),
    ] {
        assert_eq!(holder.call(&vicar, &proof).await.status, 401, "{proof}");
    }
    let without = format!("authorization: DPoP {}\r\n", holder.token);
    assert_eq!(get(&vicar.address(), "/", &without).await.status, 401);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_demanded_nonce_is_given_with_the_refusal_and_grows_old() {
    let rules = ", proof: { nonce: true, max_age: 5m, required: true }";
    let (vicar, holder, _issuer, _authority, _upstream) = dpop_parties(rules).await;
    let refused = holder.call(&vicar, &holder.proof(&json!({}))).await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("DPoP error=\"use_dpop_nonce\""), "{challenge}");
    let nonce = refused.header("dpop-nonce").expect("a nonce").to_owned();
    let proof = holder.proof(&json!({ "nonce": nonce }));
    assert_eq!(holder.call(&vicar, &proof).await.status, 200);
    assert_eq!(holder.call(&vicar, &holder.proof(&json!({ "nonce": "mine" }))).await.status, 401);
    vicar.clock.advance(Duration::from_secs(250));
    let proof = holder.proof(&json!({ "nonce": nonce, "iat": now() + 250 }));
    assert_eq!(holder.call(&vicar, &proof).await.status, 401, "the nonce is old");
    let refused = get(&vicar.address(), "/", "").await;
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("DPoP algs="), "{challenge}");
}

#[tokio::test]
async fn the_public_address_counts_where_callers_see_another_one() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let yaml = issuer_yaml(&authority, "").replace(
        "l: { address: '127.0.0.1:0' }",
        "l: { address: '127.0.0.1:0', resource: 'https://api.test' }",
    );
    let vicar = Vicar::start(&format!(
        "{yaml}routes:\n  - {{ name: r, listener: l, token: strip, authenticate: {{ issuers: [i] }}, \
         upstream: '{}' }}\n",
        upstream.url()
    ));
    let holder = Holder::new(&key);
    let proof = holder.proof(&json!({ "htu": "https://api.test/" }));
    assert_eq!(holder.call(&vicar, &proof).await.status, 200);
    assert_eq!(holder.call(&vicar, &holder.proof(&json!({}))).await.status, 401);
}
