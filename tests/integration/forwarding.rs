//! What of a request reaches the upstream, and what of its answer comes back.

use http::{Response, Version};
use http_body_util::Full;
use serde_json::json;

use crate::support::client::{get, send};
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

fn route(extra: &str, upstream: &str) -> String {
    format!("- {{ name: r, listener: l, token: strip, {extra} upstream: '{upstream}' }}")
}

#[tokio::test]
async fn connection_fields_stay_on_their_connection_in_both_directions() {
    let upstream = Upstream::answering(|_| {
        let response = Response::builder().header("connection", "x-theirs").header("x-theirs", "1");
        let response = response.header("keep-alive", "timeout=5").header("x-end", "1");
        response.header("proxy-authenticate", "Basic").body(Full::from("ok")).expect("a response")
    })
    .await;
    let vicar = Vicar::without_client(&route("", upstream.url()));
    let headers = "connection: keep-alive, X-Hop\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\nte: gzip\r\n\
                   proxy-connection: keep-alive\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\
                   x-kept: 1\r\ncookie: a=b\r\n";
    let reply = get(&vicar.address(), "/", headers).await;
    let seen = upstream.last();
    for name in ["x-hop", "keep-alive", "te", "proxy-connection", "upgrade", "http2-settings"] {
        assert!(seen.values(name).is_empty(), "{name} crossed");
    }
    assert_eq!(seen.values("x-kept"), ["1"]);
    assert_eq!(seen.values("cookie"), ["a=b"]);
    assert_eq!(reply.header("x-end"), Some("1"));
    for name in ["x-theirs", "keep-alive", "proxy-authenticate"] {
        assert_eq!(reply.header(name), None, "{name} crossed back");
    }
}

#[tokio::test]
async fn forwarded_claims_are_replaced_kept_appended_or_stripped() {
    let claims = "x-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\nforwarded: for=1.2.3.4\r\n\
                  x-real-ip: 1.2.3.4\r\nx-forwarded-host: theirs\r\n";
    let values = |addresses: &str, host: &str, proto: &str, forwarded: bool| {
        json!([addresses, host, proto, forwarded])
    };
    for (policy, expected) in [
        ("replace", values("127.0.0.1", "h", "http", false)),
        ("append", values("1.2.3.4, 127.0.0.1", "theirs", "https", true)),
        ("keep", values("1.2.3.4", "theirs", "https", true)),
        ("strip", values("", "", "", false)),
    ] {
        let upstream = Upstream::start().await;
        let vicar = Vicar::without_client(&route(&format!("forwarded: {policy},"), upstream.url()));
        get(&vicar.address(), "/", claims).await;
        let seen = upstream.last();
        let one = |name: &str| seen.values(name).join("|");
        let got = json!([
            one("x-forwarded-for"),
            one("x-forwarded-host"),
            one("x-forwarded-proto"),
            !one("forwarded").is_empty() && !one("x-real-ip").is_empty(),
        ]);
        assert_eq!(got, expected, "{policy}");
    }
}

#[tokio::test]
async fn host_is_the_upstreams_own_the_callers_or_a_fixed_name() {
    let upstream = Upstream::start().await;
    let own = upstream.url()[7..].to_owned();
    for (policy, host) in
        [("upstream", own.as_str()), ("preserve", "h"), ("fixed.example", "fixed.example")]
    {
        let extra = format!("rewrite: {{ host: {policy} }},");
        let vicar = Vicar::without_client(&route(&extra, upstream.url()));
        get(&vicar.address(), "/", "").await;
        assert_eq!(upstream.last().values("host"), [host]);
    }
}

