//! The assertions that Vicar signs, as others read them.
//!
//! A token endpoint keeps what the real binary sends, and fails at first, so that there are two
//! tries. `jose` verifies each assertion with the certificate's key, Node's own cryptography says
//! what the certificate's digests are (`verify_assertions.mjs`). Every header field and every claim
//! must be the expected one, and there may be no other.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    openssl::{Algorithms, Keys, Kind, PASSWORD},
    program::{self, folder},
    proxy::{Place, Proxy, quoted},
    recorder::Recorder,
    upstream::Upstream,
};

/// A way to configure a client, and what must come of it.
struct Row {
    name: &'static str,
    /// The files whose key signs: NAME.crt and, where there is one, the issuer's.
    signer: &'static str,
    /// What stands under `private_key_jwt`, as YAML.
    yaml: String,
    algorithm: &'static str,
    /// The header besides `alg` and `typ`; texts that begin with `=` stand for what Node says.
    header: Value,
    /// The claims besides those that every assertion has.
    claims: Value,
    audience: Option<&'static str>,
    lifetime: u64,
}

#[test]
fn each_try_has_a_new_assertion_that_others_can_read() {
    let keys = made();
    let rows = rows(&keys);
    let recorder = Recorder::start();
    let upstream = Upstream::start();
    let proxy = Proxy::configured(|place| configuration(&rows, &recorder, &upstream, place));
    let mut ids = BTreeSet::new();
    for row in &rows {
        let answer = proxy.get(&format!("/{}", row.name), "");
        assert_eq!(answer.status, 200, "{}: {answer:?}; vicar:\n{}", row.name, proxy.log());
        let assertions: Vec<String> = recorder.take().iter().map(|r| assertion(&r.body)).collect();
        assert_eq!(assertions.len(), 2, "{}: one try and another", row.name);
        for read in row.read(&keys, &recorder, &assertions) {
            row.assert_header(&read);
            row.assert_claims(&read, &recorder);
            let id = read["claims"]["jti"].as_str().expect("a text").to_owned();
            assert!(ids.insert(id), "{}: an assertion that was sent before: {read}", row.name);
        }
        let log = proxy.log();
        for secret in assertions.iter().map(String::as_str).chain([PASSWORD, "PRIVATE KEY"]) {
            assert!(!log.contains(secret), "{}: {secret:?} is in the log", row.name);
        }
    }
    assert_eq!(ids.len(), 2 * rows.len());
}

impl Row {
    /// What others say about each assertion.
    fn read(&self, keys: &Keys, recorder: &Recorder, assertions: &[String]) -> Vec<Value> {
        let chain = [format!("{}.crt", self.signer), "issuer.crt".to_owned()];
        let line = |assertion: &String| {
            json!({
                "assertion": assertion,
                "chain": chain.each_ref().map(|file| keys.path(file)),
                "algorithm": self.algorithm,
                "client_id": CLIENT_ID,
                "audience": self.audience(recorder),
            })
            .to_string()
        };
        let lines: Vec<String> = assertions.iter().map(line).collect();
        let mut node = std::process::Command::new("node");
        node.arg(folder().join("verify_assertions.mjs"));
        let answers = program::ask(node, &lines);
        assert_eq!(answers.len(), lines.len(), "one answer for each assertion; see above");
        answers
            .iter()
            .map(|answer| serde_json::from_str(answer).expect("a line of JSON"))
            .inspect(|read: &Value| assert_eq!(read["refused"], Value::Null, "{}", self.name))
            .collect()
    }

    /// Exactly the expected fields.
    fn assert_header(&self, read: &Value) {
        let chain = &read["chain"];
        let said = |text: &str| match text {
            "=sha1" => chain[0]["sha1"].clone(),
            "=sha256" => chain[0]["sha256"].clone(),
            "=x5c" => json!([chain[0]["der"], chain[1]["der"]]),
            text => text.into(),
        };
        let mut expected = json!({ "alg": self.algorithm, "typ": "JWT" });
        for (name, value) in self.header.as_object().expect("an object") {
            expected[name] = said(value.as_str().expect("a text"));
        }
        assert_eq!(read["header"], expected, "{}", self.name);
    }

    /// Exactly the expected claims, the times as whole numbers (RFC 7523 section 3).
    fn assert_claims(&self, read: &Value, recorder: &Recorder) {
        let claims = &read["claims"];
        let mut expected = Map::new();
        for (name, value) in self.claims.as_object().expect("an object") {
            expected.insert(name.clone(), value.clone());
        }
        for (name, value) in [("aud", self.audience(recorder).as_str()), ("iss", CLIENT_ID)] {
            expected.insert(name.to_owned(), value.into());
        }
        expected.insert("sub".to_owned(), CLIENT_ID.into());
        let [issued, expires] =
            ["iat", "exp"].map(|name| claims[name].as_u64().expect("a whole number"));
        assert_eq!(expires - issued, self.lifetime, "{}: {claims}", self.name);
        assert!(is_uuid(claims["jti"].as_str().unwrap_or_default()), "{}: {claims}", self.name);
        for name in ["iat", "exp", "jti"] {
            expected.insert(name.to_owned(), claims[name].clone());
        }
        assert_eq!(*claims, Value::Object(expected), "{}", self.name);
    }

