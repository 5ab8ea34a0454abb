//! Microsoft Entra's issuers: one per tenant, and one more for the older token version.
//!
//! Part of `inbound`. A key set of Entra signs for every tenant there is, so `iss` must be the form of
//! an allowed tenant, `tid` must be that tenant, and a key that names its issuer speaks for that one only
//! (as Microsoft's own validator checks them).

use super::claims::{BadClaim, Claims};
use super::key::VerificationKey;

/// Which tenants of which cloud are accepted.
#[derive(Debug)]
pub struct EntraIssuers {
    /// `https://login.microsoftonline.com/`: what version 2 issuers begin with.
    pub v2_base: String,
    /// `https://sts.windows.net/`: what version 1 issuers begin with.
    pub v1_base: String,
    /// The tenants.
    pub tenants: Tenants,
}

/// Which tenants.
#[derive(Debug)]
pub enum Tenants {
    /// Every tenant of the cloud.
    Any,
    /// These, by id, in lower case.
    Ids(Vec<String>),
    /// The one that the metadata name, since only its domain is known: this.
    AsDiscovered(String),
}

impl EntraIssuers {
    /// What to name to clients that ask where to get a token.
    pub(super) fn identifiers(&self) -> Vec<String> {
        let segments = match &self.tenants {
            Tenants::Ids(ids) => ids.iter().map(String::as_str).collect(),
            Tenants::Any => vec!["common"],
            Tenants::AsDiscovered(domain) => vec![domain.as_str()],
        };
        segments.into_iter().map(|tenant| format!("{}{tenant}/v2.0", self.v2_base)).collect()
    }

    /// Whether a token of `iss` is one to judge here; it still has to pass [`Self::check`].
    pub(super) fn recognise(&self, iss: &str) -> bool {
        self.tenant_of(iss).is_some_and(|tenant| match &self.tenants {
            Tenants::Any | Tenants::AsDiscovered(_) => true,
            Tenants::Ids(ids) => ids.iter().any(|id| id == tenant),
        })
    }

    /// Binds issuer, tenant and key to one another. `discovered` is the issuer the metadata name.
    pub(super) fn check(
        &self,
        claims: &Claims,
        key: &VerificationKey,
        discovered: Option<&str>,
    ) -> Result<(), BadClaim> {
        let iss = claims.text("iss")?.ok_or(BadClaim::Missing("iss"))?;
        let tid = claims.text("tid")?.ok_or(BadClaim::Missing("tid"))?;
        let tenant = self.tenant_of(iss).ok_or(BadClaim::Issuer)?;
        // Access tokens name the application they were issued to, or what it may do; ID tokens do not.
        let mut marks = ["azp", "appid", "scp", "idtyp"].into_iter();
        if !marks.any(|mark| claims.members().contains_key(mark)) {
            return Err(BadClaim::OtherKind);
        }
        let allowed = match &self.tenants {
            Tenants::Any => true,
            Tenants::Ids(ids) => ids.iter().any(|id| id == tenant),
            Tenants::AsDiscovered(_) => {
                discovered.and_then(|issuer| self.tenant_of(issuer)) == Some(tenant)
            }
        };
        let speaks = key.issuer().is_none_or(|template| {
            let issuer = template.replace("{tenantid}", tenant);
            // Version 2 keys sign version 1 tokens as well.
            issuer == iss || issuer == format!("{}{tenant}/v2.0", self.v2_base)
        });
        if tid == tenant && allowed && speaks { Ok(()) } else { Err(BadClaim::Issuer) }
    }

    /// The tenant in `{v2}/{tenant}/v2.0` or `{v1}/{tenant}/`.
    fn tenant_of<'i>(&self, iss: &'i str) -> Option<&'i str> {
        let v2 = iss.strip_prefix(self.v2_base.as_str()).and_then(|t| t.strip_suffix("/v2.0"));
        let v1 = || iss.strip_prefix(self.v1_base.as_str()).and_then(|t| t.strip_suffix('/'));
        v2.or_else(v1).filter(|tenant| is_tenant_id(tenant))
    }
}

/// A GUID in lower case, as Entra writes it in `tid` and `iss`.
#[must_use]
pub fn is_tenant_id(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| group.bytes().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Algorithm;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    const OTHER: &str = "99999999-2222-3333-4444-555555555555";

    fn issuers(tenants: Tenants) -> EntraIssuers {
        let (v2_base, v1_base) = ("https://login.test/".to_owned(), "https://sts.test/".to_owned());
        EntraIssuers { v2_base, v1_base, tenants }
    }

    fn key(issuer: &str) -> VerificationKey {
        let issuer =
            if issuer.is_empty() { String::new() } else { format!(r#","issuer":"{issuer}""#) };
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{issuer}}}"#);
        VerificationKey::from_jwk(&jwk, &Algorithm::ALL).unwrap()
    }

    fn claims(iss: &str, tid: &str) -> Claims {
        let json = format!(r#"{{"iss":"{iss}","tid":"{tid}","azp":"app"}}"#);
        Claims::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn issuer_tenant_and_key_belong_together() {
        let v2 = format!("https://login.test/{TENANT}/v2.0");
        let v1 = format!("https://sts.test/{TENANT}/");
        let (template, v1_template) =
            ("https://login.test/{tenantid}/v2.0", "https://sts.test/{tenantid}/");
        let domain_only = || Tenants::AsDiscovered("contoso.test".to_owned());
        let ids = || Tenants::Ids(vec![TENANT.to_owned()]);
        let other = format!("https://login.test/{OTHER}/v2.0");
        let domain = "https://login.test/contoso.test/v2.0";
        for (tenants, iss, tid, key_issuer, good) in [
            (ids(), v2.as_str(), TENANT, template, true),
            (ids(), &v2, TENANT, "", true),
            (ids(), &v1, TENANT, template, true),
            (ids(), &v1, TENANT, v1_template, true),
            (ids(), &v2, TENANT, v1_template, false),
            (ids(), &v2, TENANT, &other, false),
            (ids(), &v2, OTHER, template, false),
            (ids(), &other, OTHER, template, false),
            (Tenants::Any, &other, OTHER, template, true),
            (Tenants::Any, &other, TENANT, template, false),
            (Tenants::Any, domain, "contoso.test", template, false),
            (domain_only(), &v2, TENANT, template, true),
            (domain_only(), &other, OTHER, template, false),
            (Tenants::Any, "https://login.test/{tenantid}/v2.0", "{tenantid}", template, false),
        ] {
            let issuers = issuers(tenants);
            let checked = issuers.check(&claims(iss, tid), &key(key_issuer), Some(&v2));
            assert_eq!(checked.is_ok(), good, "{iss} {tid} {key_issuer} {issuers:?}");
        }
    }
}
