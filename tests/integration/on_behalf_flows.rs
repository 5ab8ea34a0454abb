//! What each flow on behalf of callers asks of the authority, down to the last field, and for whom it asks
//! nothing at all.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::authority::{Answer, Asked};
use crate::support::client::{Reply, get};
use crate::support::issuer::{ISSUER, OTHER_TENANT, TENANT, bearer, now};
use crate::support::upstream::Upstream;
use crate::support::world::{Terms, World, route};

/// A token of a server that knows RFC 8693.
fn exchanged(token: &str, token_type: &str, issued: &str) -> Answer {
    let body = json!({
        "access_token": token, "token_type": token_type, "issued_token_type": issued, "expires_in": 3600,
    });
    Answer::json(200, &body.to_string())
}

/// Name and value of each field, without those that say who we are.
fn form(asked: &Asked) -> Vec<(&str, &str)> {
    let fields = asked.form.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fields.filter(|(name, _)| !name.starts_with("client_")).collect()
}

/// A flow, what the server issues in which way, and the fields besides the caller's token.
type Form = (&'static str, [&'static str; 2], &'static [(&'static str, &'static str)]);

const FORMS: &[Form] = &[
    (
        "token_exchange: { client: c }",
        ["Bearer", ACCESS_TOKEN],
        &[("grant_type", EXCHANGE), ("subject_token_type", ACCESS_TOKEN)],
    ),
    (
        "token_exchange: { client: c, scopes: [b, a], audience: one, parameters: { x: '1 &=' } }",
        ["bearer", JWT],
        &[
            ("grant_type", EXCHANGE),
            ("subject_token_type", ACCESS_TOKEN),
            ("scope", "a b"),
            ("audience", "one"),
            ("x", "1 &="),
        ],
    ),
    (
        "token_exchange: { client: c, audience: [two, one], resource: ['https://r/2', 'https://r/1'], \
         subject_token_type: jwt, requested_token_type: access_token }",
        ["Bearer", ACCESS_TOKEN],
        &[
            ("grant_type", EXCHANGE),
            ("subject_token_type", JWT),
            ("requested_token_type", ACCESS_TOKEN),
            ("audience", "two"),
            ("audience", "one"),
            ("resource", "https://r/2"),
            ("resource", "https://r/1"),
        ],
    ),
    (
        "token_exchange: { client: c, subject_token_type: id_token, requested_token_type: jwt }",
        ["N_A", JWT],
        &[
            ("grant_type", EXCHANGE),
            ("subject_token_type", ID_TOKEN),
            ("requested_token_type", JWT),
        ],
    ),
    (
        "token_exchange: { client: c, requested_token_type: id_token }",
        ["N_A", ID_TOKEN],
        &[
            ("grant_type", EXCHANGE),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ID_TOKEN),
        ],
    ),
    (
        "token_exchange: { client: c, subject_token_type: 'urn:x:mine', requested_token_type: 'urn:x:txn' }",
        ["N_A", "urn:x:txn"],
        &[
            ("grant_type", EXCHANGE),
            ("subject_token_type", "urn:x:mine"),
            ("requested_token_type", "urn:x:txn"),
        ],
    ),
    ("jwt_bearer: { client: c }", ["Bearer", ACCESS_TOKEN], &[("grant_type", JWT_BEARER)]),
    (
        "jwt_bearer: { client: c, scopes: [b, a], audience: one, resource: ['https://r/1'], \
         parameters: { x: y } }",
        ["Bearer", JWT],
        &[
            ("grant_type", JWT_BEARER),
            ("scope", "a b"),
            ("audience", "one"),
            ("resource", "https://r/1"),
            ("x", "y"),
        ],
    ),
    (
        "on_behalf_of: { client: c, scopes: [s], parameters: { x: y } }",
        ["Bearer", ACCESS_TOKEN],
        &[
            ("grant_type", JWT_BEARER),
            ("requested_token_use", "on_behalf_of"),
            ("scope", "s"),
            ("x", "y"),
        ],
    ),
];

