//! Claims challenges: what an upstream wants of our token reaches the authority, what the authority wants of a
//! person reaches callers that can do something about it, and nothing else does.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::Full;
use hyper::Response;
use serde_json::{Value, json};

use crate::support::authority::{Answer, Asked};
use crate::support::client::Reply;
use crate::support::eventually;
use crate::support::issuer::{bearer, now};
use crate::support::upstream::Upstream;
use crate::support::world::{Terms, World, claims_challenge, route};

/// A route of either kind at an authority of Entra's kind, to an upstream that refuses these tokens with
/// these challenges.
async fn world(
    flow: &str,
    extra: &str,
    refused: &'static [&'static str],
    challenges: &[String],
) -> World {
    let challenges = challenges.to_vec();
    let upstream = Upstream::answering(move |seen| {
        if !refused.contains(&"*") && !refused.contains(&seen.bearer().as_str()) {
            return Response::new(Full::from("ok"));
        }
        let response = Response::builder().status(401);
        let response = challenges
            .iter()
            .fold(response, |response, field| response.header("www-authenticate", field));
        response.body(Full::from("not with this")).expect("a response")
    });
    let terms = Terms {
        authority: "entra: { tenant: contoso.test, instance: 'AUTHORITY' }",
        client: ", capabilities: [cp1]",
        ..Terms::default()
    };
    World::start(upstream.await, terms, &route(flow, extra)).await
}

/// The token of a person whose application can meet claims challenges, or cannot; good for three hours.
fn token(world: &World, capable: bool) -> String {
    let declared = if capable { json!(["cp1"]) } else { json!(null) };
    world.token_of("alice", &json!({ "xms_cc": declared, "exp": now() + 3 * 3600 }))
}

/// The `claims` of a token request.
fn claims(asked: &Asked) -> Value {
    assert_eq!(asked.path, "/contoso.test/oauth2/v2.0/token");
    serde_json::from_str(asked.field("claims").expect("claims")).expect("JSON")
}

/// What the client says of itself in every token request.
fn capabilities() -> Value {
    json!({ "access_token": { "xms_cc": { "values": ["cp1"] } } })
}

/// The same with what the upstream's challenge wants.
fn merged() -> Value {
    let wanted = json!({ "essential": true, "value": "1" });
    json!({ "access_token": { "xms_cc": { "values": ["cp1"] }, "nbf": wanted } })
}

/// Every `WWW-Authenticate` field.
fn challenges(reply: &Reply) -> Vec<&str> {
    let fields = reply.head.lines().filter_map(|line| line.split_once(": "));
    let fields = fields.filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    fields.map(|(_, value)| value).collect()
}

