//! Modes: optional, exempt, report only; and how the upstream learns who is calling.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::authority::Authority;
use crate::support::client::{get, send};
use crate::support::issuer::{Key, bearer, claims, claims_with, issuer_yaml, now, publish, vicar};
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

#[tokio::test]
async fn optional_lets_nobody_in_particular_pass_but_no_bad_token() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let rules = ", mode: optional, scopes: [a], claims_to_headers: { X-User: sub }";
    let vicar = vicar(&authority, "", rules, upstream.url());
    let good = key.token(&claims_with(&json!({ "scope": "a" })));
    for (headers, status) in [
        (String::new(), 200),
        (bearer(&good), 200),
        (bearer(&key.token(&claims())), 403),
        (bearer(&format!("{good}x")), 401),
        (bearer("opaque"), 401),
        ("authorization: Basic dTpw\r\n".to_owned(), 401),
        ("authorization: Bearer\r\n".to_owned(), 401),
    ] {
        let headers = format!("{headers}x-user: forged\r\n");
        assert_eq!(get(&vicar.address(), "/", &headers).await.status, status, "{headers}");
    }
    let users: Vec<_> = upstream.seen().iter().map(|seen| seen.values("x-user")).collect();
    assert_eq!(users, [Vec::<String>::new(), vec!["user-1".to_owned()]]);
}

/// A route that attaches our own token for verified callers, with exempt paths.
fn exempting(authority: &Authority, upstream: &Upstream) -> Vicar {
    let yaml = issuer_yaml(authority, "");
    Vicar::start(&format!(
        "{yaml}clients:\n  c: {{ authority: {{ {} }}, client_id: me, credential: {{ \
         client_secret_post: {{ danger_inline: s }} }}, warm_up: false }}\nroutes:\n  - {{ name: r, \
         listener: l, token: {{ client_credentials: {{ client: c }} }}, authenticate: {{ issuers: [i], \
         bypass: {{ paths: [/healthz, /public/], preflight: true }}, claims_to_headers: {{ X-User: sub \
         }} }}, upstream: '{}' }}\n",
        authority.token_endpoint(),
        upstream.url()
    ))
}

#[tokio::test]
async fn exempt_paths_are_open_but_no_credential_goes_with_them() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let vicar = exempting(&authority, &upstream);
    let forged = "authorization: Bearer x\r\nx-user: root\r\nx_user: root\r\n";
    for path in
        ["/healthz", "/public", "/public/a", "/public/a?x=/api", "/health%7A", "/public/%61"]
    {
        assert_eq!(get(&vicar.address(), path, forged).await.status, 200, "{path}");
        let seen = upstream.last();
        for name in ["authorization", "x-user", "x_user"] {
            assert!(seen.values(name).is_empty(), "{path} {name}");
        }
    }
    assert_eq!(authority.count(), 0, "no token was fetched for anybody");
    for path in [
        "/",
        "/healthz/",
        "/healthz2",
        "/publicity",
        "/api?/healthz",
        "/api;/healthz",
        "/public/../api",
        "/public/%2e%2e/api",
        "/public/..%2fapi",
        "//healthz",
        "/HEALTHZ",
    ] {
        let reply =
            get(&vicar.address(), path, "x-original-uri: /healthz\r\nuser-agent: kube-probe/1\r\n")
                .await;
        assert!([400, 401].contains(&reply.status), "{path} {}", reply.status);
    }
    let token = key.token(&claims());
    assert_eq!(get(&vicar.address(), "/api", &bearer(&token)).await.status, 200);
    assert_eq!((upstream.last().bearer().as_str(), authority.count()), ("token-1", 1));
}

