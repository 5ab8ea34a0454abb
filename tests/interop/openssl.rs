//! Keys and certificates of one test, in every form that `openssl` writes.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    authority::SETUP,
    process::ScratchGuard,
    program::{self, folder},
    proxy::quoted,
};

/// A folder of keys, with a certificate authority and one below it that issues for it.
#[derive(Debug)]
pub(crate) struct Keys(ScratchGuard);

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ed25519,
    P256,
    Rsa,
}

impl Keys {
    /// A new folder: `root.crt` has issued `issuer.crt`.
    pub(crate) fn new() -> Self {
        let keys = Self(ScratchGuard::new());
        keys.key("root", Kind::P256);
        let ca = "basicConstraints=critical,CA:TRUE";
        keys.run(&format!("req -x509 -new -key root.key -days 2 -addext {ca} -out root.crt"), ROOT);
        keys.key("issuer", Kind::P256);
        keys.sign("issuer", "root", ca);
        keys
    }

    /// Makes a private key, `NAME.key` (PKCS#8, PEM).
    pub(crate) fn key(&self, name: &str, kind: Kind) {
        let kind = match kind {
            Kind::Ed25519 => "ED25519",
            Kind::P256 => "EC -pkeyopt ec_paramgen_curve:P-256",
            Kind::Rsa => "RSA -pkeyopt rsa_keygen_bits:2048",
        };
        self.run(&format!("genpkey -quiet -algorithm {kind} -out {name}.key"), []);
    }

    /// Makes a key and a certificate from the issuer, `NAME.crt`; `NAME.chain` has both certificates.
    pub(crate) fn issue(&self, name: &str, kind: Kind) {
        self.key(name, kind);
        self.sign(name, "issuer", "subjectAltName=DNS:localhost");
        let chain = [self.text(&format!("{name}.crt")), self.text("issuer.crt")].concat();
        self.0.write(&format!("{name}.chain"), chain);
    }

    /// Makes a key and a certificate that vouches for itself, `NAME.crt`; `NAME.chain` is the same.
    pub(crate) fn self_signed(&self, name: &str, kind: Kind) {
        self.key(name, kind);
        let subject = format!("/O=Example/CN={name}");
        let request = format!("req -x509 -new -key {name}.key -days 2 -out {name}.crt");
        self.run(&request, ["-subj", &subject]);
        self.0.write(&format!("{name}.chain"), self.text(&format!("{name}.crt")));
    }

    /// Signs `NAME.crt` with the key of `issuer`.
    fn sign(&self, name: &str, issuer: &str, extension: &str) {
        let subject = format!("/O=Example/CN={name}");
        let request = format!("req -new -key {name}.key -addext {extension} -out {name}.csr");
        self.run(&request, ["-subj", &subject]);
        self.run(
            &format!(
                "x509 -req -in {name}.csr -CA {issuer}.crt -CAkey {issuer}.key -CAcreateserial \
                 -days 2 -copy_extensions copy -out {name}.crt"
            ),
            [],
        );
    }

    /// Puts a key and its chain into `NAME.pfx` (PKCS#12) with the password.
    pub(crate) fn pkcs12(&self, name: &str, algorithms: Algorithms) {
        let request = format!(
            "pkcs12 -export -in {name}.crt -inkey {name}.key -certfile issuer.crt -out {name}.pfx"
        );
        let password = format!("pass:{PASSWORD}");
        let legacy = (algorithms == Algorithms::Legacy).then_some("-legacy");
        self.run(&request, ["-passout", &password].into_iter().chain(legacy));
    }

    /// Encrypts a key with the password, `NAME.encrypted` (PKCS#8, PEM).
    pub(crate) fn encrypt(&self, name: &str) {
        let request = format!("pkcs8 -topk8 -in {name}.key -out {name}.encrypted");
        self.run(&request, ["-passout", &format!("pass:{PASSWORD}")]);
    }

    /// Writes a key in the older form of its kind, `NAME.traditional`: PKCS#1 or SEC1, PEM.
    pub(crate) fn traditional(&self, name: &str) {
        self.run(&format!("pkey -in {name}.key -traditional -out {name}.traditional"), []);
    }

    /// Writes the public half of a key, `NAME.pub`.
    pub(crate) fn publish(&self, name: &str) {
        self.run(&format!("pkey -in {name}.key -pubout -out {name}.pub"), []);
    }

    /// Writes a key as a JWK with a key id, `NAME.jwk`.
    pub(crate) fn jwk(&self, name: &str, key_id: &str) {
        let mut node = Command::new("node");
        node.arg(folder().join("jwk.mjs")).arg(self.path(&format!("{name}.key"))).arg(key_id);
        let [jwk] = program::ask(node, &[]).try_into().expect("one line");
        self.0.write(&format!("{name}.jwk"), jwk);
    }

    /// The SHA-256 digest of a certificate, as in `AB:CD:…`.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        self.shown(name, "sha256")
    }

    /// The SHA-1 digest of a certificate in hexadecimal, as Microsoft's portal shows it.
    pub(crate) fn sha1(&self, name: &str) -> String {
        self.shown(name, "sha1").replace(':', "")
    }

    fn shown(&self, name: &str, digest: &str) -> String {
        let shown = self.run(&format!("x509 -in {name}.crt -noout -fingerprint -{digest}"), []);
        shown.trim().split_once('=').expect("NAME=DIGEST").1.to_owned()
    }

    /// Writes a file beside the keys.
    pub(crate) fn write(&self, file: &str, text: &str) -> PathBuf {
        self.0.write(file, text)
    }

    /// The text of a file.
    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).expect("a file that was made")
    }

    /// Where a file is.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path(file)
    }

    /// A reference to a file, as YAML.
    pub(crate) fn file(&self, file: &str) -> String {
        let path = self.path(file);
        format!("{{ file: {} }}", quoted(path.to_str().expect("a name in UTF-8")))
    }

    /// Runs `openssl` in the folder: words, then arguments that may hold spaces; what it printed.
    fn run<'a>(&self, words: &str, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let mut command = Command::new("openssl");
        command.args(words.split_whitespace()).args(arguments).current_dir(self.path(""));
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("openssl: {error}. {SETUP}"));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words}: {complaint}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// What a PKCS#12 file is encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithms {
    /// What Windows and older Java wrote: RC2 with 40 bits and Triple DES.
    Legacy,
    /// PBES2 with AES-256.
    Modern,
}

const ROOT: [&str; 2] = ["-subj", "/O=Example/CN=root"];

/// The password of everything that has one.
pub(crate) const PASSWORD: &str = "p4ss w0rd: %+=&'canary77d0";
