//! Tokens that only their issuer can read: asked once, believed for a while, refused when nobody can say.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::authority::{Answer, Authority};
use crate::support::client::get;
use crate::support::issuer::{Key, bearer, claims, claims_with, issuer_yaml, now, publish};
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

/// Issuer `o` by introspection at `asked`, beside issuer `i` of signed tokens.
fn vicar(
    signed: &Authority,
    asked: &Authority,
    settings: &str,
    rules: &str,
    upstream: &Upstream,
) -> Vicar {
    let (introspect, url) = (format!("{}/introspect", asked.url()), upstream.url());
    let any = settings.is_empty();
    Vicar::start(&format!(
        "{}  o: {{ introspection: {{ client: c, endpoint: '{introspect}', issuer: 'https://o.test', \
         cache: 30s, negative_cache: 5s, danger_any_audience: {any} }} {settings} }}\nclients:\n  c: {{ authority: {{ \
         token_endpoint: '{}/token' }}, client_id: me, credential: {{ client_secret_basic: {{ \
         danger_inline: s3cret }} }}, warm_up: false }}\nroutes:\n  - {{ name: r, listener: l, token: \
         passthrough, authenticate: {{ issuers: [i, o] {rules} }}, upstream: '{url}' }}\n",
        issuer_yaml(signed, ""),
        asked.url()
    ))
}

fn active(extra: &Value) -> Answer {
    let mut answer =
        json!({ "active": true, "sub": "user-1", "client_id": "app-1", "scope": "a b" });
    for (name, value) in extra.as_object().expect("an object") {
        answer[name] = value.clone();
    }
    Answer::json(200, &answer.to_string())
}

async fn parties() -> (Authority, Authority, Upstream) {
    (Authority::start().await, Authority::start().await, Upstream::start().await)
}

