//! The parties around Vicar: an authority and an upstream that misbehave in every way and repeat
//! whatever they were told, and the configuration that leads to each of them.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use serde_json::json;

use super::goaway::{self, TlsGoaway};
use super::marker::{BAD_TOKEN, DESCRIPTION, PROXY_PASSWORD, SECRET, TOKEN, UPSTREAM};
use crate::{
    full_port::FullPort,
    party::{After, DeadPort, Party, Request, issue, listen, reset_at_close, respond},
    vicar_process::Setup,
};

/// Everything Vicar may meet.
#[derive(Debug)]
pub(crate) struct World {
    authority: Party,
    upstream: Party,
    proxy: Party,
    goaway: SocketAddr,
    tls_goaway: TlsGoaway,
    hang_up: SocketAddr,
    no_tls: SocketAddr,
    dead: DeadPort,
    full: FullPort,
}

impl World {
    pub(crate) fn start() -> Self {
        Self {
            authority: Party::start(authority),
            upstream: Party::start(upstream),
            proxy: Party::start(|request, stream| {
                let fields = "Proxy-Authenticate: Basic realm=\"r\"\r\n";
                respond(stream, "407 No", fields, echo(request).as_bytes())
            }),
            goaway: listen(goaway::serve),
            tls_goaway: TlsGoaway::start(),
            hang_up: listen(|stream| {
                stream.read_exact(&mut [0; 64])?;
                reset_at_close(stream)
            }),
            no_tls: listen(|stream| stream.write_all(UPSTREAM.as_bytes())),
            dead: DeadPort::reserve(),
            full: FullPort::reserve(),
        }
    }

    /// A Vicar with `yaml` that trusts the parties here.
    pub(crate) fn setup(&self, yaml: String) -> Setup {
        Setup::new(yaml).file("ca.pem", &self.tls_goaway.certificate)
    }

    /// The configuration: each behaviour of the authority has a client for both ways to send the
    /// secret and a route `/authority/NAME-METHOD`; each one of the upstream a route `/upstream/NAME`.
    pub(crate) fn yaml(&self, format: &str, secret: &str) -> String {
        let both_ways =
            || AUTHORITY.iter().flat_map(|(name, ..)| METHODS.map(|method| (*name, method)));
        let clients: String =
            both_ways().map(|(name, method)| self.client(name, method, secret)).collect();
        let by_authority = both_ways().map(|(name, method)| {
            let client = format!("{name}-{method}");
            let upstream = format!("'http://{}'", self.upstream.address);
            route(&format!("authority/{client}"), &client, "", &upstream)
        });
        let by_upstream = UPSTREAM_ROUTES.iter().map(|(name, settings, ..)| {
            route(&format!("upstream/{name}"), "ok-basic", settings, &self.upstream_yaml(name))
        });
        let routes: String = by_authority.chain(by_upstream).collect();
        format!(
            "log: {{ format: {format}, level: trace }}\nshutdown: {{ grace: 1s }}\n\
             admin: {{ address: 'ADMIN' }}\nlisteners:\n  l:\n    address: 'LISTENER'\n    \
             timeouts: {{ header: 1s }}\nclients:\n{clients}routes:\n{routes}"
        )
    }

    fn client(&self, name: &str, method: &str, secret: &str) -> String {
        let authority = self.authority_yaml(name);
        format!(
            "  {name}-{method}:\n    \
             authority: {{ timeouts: {{ total: 1500ms }}, {authority} }}\n    \
             client_id: the-client\n    \
             credential: {{ client_secret_{method}: {secret} }}\n    warm_up: false\n"
        )
    }

    fn authority_yaml(&self, name: &str) -> String {
        let (authority, dead) = (self.authority.address, self.dead.address);
        // Names that lead nowhere but to the proxy: what is on this machine needs none.
        let through = |proxy: SocketAddr| {
            format!(
                "token_endpoint: 'https://authority.invalid/', \
                 proxy: 'http://user:{PROXY_PASSWORD}@{proxy}'"
            )
        };
        match name {
            "metadata" | "issuer" => format!("oidc: {{ issuer: 'http://{authority}/{name}' }}"),
            "refused" => format!("token_endpoint: 'http://{dead}/'"),
            "goaway" => format!(
                "token_endpoint: 'https://{}/', ca: {{ file: SCRATCH/ca.pem }}",
                self.tls_goaway.address
            ),
            "no-tls" => format!("token_endpoint: 'https://{}/'", self.no_tls),
            "proxied" => through(dead),
            "proxy-refuses" => through(self.proxy.address),
            _ => format!("token_endpoint: 'http://{authority}/{name}'"),
        }
    }

