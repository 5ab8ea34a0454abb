//! An upstream that does not want our token: when it is renewed, when the request is sent once more, and what
//! the caller sees otherwise. For tokens in Vicar's own name and on behalf of callers alike.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::authority::Answer;
use crate::support::client::{self, Reply, read_head, read_reply};
use crate::support::eventually;
use crate::support::issuer::bearer;
use crate::support::upstream::{Seen, Upstream};
use crate::support::world::{Terms, World, claims_challenge, route};

/// An upstream that refuses these tokens; all of them when there is `*`.
async fn refusing(tokens: &'static [&'static str]) -> Upstream {
    Upstream::answering(move |seen| {
        let refused = tokens.contains(&"*") || tokens.contains(&seen.bearer().as_str());
        if refused { refusal() } else { Response::new(Full::from("ok")) }
    })
    .await
}

/// What it refuses with.
fn refusal() -> Response<Full<Bytes>> {
    let response = Response::builder().status(401).header("x-upstream", "said so");
    let response = response.header("www-authenticate", "Bearer error=\"invalid_token\"");
    response.body(Full::from("not with this")).expect("a response")
}

/// Whether this is the upstream's own refusal, untouched.
fn is_upstreams(reply: &Reply) -> bool {
    reply.status == 401
        && reply.body == "not with this"
        && reply.header("x-upstream") == Some("said so")
        && reply.header("www-authenticate") == Some("Bearer error=\"invalid_token\"")
}

/// A route of either kind to an upstream that refuses these tokens.
async fn world(flow: &str, extra: &str, refused: &'static [&'static str]) -> World {
    World::with_upstream(refusing(refused).await, flow, extra).await
}

/// A header line with the token of a person.
fn person(world: &World) -> String {
    bearer(&world.token_of("alice", &json!({})))
}

