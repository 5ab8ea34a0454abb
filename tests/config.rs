//! Configuration files, good and bad, read as a user's would be.
//!
//! - Every file in `config/` loads. `config/full.yaml` has every key, and each default that it
//!   states is the real one. `config/schema.json` is what `vicar schema` prints.
//! - Every `tests/fixtures/invalid/*.yaml` is refused with exactly the text in the `.txt` beside it.
//!   After a change of texts, write them anew and read the difference:
//!   `VICAR_BLESS=1 cargo test --test config`.
//! - No secret shows in what a configuration or its problems print.
//!
//! Nothing here leaves the process, apart from runs of `vicar check` and `vicar schema`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise and reads its own environment"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::Duration;

use granit_parser::{Event, Parser, ScalarStyle, Span};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value as Json, json};
use vicar::authority::{AssertionSource, Method};
use vicar::config::{self, Config, Problems};
use vicar::secret::ExposeSecret as _;

#[test]
fn every_example_loads() {
    let sandbox = Sandbox::new();
    let mut seen = Vec::new();
    for path in files("config", "yaml") {
        let name = file_name(&path);
        let config = sandbox.parse(&name, &read(&path));
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(config.listeners.iter().all(|l| !l.routes.is_empty()), "{name}: an idle listener");
        let output = sandbox.vicar(&["check", &path.display().to_string()]);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("good"), "{name}: {}", text(&output.stdout));
        seen.push(name);
    }
    assert_eq!(seen, ["full.yaml", "gateway.yaml", "minimal.yaml", "sidecar.yaml"]);
}

#[test]
fn examples_need_only_what_they_say() {
    let sandbox = Sandbox::new();
    for path in files("config", "yaml") {
        let (name, text) = (file_name(&path), read(&path));
        // With an empty environment, what is missing is named, and nothing else is wrong.
        let Err(problems) = config::parse(&name, &text, &|_| None) else {
            panic!("{name} has a secret, which cannot be there");
        };
        for problem in &problems.problems {
            let missing = ["is not set", "No such file"].iter().any(|t| problem.what.contains(t));
            assert!(missing, "{problems}");
        }
        // Outside the sandbox files are where a container has them.
        let shown = problems.to_string();
        assert!(!shown.contains(&sandbox.folder.display().to_string()), "{shown}");
        if text.contains("VICAR_SECRETS") {
            assert!(text.contains("${VICAR_SECRETS:-/var/run/secrets/vicar}/"), "{name}");
        }
    }
}

#[test]
fn the_schema_file_is_what_vicar_schema_prints() {
    let sandbox = Sandbox::new();
    let printed = sandbox.vicar(&["schema"]);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let same = read(&root().join("config/schema.json")) == text(&printed.stdout);
    assert!(same, "config/schema.json is old; run: cargo run -- schema > config/schema.json");
}

#[test]
fn full_yaml_has_every_key_and_every_choice() {
    let (schema, text) = (config::json_schema(), read(&root().join("config/full.yaml")));
    let walk = Walk { schema: &schema, comments: BTreeMap::new() };
    let written: BTreeSet<_> = walk.keys(&tree(&text).value).into_iter().map(|k| k.owner).collect();
    let known = all_keys(&schema);
    assert!(known.len() > 80, "the schema has more keys than {}", known.len());
    let missing: Vec<_> = known.difference(&written).collect();
    assert!(missing.is_empty(), "config/full.yaml lacks {missing:?}");
    assert_eq!(written, known, "this test found keys that the schema does not have");
    for choice in all_choices(&schema) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = text.split(|c| !is_word(c)).any(|word| word == choice);
        assert!(named, "config/full.yaml nowhere says that `{choice}` can be chosen");
    }
}

