//! A forward proxy that is every host at once: it ends TLS with certificates of its own CA, answers in
//! the hosts' names, and records where each request was to go.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::client::read_head;
use super::pki::Pki;

/// A recording forward proxy.
pub struct Tunnel {
    url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    /// One certificate at a time, as each passes through a file of the same name.
    pki: Mutex<Pki>,
    hosts: Mutex<Vec<String>>,
    documents: Mutex<Vec<(String, String)>>,
    asked: Mutex<Vec<Asked>>,
}

/// One token request that came through.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `https://host/path`, as it was meant.
    pub url: String,
    pub headers: HeaderMap,
    pub form: Vec<(String, String)>,
}

impl Tunnel {
    /// Starts one whose hosts give a token to every form and have no documents.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared {
            pki: Mutex::new(Pki::new()),
            hosts: Mutex::default(),
            documents: Mutex::default(),
            asked: Mutex::default(),
        });
        let server = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(carry(stream, Arc::clone(&shared)));
                }
            }
        });
        Self { url, shared, server }
    }

    /// `ca: …, proxy: …`, as an authority's configuration writes them.
    pub fn trusted(&self) -> String {
        let ca = self.shared.pki.lock().unwrap().path("ca.crt");
        format!("ca: {{ file: '{ca}' }}, proxy: '{}'", self.url)
    }

    /// Publishes a document at this address.
    pub fn publish(&self, url: &str, document: &serde_json::Value) {
        self.shared.documents.lock().unwrap().push((url.to_owned(), document.to_string()));
    }

    /// `host:port` of every connection that was asked for.
    pub fn hosts(&self) -> Vec<String> {
        self.shared.hosts.lock().unwrap().clone()
    }

    /// Every token request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Asked {
    /// A form field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Answers CONNECT (RFC 9110 section 9.3.6), and then as the host would.
async fn carry(mut stream: TcpStream, shared: Arc<Shared>) {
    let head = read_head(&mut stream).await;
    let mut words = head.split(' ');
    let (method, authority) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    shared.hosts.lock().unwrap().push(authority.to_owned());
    let Some(host) = authority.strip_suffix(":443").filter(|_| method == "CONNECT") else {
        let _ = stream.write_all(b"HTTP/1.1 501 Not Implemented\r\n\r\n").await;
        return;
    };
    let acceptor = acceptor(&shared.pki.lock().unwrap(), host);
    let host = Arc::new(host.to_owned());
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request| answer(Arc::clone(&shared), Arc::clone(&host), request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The server's side of TLS, with a certificate for this host.
fn acceptor(pki: &Pki, host: &str) -> TlsAcceptor {
    // Connections to the same host must not write the same files.
    let name = format!("{host}-{:x}", fastrand::u64(..));
    pki.issue(&name, host);
    let key = PrivateKeyDer::from_pem_file(pki.path(&format!("{name}.key"))).expect("a key");
    let chain = CertificateDer::pem_file_iter(pki.path(&format!("{name}.crt"))).expect("a file");
    let chain = chain.collect::<Result<_, _>>().expect("a certificate");
    let config = ServerConfig::builder_with_provider(vicar::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

async fn answer(
    shared: Arc<Shared>,
    host: Arc<String>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let url = format!("https://{host}{}", parts.uri);
    let (status, text) = if parts.method == Method::GET {
        let documents = shared.documents.lock().unwrap();
        let found = documents.iter().find(|(known, _)| *known == url);
        found.map_or_else(|| (404, "{}".to_owned()), |(_, text)| (200, text.clone()))
    } else {
        let form = url::form_urlencoded::parse(&body).into_owned().collect();
        shared.asked.lock().unwrap().push(Asked { url, headers: parts.headers, form });
        (200, TOKEN.to_owned())
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::from(text)).expect("a response"))
}

const TOKEN: &str = r#"{"access_token":"through","token_type":"Bearer","expires_in":3600}"#;