    /// Whom the assertion is for: the token endpoint unless the configuration says otherwise.
    fn audience(&self, recorder: &Recorder) -> String {
        let endpoint = || format!("http://{}/{}/token", recorder.address, self.name);
        self.audience.map_or_else(endpoint, str::to_owned)
    }
}

/// The one assertion of a form (RFC 7521 section 4.2).
pub(crate) fn assertion(body: &str) -> String {
    let value = |wanted: &str| {
        let pairs = url::form_urlencoded::parse(body.as_bytes());
        let mut values = pairs.filter(|(name, _)| name == wanted).map(|(_, value)| value);
        let first = values.next().unwrap_or_else(|| panic!("no {wanted}")).into_owned();
        assert_eq!(values.next(), None, "{wanted} comes twice");
        first
    };
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    assert_eq!(value("client_assertion_type"), kind);
    value("client_assertion")
}

/// Whether it is a UUID, in the form of RFC 9562 section 4.
pub(crate) fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = |character: char| character == '-' || character.is_ascii_hexdigit();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(hex)
}

/// A key of each kind with a chain, in the forms that the rows need.
fn made() -> Keys {
    let keys = Keys::new();
    for (name, kind) in [("rsa", Kind::Rsa), ("ec", Kind::P256), ("ed", Kind::Ed25519)] {
        keys.issue(name, kind);
    }
    keys.pkcs12("rsa", Algorithms::Modern);
    keys.jwk("ed", KEY_ID);
    keys
}

fn rows(keys: &Keys) -> Vec<Row> {
    let rsa =
        format!("certificate: {}, private_key: {}", keys.file("rsa.chain"), keys.file("rsa.key"));
    let ec = format!("certificate: {}, private_key: {}", keys.file("ec.crt"), keys.file("ec.key"));
    let pfx = format!(
        "pkcs12: {}, password: {{ danger_inline: {} }}",
        keys.file("rsa.pfx"),
        quoted(PASSWORD)
    );
    let row = |name, signer, yaml, algorithm, header| Row {
        name,
        signer,
        yaml,
        algorithm,
        header,
        claims: json!({}),
        audience: None,
        lifetime: 300,
    };
    vec![
        row("plain", "rsa", rsa.clone(), "RS256", json!({ "x5t#S256": "=sha256" })),
        Row {
            claims: json!({ "department": "sales" }),
            audience: Some("https://sso.example/another"),
            lifetime: 600,
            ..row(
                "full",
                "rsa",
                format!(
                    "{rsa}, algorithm: PS256, thumbprint: sha1, x5c: true, key_id: {KEY_ID}, \
                     audience: 'https://sso.example/another', lifetime: 10m, \
                     claims: {{ department: sales }}, headers: {{ ver: two }}"
                ),
                "PS256",
                json!({ "kid": KEY_ID, "ver": "two", "x5c": "=x5c", "x5t": "=sha1" }),
            )
        },
        row(
            "pkcs12",
            "rsa",
            format!("{pfx}, algorithm: RS512, x5c: true"),
            "RS512",
            json!({ "x5c": "=x5c", "x5t#S256": "=sha256" }),
        ),
        row("none", "ec", format!("{ec}, thumbprint: none"), "ES256", json!({})),
        row(
            "jwk",
            "ed",
            format!("private_key: {}", keys.file("ed.jwk")),
            "EdDSA",
            json!({ "kid": KEY_ID }),
        ),
    ]
}

/// A client and a route for each row.
fn configuration(
    rows: &[Row],
    recorder: &Recorder,
    upstream: &Upstream,
    place: &Place<'_>,
) -> String {
    let client = |row: &Row| {
        format!(
            "  {name}:
    authority: {{ token_endpoint: 'http://{}/{name}/token' }}
    client_id: {CLIENT_ID}
    credential: {{ private_key_jwt: {{ {} }} }}
    warm_up: false
",
            recorder.address,
            row.yaml,
            name = row.name
        )
    };
    let route = |row: &Row| {
        format!(
            "  - name: {name}
    listener: outbound
    match: {{ path: /{name} }}
    token: {{ client_credentials: {{ client: {name}, scopes: [reports.read] }} }}
    upstream: http://{}
",
            upstream.address,
            name = row.name
        )
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
        rows.iter().map(client).collect::<String>(),
        rows.iter().map(route).collect::<String>()
    )
}

const CLIENT_ID: &str = "2b9d7a10-53c4-4e8f-8a6b-71f0c3d2e5a9";

const KEY_ID: &str = "key-of-2026";
