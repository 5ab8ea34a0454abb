//! Test vectors of others, through the parts that read keys, tokens and claims.
//!
//! `VICAR_VECTORS` names the folder they lie in; without it each test says that it was skipped. What
//! must be accepted is accepted and what must not is not, except where [`policy`] gives a reason. Each
//! test prints its counts: `cargo test --test vectors -- --nocapture`.
//!
//! - Wycheproof: JSON web signatures, keys and sets, and the three signature primitives.
//! - The JOSE cookbook (RFC 7520, 7797, 8037): known answers.
//! - `JSONTestSuite`: what is JSON and what is not.
//! - This project's key-set documents. The project's tokens go through a whole Vicar:
//!   `tests/integration/inbound_vectors.rs`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, reads its own environment and prints its counts"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use vicar::algorithm::Algorithm;
use vicar::inbound::claims::Claims;
use vicar::inbound::jws::{BadJws, Compact, EmbeddedKey};
use vicar::inbound::key::{UnusableKey, VerificationKey};
use vicar::inbound::key_set::{BadKeySet, KeySet, NoKey};

#[test]
fn wycheproof_json_web_signature() {
    json_web("wycheproof/json_web_signature_dev.json");
}

#[test]
fn wycheproof_json_web_key() {
    json_web("wycheproof/json_web_key_dev.json");
}

#[test]
fn wycheproof_json_web_crypto() {
    json_web("wycheproof/json_web_crypto_dev.json");
}

#[test]
fn wycheproof_ecdsa_p256() {
    primitive("wycheproof/ecdsa_secp256r1_sha256_p1363_test.json", Algorithm::Es256, |group| {
        let point = hex(group["publicKey"]["uncompressed"].as_str().unwrap());
        let (x, y) = point[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
    });
}

#[test]
fn wycheproof_ed25519() {
    primitive("wycheproof/ed25519_test.json", Algorithm::EdDsa, |group| {
        let point = hex(group["publicKey"]["pk"].as_str().unwrap());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&point) })
    });
}

#[test]
fn wycheproof_rsa_2048() {
    primitive("wycheproof/rsa_signature_2048_sha256_test.json", Algorithm::Rs256, |group| {
        let [n, e] = ["modulus", "publicExponent"].map(|member| {
            let digits = group["publicKey"][member].as_str().unwrap();
            encode(&hex(digits))
        });
        json!({ "kty": "RSA", "n": n, "e": e })
    });
}

/// There is nothing in Vicar that could verify a MAC; so much is said of those vectors.
#[test]
fn wycheproof_hmac_is_not_applicable() {
    let Some(file) = vectors("wycheproof/hmac_sha256_test.json") else { return };
    for name in ["HS256", "HS384", "HS512"] {
        assert_eq!(Algorithm::named(name), None, "{name}");
    }
    for group in groups(&file) {
        let test = &group["tests"][0];
        let key = hex(test["key"].as_str().unwrap());
        let jwk = json!({ "kty": "oct", "alg": "HS256", "k": encode(&key) });
        let taken = VerificationKey::from_jwk(&jwk.to_string(), &Algorithm::ALL);
        assert_eq!(taken.unwrap_err(), UnusableKey::Private);
    }
    println!("hmac_sha256_test.json: not applicable, no symmetric key is ever taken");
}

/// RFC 7520, 7797 and 8037: each file's token, with the key that made it.
#[test]
fn cookbook_signatures() {
    let mut tally = Tally::default();
    for (file, expected) in [
        ("jws/4_1.rsa_v15_signature.json", Ok(())),
        ("jws/4_2.rsa-pss_signature.json", Ok(())),
        ("jws/4_3.ecdsa_signature.json", Err(BadJws::Algorithm)),
        ("jws/4_4.hmac-sha2_integrity_protection.json", Err(BadJws::Algorithm)),
        ("jws/4_5.signature_with_detached_content.json", Err(BadJws::Algorithm)),
        ("curve25519/jws.json", Ok(())),
        ("rfc7797/hmac-sha2_b64_false.json", Err(BadJws::Forbidden("b64"))),
    ] {
        let Some(example) = vectors(&format!("jose-cookbook/{file}")) else { return };
        let token = example["output"]["compact"].as_str().expect("a token");
        assert_eq!(Compact::parse(token, EmbeddedKey::Refused).map(|_| ()), expected, "{file}");
        let accepted = verifies(token, &public(&example["input"]["key"]));
        assert_eq!(accepted, expected.is_ok(), "{file}");
        tally.count(if accepted { "accepted" } else { "refused" });
        // One changed bit of the payload is noticed.
        if accepted {
            let (head, signature) = token.rsplit_once('.').unwrap();
            let last = if head.ends_with('A') { 'B' } else { 'A' };
            let changed = format!("{}{last}.{signature}", &head[..head.len() - 1]);
            assert!(!verifies(&changed, &public(&example["input"]["key"])), "{file} changed");
        }
    }
    tally.print("jose-cookbook, signatures");
    assert_eq!(tally.of("accepted"), 3);
}

