//! A small HTTP server for the demo's parties, on a loopback port the system chooses.
//!
//! Part of `demo`.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request, read whole.
pub(super) struct Received {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

/// A party of the demo.
pub(super) trait Party: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, received: Received) -> Response<String>;
}

/// Serves `party` in the background and gives back its URL.
pub(super) async fn start<P: Party>(party: &Arc<P>) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let party = Arc::clone(party);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let party = Arc::clone(&party);
            let service = service_fn(move |request| answer(Arc::clone(&party), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(url)
}

async fn answer<P: Party>(
    party: Arc<P>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let mut response = Response::new(Full::from("the body is too large or broke off\n"));
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let received = Received {
        method: head.method,
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    Ok(party.answer(received).map(Full::from))
}

const MAX_BODY: usize = 1024 * 1024;