#[tokio::test]
async fn what_the_upstream_wants_is_asked_for_once_and_with_the_same_grant() {
    for flow in BOTH {
        let world = world(flow, "", &["token-1"], &[claims_challenge(WANTED)]).await;
        let token = token(&world, false);
        assert_eq!(world.call(&token).await.status, 200, "{flow}");
        assert_eq!(world.bearers(), ["token-1", "token-2"], "{flow}");
        // At the end of its life the token is renewed as ever.
        world.vicar.clock.advance(Duration::from_secs(3601));
        assert_eq!(world.call(&token).await.status, 200, "{flow}");
        let asked = world.authority.asked();
        let sent: Vec<_> = asked.iter().map(claims).collect();
        assert_eq!(sent, [capabilities(), merged(), capabilities()], "{flow}");
        let grants = asked.into_iter().map(|asked| {
            asked.form.into_iter().filter(|(name, _)| name != "claims").collect::<Vec<_>>()
        });
        let grants: Vec<_> = grants.collect();
        assert!(grants.iter().all(|grant| *grant == grants[0]), "{flow}: {grants:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_not_sent_again_has_its_challenge_answered_for_the_next() {
    for flow in BOTH {
        let world = world(flow, "", &["token-1"], &[claims_challenge(WANTED)]).await;
        let headers = bearer(&token(&world, false));
        assert_eq!(world.send("POST", "/", &headers, "x").await.status, 401, "{flow}");
        eventually("the renewal", || world.authority.count() == 2).await;
        assert_eq!(claims(&world.authority.asked()[1]), merged(), "{flow}");
    }
}

#[tokio::test]
async fn what_is_no_claims_request_is_not_asked_for() {
    let field = |claims: &str| format!("Bearer error=\"insufficient_claims\", claims=\"{claims}\"");
    let encoded = |claims: &str| field(&STANDARD.encode(claims));
    let good = STANDARD.encode(WANTED);
    let beyond = WANTED.replace("}}}", "}},\"id_token\":{\"email\":null},\"other\":1}");
    let large = format!(r#"{{"access_token":{{"a":"{}"}}}}"#, "x".repeat(8 * 1024));
    for (what, challenges, counts) in [
        ("as it should be", vec![encoded(WANTED)], true),
        ("base64url", vec![field(&URL_SAFE_NO_PAD.encode(WANTED))], true),
        ("JSON as it is", vec![field(&WANTED.replace('"', "\\\""))], true),
        (
            "after others",
            vec!["Negotiate".into(), "Basic realm=\"x\"".into(), encoded(WANTED)],
            true,
        ),
        ("in a list", vec![format!("Basic realm=\"a, b\", {}", encoded(WANTED))], true),
        ("beyond access tokens", vec![encoded(&beyond)], true),
        ("for ID tokens", vec![encoded(&WANTED.replace("access_token", "id_token"))], false),
        ("no base64", vec![field("%%%")], false),
        ("no JSON", vec![encoded("more, please")], false),
        ("a list", vec![encoded("[1]")], false),
        ("nothing", vec![encoded("{}")], false),
        ("empty", vec![field("")], false),
        ("no text", vec![field(&STANDARD.encode([0xff, 0xfe, 0x00]))], false),
        ("too large", vec![encoded(&large)], false),
        (
            "another error",
            vec![format!("Bearer error=\"invalid_token\", claims=\"{good}\"")],
            false,
        ),
        ("no error", vec![format!("Bearer claims=\"{good}\"")], false),
        (
            "another scheme",
            vec![format!("DPoP error=\"insufficient_claims\", claims=\"{good}\"")],
            false,
        ),
        ("no end", vec![format!("Bearer error=\"insufficient_claims\", claims=\"{good}")], false),
        ("none", vec![], false),
    ] {
        for flow in BOTH {
            let world = world(flow, "", &["token-1"], &challenges).await;
            assert_eq!(world.call(&token(&world, false)).await.status, 200, "{what}, {flow}");
            let expected = if counts { merged() } else { capabilities() };
            assert_eq!(claims(&world.authority.asked()[1]), expected, "{what}, {flow}");
        }
    }
}

#[tokio::test]
async fn a_client_that_declares_nothing_asks_for_nothing() {
    let entra = "entra: { tenant: contoso.test, instance: 'AUTHORITY' }";
    for authority in [entra, Terms::default().authority] {
        for flow in BOTH {
            let upstream = Upstream::answering(|seen| {
                let status = if seen.bearer() == "token-1" { 401 } else { 200 };
                let response = Response::builder().status(status);
                response
                    .header("www-authenticate", claims_challenge(WANTED))
                    .body(Full::default())
                    .unwrap()
            });
            let terms = Terms { authority, ..Terms::default() };
            let world = World::start(upstream.await, terms, &route(flow, "")).await;
            assert_eq!(world.call(&token(&world, true)).await.status, 200, "{authority} {flow}");
            let asked = world.authority.asked();
            let claims: Vec<_> = asked.iter().map(|asked| asked.field("claims")).collect();
            assert_eq!(claims, [None, None], "{authority} {flow}");
        }
    }
}

#[tokio::test]
async fn what_the_authority_wants_of_the_person_reaches_callers_that_can_meet_it() {
    let refusals = [
        json!({ "error": "interaction_required", "claims": FROM_AUTHORITY }),
        json!({ "error": "invalid_grant", "suberror": "basic_action", "claims": FROM_AUTHORITY }),
    ];
    for (refusal, capable) in refusals.iter().flat_map(|r| [(r, false), (r, true)]) {
        let world = world(USER, "", &["token-1"], &[claims_challenge(WANTED)]).await;
        let first = Answer::token("token-1", 3600);
        world.authority.then([first, Answer::json(400, &refusal.to_string())]);
        let token = token(&world, capable);
        let reply = world.call(&token).await;
        let answer = (reply.status, reply.reason());
        assert_eq!(answer, (401, "user_interaction_required".to_owned()), "{refusal}");
        let expected = if capable {
            let uri = format!("{}/contoso.test/oauth2/v2.0/authorize", world.authority.url());
            let claims = STANDARD.encode(FROM_AUTHORITY);
            format!(
                "Bearer authorization_uri=\"{uri}\", error=\"insufficient_claims\", claims=\"{claims}\""
            )
        } else {
            PLAIN.to_owned()
        };
        assert_eq!(challenges(&reply), [expected], "{refusal}");
        // It may be good elsewhere, so it stays; the upstream's own answer is what the caller gets from then on.
        let again = world.call(&token).await;
        let left = if capable { claims_challenge(WANTED) } else { "Bearer".to_owned() };
        assert_eq!((again.status, challenges(&again)), (401, vec![left.as_str()]), "{refusal}");
        assert_eq!(world.bearers(), ["token-1"; 2], "{refusal}");
        assert_eq!(world.authority.count(), 2, "the upstream's word counts once: {refusal}");
        // What the person's next token brings is not held up by what became of this one.
        let next = world.token_of("alice", &json!({ "jti": "next" }));
        assert_eq!(world.call(&next).await.status, 200, "{refusal}");
    }
}

#[tokio::test]
async fn a_relayed_challenge_reaches_only_callers_that_can_meet_it() {
    let challenge = claims_challenge(WANTED);
    let told = ["Negotiate".to_owned(), challenge.clone()];
    for (flow, capable, left) in [
        (USER, true, vec!["Negotiate", challenge.as_str()]),
        (USER, false, vec!["Negotiate", "Bearer"]),
        // Our own token is nothing that a caller could do something about.
        (APPLICATION, true, vec!["Negotiate", "Bearer"]),
        (APPLICATION, false, vec!["Negotiate", "Bearer"]),
    ] {
        for (method, extra, tries) in
            [("GET", "", 2), ("POST", "", 1), ("GET", ", retry_on: []", 1)]
        {
            let what = format!("{method}, {flow} {extra}, capable: {capable}");
            let world = world(flow, extra, &["*"], &told).await;
            let headers = bearer(&token(&world, capable));
            let reply = world.send(method, "/", &headers, "").await;
            assert_eq!((reply.status, reply.body.as_str()), (401, "not with this"), "{what}");
            assert_eq!(challenges(&reply), left, "{what}");
            assert_eq!(world.bearers().len(), tries, "{what}");
            // The same within the window, when nothing is renewed.
            let reply = world.send(method, "/", &headers, "").await;
            assert_eq!(challenges(&reply), left, "{what}: within the window");
        }
    }
}

#[tokio::test]
async fn a_challenge_that_cannot_be_read_is_removed_as_well() {
    for field in [
        "Bearer error=\"insufficient_claims\", claims=\"%%%\"",
        "Bearer error=\"insufficient_claims\", claims=\"no end",
        "Bearer CLAIMS=\"e30=\", error=\"insufficient_claims\"",
    ] {
        let world = world(USER, "", &["*"], &[field.to_owned()]).await;
        let reply = world.call(&token(&world, false)).await;
        assert_eq!(challenges(&reply), ["Bearer"], "{field}");
    }
}

const APPLICATION: &str = "client_credentials: { client: c, scopes: ['api://b/.default'] }";
const USER: &str = "on_behalf_of: { client: c, scopes: ['api://b/read'] }";
const BOTH: [&str; 2] = [APPLICATION, USER];
const WANTED: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
const FROM_AUTHORITY: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
const PLAIN: &str =
    "Bearer error=\"invalid_token\", error_description=\"the user must sign in again\"";
