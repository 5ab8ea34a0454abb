//! Callers with tokens of a Keycloak realm, known to Vicar by the issuer preset `keycloak`.

use crate::{
    gate::{Gate, Route, claims},
    keycloak::Keycloak,
};

#[test]
fn tokens_of_the_realm_pass_and_others_do_not() {
    let (keycloak, gate) = open();
    let anna = keycloak.log_in("anna");
    assert_eq!(gate.pass("any", &anna.token), anna.token, "passed on as it came");

    let (signed, signature) = anna.token.rsplit_once('.').expect("a compact JWS");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    gate.refuse("any", &forged, 401, "token_invalid");
    // Signed by the realm, but for Keycloak itself.
    gate.refuse("any", &anna.refresh_token, 401, "token_invalid");
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let (keycloak, gate) = open();
    let exchanged = gate.pass("exchanged", &keycloak.log_in("anna").token);
    assert_eq!(claims(&exchanged)["aud"], "inventory");
    gate.refuse("any", &exchanged, 401, "token_invalid");
}

#[test]
fn roles_of_the_realm_count() {
    let (keycloak, gate) = open();
    gate.pass("clerks", &keycloak.log_in("anna").token);
    gate.refuse("clerks", &keycloak.log_in("bert").token, 403, "insufficient_scope");
}

#[test]
fn people_and_service_accounts_are_told_apart() {
    let (keycloak, gate) = open();
    let (person, application) = (keycloak.log_in("bert").token, keycloak.token_of_an_application());
    gate.pass("people", &person);
    gate.refuse("people", &application, 403, "caller_not_allowed");
    gate.pass("applications", &application);
    gate.refuse("applications", &person, 403, "caller_not_allowed");
}

/// Keycloak, and a Vicar with a route for each rule.
fn open() -> (&'static Keycloak, Gate) {
    let keycloak = Keycloak::shared();
    (keycloak, Gate::open(&keycloak.server, |place| keycloak.parties(place), ROUTES))
}

/// One route for each rule.
const ROUTES: &[Route] = &[
    ("any", "issuers: [people]", "passthrough"),
    ("clerks", "issuers: [people], roles: [clerk]", "passthrough"),
    ("people", "issuers: [people], callers: users", "passthrough"),
    ("applications", "issuers: [people], callers: applications", "passthrough"),
    (
        "exchanged",
        "issuers: [people]",
        "{ token_exchange: { client: orders, audience: inventory } }",
    ),
];
