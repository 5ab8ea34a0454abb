//! Nothing of a caller in any log line, metric or answer: not its token, not a piece of it, not what its
//! claims say, whether they are believed or not.

use serde_json::{Value, json};

use super::scanner::Scanner;
use crate::caller_key::{CallerKey, encode};
use crate::party::{Party, respond};
use crate::vicar_process::{Setup, Vicar};

#[test]
fn nothing_of_a_caller_is_told_whatever_is_wrong_with_it() {
    let key = CallerKey::generate();
    // An issuer that fails in different ways and repeats what it was told.
    let issuer = Party::start(|request, stream| {
        let told = String::from_utf8_lossy(&request.body).into_owned();
        let marked =
            json!({ "active": true, "sub": CLAIM, "exp": CLAIM, "told": told }).to_string();
        match told.matches('A').count() % 4 {
            0 => respond(stream, "500 Broken", &format!("X-Echo: {CLAIM}\r\n"), told.as_bytes()),
            1 => respond(stream, "200 OK", "", format!("<p>{told}").as_bytes()),
            2 => respond(stream, "200 OK", "", marked.as_bytes()),
            _ => respond(stream, "401 No", "", marked.as_bytes()),
        }
    });
    let upstream = Party::answering("ok");
    let yaml = YAML.replace("ISSUER", &issuer.address.to_string());
    let yaml = yaml.replace("UPSTREAM", &upstream.address.to_string());
    let vicar = Setup::new(yaml).file("jwks.json", &key.set().to_string()).start();
    let scanner = Scanner::new(MARKERS);
    let mut leaks = Vec::new();
    for (what, token) in tokens(&key) {
        for path in ["/signed", "/asked", "/claimed", "/optional"] {
            leaks.extend(leaks_of(&vicar, &scanner, &format!("{what} {path}"), path, &token));
        }
    }
    for page in ["/metrics", "/status", "/readyz"] {
        let answer = vicar.page(page);
        leaks
            .extend(scanner.leaks(&answer.raw()).into_iter().map(|leak| format!("{page}: {leak}")));
    }
    let log = vicar.stdout();
    leaks.extend(scanner.leaks(log.as_bytes()).into_iter().map(|leak| format!("the log: {leak}")));
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    for class in
        ["audience", "issuer", "key_unknown", "signature", "shape", "claim_type", "expired"]
    {
        assert!(log.contains(class), "{class} was not met:\n{log}");
    }
    assert!(upstream.requests() >= 2, "the good ones pass");
}

/// Shows `token` and a proof; gives what Vicar's own answer tells of either.
fn leaks_of(vicar: &Vicar, scanner: &Scanner, what: &str, path: &str, token: &str) -> Vec<String> {
    let mut leaks = Vec::new();
    for scheme in ["Bearer", "DPoP"] {
        let fields = format!("Authorization: {scheme} {token}\r\nDPoP: {token}\r\n");
        let answer = vicar.get_with(path, &fields);
        if answer.status != 200 {
            leaks.extend(scanner.leaks(&answer.raw()).into_iter().map(|l| format!("{what}: {l}")));
        }
    }
    leaks
}

/// Tokens with marks in every place, by what is wrong with each.
fn tokens(key: &CallerKey) -> Vec<(&'static str, String)> {
    let header = json!({ "alg": "EdDSA", "kid": "k" });
    let claims = json!({
        "iss": "https://issuer.test", "aud": "api", "sub": CLAIM, "email": CLAIM, "jti": CLAIM,
        "exp": 4_000_000_000_u64, "scope": CLAIM, "roles": [CLAIM], "azp": CLAIM,
    });
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let in_header = |name: &str, value: &str| {
        let mut header = header.clone();
        header[name] = value.into();
        header
    };
    let mut tokens = vec![
        ("good", key.sign(&header, &claims)),
        ("audience", key.sign(&header, &with("aud", CLAIM.into()))),
        ("issuer", key.sign(&header, &with("iss", CLAIM.into()))),
        ("expired", key.sign(&header, &with("exp", 1.into()))),
        ("type", key.sign(&header, &with("exp", CLAIM.into()))),
        ("cnf", key.sign(&header, &with("cnf", json!({ "jkt": CLAIM })))),
        ("tid", key.sign(&header, &with("tid", CLAIM.into()))),
        ("kid", key.sign(&in_header("kid", KID), &claims)),
        ("alg", key.sign(&in_header("alg", KID), &claims)),
        ("typ", key.sign(&in_header("typ", KID), &claims)),
        ("jku", key.sign(&in_header("jku", KID), &claims)),
        ("opaque", OPAQUE.to_owned()),
        ("parts", format!("{OPAQUE}.{OPAQUE}.{OPAQUE}")),
    ];
    let good = tokens[0].1.clone();
    let (message, _) = good.rsplit_once('.').expect("three parts");
    tokens.push(("signature", format!("{message}.{}", encode([7; 64]))));
    tokens.extend((0..4).map(|number| ("asked", format!("{OPAQUE}{}", "A".repeat(number)))));
    tokens
}

const CLAIM: &str = "Cm7Wz3Kt9Xq5Vn1Jd8Lr2Hs6Yb4Mg0Fp";
const KID: &str = "Kd2Nx8Vz5Qt1Wk7Jh4Lb9Rs3Yf6Mg0Cp";
const OPAQUE: &str = "Oq6Tb1Xz8Kn3Vw9Jd5Lr2Hs7Yf4Mg0Cp";
const MARKERS: &[(&str, &str)] =
    &[("a claim", CLAIM), ("a header", KID), ("an opaque token", OPAQUE)];

const YAML: &str = "\
log: { level: trace }
admin: { address: 'ADMIN' }
listeners:
  l: { address: 'LISTENER' }
issuers:
  signed:
    jwks: { issuer: 'https://issuer.test', file: SCRATCH/jwks.json }
    audiences: [api]
  asked:
    introspection: { client: c, endpoint: 'http://ISSUER/', negative_cache: 1ms,
                     danger_any_audience: true }
clients:
  c:
    authority: { token_endpoint: 'http://ISSUER/' }
    client_id: c
    credential: { client_secret: { danger_inline: x } }
    warm_up: false
routes:
  - { name: signed, listener: l, match: { path: /signed }, token: strip, upstream: 'http://UPSTREAM',
      authenticate: { issuers: [signed], claims_to_headers: { X-User: sub }, claims_header: X-All } }
  - { name: asked, listener: l, match: { path: /asked }, token: passthrough, upstream: 'http://UPSTREAM',
      authenticate: { issuers: [signed, asked], scopes: [x] } }
  - { name: claimed, listener: l, match: { path: /claimed }, token: strip,
      upstream: 'http://UPSTREAM', authenticate: { issuers: [signed, asked], claims: { sub: x } } }
  - { name: optional, listener: l, match: { path: /optional }, token: strip,
      upstream: 'http://UPSTREAM', authenticate: { issuers: [signed], mode: optional } }
";
