//! Work that outlives the token of the person it is done for: how sessions begin, go on, are renewed and end,
//! and whose they are.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use serde_json::{Value, json};

use crate::support::authority::{Answer, Asked};
use crate::support::client::{self, Reply};
use crate::support::eventually;
use crate::support::issuer::{bearer, now};
use crate::support::upstream::Upstream;
use crate::support::world::{Terms, World, claims_challenge, route};

/// A grant with this token, good for so many seconds, and a refresh token.
fn granted(token: &str, refresh_token: &str, expires_in: u64) -> Answer {
    let mut body =
        json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in });
    if !refresh_token.is_empty() {
        body["refresh_token"] = refresh_token.into();
    }
    Answer::json(200, &body.to_string())
}

/// On-behalf-of with this session, for applications and for callers without a token alike.
fn flow(session: &str) -> String {
    format!(
        "on_behalf_of: {{ client: c, scopes: [s], when_app_only: session, when_anonymous: session, \
         session: {{ {session} }} }}"
    )
}

/// A route with this flow, to be called with or without a token.
fn routes(flow: &str) -> String {
    let callers = "{ issuers: [i], mode: optional, claims: { sub: [alice, bob, robot] } }";
    route(flow, "").replace("{ issuers: [i] }", callers)
}

async fn world(session: &str) -> World {
    World::start(Upstream::start().await, Terms::default(), &routes(&flow(session))).await
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Application,
    Nobody,
    Person(&'static str),
}

impl Who {
    /// Its credential, good for so long from now by the world's clock, as a header line.
    fn credential(self, world: &World, at: u64, lives: u64) -> String {
        let exp = now() + at + lives;
        match self {
            Self::Application => {
                bearer(&world.token_of("robot", &json!({ "azp": "robot", "exp": exp })))
            }
            Self::Nobody => String::new(),
            Self::Person(name) => bearer(&world.token_of(name, &json!({ "exp": exp }))),
        }
    }
}

/// A world whose clock has moved.
struct Moved {
    world: Arc<World>,
    /// Seconds since it began.
    at: u64,
}

impl Moved {
    async fn begin(session: &str) -> Self {
        Self { world: Arc::new(world(session).await), at: 0 }
    }

    fn pass(&mut self, seconds: u64) {
        self.world.vicar.clock.advance(Duration::from_secs(seconds));
        self.at += seconds;
    }

    /// A call of a session by its header, with a credential that is good for an hour.
    async fn call(&self, who: Who, session: &str) -> Reply {
        let credential = who.credential(&self.world, self.at, 3600);
        let session = match session {
            "" => String::new(),
            name => format!("x-session: {name}\r\n"),
        };
        self.world.send("GET", "/", &format!("{credential}{session}"), "").await
    }

    /// Whether a call gets an answer of the upstream, or the reason why it does not.
    async fn outcome(&self, who: Who, session: &str) -> (u16, String) {
        let reply = self.call(who, session).await;
        if reply.body == "ok" {
            return (reply.status, String::new());
        }
        (reply.status, reply.reason())
    }

    fn last_bearer(&self) -> String {
        self.world.upstream.last().bearer()
    }

    async fn admin(&self, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n");
        let length = body.len();
        let request = format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
        client::send(&self.world.vicar.admin(), &request).await
    }
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

/// Name and value of each field, without those that say who we are.
fn form(asked: &Asked) -> Vec<(&str, &str)> {
    let fields = asked.form.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fields.filter(|(name, _)| !name.starts_with("client_")).collect()
}

#[tokio::test]
async fn a_session_goes_on_with_its_refresh_token_when_its_persons_token_has_expired() {
    for (session, name) in [(BY_HEADER, NAME), ("key: nightly", "")] {
        for who in [Who::Application, Who::Nobody] {
            for (rotates, third) in [("refresh-2", "refresh-2"), ("", "refresh-1")] {
                let what = format!("{session}, {who:?}, rotation {rotates:?}");
                let mut moved = Moved::begin(session).await;
                moved.world.authority.then([
                    granted("one", "refresh-1", 3600),
                    granted("two", rotates, 3600),
                    granted("three", "refresh-3", 3600),
                ]);
                assert_eq!(moved.outcome(ALICE, name).await, ok(), "{what}");
                assert_eq!(moved.outcome(who, name).await, ok(), "{what}: still one token");
                moved.pass(3601);
                assert_eq!(moved.outcome(who, name).await, ok(), "{what}: renewed");
                moved.pass(3601);
                assert_eq!(moved.outcome(who, name).await, ok(), "{what}: renewed again");
                assert_eq!(moved.world.bearers(), ["one", "one", "two", "three"], "{what}");
                let asked = moved.world.authority.asked();
                assert_eq!(asked.len(), 3, "{what}");
                assert!(asked[0].field("assertion").is_some(), "{what}");
                assert_eq!(asked[0].field("scope"), Some("s"), "{what}");
                for (asked, refresh_token) in asked[1..].iter().zip(["refresh-1", third]) {
                    let expected = [
                        ("grant_type", "refresh_token"),
                        ("refresh_token", refresh_token),
                        ("scope", "s"),
                    ];
                    assert_eq!(form(asked), expected, "{what}");
                    assert_eq!(asked.field("client_secret"), Some("s3cret"), "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_of_a_session_is_renewed_in_the_background_before_it_expires() {
    let mut moved = Moved::begin(BY_HEADER).await;
    moved.world.authority.then([granted("one", "refresh-1", 3600), granted("two", "", 3600)]);
    moved.outcome(ALICE, NAME).await;
    moved.pass(3000);
    assert_eq!(moved.outcome(Who::Application, NAME).await, ok());
    assert_eq!(moved.last_bearer(), "one", "nobody waits");
    eventually("the renewal", || moved.world.authority.count() == 2).await;
    assert_eq!(moved.world.authority.asked()[1].field("refresh_token"), Some("refresh-1"));
}

#[tokio::test]
async fn entra_is_asked_for_a_refresh_token_where_there_is_a_session_and_others_are_not() {
    let entra = "entra: { tenant: contoso.test, instance: 'AUTHORITY' }";
    let other = Terms::default().authority;
    for (authority, session, scopes, expected) in [
        (entra, true, "api://b/read", "api://b/read offline_access"),
        (entra, true, "api://b/read, offline_access", "api://b/read offline_access"),
        (entra, false, "api://b/read", "api://b/read"),
        (other, true, "api://b/read", "api://b/read"),
    ] {
        let what = format!("{authority}, session: {session}");
        let session = if session { ", session: { key: nightly }" } else { "" };
        let flow = format!("on_behalf_of: {{ client: c, scopes: [{scopes}] {session} }}");
        let terms = Terms { authority, ..Terms::default() };
        let world = World::start(Upstream::start().await, terms, &routes(&flow)).await;
        world.authority.then([granted("one", "refresh-1", 60), granted("two", "", 60)]);
        let token = world.token_of("alice", &json!({}));
        for _ in 0..2 {
            assert_eq!(world.call(&token).await.status, 200, "{what}");
            world.vicar.clock.advance(Duration::from_secs(61));
        }
        let asked = world.authority.asked();
        let renewed = if session.is_empty() { "assertion" } else { "refresh_token" };
        assert!(asked[1].field(renewed).is_some(), "{what}: {:?}", form(&asked[1]));
        assert!(asked.iter().all(|asked| asked.field("scope") == Some(expected)), "{what}");
    }
}

#[tokio::test]
async fn an_exchange_may_ask_for_the_refresh_token_as_such() {
    let urn = "urn:ietf:params:oauth:token-type:refresh_token";
    let flow = "token_exchange: { client: c, audience: a, requested_token_type: refresh_token, \
                when_app_only: session, session: { header: X-Session } }";
    let mut moved = Moved { world: Arc::new(World::with(flow).await), at: 0 };
    // As Keycloak answers: an access token, with the type of the other one.
    let body = json!({
        "access_token": "one", "refresh_token": "refresh-1", "issued_token_type": urn,
        "token_type": "Bearer", "expires_in": 300,
    });
    moved.world.authority.then([Answer::json(200, &body.to_string()), granted("two", "", 300)]);
    assert_eq!(moved.outcome(ALICE, NAME).await, ok());
    moved.pass(301);
    assert_eq!(moved.outcome(Who::Application, NAME).await, ok());
    assert_eq!(moved.world.bearers(), ["one", "two"]);
    let asked = moved.world.authority.asked();
    assert_eq!(asked[0].field("requested_token_type"), Some(urn));
    let renewal = [("grant_type", "refresh_token"), ("refresh_token", "refresh-1")];
    assert_eq!(form(&asked[1]), renewal, "the server remembers for whom it was");
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_ends_the_session() {
    for who in [Who::Application, Who::Nobody] {
        let mut moved = Moved::begin(BY_HEADER).await;
        let revoked = Answer::json(400, r#"{"error":"invalid_grant"}"#);
        moved.world.authority.then([granted("one", "refresh-1", 3600), revoked]);
        moved.outcome(ALICE, NAME).await;
        moved.pass(3601);
        let reply = moved.call(who, NAME).await;
        assert_eq!((reply.status, reply.reason().as_str()), (401, "user_sign_in_required"));
        // Its own token is good, so there is nothing that it could do with one more.
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{who:?}");
        assert_eq!(moved.outcome(who, NAME).await, refused(401, "session_unknown"), "{who:?}");
        assert_eq!(moved.world.authority.count(), 2, "{who:?}: not asked again");
        // The person's next call begins another one.
        moved.world.authority.then([granted("three", "refresh-3", 3600)]);
        assert_eq!(moved.outcome(ALICE, NAME).await, ok(), "{who:?}");
        assert_eq!(moved.outcome(who, NAME).await, ok(), "{who:?}");
        assert_eq!(moved.world.bearers(), ["one", "three", "three"], "{who:?}");
        assert!(moved.world.authority.asked()[2].field("assertion").is_some(), "{who:?}");
    }
}

#[tokio::test]
async fn one_that_is_refused_ahead_of_time_leaves_the_token_that_is_still_good() {
    let mut moved = Moved::begin(BY_HEADER).await;
    let revoked = Answer::json(400, r#"{"error":"invalid_grant"}"#);
    moved.world.authority.then([granted("one", "refresh-1", 3600), revoked]);
    moved.outcome(ALICE, NAME).await;
    moved.pass(3000);
    assert_eq!(moved.outcome(Who::Application, NAME).await, ok(), "renewed in the background");
    eventually("the refusal", || moved.world.authority.count() == 2).await;
    assert_eq!(moved.outcome(Who::Application, NAME).await, ok(), "it has ten minutes left");
    moved.pass(601);
    let (status, reason) = moved.outcome(Who::Application, NAME).await;
    // The refusal may still be on its way to us.
    let told = ["session_unknown", "user_sign_in_required"];
    assert!(status == 401 && told.contains(&reason.as_str()), "{status} {reason}");
    assert_eq!(moved.world.bearers(), ["one"; 3]);
    assert_eq!(moved.world.authority.count(), 2, "not asked again");
}

#[tokio::test]
async fn a_newer_token_of_the_person_is_tried_before_the_refresh_token_and_that_one_after_it() {
    let revoked = Answer::json(400, r#"{"error":"invalid_grant"}"#);
    for (answers, grants) in [
        (vec![granted("two", "refresh-2", 3600)], vec![JWT_BEARER]),
        (vec![revoked, granted("two", "refresh-2", 3600)], vec![JWT_BEARER, "refresh_token"]),
    ] {
        let mut moved = Moved::begin(BY_HEADER).await;
        moved.world.authority.then([granted("one", "refresh-1", 3600)]);
        moved.world.authority.then(answers);
        moved.outcome(ALICE, NAME).await;
        moved.pass(3000);
        // Another token of hers, which may prove more than the first.
        assert_eq!(moved.call(ALICE, NAME).await.status, 200);
        eventually("the renewal", || moved.world.authority.count() == 1 + grants.len()).await;
        moved.pass(601);
        assert_eq!(moved.outcome(Who::Application, NAME).await, ok());
        assert_eq!(moved.last_bearer(), "two", "{grants:?}");
        let asked = moved.world.authority.asked();
        let asked: Vec<_> = asked.iter().map(|asked| asked.field("grant_type").unwrap()).collect();
        assert_eq!(asked[1..], grants);
    }
}

#[tokio::test]
async fn other_failures_of_the_refresh_leave_the_session_as_it_is() {
    for failure in [
        Answer::json(503, "{}").header("retry-after", "5"),
        Answer::json(400, r#"{"error":"invalid_scope"}"#),
        Answer::json(401, r#"{"error":"invalid_client"}"#),
    ] {
        let mut moved = Moved::begin(BY_HEADER).await;
        moved.world.authority.then([granted("one", "refresh-1", 3600), failure.clone()]);
        moved.outcome(ALICE, NAME).await;
        moved.pass(3601);
        let (status, reason) = moved.outcome(Who::Application, NAME).await;
        assert!([502, 503].contains(&status), "{status} {reason}");
        moved.pass(20);
        assert_eq!(moved.outcome(Who::Application, NAME).await, ok(), "{}", failure.body);
        let asked = moved.world.authority.asked();
        assert_eq!(asked[2].field("refresh_token"), Some("refresh-1"), "{}", failure.body);
    }
}

#[tokio::test]
async fn without_a_refresh_token_the_session_ends_with_its_persons_token() {
    let mut moved = Moved::begin(BY_HEADER).await;
    moved.world.authority.then([granted("one", "", 24 * 3600)]);
    moved.outcome(ALICE, NAME).await;
    moved.pass(3500);
    assert_eq!(moved.outcome(Who::Application, NAME).await, ok());
    moved.pass(101);
    let answer = moved.outcome(Who::Application, NAME).await;
    assert_eq!(answer, refused(401, "session_unknown"));
    assert_eq!(moved.world.bearers(), ["one", "one"]);
    assert_eq!(moved.world.authority.count(), 1);
}

#[tokio::test]
async fn a_session_is_its_persons_alone() {
    let moved = Moved::begin(BY_HEADER).await;
    assert_eq!(moved.outcome(ALICE, NAME).await, ok());
    for _ in 0..2 {
        let answer = moved.outcome(BOB, NAME).await;
        assert_eq!(answer, refused(403, "session_of_another"));
    }
    assert_eq!(moved.outcome(ALICE, NAME).await, ok(), "she is not disturbed");
    assert_eq!(moved.world.bearers(), ["token-1", "token-1"]);
    assert_eq!(moved.outcome(BOB, OTHER_NAME).await, ok(), "he begins his own");
    assert_eq!(moved.outcome(Who::Application, NAME).await, ok());
    assert_eq!(moved.outcome(Who::Application, OTHER_NAME).await, ok());
    assert_eq!(moved.world.bearers()[2..], ["token-2", "token-1", "token-2"]);
    assert_eq!(moved.outcome(BOB, "").await, ok(), "and calls without one");
    assert_eq!(moved.last_bearer(), "token-3");
}

#[tokio::test]
async fn only_a_persons_call_begins_a_session_and_only_under_a_name_that_will_do() {
    let moved = Moved::begin(BY_HEADER).await;
    for (who, unnamed) in [
        (Who::Application, refused(403, "user_required")),
        (Who::Nobody, refused(401, "credential_missing")),
    ] {
        let unknown = moved.outcome(who, NAME).await;
        assert_eq!(unknown, refused(401, "session_unknown"), "{who:?}");
        let told = moved.call(who, NAME).await.header("www-authenticate").map(str::to_owned);
        assert_eq!(told.as_deref(), Some("Bearer"), "{who:?}");
        assert_eq!(moved.outcome(who, "").await, unnamed, "{who:?}");
    }
    for who in [ALICE, Who::Application, Who::Nobody] {
        for name in
            ["x", &"n".repeat(15), &"n".repeat(257), &format!("{NAME}\r\nx-session: {NAME}")]
        {
            let answer = moved.outcome(who, name).await;
            assert_eq!(answer, refused(400, "session_name"), "{who:?} {name}");
        }
    }
    assert_eq!(moved.world.authority.count(), 0, "the authority is not asked");
    assert!(moved.world.upstream.seen().is_empty());
    for name in ["n".repeat(16), "n".repeat(256)] {
        assert_eq!(moved.outcome(ALICE, &name).await, ok());
        assert_eq!(moved.outcome(Who::Application, &name).await, ok());
    }
}

#[tokio::test]
async fn the_name_of_a_session_never_reaches_the_upstream() {
    // One that wants another token each time, so that the second tries are looked at as well.
    let upstream = Upstream::answering(|seen| {
        let status = if seen.bearer() == "token-1" { 401 } else { 200 };
        Response::builder().status(status).body(Full::from("ok")).expect("a response")
    });
    let settings = "{ url: 'UPSTREAM', protocol: http2 }";
    let routes = routes(&flow(BY_HEADER)).replace("'UPSTREAM'", settings);
    let world = World::start(upstream.await, Terms::default(), &routes).await;
    let moved = Moved { world: Arc::new(world), at: 0 };
    for who in [ALICE, Who::Application, Who::Nobody] {
        let credential = who.credential(&moved.world, 0, 3600);
        for (fields, body) in [
            (format!("X-SESSION: {NAME}\r\n"), ""),
            (format!("connection: X-Session\r\nx-session: {NAME}\r\n"), ""),
            (format!("connection: close, x-session\r\nX-Session: {NAME}\r\nte: trailers\r\n"), ""),
            (
                format!("x-session: {NAME}\r\nte: trailers\r\n"),
                "2\r\nab\r\n0\r\nX-Session: trailing-name-of-a-session\r\nx-sum: 7\r\n\r\n",
            ),
        ] {
            let framing = if body.is_empty() { "" } else { "transfer-encoding: chunked\r\n" };
            let head = format!("PUT / HTTP/1.1\r\nhost: h\r\n{credential}{fields}{framing}");
            let request = format!("{head}connection: close\r\n\r\n{body}");
            let reply = client::send(&moved.world.vicar.address(), &request).await;
            assert_eq!(reply.status, 200, "{who:?} {fields} {reply:?}");
            let seen = moved.world.upstream.last();
            assert_eq!(seen.trailers.is_some(), !body.is_empty(), "{who:?} {fields}");
        }
    }
    let seen = moved.world.upstream.seen();
    assert_eq!(seen.len(), 13, "one of them was sent once more");
    for seen in seen {
        let fields = format!("{:?} {:?}", seen.headers, seen.trailers).to_ascii_lowercase();
        assert!(!fields.contains("session"), "{fields}");
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_in_any_case() {
    let mut moved = Moved::begin("header: X-Session, idle: 1h, max_age: 3h").await;
    let grants = (0..20).map(|number| granted(&format!("t{number}"), "refresh", 600));
    moved.world.authority.then(grants);
    moved.outcome(ALICE, NAME).await;
    for minutes in [50, 50, 50] {
        moved.pass(minutes * 60);
        assert_eq!(moved.outcome(Who::Application, NAME).await, ok(), "{}: in use", moved.at);
    }
    moved.pass(31 * 60);
    let count = moved.world.authority.count();
    let over = refused(401, "session_unknown");
    assert_eq!(moved.outcome(Who::Application, NAME).await, over, "older than three hours");
    assert_eq!(moved.outcome(ALICE, NAME).await, ok(), "a new one");
    moved.pass(59 * 60);
    assert_eq!(moved.outcome(Who::Application, NAME).await, ok(), "not idle for long enough");
    moved.pass(61 * 60);
    assert_eq!(moved.outcome(Who::Application, NAME).await, over, "idle for an hour");
    let asked = moved.world.authority.asked();
    assert_eq!(asked.len(), count + 2, "nothing is asked for a session that is over");
    assert!(asked[count].field("assertion").is_some());
}

#[tokio::test]
async fn an_operator_can_stop_a_session() {
    let moved = Moved::begin(BY_HEADER).await;
    moved.world.authority.then([granted("one", "refresh-1", 3600), granted("other", "r", 3600)]);
    moved.outcome(ALICE, NAME).await;
    moved.outcome(BOB, OTHER_NAME).await;
    let stop = json!({ "route": "r", "session": NAME });
    for stopped in [true, false] {
        let reply = moved.admin("/sessions/stop", &stop).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "stopped": stopped })));
    }
    let elsewhere = json!({ "route": "other", "session": NAME });
    assert_eq!(moved.admin("/sessions/stop", &elsewhere).await.status, 404);
    let over = refused(401, "session_unknown");
    assert_eq!(moved.outcome(Who::Application, NAME).await, over);
    assert_eq!(moved.outcome(Who::Application, OTHER_NAME).await, ok(), "the other goes on");
    assert_eq!(moved.outcome(ALICE, NAME).await, ok(), "and she may begin anew");
    assert!(moved.world.authority.asked()[2].field("assertion").is_some());
}

#[tokio::test]
async fn purging_a_person_ends_its_sessions_and_nobody_elses() {
    let moved = Moved::begin(BY_HEADER).await;
    for (who, name) in [(ALICE, NAME), (ALICE, "another-session-of-alice"), (BOB, OTHER_NAME)] {
        assert_eq!(moved.outcome(who, name).await, ok());
    }
    let whose = json!({ "issuer": "i", "subject": "alice" });
    let reply = moved.admin("/user-tokens/purge", &whose).await;
    assert_eq!(reply.json(), json!({ "tokens": 0, "sessions": 2 }));
    let over = refused(401, "session_unknown");
    assert_eq!(moved.outcome(Who::Application, NAME).await, over);
    assert_eq!(moved.outcome(Who::Application, "another-session-of-alice").await, over);
    assert_eq!(moved.outcome(Who::Application, OTHER_NAME).await, ok());
}

#[tokio::test]
async fn beyond_the_bound_no_session_begins_and_those_there_are_go_on() {
    let terms = Terms { top: "caches: { sessions: 2 }\n", ..Terms::default() };
    let routes = routes(&flow("header: X-Session, idle: 1h"));
    let world = World::start(Upstream::start().await, terms, &routes).await;
    let mut moved = Moved { world: Arc::new(world), at: 0 };
    assert_eq!(moved.outcome(ALICE, NAME).await, ok());
    assert_eq!(moved.outcome(BOB, OTHER_NAME).await, ok());
    let third = "the-third-session-here";
    let reply = moved.call(ALICE, third).await;
    assert_eq!((reply.status, reply.reason().as_str()), (503, "sessions_full"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(moved.world.authority.count(), 2, "the authority is not asked");
    assert_eq!(moved.outcome(Who::Application, NAME).await, ok());
    assert_eq!(moved.outcome(ALICE, "").await, ok(), "nor is a call without a session refused");
    moved.admin("/sessions/stop", &json!({ "route": "r", "session": NAME })).await;
    assert_eq!(moved.outcome(ALICE, third).await, ok(), "there is room again");
    assert_eq!(moved.outcome(ALICE, NAME).await, refused(503, "sessions_full"));
    moved.pass(3601);
    assert_eq!(moved.outcome(ALICE, NAME).await, ok(), "what is over takes no room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_share_one_exchange_and_one_refresh() {
    let mut moved = Moved::begin(BY_HEADER).await;
    let late = Duration::from_millis(300);
    moved.world.authority.then([
        granted("one", "refresh-1", 3600).after(late),
        granted("two", "refresh-2", 3600).after(late),
    ]);
    for (who, expected) in [(ALICE, 1), (Who::Application, 2)] {
        let credential = who.credential(&moved.world, moved.at, 3600);
        let headers = format!("{credential}x-session: {NAME}\r\n");
        let calls = (0..50).map(|_| {
            let (world, headers) = (Arc::clone(&moved.world), headers.clone());
            tokio::spawn(async move { world.send("GET", "/", &headers, "").await.status })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.expect("a call"), 200, "{who:?}");
        }
        assert_eq!(moved.world.authority.count(), expected, "{who:?}");
        moved.pass(3601);
    }
}

#[tokio::test]
async fn sessions_of_two_routes_are_two_though_they_have_one_name() {
    for (session, name) in [(BY_HEADER, NAME), ("key: nightly", "")] {
        for scopes in ["[t]", "[s]"] {
            let what = format!("{session}, scopes {scopes}");
            let first = routes(&flow(session));
            let second = first.replace("name: r,", "name: second, match: { path: /second },");
            let second = second.replace("scopes: [s]", &format!("scopes: {scopes}"));
            let both = format!("{second}{first}");
            let world = World::start(Upstream::start().await, Terms::default(), &both).await;
            let moved = Moved { world: Arc::new(world), at: 0 };
            assert_eq!(moved.outcome(ALICE, name).await, ok(), "{what}");
            let named = if name.is_empty() { "" } else { "x-session: NAME\r\n" };
            let headers = |who: Who| {
                format!("{}{named}", who.credential(&moved.world, 0, 3600)).replace("NAME", name)
            };
            let call = |who| {
                let headers = headers(who);
                let world = Arc::clone(&moved.world);
                async move { world.send("GET", "/second", &headers, "").await }
            };
            let reply = call(Who::Application).await;
            assert_eq!((reply.status, reply.reason().as_str()), (401, "session_unknown"), "{what}");
            // Somebody else may have it there.
            assert_eq!(call(BOB).await.status, 200, "{what}");
            assert_eq!(call(Who::Application).await.status, 200, "{what}");
            assert_eq!(moved.outcome(Who::Application, name).await, ok(), "{what}");
            let bearers = ["token-1", "token-2", "token-2", "token-1"];
            assert_eq!(moved.world.bearers(), bearers, "{what}");
            let stop = json!({ "route": "second", "session": if name.is_empty() { "nightly" } else { name } });
            assert_eq!(
                moved.admin("/sessions/stop", &stop).await.json()["stopped"],
                true,
                "{what}"
            );
            assert_eq!(moved.outcome(Who::Application, name).await, ok(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_token_of_a_session_that_the_upstream_refuses_is_renewed_by_the_refresh_token() {
    let wanted = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
    let terms = Terms {
        authority: "entra: { tenant: contoso.test, instance: 'AUTHORITY' }",
        client: ", capabilities: [cp1]",
        ..Terms::default()
    };
    for (who, challenge) in [
        (ALICE, claims_challenge(wanted)),
        (Who::Application, claims_challenge(wanted)),
        (Who::Application, "Bearer".to_owned()),
    ] {
        let demands = challenge.contains("claims");
        let upstream = Upstream::answering(move |seen| {
            let status = if seen.bearer() == "one" && seen.target == "/" { 401 } else { 200 };
            let response = Response::builder().status(status);
            let response = response.header("www-authenticate", &challenge);
            response.body(Full::from("ok")).expect("a response")
        });
        let routes = routes(&flow(BY_HEADER)).replace("[s]", "['api://b/read']");
        let world = World::start(upstream.await, terms, &routes).await;
        let moved = Moved { world: Arc::new(world), at: 0 };
        moved.world.authority.then([granted("one", "refresh-1", 3600), granted("two", "", 3600)]);
        let begin = format!("{}x-session: {NAME}\r\n", ALICE.credential(&moved.world, 0, 3600));
        assert_eq!(moved.world.send("GET", "/begin", &begin, "").await.status, 200);
        assert_eq!(moved.outcome(who, NAME).await, ok(), "{who:?}");
        assert_eq!(moved.world.bearers(), ["one", "one", "two"], "{who:?}");
        let asked = moved.world.authority.asked();
        assert_eq!(asked[1].field("refresh_token"), Some("refresh-1"), "{who:?}");
        let claims = asked[1].field("claims").unwrap_or_default();
        assert_eq!(claims.contains("nbf"), demands, "{who:?}: {claims}");
    }
}

#[tokio::test]
async fn a_session_belongs_to_the_application_as_well_that_began_it() {
    let moved = Moved::begin(BY_HEADER).await;
    assert_eq!(moved.outcome(ALICE, NAME).await, ok());
    let elsewhere = bearer(&moved.world.token_of("alice", &json!({ "azp": "app-2" })));
    let headers = format!("{elsewhere}x-session: {NAME}\r\n");
    let reply = moved.world.send("GET", "/", &headers, "").await;
    assert_eq!((reply.status, reply.reason().as_str()), (403, "session_of_another"));
}

const ALICE: Who = Who::Person("alice");
const BOB: Who = Who::Person("bob");
const BY_HEADER: &str = "header: X-Session";
const NAME: &str = "7d0c1c1e-session-a";
const OTHER_NAME: &str = "7d0c1c1e-session-b";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