/// A key that is not required and not marked "example" states a default. Without it the meaning
/// must be the same; with another value it must not, or this test would see nothing.
#[test]
fn full_yaml_states_the_real_defaults() {
    let sandbox = Sandbox::new();
    let (schema, text) = (config::json_schema(), read(&root().join("config/full.yaml")));
    let Tree { value, comments } = tree(&text);
    let meaning = |value: &Yaml| {
        let config = sandbox.parse("full.yaml", &value.to_json().to_string());
        let mut config = config.unwrap_or_else(|problems| panic!("{problems}"));
        // They say where they stand, which is another place in another text.
        config.warnings.clear();
        format!("{config:?}")
    };
    let as_written = meaning(&value);
    let keys = Walk { schema: &schema, comments }.keys(&value);
    let mut leaves = 0;
    for key in keys.iter().filter(|key| key.optional && !key.example) {
        let shown = key.shown();
        let without = meaning(&value.changed(&key.path, None));
        assert!(without == as_written, "{shown} in config/full.yaml is not the default");
        if !key.leaf {
            continue;
        }
        leaves += 1;
        match another_value(key) {
            None => assert_eq!(key.owner, "ListenerYaml.mode", "{shown}: has another value?"),
            Some(other) => {
                // A problem is as good: the value has been looked at.
                let changed = value.changed(&key.path, Some(&other)).to_json().to_string();
                let changed = sandbox.parse("full.yaml", &changed);
                let seen = changed.map_or(true, |mut config| {
                    config.warnings.clear();
                    format!("{config:?}") != as_written
                });
                let expected = !UNSEEN.iter().any(|(unseen, _)| *unseen == key.owner);
                assert_eq!(seen, expected, "{shown}: is it seen when the value is {other:?}?");
            }
        }
    }
    assert!(leaves >= 30, "only {leaves} defaults were looked at");
}

#[test]
fn a_wrong_default_in_full_yaml_would_be_noticed() {
    let sandbox = Sandbox::new();
    let (schema, text) = (config::json_schema(), read(&root().join("config/full.yaml")));
    let text = text.replace("streams: 100 ", "streams: 101 ");
    let Tree { value, comments } = tree(&text);
    let keys = Walk { schema: &schema, comments }.keys(&value);
    let streams = keys.iter().find(|key| key.owner == "LimitsYaml.streams").unwrap();
    assert!(streams.optional && !streams.example);
    let without = value.changed(&streams.path, None).to_json().to_string();
    let [written, without] = [text.as_str(), without.as_str()]
        .map(|text| format!("{:?}", sandbox.parse("full.yaml", text).unwrap()));
    assert_ne!(written, without);
}

#[test]
fn every_bad_file_is_refused_with_its_text() {
    let sandbox = Sandbox::new();
    let bless = std::env::var_os("VICAR_BLESS").is_some();
    let mut differences = Vec::new();
    let paths = files("tests/fixtures/invalid", "yaml");
    assert!(paths.len() > 40, "only {} fixtures", paths.len());
    for path in &paths {
        let (name, yaml) = (file_name(path), read(path));
        let Err(problems) = sandbox.parse(&name, &yaml) else { panic!("{name} was accepted") };
        assert_well_formed(&problems, &yaml);
        let shown = sandbox.portable(&problems.to_string());
        let expected_path = path.with_extension("txt");
        if bless {
            fs::write(&expected_path, format!("{shown}\n")).unwrap();
        } else if fs::read_to_string(&expected_path).unwrap_or_default() != format!("{shown}\n") {
            differences.push(format!("--- {name} now gives\n{shown}"));
        }
    }
    let shown = differences.join("\n\n");
    assert!(shown.is_empty(), "texts have changed (VICAR_BLESS=1 accepts):\n{shown}");
    for orphan in files("tests/fixtures/invalid", "txt") {
        assert!(orphan.with_extension("yaml").exists(), "{} has no .yaml", orphan.display());
    }
}