#[tokio::test]
async fn a_401_costs_one_renewal_and_one_more_try() {
    for flow in BOTH {
        for (refused, status, sent, asked) in [
            (&[][..], 200, &["token-1"][..], 1),
            (&["token-1"], 200, &["token-1", "token-2"], 2),
            (&["token-1", "token-2"], 401, &["token-1", "token-2"], 2),
            (&["*"], 401, &["token-1", "token-2"], 2),
        ] {
            let what = format!("{flow}, {refused:?} refused");
            let world = world(flow, "", refused).await;
            let reply = world.send("GET", "/", &person(&world), "").await;
            assert_eq!(reply.status, status, "{what}");
            assert_eq!(is_upstreams(&reply), status == 401, "{what}: {reply:?}");
            assert_eq!(world.bearers(), sent, "{what}");
            let forms: Vec<_> =
                world.authority.asked().into_iter().map(|asked| asked.form).collect();
            assert_eq!(forms.len(), asked, "{what}");
            assert!(forms.iter().all(|form| *form == forms[0]), "{what}: asked the same way");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_everything_does_not_make_us_hammer_the_authority() {
    for flow in BOTH {
        for (extra, window) in [("", 30), (", retry: { window: 5s }", 5)] {
            let what = format!("{flow} {extra}");
            let world = world(flow, extra, &["*"]).await;
            let headers = person(&world);
            let mut sent = vec!["token-1", "token-2"];
            let call = || world.send("GET", "/", &headers, "");
            assert!(is_upstreams(&call().await), "{what}");
            for seconds in [0, window - 2] {
                world.vicar.clock.advance(Duration::from_secs(seconds));
                sent.push("token-2");
                assert!(is_upstreams(&call().await), "{what}");
                assert_eq!(world.bearers(), sent, "{what}: within the window");
            }
            assert_eq!(world.authority.count(), 2, "{what}: within the window");
            world.vicar.clock.advance(Duration::from_secs(3));
            sent.extend(["token-2", "token-3"]);
            assert!(is_upstreams(&call().await), "{what}");
            assert_eq!(world.bearers(), sent, "{what}: after the window");
            assert_eq!(world.authority.count(), 3, "{what}: after the window");
        }
    }
}

#[tokio::test]
async fn the_window_of_one_person_is_not_anothers() {
    let world = world(USER, "", &["token-1", "token-3"]).await;
    for user in ["alice", "bob"] {
        assert_eq!(world.call(&world.token_of(user, &json!({}))).await.status, 200, "{user}");
    }
    assert_eq!(world.bearers(), ["token-1", "token-2", "token-3", "token-4"]);
}

#[tokio::test]
async fn a_rejected_token_is_not_handed_out_to_the_next_call() {
    for flow in BOTH {
        let world = world(flow, "", &["token-1"]).await;
        let headers = person(&world);
        for _ in 0..2 {
            assert_eq!(world.send("GET", "/", &headers, "").await.status, 200);
        }
        assert_eq!(world.bearers(), ["token-1", "token-2", "token-2"], "{flow}");
        assert_eq!(world.authority.count(), 2, "{flow}");
    }
}

/// One request over either version of HTTP.
async fn fetch(world: &World, http2: bool, method: &str, headers: &str, body: &str) -> u16 {
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://{}/a/b%20c?x=1&x=2", world.vicar.address()));
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").expect("a field");
        request = request.header(name, value);
    }
    let request = request.body(Full::<Bytes>::from(body.to_owned())).expect("a request");
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let response = client.request(request).await.expect("a response");
    let status = response.status().as_u16();
    response.into_body().collect().await.expect("a whole body");
    status
}

/// What should be the same in both tries.
fn but_for_the_token(seen: &Seen) -> (String, String, http::HeaderMap, Bytes) {
    let mut headers = seen.headers.clone();
    headers.remove("authorization");
    (seen.method.clone(), seen.target.clone(), headers, seen.body.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_try_differs_in_its_token_alone_whatever_is_spoken_on_either_side() {
    for (http2, protocol) in [(false, "http1"), (true, "http1"), (false, "http2"), (true, "http2")]
    {
        for flow in BOTH {
            let what = format!("{flow}, caller over HTTP/2: {http2}, upstream {protocol}");
            let settings = format!("{{ url: UPSTREAM, protocol: {protocol} }}");
            let routes = route(flow, "").replace("'UPSTREAM'", &settings);
            let upstream = refusing(&["token-1"]).await;
            let world = World::start(upstream, Terms::default(), &routes).await;
            let headers = format!("{}x-mine: 1\nx-mine: 2\ncookie: a=b\n", person(&world));
            let body = "a body that is small";
            assert_eq!(fetch(&world, http2, "PUT", &headers, body).await, 200, "{what}");
            assert_eq!(world.bearers(), ["token-1", "token-2"], "{what}");
            let seen = world.upstream.seen();
            assert_eq!(but_for_the_token(&seen[0]), but_for_the_token(&seen[1]), "{what}");
            assert_eq!(seen[1].body, body, "{what}");
            assert_eq!(seen[1].values("x-mine"), ["1", "2"], "{what}");
            assert!(seen[1].target.ends_with("/a/b%20c?x=1&x=2"), "{what}: {}", seen[1].target);
            assert_eq!(seen[1].version == http::Version::HTTP_2, protocol == "http2", "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_401s_at_once_share_one_renewal() {
    for flow in BOTH {
        let world = Arc::new(world(flow, "", &["token-1"]).await);
        let late = Answer::token("token-2", 3600).after(Duration::from_millis(300));
        world.authority.then([Answer::token("token-1", 3600), late]);
        let headers = person(&world);
        let calls = (0..50).map(|_| {
            let (world, headers) = (Arc::clone(&world), headers.clone());
            tokio::spawn(async move { world.send("GET", "/", &headers, "").await.status })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.expect("a call"), 200, "{flow}");
        }
        assert_eq!(world.authority.count(), 2, "{flow}");
    }
}

#[tokio::test]
async fn only_methods_that_may_be_repeated_are_and_the_token_is_renewed_all_the_same() {
    let listed = ", retry: { methods: [POST, GET] }";
    for (extra, method, twice) in [
        ("", "DELETE", true),
        ("", "GET", true),
        ("", "HEAD", true),
        ("", "OPTIONS", true),
        ("", "PUT", true),
        ("", "PATCH", false),
        ("", "POST", false),
        (listed, "POST", true),
        (listed, "PUT", false),
        (", retry: { methods: [] }", "GET", false),
    ] {
        for flow in BOTH {
            let what = format!("{method} {extra} {flow}");
            let world = world(flow, extra, &["token-1"]).await;
            let headers = person(&world);
            let status = fetch(&world, false, method, &headers, "").await;
            assert_eq!(status, if twice { 200 } else { 401 }, "{what}");
            assert_eq!(world.upstream.seen().len(), if twice { 2 } else { 1 }, "{what}");
            eventually(&what, || world.authority.count() == 2).await;
            next_call_has(&world, &headers, "token-2", &what).await;
            assert_eq!(world.authority.count(), 2, "{what}");
        }
    }
}

/// Calls until the renewal that is on its way has ended, and then holds the token against this one.
async fn next_call_has(world: &World, headers: &str, token: &str, what: &str) {
    for _ in 0..200 {
        world.send("GET", "/", headers, "").await;
        if world.upstream.last().bearer() == token {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: {token} does not come into use: {:?}", world.bearers());
}

#[tokio::test]
async fn a_body_is_sent_again_up_to_the_limit_and_not_a_byte_beyond() {
    let chunks = |sizes: &[usize], end: &str| {
        let chunk = |size: &usize| format!("{size:x}\r\n{}\r\n", "x".repeat(*size));
        format!("{}0\r\n{end}\r\n", sizes.iter().map(chunk).collect::<String>())
    };
    let length = |size: usize| ("", size.to_string(), "x".repeat(size));
    let chunked =
        |sizes: &[usize], end| ("transfer-encoding: chunked", String::new(), chunks(sizes, end));
    for (limit, (framing, length, body), twice) in [
        ("64", length(63), true),
        ("64", length(64), true),
        ("64", length(65), false),
        ("64", length(10_000), false),
        ("64", chunked(&[], ""), true),
        ("64", chunked(&[64], ""), true),
        ("64", chunked(&[63, 1], ""), true),
        ("64", chunked(&[64, 1], ""), false),
        ("64", chunked(&[65], ""), false),
        ("64", chunked(&[30, 30, 30], ""), false),
        ("64", chunked(&[2], "x-sum: 7\r\n"), false),
        ("0", length(0), true),
        ("0", length(1), false),
        ("0", chunked(&[1], ""), false),
        ("16KiB", length(16 * 1024), true),
        ("16KiB", length(16 * 1024 + 1), false),
    ] {
        for flow in BOTH {
            let what = format!("{} bytes {framing} with limit {limit}, {flow}", body.len());
            let world = world(flow, &format!(", retry: {{ body: {limit} }}"), &["token-1"]).await;
            let framing = match length.as_str() {
                "" => format!("{framing}\r\nte: trailers\r\n"),
                length => format!("content-length: {length}\r\n"),
            };
            let head = format!("PUT / HTTP/1.1\r\nhost: h\r\n{}{framing}", person(&world));
            let request = format!("{head}connection: close\r\n\r\n{body}");
            let reply = client::send(&world.vicar.address(), &request).await;
            let status = if twice { 200 } else { 401 };
            assert_eq!(reply.status, status, "{what}: {reply:?}");
            let seen = world.upstream.seen();
            assert_eq!(seen.len(), if twice { 2 } else { 1 }, "{what}");
            let sent = body.matches('x').count() - body.matches("x-").count();
            assert!(seen.iter().all(|seen| seen.body == "x".repeat(sent)), "{what}");
        }
    }
}

/// A world whose upstream is this listener.
async fn before(listener: &TcpListener, flow: &str, extra: &str) -> World {
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let routes = route(flow, extra).replace("UPSTREAM", &url);
    World::start(Upstream::start().await, Terms::default(), &routes).await
}

#[tokio::test]
async fn a_401_before_the_end_of_the_upload_is_relayed_at_once() {
    let small = "content-length: 10\r\n\r\nhalf-";
    let large = "content-length: 1000000\r\n\r\nhalf-";
    let unknown = "transfer-encoding: chunked\r\n\r\n5\r\nhalf-\r\n";
    for (upload, flow) in [small, large, unknown].into_iter().flat_map(|u| BOTH.map(|f| (u, f))) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let world = before(&listener, flow, "").await;
        let mut caller = TcpStream::connect(world.vicar.address()).await.expect("connects");
        let head = format!("PUT / HTTP/1.1\r\nhost: h\r\n{}{upload}", person(&world));
        caller.write_all(head.as_bytes()).await.expect("sends");
        let (mut upstream, _) = listener.accept().await.expect("a connection");
        read_head(&mut upstream).await;
        read_until(&mut upstream, b"half-").await;
        let no = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
        upstream.write_all(no).await.expect("answers");
        // The rest is never sent, and nobody waits for it.
        let reply = tokio::time::timeout(PATIENCE, read_reply(&mut caller)).await;
        let reply = reply.unwrap_or_else(|_| panic!("{upload} {flow}: not relayed"));
        assert_eq!((reply.status, reply.body.as_str()), (401, "no"), "{upload} {flow}");
        eventually("the renewal", || world.authority.count() == 2).await;
        let again = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(again.is_err(), "{upload} {flow}: sent once more");
    }
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        read.push(stream.read_u8().await.expect("the upload"));
    }
}

#[tokio::test]
async fn a_401_that_nobody_waits_for_is_relayed_before_the_renewal_ends() {
    for flow in BOTH {
        let world = world(flow, "", &["token-1"]).await;
        let late = Answer::token("token-2", 3600).after(PATIENCE * 2);
        world.authority.then([Answer::token("token-1", 3600), late]);
        let headers = person(&world);
        let reply = tokio::time::timeout(PATIENCE, world.send("POST", "/", &headers, "x")).await;
        assert!(is_upstreams(&reply.expect("at once")), "{flow}");
        eventually("the renewal", || world.authority.count() == 2).await;
    }
}

#[tokio::test]
async fn without_retry_on_a_401_is_an_answer_like_others() {
    for flow in BOTH {
        let world = world(flow, ", retry_on: []", &["*"]).await;
        let headers = person(&world);
        for calls in 1..=2 {
            let reply = world.send("GET", "/", &headers, "").await;
            assert!(is_upstreams(&reply), "{flow}: {reply:?}");
            assert_eq!(world.bearers(), vec!["token-1"; calls], "{flow}");
        }
        assert_eq!(world.authority.count(), 1, "{flow}");
    }
}

#[tokio::test]
async fn other_statuses_are_not_about_the_token() {
    for status in [400, 403, 407, 500, 503] {
        for flow in BOTH {
            let upstream = Upstream::answering(move |_| {
                let response = Response::builder().status(status);
                response
                    .header("www-authenticate", claims_challenge(WANTED))
                    .body(Full::default())
                    .unwrap()
            });
            let world = World::with_upstream(upstream.await, flow, "").await;
            let reply = world.send("GET", "/", &person(&world), "").await;
            assert_eq!(reply.status, status, "{flow}");
            assert_eq!((world.upstream.seen().len(), world.authority.count()), (1, 1), "{flow}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_ours_is_not_ours_to_renew() {
    for token in ["passthrough", "strip"] {
        let upstream = Upstream::answering(|_| {
            let response = Response::builder().status(401);
            response
                .header("www-authenticate", claims_challenge(WANTED))
                .body(Full::default())
                .unwrap()
        });
        let routes = route("TOKEN", "").replace("{ TOKEN }", token);
        let world = World::start(upstream.await, Terms::default(), &routes).await;
        let reply = world.send("GET", "/", &person(&world), "").await;
        assert_eq!(reply.status, 401, "{token}");
        // It is between the caller and the upstream.
        let told = reply.header("www-authenticate");
        assert_eq!(told, Some(claims_challenge(WANTED).as_str()), "{token}");
        assert_eq!((world.upstream.seen().len(), world.authority.count()), (1, 0), "{token}");
    }
}

#[tokio::test]
async fn an_upgrade_is_never_tried_twice_but_its_token_is_renewed() {
    for flow in BOTH {
        let world = world(flow, "", &["token-1"]).await;
        let headers = person(&world);
        let request = format!(
            "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{headers}\r\n"
        );
        let reply = client::send(&world.vicar.address(), &request).await;
        assert!(is_upstreams(&reply), "{flow}: {reply:?}");
        assert_eq!(world.bearers(), ["token-1"], "{flow}");
        assert_eq!(world.upstream.last().values("upgrade"), ["websocket"], "{flow}");
        eventually("the renewal", || world.authority.count() == 2).await;
        next_call_has(&world, &headers, "token-2", flow).await;
    }
}

#[tokio::test]
async fn when_the_renewal_fails_the_401_is_relayed_and_others_keep_their_token() {
    for (what, answers) in [
        ("500", vec![Answer::json(500, "{}"), Answer::json(500, "{}")]),
        ("429", vec![Answer::json(429, "{}")]),
        ("ours", vec![Answer::json(400, r#"{"error":"invalid_scope"}"#)]),
        ("client", vec![Answer::json(401, r#"{"error":"invalid_client"}"#)]),
    ] {
        for flow in BOTH {
            let what = format!("{what}, {flow}");
            let upstream = Upstream::answering(|seen| match seen.target.as_str() {
                "/picky" => refusal(),
                _ => Response::new(Full::from("ok")),
            });
            let world = World::with_upstream(upstream.await, flow, "").await;
            let (headers, tries) = (person(&world), answers.len());
            assert_eq!(world.send("GET", "/", &headers, "").await.status, 200, "{what}");
            world.authority.then(answers.clone());
            let reply = world.send("GET", "/picky", &headers, "").await;
            assert!(is_upstreams(&reply), "{what}: {reply:?}");
            assert_eq!(world.send("GET", "/", &headers, "").await.status, 200, "{what}");
            assert_eq!(world.bearers(), ["token-1"; 3], "{what}");
            assert_eq!(world.authority.count(), 1 + tries, "{what}");
        }
    }
}

const APPLICATION: &str = "client_credentials: { client: c, scopes: [s] }";
const USER: &str = "on_behalf_of: { client: c, scopes: [s] }";
const BOTH: [&str; 2] = [APPLICATION, USER];
const WANTED: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
const PATIENCE: Duration = Duration::from_secs(3);
