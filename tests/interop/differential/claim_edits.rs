//! What claims may say that they should not (RFC 7519 section 4.1), before they are signed.
//!
//! Part of `differential`. Times are minutes away from every limit, because the judges look at them
//! one after another.

use super::token::{AUDIENCE, Edit, ISSUER, Part, quoted};

/// Every edit of the claims.
pub(super) fn all(now: u64) -> Vec<Edit> {
    let mut edits = Vec::new();
    for name in ["exp", "nbf", "iat"] {
        edits.extend(times(name, now));
    }
    edits.extend(audiences());
    edits.extend(issuers());
    edits.extend(marks_of_other_kinds());
    for name in OTHER_CLAIMS {
        edits.extend(TYPES.iter().map(|(kind, value)| claim(name, kind, value)));
    }
    // With `idtyp` nothing has to be guessed from the subject, which may go unread.
    for idtyp in ["app", "user", "device"] {
        for (kind, value) in TYPES {
            let edit = claim("sub", &format!("{kind}, with idtyp"), value);
            edits.push(edit.and_set(Part::Claims, "idtyp", &quoted(idtyp)));
        }
    }
    edits.extend(repetitions(now));
    edits.extend(sizes());
    edits
}

fn times(name: &str, now: u64) -> Vec<Edit> {
    let time = if name == "exp" { now + 3600 } else { now - 600 };
    let (past, future) = (now - 300, now + 3600);
    let mut edits: Vec<Edit> = [
        quoted(&time.to_string()),
        quoted("tomorrow"),
        quoted(""),
        quoted("2038-01-19T03:14:07Z"),
        "null".to_owned(),
        "true".to_owned(),
        "false".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        format!("[{time}]"),
        format!("{{\"$date\":{time}}}"),
    ]
    .iter()
    .map(|value| claim(name, "no number", value))
    .collect();
    let numbers = [
        ("before 1970", "-1".to_owned()),
        ("before 1970", format!("-{time}")),
        ("before 1970", "-1e300".to_owned()),
        ("long ago", "0".to_owned()),
        ("long ago", "-0".to_owned()),
        ("long ago", "1.5e0".to_owned()),
        ("past", past.to_string()),
        ("past", format!("{past}.75")),
        ("future", future.to_string()),
        ("future", format!("{future}.25")),
        ("after the year 9999", "253402300800".to_owned()),
        ("after the year 9999", format!("{time}000")),
        ("after the year 9999", "9223372036854775808".to_owned()),
        ("after the year 9999", "18446744073709551616".to_owned()),
        ("after the year 9999", "1e300".to_owned()),
        ("a number that no double holds", "1e999".to_owned()),
        ("a number that no double holds", "-1e999".to_owned()),
        ("no JSON", "Infinity".to_owned()),
        ("no JSON", "NaN".to_owned()),
        ("no JSON", format!("0{time}")),
        ("no JSON", format!("+{time}")),
        ("no JSON", format!("{time}.")),
        ("no JSON", format!("0x{time}")),
        ("no JSON", format!("1_{time}")),
    ];
    edits.extend(numbers.iter().map(|(kind, value)| claim(name, kind, value)));
    if name == "nbf" {
        let never = claim("nbf", "after exp", &(now + 50).to_string());
        edits.push(never.and_set(Part::Claims, "exp", &(now - 5).to_string()));
    }
    edits.push(Edit::remove(Part::Claims, name));
    edits
}

fn audiences() -> Vec<Edit> {
    let ours = quoted(AUDIENCE);
    let others = [
        "https://api.example",
        "https://api.example//",
        "https://API.example/",
        "http://api.example/",
        "https://api.example/ ",
        " https://api.example/",
        "api.example",
        "",
        "https://api.example/ https://other.example/",
        "https://api.example/,x",
        "*",
        "https://api.example/\\u0000",
        "https://api.example/\\u0000x",
        "https://api.examp\\u217ce/",
        "https%3A%2F%2Fapi.example%2F",
    ];
    let mut edits: Vec<Edit> =
        others.iter().map(|aud| claim("aud", "another", &quoted(aud))).collect();
    let lists = ["[]", "[\"\"]", "[\"https://other.example/\"]", "[\"a\",\"b\",\"c\"]"];
    edits.extend(lists.iter().map(|list| claim("aud", "another", list)));
    let odd = [
        "null".to_owned(),
        "1".to_owned(),
        "true".to_owned(),
        "{}".to_owned(),
        format!("{{\"0\":{ours}}}"),
        format!("{{{ours}:1}}"),
        format!("[[{ours}]]"),
        format!("[{ours},1]"),
        format!("[null,{ours}]"),
        format!("[{ours},[]]"),
        format!("[{{}},{ours}]"),
        format!("[true,{ours}]"),
    ];
    edits.extend(odd.iter().map(|aud| claim("aud", "neither text nor texts", aud)));
    edits.push(Edit::remove(Part::Claims, "aud"));
    edits
}

