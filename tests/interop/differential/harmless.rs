//! What a token may say as well: variations that every judge must accept, so that nobody passes
//! this comparison by refusing everything.
//!
//! Part of `differential`.

use super::token::{AUDIENCE, Edit, ISSUER, Part, quoted};

/// Every variation of a good token.
pub(super) fn all(now: u64) -> Vec<Edit> {
    let mut edits = headers();
    edits.extend(times(now));
    edits.extend(parties());
    edits.extend(anything_else());
    edits
}

fn headers() -> Vec<Edit> {
    let header = |name: &str, value: &str| Edit::set(Part::Header, name, "fine", value);
    vec![
        header("typ", "\"JWT\""),
        header("typ", "\"jwt\""),
        header("typ", "\"AT+JWT\""),
        header("typ", "\"application/at+jwt\""),
        header("typ", "\"application/jwt\""),
        header("typ", "\"\\u0061t+jwt\""),
        Edit::remove(Part::Header, "typ"),
        Edit::remove(Part::Header, "kid"),
        header("x5t", "\"0ZcOCORZNYy-DWpqq30jZyJGHTN\""),
        header("cty", "\"json\""),
        header("nonce", "\"x\""),
        header("exp", "1"),
        header("iss", "\"https://other.example/\""),
        header("extra", "{\"a\":[1,2.5,null,true,{}]}"),
        header("__proto__", "{\"alg\":\"none\"}"),
        header("", "1"),
    ]
}

fn times(now: u64) -> Vec<Edit> {
    let claim = |name: &str, value: &str| Edit::set(Part::Claims, name, "fine", value);
    vec![
        claim("exp", &format!("{}.5", now + 3600)),
        // Fractions of `clock_skew`; the judges need some of it for themselves.
        claim("exp", &(now - 3).to_string()),
        claim("exp", "4.1024448e9"),
        claim("exp", "253402300799"),
        claim("nbf", &(now + 55).to_string()),
        claim("iat", &(now + 55).to_string()),
        claim("nbf", &format!("{}.25", now - 600)),
        claim("iat", &format!("{}.25", now - 600)),
        claim("nbf", "0"),
        claim("iat", "0"),
        claim("iat", "-0.0"),
        claim("iat", &(now - 90_000_000).to_string()),
        Edit::remove(Part::Claims, "nbf"),
        Edit::remove(Part::Claims, "iat"),
    ]
}

fn parties() -> Vec<Edit> {
    let claim = |name: &str, value: &str| Edit::set(Part::Claims, name, "fine", value);
    let ours = quoted(AUDIENCE);
    let many: Vec<String> = (0..100).map(|n| quoted(&format!("https://{n}.example/"))).collect();
    vec![
        claim("aud", &format!("[{ours}]")),
        claim("aud", &format!("[{ours},\"https://other.example/\"]")),
        claim("aud", &format!("[\"https://other.example/\",{ours}]")),
        claim("aud", &format!("[{ours},{ours}]")),
        claim("aud", &format!("[\"\",{ours}]")),
        claim("aud", &format!("[{},{ours}]", many.join(","))),
        claim("aud", &quoted(&AUDIENCE.replace('/', "\\/"))),
        claim("iss", &quoted(&ISSUER.replace('/', "\\u002f"))),
        claim("sub", "\"\u{e4}\u{1f511}\u{5d0}\""),
        claim("sub", "\"an-application\""),
        claim("scope", "\"\""),
        claim("scope", "[\"read\",\"write\"]"),
        claim("roles", "[\"a\",\"b\"]"),
        claim("azp", "\"an-application\""),
        Edit::remove(Part::Claims, "sub"),
        Edit::remove(Part::Claims, "jti"),
        Edit::remove(Part::Claims, "client_id"),
        Edit::remove(Part::Claims, "scope"),
    ]
}

fn anything_else() -> Vec<Edit> {
    let claim = |name: &str, value: &str| Edit::set(Part::Claims, name, "fine", value);
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        claim("x", "null"),
        claim("x", "1e-7"),
        claim("x", "123456789012345678901234567890"),
        claim("x", "-9223372036854775808"),
        claim("x", "\"\\u0000\\n\\\"\\\\\\ud83d\\udd11\""),
        claim("x", "\"\u{7f}\u{2028}\u{feff}\u{ffff}\""),
        claim("x", "{\"iss\":\"https://other.example/\",\"exp\":0,\"aud\":1}"),
        claim("x", " \t\r\n [ 1 , 2 ] \n"),
        claim("x", &deep(30)),
        claim("x", &quoted(&"x".repeat(6000))),
        claim("", "1"),
        claim("IAT", "\"x\""),
        claim("__proto__", "{\"exp\":0}"),
        claim("x.y", "1"),
        claim("act", "{\"sub\":\"an-application\"}"),
    ]
}
