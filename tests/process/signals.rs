//! The end of a process: what runs may finish, nothing new begins, and it always comes.

use std::{
    io::Write as _,
    net::TcpStream,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use crate::{
    child::poll,
    h2::Http2,
    party::{After, Party},
    vicar_process::{Setup, Vicar},
    wire::{self, Connection},
};

#[test]
fn sigterm_ends_an_idle_process_at_once() {
    ends_at_once("TERM");
}

#[test]
fn sigint_does_the_same() {
    ends_at_once("INT");
}

/// A pod may be told to end while it starts: what was accepted by then is drained all the same.
#[test]
fn sigterm_in_the_first_moment_is_no_different() {
    let upstream = Party::answering("hello");
    for attempt in 0..FIRST_MOMENTS {
        let mut vicar = setup(&upstream, GRACE).hasty().start();
        vicar.child.signal("TERM");
        let status = vicar.exit_within(LIMIT).expect("it ends");
        assert_eq!(status.code(), Some(0), "start {attempt}: {status}\n{}", vicar.log());
    }
}

#[test]
fn sighup_ends_nothing_and_says_what_it_does() {
    let upstream = Party::answering("still here");
    let mut vicar = start(&upstream, GRACE);
    vicar.child.signal("HUP");
    let told = || {
        (!vicar.lines(|line| text(&line["message"]).contains("SIGHUP")).is_empty()).then_some(())
    };
    assert!(poll(LIMIT, told).is_some(), "nothing about SIGHUP in:\n{}", vicar.log());
    assert_eq!(vicar.get("/").text(), "still here");
    assert!(!vicar.child.has_left());
}

#[test]
fn a_drain_closes_connections_that_wait_for_a_next_request() {
    let upstream = Party::answering("hello");
    let mut vicar = start(&upstream, GRACE);
    let mut used = Connection::open(vicar.listener).expect("a connection");
    assert_eq!(used.get("/", "").expect("an answer").status, 200);
    let mut fresh = Connection::open(vicar.listener).expect("a connection");
    let mut http2 = Http2::open(vicar.listener);
    assert_eq!(http2.get(&format!("http://{}/", vicar.listener), &[]).status, 200);

    vicar.child.signal("TERM");
    assert_eq!(used.rest().expect("a polite close"), b"", "kept alive after an answer");
    assert_eq!(fresh.rest().expect("a polite close"), b"", "opened, nothing sent");
    assert!(poll(LIMIT, || http2.is_closed().then_some(())).is_some(), "HTTP/2 stays open");
    assert_ended(&mut vicar, LIMIT, true);
}

#[test]
fn a_response_in_flight_completes_while_nothing_new_gets_in() {
    let (upstream, held) = holding();
    let mut vicar = start(&upstream, GRACE);
    let mut caller = Connection::open(vicar.listener).expect("a connection");
    caller.send(b"GET /half HTTP/1.1\r\nHost: h\r\n\r\n").expect("a request");
    assert_eq!(caller.head().expect("a head").status, 200);
    assert_eq!(caller.take(FIRST.len()).expect("half a body"), FIRST);
    let mut upstream_side = held.recv_timeout(LIMIT).expect("a request at the upstream");

    vicar.child.signal("TERM");
    let refused = poll(LIMIT, || wire::is_refused(vicar.listener).then_some(()));
    assert!(refused.is_some(), "new connections are still accepted");
    let ready = vicar.page("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.text().contains("draining"), "{ready:?}");
    assert_eq!(vicar.page("/livez").status, 200, "draining is alive");
    assert!(!vicar.child.has_left(), "a response is still on its way");

    upstream_side.write_all(SECOND).expect("Vicar still reads");
    assert_eq!(caller.take(SECOND.len()).expect("the other half"), SECOND);
    assert_eq!(caller.rest().expect("a polite close"), b"");
    assert_ended(&mut vicar, LIMIT, true);
}

#[test]
fn a_request_whose_answer_has_not_begun_gets_it_and_the_connection_closes() {
    let (upstream, held) = holding();
    let mut vicar = start(&upstream, GRACE);
    let mut caller = Connection::open(vicar.listener).expect("a connection");
    caller.send(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n").expect("a request");
    let mut upstream_side = held.recv_timeout(LIMIT).expect("a request at the upstream");

    vicar.child.signal("TERM");
    let refused = poll(LIMIT, || wire::is_refused(vicar.listener).then_some(()));
    assert!(refused.is_some(), "new connections are still accepted");
    upstream_side.write_all(&[HEAD, FIRST, SECOND].concat()).expect("Vicar still reads");
    let answer = caller.answer().expect("an answer");
    assert_eq!((answer.status, answer.body), (200, [FIRST, SECOND].concat()));
    assert_eq!(wire::field(&answer.head, "connection"), Some("close"), "{}", answer.head);
    assert_eq!(caller.rest().expect("a polite close"), b"");
    assert_ended(&mut vicar, LIMIT, true);
}

#[test]
fn beyond_the_grace_period_it_ends_anyway_and_says_that_something_was_cut_off() {
    let (upstream, held) = holding();
    let mut vicar = start(&upstream, "1s");
    let mut caller = Connection::open(vicar.listener).expect("a connection");
    caller.send(b"GET /half HTTP/1.1\r\nHost: h\r\n\r\n").expect("a request");
    assert_eq!(caller.head().expect("a head").status, 200);
    let _never_finished = held.recv_timeout(LIMIT).expect("a request at the upstream");

    vicar.child.signal("TERM");
    let asked = Instant::now();
    assert_ended(&mut vicar, LIMIT + Duration::from_secs(1), false);
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(900), "ended after {took:?}, before its grace period");
    // The body was shorter than its length says: the caller can tell that it is not whole.
    let rest = caller.rest().unwrap_or_default();
    assert!(rest.len() < FIRST.len() + SECOND.len(), "{rest:?}");
}

/// Ends within two seconds, with nothing to wait for.
fn ends_at_once(signal: &str) {
    let upstream = Party::answering("hello");
    let mut vicar = start(&upstream, GRACE);
    assert_eq!(vicar.get("/").status, 200);
    vicar.child.signal(signal);
    assert_ended(&mut vicar, LIMIT, true);
    assert!(wire::is_refused(vicar.listener) && wire::is_refused(vicar.admin));
}

/// Left with 0 within `limit`, its last line saying whether everything `finished`.
fn assert_ended(vicar: &mut Vicar, limit: Duration, finished: bool) {
    let Some(status) = vicar.exit_within(limit) else {
        panic!("still running {limit:?} after the signal:\n{}", vicar.log());
    };
    assert_eq!(status.code(), Some(0), "{}", vicar.log());
    let last = vicar.lines(|_| true).pop().expect("a last line");
    assert_eq!((&last["message"], &last["finished"]), (&"stopped".into(), &finished.into()));
    assert_eq!(vicar.stderr(), "");
}

/// A Vicar before `upstream` that gives what runs `grace` to finish.
fn start(upstream: &Party, grace: &str) -> Vicar {
    setup(upstream, grace).start()
}

fn setup(upstream: &Party, grace: &str) -> Setup {
    let yaml = format!(
        "\
shutdown: {{ grace: {grace} }}
admin: {{ address: 'ADMIN' }}
listeners:
  l: {{ address: 'LISTENER' }}
routes:
  - {{ name: r, listener: l, token: strip, upstream: 'http://{}' }}
",
        upstream.address
    );
    Setup::new(yaml)
}

/// An upstream that answers half (or nothing) and hands its connection to the test, which decides
/// when the rest comes.
fn holding() -> (Party, mpsc::Receiver<TcpStream>) {
    let (sender, held) = mpsc::channel();
    let sender = Mutex::new(sender);
    let upstream = Party::start(move |request, stream| {
        if request.target == "/half" {
            stream.write_all(&[HEAD, FIRST].concat())?;
        }
        let handed = stream.try_clone()?;
        drop(sender.lock().expect("no test panics here").send(handed));
        Ok(After::Close)
    });
    (upstream, held)
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n";
const FIRST: &[u8] = b"one half";
const SECOND: &[u8] = b"another.";

/// Starts enough to meet a moment that is there in one start of four.
const FIRST_MOMENTS: u32 = 20;

/// Long enough that no test passes because it was over.
const GRACE: &str = "20s";

/// What "at once" may take on a machine under load; far from the grace period.
const LIMIT: Duration = Duration::from_secs(2);