async fn show(vicar: &Vicar, token: &str) -> (u16, String) {
    let reply = get(&vicar.address(), "/", &bearer(token)).await;
    (reply.status, if reply.status == 200 { String::new() } else { reply.reason() })
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn invalid() -> (u16, String) {
    (401, "token_invalid".to_owned())
}

#[tokio::test]
async fn an_active_token_is_asked_about_once_and_for_no_longer_than_it_lives() {
    let (signed, asked, upstream) = parties().await;
    let vicar = vicar(&signed, &asked, "", ", scopes: [a]", &upstream);
    asked.always(Some(active(&json!({ "exp": now() + 20 }))));
    let address = vicar.address();
    let calls = (0..20).map(|_| {
        let address = address.clone();
        tokio::spawn(async move { get(&address, "/", &bearer("opaque.1")).await.status })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(asked.count(), 1, "one question for all who wait");
    let question = &asked.asked()[0];
    assert_eq!(question.field("token"), Some("opaque.1"));
    assert_eq!(question.headers["authorization"], "Basic bWU6czNjcmV0");
    assert_eq!(upstream.last().bearer(), "opaque.1");
    // `exp` ends before the cache time does; the skew counts for it as for signed tokens.
    asked.always(Some(Answer::json(200, r#"{"active":false}"#)));
    vicar.clock.advance(Duration::from_secs(25));
    assert_eq!(show(&vicar, "opaque.1").await, ok());
    vicar.clock.advance(Duration::from_secs(10));
    assert_eq!(show(&vicar, "opaque.1").await, invalid(), "cache: 30s");
}

#[tokio::test]
async fn a_no_is_remembered_for_a_moment() {
    let (signed, asked, upstream) = parties().await;
    let vicar = vicar(&signed, &asked, "", "", &upstream);
    asked.always(Some(Answer::json(200, r#"{"active":false}"#)));
    for _ in 0..5 {
        assert_eq!(show(&vicar, "opaque").await, invalid());
    }
    assert_eq!(asked.count(), 1);
    asked.always(Some(active(&json!({}))));
    vicar.clock.advance(Duration::from_secs(6));
    assert_eq!(show(&vicar, "opaque").await, ok());
    assert_eq!(asked.count(), 2);
}

#[tokio::test]
async fn the_answer_is_held_against_rules_issuer_audience_and_kind() {
    let (signed, asked, upstream) = parties().await;
    let vicar = vicar(&signed, &asked, ", audiences: [api]", ", scopes: [a]", &upstream);
    let scope = (403, "insufficient_scope".to_owned());
    let sorry = (503, "issuer_unavailable".to_owned());
    for (number, (extra, expected)) in [
        (json!({ "aud": "api" }), ok()),
        (json!({ "aud": ["api", "x"], "iss": "https://o.test" }), ok()),
        (json!({ "aud": "api", "token_type": "bearer" }), ok()),
        (json!({}), invalid()),
        (json!({ "aud": "other" }), invalid()),
        (json!({ "aud": "api", "iss": "https://other.test" }), invalid()),
        (json!({ "aud": "api", "exp": now() - 100 }), (401, "token_expired".to_owned())),
        (json!({ "aud": "api", "exp": "soon" }), invalid()),
        (json!({ "aud": "api", "nbf": now() + 100, "exp": now() + 200 }), invalid()),
        (json!({ "aud": "api", "nbf": now() + 100 }), invalid()),
        (json!({ "aud": "api", "nbf": "soon" }), invalid()),
        (json!({ "aud": "api", "iat": "soon" }), invalid()),
        (json!({ "aud": "api", "token_type": "refresh_token" }), invalid()),
        (json!({ "aud": "api", "typ": "Refresh" }), invalid()),
        (json!({ "aud": "api", "token_use": "refresh_token" }), invalid()),
        (json!({ "aud": "api", "token_use": "access_token" }), ok()),
        (json!({ "aud": "api", "token_type": "DPoP" }), invalid()),
        (json!({ "aud": "api", "scope": "b" }), scope),
        (json!({ "aud": "api", "sub": "app-1" }), (403, "caller_not_allowed".to_owned())),
        (json!({ "aud": "api", "cnf": { "jkt": "x" } }), (401, "proof_invalid".to_owned())),
        (json!({ "aud": "api", "active": "true" }), sorry),
    ]
    .into_iter()
    .enumerate()
    {
        asked.always(Some(active(&extra)));
        assert_eq!(show(&vicar, &format!("opaque-{number}")).await, expected, "{extra}");
        vicar.clock.advance(Duration::from_secs(2));
    }
}

/// Answers that say nothing about a token, and what the caller is told.
fn useless() -> Vec<(Answer, u16, &'static str)> {
    vec![
        (Answer::json(500, "{}"), 503, "issuer_unavailable"),
        (Answer::json(200, "<html>"), 503, "issuer_unavailable"),
        (Answer::json(200, r#"{"active":1}"#), 503, "issuer_unavailable"),
        (
            Answer::json(302, "").header("location", "http://127.0.0.1:9/"),
            503,
            "issuer_unavailable",
        ),
        (Answer::json(429, "{}").header("retry-after", "3600"), 503, "issuer_unavailable"),
        (Answer::json(401, "{}"), 502, "issuer_refused_client"),
    ]
}

#[tokio::test]
async fn when_nobody_can_say_the_answer_is_503_and_what_is_known_goes_on() {
    let (signed, asked, upstream) = parties().await;
    let vicar = vicar(&signed, &asked, "", "", &upstream);
    asked.always(Some(active(&json!({}))));
    assert_eq!(show(&vicar, "known").await, ok());
    for (number, (answer, status, reason)) in useless().into_iter().enumerate() {
        asked.always(Some(answer));
        for token in 0..3 {
            let told = show(&vicar, &format!("new-{number}-{token}")).await;
            assert_eq!(told, (status, reason.to_owned()));
        }
        let before = asked.count();
        assert_eq!(show(&vicar, "newer").await, (status, reason.to_owned()), "three in a row");
        assert_eq!(asked.count(), before, "so it is left alone for a while");
        let page = get(&vicar.admin(), "/status", "").await.json();
        assert_eq!(page["issuers"][1], json!({ "issuer": "o", "failure": reason }));
        assert_eq!(show(&vicar, "known").await, ok());
        vicar.clock.advance(Duration::from_secs(31));
        asked.always(Some(active(&json!({}))));
        assert_eq!(show(&vicar, "known").await, ok());
    }
    asked.always(Some(Answer::json(500, "{}")));
    for token in 0..5 {
        show(&vicar, &format!("last-{token}")).await;
    }
    asked.always(Some(active(&json!({}))));
    let returned = Instant::now();
    while show(&vicar, "new").await != ok() {
        assert!(returned.elapsed() < Duration::from_secs(2), "back within two seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn one_callers_token_costs_no_other_caller_an_answer() {
    let (signed, asked, upstream) = parties().await;
    let vicar = vicar(&signed, &asked, "", "", &upstream);
    for (number, (answer, ..)) in useless().into_iter().enumerate() {
        asked.always(Some(active(&json!({}))));
        assert_eq!(show(&vicar, &format!("mine-{number}")).await, ok());
        asked.always(Some(answer));
        let poison = format!("poison-{number}");
        assert_ne!(show(&vicar, &poison).await, ok());
        let before = asked.count();
        assert_ne!(show(&vicar, &poison).await, ok());
        assert_eq!(asked.count(), before, "it is remembered with its token");
        asked.always(Some(active(&json!({}))));
        assert_eq!(show(&vicar, &format!("other-{number}")).await, ok());
    }
    // However many tokens it is that the issuer, or what stands before it, does not like.
    for (number, status) in [400, 403, 404, 413, 422, 400, 403].into_iter().enumerate() {
        asked.always(Some(Answer::json(status, "{}")));
        assert_eq!(show(&vicar, &format!("disliked-{number}")).await.0, 503);
    }
    asked.always(Some(active(&json!({}))));
    assert_eq!(show(&vicar, "liked").await, ok());
    for error in ["unsupported_token_type", "invalid_token"] {
        asked.always(Some(Answer::json(400, &format!(r#"{{"error":"{error}"}}"#))));
        assert_eq!(show(&vicar, error).await, invalid());
    }
}

#[tokio::test]
async fn signed_tokens_of_a_known_issuer_are_not_shown_to_another() {
    let (signed, asked, upstream) = parties().await;
    let key = Key::new("k");
    publish(&signed, &[&key]);
    let vicar = vicar(&signed, &asked, "", "", &upstream);
    asked.always(Some(active(&json!({}))));
    let good = key.token(&claims());
    assert_eq!(show(&vicar, &good).await, ok());
    let mut bad = good.clone();
    bad.insert(bad.len() - 3, 'A');
    assert_eq!(show(&vicar, &bad).await.0, 401);
    let stranger = Key::new("other").token(&claims());
    assert_eq!(show(&vicar, &stranger).await, invalid());
    assert_eq!(asked.count(), 0);
}

#[tokio::test]
async fn what_another_route_asked_does_not_count_where_the_keys_are_known() {
    let (signed, asked, upstream) = parties().await;
    let key = Key::new("k");
    publish(&signed, &[&key]);
    let route = |name: &str, issuers: &str| {
        format!(
            "  - {{ name: {name}, listener: l, match: {{ path: /{name} }}, token: strip, \
             authenticate: {{ issuers: [{issuers}] }}, upstream: '{}' }}\n",
            upstream.url()
        )
    };
    let vicar = Vicar::start(&format!(
        "{}  o: {{ introspection: {{ client: c, endpoint: '{}/introspect', danger_any_audience: true }} \
         }}\nclients:\n  c: {{ authority: {{ token_endpoint: '{}/token' }}, client_id: me, credential: \
         {{ client_secret_basic: {{ danger_inline: s }} }}, warm_up: false }}\nroutes:\n{}{}",
        issuer_yaml(&signed, ""),
        asked.url(),
        asked.url(),
        route("asks", "o"),
        route("knows", "i, o"),
    ));
    asked.always(Some(active(&json!({}))));
    // Good to whoever asks; but for another API than ours.
    let token = bearer(&key.token(&claims_with(&json!({ "aud": "api://other" }))));
    for (path, status) in [("/knows", 401), ("/asks", 200), ("/knows", 401), ("/asks", 200)] {
        let reply = get(&vicar.address(), path, &token).await;
        assert_eq!(reply.status, status, "{path} {}", reply.body);
    }
}
