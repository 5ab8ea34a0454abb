//! `clients:` into [`ClientSpec`]s.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use super::Lowering;
use super::credentials::At;
use crate::authority::{Authority, AuthorityHttp, ClientSpec, HttpSettings};
use crate::config::schema::{AuthorityTimeoutsYaml, AuthorityYaml, ClientYaml, FileRef};
use crate::tls;

impl Lowering<'_> {
    /// Lowers every client; those with problems are left out.
    pub(super) fn clients(&mut self, clients: BTreeMap<String, ClientYaml>) {
        for (name, yaml) in clients {
            let path = format!("clients.{name}");
            if let Some(client) = self.client(&name, yaml, &path) {
                self.clients.insert(name, Arc::new(client));
            }
        }
    }

    fn client(&mut self, name: &str, yaml: ClientYaml, path: &str) -> Option<ClientSpec> {
        let settings = self.http_settings(
            yaml.authority.ca.as_ref(),
            &yaml.authority.proxy,
            &yaml.authority.timeouts,
            &format!("{path}.authority"),
        );
        let authority = self.authority(yaml.authority, settings.as_ref(), path);
        let at = At { http: settings, authority: authority.as_ref() };
        let credentials = self.credentials(yaml.credential, &at, &format!("{path}.credential"));
        if yaml.max_in_flight == 0 {
            let what = "no token request could ever be made";
            self.problem(&format!("{path}.max_in_flight"), what, "1 and more");
        }
        let is_entra = authority.as_ref().is_none_or(Authority::is_entra);
        self.capabilities(&yaml.capabilities, is_entra, &format!("{path}.capabilities"));
        if yaml.client_id.is_empty() {
            self.problem(&format!("{path}.client_id"), "an empty client_id", "");
        }
        Some(ClientSpec {
            name: Arc::from(name),
            client_id: yaml.client_id,
            credentials: credentials?,
            authority: authority?,
            capabilities: yaml.capabilities,
            max_in_flight: yaml.max_in_flight.into(),
            warm_up: yaml.warm_up,
        })
    }

    fn capabilities(&mut self, capabilities: &[String], is_entra: bool, path: &str) {
        if !capabilities.is_empty() && !is_entra {
            let hint = "take it out: other servers might misread the `claims` parameter";
            self.problem(path, "only Entra knows capabilities", hint);
        }
        for (at, name) in capabilities.iter().enumerate().filter(|(_, name)| *name != "cp1") {
            let what = format!("`{name}` is not a capability that Vicar has");
            self.problem(&format!("{path}[{at}]"), what, "known here: cp1");
        }
    }

    fn authority(
        &mut self,
        yaml: AuthorityYaml,
        settings: Option<&HttpSettings>,
        path: &str,
    ) -> Option<Authority> {
        let path = &format!("{path}.authority");
        let http = self.accept(path, AuthorityHttp::new(settings?, None), "")?;
        let AuthorityYaml { entra, adfs, b2c, external_id, oidc, token_endpoint, .. } = yaml;
        match (entra, adfs, b2c, external_id, oidc, token_endpoint) {
            (Some(entra), None, None, None, None, None) => {
                self.entra(&entra, settings?, http, &format!("{path}.entra"))
            }
            (None, Some(adfs), None, None, None, None) => {
                self.adfs(&adfs, http, &format!("{path}.adfs"))
            }
            (None, None, Some(b2c), None, None, None) => {
                self.b2c(&b2c, http, &format!("{path}.b2c"))
            }
            (None, None, None, Some(external_id), None, None) => {
                self.external_id(&external_id, http, &format!("{path}.external_id"))
            }
            (None, None, None, None, Some(oidc), None) => {
                self.secure_url(&oidc.issuer, &format!("{path}.oidc.issuer"))?;
                Some(Authority::oidc(oidc.issuer, http))
            }
            (None, None, None, None, None, Some(endpoint)) => {
                let url = self.secure_url(&endpoint, &format!("{path}.token_endpoint"))?;
                Some(Authority::bare(url, http))
            }
            _ => {
                let kinds = "entra, adfs, b2c, external_id, oidc, token_endpoint";
                self.problem(path, format!("expected exactly one of {kinds}"), "");
                None
            }
        }
    }

    /// The HTTP client for one authority or issuer.
    pub(super) fn authority_http(
        &mut self,
        ca: Option<&FileRef>,
        proxy: &str,
        timeouts: &AuthorityTimeoutsYaml,
        path: &str,
    ) -> Option<AuthorityHttp> {
        let settings = self.http_settings(ca, proxy, timeouts, path)?;
        self.accept(path, AuthorityHttp::new(&settings, None), "")
    }

    /// How one authority or issuer is reached.
    fn http_settings(
        &mut self,
        ca: Option<&FileRef>,
        proxy: &str,
        timeouts: &AuthorityTimeoutsYaml,
        path: &str,
    ) -> Option<HttpSettings> {
        let roots = self.roots(ca.map(|ca| ca.file.as_str()), &format!("{path}.ca"));
        let proxy = self.proxies(proxy, &format!("{path}.proxy"));
        let (roots, proxy) = (roots?, proxy?);
        let tls = self.accept(path, tls::client(roots, None), "")?;
        Some(HttpSettings { tls, proxy, connect: timeouts.connect.0, total: timeouts.total.0 })
    }

    /// One tenant's id or domain, in lower case.
    pub(super) fn entra_tenant(&mut self, tenant: &str, path: &str, hint: &str) -> Option<String> {
        let tenant = tenant.to_ascii_lowercase();
        if MULTI_TENANT.contains(&tenant.as_str()) {
            self.problem(path, format!("`{tenant}` stands for many tenants, not for one"), hint);
            return None;
        }
        let character = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        if !tenant.bytes().all(character) || !tenant.starts_with(|c: char| c.is_alphanumeric()) {
            self.problem(path, "not a tenant id or domain", "");
            return None;
        }
        Some(tenant)
    }

    /// A URL that a secret may be sent to.
    pub(super) fn secure_url(&mut self, text: &str, path: &str) -> Option<Url> {
        let url = self.accept(path, Url::parse(text), "expected https://…")?;
        let plain = url.query().is_none() && url.fragment().is_none();
        if !tls::is_https_or_loopback(&url) {
            self.problem(path, "must be https", "http is for loopback addresses only");
        } else if url.password().is_some() || !url.username().is_empty() {
            self.problem(path, "must not hold a user name or password", "take them out");
        } else if !plain {
            self.problem(path, "must not have a query or fragment", "");
        } else {
            return Some(url);
        }
        None
    }
}

/// Tenant words that stand for "whoever signs in"; an application does not sign in.
const MULTI_TENANT: &[&str] = &["common", "consumers", "organizations"];
