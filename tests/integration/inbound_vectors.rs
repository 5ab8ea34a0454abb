//! The project's vectors about callers' tokens and issuers' answers, through a whole Vicar.
//!
//! They lie in the folder that `VICAR_VECTORS` names. What a library call can decide about vectors is in
//! `tests/vectors.rs`; here it is what passes, who is contacted, and which keys are in use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vicar::inbound::jws::{Compact, EmbeddedKey};

use crate::support::client::{Reply, get};
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

#[tokio::test]
async fn the_projects_corpus_of_tokens() {
    let Some(corpus) = corpus("project/jwt_attacks_dev.json") else { return };
    let (upstream, keys) = (Upstream::start().await, KeyFile::new(&corpus));
    let vicar = vicar(&corpus, &keys.location(), "", upstream.url());
    // Where one of the tokens says its key is; free and allowed on some machines only.
    let named = TcpListener::bind("127.0.0.1:9").await.ok();
    let (mut accepted, mut refused) = (0, 0);
    for case in cases(&corpus) {
        let (id, token) = (case["id"].as_str().unwrap(), case["token"].as_str().unwrap());
        let before = upstream.seen().len();
        let reply = show(&vicar, token).await;
        let reached = upstream.seen().len() - before;
        if case["expect"] == "accept" {
            assert_eq!((reply.status, reached), (200, 1), "{id}: {reply:?}");
            assert_eq!(upstream.last().bearer(), token, "{id}");
            accepted += 1;
        } else {
            let expected = if id == "exp-past" { "token_expired" } else { "token_invalid" };
            assert_eq!((reply.status, reached), (401, 0), "{id} ({}): {reply:?}", case["why"]);
            assert_eq!(reply.reason(), expected, "{id}");
            refused += 1;
        }
        if let Some(limit) = case["max_ms"].as_u64() {
            // The best of some tries: others run on this machine.
            let took = (0..10).map(|_| time_to_parse(token)).min().unwrap_or_default();
            assert!(took < Duration::from_millis(limit), "{id} took {took:?}");
        }
    }
    println!("jwt_attacks_dev.json: {accepted} accepted, {refused} refused");
    assert!(accepted >= 6 && refused >= 40);
    match named {
        Some(named) => assert!(nobody_came(&named).await, "a key was asked for where a token said"),
        None => println!("nothing can listen on 127.0.0.1:9 here; the next test uses another port"),
    }
}

#[tokio::test]
async fn no_address_that_a_token_names_is_contacted() {
    let Some(corpus) = corpus("project/jwt_attacks_dev.json") else { return };
    let (upstream, keys) = (Upstream::start().await, KeyFile::new(&corpus));
    let vicar = vicar(&corpus, &keys.location(), "", upstream.url());
    let trap = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", trap.local_addr().expect("bound"));
    let good = token(&corpus, "ok-rs256");
    let parts: Vec<&str> = good.split('.').collect();
    for (member, value) in [
        ("jku", json!(address)),
        ("x5u", json!(address)),
        ("kid", json!(address)),
        ("jwk", json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "x5u": address })),
        ("x", json!(address)),
    ] {
        let header = changed(parts[0], member, value);
        let reply = show(&vicar, &[&header, parts[1], parts[2]].join(".")).await;
        assert_eq!((reply.status, reply.reason().as_str()), (401, "token_invalid"), "{member}");
    }
    for member in ["iss", "jku", "aud"] {
        let claims = changed(parts[1], member, json!(address));
        let reply = show(&vicar, &[parts[0], &claims, parts[2]].join(".")).await;
        assert_eq!((reply.status, reply.reason().as_str()), (401, "token_invalid"), "{member}");
    }
    assert!(nobody_came(&trap).await, "somebody came to {address}");
    assert!(upstream.seen().is_empty());
}

/// The recipe `huge-64k`, and sizes on either side of each limit.
#[tokio::test]
async fn a_huge_token_is_refused_by_its_size() {
    let Some(corpus) = corpus("project/jwt_attacks_dev.json") else { return };
    let (upstream, keys) = (Upstream::start().await, KeyFile::new(&corpus));
    let vicar = vicar(&corpus, &keys.location(), "", upstream.url());
    let good = token(&corpus, "ok-rs256");
    let parts: Vec<&str> = good.split('.').collect();
    for (size, expected) in [(16 * 1024 + 1, 401), (60_000, 401), (65_536, 431), (1 << 20, 431)] {
        let padding = "A".repeat(size - good.len());
        let claims = [parts[1], padding.as_str()].concat();
        let huge = [parts[0], &claims, parts[2]].join(".");
        assert_eq!(huge.len(), size);
        assert_eq!(show(&vicar, &huge).await.status, expected, "{size}");
    }
    assert!(upstream.seen().is_empty());
    // For their size alone: nothing in them was decoded.
    assert_eq!(count(&vicar, "vicar_authentications_total{outcome=\"size\",route=\"r\"}").await, 2);
    assert_eq!(show(&vicar, &good).await.status, 200, "and it goes on");
}

