//! Files of credentials that cannot be used: `vicar check` says which, why, and where it is written down.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::issuer::encode;
use crate::support::pairs::Pair;
use crate::support::vicar::yaml;

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("vicar-files-{:x}", fastrand::u64(..)));
        std::fs::create_dir_all(folder.join("folder")).expect("a folder");
        Self(folder)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), content).expect("writes");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is said of a credential, whose files are in this folder; nothing when it is taken.
fn said(folder: &Path, credential: &str) -> Option<String> {
    let credential = credential.replace("file: ", &format!("file: {}/", folder.display()));
    let text = yaml(
        "token_endpoint: 'https://sso.example/t'",
        &credential,
        "- { name: r, listener: l, token: strip, upstream: 'https://a.example' }",
    );
    vicar::config::parse("test.yaml", &text, &|_| None).err().map(|problems| problems.to_string())
}

fn world() -> Folder {
    let (folder, pair, other) = (Folder::new(), Pair::new(), Pair::new());
    let (expired, alive) = (json!({ "exp": 1 }), json!({ "exp": 99_999_999_999_u64 }));
    let jwt = |claims: String| format!("{}.{}.{}", encode("{}"), encode(claims), encode("s"));
    folder.write("own.crt", pair.certificate());
    folder.write("own.key", pair.key());
    folder.write("other.key", other.key());
    folder.write("two.key", pair.key() + &other.key());
    folder.write("own.pfx", pair.pkcs12("right"));
    folder.write("right", "right\n");
    folder.write("wrong", "wrong\n");
    folder.write("empty", "");
    folder.write("text", "opaque");
    folder.write("expired.jwt", jwt(expired.to_string()));
    folder.write("alive.jwt", jwt(alive.to_string()));
    folder.write("public.jwk", r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#);
    folder.write("secret.jwk", r#"{"kty":"oct","k":"AA","d":"AA"}"#);
    folder
}

#[test]
fn what_is_good_is_taken() {
    let folder = world();
    for credential in [
        "private_key_jwt: { certificate: { file: own.crt }, private_key: { file: own.key } }",
        "private_key_jwt: { pkcs12: { file: own.pfx }, password: { file: right } }",
        "private_key_jwt: { private_key: { file: own.key }, key_id: k }",
        "tls_client_auth: { pkcs12: { file: own.pfx }, password: { file: right } }",
        "client_assertion: { file: alive.jwt }",
    ] {
        assert_eq!(said(&folder.0, credential), None, "{credential}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_its_key() {
    let folder = world();
    let pair = |key: &str| {
        format!(
            "private_key_jwt: {{ certificate: {{ file: own.crt }}, private_key: {{ file: {key} }} }}"
        )
    };
    let bare = |key: &str| format!("private_key_jwt: {{ private_key: {{ file: {key} }} }}");
    let pfx = |file: &str, password: &str| {
        format!(
            "tls_client_auth: {{ pkcs12: {{ file: {file} }}, password: {{ file: {password} }} }}"
        )
    };
    let assertion = |file: &str| format!("client_assertion: {{ file: {file} }}");
    for (credential, file, what) in [
        (pair("other.key"), "other.key", "does not fit the certificate"),
        (pair("two.key"), "two.key", "2 private keys"),
        (pair("own.crt"), "own.crt", "no PEM private key"),
        (pair("absent"), "absent", "No such file"),
        (bare("public.jwk"), "public.jwk", "is a public key"),
        (bare("secret.jwk"), "secret.jwk", "none of RSA, EC, OKP"),
        (bare("text"), "text", "no PEM private key"),
        (pfx("own.pfx", "wrong"), "own.pfx", "password does not open it"),
        (pfx("own.crt", "right"), "own.crt", "not a PKCS#12 file"),
        (pfx("empty", "right"), "empty", "it is empty"),
        (assertion("folder"), "folder", "directory"),
        (assertion("empty"), "empty", "it is empty"),
        (assertion("text"), "text", "not a signed JWT"),
        (assertion("expired.jwt"), "expired.jwt", "has expired"),
    ] {
        let said = said(&folder.0, &credential).unwrap_or_else(|| panic!("taken: {credential}"));
        let method = credential.split(':').next().expect("a method");
        for part in [format!("clients.c.credential.{method}"), format!("/{file}"), what.into()] {
            assert!(said.contains(&part), "{credential}: `{part}` is not in {said}");
        }
    }
}

/// Whatever bytes stand there: a problem, never a panic.
#[test]
fn a_damaged_pkcs12_file_is_a_problem() {
    let folder = Folder::new();
    folder.write("right", "right\n");
    let whole = Pair::new().pkcs12("right");
    let credential = "tls_client_auth: { pkcs12: { file: a.pfx }, password: { file: right } }";
    for at in 0..60 {
        let mut damaged = whole.clone();
        let index = at * whole.len() / 60;
        damaged[index] ^= 0x55;
        folder.write("a.pfx", &damaged);
        if let Some(said) = said(&folder.0, credential) {
            assert!(said.contains("a.pfx"), "{said}");
        }
        folder.write("a.pfx", &whole[..index]);
        assert!(said(&folder.0, credential).is_some(), "{index} bytes of it");
    }
}
