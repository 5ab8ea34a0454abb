//! `clients.*.authority:` of Microsoft's kinds: Entra ID with its clouds and regions, AD FS, B2C, External ID.

use std::time::Duration;

use url::Url;

use super::Lowering;
use crate::authority::{
    Authority, AuthorityHttp, Detection, Entra, HttpSettings, Microsoft, ProxySettings, Region,
    is_region,
};
use crate::config::schema::{AdfsYaml, B2cYaml, CloudYaml, EntraYaml, ExternalIdYaml};

impl Lowering<'_> {
    pub(super) fn entra(
        &mut self,
        yaml: &EntraYaml,
        settings: &HttpSettings,
        http: AuthorityHttp,
        path: &str,
    ) -> Option<Authority> {
        let hint = "give the tenant's id or one of its domains";
        let tenant = self.entra_tenant(&yaml.tenant, &format!("{path}.tenant"), hint)?;
        let instance = self.entra_instance(yaml.instance.as_deref(), yaml.cloud, path)?;
        let region = match &yaml.region {
            None => None,
            Some(region) => Some(self.region(region, settings, &format!("{path}.region"))?),
        };
        let entra = self.accept(path, Entra::new(&instance, &tenant, region), "")?;
        Some(Authority::entra(entra, http))
    }

    fn region(&mut self, region: &str, settings: &HttpSettings, path: &str) -> Option<Region> {
        if region != "auto" {
            let region = region.to_ascii_lowercase();
            if !is_region(&region) {
                let hint = "its name, as in westeurope, or auto";
                self.problem(path, "not the name of a region", hint);
                return None;
            }
            return Some(Region::Named(region));
        }
        let stated = (self.lookup)("REGION_NAME").unwrap_or_default();
        let stated = stated.replace(' ', "").to_ascii_lowercase();
        if is_region(&stated) {
            return Some(Region::Named(stated));
        }
        let host = (self.lookup)(METADATA_HOST).filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| "http://169.254.169.254".to_owned());
        let base = self.accept(path, Url::parse(&host), METADATA_HOST)?;
        // The service is on this machine: never through a proxy, and no longer than it takes to answer.
        let (proxy, total) = (ProxySettings::default(), Duration::from_secs(2));
        let settings = HttpSettings { proxy, connect: total, total, ..settings.clone() };
        let http = self.accept(path, AuthorityHttp::new(&settings, None), "")?;
        self.accept(path, Detection::new(&base, http), "").map(Region::Detected)
    }

    pub(super) fn adfs(
        &mut self,
        yaml: &AdfsYaml,
        http: AuthorityHttp,
        path: &str,
    ) -> Option<Authority> {
        let path = format!("{path}.url");
        let base = self.secure_url(&yaml.url, &path)?;
        let endpoint = format!("{}/oauth2/token", base.as_str().trim_end_matches('/'));
        let endpoint = self.accept(&path, Url::parse(&endpoint), "")?;
        Some(Authority::microsoft(Microsoft::Adfs, endpoint, http))
    }

    pub(super) fn b2c(
        &mut self,
        yaml: &B2cYaml,
        http: AuthorityHttp,
        path: &str,
    ) -> Option<Authority> {
        let hint = "its domain, as in contoso.onmicrosoft.com";
        let tenant = self.entra_tenant(&yaml.tenant, &format!("{path}.tenant"), hint)?;
        if !is_name(&yaml.policy) {
            let what = "not the name of a policy";
            self.problem(&format!("{path}.policy"), what, "as in B2C_1_signin");
            return None;
        }
        let name = tenant.split('.').next().unwrap_or_default();
        let host = yaml.host.clone().unwrap_or_else(|| format!("{name}.b2clogin.com"));
        let base = self.secure_url(&format!("https://{host}"), &format!("{path}.host"))?;
        if !matches!(base.path(), "" | "/") {
            self.problem(&format!("{path}.host"), "must be a host alone", "");
        }
        let route = format!("/tfp/{tenant}/{}/oauth2/v2.0/token", yaml.policy);
        let endpoint = self.accept(path, base.join(&route), "")?;
        Some(Authority::microsoft(Microsoft::B2c, endpoint, http))
    }

    pub(super) fn external_id(
        &mut self,
        yaml: &ExternalIdYaml,
        http: AuthorityHttp,
        path: &str,
    ) -> Option<Authority> {
        let name = yaml.tenant.to_ascii_lowercase();
        if !is_name(&name) {
            let what = "not the name of a tenant";
            self.problem(&format!("{path}.tenant"), what, "contoso of contoso.ciamlogin.com");
            return None;
        }
        let instance = Url::parse(&format!("https://{name}.ciamlogin.com"));
        let instance = self.accept(path, instance, "")?;
        let entra = Entra::new(&instance, &format!("{name}.onmicrosoft.com"), None);
        Some(Authority::entra(self.accept(path, entra, "")?, http))
    }
}

fn is_name(text: &str) -> bool {
    let character = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.bytes().all(character)
}

/// Sign-in hosts of the clouds (MSAL's preferred network hosts).
pub(super) fn cloud_host(cloud: CloudYaml) -> &'static str {
    match cloud {
        CloudYaml::Public => "https://login.microsoftonline.com",
        CloudYaml::China => "https://login.partner.microsoftonline.cn",
        CloudYaml::UsGovernment => "https://login.microsoftonline.us",
        CloudYaml::Germany => "https://login.microsoftonline.de",
        CloudYaml::Bleu => "https://login.sovcloud-identity.fr",
        CloudYaml::Delos => "https://login.sovcloud-identity.de",
        CloudYaml::GovSg => "https://login.sovcloud-identity.sg",
    }
}

/// Where the metadata service is, when it is not where it always is.
const METADATA_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
