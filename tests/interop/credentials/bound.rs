//! Tokens that are bound to a certificate reach their upstream over that certificate, and no other
//! token does (RFC 8705 section 3).
//!
//! Part of `credentials`.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use super::{
    pair,
    world::{BoundApi, Client, Reach, World, call},
};
use crate::{
    openssl::{Keys, Kind},
    process::poll,
    proxy::Proxy,
};

#[test]
fn a_bound_token_arrives_over_its_certificate_and_others_over_none() {
    let keys = Keys::new();
    keys.issue("bound", Kind::P256);
    keys.issue("announced", Kind::Rsa);
    keys.self_signed("own", Kind::P256);
    keys.issue("free", Kind::P256);
    let digests = ["bound", "announced", "own"].map(|name| keys.digest(name));
    // Whether it is bound stands in the token; `announced` is told so beforehand as well.
    let credentials = [
        pair(&keys, "tls_client_auth", "bound", ""),
        pair(&keys, "tls_client_auth", "announced", ", certificate_bound_tokens: true"),
        pair(&keys, "self_signed_tls_client_auth", "own", ""),
        pair(&keys, "tls_client_auth", "free", ""),
    ];
    let registered = [
        registered("bound", "tls_client_auth", true),
        registered("announced", "tls_client_auth", true),
        registered("own", "self_signed_tls_client_auth", true),
        registered("free", "tls_client_auth", false),
    ];
    let world = World::new(keys, &registered);
    let api = world.bound_api();
    let names = ["bound", "announced", "own", "free"];
    let clients: Vec<Client> = names
        .iter()
        .zip(&credentials)
        .map(|(name, credential)| bound_client(&world, &api, name, credential))
        .collect();
    let proxy = world.vicar(&clients);
    // Twice each, one after the other, so that connections which stay open could be mistaken.
    for _ in 0..2 {
        for (client, digest) in clients.iter().zip(&digests) {
            let seen = seen(&proxy, client);
            assert_eq!(seen["certificate"], digest.as_str(), "{}: {seen}", client.name);
            assert_eq!(seen["bound_to"], digest.as_str(), "{}: {seen}", client.name);
        }
        let seen = seen(&proxy, &clients[3]);
        assert_eq!(seen["certificate"], Value::Null, "nobody asked for it: {seen}");
        assert_eq!(seen["bound_to"], Value::Null, "{seen}");
    }
    assert_eq!(world.authority.token_requests(), 4, "the second round is from the cache");
}

/// The certificate is renewed in place: the old token goes over the old one until the new token is
/// there, which goes over the new one.
#[test]
fn a_token_obtained_after_a_rotation_arrives_over_the_new_certificate() {
    let keys = Keys::new();
    // Two keys and one name, so that the authority knows both.
    keys.issue("app", Kind::P256);
    let (old, old_files) = (keys.digest("app"), files(&keys));
    keys.issue("app", Kind::P256);
    let (new, new_files) = (keys.digest("app"), files(&keys));
    write(&keys, &old_files);
    let credential = pair(&keys, "tls_client_auth", "app", "");
    let mut client = registered("app", "tls_client_auth", true);
    client["lifetime"] = SHORT.into();
    let world = World::new(keys, &[client]);
    let api = world.bound_api();
    let client = bound_client(&world, &api, "app", &credential);
    let proxy = world.vicar(std::slice::from_ref(&client));
    assert_eq!(seen(&proxy, &client)["certificate"], old.as_str());
    write(&world.keys, &new_files);
    // `seen` wants 200 every time: no token may go over another certificate than its own.
    let rotated = poll(ROTATION_LIMIT, || {
        (seen(&proxy, &client)["certificate"] == new.as_str()).then_some(())
    });
    assert!(rotated.is_some(), "the old certificate stays; vicar said:\n{}", proxy.log());
}

/// A client as the authority is told of it; its certificate is the file of its name.
fn registered(name: &str, method: &str, bound: bool) -> Value {
    let certificate = format!("{name}.crt");
    json!({ "id": name, "method": method, "certificate": certificate, "bound": bound })
}

/// A client whose route goes to the API.
fn bound_client(world: &World, api: &BoundApi, name: &str, credential: &str) -> Client {
    let upstream = Some(api.upstream(world));
    Client { upstream, ..Client::new(name, name, Reach::Discovery, credential) }
}

/// What the API saw in a request that it took.
fn seen(proxy: &Proxy, client: &Client) -> Value {
    let answer = call(proxy, client);
    let took = answer.status == 200;
    assert!(took, "{}: {answer:?}; vicar said:\n{}", client.name, proxy.log());
    let seen: Value = serde_json::from_str(&answer.body).expect("the API answers with JSON");
    assert_eq!(seen["client_id"], client.id.as_str(), "{seen}");
    seen
}

/// Certificate and key, as they are now.
fn files(keys: &Keys) -> [String; 2] {
    ["app.chain", "app.key"].map(|file| keys.text(file))
}

/// Swaps both in, one after the other: for a moment they do not belong together.
fn write(keys: &Keys, files: &[String; 2]) {
    for (file, text) in ["app.chain", "app.key"].iter().zip(files) {
        let next = keys.write("next", text);
        fs::rename(next, keys.path(file)).expect("the file is swapped in");
    }
}

/// How long the authority's tokens live, in seconds; renewed at four fifths of it.
const SHORT: u64 = 5;

/// A token's life and some, for a machine under load.
const ROTATION_LIMIT: Duration = Duration::from_secs(30);
