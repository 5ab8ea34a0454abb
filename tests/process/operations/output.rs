//! A log that nobody reads, or that nobody can read any more, does not stop traffic.

use std::{
    io::{BufRead as _, BufReader},
    thread,
    time::Duration,
};

use super::yaml;
use crate::{
    party::{DeadPort, Party},
    vicar_process::{Setup, Vicar},
    wire::Connection,
};

#[test]
fn traffic_goes_on_when_standard_output_is_closed() {
    let mut vicar = started_with_a_pipe();
    drop(vicar.take_stdout());
    proxied_requests(&vicar, 2000);
    stops(&mut vicar);
}

#[test]
fn traffic_goes_on_when_nobody_reads_standard_output() {
    let mut vicar = started_with_a_pipe();
    let unread = vicar.take_stdout();
    proxied_requests(&vicar, 2000);
    stops(&mut vicar);
    // It was the reader's fault alone: what fitted into the pipe is there, as whole lines.
    let lines = BufReader::new(unread).lines().map_while(Result::ok).count();
    assert!(lines > 20, "only {lines} lines were written at all");
}

/// The queue behind the pipe is bounded; with it full too, traffic goes on, and so does the end.
#[test]
fn traffic_and_shutdown_go_on_when_the_queue_of_unread_lines_is_full() {
    let mut vicar = started_with_a_pipe();
    let _unread = vicar.take_stdout();
    refused_requests(&vicar, QUEUED_LINES / LINES_PER_REFUSAL + 2000);
    proxied_requests(&vicar, 200);
    stops(&mut vicar);
}

/// A Vicar at its most talkative, its standard output a pipe.
fn started_with_a_pipe() -> Vicar {
    let (authority, upstream, dead) =
        (Party::issuing("token"), Party::answering("hello"), DeadPort::reserve());
    let yaml = yaml(&authority, &upstream, &dead) + "log: { level: trace }\n";
    Setup::new(yaml).piped().start()
}

/// Requests with a token over four connections at once, each answered by the upstream.
fn proxied_requests(vicar: &Vicar, count: usize) {
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = Connection::open(vicar.listener).expect("a connection");
                for number in 0..count / CONNECTIONS {
                    let answer = connection.get("/r", "").expect("traffic goes on");
                    assert_eq!(answer.status, 200, "request {number}: {answer:?}");
                }
            });
        }
    });
}

/// Requests without a route, which cost little and write two lines each, many in one write.
fn refused_requests(vicar: &Vicar, count: usize) {
    let batch = "GET /none HTTP/1.1\r\nHost: h\r\n\r\n".repeat(BATCH);
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = Connection::open(vicar.listener).expect("a connection");
                for _ in 0..count / CONNECTIONS / BATCH {
                    connection.send(batch.as_bytes()).expect("traffic goes on");
                    for _ in 0..BATCH {
                        assert_eq!(connection.answer().expect("traffic goes on").status, 404);
                    }
                }
            });
        }
    });
}

/// Ends as always, though its last lines go nowhere.
fn stops(vicar: &mut Vicar) {
    vicar.child.signal("TERM");
    let status = vicar.exit_within(Duration::from_secs(6));
    assert_eq!(status.expect("it hangs instead of ending").code(), Some(0));
    assert_eq!(vicar.stderr(), "", "nobody panicked over it");
}

const CONNECTIONS: usize = 4;
const BATCH: usize = 50;

/// As many lines as Vicar's telemetry keeps for a slow reader.
const QUEUED_LINES: usize = 16_384;

/// The refusal and the access line.
const LINES_PER_REFUSAL: usize = 2;
