//! `clients.*.credential:` into [`Credential`]s, each read once to say early what is wrong with it.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::Lowering;
use super::issuers::algorithm;
use crate::authority::{
    AssertionSource, AssertionUrl, Audience, Authority, AuthorityHttp, Credential, HttpSettings,
    Method, PrivateKeyJwt, RESERVED_CLAIMS, RESERVED_HEADERS, SecretMethod, SigningSource,
    Thumbprint, TlsClientAuth,
};
use crate::clock::Clock;
use crate::config::schema::{
    AssertionUrlYaml, AssertionYaml, CredentialYaml, CredentialsYaml, FileRef, IdentityYaml,
    PrivateKeyJwtYaml, SecretRef, ThumbprintYaml,
};
use crate::identity::IdentitySource;

/// Where a client proves itself.
pub(super) struct At<'a> {
    /// Nothing where that has a problem of its own.
    pub(super) http: Option<HttpSettings>,
    pub(super) authority: Option<&'a Authority>,
}

impl Lowering<'_> {
    /// A client's credentials, in the user's order.
    pub(super) fn credentials(
        &mut self,
        yaml: CredentialsYaml,
        at: &At<'_>,
        path: &str,
    ) -> Option<Vec<Arc<Credential>>> {
        let several = match yaml {
            CredentialsYaml::One(one) => return Some(vec![self.credential(one, at, path)?]),
            CredentialsYaml::Several(several) => several,
        };
        if several.is_empty() {
            self.problem(path, "no credential", "one method, or a list of at least one");
            return None;
        }
        self.defers_files = true;
        let credentials: Option<Vec<_>> = several
            .into_iter()
            .enumerate()
            .map(|(index, yaml)| {
                let path = format!("{path}[{index}].{}", name(&yaml));
                Some((self.unchecked(yaml, at, &path)?, path))
            })
            .collect();
        self.defers_files = false;
        self.one_can_be_used(credentials?)
    }

    /// Of several credentials one must be good now; the others may become so.
    fn one_can_be_used(
        &mut self,
        credentials: Vec<(Arc<Credential>, String)>,
    ) -> Option<Vec<Arc<Credential>>> {
        let clock = Clock::system();
        let checked = credentials.iter().map(|(credential, path)| (credential.check(&clock), path));
        let checked: Vec<_> = checked.collect();
        let usable = checked.iter().any(|(checked, _)| checked.is_ok());
        for (error, path) in checked.iter().filter_map(|(c, path)| Some((c.as_ref().err()?, path)))
        {
            if usable {
                self.warning(path, error, "the others are used until it is good");
            } else {
                self.problem(path, error, READ_AGAIN);
            }
        }
        usable.then(|| credentials.into_iter().map(|(credential, _)| credential).collect())
    }

    fn credential(
        &mut self,
        yaml: CredentialYaml,
        at: &At<'_>,
        path: &str,
    ) -> Option<Arc<Credential>> {
        let path = format!("{path}.{}", name(&yaml));
        let credential = self.unchecked(yaml, at, &path)?;
        self.accept(&path, credential.check(&Clock::system()), READ_AGAIN)?;
        Some(credential)
    }

    /// A credential whose files have not been made sense of.
    fn unchecked(
        &mut self,
        yaml: CredentialYaml,
        at: &At<'_>,
        path: &str,
    ) -> Option<Arc<Credential>> {
        let method = match yaml {
            CredentialYaml::ClientAssertion(assertion) => {
                Method::ClientAssertion(self.assertion(assertion, at, path)?)
            }
            CredentialYaml::ClientSecret(secret) => {
                self.client_secret(SecretMethod::Preferred, secret, path)?
            }
            CredentialYaml::ClientSecretBasic(secret) => {
                self.client_secret(SecretMethod::Basic, secret, path)?
            }
            CredentialYaml::ClientSecretPost(secret) => {
                self.client_secret(SecretMethod::Post, secret, path)?
            }
            CredentialYaml::PrivateKeyJwt(jwt) => {
                Method::PrivateKeyJwt(Box::new(self.private_key_jwt(*jwt, at, path)?))
            }
            CredentialYaml::TlsClientAuth(identity)
            | CredentialYaml::SelfSignedTlsClientAuth(identity) => {
                let source = self.identity_source(identity, path)?;
                Method::TlsClientAuth(Box::new(TlsClientAuth { source, http: at.http.clone()? }))
            }
            CredentialYaml::WorkloadIdentity => {
                let file = (self.lookup)(TOKEN_FILE).filter(|file| !file.is_empty());
                let hint = "the webhook of Azure workload identity sets it: label the pod \
                            azure.workload.identity/use, or name the file with client_assertion";
                let unset = format!("the environment variable {TOKEN_FILE} is not set");
                let file = self.accept(path, file.ok_or(unset), hint)?;
                let source = self.secret(SecretRef::File(file), path)?;
                Method::ClientAssertion(AssertionSource::Kept(source))
            }
        };
        Some(Credential::new(method))
    }

    fn client_secret(&mut self, how: SecretMethod, yaml: SecretRef, path: &str) -> Option<Method> {
        Some(Method::ClientSecret { how, source: self.secret(yaml, path)? })
    }

    fn assertion(
        &mut self,
        yaml: AssertionYaml,
        at: &At<'_>,
        path: &str,
    ) -> Option<AssertionSource> {
        let kept = match yaml {
            AssertionYaml::File(file) => SecretRef::File(file),
            AssertionYaml::Env(name) => SecretRef::Env(name),
            AssertionYaml::DangerInline(text) => SecretRef::DangerInline(text),
            AssertionYaml::FromUrl(yaml) => {
                let path = format!("{path}.from_url");
                let provider = self.assertion_url(yaml, at, &path)?;
                return Some(AssertionSource::Asked(Arc::new(provider)));
            }
        };
        Some(AssertionSource::Kept(self.secret(kept, path)?))
    }

    fn assertion_url(
        &mut self,
        yaml: AssertionUrlYaml,
        at: &At<'_>,
        path: &str,
    ) -> Option<AssertionUrl> {
        let url_path = format!("{path}.url");
        let url = self.accept(&url_path, Url::parse(&yaml.url), "expected https://…")?;
        if !crate::tls::is_https_or_loopback(&url) {
            self.problem(&url_path, "must be https", "http is for loopback addresses only");
        }
        let bearer = match yaml.bearer {
            Some(bearer) => Some(self.secret(bearer, &format!("{path}.bearer"))?),
            None => None,
        };
        let http = self.accept(path, AuthorityHttp::new(at.http.as_ref()?, None), "")?;
        Some(AssertionUrl::new(url, yaml.audience.as_deref(), bearer, yaml.member, http))
    }

    /// What an assertion must not say, and how long it may live.
    fn check_assertion(&mut self, yaml: &PrivateKeyJwtYaml, path: &str) {
        if yaml.lifetime.0 > MAX_LIFETIME || yaml.lifetime.0.as_secs() == 0 {
            let what = "an assertion lives from one second to ten minutes";
            self.problem(&format!("{path}.lifetime"), what, "leave it out for 5m");
        }
        for (key, names, reserved) in [
            ("claims", &yaml.claims, RESERVED_CLAIMS),
            ("headers", &yaml.headers, RESERVED_HEADERS),
        ] {
            for name in names.keys().filter(|name| reserved.contains(&name.as_str())) {
                let what = format!("`{name}` is written by Vicar itself, or refused by all");
                self.problem(&format!("{path}.{key}.{name}"), what, "take it out");
            }
        }
    }

    fn private_key_jwt(
        &mut self,
        yaml: PrivateKeyJwtYaml,
        at: &At<'_>,
        path: &str,
    ) -> Option<PrivateKeyJwt> {
        self.check_assertion(&yaml, path);
        let audience = match yaml.audience.as_str() {
            "token_endpoint" => Audience::TokenEndpoint,
            "issuer" if at.authority.is_none_or(Authority::knows_issuer) => Audience::Issuer,
            "issuer" => {
                let hint = "write the text itself, or use `oidc`";
                self.problem(&format!("{path}.audience"), "no issuer is known here", hint);
                return None;
            }
            text => Audience::Literally(text.to_owned()),
        };
        let has_certificate = yaml.certificate.is_some() || yaml.pkcs12.is_some();
        if !has_certificate && (yaml.x5c || yaml.thumbprint.is_some()) {
            self.problem(path, "`x5c` and `thumbprint` need a certificate", "add `certificate`");
        }
        let default = if !has_certificate {
            Thumbprint::None
        } else if at.authority.is_some_and(Authority::is_adfs) {
            Thumbprint::Sha1
        } else {
            Thumbprint::Sha256
        };
        let thumbprint = yaml.thumbprint.map_or(default, |yaml| match yaml {
            ThumbprintYaml::Sha256 => Thumbprint::Sha256,
            ThumbprintYaml::Sha1 => Thumbprint::Sha1,
            ThumbprintYaml::None => Thumbprint::None,
        });
        let identity = IdentityYaml {
            certificate: yaml.certificate,
            private_key: yaml.private_key,
            pkcs12: yaml.pkcs12,
            password: yaml.password,
        };
        let source = if has_certificate {
            SigningSource::Identity(self.identity_source(identity, path)?)
        } else {
            self.bare_key(identity, path)?
        };
        Some(PrivateKeyJwt {
            source,
            algorithm: yaml.algorithm.map(algorithm),
            prefers_pss: at.authority.is_some_and(Authority::is_entra),
            key_id: yaml.key_id,
            thumbprint,
            x5c: yaml.x5c,
            audience,
            lifetime: yaml.lifetime.0,
            claims: yaml.claims,
            headers: yaml.headers,
        })
    }

    fn bare_key(&mut self, yaml: IdentityYaml, path: &str) -> Option<SigningSource> {
        let Some(private_key) = yaml.private_key else {
            let hint = "certificate and private_key, pkcs12, or private_key alone";
            self.problem(path, "no key", hint);
            return None;
        };
        let private_key = self.secret(private_key, &format!("{path}.private_key"))?;
        let password = self.password(yaml.password, path)?;
        Some(SigningSource::Bare { private_key, password })
    }

    /// Where a certificate and its key are.
    fn identity_source(&mut self, yaml: IdentityYaml, path: &str) -> Option<IdentitySource> {
        let password = self.password(yaml.password, path)?;
        match (yaml.certificate, yaml.private_key, yaml.pkcs12) {
            (Some(certificate), Some(key), None) => {
                let private_key = self.secret(key, &format!("{path}.private_key"))?;
                let certificate = PathBuf::from(certificate.file);
                Some(IdentitySource::Pem { certificate, private_key, password })
            }
            (None, None, Some(FileRef { file })) => {
                let file = PathBuf::from(file);
                self.warn_of_readers(Some(&file), &format!("{path}.pkcs12"));
                Some(IdentitySource::Pkcs12 { file, password })
            }
            _ => {
                let what = "expected certificate and private_key, or pkcs12";
                self.problem(path, what, "");
                None
            }
        }
    }

    /// The password, which may be left out; nothing when it is given and cannot be read.
    #[allow(clippy::option_option, reason = "left out is not the same as wrong")]
    fn password(
        &mut self,
        yaml: Option<SecretRef>,
        path: &str,
    ) -> Option<Option<crate::secret::SecretSource>> {
        match yaml {
            None => Some(None),
            Some(yaml) => self.secret(yaml, &format!("{path}.password")).map(Some),
        }
    }
}

fn name(yaml: &CredentialYaml) -> &'static str {
    match yaml {
        CredentialYaml::ClientAssertion(_) => "client_assertion",
        CredentialYaml::ClientSecret(_) => "client_secret",
        CredentialYaml::ClientSecretBasic(_) => "client_secret_basic",
        CredentialYaml::ClientSecretPost(_) => "client_secret_post",
        CredentialYaml::PrivateKeyJwt(_) => "private_key_jwt",
        CredentialYaml::TlsClientAuth(_) => "tls_client_auth",
        CredentialYaml::SelfSignedTlsClientAuth(_) => "self_signed_tls_client_auth",
        CredentialYaml::WorkloadIdentity => "workload_identity",
    }
}

const READ_AGAIN: &str = "mend what it names; it is read again for every token request";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const MAX_LIFETIME: std::time::Duration = std::time::Duration::from_secs(600);