#[test]
fn many_problems_come_at_once() {
    let sandbox = Sandbox::new();
    for name in ["many-of-shape.yaml", "many-of-meaning.yaml"] {
        let yaml = read(&root().join("tests/fixtures/invalid").join(name));
        let problems = sandbox.parse(name, &yaml).unwrap_err().problems;
        assert!(problems.len() >= 10, "{name}: {problems:?}");
    }
}

#[test]
fn check_prints_the_problems_and_exits_with_2() {
    let sandbox = Sandbox::new();
    let path = root().join("tests/fixtures/invalid/duplicate-keys.yaml");
    let output = sandbox.vicar(&["check", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    let expected = read(&path.with_extension("txt"));
    assert_eq!(
        text(&output.stderr).replace(&path.display().to_string(), &file_name(&path)),
        expected
    );
    let output = sandbox.vicar(&["run", "-c", "/nonexistent/vicar.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "/nonexistent/vicar.yaml:1:1: cannot read it: No such file or directory (os error 2)\n    \
         name the file with -c or the environment variable VICAR_CONFIG\n\
         1 problem in /nonexistent/vicar.yaml\n"
    );
}

#[test]
fn load_reads_a_file_by_its_path() {
    let sandbox = Sandbox::new();
    let path = sandbox.folder.join("vicar.yaml");
    fs::write(&path, read(&root().join("tests/fixtures/valid/explicit.yaml"))).unwrap();
    assert_eq!(config::load(&path).unwrap().listeners.len(), 2);
    let problems = config::load(&sandbox.folder.join("absent.yaml")).unwrap_err();
    assert!(problems.to_string().contains("absent.yaml:1:1: cannot read it"), "{problems}");
}

#[test]
fn merge_keys_and_aliases_mean_what_they_stand_for() {
    let sandbox = Sandbox::new();
    let [merged, explicit] = ["merge.yaml", "explicit.yaml"].map(|name| {
        let yaml = read(&root().join("tests/fixtures/valid").join(name));
        format!("{:?}", sandbox.parse(name, &yaml).unwrap_or_else(|problems| panic!("{problems}")))
    });
    assert_eq!(merged, explicit);
}

#[test]
fn a_plain_text_value_keeps_its_form() {
    let sandbox = Sandbox::new();
    let yaml = read(&root().join("config/minimal.yaml")).replace("${AZURE_CLIENT_ID}", "0123");
    assert_eq!(sandbox.parse("octal.yaml", &yaml).unwrap().clients[0].client_id, "0123");
}

/// Hostile or mangled text ends, and soon, in a configuration or in problems that have a place.
#[test]
fn mangled_files_end_in_problems() {
    let lines =
        |range: Range<usize>, line: fn(usize) -> String| -> String { range.map(line).collect() };
    let deep_flow = format!("a: {}", "[".repeat(100_000));
    let deep_block = lines(0..2_000, |i| format!("{}a:\n", " ".repeat(i)));
    let chain = lines(1..2_000, |i| format!("a{i}: &a{i} [*a{}]\n", i - 1));
    let bomb = lines(1..40, |i| format!("b{i}: &b{i} [*b{0}, *b{0}]\n", i - 1));
    let mut texts = vec![
        ("deep flow".to_owned(), deep_flow),
        ("deep block".to_owned(), deep_block),
        ("alias chain".to_owned(), format!("a0: &a0 x\n{chain}")),
        ("doubling aliases".to_owned(), format!("b0: &b0 x\n{bomb}")),
        ("byte order mark".to_owned(), "\u{feff}listeners: 5".to_owned()),
        ("carriage returns".to_owned(), "listeners:\r\n  out:\r\n    adress: x\r\n".to_owned()),
        ("nul".to_owned(), "listeners: \0".to_owned()),
        ("wide characters".to_owned(), "listeners: { ö🦀: { adress: x } }".to_owned()),
    ];
    let full = read(&root().join("config/full.yaml"));
    let lines: Vec<&str> = full.lines().collect();
    for index in 0..lines.len() {
        let without = [&lines[..index], &lines[index + 1..]].concat().join("\n");
        texts.push((format!("full.yaml without line {}", index + 1), without));
    }
    for end in (0..full.len()).step_by(97) {
        let end = (end..full.len()).find(|&end| full.is_char_boundary(end)).unwrap();
        texts.push((format!("full.yaml up to byte {end}"), full[..end].to_owned()));
    }
    let (sender, receiver) = mpsc::channel();
    let total = texts.len();
    let parsing = std::thread::spawn(move || {
        let sandbox = Sandbox::new();
        for (name, yaml) in texts {
            if let Err(problems) = sandbox.parse("mangled.yaml", &yaml) {
                assert_well_formed(&problems, &yaml);
            }
            sender.send(name).unwrap();
        }
    });
    let mut last = "the first".to_owned();
    for done in 0..total {
        // Generous, since test machines are slow; what this catches takes years, or the stack.
        last = receiver
            .recv_timeout(Duration::from_secs(60))
            .unwrap_or_else(|error| panic!("{error} after {last} ({done} of {total})"));
    }
    parsing.join().expect("the sandbox is gone");
}

#[test]
fn no_secret_shows_in_a_configuration_or_its_problems() {
    let sandbox = Sandbox::new();
    for path in files("config", "yaml") {
        let config = sandbox.parse(&file_name(&path), &read(&path)).unwrap();
        sandbox.assert_secretless(&format!("{config:?} {config:#?}"), &file_name(&path));
    }
    for path in files("tests/fixtures/invalid", "yaml") {
        let problems = sandbox.parse(&file_name(&path), &read(&path)).unwrap_err();
        sandbox.assert_secretless(&format!("{problems} {problems:?}"), &file_name(&path));
    }
    let config = sandbox.parse("secrets.yaml", EVERY_SECRET).unwrap();
    sandbox.assert_secretless(&format!("{config:?} {config:#?}"), "a secret of each kind");
    let proxied = |name: &str| match name {
        "https_proxy" | "http_proxy" => Some("http://app:marker-proxy@proxy:3128".to_owned()),
        name => sandbox.environment.get(name).cloned(),
    };
    let config = config::parse("proxied.yaml", EVERY_SECRET, &proxied).unwrap();
    sandbox.assert_secretless(&format!("{config:?} {config:#?}"), "proxies of the environment");
    // The secrets were there to be shown.
    assert_eq!(config.clients.len(), 4);
    for client in &config.clients {
        let (Method::ClientSecret { source, .. }
        | Method::ClientAssertion(AssertionSource::Kept(source))) = client.credentials[0].method()
        else {
            panic!("{} has a secret", client.name);
        };
        assert!(source.read().unwrap().expose_secret().starts_with("marker"), "{}", client.name);
    }
}

#[test]
fn a_secret_that_shows_would_be_noticed() {
    let sandbox = Sandbox::new();
    let key = KeyPair::from_pem(&sandbox.environment["KEY"]).unwrap();
    for leak in
        ["a marker-secret b".to_owned(), key.serialize_pem(), format!("{:?}", key.serialize_der())]
    {
        let noticed = std::panic::catch_unwind(|| sandbox.assert_secretless(&leak, "a leak"));
        assert!(noticed.is_err(), "{leak}");
    }
    sandbox.assert_secretless("nothing", "nothing");
}

/// `{"exp":99999999999}`
const NEVER_EXPIRES: &str = "eyJleHAiOjk5OTk5OTk5OTk5fQ";

/// A file that uses each place where a secret may stand.
const EVERY_SECRET: &str = r#"
listeners:
  tls:
    address: 127.0.0.1:8443
    tls:
      certificate: { file: "${VICAR_SECRETS}/tls/tls.crt" }
      private_key: { env: KEY }
issuers:
  sso:
    oidc: { issuer: https://sso.example }
    audiences: [orders]
    proxy: http://app:marker-proxy@proxy:3128
clients:
  file:
    authority: { token_endpoint: https://sso.example/token, proxy: "http://app:marker-proxy@proxy:3128" }
    client_id: app
    credential: { client_secret: { file: "${VICAR_SECRETS}/orders/secret" } }
  env:
    authority: { entra: { tenant: contoso.onmicrosoft.com } }
    client_id: app
    credential: { client_secret_basic: { env: SECRET } }
  inline:
    authority: { oidc: { issuer: https://kc.example } }
    client_id: app
    credential: { client_secret_post: { danger_inline: marker-inline } }
  expanded:
    authority: { token_endpoint: https://sso.example/token }
    client_id: app
    credential: { client_secret_post: { danger_inline: "${SECRET}" } }
routes:
  - name: a
    listener: tls
    token: { client_credentials: { client: file, scopes: [read] } }
    upstream:
      url: https://a.example
      proxy: http://app:marker-proxy@proxy:3128
      client_certificate:
        certificate: { file: "${VICAR_SECRETS}/tls/tls.crt" }
        private_key: { file: "${VICAR_SECRETS}/tls/tls.key" }
  - name: b
    listener: tls
    match: { host: b }
    authenticate: { issuers: [sso] }
    token: strip
    upstream: https://b.example
"#;

/// Defaults whose other values leave no trace in a `Config`, and where else they are tested.
const UNSEEN: &[(&str, &str)] = &[
    ("AuthorityTimeoutsYaml.connect", "the HTTP library does not show it"),
    (
        "UpstreamSettingsYaml.danger_plaintext_upstream",
        "it only silences a problem: tests/fixtures/invalid/plaintext-token.yaml",
    ),
];

/// A value that differs from the default, of a type that the schema allows.
fn another_value(key: &Key<'_>) -> Option<Json> {
    let variants = variants(key.root, key.schema);
    let format = |name: &str| variants.iter().any(|v| v["format"] == name);
    let written = key.value.as_text();
    let choice = variants.iter().flat_map(|v| constants(v)).find(|choice| *choice != written);
    let by_name = match key.owner.as_str() {
        "AdminYaml.address" => "127.0.0.1:9",
        // Its rules are for people, so the other kind would be a contradiction.
        "AuthenticateYaml.callers" => "users",
        "AuthorityYaml.proxy" | "IssuerYaml.proxy" | "UpstreamSettingsYaml.proxy" => {
            "http://other:3128"
        }
        "InjectYaml.header" => "X-Token",
        "InjectYaml.scheme" => "Token",
        "IssuerYaml.roles_claim" => "groups",
        // Not shorter than `refresh`.
        "KeysYaml.stale" => "20m",
        "AssertionUrlYaml.member" | "OktaYaml.server" | "PrivateKeyJwtYaml.audience" => "other",
        "RewriteYaml.host" => "preserve",
        "TokenExchangeYaml.actor_token_type" | "TokenExchangeYaml.subject_token_type" => "jwt",
        _ => "",
    };
    if !by_name.is_empty() {
        Some(json!(by_name))
    } else if format("vicar-duration") {
        Some(json!("7s"))
    } else if format("vicar-size") {
        Some(json!("17KiB"))
    } else if variants.iter().any(|v| has_type(v, "integer")) {
        Some(json!(7))
    } else if variants.iter().any(|v| has_type(v, "boolean")) {
        Some(json!(written != "true"))
    } else {
        choice.map(Json::from)
    }
}

/// Each problem says what, and where in the file.
fn assert_well_formed(problems: &Problems, yaml: &str) {
    assert!(!problems.problems.is_empty(), "refused without a reason");
    let lines: Vec<&str> = yaml.split('\n').collect();
    for problem in &problems.problems {
        assert!(!problem.what.is_empty(), "{problems}");
        let position = problem.position;
        // The end of the file is one line past the last.
        let width = lines.get(position.line - 1).map_or(0, |line| line.chars().count());
        let inside = position.line <= lines.len() + 1 && position.column <= width + 1;
        assert!(position.line >= 1 && position.column >= 1 && inside, "{problems}");
    }
}

/// A folder with the secrets and certificates that the files refer to, and the environment that
/// leads there. Gone when dropped.
struct Sandbox {
    folder: PathBuf,
    environment: BTreeMap<&'static str, String>,
}

impl Sandbox {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("vicar-config-{:x}", fastrand::u64(..)));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &ca).unwrap();
        let pkcs12 = pkcs12(&key, &leaf);
        let key = key.serialize_pem();
        for (file, content) in [
            ("tls/ca.crt", ca.pem()),
            ("tls/tls.crt", leaf.pem()),
            ("tls/tls.key", key.clone()),
            ("machines.json", KEY_SET.to_owned()),
            ("app/secret", "marker-app\n".to_owned()),
            ("assertion.jwt", format!("marker.{NEVER_EXPIRES}.jwt\n")),
            ("orders/secret", "marker-orders\n".to_owned()),
            ("orders-admin/secret", "marker-orders-admin\n".to_owned()),
            ("reports/secret", "marker-reports\n".to_owned()),
            ("empty", String::new()),
            ("large", "marker".repeat(20_000)),
        ] {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::write(folder.join("orders.pfx"), pkcs12).unwrap();
        let environment = BTreeMap::from([
            ("ASSERTION", format!("marker.{NEVER_EXPIRES}.jwt")),
            ("VICAR_SECRETS", folder.display().to_string()),
            ("AZURE_TENANT_ID", "contoso.onmicrosoft.com".to_owned()),
            ("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555".to_owned()),
            ("AZURE_CLIENT_SECRET", "marker-azure".to_owned()),
            ("REPORTS_SECRET", "marker-reports".to_owned()),
            ("SECRET", "marker-secret".to_owned()),
            ("EMPTY", String::new()),
            ("KEY", key),
        ]);
        Self { folder, environment }
    }

    fn parse(&self, file: &str, text: &str) -> Result<Config, Problems> {
        config::parse(file, text, &|name| self.environment.get(name).cloned())
    }

    /// Runs the real command with this environment and no other.
    fn vicar(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vicar"));
        // The one thing a machine may need to find its own roots.
        let roots = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
        let roots = roots.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(roots).envs(&self.environment);
        command.args(arguments).output().expect("vicar runs")
    }

    /// `text` without the name of this folder, which differs from run to run.
    fn portable(&self, text: &str) -> String {
        text.replace(&self.folder.display().to_string(), "$VICAR_SECRETS")
    }

    fn assert_secretless(&self, text: &str, context: &str) {
        assert!(!text.contains("marker"), "a secret shows in {context}: {text:.2000}");
        // What a debug print of bytes would show of the key, and the key itself.
        let key = &self.environment["KEY"];
        let body: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(body.len() > 1 && body.iter().all(|line| !text.contains(line)), "{context}");
        let bytes = KeyPair::from_pem(key).unwrap().serialize_der();
        let listed = format!("{:?}", &bytes[bytes.len() - 16..]);
        assert!(!text.contains(listed.trim_matches(['[', ']'])), "key bytes in {context}");
    }
}

/// The two in one file, whose password is that of `orders/secret`.
fn pkcs12(key: &KeyPair, certificate: &rcgen::Certificate) -> Vec<u8> {
    use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
    let key = PrivateKey::from_der(key.serialized_der()).unwrap();
    let certificate = Certificate::from_der(certificate.der()).unwrap();
    let chain = PrivateKeyChain::new("1", key, [certificate]);
    let mut store = KeyStore::new();
    store.add_entry("orders", KeyStoreEntry::PrivateKeyChain(chain));
    let writer = store.writer("marker-orders").encryption_iterations(16).mac_iterations(16);
    writer.write().unwrap()
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// YAML as it is written. Only what `config/full.yaml` uses: no anchors, no aliases.
#[derive(Clone, Debug)]
enum Yaml {
    Scalar { text: String, plain: bool },
    List(Vec<Yaml>),
    Map(Vec<(String, usize, Yaml)>),
}

/// A document and the comments to the right of its lines.
struct Tree {
    value: Yaml,
    comments: BTreeMap<usize, String>,
}

/// One step from a value to one inside it.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Item(usize),
}

impl Yaml {
    fn as_text(&self) -> &str {
        if let Self::Scalar { text, .. } = self { text } else { "" }
    }

    /// JSON is YAML, so this is the way back to text.
    fn to_json(&self) -> Json {
        match self {
            Self::Scalar { text, plain } => match (text.parse::<bool>(), plain) {
                (Ok(flag), true) => json!(flag),
                _ => json!(text),
            },
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(entries) => {
                entries.iter().map(|(key, _, value)| (key.clone(), value.to_json())).collect()
            }
        }
    }

    /// A copy with the value at `path` replaced, or its key removed.
    fn changed(&self, path: &[Step], other: Option<&Json>) -> Self {
        let mut copy = self.clone();
        let (last, above) = path.split_last().unwrap();
        let mut node = &mut copy;
        for step in above {
            node = match (step, node) {
                (Step::Key(name), Self::Map(entries)) => {
                    &mut entries.iter_mut().find(|(key, ..)| key == name).unwrap().2
                }
                (Step::Item(index), Self::List(items)) => &mut items[*index],
                _ => unreachable!("the path was made by walking this tree"),
            };
        }
        let (Step::Key(name), Self::Map(entries)) = (last, node) else { unreachable!("a key") };
        match other {
            None => entries.retain(|(key, ..)| key != name),
            Some(other) => {
                let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
                let entry = entries.iter_mut().find(|(key, ..)| key == name).unwrap();
                entry.2 = Self::Scalar { text, plain: true };
            }
        }
        copy
    }
}

fn tree(text: &str) -> Tree {
    let mut comments = BTreeMap::new();
    let mut nodes = Vec::new();
    for event in Parser::new_from_str(text) {
        match event.expect("valid YAML") {
            (Event::Comment(comment, _), span) => {
                comments.insert(span.start.line(), comment.into_owned());
            }
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::Alias(_), _) => panic!("config/full.yaml has no aliases"),
            event => nodes.push(event),
        }
    }
    let value = value(&mut nodes.into_iter()).expect("a document").0;
    Tree { value, comments }
}

/// The next value and its line; none at the end of a collection.
fn value<'e>(events: &mut impl Iterator<Item = (Event<'e>, Span)>) -> Option<(Yaml, usize)> {
    let (event, span) = events.next()?;
    let value = match event {
        Event::Scalar(text, style, ..) => {
            Yaml::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
        }
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            while let Some((item, _)) = value(events) {
                items.push(item);
            }
            Yaml::List(items)
        }
        Event::MappingStart(..) => {
            let mut entries = Vec::new();
            while let Some((key, line)) = value(events) {
                let (value, _) = value(events).expect("a value after its key");
                entries.push((key.as_text().to_owned(), line, value));
            }
            Yaml::Map(entries)
        }
        _ => return None,
    };
    Some((value, span.start.line()))
}

/// A walk over a document and the schema at once.
struct Walk<'a> {
    schema: &'a Json,
    comments: BTreeMap<usize, String>,
}

/// A key of the schema where it stands in a document.
struct Key<'a> {
    /// The schema's type and property, `LimitsYaml.streams`.
    owner: String,
    path: Vec<Step>,
    value: &'a Yaml,
    root: &'a Json,
    schema: &'a Json,
    /// The schema does not require it.
    optional: bool,
    /// Its comment, or that of a key inside its value, says so.
    example: bool,
    /// Its value is a scalar.
    leaf: bool,
}

