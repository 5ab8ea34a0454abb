//! Assertions that an address gives, as CI systems have one for each job.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::Response;
use serde_json::json;

use crate::support::authority::{Answer, Authority};
use crate::support::client::get;
use crate::support::issuer::encode;
use crate::support::upstream::Upstream;
use crate::support::vicar::{Vicar, yaml};

/// What the address says to one request after the other.
async fn giver(says: Vec<String>) -> Upstream {
    let next = Arc::new(AtomicUsize::new(0));
    Upstream::answering(move |_| {
        let at = next.fetch_add(1, Ordering::SeqCst).min(says.len() - 1);
        Response::new(Full::from(says[at].clone()))
    })
    .await
}

/// A JWT that lives so long and says which it is.
fn assertion(number: usize, life: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch");
    let claims = json!({ "exp": now.as_secs() + life, "number": number });
    format!("{}.{}.{}", encode("{}"), encode(claims.to_string()), encode("signature"))
}

fn given(assertion: &str) -> String {
    json!({ "value": assertion, "other": "x" }).to_string()
}

fn start(authority: &Authority, giver: &Upstream, upstream: &Upstream) -> Vicar {
    let credential = format!(
        "client_assertion: {{ from_url: {{ url: '{}/token?job=7', bearer: {{ danger_inline: \
         job-secret }}, audience: 'api://Exchange' }} }}",
        giver.url()
    );
    let route = format!(
        "- {{ name: r, listener: l, token: {{ client_credentials: {{ client: c, scopes: [s] }} }}, \
         upstream: '{}' }}",
        upstream.url()
    );
    Vicar::start(&yaml(&authority.token_endpoint(), &credential, &route))
}

/// One call that needs a new token, each with its own time before.
async fn call(vicar: &Vicar, after: u64) -> (u16, String) {
    vicar.clock.advance(Duration::from_secs(after));
    let reply = get(&vicar.address(), "/", "").await;
    (reply.status, if reply.status == 200 { String::new() } else { reply.reason() })
}

#[tokio::test]
async fn it_is_asked_with_our_bearer_and_what_it_gave_proves_us_for_half_of_its_life() {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    authority.always(Some(Answer::token("t", 100)));
    let [first, second] = [assertion(1, 1000), assertion(2, 100_000)];
    let giver = giver(vec![given(&first), given(&second)]).await;
    let vicar = start(&authority, &giver, &upstream);
    for after in [0, 200, 400] {
        assert_eq!(call(&vicar, after).await.0, 200);
    }
    let sent: Vec<_> =
        authority.asked().iter().map(|a| a.field("client_assertion").map(str::to_owned)).collect();
    assert_eq!(sent, [&first, &first, &second].map(|assertion| Some(assertion.clone())));
    let seen = giver.seen();
    assert_eq!(seen.len(), 2, "kept while it is young");
    assert_eq!(seen[0].target, "/token?job=7&audience=api%3A%2F%2FExchange");
    assert_eq!(seen[0].values("authorization"), ["Bearer job-secret"]);
}

#[tokio::test]
async fn what_it_gave_serves_until_it_expires_when_it_gives_nonsense_and_no_longer() {
    for nonsense in ["<html>", "{}", r#"{"value":7}"#, r#"{"value":"opaque"}"#] {
        let (authority, upstream) = (Authority::start().await, Upstream::start().await);
        authority.always(Some(Answer::token("t", 100)));
        let giver = giver(vec![given(&assertion(1, 1000)), nonsense.to_owned()]).await;
        let vicar = start(&authority, &giver, &upstream);
        for after in [0, 600] {
            assert_eq!(call(&vicar, after).await.0, 200, "{nonsense}");
        }
        let refused = (503, "credential_unreadable".to_owned());
        assert_eq!(call(&vicar, 600).await, refused, "{nonsense}");
        assert_eq!(authority.asked().len(), 2, "what has expired is never sent: {nonsense}");
    }
}
