//! Tokens on behalf of callers: by which flow, and what they are asked for.

use std::sync::Arc;

use url::Url;

use super::Lowering;
use super::routes::Near;
use crate::authority::ClientSpec;
use crate::config::schema::{
    ActorYaml, InsteadYaml, JwtBearerYaml, MayActYaml, OnBehalfOfYaml, OneOrManyYaml,
    TenantChoiceYaml, TokenExchangeYaml,
};
use crate::inbound::{IssuerIdentity, IssuerKind};
use crate::proxy::TokenSource;
use crate::token::flow::user::{self, TokenExchange, UserFlow};
use crate::token::{Credit, MayAct, SessionPolicy, TenantChoice, TokenSpec, UserSpec};

/// On which terms a flow is used, whichever of the three it is.
struct Terms {
    client: Arc<ClientSpec>,
    tenant: TenantChoice,
    actor: Option<Arc<TokenSpec>>,
    may_act: MayAct,
    when_app_only: InsteadYaml,
    when_anonymous: InsteadYaml,
    session: Option<SessionPolicy>,
}

impl Terms {
    /// At the client's own tenant, without an actor: what most flows want.
    fn new(
        client: Arc<ClientSpec>,
        when_app_only: InsteadYaml,
        when_anonymous: InsteadYaml,
        session: Option<SessionPolicy>,
    ) -> Self {
        let (tenant, actor, may_act) = (TenantChoice::Configured, None, MayAct::Ignore);
        Self { client, tenant, actor, may_act, when_app_only, when_anonymous, session }
    }
}