impl Key<'_> {
    fn shown(&self) -> String {
        let steps = self.path.iter().map(|step| match step {
            Step::Key(name) => format!(".{name}"),
            Step::Item(index) => format!("[{index}]"),
        });
        steps.collect::<String>().trim_start_matches('.').to_owned()
    }
}

impl<'a> Walk<'a> {
    fn keys(&self, document: &'a Yaml) -> Vec<Key<'a>> {
        let mut found = Vec::new();
        self.visit(document, self.schema, "", &[], &mut found);
        found
    }

    fn visit(
        &self,
        value: &'a Yaml,
        schema: &'a Json,
        owner: &str,
        path: &[Step],
        found: &mut Vec<Key<'a>>,
    ) {
        for (owner, variant) in owned_variants(self.schema, schema, owner) {
            match value {
                Yaml::Scalar { .. } => {}
                Yaml::List(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let path = [path, &[Step::Item(index)]].concat();
                        self.visit(item, &variant["items"], &owner, &path, found);
                    }
                }
                Yaml::Map(entries) => {
                    for (name, line, value) in entries {
                        let path = [path, &[Step::Key(name.clone())]].concat();
                        let Some(property) = variant["properties"].get(name) else {
                            if variant["additionalProperties"].is_object() {
                                let schema = &variant["additionalProperties"];
                                self.visit(value, schema, &owner, &path, found);
                            }
                            continue;
                        };
                        let required = variant["required"].as_array();
                        let required = required.is_some_and(|r| r.iter().any(|k| k == name));
                        let index = found.len();
                        found.push(Key {
                            owner: format!("{owner}.{name}"),
                            path: path.clone(),
                            value,
                            root: self.schema,
                            schema: property,
                            optional: !required,
                            example: self.comments.get(line).is_some_and(|c| c.contains("example")),
                            leaf: matches!(value, Yaml::Scalar { .. }),
                        });
                        self.visit(value, property, "", &path, found);
                        let inner = found[index + 1..].iter().any(|key| key.example);
                        found[index].example |= inner;
                    }
                }
            }
        }
    }
}

