//! What a header may say that it should not (RFC 7515 section 4, RFC 8725), before it is signed.
//!
//! Part of `differential`.

use super::{
    keys::Signer,
    token::{Edit, Part, quoted},
};

/// Every edit of a header for a token of this signer.
pub(super) fn all(signer: &Signer) -> Vec<Edit> {
    let mut edits = algorithms(signer);
    edits.extend(key_ids(signer));
    edits.extend(kinds());
    edits.extend(extensions());
    edits.extend(keys_that_come_along(signer));
    edits.extend(repetitions(signer));
    edits.extend(sizes());
    edits
}

fn algorithms(signer: &Signer) -> Vec<Edit> {
    let names = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "rs256",
        "RS256",
        "RS256 ",
        " RS256",
        "RS256\\u0000",
        "RS384",
        "RS512",
        "RS1",
        "HS256",
        "HS384",
        "HS512",
        "ES256",
        "es256",
        "ES384",
        "ES512",
        "ES256K",
        "PS256",
        "PS384",
        "PS512",
        "EdDSA",
        "EDDSA",
        "eddsa",
        "Ed25519",
        "Ed448",
        "A128KW",
        "RSA-OAEP",
        "dir",
        "\\u0052S256\\n",
        "RS256,none",
        "ML-DSA-44",
    ];
    let others = names.iter().filter(|name| **name != signer.algorithm);
    let others = others.map(|name| header("alg", "another name", &quoted(name)));
    let own = quoted(signer.algorithm);
    let odd = ["256", "null", "true", "{}", "[]", &format!("[{own}]"), &format!("{{\"x\":{own}}}")];
    let odd = odd.map(|value| header("alg", "no text", value));
    others.chain(odd).chain([Edit::remove(Part::Header, "alg")]).collect()
}

fn key_ids(signer: &Signer) -> Vec<Edit> {
    let names =
        ["", "unknown", "FIRST", "first ", "../../etc/passwd", "first\\u0000", "' or 1=1 --"];
    let others = names.map(|name| header("kid", "no such key", &quoted(name)));
    let long = [600, 3000].map(|n| header("kid", "no such key", &quoted(&"k".repeat(n))));
    let own = quoted(signer.kid);
    let odd = ["1", "null", "true", "{}", "[]", &format!("[{own}]")];
    let odd = odd.map(|value| header("kid", "no text", value));
    others.into_iter().chain(long).chain(odd).collect()
}

fn kinds() -> Vec<Edit> {
    let types = [
        "JWS",
        "JOSE",
        "JOSE+JSON",
        "at_jwt",
        "at+jwt ",
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "id+jwt",
        "token-introspection+jwt",
        "text/plain",
        "",
        "a\\u0000t+jwt",
        "application/application/at+jwt",
    ];
    let types = types.map(|typ| header("typ", "another kind", &quoted(typ)));
    let odd = ["1", "null", "true", "{}", "[\"at+jwt\"]"];
    let odd_types = odd.map(|value| header("typ", "no text", value));
    let contents = ["JWT", "jwt", "application/jwt", "at+jwt", "NJWT"];
    let contents = contents.map(|cty| header("cty", "a token inside", &quoted(cty)));
    let odd_contents = odd.map(|value| header("cty", "no text", value));
    types.into_iter().chain(odd_types).chain(contents).chain(odd_contents).collect()
}

/// Extensions that must be understood, and members of other objects.
fn extensions() -> Vec<Edit> {
    let lists = [
        "[]",
        "[\"b64\"]",
        "[\"exp\"]",
        "[\"alg\"]",
        "[\"http://example.com/x\"]",
        "[1]",
        "[\"\"]",
        "\"b64\"",
        "null",
        "{}",
        "true",
    ];
    let mut edits: Vec<Edit> = lists.iter().map(|list| header("crit", "present", list)).collect();
    for b64 in ["true", "false", "\"true\"", "null", "1"] {
        edits.push(header("b64", "present", b64));
        edits.push(header("b64", "critical", b64).and_set(Part::Header, "crit", "[\"b64\"]"));
    }
    let understood = header("exp", "critical", "4102444800");
    edits.push(understood.and_set(Part::Header, "crit", "[\"exp\"]"));
    for enc in ["\"A128GCM\"", "\"A128CBC-HS256\"", "null"] {
        edits.push(header("enc", "present", enc));
    }
    for zip in ["\"DEF\"", "\"GZIP\"", "null"] {
        edits.push(header("zip", "present", zip));
    }
    edits
}

/// Keys to trust, by value and by address (RFC 8725 section 3.10).
fn keys_that_come_along(signer: &Signer) -> Vec<Edit> {
    let jwk = signer.jwk().to_string();
    let elsewhere = "\"http://127.0.0.1:1/keys\"";
    vec![
        header("jwk", "present", &jwk),
        header("jwk", "present", "{}"),
        header("jwk", "present", "null"),
        header("jwk", "present", "{\"kty\":\"oct\",\"k\":\"AAAA\"}"),
        header("jku", "present", elsewhere),
        header("jku", "present", "\"https://partner.example/keys\""),
        header("jku", "present", "1"),
        header("x5u", "present", elsewhere),
        header("x5u", "present", "\"https://partner.example/chain.pem\""),
        header("x5c", "present", "[\"MIIB\"]"),
        header("x5c", "present", "[]"),
        header("x5c", "present", "\"MIIB\""),
    ]
}

fn repetitions(signer: &Signer) -> Vec<Edit> {
    let (alg, kid) = (quoted(signer.algorithm), quoted(signer.kid));
    let twice = |name: &str, value: &str| Edit::add(Part::Header, name, "twice", value);
    vec![
        twice("alg", &alg),
        twice("alg", "\"none\""),
        twice("alg", "\"HS256\""),
        twice("al\\u0067", &alg),
        twice("kid", &kid),
        twice("kid", "\"unknown\""),
        twice("k\\u0069d", &kid),
        twice("typ", "\"at+jwt\""),
        twice("typ", "\"JWT\""),
        header("x", "twice", "1").and_set(Part::Header, "\\u0078", "1"),
        header("x", "twice", "{\"a\":1,\"a\":1}"),
    ]
}

fn sizes() -> Vec<Edit> {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        header("x", "nested deeper than 32", &deep(40)),
        header("x", "nested deeper than 32", &deep(400)),
        header("x", "larger than 4 KiB", &quoted(&"x".repeat(4096))),
        header("x", "a number that no double holds", "1e999"),
        header("x", "half a character", "\"\\ud800\""),
    ]
}

fn header(name: &str, kind: &str, value: &str) -> Edit {
    Edit::set(Part::Header, name, kind, value)
}
