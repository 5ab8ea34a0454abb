//! Microsoft's clouds: their names, their other names, and their regions.
//!
//! Part of `authority`. Endpoints are known by construction, as MSAL knows them; nothing is discovered but, when the user wants it,
//! the region of the machine.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use super::AuthorityHttp;

/// Where the tokens of one tenant come from.
#[derive(Debug)]
pub struct Entra {
    instance: Url,
    endpoint: Url,
    region: Option<Region>,
}

/// A region of a cloud, which answers applications (not people) from nearby.
#[derive(Debug)]
pub enum Region {
    /// This one.
    Named(String),
    /// The machine's own, asked for once; where none is found, the whole cloud.
    Detected(Detection),
}

/// Asks the machine where it is.
#[derive(Debug)]
pub struct Detection {
    url: Url,
    http: AuthorityHttp,
    /// Also that none was found: it would be asked for at every token otherwise.
    found: OnceCell<Option<String>>,
}

impl Entra {
    /// Entra at `instance` (`https://login.microsoftonline.com`) for one tenant.
    ///
    /// # Errors
    /// When the two do not make a URL.
    pub fn new(
        instance: &Url,
        tenant: &str,
        region: Option<Region>,
    ) -> Result<Self, url::ParseError> {
        let endpoint = address(instance, tenant, "token")?;
        Ok(Self { instance: instance.clone(), endpoint, region })
    }

    /// The token endpoint of the client's own tenant, in no region.
    pub(super) fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The token endpoint of this tenant; in the region when an application asks for itself.
    pub(super) async fn token_endpoint(
        &self,
        tenant: Option<&str>,
        regional: bool,
    ) -> Result<Url, url::ParseError> {
        let mut url = match tenant {
            None => self.endpoint.clone(),
            Some(tenant) => address(&self.instance, tenant, "token")?,
        };
        let region = match &self.region {
            Some(Region::Named(region)) if regional => Some(region.as_str()),
            Some(Region::Detected(detection)) if regional => detection.region().await,
            _ => None,
        };
        if let Some(region) = region {
            let host = regional_host(region, url.host_str().unwrap_or_default());
            url.set_host(Some(&host))?;
        }
        Ok(url)
    }

    /// Where a person of this tenant signs in.
    pub(super) fn authorization_uri(&self, tenant: Option<&str>) -> Option<String> {
        let own = self.endpoint.path_segments().and_then(|mut segments| segments.next());
        address(&self.instance, tenant.or(own)?, "authorize").ok().map(Url::into)
    }

    /// The issuer of the tenant.
    pub(super) fn issuer(&self, tenant: Option<&str>) -> Option<String> {
        let own = self.endpoint.path_segments().and_then(|mut segments| segments.next());
        self.instance.join(&format!("/{}/v2.0", tenant.or(own)?)).ok().map(Url::into)
    }
}

impl Detection {
    /// Asks at `base`, `http://169.254.169.254` on every machine of Azure.
    ///
    /// # Errors
    /// When that makes no URL.
    pub fn new(base: &Url, http: AuthorityHttp) -> Result<Self, url::ParseError> {
        let url = base.join("/metadata/instance/compute?api-version=2021-02-01")?;
        Ok(Self { url, http, found: OnceCell::new() })
    }

    async fn region(&self) -> Option<&str> {
        let found = self.found.get_or_init(|| async {
            let region = self.ask().await;
            if let Some(region) = &region {
                tracing::info!(region, "region of this machine found");
            } else {
                tracing::warn!("no region found; the whole cloud is asked");
            }
            region
        });
        found.await.as_deref()
    }

    async fn ask(&self) -> Option<String> {
        let asked = self.http.get_metadata(&self.url);
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?;
        if !answer.status.is_success() {
            return None;
        }
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let location = body.get("location")?.as_str()?.to_ascii_lowercase();
        is_region(&location).then_some(location)
    }
}

/// Whether this may become a part of a host's name.
#[must_use]
pub fn is_region(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The name by which a cloud's host wants to be called (MSAL's preferred network host).
#[must_use]
pub fn preferred_host(host: &str) -> &str {
    let known = ALIASES.iter().find(|(_, aliases)| aliases.contains(&host));
    known.map_or(host, |(preferred, _)| preferred)
}

fn regional_host(region: &str, host: &str) -> String {
    // The public cloud's regions are below another domain.
    let host = if host == PUBLIC { "login.microsoft.com" } else { host };
    format!("{region}.{host}")
}

fn address(instance: &Url, tenant: &str, name: &str) -> Result<Url, url::ParseError> {
    instance.join(&format!("/{tenant}/oauth2/v2.0/{name}"))
}

const PUBLIC: &str = "login.microsoftonline.com";
const ALIASES: &[(&str, &[&str])] = &[
    (PUBLIC, &["login.windows.net", "login.microsoft.com", "sts.windows.net"]),
    ("login.partner.microsoftonline.cn", &["login.chinacloudapi.cn"]),
    ("login.microsoftonline.us", &["login.usgovcloudapi.net"]),
    ("login.windows-ppe.net", &["sts.windows-ppe.net", "login.microsoft-ppe.com"]),
];
/// It is on this machine, or nowhere.
const PATIENCE: Duration = Duration::from_secs(2);
