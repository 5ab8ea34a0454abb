//! NAV's mock-oauth2-server with the two issuers in `mock.json`: `people`, where callers get their
//! tokens, and `services`, where Vicar gets others for them.
//!
//! It knows the grants but checks neither secrets nor signatures. Its worth is that its tokens say
//! what it understood: those of `services` repeat the form's fields in the claim `asked`.

use std::{net::SocketAddr, process::Command, sync::OnceLock};

use serde_json::Value;

use crate::{
    plain_http,
    process::ScratchGuard,
    server::{Server, folder, java, neighbour},
};

/// A running mock.
#[derive(Debug)]
pub(crate) struct Mock {
    pub(crate) server: Server,
}

impl Mock {
    /// The one that all tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<Mock, String>> = OnceLock::new();
        match SHARED.get_or_init(Self::start) {
            Ok(mock) => mock,
            Err(reason) => panic!("mock-oauth2-server did not start: {reason}"),
        }
    }

    fn start() -> Result<Self, String> {
        Ok(Self { server: Server::start("/people/.well-known/openid-configuration", command)? })
    }

    /// One of its two issuers.
    pub(crate) fn issuer(&self, name: &str) -> String {
        format!("http://{}/{name}", self.server.address)
    }

    /// Gives a token as a person gets it.
    pub(crate) fn token_of(&self, person: &str) -> String {
        self.token(&[("grant_type", "password"), ("username", person), ("password", "any")])
    }

    /// Gives a token as an application gets it.
    pub(crate) fn token_of_an_application(&self) -> String {
        self.token(&[("grant_type", "client_credentials")])
    }

    fn token(&self, form: &[(&str, &str)]) -> String {
        let client = [("client_id", "front"), ("client_secret", "any")];
        let form = [client.as_slice(), form].concat();
        let answer = plain_http::post(self.server.address, "/people/token", &form);
        let answer = answer.expect("the mock answers");
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}")).to_owned()
    }
}

/// The command that its image runs.
fn command(address: SocketAddr, _: &ScratchGuard) -> Command {
    let mut command = java();
    command
        .arg("-cp")
        .arg(folder().join("jars/*"))
        .arg("no.nav.security.mock.oauth2.StandaloneMockOAuth2ServerKt")
        .env("SERVER_HOSTNAME", address.ip().to_string())
        .env("SERVER_PORT", address.port().to_string())
        .env("JSON_CONFIG_PATH", neighbour("mock.json"));
    command
}
