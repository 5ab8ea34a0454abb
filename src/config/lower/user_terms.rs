//! On which terms calls may be made in somebody's name: whose calls they are, what others get instead, and how
//! long the work may go on.

use std::sync::Arc;

use http::HeaderName;

use super::Lowering;
use super::authenticate::has_a_meaning;
use super::routes::Near;
use crate::authority::ClientSpec;
use crate::config::schema::{
    AuthenticateModeYaml, CallersYaml, InsteadYaml, OneOrManyYaml, SessionYaml,
};
use crate::inject::OwnedNames;
use crate::proxy::Instead;
use crate::token::{SessionKey, SessionPolicy, TokenSpec};

impl Lowering<'_> {
    /// Whether the route's callers can be whom the flow is for.
    pub(super) fn callers(
        &mut self,
        when_app_only: &InsteadYaml,
        when_anonymous: &InsteadYaml,
        near: &Near<'_>,
        path: &str,
    ) {
        let Some(authenticate) = near.authenticate else {
            let what = "a token on behalf of a caller needs to know who calls";
            let hint = "add `authenticate: { issuers: [NAME] }` to the route";
            return self.problem(path, what, hint);
        };
        if authenticate.report_only.is_some() {
            let what = "nobody can act on behalf of a caller who would be refused";
            let path = format!("{}.authenticate.report_only", near.path);
            self.problem(&path, what, "rehearse on a route with another token");
        }
        let refused = |instead: &InsteadYaml| matches!(instead, InsteadYaml::Refuse);
        let any = |lists: &[&Vec<String>]| lists.iter().any(|list| !list.is_empty());
        let a = authenticate;
        let for_people = any(&[&a.scopes, &a.any_scope, &a.roles, &a.any_role]);
        let for_applications = any(&[&a.app_roles, &a.any_app_role, &a.app_scopes]);
        if for_people && !for_applications && !refused(when_app_only) {
            let what = "the route's rules are for people, so no application passes them";
            let hint = "add `app_roles` or `app_scopes` for applications, or take this out";
            self.problem(&format!("{path}.when_app_only"), what, hint);
        }
        let claims = &authenticate.claims;
        let names_one = PERSON_CLAIMS
            .iter()
            .any(|claim| matches!(claims.get(*claim), Some(OneOrManyYaml::One(_))));
        if names_one && !refused(when_app_only) {
            let what = "`authenticate.claims` lets nobody pass but one person";
            self.problem(&format!("{path}.when_app_only"), what, "take one of the two out");
        }
        if matches!(authenticate.callers, CallersYaml::Users) && !refused(when_app_only) {
            let what = "no application may call this route";
            let hint = "take it out, or let applications call: `authenticate.callers: any`";
            self.problem(&format!("{path}.when_app_only"), what, hint);
        }
        if matches!(authenticate.callers, CallersYaml::Applications) && refused(when_app_only) {
            let what = "no application gets a token here, and nobody else may call";
            let hint = "let people call, or say in `when_app_only` what applications get";
            self.problem(&format!("{}.authenticate.callers", near.path), what, hint);
        }
        if refused(when_anonymous) {
            return;
        }
        let path = format!("{path}.when_anonymous");
        if matches!(authenticate.mode, AuthenticateModeYaml::Required) {
            let what = "every caller of this route must show a credential";
            self.problem(&path, what, "take it out, or set `authenticate.mode: optional`");
        }
        let open = near.listener.is_some_and(|listener| listener.open && !listener.certificates);
        if matches!(when_anonymous, InsteadYaml::Session) && open {
            let what = "everyone who reaches the listener could go on with a person's session";
            let hint = "bind it to loopback or a Unix socket, or demand certificates";
            self.problem(&path, what, hint);
        }
    }

    /// Entra knows one way of acting on behalf of somebody.
    pub(super) fn not_at_entra(&mut self, client: Option<&ClientSpec>, path: &str) {
        if client.is_some_and(|client| client.authority.is_entra()) {
            self.problem(path, "Entra does not know this flow", "did you mean `on_behalf_of`?");
        }
    }

    pub(super) fn instead(
        &mut self,
        yaml: InsteadYaml,
        has_session: bool,
        path: &str,
    ) -> Option<Instead<Arc<TokenSpec>>> {
        Some(match yaml {
            InsteadYaml::Refuse => Instead::Refuse,
            InsteadYaml::Session => {
                if !has_session {
                    let hint = "add `session: { header: X-Session }` beside it";
                    self.problem(path, "the flow has no session", hint);
                }
                Instead::Session
            }
            InsteadYaml::ClientCredentials(yaml) => Instead::Application(
                self.client_credentials(yaml, &format!("{path}.client_credentials"))?,
            ),
        })
    }

    pub(super) fn session(
        &mut self,
        yaml: Option<&SessionYaml>,
        near: &Near<'_>,
        path: &str,
    ) -> Option<SessionPolicy> {
        let yaml = yaml?;
        let path = format!("{path}.session");
        let key = match (&yaml.header, &yaml.key) {
            (Some(header), None) => {
                let path = format!("{path}.header");
                let header = HeaderName::try_from(header).map_err(|_| "not a header name");
                let header = self.accept(&path, header, "for example X-Session")?;
                if has_a_meaning(&OwnedNames::canonical(header.as_str())) {
                    let what = format!("`{header}` has a meaning of its own");
                    self.problem(&path, what, "choose an X- name");
                }
                SessionKey::Header(header)
            }
            (None, Some(key)) if !key.is_empty() => {
                let claims = near.authenticate.map(|authenticate| &authenticate.claims);
                let is_listed = |claim: &&str| claims.is_some_and(|c| c.contains_key(*claim));
                if !PERSON_CLAIMS.iter().any(is_listed) {
                    let what = "whoever calls first would be the person that everybody acts for";
                    let hint = "list who may call: `authenticate.claims: { sub: [ID, …] }`, for Entra `oid`";
                    self.problem(&format!("{path}.key"), what, hint);
                }
                SessionKey::Fixed(key.clone())
            }
            _ => {
                let hint = "header: X-Session lets calls name it, key: NAME gives the route one";
                self.problem(&path, "expected exactly one of header and key", hint);
                return None;
            }
        };
        let (mut idle, max_age) = (yaml.idle.0, yaml.max_age.0);
        if max_age < idle && !self.is_written(&format!("{path}.idle")) {
            idle = max_age;
        }
        if max_age < idle {
            let what = "longer than the session lasts at most (`max_age`)";
            self.problem(&format!("{path}.idle"), what, "for example idle: 8h, max_age: 24h");
        }
        Some(SessionPolicy { key, idle, max_age })
    }
}

/// Claims that name one person.
const PERSON_CLAIMS: [&str; 2] = ["sub", "oid"];
