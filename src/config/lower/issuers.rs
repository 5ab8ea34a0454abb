//! `issuers:` into [`IssuerSpec`]s.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Lowering;
use crate::algorithm::Algorithm;
use crate::authority::{AuthorityHttp, Metadata};
use crate::config::schema::{
    AlgorithmYaml, AssumeYaml, IntrospectionYaml, IssuerYaml, JwksYaml, KeysYaml, ProfileYaml,
};
use crate::inbound::key_set::KeySet;
use crate::inbound::{
    CallerKind, IntrospectionSpec, IssuerIdentity, IssuerKind, IssuerSpec, JwtSpec, KeyLocation,
    KeySource, Profile,
};
use crate::route::HostMatch;
use crate::tls;

/// What is checked for one kind of issuer: who it is, where its keys are, where its roles are.
pub(super) type Kind = (IssuerIdentity, KeyLocation, &'static str);

impl Lowering<'_> {
    /// Lowers every issuer; those with problems are left out.
    pub(super) fn issuers(&mut self, issuers: BTreeMap<String, IssuerYaml>) {
        for (name, yaml) in issuers {
            let path = format!("issuers.{name}");
            if let Some(issuer) = self.issuer(&name, yaml, &path) {
                self.issuers.insert(name, Arc::new(issuer));
            }
        }
    }

    fn issuer(&mut self, name: &str, yaml: IssuerYaml, path: &str) -> Option<IssuerSpec> {
        if yaml.clock_skew.0 > MAX_SKEW {
            self.problem(&format!("{path}.clock_skew"), "more than 5m", "set the clocks instead");
        }
        let (audiences, skew) = (yaml.audiences.clone(), yaml.clock_skew.0);
        for (at, audience) in audiences.iter().enumerate() {
            if audience.is_empty() || audience == "*" || audience.trim() != audience {
                let what = "empty, a wildcard, or with blanks around it";
                let hint = "audiences are compared exactly, as the issuer writes `aud`";
                self.problem(&format!("{path}.audiences[{at}]"), what, hint);
            }
        }
        let (assumed, warm_up) = (assumed(yaml.assume), yaml.warm_up);
        if yaml.roles_claim.as_ref().is_some_and(|claim| claim.split('.').any(str::is_empty)) {
            let what = "an empty claim, or an empty part of one";
            self.problem(&format!("{path}.roles_claim"), what, "for example realm_access.roles");
        }
        let (kind, roles) = if let Some(introspection) = &yaml.introspection {
            self.one_kind(&yaml, path)?;
            self.nothing_about_keys(path);
            if !audiences.is_empty() && introspection.danger_any_audience {
                let any = format!("{path}.introspection.danger_any_audience");
                self.problem(&any, "there are `audiences`", "take one of the two out");
            }
            if audiences.is_empty() && !introspection.danger_any_audience {
                let hint =
                    "or `danger_any_audience: true`, if the issuer says yes for your tokens only";
                self.problem(path, "`audiences` is missing", hint);
            }
            let introspection = self.introspection(introspection, &format!("{path}.introspection"));
            (IssuerKind::Introspection(introspection?), "roles")
        } else {
            if audiences.is_empty() {
                let hint = "name this API as the issuer does in `aud`, for example api://orders";
                self.problem(path, "`audiences` is missing", hint);
            }
            let (jwt, roles) = self.jwt(&yaml, path)?;
            (IssuerKind::Jwt(jwt), roles)
        };
        let roles_claim = yaml.roles_claim.unwrap_or_else(|| roles.to_owned());
        let name = Arc::from(name);
        Some(IssuerSpec { name, audiences, skew, roles_claim, assumed, warm_up, kind })
    }

    fn jwt(&mut self, yaml: &IssuerYaml, path: &str) -> Option<(JwtSpec, &'static str)> {
        let http = self.authority_http(yaml.ca.as_ref(), &yaml.proxy, &yaml.timeouts, path);
        self.one_kind(yaml, path)?;
        let http = http?;
        if yaml.entra.is_some() && self.is_written(&format!("{path}.assume")) {
            let what = "nothing is assumed of Entra's tokens: they tell";
            self.problem(&format!("{path}.assume"), what, "take it out");
        }
        let (identity, location, roles) = if let Some(entra) = &yaml.entra {
            self.entra_issuer(entra, http, &format!("{path}.entra"))?
        } else if let Some(oidc) = &yaml.oidc {
            self.discovered(&oidc.issuer, "roles", http, &format!("{path}.oidc.issuer"))?
        } else if let Some(keycloak) = &yaml.keycloak {
            let path = format!("{path}.keycloak");
            self.path_segment(&keycloak.realm, &format!("{path}.realm"))?;
            if keycloak.url.contains("/realms/") {
                let what = "the address of Keycloak itself, without /realms/…, is needed";
                self.problem(&format!("{path}.url"), what, "the realm has its own key");
                return None;
            }
            let issuer =
                format!("{}/realms/{}", keycloak.url.trim_end_matches('/'), keycloak.realm);
            self.discovered(&issuer, "realm_access.roles", http, &format!("{path}.url"))?
        } else if let Some(okta) = &yaml.okta {
            let path = format!("{path}.okta");
            self.host_name(&okta.domain, &format!("{path}.domain"))?;
            self.path_segment(&okta.server, &format!("{path}.server"))?;
            let issuer = format!("https://{}/oauth2/{}", okta.domain, okta.server);
            self.discovered(&issuer, "roles", http, &path)?
        } else if let Some(auth0) = &yaml.auth0 {
            let path = format!("{path}.auth0");
            self.host_name(&auth0.domain, &format!("{path}.domain"))?;
            let issuer = format!("https://{}/", auth0.domain);
            self.discovered(&issuer, "permissions", http, &path)?
        } else {
            self.jwks(yaml.jwks.as_ref()?, http, &format!("{path}.jwks"))?
        };
        let only_rs256 = vec![Algorithm::Rs256];
        let default = if yaml.entra.is_some() { only_rs256 } else { Algorithm::ALL.to_vec() };
        let algorithms = yaml.algorithms.as_ref();
        let algorithms = algorithms.map(|list| list.iter().copied().map(algorithm).collect());
        let algorithms: Vec<_> = algorithms.unwrap_or(default);
        if algorithms.is_empty() {
            self.problem(
                &format!("{path}.algorithms"),
                "no algorithm",
                "leave it out for the default",
            );
        }
        let keys = self.key_source(location, algorithms, &yaml.keys, &format!("{path}.keys"));
        let profile = match yaml.profile {
            ProfileYaml::Jwt => Profile::Jwt,
            ProfileYaml::Rfc9068 => Profile::Rfc9068,
        };
        Some((JwtSpec { identity, profile, keys }, roles))
    }

    fn one_kind(&mut self, yaml: &IssuerYaml, path: &str) -> Option<()> {
        let kinds = [
            yaml.entra.is_some(),
            yaml.oidc.is_some(),
            yaml.jwks.is_some(),
            yaml.introspection.is_some(),
            yaml.keycloak.is_some(),
            yaml.okta.is_some(),
            yaml.auth0.is_some(),
        ];
        if kinds.into_iter().filter(|given| *given).count() == 1 {
            return Some(());
        }
        let what =
            "expected exactly one of entra, oidc, jwks, introspection, keycloak, okta, auth0";
        self.problem(path, what, "an issuer is of one kind; make a second one for another");
        None
    }

    /// The client that asks brings its own connection, and no key is needed.
    fn nothing_about_keys(&mut self, path: &str) {
        for key in ["algorithms", "ca", "keys", "profile", "proxy", "timeouts"] {
            let path = format!("{path}.{key}");
            if self.is_written(&path) {
                let hint = "take it out; the issuer checks the token, and the client calls it";
                self.problem(&path, "has no meaning for introspection", hint);
            }
        }
    }

    /// A host alone, as presets put it into an address.
    fn host_name(&mut self, text: &str, path: &str) -> Option<()> {
        let parsed = match HostMatch::parse(text) {
            Ok(HostMatch::Exact(_, None)) => Ok(()),
            _ => Err(format!("`{text}` is not a host")),
        };
        self.accept(path, parsed, "the host alone, for example acme.okta.com")
    }

    /// One segment of a path, as presets put it into an address.
    fn path_segment(&mut self, text: &str, path: &str) -> Option<()> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
        if text.is_empty() || [".", ".."].contains(&text) || !text.bytes().all(valid) {
            let what = format!("`{text}` is not one segment of a path");
            self.problem(path, what, "write blanks and marks percent-encoded, as the issuer does");
            return None;
        }
        Some(())
    }

    fn discovered(
        &mut self,
        issuer: &str,
        roles: &'static str,
        http: AuthorityHttp,
        path: &str,
    ) -> Option<Kind> {
        let url = self.secure_url(issuer, path)?;
        if issuer.contains("/.well-known/") {
            let hint = "write what stands before /.well-known/";
            self.problem(path, "the address of the metadata is not the issuer", hint);
            return None;
        }
        if ENTRA_HOSTS.iter().any(|host| url.host_str() == Some(host)) {
            let hint = "write `entra: { tenant: … }`, which checks tenants and tells people from applications";
            self.problem(path, "Entra's tokens need Entra's checks", hint);
            return None;
        }
        let identity = IssuerIdentity::Exactly(issuer.to_owned());
        Some((
            identity,
            KeyLocation::Discovered(Metadata::of_issuer(issuer.to_owned()), http),
            roles,
        ))
    }

    fn jwks(&mut self, yaml: &JwksYaml, http: AuthorityHttp, path: &str) -> Option<Kind> {
        if yaml.issuer.is_empty() {
            self.problem(
                &format!("{path}.issuer"),
                "an empty issuer",
                "what its tokens have as `iss`",
            );
        }
        let location = match (&yaml.uri, &yaml.file) {
            (Some(uri), None) => KeyLocation::Uri(self.key_url(uri, &format!("{path}.uri"))?, http),
            (None, Some(file)) => {
                let read = KeySet::read_file(Path::new(file), &Algorithm::ALL).map(drop);
                let hint = "it must exist, and hold {\"keys\": […]} with public keys";
                self.accept(&format!("{path}.file"), read, hint)?;
                KeyLocation::File(file.into())
            }
            _ => {
                let hint = "uri: https://… is fetched again and again, file: PATH read again";
                self.problem(path, "expected exactly one of uri and file", hint);
                return None;
            }
        };
        Some((IssuerIdentity::Exactly(yaml.issuer.clone()), location, "roles"))
    }

    /// Unlike a secret's destination, a key set's address may have a query (Entra's custom keys).
    fn key_url(&mut self, text: &str, path: &str) -> Option<Url> {
        let url = self.accept(path, Url::parse(text), "expected https://…")?;
        if !tls::is_https_or_loopback(&url) {
            self.problem(path, "must be https", "http is for loopback addresses only");
        } else if url.password().is_some() || !url.username().is_empty() {
            self.problem(path, "must not hold a user name or password", "key sets are public");
        } else {
            return Some(url);
        }
        None
    }

    fn key_source(
        &mut self,
        location: KeyLocation,
        algorithms: Vec<Algorithm>,
        yaml: &KeysYaml,
        path: &str,
    ) -> Arc<KeySource> {
        let KeysYaml { refresh, cool_down, stale } = yaml;
        for (key, duration) in [("refresh", refresh), ("cool_down", cool_down)] {
            if duration.0 < Duration::from_secs(1) {
                self.problem(
                    &format!("{path}.{key}"),
                    "less than 1s",
                    "the issuer is not yours alone",
                );
            }
        }
        if stale.0 < refresh.0 {
            let hint = "a good set must serve until the next one is fetched";
            self.problem(&format!("{path}.stale"), "shorter than `refresh`", hint);
        }
        let (refresh, cool_down, stale) = (refresh.0, cool_down.0, stale.0);
        Arc::new(KeySource { location, algorithms, refresh, cool_down, stale })
    }

    fn introspection(&mut self, yaml: &IntrospectionYaml, path: &str) -> Option<IntrospectionSpec> {
        let endpoint = match &yaml.endpoint {
            Some(endpoint) => Some(self.secure_url(endpoint, &format!("{path}.endpoint"))?),
            None => None,
        };
        let client_path = format!("{path}.client");
        let Some(client) = self.clients.get(&yaml.client).cloned() else {
            self.unknown_client(&yaml.client, &client_path);
            return None;
        };
        if endpoint.is_none() && !client.authority.has_metadata() {
            let hint = "give `endpoint`, or a client whose authority is `oidc`";
            self.problem(
                &client_path,
                "its authority has no metadata that name the endpoint",
                hint,
            );
        }
        Some(IntrospectionSpec {
            endpoint,
            client,
            issuer: yaml.issuer.clone(),
            cache: yaml.cache.0,
            negative_cache: yaml.negative_cache.0,
        })
    }
}

fn assumed(yaml: AssumeYaml) -> CallerKind {
    match yaml {
        AssumeYaml::Neither => CallerKind::Other,
        AssumeYaml::Users => CallerKind::User,
        AssumeYaml::Applications => CallerKind::Application,
    }
}

pub(super) fn algorithm(yaml: AlgorithmYaml) -> Algorithm {
    match yaml {
        AlgorithmYaml::RS256 => Algorithm::Rs256,
        AlgorithmYaml::RS384 => Algorithm::Rs384,
        AlgorithmYaml::RS512 => Algorithm::Rs512,
        AlgorithmYaml::PS256 => Algorithm::Ps256,
        AlgorithmYaml::PS384 => Algorithm::Ps384,
        AlgorithmYaml::PS512 => Algorithm::Ps512,
        AlgorithmYaml::ES256 => Algorithm::Es256,
        AlgorithmYaml::ES384 => Algorithm::Es384,
        AlgorithmYaml::EdDSA => Algorithm::EdDsa,
    }
}

/// Issuers that only `entra` knows how to check.
const ENTRA_HOSTS: &[&str] = &[
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.windows.net",
    "sts.chinacloudapi.cn",
    "sts.windows.net",
];
const MAX_SKEW: Duration = Duration::from_secs(300);