    fn upstream_yaml(&self, name: &str) -> String {
        let (upstream, dead) = (self.upstream.address, self.dead.address);
        match name {
            "dead" => format!("'http://{dead}'"),
            "full" => format!("'http://{}'", self.full.address),
            "goaway" => format!("{{ url: 'http://{}', protocol: http2 }}", self.goaway),
            "hang-up" => format!("'http://{}'", self.hang_up),
            "no-tls" => format!("'https://{}'", self.no_tls),
            "tls-goaway" => format!(
                "{{ url: 'https://{}', ca: {{ file: SCRATCH/ca.pem }} }}",
                self.tls_goaway.address
            ),
            "proxied" => format!(
                "{{ url: 'http://upstream.invalid', danger_plaintext_upstream: true, \
                 proxy: 'http://user:{PROXY_PASSWORD}@{dead}' }}"
            ),
            "proxy-refuses" => format!(
                "{{ url: 'https://upstream.invalid', \
                 proxy: 'http://user:{PROXY_PASSWORD}@{}' }}",
                self.proxy.address
            ),
            _ => format!("'http://{upstream}'"),
        }
    }
}

/// A route for everything below `path`, which is also its name.
fn route(path: &str, client: &str, settings: &str, upstream: &str) -> String {
    format!(
        "  - name: {name}\n    listener: l\n    match: {{ path: /{path} }}\n    \
         token: {{ client_credentials: {{ client: {client} }} }}\n    \
         {settings}\n    upstream: {upstream}\n",
        name = path.replace('/', "-")
    )
}

/// Behaviours of the authority, with the status and reason that callers get for each.
pub(crate) const AUTHORITY: [(&str, u16, &str); 25] = [
    ("ok", 200, ""),
    ("late", 200, ""),
    ("400", 502, "authority_refused_request"),
    ("401", 502, "authority_refused_client"),
    ("403-words", 502, "authority_refused_request"),
    ("429", 503, "authority_throttled"),
    ("500", 503, "authority_answer_unusable"),
    ("bad-expiry", 503, "authority_answer_unusable"),
    ("bad-token", 503, "authority_answer_unusable"),
    ("closed", 503, "authority_unreachable"),
    ("cut", 503, "authority_unreachable"),
    ("empty", 503, "authority_answer_unusable"),
    ("garbage", 503, "authority_answer_unusable"),
    ("goaway", 503, "authority_unreachable"),
    ("huge", 503, "authority_answer_unusable"),
    ("issuer", 503, "authority_metadata_unusable"),
    ("metadata", 503, "authority_metadata_unusable"),
    ("no-http", 503, "authority_unreachable"),
    ("no-tls", 503, "authority_unreachable"),
    ("proxied", 503, "authority_unreachable"),
    ("proxy-refuses", 503, "authority_unreachable"),
    ("redirect", 502, "authority_refused_request"),
    ("refused", 503, "authority_unreachable"),
    ("slow", 503, "authority_unreachable"),
    ("wrong-type", 502, "authority_token_type"),
];

/// Both ways to send a client secret.
pub(crate) const METHODS: [&str; 2] = ["basic", "post"];

/// Behaviours of the upstream: what else its route says, and the status and reason callers get;
/// 0 where the answer breaks off.
pub(crate) const UPSTREAM_ROUTES: [(&str, &str, u16, &str); 25] = [
    ("ok", "", 200, ""),
    ("bad-chunk", "", 0, ""),
    ("bad-length", "", 502, "upstream_broken"),
    ("body", "timeouts: { idle: 300ms }", 408, "request_body_broken"),
    ("close", "", 502, "upstream_broken"),
    ("dead", "", 502, "upstream_unreachable"),
    ("full", "timeouts: { connect: 300ms }", 504, "upstream_connect_timeout"),
    ("garbage", "", 502, "upstream_broken"),
    ("goaway", "", 502, "upstream_broken"),
    ("hang-up", "", 502, "upstream_broken"),
    ("hold", "", 0, ""),
    ("keep", "inject: { existing: keep }", 400, "credential_repeated"),
    ("large-head", "", 502, "upstream_broken"),
    ("midbody", "", 0, ""),
    ("no-tls", "", 502, "upstream_unreachable"),
    ("other-header", "inject: { header: X-Their-Key, scheme: '' }", 200, ""),
    ("other-scheme", "inject: { scheme: Token }", 200, ""),
    ("proxied", "", 502, "upstream_unreachable"),
    ("proxy-refuses", "", 502, "upstream_unreachable"),
    ("reject", "inject: { existing: reject }", 400, "credential_not_welcome"),
    ("reset", "", 502, "upstream_broken"),
    ("silent", "timeouts: { idle: 300ms }", 0, ""),
    ("slow", "timeouts: { response: 300ms }", 504, "upstream_timeout"),
    ("switch", "", 502, "upstream_broken"),
    ("tls-goaway", "", 502, "upstream_broken"),
];

