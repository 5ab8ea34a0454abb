//! `routes:` into [`RouteSpec`]s.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use url::Url;

use super::Lowering;
use super::authenticate::identity_names;
use super::listeners::ListenerFacts;
use crate::config::check::suggestion;
use crate::config::schema::{
    AuthenticateModeYaml, AuthenticateYaml, ExistingYaml, ForwardedYaml, InjectYaml, MatchYaml,
    RetryYaml, RewriteYaml, RouteYaml, TokenYaml, UpstreamYaml,
};
use crate::forward::{ForwardTimeouts, ForwardedPolicy, HostPolicy, Rewrite};
use crate::inbound::{AuthenticationSpec, Existing, ExistingPolicy, InboundSpec};
use crate::inject::{IdentityHeaders, Injector, OwnedNames};
use crate::proxy::{Recovery, RouteSpec, TokenSource};
use crate::route::{HostMatch, Matcher, PathMatch};

impl Lowering<'_> {
    /// Lowers every route; gives them by listener, each with its index in the file.
    pub(super) fn routes(
        &mut self,
        routes: Vec<RouteYaml>,
        listeners: &BTreeMap<String, ListenerFacts>,
    ) -> HashMap<String, Vec<(usize, RouteSpec)>> {
        let mut names = HashSet::new();
        let mut by_listener: HashMap<String, Vec<_>> = HashMap::new();
        let mut upstreams = HashMap::new();
        let owned = owned_names(&routes);
        if routes.is_empty() {
            self.problem(
                "routes",
                "no route",
                "a listener without routes answers 404 to everything",
            );
        }
        for (index, yaml) in routes.into_iter().enumerate() {
            let path = format!("routes[{index}]");
            if !names.insert(yaml.name.clone()) || yaml.name.is_empty() {
                self.problem(&format!("{path}.name"), "a name of its own is needed", "");
            }
            if !listeners.contains_key(&yaml.listener) {
                let known: Vec<&str> = listeners.keys().map(String::as_str).collect();
                let what = format!("there is no listener `{}`", yaml.listener);
                let hint = suggestion(&yaml.listener, &known);
                self.problem(&format!("{path}.listener"), what, hint);
            }
            let listener = yaml.listener.clone();
            let around = Around { listener: listeners.get(&listener), owned: owned[index].clone() };
            if let Some(spec) = self.route(yaml, &around, &path, &mut upstreams) {
                by_listener.entry(listener).or_default().push((index, spec));
            }
        }
        by_listener
    }

    fn route(
        &mut self,
        yaml: RouteYaml,
        around: &Around<'_>,
        path: &str,
        upstreams: &mut super::upstreams::Known,
    ) -> Option<RouteSpec> {
        let matcher = self.matcher(&yaml.matches, &format!("{path}.match"));
        let carries_token = !matches!(yaml.token, TokenYaml::Strip);
        let near = Near {
            authenticate: yaml.authenticate.as_ref(),
            listener: around.listener,
            path: path.to_owned(),
        };
        let token = self.token(yaml.token, &near, &format!("{path}.token"));
        let inject = self.inject(&yaml.inject, &format!("{path}.inject"), token.as_ref());
        self.attached(token.as_ref(), &yaml.inject.header, &near, around);
        let recovery = self.recovery(&yaml.retry_on, &yaml.retry, path);
        let inbound = self.inbound(yaml.authenticate, &yaml.inject, &yaml.matches, around, path);
        let rewrite = self.rewrite(yaml.rewrite, &yaml.matches, &format!("{path}.rewrite"));
        let keeps_host = rewrite.as_ref().is_some_and(|r| r.host != HostPolicy::Upstream);
        let upstream = self.upstream(
            yaml.upstream,
            &super::upstreams::Use { connect: yaml.timeouts.connect.0, carries_token, keeps_host },
            &format!("{path}.upstream"),
            upstreams,
        );
        let (existing, injector) = inject?;
        let (authentication, identity) = inbound?;
        Some(RouteSpec {
            name: yaml.name.into(),
            matcher: matcher?,
            inbound: authentication
                .map_or(InboundSpec::Unchecked(existing), InboundSpec::Authenticated),
            injector: match token.as_ref().and_then(TokenSource::session_header) {
                Some(header) => injector.with_identity(identity).removing(header.clone()),
                None => injector.with_identity(identity),
            },
            recovery,
            token: token?,
            rewrite: rewrite?,
            forwarded: match yaml.forwarded {
                ForwardedYaml::Replace => ForwardedPolicy::Replace,
                ForwardedYaml::Append => ForwardedPolicy::Append,
                ForwardedYaml::Keep => ForwardedPolicy::Keep,
                ForwardedYaml::Strip => ForwardedPolicy::Strip,
            },
            timeouts: ForwardTimeouts {
                response: yaml.timeouts.response.0,
                idle: yaml.timeouts.idle.0,
            },
            upstream: upstream?,
        })
    }

    /// Whether what is attached, and to whose requests, makes sense on this route.
    fn attached(
        &mut self,
        token: Option<&TokenSource>,
        header: &str,
        near: &Near<'_>,
        around: &Around<'_>,
    ) {
        let path = near.path.as_str();
        let application = matches!(token, Some(TokenSource::Application(_)));
        let attaches = application || matches!(token, Some(TokenSource::User { .. }));
        if attaches && around.owned.contain(header) {
            let what = "a header that tells a caller's identity cannot carry a token as well";
            let hint =
                "it stands in `claims_to_headers` of this route or one beside it; choose another";
            self.problem(&format!("{path}.inject.header"), what, hint);
        }
        let for_anybody =
            |yaml: &AuthenticateYaml| matches!(yaml.mode, AuthenticateModeYaml::Optional);
        let session = token.and_then(TokenSource::session_header);
        let occupied = |name: &HeaderName| {
            around.owned.contain(name.as_str()) || header.eq_ignore_ascii_case(name.as_str())
        };
        if let Some(name) = session.filter(|name| occupied(name)) {
            let what = format!("`{name}` carries something else on this route or one beside it");
            self.problem(&format!("{path}.token"), what, "choose another header for the session");
        }
        if application && near.authenticate.is_some_and(for_anybody) {
            let what = "callers without a token would act with the rights of the client";
            let hint = "leave `mode` out, or name what is open to all in `bypass`";
            self.problem(&format!("{path}.authenticate.mode"), what, hint);
        }
    }

    /// Who may call, and how the upstream learns who it is.
    fn inbound(
        &mut self,
        authenticate: Option<AuthenticateYaml>,
        inject: &InjectYaml,
        matches: &MatchYaml,
        around: &Around<'_>,
        path: &str,
    ) -> Option<(Option<Arc<AuthenticationSpec>>, IdentityHeaders)> {
        let owned = around.owned.clone();
        let Some(yaml) = authenticate else {
            return Some((None, IdentityHeaders::owning(owned)));
        };
        let path = format!("{path}.authenticate");
        let header = yaml.claims_header.as_deref();
        let mut identity = IdentityHeaders::owning(owned);
        self.identity_headers(&mut identity, &yaml.claims_to_headers, header, &path);
        let spec = self.authenticate(yaml, inject, matches, around.listener, &path)?;
        Some((Some(spec), identity))
    }

    fn matcher(&mut self, yaml: &MatchYaml, path: &str) -> Option<Matcher> {
        let host = match &yaml.host {
            None => Some(HostMatch::Any),
            Some(host) => self.accept(
                &format!("{path}.host"),
                HostMatch::parse(host),
                "write api.example, api.example:8443 or *.example",
            ),
        };
        let path_match = match (&yaml.path, &yaml.path_exact) {
            (Some(_), Some(_)) => {
                self.problem(path, "both path and path_exact", "keep one of them");
                None
            }
            (Some(prefix), None) => {
                self.accept(&format!("{path}.path"), PathMatch::prefix(prefix), "")
            }
            (None, Some(exact)) => {
                self.accept(&format!("{path}.path_exact"), PathMatch::exact(exact), "")
            }
            (None, None) => Some(PathMatch::everything()),
        };
        let methods = self.methods(&yaml.methods, &format!("{path}.methods"));
        let headers = self.header_predicates(&yaml.headers, &format!("{path}.headers"));
        Some(Matcher::new(host?, path_match?, methods, headers))
    }

    fn methods(&mut self, names: &[String], path: &str) -> Vec<Method> {
        let mut methods = Vec::new();
        for (index, method) in names.iter().enumerate() {
            if METHODS.contains(&method.as_str()) {
                methods.extend(Method::from_bytes(method.as_bytes()));
            } else {
                let what = "no method that could match; methods are in capitals";
                let hint = suggestion(&method.to_ascii_uppercase(), METHODS);
                self.problem(&format!("{path}[{index}]"), what, hint);
            }
        }
        methods
    }

    fn header_predicates(
        &mut self,
        headers: &BTreeMap<String, String>,
        path: &str,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut predicates = Vec::new();
        for (name, value) in headers {
            let path = format!("{path}.{name}");
            let name = self.accept(&path, HeaderName::try_from(name), "");
            let value = self.accept(&path, HeaderValue::try_from(value), "");
            predicates.extend(name.zip(value));
        }
        predicates
    }

    fn inject(
        &mut self,
        yaml: &InjectYaml,
        path: &str,
        token: Option<&TokenSource>,
    ) -> Option<(ExistingPolicy, Injector)> {
        let header_path = format!("{path}.header");
        let header = HeaderName::try_from(&yaml.header).map_err(|_| "not a header name");
        let header = self.accept(&header_path, header, "")?;
        if Injector::may_not_write(&header) {
            let what = format!("`{header}` belongs to the HTTP connection");
            self.problem(&header_path, what, "");
            return None;
        }
        let injector = Injector::new(header.clone(), &yaml.scheme).map_err(|_| "not a scheme");
        let injector = self.accept(&format!("{path}.scheme"), injector, "")?;
        let existing = match (token, yaml.existing) {
            (Some(TokenSource::Passthrough), _) | (_, ExistingYaml::Keep) => Existing::Keep,
            (_, ExistingYaml::Replace) => Existing::Replace,
            (_, ExistingYaml::Reject) => Existing::Reject,
        };
        if matches!(token, Some(TokenSource::Strip)) && existing == Existing::Keep {
            let what = "`token: strip` cannot keep a credential";
            self.problem(&format!("{path}.existing"), what, "use `token: passthrough`");
        }
        Some((ExistingPolicy::new(header, existing), injector))
    }

    /// What happens when the upstream does not want the token.
    fn recovery(&mut self, retry_on: &[u16], yaml: &RetryYaml, path: &str) -> Recovery {
        for (at, status) in retry_on.iter().enumerate().filter(|(_, status)| **status != 401) {
            let what = format!("{status} says nothing of the token");
            self.problem(&format!("{path}.retry_on[{at}]"), what, "401, or an empty list");
        }
        if yaml.window.0 < Duration::from_secs(1) {
            let what = "an upstream could make Vicar ask for tokens without end";
            self.problem(&format!("{path}.retry.window"), what, "1s and more");
        }
        Recovery {
            on_unauthorized: !retry_on.is_empty(),
            methods: self.methods(&yaml.methods, &format!("{path}.retry.methods")),
            body: yaml.body.0 as usize,
            window: yaml.window.0,
        }
    }

    fn rewrite(&mut self, yaml: RewriteYaml, matches: &MatchYaml, path: &str) -> Option<Rewrite> {
        if yaml.path_prefix.is_some() && matches.path.is_none() {
            let what = "replaces what `match.path` matched, but there is no `match.path`";
            self.problem(&format!("{path}.path_prefix"), what, "");
        }
        let prefix = match yaml.path_prefix {
            Some(prefix) => {
                let checked = PathMatch::prefix(&prefix).map(|_| prefix);
                Some(self.accept(&format!("{path}.path_prefix"), checked, "")?)
            }
            None => None,
        };
        let host = match yaml.host.as_str() {
            "upstream" => HostPolicy::Upstream,
            "preserve" => HostPolicy::Preserve,
            name => {
                let parsed = match HostMatch::parse(name) {
                    Ok(HostMatch::Exact(..)) => {
                        HeaderValue::try_from(name).map_err(|_| "not a host")
                    }
                    _ => Err("not upstream, preserve, or a host"),
                };
                HostPolicy::Fixed(self.accept(&format!("{path}.host"), parsed, "")?)
            }
        };
        Some(Rewrite::new(prefix, host))
    }
}

