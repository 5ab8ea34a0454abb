//! `routes[].authenticate:` into [`AuthenticationSpec`]s and the identity headers that go with them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::Lowering;
use crate::clock::Clock;
use crate::config::check::suggestion;
use crate::config::schema::{
    AuthenticateModeYaml, AuthenticateYaml, CallersYaml, ExistingYaml, InjectYaml, OneOrManyYaml,
    RouteYaml,
};
use crate::inbound::{
    AuthenticationSpec, Callers, Challenges, IssuerKind, IssuerSpec, ProofPolicy, Rules,
};
use crate::inject::{IdentityHeaders, Injector};
use crate::proxy::ResourceMetadata;
use crate::route::PathMatch;

impl Lowering<'_> {
    /// What a route demands of its callers.
    pub(super) fn authenticate(
        &mut self,
        yaml: AuthenticateYaml,
        inject: &InjectYaml,
        resource: Option<&ResourceMetadata>,
        path: &str,
    ) -> Option<Arc<AuthenticationSpec>> {
        let issuers = self.named_issuers(&yaml.issuers, &format!("{path}.issuers"));
        self.rules_of_text(&yaml, path);
        if !matches!(inject.existing, ExistingYaml::Replace) {
            let what = "this route's callers must send a credential: `authenticate` asks for it";
            let route = path.trim_end_matches(".authenticate");
            self.problem(&format!("{route}.inject.existing"), what, "leave `existing` out");
        }
        let mut exempt_paths = Vec::new();
        for (at, exempt) in yaml.bypass.paths.iter().enumerate() {
            let parsed = if exempt.ends_with('/') {
                PathMatch::prefix(exempt)
            } else {
                PathMatch::exact(exempt)
            };
            exempt_paths.extend(self.accept(&format!("{path}.bypass.paths[{at}]"), parsed, ""));
        }
        let report_only_until = yaml.report_only.as_ref().map(|report| report.until.end());
        if report_only_until.is_some_and(|until| until > Clock::system().wall() + MAX_REPORT_ONLY) {
            let until_path = format!("{path}.report_only.until");
            let hint = "report_only is a rehearsal; name the day it ends";
            self.problem(&until_path, "more than 180 days ahead", hint);
        }
        if yaml.proof.max_age.0 > MAX_PROOF_AGE {
            self.problem(
                &format!("{path}.proof.max_age"),
                "more than 5m",
                "each proof is for one request",
            );
        }
        let (required, max_age, nonce) =
            (yaml.proof.required, yaml.proof.max_age.0, yaml.proof.nonce);
        let optional = matches!(yaml.mode, AuthenticateModeYaml::Optional);
        let exempt_preflight = yaml.bypass.preflight;
        let rules = rules(yaml);
        let challenges = Challenges {
            resource_metadata: resource.map(|resource| resource.url().to_owned()),
            scope: rules.scope(),
            proof_required: required,
        };
        Some(Arc::new(AuthenticationSpec {
            issuers: issuers?,
            rules,
            optional,
            exempt_paths,
            exempt_preflight,
            report_only_until,
            proof: ProofPolicy { required, max_age, nonce },
            origin: resource.map(|resource| resource.origin().to_owned()),
            challenges,
        }))
    }

    fn named_issuers(&mut self, names: &[String], path: &str) -> Option<Vec<Arc<IssuerSpec>>> {
        let mut issuers: Vec<Arc<IssuerSpec>> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match self.issuers.get(name).cloned() {
                Some(issuer) => issuers.push(issuer),
                None => self.unknown_issuer(name, &format!("{path}[{at}]")),
            }
        }
        if names.is_empty() {
            self.problem(path, "no issuer", "without one nobody could call");
        }
        let asked = |issuer: &&Arc<IssuerSpec>| matches!(issuer.kind, IssuerKind::Introspection(_));
        if issuers.iter().filter(asked).count() > 1 {
            let hint = "a token would be shown to a server that did not issue it";
            self.problem(path, "more than one issuer by introspection", hint);
        }
        (issuers.len() == names.len() && !issuers.is_empty()).then_some(issuers)
    }

    fn unknown_issuer(&mut self, name: &str, path: &str) {
        // An issuer that is written down but broken has been reported where it stands.
        if self.tree.entry("issuers").is_none_or(|issuers| issuers.node.entry(name).is_none()) {
            let known: Vec<String> = self.issuers.keys().cloned().collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint = suggestion(name, &known);
            self.problem(path, format!("there is no issuer `{name}`"), hint);
        }
    }

    /// Rules that could never be met, or not be named in a challenge.
    fn rules_of_text(&mut self, yaml: &AuthenticateYaml, path: &str) {
        let lists = [
            ("scopes", &yaml.scopes, true),
            ("any_scope", &yaml.any_scope, true),
            ("app_scopes", &yaml.app_scopes, true),
            ("roles", &yaml.roles, false),
            ("any_role", &yaml.any_role, false),
            ("app_roles", &yaml.app_roles, false),
            ("any_app_role", &yaml.any_app_role, false),
            ("client_ids", &yaml.client_ids, false),
        ];
        for (key, list, is_scope) in lists {
            for (at, text) in list.iter().enumerate() {
                if text.is_empty() || (is_scope && !super::routes::is_scope(text)) {
                    let what = "empty, or with a character that it may not have";
                    let hint = "an entry of the list for each, without spaces in a scope";
                    self.problem(&format!("{path}.{key}[{at}]"), what, hint);
                }
            }
        }
        let users = [&yaml.scopes, &yaml.any_scope, &yaml.roles, &yaml.any_role];
        let applications = [&yaml.app_roles, &yaml.any_app_role, &yaml.app_scopes];
        let any = |lists: &[&Vec<String>]| lists.iter().any(|list| !list.is_empty());
        let contradiction = match yaml.callers {
            CallersYaml::Any => None,
            CallersYaml::Users => any(&applications).then_some("applications"),
            CallersYaml::Applications => any(&users).then_some("people"),
        };
        if let Some(kind) = contradiction {
            let what = format!("there are rules for {kind}, which may not call");
            self.problem(&format!("{path}.callers"), what, "leave it out, or leave the rules out");
        }
    }

    /// The headers a route tells its upstream the caller's identity with.
    pub(super) fn identity_headers(
        &mut self,
        headers: &mut IdentityHeaders,
        claims_to_headers: &BTreeMap<String, String>,
        claims_header: Option<&str>,
        path: &str,
    ) {
        let mut names = HashSet::new();
        for (name, claim) in claims_to_headers {
            let path = format!("{path}.claims_to_headers.{name}");
            if claim.is_empty() {
                self.problem(&path, "an empty claim", "for example sub");
            }
            if let Some(name) = self.identity_header(name, &mut names, &path) {
                headers.add(name, claim);
            }
        }
        if let Some(name) = claims_header {
            let path = format!("{path}.claims_header");
            if let Some(name) = self.identity_header(name, &mut names, &path) {
                headers.add_all(name);
            }
        }
    }

    fn identity_header(
        &mut self,
        name: &str,
        names: &mut HashSet<String>,
        path: &str,
    ) -> Option<HeaderName> {
        let header = HeaderName::try_from(name).map_err(|_| "not a header name");
        let header = self.accept(path, header, "for example X-User-Id")?;
        let taken = Injector::may_not_write(&header) || RESERVED.contains(&header.as_str());
        if taken || header.as_str().starts_with("x-forwarded-") {
            self.problem(path, format!("`{header}` has a meaning of its own"), "choose an X- name");
            return None;
        }
        if !names.insert(IdentityHeaders::canonical(header.as_str())) {
            self.problem(path, "two spellings of one name", "upstreams may read them as one");
        }
        Some(header)
    }
}

