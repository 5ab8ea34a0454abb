//! The access log: one JSON line per request that says what became of it, and nothing secret.

use std::time::Duration;

use serde_json::{Value, json};

use super::yaml;
use crate::{
    child::poll,
    party::{DeadPort, Party},
    vicar_process::{Setup, Vicar},
};

#[test]
fn each_request_has_one_line_that_says_what_became_of_it() {
    let (authority, upstream, dead) =
        (Party::issuing("token"), Party::answering("hello"), DeadPort::reserve());
    let vicar = Setup::new(yaml(&authority, &upstream, &dead)).start();
    let expected = [
        ("/r/a?q=private", 200, json!("r"), Value::Null, "/r/a"),
        ("/dead?q=private", 502, json!("dead"), json!("upstream_unreachable"), "/dead"),
        ("/none?q=private", 404, Value::Null, json!("no_route"), "/none"),
        ("/r//a?q=private", 400, Value::Null, json!("ambiguous_request"), "/r//a"),
    ];
    for (number, (target, status, route, reason, path)) in expected.into_iter().enumerate() {
        let answer = vicar.get(target);
        assert_eq!(answer.status, status, "{answer:?}");
        let lines = access_lines(&vicar, number + 1);
        assert_eq!(lines.len(), number + 1, "one line per request: {lines:#?}");
        let line = &lines[number];
        assert_eq!(line["status"], status, "{line}");
        assert_eq!((&line["route"], &line["reason"]), (&route, &reason), "{line}");
        assert_eq!((&line["method"], &line["path"]), (&json!("GET"), &json!(path)), "{line}");
        assert_eq!(line["bytes"], answer.body.len(), "{line}");
        assert_eq!((&line["complete"], &line["level"]), (&json!(true), &json!("INFO")), "{line}");
        assert_eq!(line["version"], "HTTP/1.1", "{line}");
        assert!(line["ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 10_000.0), "{line}");
        assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
        let request_id = answer.header("x-request-id");
        assert!(request_id.len() == 32 && line["request_id"] == request_id, "{line} {answer:?}");
        assert_eq!(line.get("trace_id"), None, "nobody sent one: {line}");
    }
    assert!(!vicar.log().contains("private"), "a query is in the log:\n{}", vicar.log());
}

#[test]
fn the_callers_identifiers_tie_the_line_to_answer_and_trace() {
    let (authority, upstream, dead) =
        (Party::issuing("token"), Party::answering("hello"), DeadPort::reserve());
    let vicar = Setup::new(yaml(&authority, &upstream, &dead)).start();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let fields = format!("X-Request-Id: mine-1\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    for (number, target) in ["/r", "/none"].into_iter().enumerate() {
        let answer = vicar.get_with(target, &fields);
        assert_eq!(answer.header("x-request-id"), "mine-1", "{answer:?}");
        let line = access_lines(&vicar, number + 1).pop().expect("a line");
        assert_eq!((&line["request_id"], &line["trace_id"]), (&json!("mine-1"), &json!(trace)));
    }
    let problem: Value =
        serde_json::from_slice(&vicar.get_with("/none", &fields).body).expect("JSON");
    assert_eq!(problem["request_id"], "mine-1", "a problem names it too: {problem}");
}

#[test]
fn a_failure_has_a_second_line_with_the_whole_story_under_the_same_id() {
    let (authority, upstream, dead) =
        (Party::issuing("token"), Party::answering("hello"), DeadPort::reserve());
    let vicar = Setup::new(yaml(&authority, &upstream, &dead)).start();
    let answer = vicar.get("/dead");
    let id = answer.header("x-request-id");
    assert_eq!(access_lines(&vicar, 1).len(), 1);
    let story = vicar.lines(|line| line["message"] == "request failed");
    assert_eq!(story.len(), 1, "{}", vicar.log());
    assert_eq!((&story[0]["level"], &story[0]["request_id"]), (&json!("WARN"), &json!(id)));
    assert_eq!(story[0]["reason"], "upstream_unreachable", "{story:?}");
    let error = story[0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("refused"), "the log's text is complete: {error}");
    assert!(!answer.text().contains("onnection refused"), "the caller's is not: {answer:?}");
}

#[test]
fn a_response_that_breaks_off_is_not_called_complete() {
    let cut_short = Party::start(|_, stream| {
        std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")?;
        Ok(crate::party::After::Close)
    });
    let (authority, dead) = (Party::issuing("token"), DeadPort::reserve());
    let vicar = Setup::new(yaml(&authority, &cut_short, &dead)).start();
    let broken = crate::wire::get(vicar.listener, "/r", "");
    assert!(broken.is_err(), "the caller can tell that it is not whole: {broken:?}");
    let line = access_lines(&vicar, 1).pop().expect("a line");
    assert_eq!((&line["status"], &line["complete"]), (&json!(200), &json!(false)), "{line}");
    assert_eq!(line["bytes"], 4, "{line}");
}

#[test]
fn without_log_access_there_is_none() {
    let (authority, upstream, dead) =
        (Party::issuing("token"), Party::answering("hello"), DeadPort::reserve());
    let yaml = yaml(&authority, &upstream, &dead) + "log: { access: false }\n";
    let mut vicar = Setup::new(yaml).start();
    assert_eq!(vicar.get("/r").status, 200);
    assert_eq!(vicar.get("/dead").status, 502);
    // Only after the end is it sure that nothing is still on its way.
    vicar.child.signal("TERM");
    let status = vicar.exit_within(Duration::from_secs(5)).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(vicar.lines(is_access).is_empty(), "{}", vicar.log());
    let failed = vicar.lines(|line| line["message"] == "request failed");
    assert_eq!(failed.len(), 1, "failures are told all the same:\n{}", vicar.log());
}

/// The access lines, once there are as many as expected; a line is written just after its response.
fn access_lines(vicar: &Vicar, expected: usize) -> Vec<Value> {
    let enough = || Some(vicar.lines(is_access)).filter(|lines| lines.len() >= expected);
    poll(Duration::from_secs(5), enough)
        .unwrap_or_else(|| panic!("fewer than {expected} access lines in:\n{}", vicar.log()))
}

fn is_access(line: &Value) -> bool {
    line["target"] == "vicar::access"
}