#[tokio::test]
async fn paths_are_rewritten_and_queries_kept() {
    let upstream = Upstream::start().await;
    let url = format!("{}/base/", upstream.url());
    let vicar = Vicar::without_client(&format!(
        "- {{ name: a, listener: l, match: {{ path: /v1/ }}, rewrite: {{ path_prefix: /v2 }}, \
         token: strip, upstream: '{url}' }}\n- {{ name: b, listener: l, token: strip, upstream: '{url}' }}"
    ));
    for (path, target) in [
        ("/v1/x?q=%2F&r", "/base/v2/x?q=%2F&r"),
        ("/v1", "/base/v2"),
        ("/v10?q", "/base/v10?q"),
        ("/", "/base/"),
    ] {
        get(&vicar.address(), path, "").await;
        assert_eq!(upstream.last().target, target, "{path}");
    }
}

#[tokio::test]
async fn identifiers_and_via_go_both_ways() {
    let upstream = Upstream::start().await;
    let vicar = Vicar::without_client(&route("", upstream.url()));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = format!(
        "x-request-id: abc\r\ntraceparent: {trace}\r\ntracestate: a=b\r\nclient-request-id: cid\r\n\
         via: 1.0 other\r\n"
    );
    let reply = get(&vicar.address(), "/", &headers).await;
    let seen = upstream.last();
    assert_eq!(seen.values("x-request-id"), ["abc"]);
    assert_eq!(reply.header("x-request-id"), Some("abc"));
    assert_eq!(seen.values("traceparent"), [trace]);
    assert_eq!(seen.values("tracestate"), ["a=b"]);
    assert_eq!(seen.values("client-request-id"), ["cid"]);
    assert_eq!(seen.values("via"), ["1.0 other", "1.1 vicar"]);
    assert_eq!(reply.header("via"), Some("1.1 vicar"));
}

#[tokio::test]
async fn redirects_and_errors_of_the_upstream_are_answers_like_any_other() {
    for status in [204, 301, 302, 307, 308, 401, 404, 418, 500, 503] {
        let upstream = Upstream::answering(move |_| {
            let response =
                Response::builder().status(status).header("location", "http://127.0.0.1:9/");
            response
                .header("www-authenticate", "Bearer x")
                .body(Full::default())
                .expect("a response")
        })
        .await;
        let vicar = Vicar::without_client(&route("", upstream.url()));
        let reply = get(&vicar.address(), "/", "").await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("location"), Some("http://127.0.0.1:9/"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer x"));
        assert_eq!(upstream.seen().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_versions_are_converted_up_and_down() {
    for (protocol, version) in [("http1", Version::HTTP_11), ("http2", Version::HTTP_2)] {
        let upstream = Upstream::start().await;
        let settings = format!("{{ url: '{}', protocol: {protocol} }}", upstream.url());
        let route = format!("- {{ name: r, listener: l, token: strip, upstream: {settings} }}");
        let vicar = Vicar::without_client(&route);
        // HTTP/1.0 and HTTP/1.1 callers
        assert_eq!(get(&vicar.address(), "/a", "").await.status, 200);
        assert_eq!(upstream.last().version, version);
        let old = send(&vicar.address(), "GET /a HTTP/1.0\r\n\r\n").await;
        assert_eq!((old.status, old.body.as_str()), (200, "ok"));
        assert_eq!(upstream.last().version, version);
        // An HTTP/2 caller, with prior knowledge
        let client =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                .http2_only(true)
                .build_http::<Full<bytes::Bytes>>();
        let request = http::Request::post(format!("http://{}/b?c", vicar.address()))
            .header("te", "trailers")
            .header("cookie", "a=b")
            .header("cookie", "c=d")
            .body(Full::from("body"))
            .expect("a request");
        let response = client.request(request).await.expect("a response");
        assert_eq!(
            (response.status(), response.version()),
            (http::StatusCode::OK, Version::HTTP_2)
        );
        let seen = upstream.last();
        assert_eq!(
            (seen.version, seen.method.as_str(), &seen.body[..]),
            (version, "POST", &b"body"[..])
        );
        assert!(seen.target.ends_with("/b?c"), "{}", seen.target);
        assert_eq!(seen.values("te"), ["trailers"]);
        assert_eq!(seen.values("cookie"), ["a=b; c=d"]);
        assert_eq!(seen.values("via"), ["2 vicar"]);
    }
}
