//! `proxy:` — forward proxies on the way to authorities and upstreams.
//!
//! The environment is asked through the lowering's look-up, lower-case names first.

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use super::Lowering;
use crate::authority::ProxySettings;
use crate::forward::ProxyAddress;
use crate::tls;

impl Lowering<'_> {
    /// The proxies for authority traffic; nothing after a problem.
    pub(super) fn proxies(&mut self, text: &str, path: &str) -> Option<ProxySettings> {
        match text {
            "environment" => Some(self.environment()),
            "none" => Some(ProxySettings::default()),
            explicit => {
                let url = String::from(self.proxy_url(explicit, path)?);
                let (http, https) = (Some(url.clone()), Some(url));
                Some(ProxySettings { http, https, exceptions: String::new() })
            }
        }
    }

    /// The proxy on the way to `url`, if there is one.
    pub(super) fn proxy_to(&mut self, text: &str, url: &Url, path: &str) -> Option<ProxyAddress> {
        if tls::is_loopback(url) {
            if !matches!(text, "environment" | "none") {
                let what = "a loopback address is not reached through a proxy";
                self.problem(path, what, "leave `proxy` out, or name the host the proxy can reach");
            }
            return None;
        }
        let ProxySettings { http, https, exceptions } = self.proxies(text, path)?;
        let matcher = Matcher::builder()
            .http(http.unwrap_or_default())
            .https(https.unwrap_or_default())
            .no(exceptions)
            .build();
        let uri = self.accept(path, url.as_str().parse::<http::Uri>(), "")?;
        let intercept = matcher.intercept(&uri)?;
        if intercept.uri().scheme_str() != Some("http") {
            let what = "only proxies spoken to over http are supported";
            self.problem(path, what, "set `proxy: none` or `proxy: http://host:port`");
        }
        let authorization = intercept.basic_auth().cloned();
        Some(ProxyAddress { uri: intercept.uri().clone(), authorization })
    }

    fn environment(&self) -> ProxySettings {
        let variable = |names: &[&str]| {
            let values = names.iter().filter_map(|name| (self.lookup)(name));
            values.into_iter().find(|value| !value.is_empty())
        };
        ProxySettings {
            http: variable(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            https: variable(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            exceptions: variable(&["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        }
    }

    /// The address of a forward proxy.
    fn proxy_url(&mut self, text: &str, path: &str) -> Option<Url> {
        let hint = "expected environment, none, or http://host:port";
        let url = self.accept(path, Url::parse(text), hint)?;
        if url.scheme() != "http" || url.host().is_none() || !matches!(url.path(), "" | "/") {
            self.problem(path, "not the address of an HTTP proxy", hint);
            return None;
        }
        Some(url)
    }
}
