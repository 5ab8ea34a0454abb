//! What a token endpoint may answer, and what Vicar makes of it.
//!
//! A table of our own, and the project's corpus when `VICAR_VECTORS` names the folder it lies in.

use std::time::Duration;

use serde_json::Value;

use crate::support::authority::{Answer, Authority};
use crate::support::client::get;
use crate::support::upstream::Upstream;
use crate::support::vicar::Vicar;

/// What must come of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// A token that serves until it is this old, and no longer.
    Token { until: u64 },
    /// 503; asked again within the fetch.
    Transient,
    /// 502; not asked again for a while.
    Permanent,
    /// 503 with this `Retry-After`; not asked again before.
    Throttled { wait: u64 },
}

/// Lets Vicar meet `answer`, whatever it is, and checks that `outcome` comes of it.
async fn meets(name: &str, answer: Answer, outcome: &Outcome) {
    let (authority, upstream) = (Authority::start().await, Upstream::start().await);
    authority.always(Some(answer));
    let vicar = Vicar::simple(&authority.token_endpoint(), upstream.url());
    let reply = get(&vicar.address(), "/", "").await;
    match outcome {
        Outcome::Token { until } => {
            assert_eq!(reply.status, 200, "{name}: {reply:?}");
            assert_eq!(authority.count(), 1, "{name}");
            if *until > 0 {
                get(&vicar.address(), "/", "").await;
                assert_eq!(authority.count(), 1, "{name}: it must be cached");
            }
            // At its end the token is gone, and the authority too.
            authority.always(Some(Answer::json(500, "{}")));
            vicar.clock.advance(Duration::from_secs(*until));
            let seen = upstream.seen().len();
            let reply = get(&vicar.address(), "/", "").await;
            assert_eq!(reply.status, 503, "{name}: served beyond {until} s");
            assert_eq!(upstream.seen().len(), seen, "{name}");
        }
        Outcome::Transient => {
            assert_eq!(reply.status, 503, "{name}: {reply:?}");
            assert!(reply.header("retry-after").is_some(), "{name}");
            assert_eq!(authority.count(), 2, "{name}: one retry");
        }
        Outcome::Permanent => {
            assert_eq!(reply.status, 502, "{name}: {reply:?}");
            vicar.clock.advance(Duration::from_secs(5));
            get(&vicar.address(), "/", "").await;
            assert_eq!(authority.count(), 1, "{name}: no hot loop");
        }
        Outcome::Throttled { wait } => {
            assert_eq!(reply.status, 503, "{name}: {reply:?}");
            assert_eq!(reply.header("retry-after"), Some(wait.to_string().as_str()), "{name}");
            vicar.clock.advance(Duration::from_secs(wait - 2));
            get(&vicar.address(), "/", "").await;
            assert_eq!(authority.count(), 1, "{name}: asked before the time");
        }
    }
    if !matches!(outcome, Outcome::Token { .. }) {
        assert!(upstream.seen().is_empty(), "{name}: the upstream must not be asked");
    }
}

