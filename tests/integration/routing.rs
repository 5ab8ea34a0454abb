//! Routing at the wire: one reading of every request, or none.

use serde_json::Value;

use crate::support::client::{get, send};
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

/// A proxy whose route name reaches the upstream as the rewritten path's first segment.
async fn scene(routes: &[(&str, &str)]) -> (Upstream, Vicar) {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let routes: String = routes
        .iter()
        .map(|(name, matches)| {
            format!(
                "- {{ name: {name}, listener: l, match: {{ {matches} }}, token: strip, \
                 upstream: '{url}/{name}' }}\n"
            )
        })
        .collect();
    let vicar = Vicar::without_client(&routes);
    (upstream, vicar)
}

#[tokio::test]
async fn no_route_is_a_404_problem_that_names_nothing() {
    let (upstream, vicar) = scene(&[("a", "path: /a")]).await;
    let reply = get(&vicar.address(), "/b?x=1", "").await;
    assert_eq!((reply.status, reply.reason().as_str()), (404, "no_route"));
    assert_eq!(reply.json()["type"], "urn:vicar:problem:no_route");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn matches_by_method_and_header_before_the_general_route() {
    let (upstream, vicar) = scene(&[
        ("general", "path: /x"),
        ("posts", "path: /x, methods: [POST]"),
        ("nightly", "path: /x, headers: { x-kind: nightly }"),
    ])
    .await;
    for (request, target) in [
        ("GET /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "/general/x"),
        (
            "POST /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "/posts/x",
        ),
        (
            "GET /x HTTP/1.1\r\nhost: h\r\nx-kind: nightly\r\nconnection: close\r\n\r\n",
            "/nightly/x",
        ),
        (
            "GET /x HTTP/1.1\r\nhost: h\r\nx-kind: nightly\r\nx-kind: other\r\nconnection: close\r\n\r\n",
            "/general/x",
        ),
    ] {
        assert_eq!(send(&vicar.address(), request).await.status, 200);
        assert_eq!(upstream.last().target, target, "{request}");
    }
}

#[tokio::test]
async fn requests_with_two_readings_are_refused() {
    let (upstream, vicar) = scene(&[("all", "")]).await;
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n",
        "GET / HTTP/1.1\r\nhost: a, b\r\n",
        "GET / HTTP/1.1\r\nhost: u@a\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n",
        "GET / HTTP/1.1\r\nhost:\r\n",
        "GET http://a/ HTTP/1.1\r\nhost: b\r\n",
        "GET * HTTP/1.1\r\nhost: a\r\n",
        "GET /a/../b HTTP/1.1\r\nhost: a\r\n",
        "GET /a%2fb HTTP/1.1\r\nhost: a\r\n",
        "GET /a%00 HTTP/1.1\r\nhost: a\r\n",
        "GET /..;/a HTTP/1.1\r\nhost: a\r\n",
    ] {
        let reply = send(&vicar.address(), &format!("{head}connection: close\r\n\r\n")).await;
        assert_eq!(reply.status, 400, "{head}: {reply:?}");
    }
    for method in ["CONNECT a:80", "TRACE /"] {
        let head = format!("{method} HTTP/1.1\r\nhost: a:80\r\nconnection: close\r\n\r\n");
        assert_eq!(send(&vicar.address(), &head).await.status, 405, "{method}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn what_routing_decided_on_is_what_the_upstream_sees() {
    let (upstream, vicar) = scene(&[("admin", "path: /admin"), ("rest", "")]).await;
    for (path, target) in [
        ("/%61dmin/%7Ex?a=%2e%2e/", "/admin/admin/~x?a=%2e%2e/"),
        ("/adm%69n", "/admin/admin"),
        ("/other%20x", "/rest/other%20x"),
        ("/other%c3%a9", "/rest/other%C3%A9"),
    ] {
        assert_eq!(get(&vicar.address(), path, "").await.status, 200);
        assert_eq!(upstream.last().target, target, "{path}");
    }
}

#[tokio::test]
async fn the_projects_corpus_of_paths() {
    let Ok(folder) = std::env::var("VICAR_VECTORS") else {
        println!("SKIPPED: VICAR_VECTORS does not name the folder with the test vectors");
        return;
    };
    let path = std::path::Path::new(&folder).join("project/paths_dev.json");
    let corpus: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("the corpus")).expect("JSON");
    let (upstream, vicar) = scene(&[
        ("public", "path: /public"),
        ("exempt", "path_exact: /healthz"),
        ("admin", "path: /admin"),
    ])
    .await;
    let cases = corpus["cases"].as_array().expect("cases");
    assert!(!cases.is_empty());
    for case in cases {
        let (target, rule) = (case["target"].as_str().unwrap(), case["rule"].as_str().unwrap());
        let before = upstream.seen().len();
        let head = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let status = send(&vicar.address(), &head).await.status;
        let seen = upstream.seen().get(before).map(|seen| seen.target.clone());
        let route = seen.as_deref().and_then(|target| target.split('/').nth(1));
        let verdict = match rule {
            "admin" => route == Some("admin"),
            "admin_or_404" => route == Some("admin") || status == 404,
            "not_public" => {
                route == Some("admin") || (route.is_none() && matches!(status, 400 | 404))
            }
            "public_ok" => seen == Some(format!("/public{target}")),
            "exact_or_reject" => {
                status == 400 || seen.as_ref().is_some_and(|s| s.ends_with(target))
            }
            "reject" => status == 400 && seen.is_none(),
            other => panic!("unknown rule {other}"),
        };
        assert!(verdict, "{target} ({rule}): status {status}, {route:?}");
    }
}
