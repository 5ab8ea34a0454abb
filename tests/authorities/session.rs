//! Long-running work (`session`) at Keycloak: what goes on without its person's token, until when.
//!
//! An exchange gives a refresh token only where the client may have one and asks for it. Access
//! tokens of that client live for five seconds, so that a test sees them renewed.

use std::time::Duration;

use crate::{
    gate::{Gate, Route, claims},
    keycloak::Keycloak,
    process::poll,
};

#[test]
fn an_application_goes_on_with_the_rights_of_the_person_who_began() {
    let (keycloak, gate) = open();
    let (anna, application) = (keycloak.log_in("anna").token, keycloak.token_of_an_application());
    let first = gate.pass_with("lasting", &anna, REPORT);
    assert_eq!(claims(&first)["azp"], "orders-lasting");
    assert_eq!(claims(&first)["aud"], "inventory");

    let later = poll(RENEWAL_LIMIT, || {
        let arrived = gate.pass_with("lasting", &application, REPORT);
        (arrived != first).then_some(arrived)
    });
    let later = claims(&later.expect("a token that the refresh token gave"));
    for name in ["aud", "azp", "preferred_username", "sid", "sub"] {
        assert_eq!(later[name], claims(&first)[name], "{name}");
    }
    assert_eq!(later["preferred_username"], "anna");
}

#[test]
fn nobody_goes_on_with_what_is_not_theirs() {
    let (keycloak, gate) = open();
    let application = keycloak.token_of_an_application();
    gate.refuse_with("lasting", &application, REPORT, (401, "session_unknown"));
    gate.pass_with("lasting", &keycloak.log_in("anna").token, REPORT);
    let bert = keycloak.log_in("bert").token;
    gate.refuse_with("lasting", &bert, REPORT, (403, "session_of_another"));
    gate.refuse("lasting", &application, 403, "user_required");

    let its = claims(&gate.pass("lasting", &bert));
    assert_eq!(its["preferred_username"], "bert", "without a session it is a call like any other");
}

#[test]
fn a_session_is_over_when_its_person_has_logged_out() {
    let (keycloak, gate) = open();
    let (anna, application) = (keycloak.log_in("anna"), keycloak.token_of_an_application());
    gate.pass_with("lasting", &anna.token, REPORT);
    gate.pass_with("lasting", &application, REPORT);

    keycloak.log_out(&anna);
    let refusal = poll(RENEWAL_LIMIT, || {
        let answer = gate.call("lasting", &application, REPORT).1;
        (answer.status != 200).then_some(answer)
    });
    let refusal = refusal.expect("the refresh token is worth nothing now");
    assert_eq!(refusal.status, 401, "{refusal:?}");
    // The second when the refusal was heard before this call: renewal begins early.
    let told = ["user_sign_in_required", "session_unknown"];
    assert!(told.iter().any(|reason| refusal.body.contains(reason)), "{refusal:?}");
    for word in ["invalid_grant", "Session not active"] {
        assert!(!refusal.raw.contains(word), "{word:?} reached the caller: {refusal:?}");
    }
    gate.refuse_with("lasting", &application, REPORT, (401, "session_unknown"));
}

#[test]
fn a_client_that_may_have_no_refresh_token_is_the_operators_matter() {
    let (keycloak, gate) = open();
    let anna = keycloak.log_in("anna").token;
    gate.refuse_with("not-allowed", &anna, REPORT, (502, "authority_refused_request"));
}

/// Keycloak, and a Vicar with routes that have sessions.
fn open() -> (&'static Keycloak, Gate) {
    let keycloak = Keycloak::shared();
    (keycloak, Gate::open(&keycloak.server, |place| keycloak.parties(place), ROUTES))
}

/// One client that may have refresh tokens, and one that may not.
const ROUTES: &[Route] = &[
    (
        "lasting",
        "issuers: [people]",
        "{ token_exchange: { client: orders-lasting, audience: inventory, \
         requested_token_type: refresh_token, session: { header: X-Session }, \
         when_app_only: session } }",
    ),
    (
        "not-allowed",
        "issuers: [people]",
        "{ token_exchange: { client: orders, audience: inventory, \
         requested_token_type: refresh_token, session: { header: X-Session } } }",
    ),
];

/// How these calls name their session.
const REPORT: &str = "X-Session: the report of this week\r\n";

/// Five seconds, and the rest for a machine under load.
const RENEWAL_LIMIT: Duration = Duration::from_secs(30);