fn issuers() -> Vec<Edit> {
    let ours = quoted(ISSUER);
    let others = [
        "https://partner.example",
        "https://partner.example/tenant/",
        "https://PARTNER.example/tenant",
        "http://partner.example/tenant",
        "https://partner.example:443/tenant",
        "",
        "https://partner.example./tenant",
        "https://partner.example/tenant ",
        "https://other.example/",
        "https://partner.example/tenant\\u0000",
        "https://partner.example/tenant#",
        "https://partner.example/%74enant",
        "https://partner.example/x/../tenant",
    ];
    let mut edits: Vec<Edit> =
        others.iter().map(|iss| claim("iss", "another", &quoted(iss))).collect();
    let odd =
        ["null", "1", "true", "{}", "[]", &format!("[{ours}]"), &format!("{{\"iss\":{ours}}}")];
    edits.extend(odd.iter().map(|iss| claim("iss", "no text", iss)));
    edits.push(Edit::remove(Part::Claims, "iss"));
    edits
}

/// What tells ID, logout and bound tokens from access tokens that anybody may bear.
fn marks_of_other_kinds() -> Vec<Edit> {
    let logout = "{\"http://schemas.openid.net/event/backchannel-logout\":{}}";
    let mut edits = vec![claim("events", "present", logout), claim("events", "present", "null")];
    for hash in ["at_hash", "c_hash", "s_hash"] {
        edits.push(claim(hash, "present", "\"FPlcM-1UXiivOYozpUrp7Q\""));
    }
    for typ in ["ID", "Refresh", "Offline", "Logout"] {
        edits.push(claim("typ", "another kind", &quoted(typ)));
    }
    let bindings = [
        "{\"jkt\":\"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I\"}",
        "{\"x5t#S256\":\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2\"}",
        "{\"jwk\":{}}",
        "{\"kid\":\"first\"}",
        "{}",
        "null",
        "\"jkt\"",
    ];
    edits.extend(bindings.iter().map(|cnf| claim("cnf", "present", cnf)));
    edits
}

fn repetitions(now: u64) -> Vec<Edit> {
    let twice = |name: &str, value: &str| Edit::add(Part::Claims, name, "twice", value);
    vec![
        twice("iss", &quoted(ISSUER)),
        twice("iss", "\"https://other.example/\""),
        twice("is\\u0073", &quoted(ISSUER)),
        twice("aud", &quoted(AUDIENCE)),
        twice("aud", "\"https://other.example/\""),
        twice("exp", &(now + 7200).to_string()),
        twice("exp", "0"),
        twice("e\\u0078p", &(now + 7200).to_string()),
        twice("nbf", "0"),
        twice("sub", "\"somebody-else\""),
        twice("scope", "\"admin\""),
        twice("client_id", "\"another-application\""),
        claim("nested", "twice", "{\"a\":1,\"a\":2}"),
        claim("nested", "twice", "[[{\"a\":{\"b\":1,\"\\u0062\":1}}]]"),
    ]
}

fn sizes() -> Vec<Edit> {
    let list = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let object = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    vec![
        claim("x", "nested deeper than 32", &list(40)),
        claim("x", "nested deeper than 32", &list(126)),
        claim("x", "nested deeper than 32", &list(500)),
        claim("x", "nested deeper than 32", &list(4000)),
        claim("x", "nested deeper than 32", &object(40)),
        claim("x", "nested deeper than 32", &object(1000)),
        claim("x", "larger than 16 KiB", &quoted(&"x".repeat(12_300))),
        claim("x", "a number that no double holds", "1e999"),
        claim("x", "a number that no double holds", "-1e999"),
        claim("x", "half a character", "\"\\ud800\""),
        claim("x", "half a character", "\"\\udc00\\ud800\""),
        claim("x", "no JSON", "undefined"),
        claim("x", "no JSON", "\"\u{1}\""),
        claim("x", "no JSON", "\"\\x41\""),
        claim("x", "no JSON", "'x'"),
        claim("x", "no JSON", "1 /* one */"),
        claim("x", "no JSON", "[1,]"),
        claim("x", "no JSON", ""),
    ]
}

fn claim(name: &str, kind: &str, value: &str) -> Edit {
    Edit::set(Part::Claims, name, kind, value)
}

/// Claims that some verifier reads, each to be given a value of every type.
const OTHER_CLAIMS: &[&str] = &[
    "sub",
    "jti",
    "client_id",
    "azp",
    "appid",
    "cid",
    "scope",
    "scp",
    "roles",
    "groups",
    "idtyp",
    "typ",
    "nonce",
    "sid",
    "acr",
    "amr",
    "auth_time",
    "act",
    "may_act",
    "gty",
    "tid",
    "ver",
    "preferred_username",
    "__proto__",
    "constructor",
    "toString",
    "",
];

const TYPES: &[(&str, &str)] = &[
    ("a text", "\"x\""),
    ("an empty text", "\"\""),
    ("texts", "[\"a\",\"b\"]"),
    ("an empty list", "[]"),
    ("numbers", "[1,2]"),
    ("a number", "5"),
    ("null", "null"),
    ("a truth value", "true"),
    ("an object", "{\"a\":\"b\"}"),
];
