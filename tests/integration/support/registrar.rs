//! An authority that knows everything a client may prove itself with, and takes exactly what is good at
//! this moment. It judges as a careful one does: signatures, audience, times, every `jti` once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::assertion::{Assertion, Expected};
use super::authority::Asked;
use super::issuer::now;
use super::pairs::{Pair, thumbprint};
use super::until;

/// A running authority.
pub struct Registrar {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// One thing by which the client may prove itself.
pub enum Proof {
    /// It shows this certificate in the TLS handshake.
    Shown(Arc<Pair>),
    /// It signs assertions with this pair's key and names its certificate.
    Signed(Arc<Pair>),
    /// It sends this, as secret or as assertion.
    Text(String),
}

/// What the authority thinks of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has registered it yet.
    NotYet,
    Good,
    /// It was good and is not any more.
    NoMore,
}

/// One token request: which proof came, and what it was worth then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    pub proof: usize,
    pub standing: Standing,
}

pub(super) struct Shared {
    url: String,
    proofs: Vec<Proof>,
    standings: Mutex<Vec<Standing>>,
    tried: Mutex<Vec<Tried>>,
    faults: Mutex<Vec<String>>,
    assertions: Mutex<HashSet<String>>,
    moved: AtomicU64,
    issued: AtomicUsize,
}

impl Registrar {
    /// Starts one that knows these proofs, of which the first is good.
    pub async fn start(proofs: Vec<Proof>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let shared = Shared::new(format!("http://{}", listener.local_addr().unwrap()), proofs);
        let server = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&shared), None));
                }
            }
        });
        Self { shared, server }
    }

    /// The same with a server of its own making.
    pub(super) fn with(shared: Arc<Shared>, server: JoinHandle<()>) -> Self {
        Self { shared, server }
    }

    /// Where tokens are.
    pub fn endpoint(&self) -> String {
        format!("{}/token", self.shared.url)
    }

    /// From now on this proof is worth that.
    pub fn rate(&self, proof: usize, standing: Standing) {
        self.shared.standings.lock().unwrap()[proof] = standing;
    }

    /// Lets time pass here.
    pub fn advance(&self, by: Duration) {
        self.shared.moved.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// Every token request so far.
    pub fn tried(&self) -> Vec<Tried> {
        self.shared.tried.lock().unwrap().clone()
    }

    /// How many token requests there were.
    pub fn count(&self) -> usize {
        self.shared.tried.lock().unwrap().len()
    }

    /// What no client should ever send, whatever is good: bad signatures, assertions used twice.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap().clone()
    }

    /// Waits until so many more requests came.
    pub async fn until_more(&self, requests: usize) {
        let enough = self.count() + requests;
        until("token requests", async || self.count() >= enough).await;
    }

    /// Waits until what came since `start` satisfies this.
    pub async fn until_since(
        &self,
        start: usize,
        what: &str,
        condition: impl Fn(&[Tried]) -> bool,
    ) {
        until(what, async || condition(&self.shared.tried.lock().unwrap()[start..])).await;
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    pub(super) fn new(url: String, proofs: Vec<Proof>) -> Arc<Self> {
        let mut standings = vec![Standing::NotYet; proofs.len()];
        standings[0] = Standing::Good;
        Arc::new(Self {
            url,
            proofs,
            standings: Mutex::new(standings),
            tried: Mutex::default(),
            faults: Mutex::default(),
            assertions: Mutex::default(),
            moved: AtomicU64::new(0),
            issued: AtomicUsize::new(0),
        })
    }

    /// Whether this certificate is good; one that is not counts as tried.
    pub(super) fn admits(&self, certificate: &[u8]) -> bool {
        let shown = thumbprint(certificate);
        let is_it =
            |proof: &Proof| matches!(proof, Proof::Shown(pair) if pair.thumbprint() == shown);
        let Some(proof) = self.proofs.iter().position(is_it) else { return false };
        let mut tried = self.tried.lock().unwrap();
        let standing = self.standings.lock().unwrap()[proof];
        if standing != Standing::Good {
            tried.push(Tried { proof, standing });
        }
        standing == Standing::Good
    }

    /// The number of the proof that came with a request.
    fn proof(&self, asked: &Asked, shown: Option<&str>) -> Result<usize, String> {
        let text = asked.field("client_secret").or(asked.field("client_assertion"));
        let signed = text.and_then(Assertion::read);
        let named = signed.as_ref().and_then(|signed| signed.header["x5t#S256"].as_str());
        let number = self.proofs.iter().position(|proof| match proof {
            Proof::Shown(pair) => shown == Some(pair.thumbprint().as_str()),
            Proof::Signed(pair) => named == Some(pair.thumbprint().as_str()),
            Proof::Text(known) => text == Some(known.as_str()),
        });
        let number = number.ok_or_else(|| format!("no known proof: {asked:?} {shown:?}"))?;
        let (Proof::Signed(pair), Some(signed)) = (&self.proofs[number], signed) else {
            return Ok(number);
        };
        let expected = Expected {
            client_id: "me".to_owned(),
            audience: format!("{}/token", self.url),
            now: now() + self.moved.load(Ordering::SeqCst),
        };
        if let Some(fault) = signed.fault(pair, &expected) {
            return Err(fault);
        }
        let first = self.assertions.lock().unwrap().insert(signed.claims["jti"].to_string());
        if first { Ok(number) } else { Err(format!("an assertion twice: {}", signed.claims)) }
    }

    fn judge(&self, asked: &Asked, shown: Option<&str>) -> (u16, String) {
        let proof = match self.proof(asked, shown) {
            Ok(proof) => proof,
            Err(fault) => {
                self.faults.lock().unwrap().push(fault);
                return (401, REFUSAL.to_owned());
            }
        };
        let mut tried = self.tried.lock().unwrap();
        let standing = self.standings.lock().unwrap()[proof];
        tried.push(Tried { proof, standing });
        if standing != Standing::Good {
            return (401, REFUSAL.to_owned());
        }
        let number = self.issued.fetch_add(1, Ordering::SeqCst);
        let token = format!(
            r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":{LIFE}}}"#
        );
        (200, token)
    }
}

/// Answers what comes over one connection, by whoever showed this certificate.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
    shown: Option<String>,
) {
    let shown = Arc::new(shown);
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, shown) = (Arc::clone(&shared), Arc::clone(&shown));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let form = url::form_urlencoded::parse(&body).into_owned().collect();
            let path = parts.uri.path().to_owned();
            let asked = Asked { path, headers: parts.headers, form };
            let (status, body) = shared.judge(&asked, shown.as_deref());
            let response = Response::builder().status(status);
            let response = response.header("content-type", "application/json");
            let response = response.body(Full::<Bytes>::from(body)).expect("a response");
            Ok::<_, hyper::Error>(response)
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Seconds; so few that the next rotation needs another token.
/// Longer than the clock is moved at once: a token must not be dead before it comes.
const LIFE: u64 = 15;

const REFUSAL: &str = r#"{"error":"invalid_client"}"#;
