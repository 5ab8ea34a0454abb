//! Key sets: the first fetch, outages, rotations, removals and the cool-down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use crate::support::authority::Authority;
use crate::support::client::{exchange, get};
use crate::support::eventually;
use crate::support::issuer::{Key, bearer, claims, claims_with, issuer_yaml, publish, vicar};
use crate::support::pki::Pki;
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

async fn status(vicar: &Vicar, token: &str) -> u16 {
    get(&vicar.address(), "/", &bearer(token)).await.status
}

#[tokio::test]
async fn rs13_without_keys_the_answer_is_503_and_readiness_waits() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let key = Key::new("k");
    let vicar = vicar(&authority, "", "", upstream.url());
    let token = key.token(&claims());
    let reply = get(&vicar.address(), "/", &bearer(&token)).await;
    assert_eq!((reply.status, reply.reason().as_str()), (503, "issuer_keys_unavailable"));
    assert!(reply.header("retry-after").is_some() && reply.header("www-authenticate").is_none());
    let ready = get(&vicar.admin(), "/readyz", "").await;
    assert_eq!((ready.status, &ready.json()["waiting_for"]), (503, &json!(["keys of issuer i"])));
    // Nothing in the token is judged before there is a key, but what it is not stays 401.
    assert_eq!(status(&vicar, "x").await, 401);
    assert_eq!(get(&vicar.address(), "/", "").await.status, 401);
    publish(&authority, &[&key]);
    let returned = Instant::now();
    while status(&vicar, &token).await != 200 {
        assert!(returned.elapsed() < Duration::from_secs(2), "back within two seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while get(&vicar.admin(), "/readyz", "").await.status != 200 {
        assert!(returned.elapsed() < Duration::from_secs(5), "ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn rs13_an_unknown_key_is_fetched_once_for_all_who_wait() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let (old, new) = (Key::new("old"), Key::new("new"));
    publish(&authority, &[&old]);
    let vicar = vicar(&authority, "", "", upstream.url());
    assert_eq!(status(&vicar, &old.token(&claims())).await, 200);
    publish(&authority, &[&old, &new]);
    let before = authority.fetches("/jwks");
    let address = vicar.address();
    let calls = (0..50).map(|number| {
        let token = new.token(&claims_with(&json!({ "jti": number.to_string() })));
        let address = address.clone();
        tokio::spawn(async move { get(&address, "/", &bearer(&token)).await.status })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(authority.fetches("/jwks"), before + 1);
}

#[tokio::test]
async fn rs13_the_cool_down_holds_back_calls_for_unknown_names_only() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let (known, later) = (Key::new("known"), Key::new("later"));
    publish(&authority, &[&known]);
    let vicar = vicar(&authority, ", keys: { cool_down: 1m }", "", upstream.url());
    let (good, unknown) = (known.token(&claims()), later.token(&claims()));
    assert_eq!(status(&vicar, &good).await, 200);
    assert_eq!(status(&vicar, &unknown).await, 401);
    let fetched = authority.fetches("/jwks");
    publish(&authority, &[&known, &later]);
    assert_eq!(status(&vicar, &unknown).await, 401, "within the cool-down");
    assert_eq!(status(&vicar, &good).await, 200);
    assert_eq!(authority.fetches("/jwks"), fetched);
    vicar.clock.advance(Duration::from_secs(61));
    assert_eq!(status(&vicar, &unknown).await, 200, "after the cool-down");
}

#[tokio::test]
async fn rs13_the_last_good_set_serves_through_an_outage_up_to_the_hard_limit() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let key = Key::new("k");
    publish(&authority, &[&key]);
    let keys = ", keys: { refresh: 1s, stale: 2h }";
    let vicar = vicar(&authority, keys, "", upstream.url());
    let week = claims_with(&json!({ "exp": crate::support::issuer::now() + 7 * 86_400 }));
    let (token, other) =
        (key.token(&week), key.token(&claims_with(&json!({ "exp": week["exp"], "jti": "2" }))));
    assert_eq!(status(&vicar, &token).await, 200);
    for broken in [json!({ "keys": [] }), json!("html"), json!({ "keys": [{ "kty": "RSA" }] })] {
        authority.publish("/jwks", &broken);
        let before = authority.fetches("/jwks");
        eventually("a fetch that brings nothing", || authority.fetches("/jwks") > before + 1).await;
        assert_eq!(status(&vicar, &token).await, 200, "{broken}");
    }
    authority.withdraw("/jwks");
    vicar.clock.advance(Duration::from_secs(3600));
    assert_eq!(status(&vicar, &token).await, 200, "seen before");
    assert_eq!(status(&vicar, &other).await, 200, "not seen before");
    let started = Instant::now();
    loop {
        let status = get(&vicar.admin(), "/status", "").await.json();
        if status["issuers"][0]["failure"] == "authority_answer_unusable" {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    vicar.clock.advance(Duration::from_secs(3700));
    for token in [&token, &other] {
        let reply = get(&vicar.address(), "/", &bearer(token)).await;
        assert_eq!((reply.status, reply.reason().as_str()), (503, "issuer_keys_unavailable"));
    }
    publish(&authority, &[&key]);
    let returned = Instant::now();
    while status(&vicar, &token).await != 200 {
        assert!(returned.elapsed() < Duration::from_secs(2), "back within two seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn rs13_a_removed_key_stops_working_also_for_tokens_seen_before() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let (stays, goes) = (Key::new("stays"), Key::new("goes"));
    publish(&authority, &[&stays, &goes]);
    let vicar = vicar(&authority, ", keys: { refresh: 1s }", "", upstream.url());
    let (kept, removed) = (stays.token(&claims()), goes.token(&claims()));
    assert_eq!((status(&vicar, &kept).await, status(&vicar, &removed).await), (200, 200));
    publish(&authority, &[&stays]);
    let started = Instant::now();
    while status(&vicar, &removed).await == 200 {
        assert!(started.elapsed() < Duration::from_secs(3), "longer than the refresh interval");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((status(&vicar, &kept).await, status(&vicar, &removed).await), (200, 401));
    // The same name with another key is another key.
    let impostor = Key::new("stays");
    publish(&authority, &[&impostor]);
    let started = Instant::now();
    while status(&vicar, &kept).await == 200 {
        assert!(started.elapsed() < Duration::from_secs(3), "longer than the refresh interval");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(&vicar, &impostor.token(&claims())).await, 200);
}

/// Callers that go on calling over connections of their own, each time with the newest token, until
/// told to stop; gives how many calls there were and how many were not answered with 200.
fn load(
    address: &str,
    newest: &Arc<Mutex<String>>,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<(usize, usize)>> {
    (0..8)
        .map(|_| {
            let (address, newest, stop) =
                (address.to_owned(), Arc::clone(newest), Arc::clone(stop));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&address).await.expect("connects");
                let (mut calls, mut failed) = (0, 0);
                while !stop.load(Ordering::SeqCst) {
                    let token = newest.lock().unwrap().clone();
                    let request = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", bearer(&token));
                    calls += 1;
                    let refused = exchange(&mut stream, &request).await.status != 200;
                    // One that was replaced while it was on its way has no published key any more.
                    let is_newest = *newest.lock().unwrap() == token;
                    failed += usize::from(refused && is_newest);
                }
                (calls, failed)
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_fails_no_request_whose_key_is_published() {
    for overlap in [true, false] {
        let (authority, upstream) = (Authority::start().await, Upstream::start().await);
        let keys: Vec<Key> = (0..4).map(|number| Key::new(&format!("k{number}"))).collect();
        publish(&authority, &[&keys[0]]);
        let settings = ", keys: { refresh: 1s, cool_down: 1s }";
        let vicar = vicar(&authority, settings, "", upstream.url());
        let first = keys[0].token(&claims());
        assert_eq!(status(&vicar, &first).await, 200);
        let newest = Arc::new(Mutex::new(first));
        let stop = Arc::new(AtomicBool::new(false));
        let callers = load(&vicar.address(), &newest, &stop);
        for pair in keys.windows(2) {
            tokio::time::sleep(Duration::from_millis(1300)).await;
            if overlap {
                publish(&authority, &[&pair[0], &pair[1]]);
                *newest.lock().unwrap() = pair[1].token(&claims());
                tokio::time::sleep(Duration::from_millis(300)).await;
                publish(&authority, &[&pair[1]]);
            } else {
                // Both at once: no caller may show the old token after its key has gone.
                let mut newest = newest.lock().unwrap();
                publish(&authority, &[&pair[1]]);
                *newest = pair[1].token(&claims());
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.store(true, Ordering::SeqCst);
        let (mut calls, mut failed) = (0, 0);
        for caller in callers {
            let (made, wrong) = caller.await.unwrap();
            calls += made;
            failed += wrong;
        }
        assert!(calls > 500, "{calls} calls are no load");
        assert_eq!(failed, 0, "of {calls}, overlap: {overlap}");
    }
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_changes() {
    let (authority, upstream, pki) =
        (Authority::start().await, Upstream::start().await, Pki::new());
    let (old, new) = (Key::new("old"), Key::new("new"));
    let file = pki.path("jwks.json");
    let write = |key: &Key| {
        std::fs::write(pki.path("next"), json!({ "keys": [key.jwk()] }).to_string()).unwrap();
        std::fs::rename(pki.path("next"), &file).unwrap();
    };
    write(&old);
    let yaml = issuer_yaml(&authority, ", keys: { cool_down: 1s }");
    let yaml =
        yaml.replace(&format!("uri: '{}/jwks'", authority.url()), &format!("file: '{file}'"));
    let vicar = Vicar::start(&format!(
        "{yaml}routes:\n  - {{ name: r, listener: l, token: strip, authenticate: {{ issuers: [i] }}, \
         upstream: '{}' }}\n",
        upstream.url()
    ));
    assert_eq!(status(&vicar, &old.token(&claims())).await, 200);
    write(&new);
    assert_eq!(status(&vicar, &new.token(&claims())).await, 200);
    assert_eq!(status(&vicar, &old.token(&claims())).await, 401);
    std::fs::write(&file, "{\"keys\":[").unwrap();
    vicar.clock.advance(Duration::from_secs(2));
    assert_eq!(status(&vicar, &old.token(&claims())).await, 401, "half a file");
    assert_eq!(status(&vicar, &new.token(&claims())).await, 200, "the last good set");
}

#[tokio::test]
async fn discovery_finds_the_keys_and_believes_only_its_own_issuer() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let key = Key::new("k");
    publish(&authority, &[&key]);
    let url = authority.url().to_owned();
    let token = key.token(&claims_with(&json!({ "iss": url })));
    for (issuer, jwks_uri, expected) in [
        (url.as_str(), format!("{url}/jwks"), 200),
        ("https://evil.test", format!("{url}/jwks"), 503),
        (&url, "http://issuer.test/jwks".to_owned(), 503),
        (&url, "file:///etc/passwd".to_owned(), 503),
    ] {
        let document = json!({ "issuer": issuer, "jwks_uri": jwks_uri });
        authority.publish("/.well-known/openid-configuration", &document);
        let yaml = issuer_yaml(&authority, "");
        let at = yaml.find("jwks: {").expect("the issuer");
        let yaml =
            format!("{}oidc: {{ issuer: '{url}' }}, audiences: ['api://orders'] }}\n", &yaml[..at]);
        let vicar = Vicar::start(&format!(
            "{yaml}routes:\n  - {{ name: r, listener: l, token: strip, authenticate: {{ issuers: [i] \
             }}, upstream: '{}' }}\n",
            upstream.url()
        ));
        assert_eq!(status(&vicar, &token).await, expected, "{document}");
    }
}

#[tokio::test]
async fn keys_that_moved_are_found_again() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let (old, new) = (Key::new("old"), Key::new("new"));
    let url = authority.url().to_owned();
    let place = |path: &str| {
        let document = json!({ "issuer": url, "jwks_uri": format!("{url}{path}") });
        authority.publish("/.well-known/openid-configuration", &document);
    };
    place("/jwks");
    publish(&authority, &[&old]);
    let yaml = issuer_yaml(&authority, "");
    let at = yaml.find("jwks: {").expect("the issuer");
    let vicar = Vicar::start(&format!(
        "{}oidc: {{ issuer: '{url}' }}, audiences: ['api://orders'], keys: {{ refresh: 1s }} }}\n\
         routes:\n  - {{ name: r, listener: l, token: strip, authenticate: {{ issuers: [i] }}, \
         upstream: '{}' }}\n",
        &yaml[..at],
        upstream.url()
    ));
    let token = |key: &Key| key.token(&claims_with(&json!({ "iss": url })));
    assert_eq!(status(&vicar, &token(&old)).await, 200);
    authority.publish("/elsewhere", &json!({ "keys": [new.jwk()] }));
    authority.withdraw("/jwks");
    place("/elsewhere");
    let moved = Instant::now();
    while status(&vicar, &token(&new)).await != 200 {
        assert!(moved.elapsed() < Duration::from_secs(5), "the metadata were not read again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(&vicar, &token(&old)).await, 401);
}

#[tokio::test]
async fn rs14_what_was_verified_costs_nothing_again_and_never_outlives_the_token() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let key = Key::new("k");
    publish(&authority, &[&key]);
    let vicar = vicar(&authority, ", keys: { stale: 24h }", "", upstream.url());
    let token = key.token(&claims());
    let lookups = |metrics: &str, result: &str| {
        let name = format!("vicar_verified_token_lookups_total{{result=\"{result}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).map(str::to_owned);
        line.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    for _ in 0..10 {
        assert_eq!(status(&vicar, &token).await, 200);
    }
    let metrics = get(&vicar.admin(), "/metrics", "").await.body;
    assert_eq!((lookups(&metrics, "hit"), lookups(&metrics, "miss")), (9, 1));
    // One bit more is another token.
    let mut other = token.clone();
    let last = other.pop().expect("a signature");
    other.push(if last == 'A' { 'B' } else { 'A' });
    assert_eq!(status(&vicar, &other).await, 401);
    vicar.clock.advance(Duration::from_secs(3600 + 30));
    assert_eq!(status(&vicar, &token).await, 200, "within the skew");
    vicar.clock.advance(Duration::from_secs(31));
    let reply = get(&vicar.address(), "/", &bearer(&token)).await;
    assert_eq!((reply.status, reply.reason().as_str()), (401, "token_expired"));
}
