//! The small HTTP client for authority traffic: forms, metadata and key sets.
//!
//! Part of `authority`. Not for callers' traffic. Redirects are never followed, answers are
//! read up to a limit, and no error text repeats a URL's query or a body.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use url::Url;
use zeroize::Zeroizing;

use super::AuthorityError;
use super::FormRequest;
use crate::cause::describe;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::tls::ClientIdentity;

/// Which forward proxies authority traffic goes through. Loopback never does: what is allowed in the
/// clear there must not leave the machine.
#[derive(Clone, Default)]
pub struct ProxySettings {
    /// For `http` URLs.
    pub http: Option<String>,
    /// For `https` URLs.
    pub https: Option<String>,
    /// Hosts that are reached directly, as `no_proxy` lists them.
    pub exceptions: String,
}

impl std::fmt::Debug for ProxySettings {
    /// Without the addresses, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxySettings")
            .field("exceptions", &self.exceptions)
            .finish_non_exhaustive()
    }
}

/// How an authority is reached.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Whom we trust.
    pub tls: rustls::ClientConfig,
    /// Through what.
    pub proxy: ProxySettings,
    /// To open a connection.
    pub connect: Duration,
    /// For one exchange.
    pub total: Duration,
}

/// A client with the trust, proxy and time limits of one authority.
#[derive(Debug)]
pub struct AuthorityHttp {
    client: reqwest::Client,
    total: Duration,
}

/// An answer, read whole.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    headers: HeaderMap,
    /// At most 256 KiB; wiped when dropped, since a token may be in it.
    pub body: Zeroizing<Vec<u8>>,
}

impl AuthorityHttp {
    /// Builds the client, which shows `identity` if there is one.
    ///
    /// # Errors
    /// When the proxy's address or the TLS settings are unusable.
    pub fn new(
        settings: &HttpSettings,
        identity: Option<&Arc<ClientIdentity>>,
    ) -> Result<Self, String> {
        let HttpSettings { tls, proxy, connect, total } = settings.clone();
        let tls = identity.map_or_else(|| tls.clone(), |identity| identity.shown_by(tls.clone()));
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .connect_timeout(connect)
            .timeout(total)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("vicar/", env!("CARGO_PKG_VERSION")));
        let exceptions = [LOOPBACK, &proxy.exceptions].join(",");
        // Without this the library reads the environment by itself.
        let mut builder = builder.no_proxy();
        let http = proxy.http.as_ref().map(reqwest::Proxy::http);
        let https = proxy.https.as_ref().map(reqwest::Proxy::https);
        for proxy in [http, https].into_iter().flatten() {
            let exceptions = reqwest::NoProxy::from_string(&exceptions);
            builder = builder.proxy(proxy.map_err(without_url)?.no_proxy(exceptions));
        }
        Ok(Self { client: builder.build().map_err(without_url)?, total })
    }

    /// The time one exchange may take.
    #[must_use]
    pub fn total_timeout(&self) -> Duration {
        self.total
    }

    /// POSTs a token request. Entra alone gets the headers that only Entra understands.
    pub(super) async fn post_form(
        &self,
        url: &Url,
        request: &FormRequest,
        is_entra: bool,
    ) -> Result<Answer, AuthorityError> {
        let mut post =
            self.client.post(url.clone()).header(ACCEPT, JSON).form(request.form.fields());
        if let Some(authorization) = &request.authorization {
            post = post.header(AUTHORIZATION, authorization.clone());
        }
        if is_entra {
            post = post
                .header("client-request-id", uuid())
                .header("return-client-request-id", "true")
                .header("x-client-SKU", "vicar")
                .header("x-client-Ver", env!("CARGO_PKG_VERSION"))
                .header("x-ms-lib-capability", "retry-after, h429");
        }
        read(post).await
    }

    /// GETs a document.
    ///
    /// # Errors
    /// When there is no answer, or it is too large.
    pub async fn get(&self, url: &Url) -> Result<Answer, AuthorityError> {
        read(self.client.get(url.clone()).header(ACCEPT, JSON)).await
    }

    /// GETs a document of the machine's metadata service, which wants to know that nobody was lured there.
    pub(super) async fn get_metadata(&self, url: &Url) -> Result<Answer, AuthorityError> {
        read(self.client.get(url.clone()).header(ACCEPT, JSON).header("Metadata", "true")).await
    }

    /// GETs a document, showing `bearer` if there is one.
    ///
    /// # Errors
    /// When there is no answer, or it is too large.
    pub(super) async fn get_with(
        &self,
        url: &Url,
        bearer: Option<&SecretString>,
    ) -> Result<Answer, AuthorityError> {
        let mut get = self.client.get(url.clone()).header(ACCEPT, JSON);
        if let Some(bearer) = bearer {
            get = get.bearer_auth(bearer.expose_secret());
        }
        read(get).await
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// `Retry-After` as seconds or as a date, at most an hour.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = match value.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(wall_clock()).ok()?,
        };
        (!wait.is_zero()).then(|| wait.min(MAX_RETRY_AFTER))
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Answer, AuthorityError> {
    let unreachable = |error| AuthorityError::Unreachable(without_url(error));
    let mut response = request.send().await.map_err(unreachable)?;
    // At its full size from the start where that is known: growing would leave pieces behind.
    let length = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Zeroizing::new(Vec::with_capacity(length.unwrap_or_default().min(MAX_ANSWER)));
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let status = response.status().as_u16();
            return Err(AuthorityError::Unusable { status, what: "larger than 256 KiB" });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
}

/// The causes, without the URL (whose query or user might tell).
fn without_url(error: reqwest::Error) -> String {
    describe(&error.without_url())
}

/// A random identifier in the shape of a UUID (version 4), which Entra's support asks for.
pub(super) fn uuid() -> String {
    let random = (fastrand::u128(..) & !(0xf << 76) & !(0xc << 60)) | (0x4 << 76) | (0x8 << 60);
    let hex = format!("{random:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[allow(clippy::disallowed_methods, reason = "a Retry-After date is compared with wall time")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Introspection may ask often.
const MAX_IDLE: usize = 16;
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";
const JSON: &str = "application/json";
const MAX_ANSWER: usize = 256 * 1024;
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_version_4_uuids() {
        for _ in 0..100 {
            let id = uuid();
            assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }

    #[test]
    fn retry_after_reads_seconds_and_dates_and_is_capped() {
        let retry_after = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            Answer { status: StatusCode::OK, headers, body: Zeroizing::default() }.retry_after()
        };
        assert_eq!(retry_after("60"), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("99999999"), Some(MAX_RETRY_AFTER));
        let soon = httpdate::fmt_http_date(wall_clock() + Duration::from_secs(90));
        assert!(retry_after(&soon).is_some_and(|wait| wait > Duration::from_secs(80)));
        for nothing in ["0", "-5", "soon", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(retry_after(nothing), None, "{nothing}");
        }
    }
}