/// Neither an encrypted token nor one in JSON form is a compact signed one.
#[test]
fn cookbook_other_forms() {
    let Some(folder) = folder() else { return };
    let mut tally = Tally::default();
    for path in json_files(&folder.join("jose-cookbook")) {
        let shown = path.display();
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for part in [&file, &file["encrypt"]] {
            for form in ["json", "json_flat"] {
                let Some(token) = part["output"].get(form) else { continue };
                let token = token.to_string();
                let parsed = Compact::parse(&token, EmbeddedKey::Refused);
                assert!(parsed.is_err(), "{shown}: {form}");
                tally.count("JSON form refused");
            }
            let is_encrypted = part.get("encrypting_content").is_some();
            if let Some(token) = part["output"]["compact"].as_str().filter(|_| is_encrypted) {
                let error = Compact::parse(token, EmbeddedKey::Refused).unwrap_err();
                assert_eq!(error, BadJws::Encrypted, "{shown}");
                tally.count("encrypted refused");
            }
        }
    }
    tally.print("jose-cookbook, other forms");
    assert!(tally.of("JSON form refused") >= 30 && tally.of("encrypted refused") >= 10);
}

#[test]
fn cookbook_keys() {
    for (file, expected) in [
        ("3_1.ec_public_key.json", Some(UnusableKey::Elsewhere)),
        ("3_2.ec_private_key.json", Some(UnusableKey::Private)),
        ("3_3.rsa_public_key.json", None),
        ("3_4.rsa_private_key.json", Some(UnusableKey::Private)),
        ("3_5.symmetric_key_mac_computation.json", Some(UnusableKey::Private)),
        ("3_6.symmetric_key_encryption.json", Some(UnusableKey::Private)),
    ] {
        let Some(jwk) = vectors(&format!("jose-cookbook/jwk/{file}")) else { return };
        let taken = VerificationKey::from_jwk(&jwk.to_string(), &Algorithm::ALL);
        assert_eq!(taken.err(), expected, "{file}");
    }
}

/// Each document as it is, and as the value of a claim, since most are no objects.
#[test]
fn json_test_suite() {
    let Some(suite) = vectors("json-parsing/json_test_suite.json") else { return };
    let files = suite["files"].as_object().expect("documents");
    assert!(files.len() > 300, "only {} documents", files.len());
    let mut tally = Tally::default();
    for (name, file) in files {
        let document = json_document(file);
        let wrapped = [b"{\"claim\":", document.as_slice(), b"}"].concat();
        let as_claims = Claims::parse(&document).is_ok();
        let as_claim = Claims::parse(&wrapped).is_ok();
        let is_object = document.trim_ascii_start().starts_with(b"{");
        // A repeated member is read differently by different parsers, so nobody may rely on it.
        let repeats = name.starts_with("y_object_duplicated_key");
        match name.get(..2) {
            Some("y_") if repeats => {
                assert!(!as_claims && !as_claim, "{name} repeats a member and is accepted");
                tally.count("policy: repeated member refused");
            }
            Some("y_") => {
                assert!(as_claim, "{name} is JSON and refused as a claim");
                assert_eq!(as_claims, is_object, "{name}: claims are an object and nothing else");
                tally.count(if is_object { "objects accepted" } else { "others only as a claim" });
            }
            Some("n_") => {
                assert!(!as_claims && !as_claim, "{name} is not JSON and accepted");
                tally.count("not JSON, refused");
            }
            _ => tally.count("either, no panic"),
        }
    }
    tally.print("json_test_suite.json");
}

/// A document as the suite stores it: whole, or as so many repetitions and an end.
fn json_document(file: &Value) -> Vec<u8> {
    if let Some(whole) = file["b64"].as_str() {
        return STANDARD.decode(whole).expect("base64");
    }
    let count = usize::try_from(file["count"].as_u64().expect("a count")).unwrap();
    let text = file["repeat"].as_str().expect("a text").repeat(count);
    [text.as_bytes(), file["then"].as_str().unwrap_or_default().as_bytes()].concat()
}

