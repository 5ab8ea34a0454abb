//! The application cache: one fetch however many wait, renewal ahead of time, and what survives what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::authority::{Answer, Authority};
use crate::support::client::get;
use crate::support::eventually;
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

const MINUTE: Duration = Duration::from_secs(60);

/// An authority, an upstream, and Vicar between them.
async fn scene() -> (Authority, Upstream, Arc<Vicar>) {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let vicar = Vicar::simple(&authority.token_endpoint(), upstream.url());
    (authority, upstream, Arc::new(vicar))
}

/// Makes so many calls at once and gives back their statuses.
async fn calls(vicar: &Arc<Vicar>, count: usize) -> Vec<u16> {
    let calls = (0..count).map(|_| {
        let address = vicar.address();
        tokio::spawn(async move { get(&address, "/", "").await.status })
    });
    let mut statuses = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        statuses.push(call.await.expect("a call"));
    }
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_first_requests_make_one_token_request() {
    let (authority, upstream, vicar) = scene().await;
    authority.then([Answer::token("shared", 3600).after(Duration::from_millis(300))]);
    let statuses = calls(&vicar, 1000).await;
    assert_eq!(statuses, vec![200; 1000]);
    assert_eq!(authority.count(), 1);
    assert!(upstream.seen().iter().all(|seen| seen.bearer() == "shared"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_caller_leaving_does_not_cancel_the_fetch_others_wait_for() {
    let (authority, _upstream, vicar) = scene().await;
    authority.then([Answer::token("shared", 3600).after(Duration::from_millis(500))]);
    let mut first = TcpStream::connect(vicar.address()).await.expect("connects");
    first.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sends");
    eventually("the first caller's fetch", || authority.count() == 1).await;
    let others = tokio::spawn({
        let vicar = Arc::clone(&vicar);
        async move { calls(&vicar, 999).await }
    });
    drop(first);
    assert_eq!(others.await.expect("calls"), vec![200; 999]);
    assert_eq!(authority.count(), 1);
}

#[tokio::test]
async fn two_routes_that_need_the_same_token_share_it_and_others_do_not() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let route = |name: &str, extra: &str| {
        format!(
            "- {{ name: {name}, listener: l, match: {{ path: /{name} }}, token: \
             {{ client_credentials: {{ client: c, {extra} }} }}, upstream: '{}' }}\n",
            upstream.url()
        )
    };
    let routes = [
        route("one", "scopes: [a, b]"),
        route("same", "scopes: [b, a]"),
        route("fewer", "scopes: [a]"),
        route("aud", "scopes: [a, b], audience: x"),
        route("par", "scopes: [a, b], parameters: { x: y }"),
    ];
    let vicar = Vicar::with_client(&authority.token_endpoint(), &routes.concat());
    let mut tokens = Vec::new();
    for path in ["/one", "/same", "/fewer", "/aud", "/par", "/one"] {
        assert_eq!(get(&vicar.address(), path, "").await.status, 200);
        tokens.push(upstream.last().bearer());
    }
    assert_eq!(tokens, ["token-1", "token-1", "token-2", "token-3", "token-4", "token-1"]);
}

#[tokio::test]
async fn a_token_is_renewed_in_the_background_before_it_expires() {
    let (authority, upstream, vicar) = scene().await;
    assert_eq!(calls(&vicar, 1).await, [200]);
    vicar.clock.advance(MINUTE * 40);
    assert_eq!(calls(&vicar, 1).await, [200]);
    assert_eq!(authority.count(), 1, "not due yet");
    // Due at 80 % of an hour; the call that notices is served the old token at once.
    vicar.clock.advance(MINUTE * 9);
    authority.then([Answer::token("renewed", 3600).after(Duration::from_millis(200))]);
    assert_eq!(calls(&vicar, 50).await, [200; 50]);
    assert_eq!(upstream.last().bearer(), "token-1");
    eventually("the renewed token in use", || authority.count() == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(calls(&vicar, 1).await, [200]);
    assert_eq!(upstream.last().bearer(), "renewed");
    assert_eq!(authority.count(), 2, "renewed once, however many noticed");
}

#[tokio::test]
async fn refresh_in_of_the_authority_is_heeded() {
    let (authority, upstream, vicar) = scene().await;
    let body =
        r#"{"access_token":"a","token_type":"Bearer","expires_in":86399,"refresh_in":43199}"#;
    authority.then([Answer::json(200, body)]);
    calls(&vicar, 1).await;
    vicar.clock.advance(Duration::from_secs(42_800));
    calls(&vicar, 1).await;
    assert_eq!(authority.count(), 1, "earlier by five minutes at most");
    vicar.clock.advance(Duration::from_secs(400));
    calls(&vicar, 1).await;
    eventually("the renewal", || authority.count() == 2).await;
    assert_eq!(upstream.seen()[2].bearer(), "a");
}

#[tokio::test]
async fn a_valid_token_survives_every_failure_and_an_expired_one_is_never_sent() {
    for failure in [
        Answer::json(500, "{}"),
        Answer::json(401, r#"{"error":"invalid_client"}"#),
        Answer::json(429, "{}").header("retry-after", "10"),
        Answer::json(200, "<html>"),
        Answer::json(200, r#"{"access_token":"x","token_type":"mac"}"#),
    ] {
        let (authority, upstream, vicar) = scene().await;
        calls(&vicar, 1).await;
        authority.always(Some(failure));
        // Due, then within the safety margin of the expiry: still good.
        for minutes in [50, 9] {
            vicar.clock.advance(MINUTE * minutes);
            assert_eq!(calls(&vicar, 3).await, [200; 3]);
        }
        vicar.clock.advance(Duration::from_secs(45));
        assert_eq!(calls(&vicar, 3).await, [200; 3]);
        assert!(upstream.seen().iter().all(|seen| seen.bearer() == "token-1"));
        let sent = upstream.seen().len();
        vicar.clock.advance(Duration::from_secs(15));
        assert!(calls(&vicar, 3).await.iter().all(|status| *status == 503 || *status == 502));
        assert_eq!(upstream.seen().len(), sent, "an expired token was sent");
    }
}

#[tokio::test]
async fn a_token_without_lifetime_serves_those_who_waited_and_nobody_else() {
    let (authority, upstream, vicar) = scene().await;
    authority.always(Some(Answer::token("once", 0).after(Duration::from_millis(200))));
    assert_eq!(calls(&vicar, 20).await, [200; 20]);
    assert_eq!(authority.count(), 1);
    assert_eq!(calls(&vicar, 1).await, [200]);
    assert_eq!((authority.count(), upstream.seen().len()), (2, 21));
}

#[tokio::test]
async fn failures_are_remembered_so_that_a_broken_authority_is_not_hammered() {
    let (authority, upstream, vicar) = scene().await;
    authority.always(Some(Answer::json(500, "{}")));
    let started = Instant::now();
    let mut requests = 0;
    while started.elapsed() < Duration::from_secs(3) {
        assert!(calls(&vicar, 20).await.iter().all(|status| *status == 503));
        requests += 20;
    }
    assert!(requests > 100, "most calls are answered from memory");
    assert!(authority.count() <= 12, "{} token requests in three seconds", authority.count());
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn recovers_within_two_seconds_of_the_authoritys_return() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let (address, endpoint) = (authority.url()[7..].to_owned(), authority.token_endpoint());
    drop(authority);
    let yaml = crate::support::vicar::yaml(
        &endpoint,
        "client_secret_post: { danger_inline: s }",
        &format!("- {{ {}, upstream: '{}' }}", crate::support::vicar::TOKEN_ROUTE, upstream.url()),
    );
    // Fetches at start, as by default.
    let vicar = Vicar::start(&yaml.replace("warm_up: false", "warm_up: true"));
    let reply = get(&vicar.address(), "/", "").await;
    assert_eq!((reply.status, reply.reason().as_str()), (503, "authority_unreachable"));
    assert!(reply.header("retry-after").is_some());
    let ready = get(&vicar.admin(), "/readyz", "").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["waiting_for"][0], "first token of client c");
    assert_eq!(ready.json()["failing"][0]["failure"], "authority_unreachable");
    tokio::time::sleep(Duration::from_secs(3)).await;

    let _authority = Authority::start_on(&address).await;
    let returned = Instant::now();
    // Nobody calls: it recovers by itself.
    while get(&vicar.admin(), "/readyz", "").await.status != 200 {
        assert!(returned.elapsed() < Duration::from_secs(2), "not back within two seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(get(&vicar.address(), "/", "").await.status, 200);
}

#[tokio::test]
async fn a_life_counts_from_the_request_because_the_authority_may_take_its_time() {
    let (authority, upstream, vicar) = scene().await;
    authority.then([Answer::token("slow", 100).after(Duration::from_secs(1))]);
    assert_eq!(calls(&vicar, 1).await, [200]);
    authority.always(Some(Answer::json(500, "{}")));
    vicar.clock.advance(Duration::from_millis(99_200));
    assert_eq!(calls(&vicar, 1).await, [503]);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn near_its_end_a_token_keeps_nobody_waiting_once_renewal_has_failed() {
    let (authority, _upstream, vicar) = scene().await;
    assert_eq!(calls(&vicar, 1).await, [200]);
    authority.always(Some(Answer::json(500, "{}")));
    vicar.clock.advance(MINUTE * 50);
    assert_eq!(calls(&vicar, 1).await, [200]);
    eventually("the renewal to fail", || authority.count() == 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    authority.always(Some(Answer::json(500, "{}").after(Duration::from_secs(4))));
    vicar.clock.advance(Duration::from_secs(575));
    let started = Instant::now();
    assert_eq!(calls(&vicar, 5).await, [200; 5]);
    assert!(started.elapsed() < Duration::from_secs(2), "they waited for a renewal that will fail");
}

#[tokio::test]
async fn clients_that_differ_in_nothing_but_their_trust_do_not_share_a_token() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let client = |name: &str| {
        format!(
            "  {name}:\n    authority: {{ {} }}\n    client_id: me\n    credential: \
             {{ client_secret_post: {{ danger_inline: s }} }}\n    warm_up: false\n",
            authority.token_endpoint()
        )
    };
    let route = |name: &str| {
        format!(
            "  - {{ name: {name}, listener: l, match: {{ path: /{name} }}, token: \
             {{ client_credentials: {{ client: {name} }} }}, upstream: '{}' }}\n",
            upstream.url()
        )
    };
    let vicar = Vicar::start(&format!(
        "admin: {{ address: 'off' }}\nlisteners: {{ l: {{ address: '127.0.0.1:0' }} }}\nclients:\n{}{}\
         routes:\n{}{}",
        client("a"),
        client("b"),
        route("a"),
        route("b"),
    ));
    for (path, token) in [("/a", "token-1"), ("/b", "token-2"), ("/a", "token-1")] {
        assert_eq!(get(&vicar.address(), path, "").await.status, 200);
        assert_eq!(upstream.last().bearer(), token);
    }
}
