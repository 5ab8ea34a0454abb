//! Every path through Vicar, each walked with all of a caller's secrets in hand.

use std::{net::SocketAddr, thread};

use super::{
    malformed,
    marker::{
        API_KEY, COOKIE, CREDENTIAL, PROXY_CREDENTIAL, QUERY, REQUEST_BODY, UPSTREAM, USERINFO,
    },
    world::{AUTHORITY, METHODS, UPSTREAM_ROUTES},
};
use crate::{
    h2::Http2,
    vicar_process::Vicar,
    wire::{self, Answer, Connection},
};

/// What Vicar itself answered, by the name of the path.
pub(crate) type Answers = Vec<(String, Vec<u8>)>;

/// One walk.
#[derive(Debug)]
pub(crate) struct Walk {
    listener: SocketAddr,
    admin: SocketAddr,
}

impl Walk {
    pub(crate) fn new(vicar: &Vicar) -> Self {
        Self { listener: vicar.listener, admin: vicar.admin }
    }

    /// All paths but those that need a change between them.
    pub(crate) fn all(&self) -> Answers {
        let mut answers = thread::scope(|scope| {
            // Those that wait for time limits wait side by side.
            let authorities = AUTHORITY.iter().filter(|(name, ..)| *name != "late");
            let mut paths: Vec<_> = authorities
                .flat_map(|(name, status, reason)| {
                    METHODS.map(|method| (format!("authority/{name}-{method}"), *status, *reason))
                })
                .map(|(path, status, reason)| {
                    scope.spawn(move || self.twice(&path, status, reason))
                })
                .collect();
            paths.extend(UPSTREAM_ROUTES.iter().filter(|(name, ..)| *name != "hold").map(
                |(name, _, status, reason)| {
                    scope.spawn(move || self.twice(&format!("upstream/{name}"), *status, reason))
                },
            ));
            paths.push(scope.spawn(|| self.malformed()));
            let answers = paths.into_iter().flat_map(|path| path.join().expect("a path walked"));
            answers.collect::<Answers>()
        });
        answers.extend(self.refused_at_the_door());
        answers.extend(self.tunnel());
        answers.extend(self.http2());
        answers.extend(self.admin());
        answers
    }

    /// A client that has no token yet, when its secret's file has just become unusable.
    pub(crate) fn after_a_broken_rotation(&self) -> Answers {
        METHODS
            .iter()
            .flat_map(|method| self.twice(&format!("authority/late-{method}"), 200, ""))
            .collect()
    }

    /// Twice, since the second call may be answered from memory.
    fn twice(&self, path: &str, status: u16, reason: &str) -> Answers {
        (0..2).flat_map(|_| self.call(path, status, reason)).collect()
    }

