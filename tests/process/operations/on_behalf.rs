//! What the log says when no token on behalf of a caller comes: what the authority's support asks for, and
//! nothing of what the authority wrote.

use std::time::Duration;

use serde_json::{Value, json};

use crate::caller_key::CallerKey;
use crate::child::poll;
use crate::party::{Party, respond};
use crate::vicar_process::{Setup, Vicar};

#[test]
fn a_refusal_is_logged_with_its_codes_and_identifiers_and_not_with_its_text() {
    let authority = Party::start(|_, stream| {
        let body = json!({
            "error": "invalid_grant", "suberror": "basic_action", "error_codes": [50_076, 7],
            "error_description": format!("AADSTS50076: {MARKER}"), "error_uri": MARKER,
            "correlation_id": CORRELATION_ID, "trace_id": TRACE_ID, "timestamp": MARKER,
            "claims": format!(r#"{{"access_token":{{"{MARKER}":null}}}}"#),
        });
        respond(stream, "400 Bad Request", "", body.to_string().as_bytes())
    });
    let (vicar, token) = start(&authority);
    let answer = vicar.get_with("/", &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(!answer.text().contains(MARKER), "{answer:?}");
    let lines = lines(&vicar, 2);
    for (line, message) in
        lines.iter().zip(["no token on behalf of a caller", "the person must act"])
    {
        assert_eq!(line["message"], message, "{lines:#?}");
        assert_eq!(line["reason"], "user_interaction_required", "{line}");
        let error = line["error"].as_str().unwrap_or_default();
        for part in [
            "status 400",
            "invalid_grant",
            "suberror basic_action",
            "claims challenge",
            "AADSTS50076",
            "AADSTS7",
            CORRELATION_ID,
            TRACE_ID,
        ] {
            assert!(error.contains(part), "{part} is missing: {line}");
        }
    }
    assert_eq!((&lines[0]["client"], &lines[0]["level"]), (&json!("c"), &json!("WARN")));
    let endpoint = format!("http://{}/", authority.address);
    assert_eq!(lines[0]["authority"], endpoint.as_str());
    assert_eq!(lines[1]["request_id"], answer.header("x-request-id"));
    assert!(!vicar.log().contains(MARKER), "the authority's text:\n{}", vicar.log());
    assert!(!vicar.log().contains(&token), "the caller's token:\n{}", vicar.log());
}

#[test]
fn identifiers_that_are_none_are_not_logged() {
    let authority = Party::start(|_, stream| {
        let body = json!({
            "error": MARKER, "suberror": MARKER, "error_codes": [MARKER, -1, 1.5],
            "correlation_id": MARKER, "trace_id": format!("{CORRELATION_ID}{MARKER}"),
        });
        respond(stream, "400 Bad Request", "", body.to_string().as_bytes())
    });
    let (vicar, token) = start(&authority);
    let answer = vicar.get_with("/", &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(answer.status, 502, "{answer:?}");
    let lines = lines(&vicar, 2);
    let error = lines[0]["error"].as_str().unwrap_or_default();
    assert!(error.ends_with("status 400, error unrecognised"), "{error}");
    assert!(!vicar.log().contains(MARKER), "the authority's text:\n{}", vicar.log());
}

/// A Vicar whose route acts on behalf of callers at this authority, and a person's token.
fn start(authority: &Party) -> (Vicar, String) {
    let key = CallerKey::generate();
    let token = key.token(&json!({
        "iss": "https://issuer.test", "aud": "api", "sub": "alice", "azp": "app", "exp": 4_000_000_000_u64,
    }));
    let yaml = YAML.replace("AUTHORITY", &authority.address.to_string());
    (Setup::new(yaml).file("jwks.json", &key.set().to_string()).start(), token)
}

/// The lines that tell of an error, once there are as many as expected.
fn lines(vicar: &Vicar, expected: usize) -> Vec<Value> {
    let enough = || {
        let lines = vicar.lines(|line| line["error"].is_string());
        (lines.len() >= expected).then_some(lines)
    };
    poll(Duration::from_secs(5), enough)
        .unwrap_or_else(|| panic!("fewer than {expected} errors in:\n{}", vicar.log()))
}

const MARKER: &str = "Wd3Lq8Zt5Nx2Vk9Jb4";
const CORRELATION_ID: &str = "0b7c4c52-8f0e-4d3f-9b53-2f5d9d8f3a01";
const TRACE_ID: &str = "5f2f8a90-6f1b-4f0c-8c7a-77d1a6a5e902";

const YAML: &str = "\
log: { level: debug }
admin: { address: 'ADMIN' }
listeners:
  l: { address: 'LISTENER' }
issuers:
  i: { jwks: { issuer: 'https://issuer.test', file: SCRATCH/jwks.json }, audiences: [api] }
clients:
  c:
    authority: { token_endpoint: 'http://AUTHORITY/' }
    client_id: me
    credential: { client_secret: { danger_inline: only-for-this-test } }
    warm_up: false
routes:
  - { name: r, listener: l, authenticate: { issuers: [i] }, upstream: 'http://AUTHORITY',
      token: { on_behalf_of: { client: c, scopes: [s] } } }
";
