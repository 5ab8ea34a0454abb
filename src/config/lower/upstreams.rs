//! `upstream:` into [`Upstream`]s; routes with the same settings share one, and so its connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use super::Lowering;
use crate::config::schema::{ProtocolYaml, UpstreamSettingsYaml, UpstreamYaml};
use crate::forward::{Protocol, ProxyAddress, Upstream};
use crate::tls;

/// Upstreams made so far, by everything that makes them differ.
pub(super) type Known = HashMap<String, Arc<Upstream>>;

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
        if usage.keeps_host && settings.protocol == ProtocolYaml::Http2 {
            let what = "`rewrite.host` other than upstream needs `protocol: http1`";
            self.problem(&format!("{path}.protocol"), what, "");
        }
        let identity = format!("{settings:?} {:?} {}", usage.connect, usage.keeps_host);
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
        let proxy = self.upstream_proxy(&settings.proxy, url, &format!("{path}.proxy"));
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
            Some(self.accept(path, tls::client(roots, identity), "")?)
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

    /// The proxy on the way to `url`: as configured, else as the environment says.
    fn upstream_proxy(&mut self, text: &str, url: &Url, path: &str) -> Option<ProxyAddress> {
        let matcher = match text {
            "none" => return None,
            "environment" if tls::is_loopback(url) => return None,
            "environment" => {
                let variable = |names: [&str; 2]| names.iter().find_map(|name| (self.lookup)(name));
                Matcher::builder()
                    .all(variable(["all_proxy", "ALL_PROXY"]).unwrap_or_default())
                    .http(variable(["http_proxy", "HTTP_PROXY"]).unwrap_or_default())
                    .https(variable(["https_proxy", "HTTPS_PROXY"]).unwrap_or_default())
                    .no(variable(["no_proxy", "NO_PROXY"]).unwrap_or_default())
                    .build()
            }
            explicit => Matcher::builder().all(self.proxy_url(explicit, path)?.as_str()).build(),
        };
        let uri = self.accept(path, url.as_str().parse::<http::Uri>(), "")?;
        let intercept = matcher.intercept(&uri)?;
        if intercept.uri().scheme_str() != Some("http") {
            let what = "only proxies spoken to over http are supported";
            self.problem(path, what, "set `proxy: none` or `proxy: http://host:port`");
        }
        let authorization = intercept.basic_auth().cloned();
        Some(ProxyAddress { uri: intercept.uri().clone(), authorization })
    }
}