/// The rules that a document alone can break; what an issuer does over time is an integration test.
#[test]
fn key_set_documents() {
    let Some(file) = vectors("project/jwks_documents_dev.json") else { return };
    let Some(rsa) = vectors("wycheproof/rsa_signature_2048_sha256_test.json") else { return };
    let (one, other) = (&groups(&rsa)[0]["keyJwk"], &groups(&rsa)[1]["keyJwk"]);
    // The documents have stand-ins for key material; real material shows that it is not why.
    let with = |id: &str, material: &[&Value]| {
        let case = file["cases"].as_array().unwrap().iter().find(|case| case["id"] == id);
        let body = case.unwrap_or_else(|| panic!("no case {id}"))["body"].as_str().unwrap();
        let Ok(mut document) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
        let keys = document["keys"].as_array_mut().expect("keys").iter_mut();
        for (key, material) in keys.filter(|key| key["kty"] == "RSA").zip(material) {
            key["n"] = material["n"].clone();
            key["e"] = material["e"].clone();
        }
        document.to_string()
    };
    let parse = |document: &str| KeySet::parse(document.as_bytes(), &Algorithm::ALL, None);
    for (id, material, expected) in [
        ("oct-in-set", vec![], BadKeySet::Private),
        ("private-member", vec![one], BadKeySet::Private),
        ("enc-use", vec![one], BadKeySet::Empty),
        ("empty", vec![], BadKeySet::Empty),
        ("not-json", vec![], BadKeySet::NotAKeySet),
        ("dup-kid", vec![], BadKeySet::Empty),
    ] {
        assert_eq!(parse(&with(id, &material)).unwrap_err(), expected, "{id}");
    }
    let rest = parse(&with("unknown-kty", &[one])).expect("what is known stays");
    assert_eq!(rest.len(), 1);
    assert!(rest.find(Some("ok"), Algorithm::Rs256).is_ok());
    let doubled = parse(&with("dup-kid", &[one, other])).expect("keys");
    assert_eq!(doubled.find(Some("a"), Algorithm::Rs256).unwrap_err(), NoKey::Ambiguous);
    let repeated = parse(&with("dup-kid", &[one, one])).expect("a key");
    assert!(repeated.find(Some("a"), Algorithm::Rs256).is_ok(), "twice the same is not two");
    let many = format!(r#"{{"keys":[{}]}}"#, vec![r#"{"kty":"RSA"}"#; 10_000].join(","));
    assert_eq!(parse(&many).unwrap_err(), BadKeySet::TooMany);
    println!("jwks_documents_dev.json: 8 documents as their rules say");
}

/// Where the vectors leave the choice, or our rule is another: what we do, and why.
enum Policy {
    /// Taken, though the vectors would refuse it.
    Accepted(&'static str),
    /// Refused, though the vectors would take it.
    Refused(&'static str),
}

fn policy(keys: &[Value], test: &Value) -> Option<Policy> {
    let is_good = test["result"] == "valid";
    let has = |member: &str, value: &str| keys.iter().any(|key| key[member] == value);
    if test.get("jwe").is_some() {
        return Some(Policy::Refused("encrypted tokens are not read"));
    }
    // Good or not: what could be wrong with them is never looked at.
    if keys.iter().all(|key| key["kty"] == "oct") {
        return Some(Policy::Refused(
            "HS*: whoever can verify could sign, so no such key is taken",
        ));
    }
    if is_good && has("crv", "P-521") {
        return Some(Policy::Refused("ES512 is not offered (these keys also say ES521, a slip)"));
    }
    if test["comment"] == "rejectsKeyWithRocaVulnerability" {
        return Some(Policy::Accepted(
            "how a key was made is the affair of its issuer, not of ours",
        ));
    }
    None
}

/// Every test of a file about tokens: a set of keys and a token that one of them may have signed.
fn json_web(name: &str) {
    let Some(file) = vectors(name) else { return };
    let mut tally = Tally::default();
    for group in groups(&file) {
        let keys = public(group.get("public").unwrap_or(&group["private"]));
        for test in group["tests"].as_array().expect("tests") {
            let token = test.get("jws").or(test.get("jwe")).expect("a token");
            let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
            tally.judge(name, test, verifies(&token, &keys), policy(&keys, test));
            // A set that holds the private halves as well is misconfigured, and they count for nothing.
            let private = group.get("private").map(all_keys).unwrap_or_default();
            assert!(!verifies(&token, &private), "{name} {}: by a private key", test["tcId"]);
        }
    }
    tally.print(name);
    assert!(tally.of("valid, accepted") + tally.of("invalid, refused") > 0, "{name} is empty");
}

/// Every test of a file about signatures, with the key as `jwk` makes it and as the file has it, if so.
fn primitive(name: &str, algorithm: Algorithm, jwk: impl Fn(&Value) -> Value) {
    let Some(file) = vectors(name) else { return };
    let mut tally = Tally::default();
    for group in groups(&file) {
        let given = group.get("publicKeyJwk").or(group.get("keyJwk")).cloned();
        let keys: Vec<_> = given
            .into_iter()
            .chain([jwk(group)])
            .map(|jwk| {
                let key = VerificationKey::from_jwk(&jwk.to_string(), &[algorithm]);
                key.unwrap_or_else(|error| panic!("{name}: {error}: {jwk}"))
            })
            .collect();
        for test in group["tests"].as_array().expect("tests") {
            let [message, signature] = ["msg", "sig"].map(|part| hex(test[part].as_str().unwrap()));
            let verdicts = keys.iter().map(|key| key.verify(algorithm, &message, &signature));
            let verdicts: Vec<_> = verdicts.collect();
            assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{name}: {test}");
            tally.judge(name, test, verdicts[0], None);
        }
    }
    tally.print(name);
    assert!(tally.of("valid, accepted") > 0 && tally.of("invalid, refused") > 0, "{name}");
}

/// What the product does with a token before it looks at claims.
fn verifies(token: &str, keys: &[Value]) -> bool {
    let document = json!({ "keys": keys }).to_string();
    let Ok(set) = KeySet::parse(document.as_bytes(), &Algorithm::ALL, None) else { return false };
    let Ok(token) = Compact::parse(token, EmbeddedKey::Refused) else { return false };
    let key = set.find(token.header().kid.as_deref(), token.header().algorithm);
    token.payload().is_ok() && key.is_ok_and(|key| token.is_signed_by(key))
}

/// One key or a set, as an issuer would publish it: without the private members of key pairs.
fn public(keys: &Value) -> Vec<Value> {
    let mut keys = all_keys(keys);
    for key in &mut keys {
        let key = key.as_object_mut().expect("a key");
        for member in ["d", "p", "q", "dp", "dq", "qi"] {
            key.remove(member);
        }
    }
    keys
}

/// One key or a set.
fn all_keys(keys: &Value) -> Vec<Value> {
    match (keys.get("keys"), keys) {
        (Some(Value::Array(keys)), _) | (None, Value::Array(keys)) => keys.clone(),
        _ => vec![keys.clone()],
    }
}

/// What became of the cases of a file.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn count(&mut self, outcome: &str) {
        *self.0.entry(outcome.to_owned()).or_default() += 1;
    }

    fn of(&self, outcome: &str) -> usize {
        self.0.get(outcome).copied().unwrap_or_default()
    }

    fn print(&self, name: &str) {
        let counts: Vec<_> = self.0.iter().map(|(what, n)| format!("{n} {what}")).collect();
        println!("{name}: {}", counts.join("; "));
    }

    /// Holds our verdict on a test against the file's, or against the policy where there is one.
    fn judge(&mut self, name: &str, test: &Value, accepted: bool, policy: Option<Policy>) {
        let case = format!("{name} {} ({})", test["tcId"], test["comment"]);
        match (policy, test["result"].as_str()) {
            (Some(Policy::Accepted(why)), _) => {
                assert!(accepted, "{case}: refused, so the policy is no longer needed: {why}");
                self.count(&format!("policy, accepted ({why})"));
            }
            (Some(Policy::Refused(why)), _) => {
                assert!(!accepted, "{case}: accepted against the policy: {why}");
                self.count(&format!("policy, refused ({why})"));
            }
            (None, Some("valid")) => {
                assert!(accepted, "{case}: a wrong refusal");
                self.count("valid, accepted");
            }
            (None, Some("invalid")) => {
                assert!(!accepted, "{case}: a wrong accept");
                self.count("invalid, refused");
            }
            (None, _) => {
                let verdict = if accepted { "accepted" } else { "refused" };
                self.count(&format!("left to us, {verdict}"));
            }
        }
    }
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VICAR_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED: VICAR_VECTORS does not name the folder with the test vectors");
    }
    folder
}

fn vectors(name: &str) -> Option<Value> {
    let path = folder()?.join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(serde_json::from_str(&text).expect("JSON"))
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(json_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files
}

fn groups(file: &Value) -> &[Value] {
    file["testGroups"].as_array().expect("groups")
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hex");
    digits.map(byte).collect()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
