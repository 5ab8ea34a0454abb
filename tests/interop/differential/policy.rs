//! Where Vicar refuses what others accept, and why that is meant.
//!
//! Part of `differential`. Any other difference is a failure, and so is a line here that no token
//! needs.

/// The reason, as a line of [`STRICTER`], why Vicar may refuse a token with this mutation alone.
pub(super) fn stricter(mutation: &str) -> Option<usize> {
    STRICTER.iter().position(|(pattern, _)| matches(pattern, mutation))
}

/// Whether a mutation is the pattern, in which one `*` stands for anything.
fn matches(pattern: &str, mutation: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == mutation,
        Some((start, end)) => mutation
            .strip_prefix(start)
            .is_some_and(|rest| rest.len() >= end.len() && rest.ends_with(end)),
    }
}

/// Mutations and reasons.
pub(super) const STRICTER: &[(&str, &str)] = &[
    ("*: twice", "parsers disagree about which member counts"),
    ("*: nested deeper than 32", "no issuer needs it, and parsers recurse"),
    ("*: a number that no double holds", "RFC 8259 section 6: no two parsers need agree"),
    ("*: half a character", "RFC 8259 section 8.2: no two parsers need agree"),
    ("*: a byte order mark", "RFC 8259 section 8.1: must not be there"),
    ("header x: larger than 4 KiB", "the limit of a header"),
    ("x: larger than 16 KiB", "the limit of a token"),
    ("header b64: *", "RFC 7797 section 7: not for JWTs"),
    ("header cty: a token inside", "the outer claims are not what the inner token says"),
    ("header enc: present", "belongs to encrypted tokens"),
    ("header zip: present", "belongs to encrypted tokens"),
    ("header jku: present", "a token must not name its own keys"),
    ("header jwk: present", "a token must not name its own keys"),
    ("header x5c: present", "a token must not name its own keys"),
    ("header x5u: present", "a token must not name its own keys"),
    ("header typ: another kind", "RFC 8725 section 3.11: not an access token"),
    ("typ: another kind", "Keycloak's name for tokens that are no access tokens"),
    ("events: present", "RFC 8417: a security event, such as a logout"),
    ("at_hash: present", "an ID token"),
    ("c_hash: present", "an ID token"),
    ("s_hash: present", "an ID token"),
    ("cnf: present", "bound to a key, and nobody proves to have it"),
    ("*: before 1970", "no time of any token"),
    ("*: after the year 9999", "no time of any token; milliseconds, perhaps"),
    ("nbf: after exp", "never valid"),
    ("appid: *", "the application's id is read, and is text"),
    ("azp: *", "the application's id is read, and is text"),
    ("cid: *", "the application's id is read, and is text"),
    ("client_id: *", "the application's id is read, and is text"),
    ("idtyp: *", "the kind of caller is read, and is text"),
    ("roles: *", "roles are read, and are texts"),
    ("scope: *", "scopes are read, and are texts"),
    ("scp: *", "scopes are read, and are texts"),
];