/// `empty`, `not-json`, `10k-keys`, `redirect`: the last good set stays until it is too old.
#[tokio::test]
async fn bad_key_sets_leave_the_last_good_one_in_use() {
    let Some(tokens) = corpus("project/jwt_attacks_dev.json") else { return };
    let Some(documents) = corpus("project/jwks_documents_dev.json") else { return };
    let good = ok(&tokens["verifier"]["jwks"].to_string());
    let (upstream, issuer, trap) =
        (Upstream::start().await, Issuer::start().await, Issuer::start().await);
    trap.answer("/", good.clone());
    issuer.answer("/jwks", good.clone());
    let extra = "keys: { refresh: 1s, cool_down: 1s, stale: 1h }";
    let vicar = vicar(&tokens, &format!("uri: '{}/jwks'", issuer.url), extra, upstream.url());
    assert_eq!(show(&vicar, &token(&tokens, "ok-rs256")).await.status, 200);
    // Half a kilobyte each, which are five megabytes.
    let key = json!({ "kty": "RSA", "kid": "k", "e": "AQAB", "n": "n".repeat(470) }).to_string();
    let many = format!(r#"{{"keys":[{}]}}"#, vec![key; 10_000].join(","));
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {}/\r\n{END}\r\n", trap.url);
    // Another good token for each: one that was verified before is found without any key.
    for (id, answer, outcome, another) in [
        ("empty", ok(&body(&documents, "empty")), "key_set_unusable", "ok-es256"),
        ("not-json", ok(&body(&documents, "not-json")), "key_set_unusable", "ok-ps256"),
        ("10k-keys", ok(&many), "authority_answer_unusable", "ok-aud-array"),
        ("redirect", redirect, "authority_answer_unusable", "ok-typ-at"),
    ] {
        let before = outcomes(&vicar, outcome).await;
        issuer.answer("/jwks", answer);
        until(async || outcomes(&vicar, outcome).await > before, id).await;
        let reply = show(&vicar, &token(&tokens, another)).await;
        assert_eq!(reply.status, 200, "{id}: {reply:?}");
        let before = outcomes(&vicar, "keys").await;
        issuer.answer("/jwks", good.clone());
        until(async || outcomes(&vicar, "keys").await > before, "keys again").await;
    }
    assert_eq!(trap.count("/"), 0, "a redirect was followed");
    // What is too old is used no more, and says so to whoever watches.
    issuer.answer("/jwks", ok(&body(&documents, "empty")));
    let before = outcomes(&vicar, "key_set_unusable").await;
    until(async || outcomes(&vicar, "key_set_unusable").await > before, "empty").await;
    vicar.clock.advance(Duration::from_secs(3700));
    let reply = show(&vicar, &token(&tokens, "ok-unknown-claims")).await;
    assert_eq!((reply.status, reply.reason().as_str()), (503, "issuer_keys_unavailable"));
    let known = show(&vicar, &token(&tokens, "ok-rs256")).await;
    assert_eq!(known.status, 503, "nor what was verified with it before: {known:?}");
}

/// `discovery-issuer-mismatch` and `discovery-http-jwks`.
#[tokio::test]
async fn metadata_of_another_issuer_or_with_plain_http_keys_are_refused() {
    let Some(tokens) = corpus("project/jwt_attacks_dev.json") else { return };
    let Some(documents) = corpus("project/jwks_documents_dev.json") else { return };
    let (upstream, issuer) = (Upstream::start().await, Issuer::start().await);
    issuer.answer("/jwks", ok(&tokens["verifier"]["jwks"].to_string()));
    let ours = |id: &str| body(&documents, id).replace("https://issuer.test", &issuer.url);
    let good = json!({ "issuer": issuer.url, "jwks_uri": format!("{}/jwks", issuer.url) });
    let plain = ours("discovery-http-jwks");
    assert!(plain.contains("http://issuer.test/keys") && plain.contains(&issuer.url), "{plain}");
    for (id, metadata, outcome, fetches) in [
        ("mismatch", ours("discovery-issuer-mismatch"), "authority_metadata_unusable", 0),
        ("plain http", plain, "authority_metadata_unusable", 0),
        ("good", good.to_string(), "keys", 1),
    ] {
        issuer.answer("/.well-known/openid-configuration", ok(&metadata));
        let location = format!("oidc: {{ issuer: '{}' }}", issuer.url);
        let vicar = start(&location, &tokens, "", upstream.url());
        until(async || outcomes(&vicar, outcome).await > 0, id).await;
        assert_eq!(issuer.count("/jwks") > 0, fetches > 0, "{id}");
        let ready = get(&vicar.admin(), "/readyz", "").await;
        assert_eq!(ready.status, if fetches > 0 { 200 } else { 503 }, "{id}: {ready:?}");
    }
}

/// An issuer whose answers are written byte for byte, and which counts how often it is asked.
struct Issuer {
    url: String,
    answers: Arc<Mutex<HashMap<String, (String, usize)>>>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let answers: Arc<Mutex<HashMap<String, (String, usize)>>> = Arc::default();
        let known = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = known.lock().unwrap().get_mut(&path).map(|(answer, count)| {
                    *count += 1;
                    answer.clone()
                });
                let missing = || format!("HTTP/1.1 404 Not Found\r\n{END}\r\n");
                // A large answer is not read to its end; that is what is tested.
                let _ = stream.write_all(answer.unwrap_or_else(missing).as_bytes()).await;
            }
        });
        Self { url, answers }
    }

    fn answer(&self, path: &str, answer: String) {
        let mut answers = self.answers.lock().unwrap();
        answers.entry(path.to_owned()).or_default().0 = answer;
    }

    fn count(&self, path: &str) -> usize {
        self.answers.lock().unwrap().get(path).map_or(0, |(_, count)| *count)
    }
}

