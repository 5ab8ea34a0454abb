//! The three grants for a caller's token at mock-oauth2-server: what it understood, by its own
//! word, and whom the upstream sees.

use serde_json::{Value, json};

use crate::{
    gate::{Gate, Route, claims},
    mock::Mock,
    proxy::Place,
};

#[test]
fn on_behalf_of_asks_for_the_scope_with_the_callers_token() {
    let (mock, gate) = open();
    let anna = mock.token_of("anna");
    let token = assert_for_the_same_person(mock, &gate, "on-behalf-of", &anna);
    let asked = &token["asked"];
    assert_eq!(asked["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer", "{token}");
    assert_eq!(asked["requested_token_use"], "on_behalf_of", "{token}");
    assert_eq!(asked["assertion"], json!(anna), "{token}");
    assert_eq!(asked["scope"], "inventory", "{token}");
}

#[test]
fn jwt_bearer_makes_the_callers_token_an_authorization_grant() {
    let (mock, gate) = open();
    let anna = mock.token_of("anna");
    let token = assert_for_the_same_person(mock, &gate, "jwt-bearer", &anna);
    let asked = &token["asked"];
    assert_eq!(asked["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer", "{token}");
    assert_not_sent(asked, "requested_token_use");
    assert_eq!(asked["assertion"], json!(anna), "{token}");
    assert_eq!(asked["scope"], "inventory.read", "{token}");
}

#[test]
fn token_exchange_says_of_what_type_the_callers_token_is() {
    let (mock, gate) = open();
    let anna = mock.token_of("anna");
    for (route, kind) in [("exchange", "access_token"), ("exchange-jwt", "jwt")] {
        let token = assert_for_the_same_person(mock, &gate, route, &anna);
        let asked = &token["asked"];
        let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
        assert_eq!(asked["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
        assert_eq!(asked["subject_token"], json!(anna), "{token}");
        assert_eq!(asked["subject_token_type"], json!(kind), "{token}");
        for absent in ["actor_token", "actor_token_type", "requested_token_type", "scope"] {
            assert_not_sent(asked, absent);
        }
    }
}

#[test]
fn an_actor_is_vicars_own_client_with_a_token_of_its_own() {
    let (mock, gate) = open();
    let token = assert_for_the_same_person(mock, &gate, "exchange-actor", &mock.token_of("anna"));
    let asked = &token["asked"];
    let actor = claims(asked["actor_token"].as_str().expect("a token"));
    assert_eq!(actor["sub"], "orders", "{actor}");
    assert_eq!(actor["iss"], json!(mock.issuer("services")), "{actor}");
    let kind = "urn:ietf:params:oauth:token-type:access_token";
    assert_eq!(asked["actor_token_type"], kind, "{token}");
}

#[test]
fn applications_are_refused_by_every_grant() {
    let (mock, gate) = open();
    let application = mock.token_of_an_application();
    for (route, _, _) in ROUTES {
        gate.refuse(route, &application, 403, "user_required");
    }
}

/// Calls twice as anna and once as somebody else; the claims of what arrived for anna.
fn assert_for_the_same_person(mock: &Mock, gate: &Gate, route: &str, anna: &str) -> Value {
    let arrived = gate.pass(route, anna);
    let token = claims(&arrived);
    assert_eq!(token["iss"], json!(mock.issuer("services")), "{token}");
    assert_eq!(token["aud"], "inventory", "{token}");
    assert_eq!(token["azp"], "orders", "{token}");
    assert_eq!(token["sub"], "anna", "{token}");
    let bert = claims(&gate.pass(route, &mock.token_of("bert")));
    assert_eq!(bert["sub"], "bert", "{bert}");
    assert_eq!(gate.pass(route, anna), arrived, "asked for once");
    token
}

/// The mock leaves the name of a field where the form had none.
fn assert_not_sent(asked: &Value, name: &str) {
    assert_eq!(asked[name], json!(format!("${{{name}}}")), "{asked}");
}

/// The mock, and a Vicar with a route for each grant.
fn open() -> (&'static Mock, Gate) {
    let mock = Mock::shared();
    let parties = |place: &Place<'_>| {
        let (people, services) = (mock.issuer("people"), mock.issuer("services"));
        let secret = place.file("secret", "any");
        format!(
            "issuers:\n  people: {{ oidc: {{ issuer: '{people}' }}, audiences: [orders] }}\n\
             clients:\n  orders: {{ authority: {{ oidc: {{ issuer: '{services}' }} }}, \
             client_id: orders, credential: {{ client_secret: {{ file: {secret} }} }} }}\n",
        )
    };
    (mock, Gate::open(&mock.server, parties, ROUTES))
}

/// One route for each grant.
const ROUTES: &[Route] = &[
    ("on-behalf-of", PEOPLE, "{ on_behalf_of: { client: orders, scopes: [inventory] } }"),
    (
        "jwt-bearer",
        PEOPLE,
        "{ jwt_bearer: { client: orders, scopes: [inventory.read], audience: inventory } }",
    ),
    ("exchange", PEOPLE, "{ token_exchange: { client: orders, audience: inventory } }"),
    (
        "exchange-jwt",
        PEOPLE,
        "{ token_exchange: { client: orders, audience: inventory, subject_token_type: jwt } }",
    ),
    (
        "exchange-actor",
        PEOPLE,
        "{ token_exchange: { client: orders, audience: inventory, \
         actor: { client_credentials: { client: orders } } } }",
    ),
];

/// Whom they let in.
const PEOPLE: &str = "issuers: [people]";
