//! An authority for very many callers: each token it makes names whom it is for and what was asked for.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::authority::{Answer, Asked};
use super::issuer::{Key, encode};

/// An authority that makes tokens to order.
pub struct Minter {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    url: String,
    keys: Vec<Arc<Key>>,
    decide: Box<dyn Fn(&Minted) -> Turn + Send + Sync>,
    holds: watch::Sender<bool>,
    asked: AtomicUsize,
    made: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// How a request is answered.
pub enum Turn {
    /// As a broken or unwilling authority would.
    Answer(Answer),
    /// Not at all: the connection ends.
    Close,
    /// With a token that lives so many seconds.
    Token { expires_in: u64, after: Duration },
}

/// What a token was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The grant's short name.
    pub grant: String,
    pub client: String,
    pub scope: String,
    pub audience: String,
    /// The parameter `region`.
    pub region: String,
}

/// What a token names: what was wanted, and the subject as `kid/sub/jti` of the exchanged token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minted {
    pub wanted: String,
    pub subject: String,
}

impl Minter {
    /// Starts one that knows these issuers' keys, and answers what `decide` says.
    pub async fn start(
        keys: Vec<Arc<Key>>,
        decide: impl Fn(&Minted) -> Turn + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let count = AtomicUsize::default;
        let shared = Arc::new(Shared {
            url,
            keys,
            decide: Box::new(decide),
            holds: watch::Sender::new(false),
            asked: count(),
            made: count(),
            at_once: count(),
            most_at_once: count(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { shared, server }
    }

    /// Starts one that gives everybody a token for an hour.
    pub async fn generous(key: &Arc<Key>) -> Self {
        Self::start(vec![Arc::clone(key)], |_| Turn::token()).await
    }

    /// `token_endpoint: …`, as a configuration writes it.
    pub fn token_endpoint(&self) -> String {
        format!("token_endpoint: '{}/token'", self.shared.url)
    }

    /// From now on lets everybody wait, or, with `false`, lets them go.
    pub fn hold(&self, holds: bool) {
        self.shared.holds.send_replace(holds);
    }

    /// How often it was asked for a token.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// The most requests that were with it at one time.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }
}

impl Drop for Minter {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Turn {
    /// A token for an hour, at once.
    pub fn token() -> Self {
        Self::Token { expires_in: 3600, after: Duration::ZERO }
    }
}

impl Minted {
    /// What a token names, if it is one of ours.
    pub fn read(token: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let mut parts = text.split('#').map(str::to_owned);
        let (wanted, subject, _number) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { wanted, subject })
    }

    fn token(&self, number: usize) -> String {
        encode(format!("{}#{}#{number}", self.wanted, self.subject))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grant, client, scope, audience, region } = self;
        write!(f, "{grant}|{client}|{scope}|{audience}|{region}")
    }
}

impl Wanted {
    fn of(asked: &Asked) -> Self {
        let field = |name| asked.field(name).unwrap_or_default().to_owned();
        let grant = field("grant_type");
        let grant = match field("requested_token_use") {
            usage if usage.is_empty() => {
                grant.rsplit_once(':').map_or(grant.clone(), |(_, name)| name.replace('-', "_"))
            }
            usage => usage,
        };
        Self {
            grant,
            client: field("client_id"),
            scope: field("scope"),
            audience: field("audience"),
            region: field("region"),
        }
    }
}

impl Shared {
    /// Who is behind the request; nothing when the token it shows is no issuer's.
    fn subject(&self, asked: &Asked) -> Option<String> {
        let Some(token) = asked.field("assertion").or(asked.field("subject_token")) else {
            return Some(String::new());
        };
        self.keys.iter().find_map(|key| {
            let claims = key.claims_of(token)?;
            let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
            Some(format!("{}/{}/{}", key.kid, text("sub"), text("jti")))
        })
    }

    fn turn(&self, asked: &Asked) -> (Minted, Turn) {
        let wanted = Wanted::of(asked).to_string();
        let Some(subject) = self.subject(asked) else {
            let refusal = Answer::json(400, r#"{"error":"invalid_grant"}"#);
            return (Minted::default(), Turn::Answer(refusal));
        };
        let minted = Minted { wanted, subject };
        let turn = (self.decide)(&minted);
        (minted, turn)
    }

    fn token(&self, minted: &Minted, expires_in: u64) -> Answer {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let body = json!({
            "access_token": minted.token(number),
            "token_type": "Bearer",
            "expires_in": expires_in,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        });
        Answer::json(200, &body.to_string())
    }
}

/// One request while it is with the authority.
struct Present<'s>(&'s Shared);

impl<'s> Present<'s> {
    fn enter(shared: &'s Shared) -> Self {
        shared.asked.fetch_add(1, Ordering::SeqCst);
        let now = shared.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_at_once.fetch_max(now, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let present = Present::enter(&shared);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let asked = Asked { path: parts.uri.path().to_owned(), headers: parts.headers, form };
    let _ = shared.holds.subscribe().wait_for(|holds| !holds).await;
    let (minted, turn) = shared.turn(&asked);
    let answer = match turn {
        Turn::Answer(answer) => answer,
        Turn::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
        Turn::Token { expires_in, after } => shared.token(&minted, expires_in).after(after),
    };
    tokio::time::sleep(answer.delay).await;
    drop(present);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(answer.body)).expect("a response"))
}
