//! Callers in great number, who keep their connections.

use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::client::get;
use super::until;
use super::vicar::Vicar;

/// Callers of one listener: as many as calls are made at once.
#[derive(Clone)]
pub struct Crowd {
    client: Client<HttpConnector, Empty<Bytes>>,
    address: Arc<str>,
}

impl Crowd {
    /// Each call in progress has a connection to itself; the next one takes it over.
    pub fn over_http1(address: &str) -> Self {
        Self::with(address, false)
    }

    /// All calls share one connection, up to the listener's limit of streams; the rest wait.
    pub fn over_http2(address: &str) -> Self {
        Self::with(address, true)
    }

    fn with(address: &str, http2: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client =
            Client::builder(TokioExecutor::new()).http2_only(http2).build::<_, _>(connector);
        Self { client, address: address.into() }
    }

    /// GETs `path` with this bearer token; gives back status and body.
    pub async fn get(&self, path: &str, token: &str) -> (u16, String) {
        let request = Request::get(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::new())
            .expect("a request");
        let answer = self.client.request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("the whole body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

/// The sum of all series of this metric whose labels contain all of these texts.
pub async fn metric(vicar: &Vicar, name: &str, labels: &[&str]) -> u64 {
    let metrics = get(&vicar.admin(), "/metrics", "").await.body;
    let lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    let ours = lines.filter(|(series, _)| {
        let rest = series.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            && labels.iter().all(|label| series.contains(label))
    });
    ours.map(|(_, value)| value.parse::<u64>().expect("a whole number")).sum()
}

/// Waits until so many calls did not find a token on behalf of their caller.
pub async fn until_missed(vicar: &Vicar, calls: u64) {
    until("every call to wait for a token", async || {
        metric(vicar, "vicar_token_lookups_total", &["kind=\"user\"", "result=\"miss\""]).await
            >= calls
    })
    .await;
}