/// Every header that tells an identity on one of these routes, in the spelling all are compared in.
pub(super) fn owned_names(routes: &[&RouteYaml]) -> Vec<String> {
    let routes = routes.iter().filter_map(|route| route.authenticate.as_ref());
    let names = routes.flat_map(|a| a.claims_to_headers.keys().chain(&a.claims_header));
    let names: HashSet<_> = names.map(|name| IdentityHeaders::canonical(name)).collect();
    names.into_iter().collect()
}

fn rules(yaml: AuthenticateYaml) -> Rules {
    let values = |values| match values {
        OneOrManyYaml::One(value) => vec![value],
        OneOrManyYaml::Many(values) => values,
    };
    Rules {
        callers: match yaml.callers {
            CallersYaml::Any => Callers::Any,
            CallersYaml::Applications => Callers::Applications,
            CallersYaml::Users => Callers::Users,
        },
        scopes: yaml.scopes,
        any_scope: yaml.any_scope,
        roles: yaml.roles,
        any_role: yaml.any_role,
        app_roles: yaml.app_roles,
        any_app_role: yaml.any_app_role,
        app_scopes: yaml.app_scopes,
        client_ids: yaml.client_ids,
        claims: yaml.claims.into_iter().map(|(name, allowed)| (name, values(allowed))).collect(),
    }
}

const RESERVED: &[&str] =
    &["authorization", "cookie", "dpop", "forwarded", "traceparent", "tracestate"];
const MAX_REPORT_ONLY: Duration = Duration::from_secs(180 * 86_400);
const MAX_PROOF_AGE: Duration = Duration::from_secs(300);