fn token_with(expires_in: &str) -> Answer {
    let body = format!(r#"{{"access_token":"AT","token_type":"bearer"{expires_in}}}"#);
    Answer::json(200, &body)
}

#[tokio::test]
async fn lifetimes_are_read_floored_capped_and_defaulted() {
    for (expires_in, until) in [
        ("", 300),
        (r#","expires_in":null"#, 300),
        (r#","expires_in":100"#, 100),
        (r#","expires_in":"100""#, 100),
        (r#","expires_in":100.9"#, 100),
        (r#","expires_in":1e3"#, 1000),
        (r#","expires_in":0"#, 0),
        (r#","expires_in":18446744073709551615"#, 24 * 3600),
        (r#","expires_in":1e300"#, 24 * 3600),
        (r#","expires_in":100,"refresh_in":"soon""#, 100),
    ] {
        meets(expires_in, token_with(expires_in), &Outcome::Token { until }).await;
    }
}

#[tokio::test]
async fn without_expires_in_a_jwt_lives_as_long_as_its_exp() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let claims = encode(&format!(r#"{{"exp":{}}}"#, now + 1000));
    let body = format!(r#"{{"access_token":"e.{claims}.s","token_type":"Bearer"}}"#);
    meets("jwt exp", Answer::json(200, &body), &Outcome::Token { until: 1001 }).await;
}

#[tokio::test]
async fn answers_without_a_usable_token_are_failures_that_may_pass() {
    let html = Answer { headers: vec![], ..Answer::json(200, "<html>sign in</html>") };
    let huge = format!(r#"{{"access_token":"{}"}}"#, "a".repeat(300_000));
    for (name, answer) in [
        ("empty", Answer::json(200, "")),
        ("blank", Answer::json(200, " \n")),
        ("html", html),
        ("array", Answer::json(200, "[]")),
        ("no token", Answer::json(200, r#"{"token_type":"Bearer"}"#)),
        ("null token", Answer::json(200, r#"{"access_token":null,"token_type":"Bearer"}"#)),
        ("empty token", Answer::json(200, r#"{"access_token":"","token_type":"Bearer"}"#)),
        ("number token", Answer::json(200, r#"{"access_token":7,"token_type":"Bearer"}"#)),
        (
            "header injection",
            Answer::json(200, r#"{"access_token":"a\r\nx: y","token_type":"Bearer"}"#),
        ),
        ("space", Answer::json(200, r#"{"access_token":"a b","token_type":"Bearer"}"#)),
        (
            "repeated",
            Answer::json(200, r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#),
        ),
        ("negative life", token_with(r#","expires_in":-5"#)),
        ("life as list", token_with(r#","expires_in":[1]"#)),
        ("life as word", token_with(r#","expires_in":"NaN""#)),
        ("huge", Answer::json(200, &huge)),
        ("created", Answer::json(201, r#"{"access_token":"a","token_type":"Bearer"}"#)),
        ("server error", Answer::json(500, "{}")),
        (
            "server error with token",
            Answer::json(500, r#"{"access_token":"a","token_type":"Bearer"}"#),
        ),
        (
            "expired jwt",
            Answer::json(200, r#"{"access_token":"e.eyJleHAiOjEwMDB9.s","token_type":"Bearer"}"#),
        ),
        ("unavailable", Answer::json(400, r#"{"error":"temporarily_unavailable"}"#)),
    ] {
        meets(name, answer, &Outcome::Transient).await;
    }
}

#[tokio::test]
async fn refusals_are_not_asked_again_for_a_while() {
    for (name, answer) in [
        ("invalid_client", Answer::json(401, r#"{"error":"invalid_client"}"#)),
        ("invalid_scope", Answer::json(400, r#"{"error":"invalid_scope"}"#)),
        ("unknown", Answer::json(400, r#"{"error":{"a":1}}"#)),
        ("not found", Answer::json(404, "nothing")),
        ("mac", Answer::json(200, r#"{"access_token":"a","token_type":"mac"}"#)),
        ("no type", Answer::json(200, r#"{"access_token":"a"}"#)),
    ] {
        meets(name, answer, &Outcome::Permanent).await;
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_and_capped() {
    for (status, value, wait) in [
        (429, Some("60"), 60),
        (429, None, 5),
        (503, Some("30"), 30),
        (503, Some("999999"), 3600),
        (429, Some("nonsense"), 5),
    ] {
        let answer = Answer::json(status, r#"{"error":"temporarily_unavailable"}"#);
        let answer = match value {
            Some(value) => answer.header("retry-after", value),
            None => answer,
        };
        meets(&format!("{status} {value:?}"), answer, &Outcome::Throttled { wait }).await;
    }
}

#[tokio::test]
async fn the_projects_corpus_of_token_answers() {
    let Ok(folder) = std::env::var("VICAR_VECTORS") else {
        println!("SKIPPED: VICAR_VECTORS does not name the folder with the test vectors");
        return;
    };
    let path = std::path::Path::new(&folder).join("project/token_responses_dev.json");
    let text = std::fs::read_to_string(&path).expect("the corpus");
    let corpus: Value = serde_json::from_str(&text).expect("JSON");
    let cases = corpus["cases"].as_array().expect("cases");
    assert!(!cases.is_empty());
    for case in cases {
        let name = case["id"].as_str().expect("an id");
        let response = &case["response"];
        let headers = response["headers"].as_object().expect("headers").iter();
        let headers = headers.map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned()));
        let answer = Answer {
            status: u16::try_from(response["status"].as_u64().expect("a status")).expect("small"),
            headers: headers.collect(),
            body: response["body"].as_str().unwrap_or_default().to_owned(),
            delay: Duration::ZERO,
        };
        let outcome = match case["outcome"].as_str().expect("an outcome") {
            "token" => Outcome::Token { until: case["ttl_max_s"].as_u64().expect("a lifetime") },
            "fail_transient" => Outcome::Transient,
            "fail_permanent" => Outcome::Permanent,
            "throttled" => Outcome::Throttled { wait: case["delay_s"].as_u64().expect("a delay") },
            other => panic!("{name}: unknown outcome {other}"),
        };
        meets(name, answer, &outcome).await;
    }
}
