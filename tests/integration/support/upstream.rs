//! An upstream that records what reached it and answers 200, over HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A recording upstream.
pub struct Upstream {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: JoinHandle<()>,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub version: http::Version,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    pub trailers: Option<http::HeaderMap>,
}

impl Upstream {
    /// Starts one that answers `ok` to everything.
    pub async fn start() -> Self {
        Self::answering(|_| Response::new(Full::from("ok"))).await
    }

    /// Starts one that answers as told.
    pub async fn answering(
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::starting(answer, true).await
    }

    /// The same for very many requests: what is to be known of them, `answer` keeps.
    pub async fn judging(
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::starting(answer, false).await
    }

    async fn starting(
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
        records_all: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (records, answer) = (Arc::clone(&seen), Arc::new(answer));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (records, answer) = (Arc::clone(&records), Arc::clone(&answer));
                let service = service_fn(move |request| {
                    let (records, answer) = (Arc::clone(&records), Arc::clone(&answer));
                    async move {
                        let seen = record(request).await;
                        let response = answer(&seen);
                        if records_all {
                            records.lock().unwrap().push(seen);
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, seen, server }
    }

    /// `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The latest request.
    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().expect("a request reached the upstream")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Seen {
    /// Every value of a header.
    pub fn values(&self, name: &str) -> Vec<String> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    /// The bearer token, which must be the only credential.
    pub fn bearer(&self) -> String {
        let values = self.values("authorization");
        assert_eq!(values.len(), 1, "one Authorization expected: {values:?}");
        values[0].strip_prefix("Bearer ").expect("a bearer token").to_owned()
    }
}

async fn record(request: Request<Incoming>) -> Seen {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.ok();
    let trailers = body.as_ref().and_then(|body| body.trailers().cloned());
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        version: parts.version,
        headers: parts.headers,
        body,
        trailers,
    }
}
