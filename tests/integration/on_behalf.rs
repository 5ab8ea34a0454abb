//! Tokens on behalf of callers: what the authority is asked, what the upstream gets, and for whom.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::authority::Answer;
use crate::support::world::World;

#[tokio::test]
async fn on_behalf_of_hands_the_callers_token_to_the_authority_and_its_answer_to_the_upstream() {
    let world = World::with("on_behalf_of: { client: c, scopes: [b.read, a.read] }").await;
    let token = world.token_of("alice", &json!({}));
    let answer = world.call(&token).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.upstream.last().bearer(), "token-1");
    let asked = world.only_request();
    for (field, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", token.as_str()),
        ("requested_token_use", "on_behalf_of"),
        ("scope", "a.read b.read"),
        ("client_id", "me"),
        ("client_secret", "s3cret"),
    ] {
        assert_eq!(asked.field(field), Some(value), "{field}");
    }
    assert_eq!(asked.form.len(), 6);
}

#[tokio::test]
async fn each_person_gets_a_token_of_their_own_and_each_token_is_exchanged_once() {
    let world = World::with("jwt_bearer: { client: c, scopes: [s] }").await;
    let (alice, bob) = (world.token_of("alice", &json!({})), world.token_of("bob", &json!({})));
    for (token, expected) in
        [(&alice, "token-1"), (&bob, "token-2"), (&alice, "token-1"), (&bob, "token-2")]
    {
        world.call(token).await;
        assert_eq!(world.upstream.last().bearer(), expected);
    }
    let again = world.token_of("alice", &json!({ "jti": "another" }));
    world.call(&again).await;
    assert_eq!(world.upstream.last().bearer(), "token-3", "another token of the same person");
    assert_eq!(world.authority.count(), 3);
}

#[tokio::test]
async fn an_application_gets_nothing_unless_the_route_says_what() {
    let flow = "on_behalf_of: { client: c, scopes: [s] }";
    let world = World::with(flow).await;
    let app = world.token_of("app-1", &json!({ "azp": "app-1" }));
    let answer = world.call(&app).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.reason(), "user_required");
    assert_eq!(world.authority.count(), 0);

    let world = World::with(
        "on_behalf_of: { client: c, scopes: [s], \
         when_app_only: { client_credentials: { client: c, scopes: [app] } } }",
    )
    .await;
    let app = world.token_of("app-1", &json!({ "azp": "app-1" }));
    assert_eq!(world.call(&app).await.status, 200);
    assert_eq!(world.only_request().field("grant_type"), Some("client_credentials"));
    let person = world.token_of("alice", &json!({}));
    world.call(&person).await;
    assert_eq!(world.authority.asked()[1].field("assertion"), Some(person.as_str()));
}

#[tokio::test]
async fn the_authority_wants_more_of_the_person_and_the_caller_is_told() {
    let world = World::with("on_behalf_of: { client: c, scopes: [s] }").await;
    let claims = r#"{"access_token":{"polids":{"essential":true,"values":["p1"]}}}"#;
    let body = json!({
        "error": "invalid_grant", "suberror": "basic_action", "error_codes": [50076], "claims": claims,
        "error_description": "AADSTS50076: secret details", "correlation_id": "7b3b0a8e-0000-4000-8000-000000000000",
    });
    world.authority.always(Some(Answer::json(400, &body.to_string())));
    let plain = world.call(&world.token_of("alice", &json!({}))).await;
    assert_eq!(plain.status, 401);
    assert_eq!(plain.reason(), "user_interaction_required");
    let challenge = plain.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    assert!(!plain.body.contains("secret details"));

    let capable = world.call(&world.token_of("bob", &json!({ "xms_cc": ["CP1"] }))).await;
    let challenge = capable.header("www-authenticate").unwrap();
    let expected = STANDARD.encode(claims);
    assert_eq!(challenge, format!("Bearer error=\"insufficient_claims\", claims=\"{expected}\""));
}