/// The alternatives of a schema, each with the name of the type that it belongs to.
fn owned_variants<'a>(root: &'a Json, schema: &'a Json, owner: &str) -> Vec<(String, &'a Json)> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return owned_variants(root, target, name);
    }
    match schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        Some(choices) => choices.iter().flat_map(|c| owned_variants(root, c, owner)).collect(),
        None => vec![(owner.to_owned(), schema)],
    }
}

fn variants<'a>(root: &'a Json, schema: &'a Json) -> Vec<&'a Json> {
    owned_variants(root, schema, "").into_iter().map(|(_, variant)| variant).collect()
}

fn constants(schema: &Json) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    listed.chain(schema.get("const")).filter_map(Json::as_str).collect()
}

fn has_type(schema: &Json, name: &str) -> bool {
    schema["type"] == name || schema["type"].as_array().is_some_and(|t| t.iter().any(|t| t == name))
}

/// Every type of the schema, by name; the root's is empty.
fn types(schema: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let defs = schema["$defs"].as_object().unwrap();
    defs.iter().map(|(name, schema)| (name.as_str(), schema)).chain([("", schema)])
}

/// Every key that the schema knows, as `Type.property`.
fn all_keys(schema: &Json) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (name, definition) in types(schema) {
        for (owner, variant) in owned_variants(schema, definition, name) {
            let properties = variant["properties"].as_object().into_iter().flatten();
            keys.extend(properties.map(|(key, _)| format!("{owner}.{key}")));
        }
    }
    keys
}

/// Every word that the schema lets a user choose.
fn all_choices(schema: &Json) -> BTreeSet<&str> {
    let all = types(schema).flat_map(|(name, t)| owned_variants(schema, t, name));
    all.flat_map(|(_, variant)| constants(variant)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with this extension, in order.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == extension));
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The key of RFC 8037 appendix A.
const KEY_SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
