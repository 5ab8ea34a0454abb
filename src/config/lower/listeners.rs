//! `listeners:` and `admin:`, and each listener's routes.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Lowering;
use crate::config::ListenerConfig;
use crate::config::schema::{AdminYaml, ListenerYaml, ModeYaml, RouteYaml, ServerTlsYaml};
use crate::listener::{BindAddress, ConnectionLimits, ServerTls};
use crate::proxy::{ResourceMetadata, RouteSpec};
use crate::route;

/// What a route must know of its listener.
pub(super) struct ListenerFacts {
    /// What it is to its callers, if it says so.
    pub(super) resource: Option<ResourceMetadata>,
    /// Whether callers show certificates.
    pub(super) certificates: bool,
    /// Whether others than this machine can reach it.
    pub(super) open: bool,
}

impl Lowering<'_> {
    /// The admin address, when there is one.
    pub(super) fn admin(&mut self, yaml: &AdminYaml) -> Option<BindAddress> {
        if yaml.address == "off" {
            return None;
        }
        self.bind_address(&yaml.address, "admin.address")
    }

    /// Every listener with its routes, checked against each other.
    pub(super) fn listeners(
        &mut self,
        listeners: BTreeMap<String, ListenerYaml>,
        routes: Vec<RouteYaml>,
    ) -> Vec<ListenerConfig> {
        if listeners.is_empty() {
            self.problem("listeners", "no listener", "give at least one");
        }
        let facts = self.facts(&listeners);
        let mut by_listener = self.routes(routes, &facts);
        let mut seen = HashSet::new();
        let mut lowered = Vec::new();
        for (name, yaml) in listeners {
            let path = format!("listeners.{name}");
            if !yaml.address.ends_with(":0") && !seen.insert(yaml.address.clone()) {
                let what = "another listener has this address";
                self.problem(&format!("{path}.address"), what, "");
            }
            let routes = by_listener.remove(&name).unwrap_or_default();
            self.conflicts(&routes);
            let resource = facts.get(&name).and_then(|facts| facts.resource.clone());
            let resource = resource.map(|r| r.of_routes(routes.iter().map(|(_, spec)| spec)));
            lowered.extend(self.listener(name, yaml, resource, routes, &path));
        }
        lowered
    }

    /// What the routes of each listener must know of it.
    fn facts(
        &mut self,
        listeners: &BTreeMap<String, ListenerYaml>,
    ) -> BTreeMap<String, ListenerFacts> {
        let mut facts = BTreeMap::new();
        for (name, yaml) in listeners {
            let resource = yaml.resource.as_ref().and_then(|resource| {
                let url = self.secure_url(resource, &format!("listeners.{name}.resource"))?;
                Some(ResourceMetadata::new(&url))
            });
            let certificates = yaml.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
            // One that is no address is reported where it is bound.
            let open = yaml.address.parse::<SocketAddr>();
            let open = open.is_ok_and(|address| !address.ip().is_loopback());
            facts.insert(name.clone(), ListenerFacts { resource, certificates, open });
        }
        facts
    }

    fn listener(
        &mut self,
        name: String,
        yaml: ListenerYaml,
        resource: Option<ResourceMetadata>,
        routes: Vec<(usize, RouteSpec)>,
        path: &str,
    ) -> Option<ListenerConfig> {
        let ModeYaml::Reverse = yaml.mode;
        if yaml.limits.header_bytes.0 < 8192 {
            let limit_path = format!("{path}.limits.header_bytes");
            self.problem(&limit_path, "less than 8KiB", "tokens alone can be larger");
        }
        for (key, zero) in [
            ("connections", yaml.limits.connections == 0),
            ("headers", yaml.limits.headers == 0),
            ("streams", yaml.limits.streams == 0),
        ] {
            if zero {
                self.problem(&format!("{path}.limits.{key}"), "a limit of zero lets nobody in", "");
            }
        }
        let address = self.bind_address(&yaml.address, &format!("{path}.address"));
        let tls = match yaml.tls {
            Some(tls) => Some(self.server_tls(tls, &format!("{path}.tls"))?),
            None => None,
        };
        Some(ListenerConfig {
            name,
            address: address?,
            tls,
            limits: ConnectionLimits {
                connections: yaml.limits.connections,
                header_bytes: yaml.limits.header_bytes.0,
                headers: yaml.limits.headers.into(),
                streams: yaml.limits.streams,
                header_timeout: yaml.timeouts.header.0,
                idle_timeout: yaml.timeouts.idle.0,
            },
            resource,
            routes: routes.into_iter().map(|(_, spec)| spec).collect(),
        })
    }

    fn server_tls(&mut self, yaml: ServerTlsYaml, path: &str) -> Option<ServerTls> {
        let (_, key) = self.identity(&yaml.certificate, yaml.private_key, path)?;
        let client_ca = yaml.client_ca.map(|ca| PathBuf::from(ca.file));
        let tls = ServerTls::new(yaml.certificate.file.into(), key, client_ca);
        self.accept(path, tls, "")
    }

    fn bind_address(&mut self, text: &str, path: &str) -> Option<BindAddress> {
        if let Some(socket) = text.strip_prefix("unix:") {
            if !socket.starts_with('/') {
                self.problem(path, "not an absolute path", "write unix:/run/vicar/app.sock");
                return None;
            }
            return Some(BindAddress::Unix(socket.into()));
        }
        let hint = "write 127.0.0.1:8001, [::1]:8001, 0.0.0.0:8001 or unix:/path";
        let address = text.parse::<SocketAddr>().map_err(|_| "not an address and port");
        self.accept(path, address, hint).map(BindAddress::Tcp)
    }

    /// Two routes that some request would match with equal right are a problem.
    fn conflicts(&mut self, routes: &[(usize, RouteSpec)]) {
        let matchers: Vec<_> = routes.iter().map(|(_, spec)| &spec.matcher).collect();
        for (one, other) in route::conflicts(&matchers) {
            let (first, second) = (&routes[one], &routes[other]);
            let what = format!("matches the same requests as `{}`", first.1.name);
            let hint = "no order decides between routes; make one of them more specific";
            self.problem(&format!("routes[{}]", second.0), what, hint);
        }
    }
}
