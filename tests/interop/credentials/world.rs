//! The parties of a test of `credentials`: an authority that knows its clients, an upstream, and Vicar
//! with a client and a route for each of them.
//!
//! Part of `credentials`.

use serde_json::{Value, json};

use crate::{
    authority::Authority,
    openssl::{Keys, Kind},
    plain_http::Answer,
    proxy::{Place, Proxy, quoted},
    upstream::{GREETING, Upstream, only_bearer_token},
};

/// Everybody but Vicar.
pub(super) struct World {
    pub(super) keys: Keys,
    pub(super) authority: Authority,
    pub(super) upstream: Upstream,
}

/// A client of Vicar's, and the name of its route.
pub(super) struct Client {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) reach: Reach,
    /// What stands under `credential`, as YAML on one line.
    pub(super) credential: String,
    /// What stands under `upstream`; the recording upstream unless it is given.
    pub(super) upstream: Option<String>,
}

/// How Vicar is told where the token endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Discovery,
    /// The endpoint that asks for certificates, by its address.
    MutualTls,
    TokenEndpoint,
}

impl World {
    /// Starts an authority that knows these clients, each as `certified_clients.mjs` wants it.
    pub(super) fn new(keys: Keys, clients: &[Value]) -> Self {
        keys.issue("server", Kind::P256);
        let file = json!({
            "server": { "certificate": "server.chain", "key": "server.key" },
            "ca": "root.crt",
            "clients": clients,
        });
        let authority = Authority::with_clients(&keys.write("clients.json", &file.to_string()));
        Self { keys, authority, upstream: Upstream::start() }
    }

    /// Starts Vicar with these clients.
    pub(super) fn vicar(&self, clients: &[Client]) -> Proxy {
        Proxy::configured(|place| self.configuration(clients, place))
    }

    /// Calls a client's route and wants a token that `jose` accepts, for that client, at the upstream.
    /// The token request, as the authority describes it.
    pub(super) fn assert_good_token(&self, proxy: &Proxy, client: &Client) -> Value {
        let (before, requests) = (self.upstream.heads().len(), self.authority.token_requests());
        let answer = call(proxy, client);
        let log = proxy.log();
        let greeted = answer.status == 200 && answer.body == GREETING;
        let last = self.authority.last();
        assert!(greeted, "{}: {answer:?}; the authority: {last}; vicar:\n{log}", client.name);
        let heads = self.upstream.heads();
        assert_eq!(heads.len(), before + 1, "one call is one request at the upstream: {heads:?}");
        assert_eq!(self.authority.token_requests(), requests + 1, "one miss is one token request");

        let token = only_bearer_token(&heads[before]);
        let audience = self.authority.about("resource");
        let claims = self.authority.verify(token, audience).expect("jose accepts the token");
        assert_eq!(claims["client_id"], client.id.as_str(), "{claims}");
        assert_eq!(claims["scope"], self.authority.about("scope"), "{claims}");
        assert_eq!(last["status"], 200, "{last}");
        assert_eq!(last["basic_form_encoded"], Value::Null, "nothing in the header: {last}");
        for secret in [token, "PRIVATE KEY", crate::openssl::PASSWORD] {
            assert!(!log.contains(secret), "{secret:?} is in the log");
        }
        last
    }

    /// Vicar's YAML.
    fn configuration(&self, clients: &[Client], place: &Place<'_>) -> String {
        let each = |write: fn(&Self, &Client) -> String| -> String {
            clients.iter().map(|client| write(self, client)).collect()
        };
        format!(
            "\
admin: {{ address: {} }}
listeners:
  outbound: {{ address: {} }}
clients:
{}routes:
{}",
            place.admin,
            place.listener,
            each(Self::registration),
            each(Self::route)
        )
    }

    fn registration(&self, client: &Client) -> String {
        let about = |name| quoted(self.authority.about(name));
        let authority = match client.reach {
            Reach::Discovery => format!("oidc: {{ issuer: {} }}", about("issuer")),
            Reach::MutualTls => format!("token_endpoint: {}", about("mtls_token_endpoint")),
            Reach::TokenEndpoint => format!("token_endpoint: {}", about("token_endpoint")),
        };
        format!(
            "  {}:
    authority: {{ {authority}, ca: {} }}
    client_id: {}
    credential: {}
    warm_up: false
",
            client.name,
            self.keys.file("root.crt"),
            quoted(&client.id),
            client.credential,
        )
    }

    fn route(&self, client: &Client) -> String {
        let upstream = format!("http://{}", self.upstream.address);
        format!(
            "  - name: {name}
    listener: outbound
    match: {{ path: /{name} }}
    token:
      client_credentials:
        client: {name}
        scopes: [{}]
        resource: [{}]
    upstream: {}
",
            quoted(self.authority.about("scope")),
            quoted(self.authority.about("resource")),
            client.upstream.as_ref().unwrap_or(&upstream),
            name = client.name,
        )
    }
}

impl Client {
    /// A client whose route goes to the recording upstream.
    pub(super) fn new(name: &str, id: &str, reach: Reach, credential: &str) -> Self {
        let [name, id, credential] = [name, id, credential].map(str::to_owned);
        Self { name, id, reach, credential, upstream: None }
    }
}

/// Calls a client's route.
pub(super) fn call(proxy: &Proxy, client: &Client) -> Answer {
    proxy.get(&format!("/{}", client.name), "")
}
