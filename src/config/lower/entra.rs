//! `entra:` of issuers: clouds, tenants, and where their metadata are.

use url::Url;

use super::Lowering;
use super::issuers::Kind;
use super::microsoft::cloud_host;
use crate::authority::{AuthorityHttp, ExpectedIssuer, Metadata, preferred_host};
use crate::config::schema::{CloudYaml, EntraIssuerYaml, TenantsYaml};
use crate::inbound::{EntraIssuers, IssuerIdentity, KeyLocation, Tenants, is_tenant_id};

impl Lowering<'_> {
    pub(super) fn entra_issuer(
        &mut self,
        yaml: &EntraIssuerYaml,
        http: AuthorityHttp,
        path: &str,
    ) -> Option<Kind> {
        let instance = self.entra_instance(yaml.instance.as_deref(), yaml.cloud, path)?;
        let (tenants, segment) = match (&yaml.tenant, &yaml.tenants) {
            (Some(tenant), None) => self.one_tenant(tenant, &format!("{path}.tenant"))?,
            (None, Some(tenants)) => {
                (self.several_tenants(tenants, &format!("{path}.tenants")), "common".to_owned())
            }
            _ => {
                let hint = "tenant: ID, tenants: [ID, …], or tenants: any";
                self.problem(path, "expected exactly one of tenant and tenants", hint);
                return None;
            }
        };
        let v2_base = instance.to_string();
        let v1_base = match (&yaml.instance, yaml.cloud) {
            (Some(_), _) => v2_base.clone(),
            (None, CloudYaml::China) => "https://sts.chinacloudapi.cn/".to_owned(),
            (None, _) => "https://sts.windows.net/".to_owned(),
        };
        let expected = match &tenants {
            Tenants::AsDiscovered(_) => {
                ExpectedIssuer::Between(v2_base.clone(), "/v2.0".to_owned())
            }
            Tenants::Ids(_) if segment != "common" => {
                ExpectedIssuer::Exactly(format!("{v2_base}{segment}/v2.0"))
            }
            Tenants::Any | Tenants::Ids(_) => {
                ExpectedIssuer::Exactly(format!("{v2_base}{{tenantid}}/v2.0"))
            }
        };
        let metadata = Metadata::new(format!("{v2_base}{segment}/v2.0"), expected);
        let identity = IssuerIdentity::Entra(EntraIssuers { v2_base, v1_base, tenants });
        Some((identity, KeyLocation::Discovered(metadata, http), "roles"))
    }

    /// The tenant, and the path segment its metadata are under.
    fn one_tenant(&mut self, tenant: &str, path: &str) -> Option<(Tenants, String)> {
        let tenant =
            self.entra_tenant(tenant, path, "`tenants: any` accepts every tenant there is")?;
        let tenants = if is_tenant_id(&tenant) {
            Tenants::Ids(vec![tenant.clone()])
        } else {
            Tenants::AsDiscovered(tenant.clone())
        };
        Some((tenants, tenant))
    }

    fn several_tenants(&mut self, yaml: &TenantsYaml, path: &str) -> Tenants {
        let TenantsYaml::Ids(ids) = yaml else { return Tenants::Any };
        let ids: Vec<String> = ids.iter().map(|id| id.to_ascii_lowercase()).collect();
        for (at, id) in ids.iter().enumerate().filter(|(_, id)| !is_tenant_id(id)) {
            let what = format!("`{id}` is not a tenant's id");
            self.problem(&format!("{path}[{at}]"), what, "a domain can only be given as `tenant`");
        }
        if ids.is_empty() {
            self.problem(path, "no tenant", "list their ids, or write any");
        }
        Tenants::Ids(ids)
    }

    /// The sign-in host, `https://host/`.
    pub(super) fn entra_instance(
        &mut self,
        instance: Option<&str>,
        cloud: CloudYaml,
        path: &str,
    ) -> Option<Url> {
        let Some(instance) = instance else {
            return self.accept(path, Url::parse(cloud_host(cloud)), "");
        };
        let path = format!("{path}.instance");
        let url = self.secure_url(instance, &path)?;
        if !matches!(url.path(), "" | "/") {
            self.problem(&path, "must be https://host alone", "the tenant has its own key");
        }
        let preferred = preferred_host(url.host_str().unwrap_or_default()).to_owned();
        let mut url = url;
        self.accept(&path, url.set_host(Some(&preferred)), "")?;
        Some(url)
    }
}