/// What a token must know of its route.
pub(super) struct Near<'a> {
    pub(super) authenticate: Option<&'a AuthenticateYaml>,
    pub(super) listener: Option<&'a ListenerFacts>,
    pub(super) path: String,
}

/// What a route shares with the others of its listener.
struct Around<'a> {
    listener: Option<&'a ListenerFacts>,
    /// Identity headers that no caller of it may write.
    owned: OwnedNames,
}

/// For each route, the identity headers of its listener and of all routes to the same upstream: what one of
/// them tells an upstream, no caller of another may tell it.
fn owned_names(routes: &[RouteYaml]) -> Vec<OwnedNames> {
    let origin = |route: &RouteYaml| {
        let url = match &route.upstream {
            UpstreamYaml::Url(url) => url,
            UpstreamYaml::Settings(settings) => &settings.url,
        };
        Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
    };
    let origins: Vec<_> = routes.iter().map(origin).collect();
    let owned = |at: usize| {
        let near = |other: &usize| {
            routes[*other].listener == routes[at].listener
                || (origins[*other].is_some() && origins[*other] == origins[at])
        };
        OwnedNames::new((0..routes.len()).filter(near).flat_map(|i| identity_names(&routes[i])))
    };
    (0..routes.len()).map(owned).collect()
}

/// RFC 6749 section 3.3.
pub(super) fn is_scope(text: &str) -> bool {
    let valid = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
    !text.is_empty() && text.bytes().all(valid)
}

/// Methods a reverse proxy serves (RFC 9110 section 9, RFC 5789).
const METHODS: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
