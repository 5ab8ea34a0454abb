//! `routes[].authenticate:` into [`AuthenticationSpec`]s and the identity headers that go with them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::Lowering;
use super::listeners::ListenerFacts;
use crate::clock::Clock;
use crate::config::check::suggestion;
use crate::config::schema::{
    AuthenticateModeYaml, AuthenticateYaml, CallersYaml, ExistingYaml, InjectYaml, MatchYaml,
    OneOrManyYaml, ProofYaml, ReportOnlyYaml, RouteYaml,
};
use crate::inbound::{
    AuthenticationSpec, Callers, Challenges, IssuerKind, IssuerSpec, Origin, ProofPolicy, Rules,
};
use crate::inject::{IdentityHeaders, Injector, OwnedNames};
use crate::route::PathMatch;

impl Lowering<'_> {
    /// What a route demands of its callers.
    pub(super) fn authenticate(
        &mut self,
        yaml: AuthenticateYaml,
        inject: &InjectYaml,
        matches: &MatchYaml,
        listener: Option<&ListenerFacts>,
        path: &str,
    ) -> Option<Arc<AuthenticationSpec>> {
        let resource = listener.and_then(|listener| listener.resource.as_ref());
        let certificates = listener.is_some_and(|listener| listener.certificates);
        let issuers = self.named_issuers(&yaml.issuers, &format!("{path}.issuers"));
        self.rules_of_text(&yaml, path);
        if !matches!(inject.existing, ExistingYaml::Replace) {
            let what = "this route's callers must send a credential: `authenticate` asks for it";
            let route = path.trim_end_matches(".authenticate");
            self.problem(&format!("{route}.inject.existing"), what, "leave `existing` out");
        }
        let exempt_paths = self.exempt_paths(&yaml.bypass.paths, matches, path);
        let report_only_until = self.report_only(yaml.report_only.as_ref(), path);
        let origin = match (resource, matches.host.as_deref()) {
            (Some(resource), _) => Origin::Public(resource.origin().to_owned()),
            (None, Some(host)) if !host.starts_with('*') => Origin::Matched,
            (None, _) => Origin::Unknown,
        };
        let proof = self.proof(&yaml.proof, &origin, certificates, &format!("{path}.proof"));
        let optional = matches!(yaml.mode, AuthenticateModeYaml::Optional);
        let exempt_preflight = yaml.bypass.preflight;
        let rules = rules(yaml);
        let challenges = Challenges {
            resource_metadata: resource.map(|resource| resource.url().to_owned()),
            scope: rules.scope(),
            app_scope: rules.app_scopes.join(" "),
            proof_required: proof.required,
        };
        Some(Arc::new(AuthenticationSpec {
            issuers: issuers?,
            rules,
            optional,
            exempt_paths,
            exempt_preflight,
            report_only_until,
            proof,
            origin,
            challenges,
        }))
    }

    /// Until when refusals are only reported.
    fn report_only(&mut self, yaml: Option<&ReportOnlyYaml>, path: &str) -> Option<Duration> {
        let until = yaml?.until.end();
        if until > Clock::system().wall() + MAX_REPORT_ONLY {
            let hint = "report_only is a rehearsal; name the day it ends";
            self.problem(&format!("{path}.report_only.until"), "more than 180 days ahead", hint);
        }
        Some(until)
    }

    fn proof(
        &mut self,
        yaml: &ProofYaml,
        origin: &Origin,
        certificates: bool,
        path: &str,
    ) -> ProofPolicy {
        if yaml.max_age.0 > MAX_PROOF_AGE {
            let hint = "each proof is for one request";
            self.problem(&format!("{path}.max_age"), "more than 5m", hint);
        }
        let hint = "set the listener's `resource`, or `match.host` without a wildcard";
        let what = "nothing says what a proof must be for";
        if yaml.nonce && *origin == Origin::Unknown {
            self.problem(&format!("{path}.nonce"), what, hint);
        } else if yaml.required && *origin == Origin::Unknown && !certificates {
            self.problem(&format!("{path}.required"), what, hint);
        }
        ProofPolicy { required: yaml.required, max_age: yaml.max_age.0, nonce: yaml.nonce }
    }

    fn exempt_paths(
        &mut self,
        paths: &[String],
        matches: &MatchYaml,
        path: &str,
    ) -> Vec<PathMatch> {
        let mut exempt_paths = Vec::new();
        let within = matches.path.as_deref().unwrap_or_default().trim_end_matches('/');
        for (at, exempt) in paths.iter().enumerate() {
            let path = format!("{path}.bypass.paths[{at}]");
            if exempt.contains('*') {
                let hint = "a path that ends in a slash stands for all below it: /public/";
                self.problem(&path, "`*` has no meaning here", hint);
                continue;
            }
            let is_prefix = exempt.ends_with('/');
            let parsed =
                if is_prefix { PathMatch::prefix(exempt) } else { PathMatch::exact(exempt) };
            let Some(parsed) = self.accept(&path, parsed, "") else { continue };
            if exempt.trim_end_matches('/') == within && is_prefix {
                let what = "it exempts the whole route";
                self.problem(&path, what, "leave `authenticate` out if that is what you want");
            } else if !exempt.starts_with(within) || matches.path_exact.is_some() {
                self.problem(&path, "this route never sees it", "it must be below `match.path`");
            }
            exempt_paths.push(parsed);
        }
        exempt_paths
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
            let list_path = format!("{path}.{key}");
            if list.is_empty() && self.is_written(&list_path) {
                self.problem(
                    &list_path,
                    "an empty list",
                    "it would let everybody pass; leave it out",
                );
            }
            for (at, text) in list.iter().enumerate() {
                if text.is_empty() || (is_scope && !super::routes::is_scope(text)) {
                    let what = "empty, or with a character that it may not have";
                    let hint = "an entry of the list for each, without spaces in a scope";
                    self.problem(&format!("{path}.{key}[{at}]"), what, hint);
                }
            }
        }
        let claims = format!("{path}.claims");
        if yaml.claims.is_empty() && self.is_written(&claims) {
            self.problem(&claims, "no claim", "it would let everybody pass; leave it out");
        }
        for (claim, values) in &yaml.claims {
            let none = matches!(values, OneOrManyYaml::Many(values) if values.is_empty());
            if claim.is_empty() || none {
                let what = "a claim without a name, or without a value that it may have";
                self.problem(&format!("{path}.claims.{claim}"), what, "for example tid: ID");
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
            if claim.split('.').any(str::is_empty) {
                self.problem(&path, "an empty claim, or an empty part of one", "for example sub");
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
        let canonical = OwnedNames::canonical(header.as_str());
        if has_a_meaning(&canonical) {
            self.problem(path, format!("`{header}` has a meaning of its own"), "choose an X- name");
            return None;
        }
        if !names.insert(canonical) {
            self.problem(path, "two spellings of one name", "upstreams may read them as one");
        }
        Some(header)
    }
}

/// Whether this name, in its canonical spelling, means something to servers or to us.
pub(super) fn has_a_meaning(canonical: &str) -> bool {
    let plain = HeaderName::try_from(canonical).ok();
    plain.as_ref().is_none_or(Injector::may_not_write)
        || RESERVED.contains(&canonical)
        || canonical.starts_with("x-forwarded-")
}

/// The headers that tell an identity on this route.
pub(super) fn identity_names(route: &RouteYaml) -> impl Iterator<Item = &str> {
    let authenticate = route.authenticate.iter();
    authenticate
        .flat_map(|a| a.claims_to_headers.keys().chain(&a.claims_header))
        .map(String::as_str)
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

const RESERVED: &[&str] = &[
    "authorization",
    "client-request-id",
    "cookie",
    "dpop",
    "forwarded",
    "traceparent",
    "tracestate",
    "x-request-id",
];
const MAX_REPORT_ONLY: Duration = Duration::from_secs(180 * 86_400);
const MAX_PROOF_AGE: Duration = Duration::from_secs(300);
