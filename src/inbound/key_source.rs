//! Where a key set comes from, and one fetch of it.
//!
//! Part of `inbound`; `key_ring` decides when. Size and time are bounded by the client; a file is read whole
//! up to the same size.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use url::Url;

use super::key_set::{BadKeySet, KeySet};
use crate::algorithm::Algorithm;
use crate::authority::{AuthorityError, AuthorityHttp, Metadata};
use crate::clock::Clock;

/// Where a key set comes from, and how it is kept.
#[derive(Debug)]
pub struct KeySource {
    /// Where it is.
    pub location: KeyLocation,
    /// What its keys may be used with.
    pub algorithms: Vec<Algorithm>,
    /// How often it is fetched anew.
    pub refresh: Duration,
    /// How often unknown names may bring that forward.
    pub cool_down: Duration,
    /// How long the last good set serves when no newer one can be had.
    pub stale: Duration,
}

/// Where a key set is.
#[derive(Debug)]
pub enum KeyLocation {
    /// Where the issuer's metadata say.
    Discovered(Metadata, AuthorityHttp),
    /// At a known address.
    Uri(Url, AuthorityHttp),
    /// In a file, which is read again and again.
    File(PathBuf),
}

/// A fetched set and the issuer that its metadata name.
pub(super) type Fetched = Result<(KeySet, Option<String>), FetchError>;

/// Why a fetch brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("{0}")]
    Document(#[from] BadKeySet),
    #[error("{0}")]
    File(String),
    #[error("{url}: status {status}")]
    Status { url: String, status: u16 },
}

impl KeySource {
    /// How often the set is fetched: a file costs nothing.
    pub(super) fn pause(&self) -> Duration {
        match self.location {
            KeyLocation::File(_) => self.refresh.min(FILE_CHECK),
            KeyLocation::Discovered(..) | KeyLocation::Uri(..) => self.refresh,
        }
    }

    /// Fetches the set; keys that were in `previous` stay the same objects.
    pub(super) async fn fetch(&self, previous: Option<&KeySet>, clock: &Clock) -> Fetched {
        let parse = |body: &[u8]| KeySet::parse(body, &self.algorithms, previous);
        match &self.location {
            KeyLocation::Uri(url, http) => Ok((parse(&get(http, url).await?)?, None)),
            KeyLocation::Discovered(metadata, http) => {
                let document = metadata.document(http, clock).await?;
                let fetched = match document.jwks_uri() {
                    Ok(url) => get(http, &url).await.and_then(|body| Ok(parse(&body)?)),
                    Err(error) => Err(error.into()),
                };
                // The keys may have moved: next time the metadata are asked again.
                let keys = fetched.inspect_err(|_| metadata.doubt(clock))?;
                Ok((keys, Some(document.issuer.clone())))
            }
            KeyLocation::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || KeySet::document(&path)).await;
                let body = read.unwrap_or_else(|_| Err("reading was aborted".into()));
                Ok((parse(&body.map_err(FetchError::File)?)?, None))
            }
        }
    }
}

impl FetchError {
    /// A stable name for logs and metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Authority(error) => error.reason(),
            Self::Document(_) => "key_set_unusable",
            Self::File(_) => "key_file_unreadable",
            Self::Status { .. } => "authority_answer_unusable",
        }
    }
}

async fn get(http: &AuthorityHttp, url: &Url) -> Result<Vec<u8>, FetchError> {
    let answer = http.get(url).await?;
    match answer.status {
        StatusCode::OK => Ok(answer.body.to_vec()),
        status => {
            // Without its query, which is nobody's business in a log.
            let mut url = url.clone();
            url.set_query(None);
            Err(FetchError::Status { url: url.to_string(), status: status.as_u16() })
        }
    }
}

const FILE_CHECK: Duration = Duration::from_secs(5);
