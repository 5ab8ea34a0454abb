//! The three who judge: Vicar over real connections, jose in Node.js and joserfc in Python.
//!
//! Part of `differential`. Each gets the same tokens in the same order and the same rules.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    cases::Case,
    keys::Signer,
    token::{AUDIENCE, ISSUER},
};
use crate::{
    authority,
    program::{self, folder},
    proxy::{Proxy, quoted},
    upstream::Upstream,
};

/// The key set that all judges know.
pub(super) fn key_set(signers: &[Signer]) -> Value {
    json!({ "keys": signers.iter().map(Signer::jwk).collect::<Vec<_>>() })
}

/// Vicar's judgement on every token, by its answers to requests that carry them.
pub(super) fn vicar(signers: &[Signer], cases: &[Case]) -> Vec<bool> {
    let upstream = Upstream::start();
    let proxy = Proxy::configured(|place| {
        let keys = place.file("keys.json", &key_set(signers).to_string());
        format!(
            "\
admin: {{ address: {} }}
listeners:
  inbound: {{ address: {} }}
issuers:
  partner:
    jwks: {{ issuer: {}, file: {keys} }}
    audiences: [{}]
    algorithms: [RS256, PS256, ES256, EdDSA]
    clock_skew: {TOLERANCE}s
routes:
  - name: api
    listener: inbound
    authenticate: {{ issuers: [partner] }}
    token: passthrough
    upstream: http://{}
",
            place.admin,
            place.listener,
            quoted(ISSUER),
            quoted(AUDIENCE),
            upstream.address,
        )
    });
    let address = proxy.address();
    let share = cases.len().div_ceil(CONNECTIONS);
    let accepted: Vec<bool> = thread::scope(|scope| {
        let ask = |share: &'_ [Case]| {
            let mut line = Line::open(address).expect("vicar answers");
            share.iter().map(|case| line.is_accepted(case)).collect::<Vec<_>>()
        };
        let askers: Vec<_> =
            cases.chunks(share).map(|share| scope.spawn(move || ask(share))).collect();
        askers.into_iter().flat_map(|asker| asker.join().expect("all are asked")).collect()
    });
    let passed = accepted.iter().filter(|accepted| **accepted).count();
    assert_eq!(upstream.heads().len(), passed, "the upstream sees the accepted requests only");
    accepted
}

/// What jose says about every token.
pub(super) fn jose(signers: &[Signer], cases: &[Case], now: u64) -> Vec<String> {
    authority::require_setup();
    let mut command = Command::new("node");
    command.arg(folder().join("verify_many.mjs"));
    peer(command, signers, cases, now)
}

/// What joserfc says about every token.
pub(super) fn joserfc(signers: &[Signer], cases: &[Case], now: u64) -> Vec<String> {
    let command = program::python("verify_many.py", "joserfc");
    peer(command, signers, cases, now)
}

/// Runs a judge that reads rules and tokens as lines of JSON and answers each token with a line.
fn peer(command: Command, signers: &[Signer], cases: &[Case], now: u64) -> Vec<String> {
    let rules = json!({
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": signers.iter().map(|signer| signer.algorithm).collect::<Vec<_>>(),
        "tolerance": TOLERANCE,
        "now": now,
        "jwks": key_set(signers),
    });
    let tokens = cases.iter().map(|case| Value::from(case.token.as_str()));
    let lines: Vec<String> =
        [rules].into_iter().chain(tokens).map(|line| line.to_string()).collect();
    let answers = program::ask(command, &lines);
    assert_eq!(answers.len(), cases.len(), "one answer for each token; see above");
    answers
}

/// A connection that is kept between requests (RFC 9112 section 9.3).
struct Line {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Line {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// Whether a request with this token is let through; anything but a clear yes or no is a
    /// failure.
    fn is_accepted(&mut self, case: &Case) -> bool {
        let status = self.status(&case.token).unwrap_or_else(|error| {
            panic!("no answer to {}: {error}: {}", case.name(), case.token)
        });
        // A comma makes it two credentials, which is a bad request rather than a bad token.
        let refusal = if case.token.contains(',') { 400 } else { 401 };
        assert!(status == 200 || status == refusal, "{status} for {}: {}", case.name(), case.token);
        status == 200
    }

    fn status(&mut self, token: &str) -> io::Result<u16> {
        let request =
            format!("GET / HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let first = self.head_line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut length = 0;
        let mut closes = false;
        loop {
            let line = self.head_line()?.to_ascii_lowercase();
            match line.split_once(':') {
                None => break,
                Some(("content-length", value)) => {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
                Some(("connection", value)) => closes = value.trim() == "close",
                Some(_) => {}
            }
        }
        io::copy(&mut self.stream.by_ref().take(length), &mut io::sink())?;
        if closes {
            *self = Self::open(self.address)?;
        }
        status.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn head_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.by_ref().take(LINE_LIMIT).read_line(&mut line)?;
        if line.ends_with("\r\n") {
            Ok(line.trim_end().to_owned())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

/// How far a clock may be off, in seconds: the default of `clock_skew`.
const TOLERANCE: u64 = 60;

/// How many ask Vicar at once.
const CONNECTIONS: usize = 4;

/// For one answer of Vicar's.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// No line of an answer's head comes near it.
const LINE_LIMIT: u64 = 8192;