#[tokio::test]
async fn each_flow_sends_what_it_should_and_nothing_else() {
    for (flow, [token_type, issued], expected) in FORMS {
        let world = World::with(flow).await;
        world.authority.then([exchanged("downstream", token_type, issued)]);
        let token = world.token_of("alice", &json!({}));
        let reply = world.call(&token).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok"), "{flow}");
        assert_eq!(world.bearers(), ["downstream"], "{flow}");
        let asked = world.only_request();
        let shown = if flow.starts_with("token_exchange") { "subject_token" } else { "assertion" };
        let mut expected = expected.to_vec();
        expected.push((shown, &token));
        let mut fields = form(&asked);
        // Which comes first is nobody's business, but for fields of one name.
        fields.sort_by_key(|(name, _)| *name);
        expected.sort_by_key(|(name, _)| *name);
        assert_eq!(fields, expected, "{flow}");
        assert_eq!(asked.field("client_id"), Some("me"), "{flow}");
        assert_eq!(asked.field("client_secret"), Some("s3cret"), "{flow}");
    }
}

#[tokio::test]
async fn a_token_of_another_type_than_was_asked_for_is_not_sent() {
    for (requested, [token_type, issued], expected) in [
        ("", ["Bearer", JWT], None),
        ("", ["N_A", JWT], Some("authority_token_type")),
        ("", ["Bearer", ID_TOKEN], Some("authority_issued_type")),
        ("access_token", ["Bearer", ACCESS_TOKEN], None),
        ("access_token", ["Bearer", JWT], Some("authority_issued_type")),
        ("access_token", ["N_A", ACCESS_TOKEN], Some("authority_token_type")),
        ("jwt", ["Bearer", JWT], None),
        ("jwt", ["Bearer", ACCESS_TOKEN], Some("authority_issued_type")),
        ("id_token", ["N_A", JWT], Some("authority_issued_type")),
        ("id_token", ["mac", ID_TOKEN], Some("authority_token_type")),
        ("'urn:x:txn'", ["N_A", "urn:x:other"], Some("authority_issued_type")),
        ("'urn:x:txn'", ["N_A", "urn:x:TXN"], Some("authority_issued_type")),
    ] {
        let what = format!("{requested}: {token_type} {issued}");
        let asks = match requested {
            "" => String::new(),
            requested => format!(", requested_token_type: {requested}"),
        };
        let world = World::with(&format!("token_exchange: {{ client: c {asks} }}")).await;
        world.authority.then([exchanged("downstream", token_type, issued)]);
        let reply = world.call(&world.token_of("alice", &json!({}))).await;
        let Some(reason) = expected else {
            assert_eq!(reply.status, 200, "{what}: {}", reply.body);
            continue;
        };
        assert_eq!((reply.status, reply.reason().as_str()), (502, reason), "{what}");
        assert!(world.upstream.seen().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn may_act_decides_before_anybody_is_asked() {
    let us = Some(200);
    for (may_act, honour, require) in [
        (Value::Null, us, None),
        (json!({ "sub": "me" }), us, us),
        (json!({ "client_id": "me" }), us, us),
        (json!({ "sub": "me", "client_id": "me" }), us, us),
        (json!({ "sub": "me", "iss": ISSUER }), us, us),
        (json!({ "sub": "me", "iss": "https://other.test" }), None, None),
        (json!({ "sub": "me", "iss": 7 }), None, None),
        (json!({ "sub": "another" }), None, None),
        (json!({ "client_id": "another" }), None, None),
        (json!({ "sub": "another", "client_id": "me" }), None, None),
        (json!({ "sub": ["me"] }), None, None),
        (json!({ "sub": "ME" }), None, None),
        (json!({ "iss": ISSUER }), None, None),
        (json!({}), None, None),
        (json!("me"), None, None),
        (json!(["me"]), None, None),
    ] {
        for (mode, allowed) in [("ignore", us), ("honour", honour), ("require", require)] {
            let what = format!("{mode} {may_act}");
            let flow = format!("token_exchange: {{ client: c, may_act: {mode} }}");
            let world = World::with(&flow).await;
            world.authority.then([exchanged("downstream", "Bearer", ACCESS_TOKEN)]);
            let reply = world.call(&world.token_of("alice", &json!({ "may_act": may_act }))).await;
            assert_eq!(reply.status, allowed.unwrap_or(403), "{what}");
            assert_eq!(world.authority.count(), usize::from(allowed.is_some()), "{what}");
            if allowed.is_none() {
                assert_eq!(reply.reason(), "caller_not_allowed", "{what}");
                assert!(world.upstream.seen().is_empty(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn the_actors_token_is_fetched_once_and_shown_with_every_callers() {
    let flow = "token_exchange: { client: c, audience: a, actor: { client_credentials: { client: c, \
                scopes: [act] } }, actor_token_type: jwt }";
    let world = World::with(flow).await;
    let downstream = |name: &str| exchanged(name, "Bearer", ACCESS_TOKEN);
    world.authority.then([
        Answer::token("actor-1", 7200),
        downstream("for-alice"),
        downstream("for-bob"),
        Answer::token("actor-2", 7200),
        downstream("for-carol"),
    ]);
    let person = |name| world.token_of(name, &json!({ "exp": now() + 4 * 3600 }));
    for name in ["alice", "bob", "alice"] {
        assert_eq!(world.call(&person(name)).await.status, 200, "{name}");
    }
    world.vicar.clock.advance(Duration::from_secs(7201));
    assert_eq!(world.call(&person("carol")).await.status, 200);
    assert_eq!(world.bearers(), ["for-alice", "for-bob", "for-alice", "for-carol"]);
    let asked = world.authority.asked();
    let actor = [("grant_type", "client_credentials"), ("scope", "act")];
    assert_eq!((form(&asked[0]), form(&asked[3])), (actor.to_vec(), actor.to_vec()));
    for (asked, actor) in [(&asked[1], "actor-1"), (&asked[2], "actor-1"), (&asked[4], "actor-2")] {
        assert_eq!(asked.field("actor_token"), Some(actor));
        assert_eq!(asked.field("actor_token_type"), Some(JWT));
        assert_eq!(asked.field("audience"), Some("a"));
    }
    assert_eq!(asked.len(), 5);
}

#[tokio::test]
async fn without_the_actors_token_nothing_is_exchanged() {
    let flow = "token_exchange: { client: c, actor: { client_credentials: { client: c } } }";
    for (answer, status, reason, asked) in [
        (Answer::json(400, r#"{"error":"invalid_scope"}"#), 502, "authority_refused_request", 1),
        (Answer::json(401, r#"{"error":"invalid_client"}"#), 502, "authority_refused_client", 1),
        // Nobody but the operator can help with our own token, whatever the word.
        (Answer::json(400, r#"{"error":"invalid_grant"}"#), 502, "authority_refused_request", 1),
        (Answer::json(500, "{}"), 503, "authority_answer_unusable", 2),
        (Answer::json(429, "{}").header("retry-after", "9"), 503, "authority_throttled", 1),
    ] {
        let what = answer.body.clone();
        let world = World::with(flow).await;
        world.authority.always(Some(answer));
        let reply = world.call(&world.token_of("alice", &json!({}))).await;
        assert_eq!((reply.status, reply.reason().as_str()), (status, reason), "{what}");
        assert_eq!(reply.header("www-authenticate"), None, "{what}");
        let grants = world.authority.asked();
        let grants: Vec<_> =
            grants.iter().map(|asked| asked.field("grant_type").unwrap()).collect();
        assert_eq!(grants, vec!["client_credentials"; asked], "{what}");
    }
}

/// A route whose tokens come from the caller's tenant, or from the client's own.
async fn tenants(tenant: &str, extra: &str) -> World {
    let issuer = format!(
        "entra: {{ tenants: [{TENANT}, {OTHER_TENANT}], instance: 'AUTHORITY' }}, \
         audiences: ['api://orders'], algorithms: [EdDSA]"
    );
    let terms = Terms {
        issuer: &issuer,
        authority: "entra: { tenant: contoso.test, instance: 'AUTHORITY' }",
        client: ", capabilities: [cp1]",
        ..Terms::default()
    };
    let flow = format!(
        "on_behalf_of: {{ client: c, tenant: {tenant}, scopes: ['https://graph.test/User.Read'] {extra} }}"
    );
    World::start(Upstream::start().await, terms, &route(&flow, "")).await
}

/// The token of a person, or of an application, of this tenant. People of two tenants may look the same.
fn token_of_tenant(world: &World, tenant: &str, changes: &Value) -> String {
    let issuer = format!("{}/{tenant}/v2.0", world.authority.url());
    let mut claims = json!({
        "iss": issuer, "tid": tenant, "aud": "api://orders", "exp": now() + 3600, "sub": "same",
        "oid": "same-object", "scp": "Orders.Read", "azp": "app-1", "xms_cc": ["cp1"],
    });
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let claims = claims.as_object().expect("an object").clone().into_iter();
    world.key.token(&claims.filter(|(_, value)| !value.is_null()).collect())
}

fn endpoint(tenant: &str) -> String {
    format!("/{tenant}/oauth2/v2.0/token")
}

#[tokio::test]
async fn each_person_is_asked_for_at_the_tenant_that_vouches_for_it() {
    for (setting, paths) in [
        ("caller", [endpoint(TENANT), endpoint(OTHER_TENANT)]),
        ("configured", [endpoint("contoso.test"), endpoint("contoso.test")]),
    ] {
        let world = tenants(setting, "").await;
        let tokens =
            [TENANT, OTHER_TENANT].map(|tenant| token_of_tenant(&world, tenant, &json!({})));
        for token in [&tokens[0], &tokens[1], &tokens[0], &tokens[1]] {
            assert_eq!(world.call(token).await.status, 200, "{setting}");
        }
        assert_eq!(world.bearers(), ["token-1", "token-2", "token-1", "token-2"], "{setting}");
        let asked = world.authority.asked();
        assert_eq!(asked.len(), 2, "{setting}");
        for ((asked, path), token) in asked.iter().zip(&paths).zip(&tokens) {
            assert_eq!(&asked.path, path, "{setting}");
            assert_eq!(asked.field("assertion"), Some(token.as_str()), "{setting}");
        }
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_accepted_or_not_proven_is_never_asked() {
    let world = tenants("caller", "").await;
    let third = "77777777-2222-3333-4444-555555555555";
    for (tenant, changes) in [
        (third, json!({})),
        (TENANT, json!({ "tid": OTHER_TENANT })),
        (TENANT, json!({ "tid": "../common" })),
        (TENANT, json!({ "tid": null })),
        ("common", json!({})),
    ] {
        let reply = world.call(&token_of_tenant(&world, tenant, &changes)).await;
        assert_eq!(reply.status, 401, "{tenant} {changes}");
    }
    assert_eq!(world.authority.count(), 0);
}

#[tokio::test]
async fn what_one_tenant_says_is_not_held_against_another() {
    let world = tenants("caller", "").await;
    let here = token_of_tenant(&world, TENANT, &json!({}));
    let there = token_of_tenant(&world, OTHER_TENANT, &json!({}));
    world.authority.then([Answer::json(401, r#"{"error":"invalid_client"}"#)]);
    assert_eq!(world.call(&here).await.reason(), "authority_refused_client");
    assert_eq!(world.call(&there).await.status, 200);
    assert_eq!(world.call(&here).await.reason(), "authority_refused_client");
    assert_eq!(world.authority.count(), 2, "the first is not asked again at once");
}

#[tokio::test]
async fn a_challenge_leads_to_the_tenant_of_the_person() {
    for (setting, tenant) in [("caller", OTHER_TENANT), ("configured", "contoso.test")] {
        let world = tenants(setting, "").await;
        let body =
            json!({ "error": "interaction_required", "claims": r#"{"access_token":{"a":null}}"# });
        world.authority.then([Answer::json(400, &body.to_string())]);
        let reply = world.call(&token_of_tenant(&world, OTHER_TENANT, &json!({}))).await;
        let uri = format!("{}/{tenant}/oauth2/v2.0/authorize", world.authority.url());
        let told = reply.header("www-authenticate").expect("a challenge");
        assert!(told.contains(&format!("authorization_uri=\"{uri}\"")), "{setting}: {told}");
        assert!(told.contains("insufficient_claims"), "{setting}: {told}");
    }
}

#[tokio::test]
async fn a_session_stays_with_the_tenant_of_the_person_who_began_it() {
    let world = tenants("caller", ", when_app_only: session, session: { header: X-Session }").await;
    let grant = |token: &str| {
        let body = json!({
            "access_token": token, "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r",
        });
        Answer::json(200, &body.to_string())
    };
    world.authority.then([grant("one"), grant("two")]);
    let call = async |token: &str| -> Reply {
        let headers = format!("{}x-session: session-of-a-guest\r\n", bearer(token));
        get(&world.vicar.address(), "/", &headers).await
    };
    assert_eq!(call(&token_of_tenant(&world, OTHER_TENANT, &json!({}))).await.status, 200);
    world.vicar.clock.advance(Duration::from_secs(3601));
    let robot = json!({
        "idtyp": "app", "scp": null, "sub": "robot", "oid": "robot", "azp": "robot",
        "roles": ["Orders.All"], "exp": now() + 7200,
    });
    assert_eq!(call(&token_of_tenant(&world, TENANT, &robot)).await.status, 200);
    let asked = world.authority.asked();
    let paths: Vec<_> = asked.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(paths, [endpoint(OTHER_TENANT), endpoint(OTHER_TENANT)]);
    assert_eq!(asked[1].field("refresh_token"), Some("r"));
    // Somebody of the same name elsewhere is somebody else.
    let namesake = token_of_tenant(&world, TENANT, &json!({ "exp": now() + 7200 }));
    let reply = call(&namesake).await;
    assert_eq!((reply.status, reply.reason().as_str()), (403, "session_of_another"));
}

#[tokio::test]
async fn a_callers_token_that_has_expired_is_not_exchanged_though_clocks_may_differ() {
    let session = "session: { header: X-Session }";
    for flow in [
        "on_behalf_of: { client: c, scopes: [s] }".to_owned(),
        "token_exchange: { client: c }".to_owned(),
        "jwt_bearer: { client: c }".to_owned(),
        format!("on_behalf_of: {{ client: c, scopes: [s], {session} }}"),
    ] {
        let world = World::with(&flow).await;
        let issuers_view = world.token_of("alice", &json!({ "exp": now() - 30 }));
        let headers = format!("{}x-session: session-of-alice-1\r\n", bearer(&issuers_view));
        for _ in 0..2 {
            let reply = get(&world.vicar.address(), "/", &headers).await;
            assert_eq!((reply.status, reply.reason().as_str()), (401, "token_expired"), "{flow}");
        }
        assert_eq!(world.authority.count(), 0, "{flow}");
    }
}

/// A file that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("vicar-assertion-{:x}", fastrand::u64(..))))
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).expect("writes");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A world whose client proves itself by the assertion in this file.
async fn asserting(file: &Scratch, flow: &str) -> World {
    let credential = format!("client_assertion: {{ file: '{}' }}", file.0.display());
    let terms = Terms { credential: &credential, ..Terms::default() };
    World::start(Upstream::start().await, terms, &route(flow, "")).await
}

#[tokio::test]
async fn a_client_assertion_is_read_for_every_request() {
    let file = Scratch::new();
    for flow in [ON_BEHALF_OF, "client_credentials: { client: c, scopes: [s] }"] {
        file.write(AT_LOAD);
        let world = asserting(&file, flow).await;
        let assertion = |id: &str, exp: u64| world.key.token(&json!({ "jti": id, "exp": exp }));
        let caller = world.token_of("alice", &json!({ "exp": now() + 24 * 3600 }));
        let (first, second) = (assertion("1", now() + 7300), assertion("2", now() + 7300));
        for assertion in [&first, &second] {
            file.write(&format!("{assertion}\n"));
            assert_eq!(world.call(&caller).await.status, 200, "{flow}");
            world.vicar.clock.advance(Duration::from_secs(3601));
        }
        // Half written or gone: the last good one will do, as long as it is good.
        std::fs::remove_file(&file.0).expect("removes");
        assert_eq!(world.call(&caller).await.status, 200, "{flow}");
        world.vicar.clock.advance(Duration::from_secs(3601));
        let reply = world.call(&caller).await;
        assert_eq!((reply.status, reply.reason().as_str()), (503, "credential_unreadable"));
        let asked = world.authority.asked();
        let sent: Vec<_> = asked.iter().map(|a| a.field("client_assertion").unwrap()).collect();
        assert_eq!(sent, [&first, &second, &second], "{flow}");
        for asked in &asked {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            assert_eq!(asked.field("client_assertion_type"), Some(kind), "{flow}");
            assert_eq!(asked.field("client_id"), Some("me"), "{flow}");
            assert_eq!(asked.field("client_secret"), None, "{flow}");
            assert_eq!(asked.headers.get("authorization"), None, "{flow}");
        }
    }
}

#[tokio::test]
async fn an_assertion_that_is_not_good_is_never_sent() {
    let file = Scratch::new();
    file.write(AT_LOAD);
    let world = asserting(&file, ON_BEHALF_OF).await;
    let expired = world.key.token(&json!({ "exp": now() - 1 }));
    let eternal = world.key.token(&json!({ "sub": "me" }));
    let good = world.key.token(&json!({ "exp": now() + 7200 }));
    let unsigned = format!("{}.", good.rsplit_once('.').expect("three parts").0);
    let call = async |user: &str| world.call(&world.token_of(user, &json!({}))).await;
    for (number, (what, text)) in [
        ("no JWT", Some("secret")),
        ("expired", Some(expired.as_str())),
        ("empty after one that has expired", Some("")),
        ("gone after one that has expired", None),
        ("without end", Some(&eternal)),
        ("unsigned", Some(&unsigned)),
        ("two", Some(&format!("{good}\n{good}"))),
    ]
    .into_iter()
    .enumerate()
    {
        match text {
            None => drop(std::fs::remove_file(&file.0)),
            Some(text) => file.write(text),
        }
        let reply = call(&format!("user-{number}")).await;
        let answer = (reply.status, reply.reason());
        assert_eq!(answer, (503, "credential_unreadable".to_owned()), "{what}");
        assert!(reply.header("retry-after").is_some(), "{what}");
        assert!(!reply.body.contains("vicar-assertion"), "{what}: names the file: {}", reply.body);
        assert_eq!(world.authority.count(), 0, "{what}");
        // What was wrong with the client is remembered for a while.
        world.vicar.clock.advance(Duration::from_secs(2));
    }
    file.write(&good);
    assert_eq!(call("alice").await.status, 200);
}

/// `{"exp":99999999999}`, which is good enough for `vicar check`.
const AT_LOAD: &str = "e30.eyJleHAiOjk5OTk5OTk5OTk5fQ.c2ln";
const ON_BEHALF_OF: &str = "on_behalf_of: { client: c, scopes: [s] }";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
