//! The authority in `provider.mjs` (npm oidc-provider) and the judge in `verify.mjs` (npm jose).

use std::{
    ffi::OsStr,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    plain_http::{self, Answer},
    process::ChildGuard,
    program::{self, folder},
};

/// A running authority; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Authority {
    address: SocketAddr,
    /// The line it printed when it was ready.
    about: Value,
    _child: ChildGuard,
}

impl Authority {
    /// Starts the provider on a free port and waits for its line.
    pub(crate) fn start() -> Self {
        Self::launch(&[])
    }

    /// Starts the provider with the clients of a file, as `certified_clients.mjs` has them.
    pub(crate) fn with_clients(file: &Path) -> Self {
        Self::launch(&[file.as_os_str()])
    }

    fn launch(arguments: &[&OsStr]) -> Self {
        require_setup();
        let (child, about) = program::serve("provider.mjs", arguments);
        let issuer = about["issuer"].as_str().expect("an issuer");
        let address = issuer.strip_prefix("http://").and_then(|host| host.parse().ok());
        let address = address.expect("an issuer of the form http://IP:PORT");
        Self { address, about, _child: child }
    }

    /// A text the provider announced about itself, such as `issuer`.
    pub(crate) fn about(&self, name: &str) -> &str {
        self.about[name].as_str().expect("a text in the provider's line")
    }

    /// Id and secret of the client registered for an authentication method.
    pub(crate) fn client(&self, method: &str) -> (&str, &str) {
        let client = &self.about["clients"][method];
        let text = |name: &str| client[name].as_str().expect("a client for each method");
        (text("id"), text("secret"))
    }

    /// The resource whose tokens are of this kind: signed with an algorithm, or opaque.
    pub(crate) fn resource(&self, kind: &str) -> &str {
        self.about["resources"][kind].as_str().expect("a resource for each kind of token")
    }

    /// Gives a token as an application gets it (RFC 6749 section 4.4).
    pub(crate) fn token(&self, resource: &str, scope: &str) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", resource), ("scope", scope)];
        let answer = self.post("/token", &form);
        let answer: Value = serde_json::from_str(&answer.body).expect("the answer is JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Gives a token as a person gets it; `page` is one that `provider.mjs` adds.
    pub(crate) fn token_of_a_person(&self, page: &str) -> String {
        self.page(page)["token"].as_str().expect("a token").to_owned()
    }

    /// Makes a token worthless (RFC 7009).
    pub(crate) fn revoke(&self, token: &str) {
        let answer = self.post("/token/revocation", &[("token", token)]);
        assert_eq!(answer.status, 200, "the token is revoked: {answer:?}");
    }

    /// Posts a form in the name of the client that tokens are issued to.
    fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let (id, secret) = self.client("client_secret_post");
        let client = [("client_id", id), ("client_secret", secret)];
        plain_http::post(self.address, path, &[client.as_slice(), form].concat())
            .expect("the authority answers")
    }

    /// How many token requests arrived so far.
    pub(crate) fn token_requests(&self) -> u64 {
        self.page("/_count")["token_requests"].as_u64().expect("a number")
    }

    /// The last token request, as `provider.mjs` describes it.
    pub(crate) fn last(&self) -> Value {
        self.page("/_last")
    }

    /// Reads one of the pages that `provider.mjs` adds for tests.
    fn page(&self, path: &str) -> Value {
        let answer = plain_http::get(self.address, path, "").expect("the authority answers");
        serde_json::from_str(&answer.body).expect("the authority's page is JSON")
    }

    /// Has `jose` check an access token against the published keys; its claims, or why not.
    pub(crate) fn verify(&self, token: &str, audience: &str) -> Result<Value, String> {
        let mut command = Command::new("node");
        command
            .arg(folder().join("verify.mjs"))
            .args([self.about("issuer"), audience])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("node starts");
        let mut stdin = child.stdin.take().expect("a piped stdin");
        // A verifier that left early is judged by its exit, not by the broken pipe.
        drop(stdin.write_all(token.as_bytes()));
        drop(stdin);
        let output = child.wait_with_output().expect("the verifier ends");
        if output.status.success() {
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// Fails with the set-up command unless node and both packages are there.
pub(crate) fn require_setup() {
    let mut node = Command::new("node");
    node.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let node = node.status().is_ok_and(|status| status.success());
    assert!(node, "node is missing. {SETUP}");
    for package in ["oidc-provider", "jose"] {
        let manifest = folder().join("node_modules").join(package).join("package.json");
        assert!(manifest.is_file(), "the npm package {package} is missing. {SETUP}");
    }
}

/// What to do when something is missing.
pub(crate) const SETUP: &str = "The interop tests need Node.js 20 or newer, Python 3, \
    OpenSSL 3 and the packages pinned in tests/interop: install them, then run \
    `just interop-setup` once.";
