//! What becomes of a call when the authority does not give the token on behalf of its caller: one row for
//! each thing that an authority may do instead.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::client::{Reply, read_head};
use crate::support::eventually;
use crate::support::full_port::FullPort;
use crate::support::issuer::now;
use crate::support::upstream::Upstream;
use crate::support::world::{Terms, World, route};
use Does::{
    Claiming, Closes, Demands, Hints, Huge, Issues, Raw, Refuses, Resets, Says, Silent, Waits,
};
use Told::{Claims, Nothing, Plain};
use Wait::{About, Never, Secs};

/// What the authority does with a token request.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Refuses the grant, with these `claims`.
    Claiming(&'static str),
    /// Closes the connection.
    Closes,
    /// Refuses with this code and suberror, and wants more of the person's token.
    Demands(&'static str, &'static str),
    /// Refuses the grant, with this suberror.
    Hints(&'static str),
    /// Answers with this status and a body that is larger than any token.
    Huge(u16),
    /// Issues this token, of this `token_type` (as JSON) and `issued_token_type`.
    Issues(&'static str, &'static str, &'static str),
    /// Sends this.
    Raw(&'static str),
    /// Refuses with this status and code.
    Refuses(u16, &'static str),
    /// Resets the connection.
    Resets,
    /// Answers with this status and body.
    Says(u16, &'static str),
    /// Says nothing.
    Silent,
    /// Answers with this status and `Retry-After`; `DATE` stands for one in 90 s.
    Waits(u16, &'static str),
}

/// What `WWW-Authenticate` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// There is none.
    Nothing,
    /// To sign in again.
    Plain,
    /// What the token must have, to callers that can do something about it; to others the plain one.
    Claims,
}

/// What `Retry-After` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// So many seconds or a few less.
    About(u64),
    /// There is none.
    Never,
    Secs(u64),
}

/// A fault and what does it, the caller's status, `reason`, challenge and `Retry-After`, and how often the
/// authority is asked.
struct Row(&'static str, Does, u16, &'static str, Told, Wait, usize);

/// The person can help, and nobody else.
const OF_PEOPLE: &[Row] = &[
    Row("invalid_grant", Refuses(400, "invalid_grant"), 401, SIGN_IN, Plain, Never, 1),
    Row("invalid_grant, 403", Refuses(403, "invalid_grant"), 401, SIGN_IN, Plain, Never, 1),
    Row("claims", Demands("invalid_grant", ""), 401, INTERACTION, Claims, Never, 1),
    Row("consent", Hints("consent_required"), 401, CONSENT, Plain, Never, 1),
    Row(
        "consent and claims",
        Demands("invalid_grant", "consent_required"),
        401,
        CONSENT,
        Claims,
        Never,
        1,
    ),
    Row("basic", Hints("basic_action"), 401, SIGN_IN, Plain, Never, 1),
    Row(
        "basic and claims",
        Demands("invalid_grant", "basic_action"),
        401,
        INTERACTION,
        Claims,
        Never,
        1,
    ),
    Row("password", Hints("user_password_expired"), 401, PASSWORD, Plain, Never, 1),
    Row("suberror of tomorrow", Hints("of_tomorrow"), 401, SIGN_IN, Plain, Never, 1),
    Row("interaction", Refuses(400, "interaction_required"), 401, INTERACTION, Plain, Never, 1),
    Row(
        "interaction and claims",
        Demands("interaction_required", ""),
        401,
        INTERACTION,
        Claims,
        Never,
        1,
    ),
    Row("consent code", Refuses(400, "consent_required"), 401, CONSENT, Plain, Never, 1),
    Row("login", Refuses(400, "login_required"), 401, SIGN_IN, Plain, Never, 1),
    Row("invalid_token", Refuses(401, "invalid_token"), 401, SIGN_IN, Plain, Never, 1),
    Row("claims as object", Claiming(r#"{"access_token":{}}"#), 401, SIGN_IN, Plain, Never, 1),
    Row("claims of nothing", Claiming(r#""{}""#), 401, SIGN_IN, Plain, Never, 1),
    Row("claims as list", Claiming(r#""[1]""#), 401, SIGN_IN, Plain, Never, 1),
    Row("claims as prose", Claiming(r#""more, please""#), 401, SIGN_IN, Plain, Never, 1),
];

/// Whoever operates Vicar must act.
const OF_OURS: &[Row] = &[
    Row("client_mismatch", Hints("client_mismatch"), 502, REQUEST, Nothing, Never, 1),
    Row("protection policy", Hints("protection_policy_required"), 502, REQUEST, Nothing, Never, 1),
    Row("invalid_request", Refuses(400, "invalid_request"), 502, REQUEST, Nothing, Never, 1),
    Row("invalid_scope", Refuses(400, "invalid_scope"), 502, REQUEST, Nothing, Never, 1),
    Row("invalid_target", Refuses(400, "invalid_target"), 502, REQUEST, Nothing, Never, 1),
    Row("grant type", Refuses(400, "unsupported_grant_type"), 502, REQUEST, Nothing, Never, 1),
    Row("access_denied", Refuses(403, "access_denied"), 502, REQUEST, Nothing, Never, 1),
    Row("own word", Refuses(400, "not_allowed"), 502, REQUEST, Nothing, Never, 1),
    Row("no word", Says(400, "{}"), 502, REQUEST, Nothing, Never, 1),
    Row("number", Says(400, r#"{"error":7}"#), 502, REQUEST, Nothing, Never, 1),
    Row("400 of HTML", Says(400, "<p>Bad</p>"), 502, REQUEST, Nothing, Never, 1),
    Row("400 of nothing", Says(400, ""), 502, REQUEST, Nothing, Never, 1),
    Row("404", Says(404, "<p>Where?</p>"), 502, REQUEST, Nothing, Never, 1),
    Row("redirect", Raw(REDIRECT), 502, REQUEST, Nothing, Never, 1),
    Row("unauthorized_client", Refuses(400, "unauthorized_client"), 502, CLIENT, Nothing, Never, 1),
    Row("invalid_client", Refuses(401, "invalid_client"), 502, CLIENT, Nothing, Never, 1),
    Row("invalid_client, 400", Refuses(400, "invalid_client"), 502, CLIENT, Nothing, Never, 1),
    Row("invalid_client and claims", Demands("invalid_client", ""), 502, CLIENT, Nothing, Never, 1),
    Row("mac", Issues("a", r#""mac""#, ""), 502, KIND, Nothing, Never, 1),
    Row("no type", Issues("a", "null", ""), 502, KIND, Nothing, Never, 1),
    Row("DPoP", Issues("a", r#""DPoP""#, ""), 502, KIND, Nothing, Never, 1),
    Row("N_A", Issues("a", r#""N_A""#, ID_TOKEN), 502, KIND, Nothing, Never, 1),
    Row(
        "SAML",
        Issues("a", BEARER, "urn:ietf:params:oauth:token-type:saml2"),
        502,
        ISSUED,
        Nothing,
        Never,
        1,
    ),
];

/// It may pass.
const OF_THE_AUTHORITY: &[Row] = &[
    Row("429", Says(429, "{}"), 503, THROTTLED, Nothing, Secs(5), 1),
    Row("429, seconds", Waits(429, "7"), 503, THROTTLED, Nothing, Secs(7), 1),
    Row("429, a day", Waits(429, "86400"), 503, THROTTLED, Nothing, Secs(3600), 1),
    Row("429, date", Waits(429, "DATE"), 503, THROTTLED, Nothing, About(90), 1),
    Row("429, garbage", Waits(429, "soon"), 503, THROTTLED, Nothing, Secs(5), 1),
    Row("429, zero", Waits(429, "0"), 503, THROTTLED, Nothing, Secs(5), 1),
    Row("500", Refuses(500, "server_error"), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("500, seconds", Waits(500, "7"), 503, THROTTLED, Nothing, Secs(7), 1),
    Row("500 with a token", Says(500, TOKEN), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("500, invalid_grant", Refuses(500, "invalid_grant"), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("502", Says(502, "<p>Bad gateway</p>"), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("502, date", Waits(502, "DATE"), 503, THROTTLED, Nothing, About(90), 1),
    Row("503", Says(503, ""), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("503, seconds", Waits(503, "30"), 503, THROTTLED, Nothing, Secs(30), 1),
    Row("503, garbage", Waits(503, "-1"), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("408", Says(408, ""), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("busy", Refuses(400, "temporarily_unavailable"), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("closes", Closes, 503, UNREACHABLE, Nothing, Secs(1), 2),
    Row("resets", Resets, 503, UNREACHABLE, Nothing, Secs(1), 2),
    Row("cut short", Raw(CUT_SHORT), 503, UNREACHABLE, Nothing, Secs(1), 2),
    Row("no HTTP", Raw("220 mail.example ESMTP\r\n"), 503, UNREACHABLE, Nothing, Secs(1), 2),
    Row("silent", Silent, 503, UNREACHABLE, Nothing, Secs(1), 1),
    Row("empty", Says(200, ""), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("garbage", Says(200, "\u{1}\u{2}{\"access"), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("HTML", Says(200, "<p>Sign in</p>"), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("list", Says(200, "[]"), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("huge", Huge(200), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("huge 400", Huge(400), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("no token", Says(200, r#"{"token_type":"Bearer"}"#), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row("empty token", Issues("", BEARER, ACCESS_TOKEN), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row(
        "token of two lines",
        Issues("a\r\nx: y", BEARER, ACCESS_TOKEN),
        503,
        UNUSABLE,
        Nothing,
        Secs(1),
        2,
    ),
    Row("token of words", Issues("a b", BEARER, ACCESS_TOKEN), 503, UNUSABLE, Nothing, Secs(1), 2),
    Row(
        "token of yesterday",
        Issues(YESTERDAYS, BEARER, ACCESS_TOKEN),
        503,
        UNUSABLE,
        Nothing,
        Secs(1),
        2,
    ),
    Row("201", Says(201, TOKEN), 503, UNUSABLE, Nothing, Secs(1), 2),
];

/// RFC 8693 section 2.2.1 demands a word that the other grants do not know.
const OF_EXCHANGES: &[Row] = &[
    Row("no issued type", Issues("a", BEARER, ""), 502, ISSUED, Nothing, Never, 1),
    Row("issued an ID token", Issues("a", BEARER, ID_TOKEN), 502, ISSUED, Nothing, Never, 1),
    Row(
        "issued a refresh token",
        Issues("a", BEARER, REFRESH_TOKEN),
        502,
        ISSUED,
        Nothing,
        Never,
        1,
    ),
];

/// An authority's token endpoint, down to the bytes.
struct Endpoint {
    url: String,
    does: Arc<Mutex<Does>>,
    requests: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Endpoint {
    async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let url = format!("http://{}/token", listener.local_addr().expect("bound"));
        let (does, requests) = (Arc::new(Mutex::new(does)), Arc::<AtomicUsize>::default());
        let shared = (Arc::clone(&does), Arc::clone(&requests));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared.0), Arc::clone(&shared.1)));
            }
        });
        Self { url, does, requests, server }
    }

    fn then_does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, does: Arc<Mutex<Does>>, requests: Arc<AtomicUsize>) {
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    let mut lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
    let Some(length) = lengths.next().and_then(|length| length.parse().ok()) else { return };
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let does = *does.lock().unwrap();
    match does {
        Closes => {}
        Resets => drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
        // Until Vicar gives up.
        Silent => drop(stream.read(&mut [0]).await),
        does => {
            let _ = stream.write_all(does.answer().as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    }
}

impl Does {
    /// The bytes of the answer, where there is one.
    fn answer(self) -> String {
        let refusal = |code| json!({ "error": code });
        let (status, fields, body) = match self {
            Closes | Resets | Silent => return String::new(),
            Raw(text) => return text.replace("MARKER", MARKER),
            Says(status, body) => (status, String::new(), body.to_owned()),
            Huge(status) => (status, String::new(), MARKER.repeat(16 * 1024)),
            Refuses(status, code) => (status, String::new(), refusal(code).to_string()),
            Hints(suberror) => {
                let mut body = refusal("invalid_grant");
                body["suberror"] = suberror.into();
                (400, String::new(), body.to_string())
            }
            Demands(code, suberror) => {
                let mut body = refusal(code);
                body["suberror"] = suberror.into();
                body["claims"] = WANTED.into();
                (400, String::new(), body.to_string())
            }
            Claiming(claims) => {
                let mut body = refusal("invalid_grant");
                body["claims"] = serde_json::from_str(claims).expect("JSON");
                (400, String::new(), body.to_string())
            }
            Issues(token, kind, issued) => {
                let kind: Value = serde_json::from_str(kind).expect("JSON");
                let mut body = json!({ "access_token": token, "token_type": kind });
                if token != YESTERDAYS {
                    body["expires_in"] = HOUR.into();
                }
                if !issued.is_empty() {
                    body["issued_token_type"] = issued.into();
                }
                (200, String::new(), body.to_string())
            }
            Waits(status, wait) => {
                let date = SystemTime::now() + Duration::from_secs(90);
                let wait = wait.replace("DATE", &httpdate::fmt_http_date(date));
                (status, format!("retry-after: {wait}\r\n"), "{}".to_owned())
            }
        };
        http(status, &fields, &marked(&body))
    }
}

fn http(status: u16, fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} {MARKER}\r\ncontent-type: application/json\r\nx-trace: {MARKER}\r\n\
         www-authenticate: Bearer error=\"{MARKER}\"\r\nset-cookie: s={MARKER}\r\n{fields}\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The same body with the marker, wherever an authority might say something about us.
fn marked(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(mut members)) => {
            for name in ["error_description", "error_uri", "correlation_id", "trace_id"] {
                members.insert(name.to_owned(), MARKER.into());
            }
            Value::Object(members).to_string()
        }
        _ if body.is_empty() => String::new(),
        _ => format!("{body} {MARKER}"),
    }
}

/// A world whose client asks `endpoint`, no longer than `total`.
async fn world(endpoint: &str, flow: &str, total: &str) -> World {
    let authority =
        format!("token_endpoint: '{endpoint}', timeouts: {{ connect: 150ms, total: {total} }}");
    let terms = Terms { authority: &authority, ..Terms::default() };
    World::start(Upstream::start().await, terms, &route(flow, "")).await
}

impl Row {
    /// Time enough for a second try, unless there is nothing to wait for.
    fn total(&self) -> &'static str {
        if matches!(self.1, Silent) { "300ms" } else { "5s" }
    }

    /// Whether the answer to a caller, who can meet claims challenges or not, is this row's.
    fn check(&self, reply: &Reply, capable: bool, what: &str) {
        let Self(_, _, status, reason, told, wait, _) = self;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (*status, *reason),
            "{what}: {reply:?}"
        );
        let challenge = match told {
            Nothing => None,
            Claims if capable => Some(format!(
                "Bearer error=\"insufficient_claims\", claims=\"{}\"",
                STANDARD.encode(WANTED)
            )),
            Plain | Claims => Some(PLAIN_CHALLENGE.to_owned()),
        };
        assert_eq!(reply.header("www-authenticate"), challenge.as_deref(), "{what}");
        let retry_after = reply.header("retry-after").map(|text| text.parse::<u64>().unwrap());
        match wait {
            Never => assert_eq!(retry_after, None, "{what}"),
            Secs(seconds) => assert_eq!(retry_after, Some(*seconds), "{what}"),
            About(seconds) => assert!(
                retry_after.is_some_and(|wait| (seconds - 5..=*seconds).contains(&wait)),
                "{what}: {retry_after:?}"
            ),
        }
        let text = format!("{}{}", reply.head, reply.body);
        assert!(
            !text.contains(MARKER),
            "{what}: the caller reads what the authority wrote: {text}"
        );
    }

    /// The whole row for one flow, in a world of its own for each kind of caller.
    async fn holds_for(&self, flow: &str) {
        for (capable, declared) in [(false, json!([])), (true, json!(["other", "cp1"]))] {
            let what = format!("{} ({flow}, capable: {capable})", self.0);
            let endpoint = Endpoint::start(self.1).await;
            let world = world(&endpoint.url, flow, self.total()).await;
            let token = world.token_of("alice", &json!({ "xms_cc": declared }));
            self.check(&world.call(&token).await, capable, &what);
            assert_eq!(endpoint.requests(), self.6, "{what}: token requests");
            if self.2 != 503 || self.5 != Secs(1) {
                // What does not pass at once is remembered.
                assert_eq!(world.call(&token).await.status, self.2, "{what}: again");
                assert_eq!(endpoint.requests(), self.6, "{what}: token requests of two calls");
            }
            assert!(world.upstream.seen().is_empty(), "{what}: nothing goes on without a token");
        }
    }

    /// A good token stays in use while its renewal fails, as long as it may.
    async fn takes_no_good_token_away(&self, flow: &str) {
        let what = format!("{} ({flow})", self.0);
        let endpoint = Endpoint::start(Issues("good", BEARER, ACCESS_TOKEN)).await;
        let world = world(&endpoint.url, flow, self.total()).await;
        let exp = now() + 3 * HOUR;
        let token = world.token_of("alice", &json!({ "exp": exp, "xms_cc": ["cp1"] }));
        assert_eq!(world.call(&token).await.status, 200, "{what}");
        endpoint.then_does(self.1);
        // Due, and renewed in the background.
        world.vicar.clock.advance(Duration::from_secs(HOUR - 600));
        assert_eq!(world.call(&token).await.status, 200, "{what}: when it is due");
        let asked = 1 + self.6;
        eventually(&what, || endpoint.requests() == asked).await;
        assert_eq!(world.call(&token).await.status, 200, "{what}: after the renewal failed");
        // In its last minute somebody has to wait for the next one, but this one is still good.
        for seconds in [550, 20, 20] {
            world.vicar.clock.advance(Duration::from_secs(seconds));
            for _ in 0..2 {
                assert_eq!(world.call(&token).await.status, 200, "{what}: within its margin");
            }
        }
        let bearers = world.bearers();
        assert!(bearers.iter().all(|bearer| bearer == "good"), "{what}: {bearers:?}");
        world.vicar.clock.advance(Duration::from_secs(4000));
        let reply = world.call(&token).await;
        // Where an exchange has worked, only the caller's token can be what is wrong with another.
        let has_worked = flow == TOKEN_EXCHANGE && self.0 == "invalid_request";
        let expected = if has_worked { (401, SIGN_IN) } else { (self.2, self.3) };
        assert_eq!((reply.status, reply.reason().as_str()), expected, "{what}: expired");
        assert_eq!(world.bearers().len(), bearers.len(), "{what}: an expired token is sent");
    }
}

/// Runs each row for each flow, some at a time.
async fn each<F: Future<Output = ()> + Send + 'static>(
    rows: impl IntoIterator<Item = (&'static Row, &'static str)>,
    run: impl Fn(&'static Row, &'static str) -> F,
) {
    let mut running = JoinSet::new();
    for (row, flow) in rows {
        if running.len() >= AT_ONCE {
            running.join_next().await.expect("one").expect("a row");
        }
        running.spawn(run(row, flow));
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("a row");
    }
}

/// Every row with every flow it is for.
fn table() -> impl Iterator<Item = (&'static Row, &'static str)> {
    let common = [OF_PEOPLE, OF_OURS, OF_THE_AUTHORITY].into_iter().flatten();
    let common = common.flat_map(|row| [(row, ON_BEHALF_OF), (row, TOKEN_EXCHANGE)]);
    common.chain(OF_EXCHANGES.iter().map(|row| (row, TOKEN_EXCHANGE)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_authority_is_told_as_what_it_is_and_in_our_words() {
    each(table(), Row::holds_for).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_still_good_survives_every_fault() {
    each(table(), Row::takes_no_good_token_away).await;
}

#[tokio::test]
async fn a_token_that_expires_while_its_renewal_fails_is_not_sent() {
    let endpoint = Endpoint::start(Issues("good", BEARER, ACCESS_TOKEN)).await;
    let world = world(&endpoint.url, ON_BEHALF_OF, "1s").await;
    let token = world.token_of("alice", &json!({ "exp": now() + 3 * HOUR }));
    assert_eq!(world.call(&token).await.status, 200);
    endpoint.then_does(Silent);
    world.vicar.clock.advance(Duration::from_secs(HOUR - 30));
    let expiry = async {
        eventually("the renewal", || endpoint.requests() == 2).await;
        world.vicar.clock.advance(Duration::from_secs(31));
    };
    let (reply, ()) = tokio::join!(world.call(&token), expiry);
    assert_eq!((reply.status, reply.reason().as_str()), (503, UNREACHABLE));
    assert_eq!(world.bearers(), ["good"]);
}

#[tokio::test]
async fn an_authority_that_cannot_be_reached_is_told_as_such_in_time() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().unwrap();
    let full = FullPort::reserve();
    for (what, address) in [("refuses", closed), ("never answers", full.address)] {
        let world = world(&format!("http://{address}/"), ON_BEHALF_OF, "2s").await;
        let started = Instant::now();
        let reply = world.call(&world.token_of("alice", &json!({}))).await;
        assert_eq!((reply.status, reply.reason().as_str()), (503, UNREACHABLE), "{what}");
        assert_eq!(reply.header("retry-after"), Some("1"), "{what}");
        assert!(!reply.body.contains(&address.port().to_string()), "{what}: names the authority");
        assert!(started.elapsed() < Duration::from_secs(3), "{what}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn an_invalid_request_is_about_the_callers_token_once_the_route_has_worked() {
    let refused = Refuses(400, "invalid_request");
    for (flow, expected) in [
        (TOKEN_EXCHANGE, (401, SIGN_IN.to_owned())),
        // Entra says it of requests alone.
        (ON_BEHALF_OF, (502, REQUEST.to_owned())),
    ] {
        let endpoint = Endpoint::start(refused).await;
        let world = world(&endpoint.url, flow, "5s").await;
        let call = async |user| world.call(&world.token_of(user, &json!({}))).await;
        let reply = call("alice").await;
        assert_eq!((reply.status, reply.reason().as_str()), (502, REQUEST), "{flow}: never worked");
        endpoint.then_does(Issues("good", BEARER, ACCESS_TOKEN));
        assert_eq!(call("bob").await.status, 200, "{flow}");
        endpoint.then_does(refused);
        let reply = call("carol").await;
        assert_eq!((reply.status, reply.reason()), expected, "{flow}: has worked");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_client_is_found_out_once_and_not_for_every_person() {
    for (does, requests) in [
        (Refuses(401, "invalid_client"), 1),
        // Some say it of the service that is asked for.
        (Refuses(400, "invalid_client"), 3),
        (Refuses(400, "invalid_grant"), 3),
        (Waits(429, "60"), 3),
        (Says(429, r#"{"error_codes":[90055]}"#), 1),
    ] {
        let endpoint = Endpoint::start(does).await;
        let world = world(&endpoint.url, ON_BEHALF_OF, "5s").await;
        let mut answers = Vec::new();
        for user in ["alice", "bob", "carol"] {
            let reply = world.call(&world.token_of(user, &json!({}))).await;
            answers.push((reply.status, reply.reason()));
        }
        assert_eq!(endpoint.requests(), requests, "{does:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{does:?}: {answers:?}");
        // It is found out in time that it is over.
        endpoint.then_does(Issues("good", BEARER, ACCESS_TOKEN));
        world.vicar.clock.advance(Duration::from_secs(61));
        let reply = world.call(&world.token_of("alice", &json!({}))).await;
        assert_eq!(reply.status, 200, "{does:?}");
    }
}

const MARKER: &str = "Zq7Xv2Nk9Lt4Rw8Bn5HsMARK";
const AT_ONCE: usize = 24;
const HOUR: u64 = 3600;

const ON_BEHALF_OF: &str = "on_behalf_of: { client: c, scopes: [s] }";
const TOKEN_EXCHANGE: &str = "token_exchange: { client: c, audience: a }";

const SIGN_IN: &str = "user_sign_in_required";
const INTERACTION: &str = "user_interaction_required";
const CONSENT: &str = "user_consent_required";
const PASSWORD: &str = "user_password_expired";
const REQUEST: &str = "authority_refused_request";
const CLIENT: &str = "authority_refused_client";
const KIND: &str = "authority_token_type";
const ISSUED: &str = "authority_issued_type";
const THROTTLED: &str = "authority_throttled";
const UNUSABLE: &str = "authority_answer_unusable";
const UNREACHABLE: &str = "authority_unreachable";
const PLAIN_CHALLENGE: &str =
    "Bearer error=\"invalid_token\", error_description=\"the user must sign in again\"";

/// The claims that the answers below ask for.
const WANTED: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
const TOKEN: &str = r#"{"access_token":"a","token_type":"Bearer"}"#;
/// A JWT that says that it expired in 1970.
const YESTERDAYS: &str = "e30.eyJleHAiOjF9.c2ln";
const BEARER: &str = r#""Bearer""#;
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const REDIRECT: &str = "HTTP/1.1 302 Found\r\nlocation: /token?MARKER\r\n\
    content-length: 0\r\nconnection: close\r\n\r\n";
const CUT_SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access_token\":\"MARKER";