#[tokio::test]
async fn only_a_real_preflight_is_exempt() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let open = exempting(&authority, &upstream);
    let closed = vicar(&authority, "", "", upstream.url());
    let preflight = "origin: https://spa.test\r\naccess-control-request-method: POST\r\n";
    for (method, headers, status) in [
        ("OPTIONS", preflight, 200),
        ("OPTIONS", "origin: https://spa.test\r\n", 401),
        ("OPTIONS", "access-control-request-method: POST\r\n", 401),
        ("GET", preflight, 401),
        ("OPTIONS", &format!("{preflight}authorization: Bearer x\r\n"), 401),
    ] {
        let request =
            format!("{method} /api HTTP/1.1\r\nhost: h\r\n{headers}connection: close\r\n\r\n");
        assert_eq!(send(&open.address(), &request).await.status, status, "{request}");
        assert_eq!(send(&closed.address(), &request).await.status, 401, "{request}");
    }
    assert!(upstream.last().values("authorization").is_empty());
}

/// Today and some days, as the configuration writes dates.
fn date(days: u64) -> String {
    let days = i64::try_from(now() / 86_400 + days).expect("a date");
    // Civil date of a day count (proleptic Gregorian), by stepping through years and months.
    let (mut year, mut left) = (1970, days);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while left >= if leap(year) { 366 } else { 365 } {
        left -= if leap(year) { 366 } else { 365 };
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

#[tokio::test]
async fn report_only_forwards_counts_and_ends() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let rules = format!(
        ", scopes: [a], report_only: {{ until: {} }}, claims_to_headers: {{ X-User: sub }}",
        date(1)
    );
    let vicar = vicar(&authority, "", &rules, upstream.url());
    let good = key.token(&claims_with(&json!({ "scope": "a" })));
    let refused = [String::new(), bearer("x"), bearer(&key.token(&claims()))];
    for headers in &refused {
        let reply = get(&vicar.address(), "/", &format!("{headers}x-user: forged\r\n")).await;
        assert_eq!(reply.status, 200, "{headers}");
        assert!(upstream.last().values("x-user").is_empty(), "nobody is known");
    }
    assert_eq!(get(&vicar.address(), "/", &bearer(&good)).await.status, 200);
    assert_eq!(upstream.last().values("x-user"), ["user-1"]);
    let metrics = get(&vicar.admin(), "/metrics", "").await.body;
    for (outcome, count) in [("reported", 3), ("accepted", 1)] {
        let line =
            format!("vicar_authentications_total{{outcome=\"{outcome}\",route=\"r\"}} {count}");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    // What has two readings is no rehearsal.
    let two = "authorization: Bearer a\r\nauthorization: Bearer b\r\n";
    assert_eq!(get(&vicar.address(), "/", two).await.status, 400);
    vicar.clock.advance(Duration::from_secs(2 * 86_400));
    assert_eq!(get(&vicar.address(), "/", "").await.status, 401);
}

#[tokio::test]
async fn claims_become_headers_that_nobody_else_can_write() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let route = |name: &str, extra: &str| {
        format!(
            "  - {{ name: {name}, listener: l, match: {{ path: /{name} }}, token: strip {extra}, \
             upstream: '{}' }}\n",
            upstream.url()
        )
    };
    let headers_yaml = ", authenticate: { issuers: [i], claims_to_headers: { X-User-Id: sub, X-Roles: \
                   roles, X-Email: email }, claims_header: X-Claims }";
    let vicar = Vicar::start(&format!(
        "{}routes:\n{}{}",
        issuer_yaml(&authority, ""),
        route("api", headers_yaml),
        route("other", "")
    ));
    let claims = claims_with(&json!({ "roles": ["a,b", "c"], "name": "Zo\u{eb}\r\nX-Admin: 1" }));
    let forged = "x-user-id: root\r\nX-USER-ID: root\r\nx_user_id: root\r\nX-User_Id: root\r\n\
                  x-roles: root\r\nx-email: root@h\r\nx_email: root@h\r\nx-claims: e30\r\n\
                  connection: x-user-id, x-claims\r\nx-user-identity: stays\r\n";
    let headers = format!("{}{forged}", bearer(&key.token(&claims)));
    assert_eq!(get(&vicar.address(), "/api", &headers).await.status, 200);
    let seen = upstream.last();
    assert_eq!(seen.values("x-user-id"), ["user-1"]);
    assert_eq!(seen.values("x-roles"), ["a%2Cb,c"]);
    assert_eq!(seen.values("x-user-identity"), ["stays"]);
    for name in ["x-email", "x_email", "x_user_id", "x-user_id"] {
        assert!(seen.values(name).is_empty(), "{name}");
    }
    let all = URL_SAFE_NO_PAD.decode(&seen.values("x-claims")[0]).expect("base64url");
    assert_eq!(serde_json::from_slice::<Value>(&all).expect("JSON"), claims);
    // Also on the listener's routes that know nobody, since they may lead to the same upstream.
    get(&vicar.address(), "/other", forged).await;
    let seen = upstream.last();
    for name in ["x-user-id", "x_user_id", "x-roles", "x-email", "x-claims"] {
        assert!(seen.values(name).is_empty(), "{name}");
    }
    // Nor through another listener that leads to the same upstream.
    let listeners = "listeners:\n  m: { address: '127.0.0.1:0' }\n";
    let side = route("side", "").replace("listener: l", "listener: m");
    let beside = Vicar::start(&format!(
        "{}routes:\n{}{side}",
        issuer_yaml(&authority, "").replace("listeners:\n", listeners),
        route("api", headers_yaml),
    ));
    get(&beside.listener("m"), "/side", forged).await;
    assert!(upstream.last().values("x-user-id").is_empty());
    assert!(upstream.last().values("x_user_id").is_empty());
    // And in trailers.
    let chunked = format!(
        "POST /api HTTP/1.1\r\nhost: h\r\n{}transfer-encoding: chunked\r\ntrailer: x-user-id, x_roles, x-sum\r\n\
         connection: close\r\n\r\n1\r\na\r\n0\r\nx-user-id: root\r\nx_roles: root\r\nx-sum: 1\r\n\r\n",
        bearer(&key.token(&claims))
    );
    assert_eq!(send(&vicar.address(), &chunked).await.status, 200);
    let trailers = upstream.last().trailers.expect("trailers");
    let names: Vec<_> = trailers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-sum"]);
}

#[tokio::test]
async fn protected_resource_metadata_are_served_and_named() {
    let (authority, upstream, key) =
        (Authority::start().await, Upstream::start().await, Key::new("k"));
    publish(&authority, &[&key]);
    let yaml = issuer_yaml(&authority, "").replace(
        "l: { address: '127.0.0.1:0' }",
        "l: { address: '127.0.0.1:0', resource: 'https://api.test/orders' }",
    );
    let vicar = Vicar::start(&format!(
        "{yaml}routes:\n  - {{ name: r, listener: l, token: strip, authenticate: {{ issuers: [i], \
         scopes: [a], any_scope: [b] }}, upstream: '{}' }}\n",
        upstream.url()
    ));
    let path = "/.well-known/oauth-protected-resource/orders";
    let reply = get(&vicar.address(), "/", "").await;
    let expected = format!("Bearer resource_metadata=\"https://api.test{path}\"");
    assert_eq!(reply.header("www-authenticate"), Some(expected.as_str()));
    let metadata = get(&vicar.address(), path, "").await;
    assert_eq!((metadata.status, metadata.header("content-type")), (200, Some("application/json")));
    let document = metadata.json();
    assert_eq!(document["resource"], "https://api.test/orders");
    assert_eq!(document["authorization_servers"], json!(["https://issuer.test/"]));
    assert_eq!(document["scopes_supported"], json!(["a", "b"]));
    for other in ["/.well-known/oauth-protected-resource", &format!("{path}/"), &format!("{path}x")]
    {
        assert_eq!(get(&vicar.address(), other, "").await.status, 401, "{other}");
    }
    assert!(upstream.seen().is_empty());
}