/// A good answer with this body.
fn ok(body: &str) -> String {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    format!("{head}content-length: {length}\r\n\r\n{body}")
}

const END: &str = "content-length: 0\r\nconnection: close\r\n";

/// The key set of a corpus in a file of its own.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(corpus: &Value) -> Self {
        let path = std::env::temp_dir().join(format!("vicar-jwks-{:x}.json", fastrand::u64(..)));
        std::fs::write(&path, corpus["verifier"]["jwks"].to_string()).expect("writes");
        Self(path)
    }

    fn location(&self) -> String {
        format!("file: '{}'", self.0.display())
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A Vicar with the issuer of a corpus, whose keys are where `location` says.
fn vicar(corpus: &Value, location: &str, extra: &str, upstream: &str) -> Vicar {
    let issuer = corpus["verifier"]["issuer"].as_str().expect("an issuer");
    start(&format!("jwks: {{ issuer: '{issuer}', {location} }}"), corpus, extra, upstream)
}

fn start(kind: &str, corpus: &Value, extra: &str, upstream: &str) -> Vicar {
    let (audience, algorithms) =
        (&corpus["verifier"]["audience"], &corpus["verifier"]["allowed_algs"]);
    Vicar::start(&format!(
        "runtime: {{ workers: 2 }}\nlog: {{ access: false }}\nadmin: {{ address: '127.0.0.1:0' }}\n\
         listeners:\n  l: {{ address: '127.0.0.1:0' }}\nissuers:\n  i:\n    {kind}\n    \
         audiences: [{audience}]\n    algorithms: {algorithms}\n    {extra}\nroutes:\n  - name: r\n    \
         listener: l\n    authenticate: {{ issuers: [i] }}\n    token: passthrough\n    \
         upstream: {upstream}\n"
    ))
}

async fn show(vicar: &Vicar, token: &str) -> Reply {
    get(&vicar.address(), "/", &format!("authorization: Bearer {token}\r\n")).await
}

/// How many fetches of keys had this outcome.
async fn outcomes(vicar: &Vicar, outcome: &str) -> u64 {
    count(vicar, &format!("vicar_key_fetches_total{{issuer=\"i\",outcome=\"{outcome}\"}}")).await
}

/// The value of a counter; zero when it is not there.
async fn count(vicar: &Vicar, name: &str) -> u64 {
    let metrics = get(&vicar.admin(), "/metrics", "").await.body;
    let mut counters = metrics.lines().filter_map(|line| line.strip_prefix(name));
    counters.next().map_or(0, |value| value.trim().parse().expect("a count"))
}

/// Waits until `condition` holds; fails the test when it does not within ten seconds.
async fn until(condition: impl AsyncFn() -> bool, what: &str) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn nobody_came(listener: &TcpListener) -> bool {
    tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_err()
}

fn time_to_parse(token: &str) -> Duration {
    let started = Instant::now();
    assert!(Compact::parse(token, EmbeddedKey::Refused).is_err());
    started.elapsed()
}

/// A part of a token with another value for a member.
fn changed(part: &str, member: &str, value: Value) -> String {
    let mut object: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
    object[member] = value;
    URL_SAFE_NO_PAD.encode(object.to_string())
}

#[allow(clippy::print_stdout, reason = "whoever runs the tests should see what was left out")]
fn corpus(name: &str) -> Option<Value> {
    let Ok(folder) = std::env::var("VICAR_VECTORS") else {
        println!("SKIPPED: VICAR_VECTORS does not name the folder with the test vectors");
        return None;
    };
    let text = std::fs::read_to_string(PathBuf::from(folder).join(name)).expect("the corpus");
    Some(serde_json::from_str(&text).expect("JSON"))
}

fn cases(corpus: &Value) -> &[Value] {
    corpus["cases"].as_array().expect("cases")
}

fn case<'c>(corpus: &'c Value, id: &str) -> &'c Value {
    let case = cases(corpus).iter().find(|case| case["id"] == id);
    case.unwrap_or_else(|| panic!("no case {id}"))
}

fn token(corpus: &Value, id: &str) -> String {
    case(corpus, id)["token"].as_str().expect("a token").to_owned()
}

fn body(corpus: &Value, id: &str) -> String {
    case(corpus, id)["body"].as_str().expect("a body").to_owned()
}
