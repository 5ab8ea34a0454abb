//! An authority that answers what the test tells it to, records what it was asked, and counts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A scripted authority.
pub struct Authority {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    url: String,
    script: Mutex<VecDeque<Answer>>,
    default: Mutex<Option<Answer>>,
    documents: Mutex<Vec<(String, String)>>,
    fetched: Mutex<Vec<String>>,
    asked: Mutex<Vec<Asked>>,
    issued: AtomicUsize,
}

/// One answer: status, headers, body, and how long it takes.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub delay: Duration,
}

/// One token request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub form: Vec<(String, String)>,
}

impl Authority {
    /// Starts one that issues tokens `token-1`, `token-2`, … for an hour each.
    pub async fn start() -> Self {
        Self::start_on("127.0.0.1:0").await
    }

    /// Starts one on a known address.
    pub async fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared {
            url,
            script: Mutex::default(),
            default: Mutex::default(),
            documents: Mutex::default(),
            fetched: Mutex::default(),
            asked: Mutex::default(),
            issued: AtomicUsize::new(0),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { shared, server }
    }

    /// `token_endpoint: …`, as a configuration writes it.
    pub fn token_endpoint(&self) -> String {
        format!("token_endpoint: '{}/token'", self.shared.url)
    }

    /// `http://host:port`.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Answers the next token requests with these, in order; then as by default.
    pub fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script.lock().unwrap().extend(answers);
    }

    /// Answers every unscripted token request with this; `None` issues tokens again.
    pub fn always(&self, answer: Option<Answer>) {
        *self.shared.default.lock().unwrap() = answer;
    }

    /// Publishes a document under `path`.
    pub fn publish(&self, path: &str, document: &serde_json::Value) {
        let document = (path.to_owned(), document.to_string());
        let mut documents = self.shared.documents.lock().unwrap();
        documents.retain(|(known, _)| known != path);
        documents.push(document);
    }

    /// Publishes nothing under `path` any more.
    pub fn withdraw(&self, path: &str) {
        self.shared.documents.lock().unwrap().retain(|(known, _)| known != path);
    }

    /// How often `path` was fetched.
    pub fn fetches(&self, path: &str) -> usize {
        self.shared.fetched.lock().unwrap().iter().filter(|fetched| *fetched == path).count()
    }

    /// Every token request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many token requests there were.
    pub fn count(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Answer {
    /// A status with a JSON body.
    pub fn json(status: u16, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_owned(), delay: Duration::ZERO }
    }

    /// A token that lives so many seconds.
    pub fn token(token: &str, expires_in: u64) -> Self {
        Self::json(
            200,
            &format!(
                r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{expires_in}}}"#
            ),
        )
    }

    /// The same, with a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, later.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

impl Asked {
    /// A form field's value; it must be there once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.form.iter().filter(|(key, _)| key == name).map(|(_, v)| v.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} is sent twice");
        value
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path().to_owned();
    let answer = if parts.method == Method::GET {
        shared.fetched.lock().unwrap().push(path.clone());
        let documents = shared.documents.lock().unwrap();
        let found = documents.iter().find(|(known, _)| *known == path);
        found.map_or_else(|| Answer::json(404, "{}"), |(_, text)| Answer::json(200, text))
    } else {
        let form = url::form_urlencoded::parse(&body).into_owned().collect();
        shared.asked.lock().unwrap().push(Asked { path, headers: parts.headers, form });
        next_answer(&shared)
    };
    tokio::time::sleep(answer.delay).await;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(answer.body)).expect("a response"))
}

fn next_answer(shared: &Shared) -> Answer {
    let scripted = shared.script.lock().unwrap().pop_front();
    scripted.or_else(|| shared.default.lock().unwrap().clone()).unwrap_or_else(|| {
        let number = shared.issued.fetch_add(1, Ordering::SeqCst) + 1;
        Answer::token(&format!("token-{number}"), 3600)
    })
}