fn authority(request: &Request, stream: &mut TcpStream) -> io::Result<After> {
    let told = echo(request);
    let token = |token: &str, kind: &str, expires_in: serde_json::Value| {
        json!({ "access_token": token, "token_type": kind, "expires_in": expires_in }).to_string()
    };
    let name = request.target.trim_start_matches('/').split('/').next().unwrap_or_default();
    match name {
        "ok" | "late" => issue(stream, TOKEN),
        "400" => refuse(stream, "400 Bad Request", "invalid_request", &told),
        "401" => refuse(stream, "401 Unauthorized", "invalid_client", &told),
        "403-words" => refuse(stream, &format!("403 {DESCRIPTION}"), DESCRIPTION, &told),
        "429" => respond(stream, "429 Wait", "Retry-After: 1\r\n", told.as_bytes()),
        "500" => respond(stream, "500 Broken", "", told.as_bytes()),
        "bad-expiry" => {
            respond(stream, "200 OK", "", token(BAD_TOKEN, "Bearer", json!(BAD_TOKEN)).as_bytes())
        }
        "bad-token" => {
            let spaced = format!("{BAD_TOKEN} {BAD_TOKEN}");
            respond(stream, "200 OK", "", token(&spaced, "Bearer", json!(60)).as_bytes())
        }
        "cut" => cut_short(stream, &token(BAD_TOKEN, "Bearer", json!(60))),
        "empty" => respond(stream, "200 OK", &format!("X-Echo: {BAD_TOKEN}\r\n"), b""),
        "garbage" => respond(stream, "200 OK", "", format!("<p>{BAD_TOKEN}{told}").as_bytes()),
        "huge" => respond(stream, "200 OK", "", BAD_TOKEN.repeat(10_000).as_bytes()),
        "issuer" => {
            let document = json!({ "issuer": DESCRIPTION, "token_endpoint": DESCRIPTION });
            respond(stream, "200 OK", "", document.to_string().as_bytes())
        }
        "metadata" => respond(stream, "200 OK", "", DESCRIPTION.as_bytes()),
        "no-http" => {
            stream.write_all(format!("{BAD_TOKEN} {told}").as_bytes()).map(|()| After::Close)
        }
        "redirect" => {
            let location = format!("Location: /ok?leak={BAD_TOKEN}\r\n");
            respond(stream, "302 Found", &location, told.as_bytes())
        }
        "slow" => Ok(silence()),
        "wrong-type" => {
            respond(stream, "200 OK", "", token(BAD_TOKEN, "MAC", json!(60)).as_bytes())
        }
        _ => reset_at_close(stream).map(|()| After::Close),
    }
}

/// Refuses with everything that was said to it in every place of the answer.
fn refuse(stream: &mut TcpStream, status: &str, code: &str, told: &str) -> io::Result<After> {
    let body = json!({
        "error": code, "error_description": format!("{DESCRIPTION}: {told} {BAD_TOKEN}"),
        "error_uri": format!("https://help.test/?{BAD_TOKEN}"), "error_codes": [7_000_215, told],
        "correlation_id": told, "trace_id": SECRET, "suberror": BAD_TOKEN, "claims": told,
    });
    let fields = format!("WWW-Authenticate: Basic realm=\"{DESCRIPTION}\"\r\nX-Echo: {SECRET}\r\n");
    respond(stream, status, &fields, body.to_string().as_bytes())
}

fn upstream(request: &Request, stream: &mut TcpStream) -> io::Result<After> {
    let told = echo(request);
    let name = request.target.split(['/', '?']).nth(2).unwrap_or_default();
    match name {
        "bad-chunk" => raw(stream, &format!("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{told}")),
        "bad-length" => raw(stream, &format!("200 OK\r\nContent-Length: {UPSTREAM}\r\n\r\n{told}")),
        "close" => Ok(After::Close),
        "garbage" => {
            stream.write_all(format!("{UPSTREAM}\r\n{told}").as_bytes()).map(|()| After::Close)
        }
        "hold" | "silent" => {
            raw(stream, &format!("200 OK\r\nContent-Length: 99999\r\n\r\n{UPSTREAM}"))?;
            Ok(silence())
        }
        "large-head" => {
            raw(stream, &format!("200 OK\r\nX-Echo: {}\r\n\r\n", UPSTREAM.repeat(30_000)))
        }
        "midbody" => cut_short(stream, &told),
        "reset" => reset_at_close(stream).map(|()| After::Close),
        "slow" => Ok(silence()),
        "switch" => raw(
            stream,
            &format!("101 {UPSTREAM}\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{told}"),
        ),
        _ => respond(stream, "200 OK", &format!("Set-Cookie: {UPSTREAM}\r\n"), told.as_bytes()),
    }
}

/// All that a party was told, and its own words.
fn echo(request: &Request) -> String {
    format!("{UPSTREAM} {} {}", request.head, String::from_utf8_lossy(&request.body))
}

fn raw(stream: &mut TcpStream, rest: &str) -> io::Result<After> {
    stream.write_all(format!("HTTP/1.1 {rest}").as_bytes()).map(|()| After::Close)
}

/// An answer that promises more than comes.
fn cut_short(stream: &mut TcpStream, body: &str) -> io::Result<After> {
    raw(stream, &format!("200 OK\r\nContent-Length: 99999\r\n\r\n{body}"))
}

/// Says nothing (more) until Vicar has long given up.
fn silence() -> After {
    thread::sleep(LONGER_THAN_ANY_LIMIT);
    After::Close
}

/// Longer than Vicar's limits here, shorter than a test's patience.
const LONGER_THAN_ANY_LIMIT: Duration = Duration::from_secs(4);
