//! Token exchange (RFC 8693) at Keycloak: who the upstream sees, and what a refusal becomes.

use std::thread;

use crate::{
    gate::{Gate, Route, claims},
    keycloak::Keycloak,
    proxy::Place,
};

#[test]
fn the_upstream_gets_a_token_of_its_own_for_the_same_person() {
    let (keycloak, gate) = open();
    let anna = keycloak.log_in("anna").token;
    let before = claims(&anna);
    assert_eq!(before["azp"], "front", "{before}");

    let arrived = gate.pass("inventory", &anna);
    let after = claims(&arrived);
    assert_ne!(arrived, anna);
    assert_eq!(after["aud"], "inventory", "{after}");
    assert_eq!(after["azp"], "orders", "{after}");
    assert_eq!(after["sub"], before["sub"], "{after}");
    assert_eq!(after["preferred_username"], "anna", "{after}");
    let judged = keycloak.inspect(&arrived);
    assert_eq!(judged["active"], true, "{judged}");

    assert_eq!(gate.pass("inventory", &anna), arrived, "exchanged once");
    assert!(!gate.log().contains(&arrived), "the exchanged token is in the log");
}

#[test]
fn people_never_get_each_others_token() {
    let (keycloak, gate) = open();
    let people = ["anna", "bert"].map(|person| (person, keycloak.log_in(person).token));
    thread::scope(|scope| {
        for (person, token) in people.iter().cycle().take(CALLERS) {
            scope.spawn(|| {
                for _ in 0..CALLS {
                    let arrived = claims(&gate.pass("inventory", token));
                    assert_eq!(arrived["preferred_username"], *person);
                    assert_eq!(arrived["sub"], claims(token)["sub"]);
                }
            });
        }
    });
}

#[test]
fn each_login_of_a_person_keeps_its_own_session() {
    let (keycloak, gate) = open();
    for login in [keycloak.log_in("anna"), keycloak.log_in("anna")] {
        let arrived = gate.pass("inventory", &login.token);
        assert_eq!(claims(&arrived)["sid"], claims(&login.token)["sid"]);
    }
}

/// Keycloak itself would exchange the token of a service account.
#[test]
fn an_application_is_refused_unless_the_route_has_a_token_for_it() {
    let (keycloak, gate) = open();
    let application = keycloak.token_of_an_application();
    gate.refuse("inventory", &application, 403, "user_required");

    let arrived = gate.pass("applications-too", &application);
    let its = claims(&arrived);
    assert_eq!(its["azp"], "orders", "{its}");
    assert_eq!(its["client_id"], "orders", "{its}");
    assert_eq!(its["preferred_username"], "service-account-orders", "{its}");
    let anna = claims(&gate.pass("applications-too", &keycloak.log_in("anna").token));
    assert_eq!(anna["preferred_username"], "anna", "{anna}");
}

#[test]
fn what_keycloak_refuses_is_a_502_that_tells_the_caller_nothing() {
    let (keycloak, gate) = open();
    let anna = keycloak.log_in("anna").token;
    let cases = [
        ("audience-not-granted", "authority_refused_request"),
        // Keycloak's words for it are `invalid_client`.
        ("audience-unknown", "authority_refused_client"),
        ("scope-unknown", "authority_refused_request"),
        ("type-unknown", "authority_refused_request"),
        ("secret-wrong", "authority_refused_client"),
    ];
    for (route, reason) in cases {
        let answer = gate.refuse(route, &anna, 502, reason);
        for word in WORDS_OF_KEYCLOAK {
            assert!(!answer.raw.contains(word), "{word:?} reached the caller: {answer:?}");
        }
    }
    gate.pass("inventory", &anna);
    assert!(!gate.log().contains(CANARY), "a secret is in the log");
}

/// Keycloak says `invalid_request`, of a request that is wrong for everybody too. Where the
/// exchange has worked for somebody, it is the person's matter.
#[test]
fn who_has_logged_out_must_sign_in_again() {
    let (keycloak, gate) = open();
    gate.pass("inventory", &keycloak.log_in("bert").token);
    let anna = keycloak.log_in("anna");
    keycloak.log_out(&anna);
    gate.refuse("inventory", &anna.token, 401, "user_sign_in_required");
    gate.pass("inventory", &keycloak.log_in("anna").token);
}

#[test]
fn a_revoked_token_must_be_replaced() {
    let (keycloak, gate) = open();
    let anna = keycloak.log_in("anna").token;
    gate.pass("inventory", &keycloak.log_in("anna").token);
    keycloak.revoke(&anna);
    gate.refuse("inventory", &anna, 401, "user_sign_in_required");
}

/// Keycloak, and a Vicar with a route for each question.
fn open() -> (&'static Keycloak, Gate) {
    let keycloak = Keycloak::shared();
    let parties = |place: &Place<'_>| {
        let wrong = format!(
            "  forgetful: {{ authority: {{ oidc: {{ issuer: '{}' }} }}, client_id: orders, \
             credential: {{ client_secret: {{ file: {} }} }} }}\n",
            keycloak.issuer(),
            place.file("forgetful", CANARY),
        );
        keycloak.parties(place) + &wrong
    };
    (keycloak, Gate::open(&keycloak.server, parties, ROUTES))
}

/// One route for each question.
const ROUTES: &[Route] = &[
    ("inventory", PEOPLE, "{ token_exchange: { client: orders, audience: inventory } }"),
    (
        "applications-too",
        PEOPLE,
        "{ token_exchange: { client: orders, audience: inventory, \
         when_app_only: { client_credentials: { client: orders } } } }",
    ),
    ("audience-not-granted", PEOPLE, "{ token_exchange: { client: orders, audience: payroll } }"),
    ("audience-unknown", PEOPLE, "{ token_exchange: { client: orders, audience: nobody-here } }"),
    ("scope-unknown", PEOPLE, "{ token_exchange: { client: orders, scopes: [no-such-scope] } }"),
    ("type-unknown", PEOPLE, "{ token_exchange: { client: orders, requested_token_type: jwt } }"),
    ("secret-wrong", PEOPLE, "{ token_exchange: { client: forgetful, audience: inventory } }"),
];

/// Whom they let in.
const PEOPLE: &str = "issuers: [people]";

/// What Keycloak says in these refusals, and what we asked for.
const WORDS_OF_KEYCLOAK: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "invalid_scope",
    "unauthorized_client",
    "Requested audience",
    "payroll",
    "Audience not found",
    "nobody-here",
    "no-such-scope",
    "unsupported",
    "Invalid client",
    "realms/main",
];

/// A part of every secret that no encoding of a log or an answer changes.
const CANARY: &str = "canary5b1e";

/// Enough at once that requests for the same token meet.
const CALLERS: usize = 8;
const CALLS: usize = 5;
