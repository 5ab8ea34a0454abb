//! Every form of key that Vicar reads, with the algorithm that it takes when none is named.
//!
//! Part of `credentials`.

use serde_json::{Value, json};

use super::world::{Client, Reach, World};
use crate::{
    openssl::{Algorithms, Keys, Kind, PASSWORD},
    proxy::quoted,
};

/// One form; the client that uses it has its name.
struct Form {
    name: &'static str,
    /// What stands under `private_key_jwt`, as YAML, with names of files in `<` and `>`.
    yaml: &'static str,
    /// The only algorithm that the authority takes from it.
    algorithm: &'static str,
    /// Which key it is; the authority has its public half.
    key: &'static str,
}

#[test]
fn every_form_of_key_is_read() {
    let keys = made();
    let registered: Vec<Value> = FORMS.iter().map(Form::registered).collect();
    let clients: Vec<Client> = FORMS
        .iter()
        .map(|form| Client::new(form.name, form.name, Reach::Discovery, &form.credential(&keys)))
        .collect();
    let world = World::new(keys, &registered);
    let proxy = world.vicar(&clients);
    for client in &clients {
        let last = world.assert_good_token(&proxy, client);
        assert_eq!(last["authentication"], json!(["private_key_jwt"]), "{}: {last}", client.name);
    }
}

impl Form {
    fn registered(&self) -> Value {
        json!({
            "id": self.name,
            "method": "private_key_jwt",
            "algorithm": self.algorithm,
            "key_id": KEY_ID,
            "public_key": format!("{}.pub", self.key),
        })
    }

    fn credential(&self, keys: &Keys) -> String {
        let mut yaml = String::new();
        for part in self.yaml.split_inclusive('>') {
            let (before, file) = part.split_once('<').unwrap_or((part, ""));
            yaml.push_str(before);
            match file.trim_end_matches('>') {
                "" => {}
                file => yaml.push_str(&keys.file(file)),
            }
        }
        let yaml = yaml.replace("PASSWORD", &format!("{{ danger_inline: {} }}", quoted(PASSWORD)));
        format!("{{ private_key_jwt: {{ {} }} }}", yaml.replace("KEY_ID", KEY_ID))
    }
}

/// A key of each kind in all its forms.
fn made() -> Keys {
    let keys = Keys::new();
    for (name, kind) in [("rsa", Kind::Rsa), ("ec", Kind::P256), ("ed", Kind::Ed25519)] {
        keys.issue(name, kind);
        keys.encrypt(name);
        keys.jwk(name, KEY_ID);
        keys.publish(name);
    }
    for name in ["rsa", "ec"] {
        keys.traditional(name);
    }
    for (name, algorithms) in [("rsa", Algorithms::Modern), ("ec", Algorithms::Legacy)] {
        keys.pkcs12(name, algorithms);
    }
    keys
}

/// What the keys are called at the authority, which takes no other name for them.
const KEY_ID: &str = "key-of-2026";

const FORMS: &[Form] = &[
    Form {
        name: "pkcs8-rsa",
        yaml: "certificate: <rsa.crt>, private_key: <rsa.key>",
        algorithm: "RS256",
        key: "rsa",
    },
    Form {
        name: "pkcs8-ed",
        yaml: "certificate: <ed.crt>, private_key: <ed.key>",
        algorithm: "EdDSA",
        key: "ed",
    },
    Form {
        name: "pkcs1",
        yaml: "certificate: <rsa.chain>, private_key: <rsa.traditional>",
        algorithm: "RS256",
        key: "rsa",
    },
    Form {
        name: "sec1",
        yaml: "certificate: <ec.chain>, private_key: <ec.traditional>",
        algorithm: "ES256",
        key: "ec",
    },
    Form {
        name: "encrypted-rsa",
        yaml: "certificate: <rsa.crt>, private_key: <rsa.encrypted>, password: PASSWORD",
        algorithm: "RS256",
        key: "rsa",
    },
    Form {
        name: "encrypted-ec",
        yaml: "certificate: <ec.crt>, private_key: <ec.encrypted>, password: PASSWORD",
        algorithm: "ES256",
        key: "ec",
    },
    Form {
        name: "pkcs12",
        yaml: "pkcs12: <rsa.pfx>, password: PASSWORD",
        algorithm: "RS256",
        key: "rsa",
    },
    Form {
        name: "pkcs12-legacy",
        yaml: "pkcs12: <ec.pfx>, password: PASSWORD",
        algorithm: "ES256",
        key: "ec",
    },
    Form {
        name: "bare-rsa",
        yaml: "private_key: <rsa.key>, key_id: KEY_ID, algorithm: PS256",
        algorithm: "PS256",
        key: "rsa",
    },
    Form {
        name: "bare-ed-encrypted",
        yaml: "private_key: <ed.encrypted>, password: PASSWORD, key_id: KEY_ID",
        algorithm: "EdDSA",
        key: "ed",
    },
    Form { name: "jwk-rsa", yaml: "private_key: <rsa.jwk>", algorithm: "RS256", key: "rsa" },
    Form { name: "jwk-ec", yaml: "private_key: <ec.jwk>", algorithm: "ES256", key: "ec" },
    Form { name: "jwk-ed", yaml: "private_key: <ed.jwk>", algorithm: "EdDSA", key: "ed" },
];
