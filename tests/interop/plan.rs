//! The plan of the tests in `main.rs`: one client at one authority, one route to one upstream.

use std::net::SocketAddr;

use crate::{
    plain_http::Answer,
    proxy::{Place, Proxy, quoted},
};

/// What differs between tests.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The key under `authority`, as YAML.
    pub(crate) authority: String,
    pub(crate) client_id: &'a str,
    /// The key under `credential`.
    pub(crate) method: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) upstream: SocketAddr,
}

impl Plan<'_> {
    /// Starts Vicar for this plan.
    pub(crate) fn start(&self) -> Proxy {
        Proxy::configured(|place| configuration(self, place))
    }
}

/// Sends what a legacy application would: plain HTTP, with a credential of its own.
pub(crate) fn call(proxy: &Proxy) -> Answer {
    proxy.get(TARGET, CALLERS_CREDENTIAL)
}

/// The YAML for a plan; the secret is a file, as in a pod.
fn configuration(plan: &Plan<'_>, place: &Place<'_>) -> String {
    let Place { listener, admin, .. } = place;
    let secret = place.file("secret", plan.secret);
    format!(
        "\
admin:
  address: {admin}
listeners:
  outbound:
    address: {listener}
clients:
  reports:
    authority:
      {authority}
    client_id: {client_id}
    credential:
      {method}: {{ file: {secret} }}
routes:
  - name: reports
    listener: outbound
    token:
      client_credentials:
        client: reports
        scopes: [{scope}]
        resource: [{resource}]
    upstream: http://{upstream}
",
        authority = plan.authority,
        client_id = quoted(plan.client_id),
        method = plan.method,
        scope = quoted(plan.scope),
        resource = quoted(plan.resource),
        upstream = plan.upstream,
    )
}

/// What the caller asks for; the upstream must see the same.
pub(crate) const TARGET: &str = "/reports/today?page=1";

/// A credential that must not reach the upstream, in a case of its own.
const CALLERS_CREDENTIAL: &str = "authorization: Basic b2Y6dGhlIGNhbGxlcg==\r\n";