impl Lowering<'_> {
    pub(super) fn on_behalf_of(
        &mut self,
        yaml: OnBehalfOfYaml,
        near: &Near<'_>,
        path: &str,
    ) -> Option<TokenSource> {
        self.callers(&yaml.when_app_only, &yaml.when_anonymous, near, path);
        let mut target = self.target(yaml.scopes, Vec::new(), Vec::new(), yaml.parameters, path);
        let client = self.known_client(&yaml.client, path);
        let session = self.session(yaml.session.as_ref(), near, path);
        let client = client?;
        if client.authority.is_entra() {
            self.delegated_scopes(&target.scopes, &format!("{path}.scopes"));
            if session.is_some() && !target.scopes.iter().any(|scope| scope == OFFLINE_ACCESS) {
                // Entra gives a refresh token only then.
                target.scopes.push(OFFLINE_ACCESS.to_owned());
                target.scopes.sort_unstable();
            }
        }
        let tenant = match yaml.tenant {
            TenantChoiceYaml::Configured => TenantChoice::Configured,
            TenantChoiceYaml::Caller => {
                self.callers_tenant(&client, near, &format!("{path}.tenant"));
                TenantChoice::Caller
            }
        };
        let terms = Terms::new(client, yaml.when_app_only, yaml.when_anonymous, session);
        self.user_source(UserFlow::OnBehalfOf(target), Terms { tenant, ..terms }, path)
    }

    pub(super) fn jwt_bearer(
        &mut self,
        yaml: JwtBearerYaml,
        near: &Near<'_>,
        path: &str,
    ) -> Option<TokenSource> {
        self.callers(&yaml.when_app_only, &yaml.when_anonymous, near, path);
        let audience = yaml.audience.into_iter().collect();
        let target = self.target(yaml.scopes, audience, yaml.resource, yaml.parameters, path);
        let client = self.known_client(&yaml.client, path);
        self.not_at_entra(client.as_deref(), path);
        let session = self.session(yaml.session.as_ref(), near, path);
        let terms = Terms::new(client?, yaml.when_app_only, yaml.when_anonymous, session);
        self.user_source(UserFlow::JwtBearer(target), terms, path)
    }

    pub(super) fn token_exchange(
        &mut self,
        yaml: TokenExchangeYaml,
        near: &Near<'_>,
        path: &str,
    ) -> Option<TokenSource> {
        self.callers(&yaml.when_app_only, &yaml.when_anonymous, near, path);
        let audience = match yaml.audience {
            None => Vec::new(),
            Some(OneOrManyYaml::One(audience)) => vec![audience],
            Some(OneOrManyYaml::Many(audiences)) => audiences,
        };
        let target = self.target(yaml.scopes, audience, yaml.resource, yaml.parameters, path);
        let client = self.known_client(&yaml.client, path);
        self.not_at_entra(client.as_deref(), path);
        let session = self.session(yaml.session.as_ref(), near, path);
        let exchange = TokenExchange {
            target,
            subject_token_type: self
                .shown_type(&yaml.subject_token_type, &format!("{path}.subject_token_type"))?,
            requested_token_type: match &yaml.requested_token_type {
                None => None,
                Some(name) => Some(self.requested(name, session.is_some(), path)?),
            },
            actor_token_type: self
                .shown_type(&yaml.actor_token_type, &format!("{path}.actor_token_type"))?,
        };
        let actor = match yaml.actor {
            None => None,
            Some(ActorYaml::ClientCredentials(yaml)) => {
                let path = format!("{path}.actor.client_credentials");
                Some(self.client_credentials(yaml, &path)?)
            }
        };
        let may_act = match yaml.may_act {
            MayActYaml::Ignore => MayAct::Ignore,
            MayActYaml::Honour => MayAct::Honour,
            MayActYaml::Require => MayAct::Require,
        };
        let terms = Terms::new(client?, yaml.when_app_only, yaml.when_anonymous, session);
        self.user_source(UserFlow::TokenExchange(exchange), Terms { actor, may_act, ..terms }, path)
    }

    fn user_source(&mut self, flow: UserFlow, terms: Terms, path: &str) -> Option<TokenSource> {
        let Terms { client, tenant, actor, may_act, when_app_only, when_anonymous, session } =
            terms;
        let has_session = session.is_some();
        let app_only =
            self.instead(when_app_only, has_session, &format!("{path}.when_app_only"))?;
        let anonymous =
            self.instead(when_anonymous, has_session, &format!("{path}.when_anonymous"))?;
        let spec =
            UserSpec { client, flow, tenant, actor, may_act, session, credit: Credit::default() };
        Some(TokenSource::User { spec: Arc::new(spec), app_only, anonymous })
    }

    /// Entra gives a token for one resource; `/.default` stands for everything it was given there.
    fn delegated_scopes(&mut self, scopes: &[String], path: &str) {
        let resources: Vec<&str> = scopes
            .iter()
            .filter(|scope| !RESERVED_SCOPES.contains(&scope.as_str()))
            .map(|scope| scope.rsplit_once('/').map_or("", |(resource, _)| resource))
            .collect();
        let hint = "for example https://graph.microsoft.com/User.Read";
        match resources.as_slice() {
            [] => self.problem(path, "Entra needs a scope", hint),
            [first, rest @ ..] if rest.iter().any(|resource| resource != first) => {
                let what = "Entra issues a token for one resource at a time";
                self.problem(path, what, "make a route for each");
            }
            several => {
                let default = scopes.iter().any(|scope| scope.ends_with("/.default"));
                if default && several.len() > 1 {
                    let what = "/.default stands alone: it asks for everything that was agreed to";
                    self.problem(path, what, "keep it, or the single scopes");
                }
            }
        }
    }

    /// The tenant of a caller is known and trustworthy only where Entra issued its token.
    fn callers_tenant(&mut self, client: &ClientSpec, near: &Near<'_>, path: &str) {
        if !client.authority.is_entra() {
            let what = "only Entra has tenants";
            return self.problem(path, what, "take it out, or use a client at `entra`");
        }
        let names = near.authenticate.iter().flat_map(|authenticate| &authenticate.issuers);
        let issuers: Vec<_> = names.filter_map(|name| self.issuers.get(name)).collect();
        let is_entra = |kind: &IssuerKind| match kind {
            IssuerKind::Jwt(jwt) => matches!(jwt.identity, IssuerIdentity::Entra(_)),
            IssuerKind::Introspection(_) => false,
        };
        if issuers.iter().any(|issuer| !is_entra(&issuer.kind)) {
            let what = "a caller's `tid` means something only where Entra issued the token";
            self.problem(path, what, "let the route accept issuers of kind `entra` alone");
        }
    }

    fn requested(&mut self, name: &str, has_session: bool, path: &str) -> Option<String> {
        let path = format!("{path}.requested_token_type");
        let requested = self.token_type(name, &path)?;
        if requested == user::REFRESH_TOKEN && !has_session {
            let what = "a refresh token is of use to a session alone";
            self.problem(&path, what, "add `session`, or leave it out");
        }
        if has_session && ![user::REFRESH_TOKEN, user::ACCESS_TOKEN].contains(&requested.as_str()) {
            let what = "a session goes on with access tokens, whatever it began with";
            self.problem(&path, what, "access_token or refresh_token, or leave it out");
        }
        Some(requested)
    }

    /// The type of a token that is shown to the server.
    fn shown_type(&mut self, name: &str, path: &str) -> Option<String> {
        let shown = self.token_type(name, path)?;
        if shown == user::REFRESH_TOKEN {
            let what = "neither callers nor Vicar show refresh tokens";
            self.problem(path, what, "access_token, jwt, id_token, or an absolute URI");
        }
        Some(shown)
    }

    /// RFC 8693 section 3: short names for the usual ones, URIs for the rest.
    fn token_type(&mut self, name: &str, path: &str) -> Option<String> {
        let uri = match name {
            "access_token" => user::ACCESS_TOKEN,
            "id_token" => user::ID_TOKEN,
            "jwt" => user::JWT,
            "refresh_token" => user::REFRESH_TOKEN,
            uri if Url::parse(uri).is_ok() => uri,
            _ => {
                let hint = "access_token, jwt, id_token, refresh_token, or an absolute URI";
                self.problem(path, format!("`{name}` is no type of token"), hint);
                return None;
            }
        };
        Some(uri.to_owned())
    }
}

const OFFLINE_ACCESS: &str = "offline_access";
/// Scopes of OpenID Connect, which belong to no resource.
const RESERVED_SCOPES: &[&str] = &["email", OFFLINE_ACCESS, "openid", "profile"];
