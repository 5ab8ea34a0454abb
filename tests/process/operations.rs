//! What operations see: metrics, the access log, and a log that nobody reads.

mod access_log;
mod metrics;
mod on_behalf;
mod output;

use crate::party::{DeadPort, Party};

/// A Vicar with a route `r` that needs a token, a route `dead` whose upstream is gone, and a route
/// `hosts` for every host below `.routed.test`; the one client is `c`.
fn yaml(authority: &Party, upstream: &Party, dead: &DeadPort) -> String {
    format!(
        "\
admin: {{ address: 'ADMIN' }}
listeners:
  l: {{ address: 'LISTENER' }}
clients:
  c:
    authority: {{ token_endpoint: 'http://{authority}/' }}
    client_id: c
    credential: {{ client_secret: {{ danger_inline: only-for-this-test }} }}
    warm_up: false
routes:
  - name: r
    listener: l
    match: {{ path: /r }}
    token: {{ client_credentials: {{ client: c }} }}
    upstream: 'http://{upstream}'
  - name: dead
    listener: l
    match: {{ path: /dead }}
    token: strip
    upstream: 'http://{dead}'
  - name: hosts
    listener: l
    match: {{ host: '*.routed.test' }}
    token: strip
    upstream: 'http://{upstream}'
",
        authority = authority.address,
        upstream = upstream.address,
        dead = dead.address,
    )
}
