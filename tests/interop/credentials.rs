//! Every way in which a client proves itself with a key, at an authority that nobody here wrote.
//!
//! `provider.mjs` knows each client by its public key or its certificate and refuses an assertion
//! that it has seen before; `openssl` makes the keys, in each of the forms that Vicar reads. What
//! reaches the upstream is judged by `jose`, as in `main`.

mod key_forms;
mod world;

use serde_json::{Value, json};

use self::world::{Client, Reach, World, call};
use crate::{
    assert_problem,
    openssl::{Keys, Kind},
};

#[test]
fn private_key_jwt_with_rs256_carries_a_valid_token() {
    assertion_carries_a_valid_token("RS256", Kind::Rsa);
}

#[test]
fn private_key_jwt_with_ps256_carries_a_valid_token() {
    assertion_carries_a_valid_token("PS256", Kind::Rsa);
}

#[test]
fn private_key_jwt_with_es256_carries_a_valid_token() {
    assertion_carries_a_valid_token("ES256", Kind::P256);
}

#[test]
fn private_key_jwt_with_eddsa_carries_a_valid_token() {
    assertion_carries_a_valid_token("EdDSA", Kind::Ed25519);
}

#[test]
fn tls_client_auth_carries_a_valid_token() {
    let keys = Keys::new();
    keys.issue("app", Kind::Rsa);
    certificate_carries_a_valid_token(keys, "tls_client_auth");
}

#[test]
fn self_signed_tls_client_auth_carries_a_valid_token() {
    let keys = Keys::new();
    keys.self_signed("app", Kind::P256);
    certificate_carries_a_valid_token(keys, "self_signed_tls_client_auth");
}

#[test]
fn an_unknown_key_is_a_502_that_tells_the_caller_nothing() {
    let keys = Keys::new();
    keys.issue("app", Kind::P256);
    keys.issue("another", Kind::P256);
    let credential = pair(&keys, "private_key_jwt", "another", "");
    let world = World::new(keys, &[assertion_client("app", "ES256")]);
    refused_in_silence(&world, &Client::new("app", "app", Reach::Discovery, &credential));
}

/// A certificate of the right name that the authority's own certificate authority has not issued.
#[test]
fn a_certificate_from_elsewhere_is_a_502_that_tells_the_caller_nothing() {
    let keys = Keys::new();
    keys.issue("app", Kind::P256);
    let known = keys.text("app.crt");
    keys.self_signed("app", Kind::P256);
    keys.write("known.crt", &known);
    let credential = pair(&keys, "tls_client_auth", "app", "");
    let client = json!({ "id": "app", "method": "tls_client_auth", "certificate": "known.crt" });
    let world = World::new(keys, &[client]);
    refused_in_silence(&world, &Client::new("app", "app", Reach::Discovery, &credential));
}

/// The first credential of the list is one that the authority does not know.
#[test]
fn a_refused_credential_is_followed_by_the_next_in_the_same_call() {
    let keys = Keys::new();
    keys.issue("app", Kind::P256);
    keys.issue("another", Kind::P256);
    let [first, second] = ["another", "app"].map(|key| pair(&keys, "private_key_jwt", key, ""));
    let credential = format!("[{first}, {second}]");
    let world = World::new(keys, &[assertion_client("app", "ES256")]);
    let client = Client::new("app", "app", Reach::Discovery, &credential);
    let proxy = world.vicar(std::slice::from_ref(&client));
    let answer = call(&proxy, &client);
    assert_eq!(answer.status, 200, "{answer:?}; vicar said:\n{}", proxy.log());
    assert_eq!(world.authority.token_requests(), 2, "one is refused and one is not");
    assert_eq!(world.authority.last()["status"], 200);
}

/// A pair of PEM files: by discovery and by the endpoint's address, with either audience.
fn assertion_carries_a_valid_token(algorithm: &str, kind: Kind) {
    let keys = Keys::new();
    keys.issue("app", kind);
    let with = |more: &str| {
        pair(&keys, "private_key_jwt", "app", &format!(", algorithm: {algorithm}{more}"))
    };
    let issuer = with(", audience: issuer");
    let endpoint = with(", audience: token_endpoint");
    let world = World::new(keys, &[assertion_client("app", algorithm)]);
    let clients = [
        Client::new("by-discovery", "app", Reach::Discovery, &endpoint),
        Client::new("to-the-issuer", "app", Reach::Discovery, &issuer),
        Client::new("by-address", "app", Reach::TokenEndpoint, &endpoint),
    ];
    let proxy = world.vicar(&clients);
    for client in &clients {
        let last = world.assert_good_token(&proxy, client);
        assert_eq!(last["authentication"], json!(["private_key_jwt"]), "{last}");
        assert_eq!(last["tls"], false, "the endpoint for certificates is not for this: {last}");
    }
}

/// A certificate in the handshake: at the endpoint that metadata name for it (RFC 8705 section 5), and
/// at an address.
fn certificate_carries_a_valid_token(keys: Keys, method: &str) {
    let fingerprint = keys.fingerprint("app");
    let credential = pair(&keys, method, "app", "");
    let client = json!({ "id": "app", "method": method, "certificate": "app.crt" });
    let world = World::new(keys, &[client]);
    let clients = [
        Client::new("by-discovery", "app", Reach::Discovery, &credential),
        Client::new("by-address", "app", Reach::MutualTls, &credential),
    ];
    let proxy = world.vicar(&clients);
    for client in &clients {
        let last = world.assert_good_token(&proxy, client);
        assert_eq!(last["authentication"], json!([]), "nothing but the certificate: {last}");
        assert_eq!(last["certificate"], fingerprint.as_str(), "{last}");
        assert_eq!(last["form"]["client_id"], "app", "RFC 8705 section 2: {last}");
    }
}

/// A refused credential: a problem with our own words only, and nothing goes upstream.
fn refused_in_silence(world: &World, client: &Client) {
    let proxy = world.vicar(std::slice::from_ref(client));
    let answer = call(&proxy, client);
    let last = world.authority.last();
    assert_eq!(last["status"], 401, "the authority refuses the client: {last}");
    assert_eq!(answer.status, 502, "{answer:?}; vicar said:\n{}", proxy.log());
    assert_problem(&serde_json::from_str(&answer.body).expect("the problem is JSON"));
    let error = last["error"].as_str().expect("an error code");
    for forbidden in [error, world.authority.about("words"), world.authority.about("issuer")] {
        assert!(!answer.raw.contains(forbidden), "{forbidden:?} reached the caller: {answer:?}");
    }
    assert!(world.upstream.heads().is_empty(), "a request without its token goes nowhere");
}

/// A credential of a method that is a chain and a key, both PEM, as YAML; `more` begins with a comma.
fn pair(keys: &Keys, method: &str, name: &str, more: &str) -> String {
    let (certificate, key) =
        (keys.file(&format!("{name}.chain")), keys.file(&format!("{name}.key")));
    format!("{{ {method}: {{ certificate: {certificate}, private_key: {key}{more} }} }}")
}

/// A client of that id that signs with the key of `app.crt`.
fn assertion_client(id: &str, algorithm: &str) -> Value {
    json!({ "id": id, "method": "private_key_jwt", "algorithm": algorithm, "certificate": "app.crt" })
}
