//! `upstream:` into [`Upstream`]s; routes with the same settings share one, and so its connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Lowering;
use crate::config::schema::{ProtocolYaml, UpstreamSettingsYaml, UpstreamYaml};
use crate::forward::{Protocol, Upstream};
use crate::tls;

/// Upstreams made so far, by everything that makes them differ.
pub(super) type Known = HashMap<(UpstreamSettingsYaml, Duration, bool), Arc<Upstream>>;

/// How a route uses its upstream.
pub(super) struct Use {
    pub(super) connect: Duration,
    pub(super) carries_token: bool,
    pub(super) keeps_host: bool,
}

impl Lowering<'_> {
    pub(super) fn upstream(
        &mut self,
        yaml: UpstreamYaml,
        usage: &Use,
        path: &str,
        known: &mut Known,
    ) -> Option<Arc<Upstream>> {
        let (settings, url_path) = match yaml {
            UpstreamYaml::Url(url) => (UpstreamSettingsYaml::plain(url), path.to_owned()),
            UpstreamYaml::Settings(settings) => (*settings, format!("{path}.url")),
        };
        let url = self.upstream_url(&settings.url, &url_path)?;
        if usage.carries_token
            && !tls::is_https_or_loopback(&url)
            && !settings.danger_plaintext_upstream
        {
            let what = "a token would travel over plain http to another host";
            let hint = "use https://, or spell out `danger_plaintext_upstream: true`";
            self.problem(&url_path, what, hint);
        }
        if settings.protocol == ProtocolYaml::Http2
            && url.scheme() == "http"
            && !matches!(settings.proxy.as_str(), "environment" | "none")
        {
            let what = "a proxy takes plain http requests over HTTP/1.1 only";
            self.problem(&format!("{path}.protocol"), what, "use https, or `protocol: http1`");
        }
        if usage.keeps_host && settings.protocol == ProtocolYaml::Http2 {
            let what = "`rewrite.host` other than upstream needs `protocol: http1`";
            self.problem(&format!("{path}.protocol"), what, "");
        }
        let identity = (settings.clone(), usage.connect, usage.keeps_host);
        if let Some(upstream) = known.get(&identity) {
            return Some(Arc::clone(upstream));
        }
        let upstream = Arc::new(self.new_upstream(settings, &url, usage, path)?);
        known.insert(identity, Arc::clone(&upstream));
        Some(upstream)
    }

    fn new_upstream(
        &mut self,
        settings: UpstreamSettingsYaml,
        url: &Url,
        usage: &Use,
        path: &str,
    ) -> Option<Upstream> {
        let proxy = self.proxy_to(&settings.proxy, url, &format!("{path}.proxy"));
        let tls = if url.scheme() == "https" {
            let ca = settings.ca.as_ref().map(|ca| ca.file.as_str());
            let roots = self.roots(ca, &format!("{path}.ca"))?;
            let identity = match settings.client_certificate {
                Some(yaml) => {
                    let path = format!("{path}.client_certificate");
                    Some(self.identity(&yaml.certificate, yaml.private_key, &path)?.0)
                }
                None => None,
            };
            Some(self.accept(path, tls::client(roots, identity.as_ref()), "")?)
        } else {
            if settings.ca.is_some() || settings.client_certificate.is_some() {
                self.problem(path, "`ca` and `client_certificate` need an https:// URL", "");
            }
            None
        };
        // A Host that is not the upstream's own can only be sent as an HTTP/1.1 header.
        let protocol = match settings.protocol {
            _ if usage.keeps_host => Protocol::Http1,
            ProtocolYaml::Auto => Protocol::Auto,
            ProtocolYaml::Http1 => Protocol::Http1,
            ProtocolYaml::Http2 => Protocol::Http2,
        };
        let upstream = Upstream::new(url, protocol, tls, proxy)
            .map(|upstream| upstream.with_pool(settings.idle_connections, settings.idle_timeout.0))
            .map(|upstream| upstream.with_connect_timeout(usage.connect));
        self.accept(path, upstream, "")
    }

    fn upstream_url(&mut self, text: &str, path: &str) -> Option<Url> {
        let url =
            self.accept(path, Url::parse(text), "write https://host or http://127.0.0.1:5000")?;
        let what = match url.scheme() {
            "http" | "https" if url.host().is_none() => "no host",
            "http" | "https" if url.query().is_some() || url.fragment().is_some() => {
                "an upstream has no query and no fragment"
            }
            "http" | "https" if url.password().is_some() || !url.username().is_empty() => {
                "an upstream has no user name and no password"
            }
            "http" | "https" => return Some(url),
            _ => "neither http nor https",
        };
        self.problem(path, what, "");
        None
    }
}