    /// One request with every secret a caller may hold; gives back the answer when it is Vicar's own.
    fn call(&self, path: &str, status: u16, reason: &str) -> Answers {
        let mut connection = Connection::open(self.listener).expect("a connection");
        // A body that never ends, or one that is there at once.
        let is_endless = ["upstream/body", "upstream/hang-up"].contains(&path);
        let length = REQUEST_BODY.len() + if is_endless { 1000 } else { 0 };
        let request = format!(
            "POST /{path}?code={QUERY} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\
             {}Connection: close\r\n\r\n{REQUEST_BODY}",
            fields(if path.ends_with("/keep") { 2 } else { 1 })
        );
        connection.send(request.as_bytes()).expect("an open connection");
        match connection.answer() {
            Ok(answer) => {
                assert_eq!(answer.status, status, "{path}: {answer:?}");
                own(path, &answer, reason)
            }
            Err(error) if status == 0 => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{path} hangs");
                Answers::new()
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Well-formed requests that no route takes.
    fn refused_at_the_door(&self) -> Answers {
        let mut answers = Answers::new();
        for (request_line, host, status, reason) in [
            ("GET /none?QUERY HTTP/1.1", "Host: h", 404, "no_route"),
            ("GET /upstream/ok/../x?QUERY HTTP/1.1", "Host: h", 400, "ambiguous_request"),
            ("GET /upstream/ok//?QUERY HTTP/1.1", "Host: h", 400, "ambiguous_request"),
            ("GET /upstream/ok?QUERY HTTP/1.1", "Host: h\r\nHost: i", 400, "ambiguous_request"),
            (
                "GET http://user:USERINFO@h/upstream/ok?QUERY HTTP/1.1",
                "Host: h",
                400,
                "ambiguous_request",
            ),
            ("TRACE /upstream/ok?QUERY HTTP/1.1", "Host: h", 405, "method_refused"),
            ("CONNECT h:443 HTTP/1.1", "Host: h:443", 405, "method_refused"),
        ] {
            let request_line = request_line.replace("QUERY", QUERY).replace("USERINFO", USERINFO);
            let mut connection = Connection::open(self.listener).expect("a connection");
            let request = format!("{request_line}\r\n{host}\r\n{}\r\n", fields(1));
            connection.send(request.as_bytes()).expect("an open connection");
            let answer = connection.answer().expect("an answer");
            assert_eq!(answer.status, status, "{request_line}: {answer:?}");
            answers.extend(own(&request_line, &answer, reason));
        }
        answers
    }

    /// Bytes that are no request, to both listeners; Vicar serves on afterwards.
    fn malformed(&self) -> Answers {
        let mut answers = Answers::new();
        for (name, bytes) in malformed::all() {
            for address in [self.listener, self.admin] {
                answers.push((name.to_owned(), wire::throw(address, &bytes)));
                let alive = wire::get(self.admin, "/livez", "").expect("it still answers");
                assert_eq!(alive.status, 200, "after {name}");
                assert_eq!(self.status("none"), 404, "after {name}");
            }
        }
        answers
    }

    fn status(&self, path: &str) -> u16 {
        wire::get(self.listener, &format!("/{path}"), "").expect("it still answers").status
    }

    /// A protocol change that the upstream declines by answering.
    fn tunnel(&self) -> Answers {
        let upgrade = format!(
            "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {API_KEY}\r\n{}",
            fields(1)
        );
        let mut connection = Connection::open(self.listener).expect("a connection");
        let answer = connection.get(&format!("/upstream/ok?{QUERY}"), &upgrade);
        assert_eq!(answer.expect("an answer").status, 200);
        Answers::new()
    }

    /// The same over HTTP/2, with prior knowledge.
    fn http2(&self) -> Answers {
        let secrets: Vec<(String, String)> = fields(1)
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let secrets: Vec<(&str, &str)> =
            secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut answers = Answers::new();
        let mut traffic = Http2::open(self.listener);
        for (path, status) in [
            ("upstream/ok", 200),
            ("upstream/dead", 502),
            ("authority/401-basic", 502),
            ("none", 404),
            ("upstream//ok", 400),
        ] {
            let answer = traffic.get(&format!("http://h/{path}?{QUERY}"), &secrets);
            assert_eq!(answer.status, status, "{path} over HTTP/2");
            if status != 200 {
                answers.push((format!("{path} over HTTP/2"), answer.raw));
            }
        }
        let mut admin = Http2::open(self.admin);
        for page in ["status", "metrics", "none"] {
            let answer = admin.get(&format!("http://h/{page}?{QUERY}"), &secrets);
            answers.push((format!("admin {page} over HTTP/2"), answer.raw));
        }
        answers
    }

    /// Every admin page, asked with secrets.
    fn admin(&self) -> Answers {
        let mut answers = Answers::new();
        for (page, status) in
            [("livez", 200), ("readyz", 200), ("metrics", 200), ("status", 200), ("none", 404)]
        {
            let answer = wire::get(self.admin, &format!("/{page}?{QUERY}"), &fields(1));
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, status, "{page}: {answer:?}");
            answers.push((format!("admin {page}"), answer.raw()));
        }
        let status = &answers[3].1;
        let status = String::from_utf8_lossy(status);
        assert!(status.contains("authority_refused_client"), "a page worth searching: {status}");
        answers
    }
}

/// A request that is being answered when the end comes; drop the connection afterwards.
pub(crate) fn hold_a_request(vicar: &Vicar) -> Connection {
    let mut connection = Connection::open(vicar.listener).expect("a connection");
    let target = format!("GET /upstream/hold?{QUERY} HTTP/1.1\r\nHost: h\r\n{}\r\n", fields(1));
    connection.send(target.as_bytes()).expect("an open connection");
    assert_eq!(connection.head().expect("a head").status, 200);
    let begun = connection.take(UPSTREAM.len()).expect("the beginning of a body");
    assert_eq!(begun, UPSTREAM.as_bytes());
    connection
}

/// The answer when it is Vicar's own, which must give `reason`; with no reason it is the upstream's.
fn own(path: &str, answer: &Answer, reason: &str) -> Answers {
    let is_problem = answer.header("content-type") == "application/problem+json";
    assert_eq!(is_problem, !reason.is_empty(), "{path}: {answer:?}");
    if !is_problem {
        return Answers::new();
    }
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(problem["reason"], reason, "{path}");
    vec![(path.to_owned(), answer.raw())]
}

/// The fields of a caller who has everything, with so many credentials.
fn fields(credentials: usize) -> String {
    let credential = format!("Authorization: Bearer {CREDENTIAL}\r\n").repeat(credentials);
    format!(
        "{credential}Proxy-Authorization: Basic {PROXY_CREDENTIAL}\r\nCookie: session={COOKIE}\r\n\
         X-Api-Key: {API_KEY}\r\nReferer: http://h/?{QUERY}\r\nTraceparent: {API_KEY}\r\n\
         X-Request-Id: {API_KEY} {COOKIE}\r\n"
    )
}

/// Every reason that one of the paths leads to: the proof that they were walked.
pub(crate) const REASONS: [&str; 17] = [
    "ambiguous_request",
    "authority_answer_unusable",
    "authority_metadata_unusable",
    "authority_refused_client",
    "authority_refused_request",
    "authority_throttled",
    "authority_token_type",
    "authority_unreachable",
    "credential_not_welcome",
    "credential_repeated",
    "method_refused",
    "no_route",
    "request_body_broken",
    "upstream_broken",
    "upstream_connect_timeout",
    "upstream_timeout",
    "upstream_unreachable",
];
