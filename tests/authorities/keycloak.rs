//! Keycloak with the realm in `realm.json`: whom it knows is written there and nowhere else.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, process::Command, sync::OnceLock};

use serde_json::Value;

use crate::{
    plain_http::{self, Answer},
    process::ScratchGuard,
    proxy::Place,
    server::{Server, folder, java, neighbour},
};

/// A running Keycloak.
#[derive(Debug)]
pub(crate) struct Keycloak {
    pub(crate) server: Server,
    realm: Value,
}

/// What a person gets who logs in.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) token: String,
    pub(crate) refresh_token: String,
}

impl Keycloak {
    /// The one that all tests share; what they do there must not be in each other's way.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<Keycloak, String>> = OnceLock::new();
        match SHARED.get_or_init(Self::start) {
            Ok(keycloak) => keycloak,
            Err(reason) => panic!("Keycloak did not start: {reason}"),
        }
    }

    fn start() -> Result<Self, String> {
        let realm = fs::read(neighbour("realm.json")).expect("the realm's file");
        let realm = serde_json::from_slice(&realm).expect("the realm is JSON");
        let server = Server::start("/realms/main/.well-known/openid-configuration", command)?;
        Ok(Self { server, realm })
    }

    /// The issuer of the realm's tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("http://{}/realms/main", self.server.address)
    }

    /// A client's secret.
    pub(crate) fn secret(&self, client: &str) -> &str {
        let clients = self.realm["clients"].as_array().expect("a list of clients");
        let client = clients.iter().find(|known| known["clientId"] == client);
        client.and_then(|client| client["secret"].as_str()).expect("a client of the realm")
    }

    /// Logs a person in (RFC 6749 section 4.3, the shortest way); each time begins a session.
    pub(crate) fn log_in(&self, person: &str) -> Login {
        let people = self.realm["users"].as_array().expect("a list of users");
        let known = people.iter().find(|known| known["username"] == person);
        let password = known.and_then(|known| known["credentials"][0]["value"].as_str());
        let password = password.expect("a user of the realm");
        let form = [("grant_type", "password"), ("username", person), ("password", password)];
        let answer = json(&self.post("front", "/token", &form));
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{answer}"));
        Login { token: text("access_token").into(), refresh_token: text("refresh_token").into() }
    }

    /// Ends a person's session.
    pub(crate) fn log_out(&self, login: &Login) {
        let answer = self.post("front", "/logout", &[("refresh_token", &login.refresh_token)]);
        assert_eq!(answer.status, 204, "logged out: {answer:?}");
    }

    /// Makes a token worthless (RFC 7009).
    pub(crate) fn revoke(&self, token: &str) {
        let answer = self.post("front", "/revoke", &[("token", token)]);
        assert_eq!(answer.status, 200, "the token is revoked: {answer:?}");
    }

    /// Gives a token as an application gets it (RFC 6749 section 4.4).
    pub(crate) fn token_of_an_application(&self) -> String {
        let answer = json(&self.post("front", "/token", &[("grant_type", "client_credentials")]));
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// What the upstream hears when it asks about a token (RFC 7662).
    pub(crate) fn inspect(&self, token: &str) -> Value {
        json(&self.post("inventory", "/token/introspect", &[("token", token)]))
    }

    /// The realm as an issuer, and its middle tiers as clients, in Vicar's configuration.
    pub(crate) fn parties(&self, place: &Place<'_>) -> String {
        let client = |id: &str| {
            format!(
                "  {id}: {{ authority: {{ oidc: {{ issuer: '{}' }} }}, client_id: {id}, \
                 credential: {{ client_secret: {{ file: {} }} }} }}\n",
                self.issuer(),
                place.file(id, self.secret(id)),
            )
        };
        let clients: String = ["orders", "orders-lasting"].map(client).concat();
        format!(
            "issuers:\n  people: {{ keycloak: {{ url: 'http://{}', realm: main }}, \
             audiences: [orders] }}\nclients:\n{clients}",
            self.server.address,
        )
    }

    /// Posts a form in the name of a client.
    fn post(&self, client: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let proof = [("client_id", client), ("client_secret", self.secret(client))];
        let path = format!("/realms/main/protocol/openid-connect{path}");
        plain_http::post(self.server.address, &path, &[proof.as_slice(), form].concat())
            .expect("Keycloak answers")
    }
}

/// The command that `kc.sh start --optimized` ends up with, with a home of its own for each run.
fn command(address: SocketAddr, home: &ScratchGuard) -> Command {
    let installed = folder().join("keycloak");
    for part in ["conf", "lib", "providers", "themes"] {
        symlink(installed.join(part), home.path(part)).expect("a link in a new folder");
    }
    let import = home.path("data/import");
    fs::create_dir_all(&import).expect("a folder for the realm");
    fs::copy(neighbour("realm.json"), import.join("realm.json")).expect("a copy of the realm");
    let mut command = java();
    command
        .arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager")
        .arg("-Dpicocli.disable.closures=true")
        .arg(format!("-Dkc.home.dir={}", home.path("").display()))
        .arg("-cp")
        .arg(home.path("lib/quarkus-run.jar"))
        .args(["io.quarkus.bootstrap.runner.QuarkusEntryPoint", "start", "--optimized"])
        // Anything but `local` looks for other nodes beyond loopback.
        .args(["--import-realm", "--cache=local", "--http-enabled=true"])
        .arg(format!("--http-host={}", address.ip()))
        .arg(format!("--http-port={}", address.port()))
        .arg(format!("--hostname=http://{address}"));
    command
}

/// The body of an answer.
fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("not JSON: {answer:?}"))
}
