//! Injection: ours in, the caller's out, and nothing the caller names can change that.

use crate::support::authority::Authority;
use crate::support::client::get;
use crate::support::upstream::Upstream;
use crate::support::vicar::{TOKEN_ROUTE, Vicar};

/// What reached the upstream after a call with these header lines over a route with this `inject`.
async fn seen(inject: &str, headers: &str) -> (u16, Option<crate::support::upstream::Seen>) {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let route = format!("- {{ {TOKEN_ROUTE}, {inject} upstream: '{}' }}", upstream.url());
    let vicar = Vicar::with_client(&authority.token_endpoint(), &route);
    let reply = get(&vicar.address(), "/", headers).await;
    (reply.status, upstream.seen().pop())
}

#[tokio::test]
async fn replaces_whatever_the_caller_sent_with_exactly_one_credential() {
    for headers in [
        "",
        "authorization: Bearer theirs\r\n",
        "AUTHORIZATION: Basic dTpw\r\nAuthorization: Bearer theirs\r\n",
        "authorization: Bearer theirs\r\nconnection: authorization\r\n",
        "proxy-authorization: Basic dTpw\r\n",
    ] {
        let (status, seen) = seen("", headers).await;
        assert_eq!(status, 200, "{headers}");
        let seen = seen.expect("forwarded");
        assert_eq!(seen.bearer(), "token-1", "{headers}");
        assert!(seen.values("proxy-authorization").is_empty());
    }
}

#[tokio::test]
async fn keep_forwards_the_callers_credential_and_fetches_nothing() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    let url = upstream.url();
    let route = format!("- {{ {TOKEN_ROUTE}, inject: {{ existing: keep }}, upstream: '{url}' }}");
    let vicar = Vicar::with_client(&authority.token_endpoint(), &route);
    get(&vicar.address(), "/", "authorization: Bearer theirs\r\n").await;
    assert_eq!((upstream.last().bearer().as_str(), authority.count()), ("theirs", 0));
    get(&vicar.address(), "/", "").await;
    assert_eq!((upstream.last().bearer().as_str(), authority.count()), ("token-1", 1));
    let two = "authorization: Bearer a\r\nauthorization: Bearer b\r\n";
    let reply = get(&vicar.address(), "/", two).await;
    assert_eq!((reply.status, reply.reason().as_str()), (400, "credential_repeated"));
}

#[tokio::test]
async fn reject_refuses_callers_that_bring_a_credential() {
    let (status, forwarded) = seen("inject: { existing: reject },", "authorization: x\r\n").await;
    assert!(status == 400 && forwarded.is_none());
    let (status, forwarded) = seen("inject: { existing: reject },", "").await;
    assert_eq!((status, forwarded.expect("forwarded").bearer().as_str()), (200, "token-1"));
}

#[tokio::test]
async fn header_and_scheme_are_as_configured_and_authorization_goes_anyway() {
    // Naming our header in Connection must not remove what we put there.
    let theirs = "x-api-token: theirs\r\nauthorization: Bearer theirs\r\n\
                  connection: x-api-token\r\n";
    for (inject, value) in [
        ("inject: { header: X-Api-Token, scheme: '' },", "token-1"),
        ("inject: { header: X-Api-Token, scheme: Token },", "Token token-1"),
    ] {
        let (_, seen) = seen(inject, theirs).await;
        let seen = seen.expect("forwarded");
        assert_eq!(seen.values("x-api-token"), [value]);
        assert!(seen.values("authorization").is_empty());
    }
}

#[tokio::test]
async fn strip_removes_and_passthrough_keeps() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let vicar = Vicar::without_client(&format!(
        "- {{ name: a, listener: l, match: {{ path: /strip }}, token: strip, upstream: '{url}' }}\n\
         - {{ name: b, listener: l, match: {{ path: /pass }}, token: passthrough, upstream: '{url}' }}"
    ));
    let theirs = "authorization: Bearer theirs\r\n";
    get(&vicar.address(), "/strip", theirs).await;
    assert!(upstream.last().values("authorization").is_empty());
    get(&vicar.address(), "/pass", theirs).await;
    assert_eq!(upstream.last().bearer(), "theirs");
    get(&vicar.address(), "/pass", "").await;
    assert!(upstream.last().values("authorization").is_empty());
}

#[tokio::test]
async fn a_token_goes_to_the_upstream_of_its_own_route_and_nowhere_else() {
    let authority = Authority::start().await;
    let mut upstreams = Vec::new();
    let mut routes = String::new();
    for index in 0..4 {
        let upstream = Upstream::start().await;
        routes += &format!(
            "- {{ name: r{index}, listener: l, match: {{ host: h{index}.test }}, token: \
             {{ client_credentials: {{ client: c, scopes: [s{index}] }} }}, upstream: '{}' }}\n",
            upstream.url()
        );
        upstreams.push(upstream);
    }
    let vicar = Vicar::with_client(&authority.token_endpoint(), &routes);
    for round in 0..3 {
        for host in 0..4 {
            let other = (host + 1 + round) % 4;
            let request = format!(
                "GET /http://h{other}.test/ HTTP/1.1\r\nhost: h{host}.test\r\nx-forwarded-host: \
                 h{other}.test\r\nforwarded: host=h{other}.test\r\nx-original-url: \
                 http://h{other}.test/\r\nconnection: close\r\n\r\n"
            );
            // An empty path segment: refused, whichever host it smells of.
            assert_eq!(crate::support::client::send(&vicar.address(), &request).await.status, 400);
            let request = request.replace("GET /http://", "GET /");
            assert_eq!(crate::support::client::send(&vicar.address(), &request).await.status, 200);
        }
    }
    let tokens: Vec<Vec<String>> = upstreams
        .iter()
        .map(|upstream| upstream.seen().iter().map(|seen| seen.bearer()).collect())
        .collect();
    for (index, own) in tokens.iter().enumerate() {
        assert_eq!(own.len(), 3);
        assert!(own.iter().all(|token| *token == own[0]), "one token per route: {own:?}");
        let elsewhere = tokens.iter().enumerate().filter(|(other, _)| *other != index);
        assert!(elsewhere.flat_map(|(_, tokens)| tokens).all(|token| *token != own[0]));
    }
}
