//! Bytes that are no request, or stop being one, each with secrets inside.

use super::marker::{API_KEY, COOKIE, CREDENTIAL, GARBAGE, QUERY, REQUEST_BODY};
use crate::h2;

/// All of them, by name. None reaches an upstream, so whatever comes back is Vicar's own.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut all: Vec<(&str, Vec<u8>)> = [
        ("no HTTP at all", format!("{GARBAGE}\r\n{GARBAGE}\r\n\r\n")),
        ("no line end", GARBAGE.to_owned()),
        ("another protocol", format!("EHLO {GARBAGE}\r\nAUTH PLAIN {GARBAGE}\r\n")),
        ("a version that is none", format!("GET /?{QUERY} HTTP/{GARBAGE}\r\n\r\n")),
        ("a method that is none", format!("{GARBAGE}@ /?{QUERY} HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("a target that is none", format!("GET \u{1}{QUERY} HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("a fragment", format!("GET /none#{QUERY} HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("a field without a colon", request(&format!("Authorization {CREDENTIAL}\r\n"))),
        ("a name with a space", request(&format!("X Api Key : {API_KEY}\r\n"))),
        ("a folded field", request(&format!("Cookie: a\r\n {COOKIE}\r\n"))),
        ("a NUL in a value", request(&format!("Authorization: Bearer {CREDENTIAL}\0\r\n"))),
        ("a bare CR in a value", request(&format!("Cookie: {COOKIE}\rX: {API_KEY}\r\n"))),
        ("a length that is none", request(&format!("Content-Length: {GARBAGE}\r\n"))),
        ("two lengths", request("Content-Length: 1\r\nContent-Length: 2\r\n") + REQUEST_BODY),
        (
            "a length and chunks",
            request("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + REQUEST_BODY,
        ),
        ("a coding that is none", request(&format!("Transfer-Encoding: {GARBAGE}\r\n"))),
        ("a chunk that is none", request("Transfer-Encoding: chunked\r\n") + REQUEST_BODY),
        ("a body cut short", request("Content-Length: 9999\r\n") + REQUEST_BODY),
        ("a head cut short", format!("GET /upstream/dead?{QUERY} HTTP/1.1\r\nCookie: {COOKIE}")),
        ("a head too large", request(&format!("X-Api-Key: {}\r\n", API_KEY.repeat(3000)))),
        ("a target too long", format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", QUERY.repeat(3000))),
        ("too many fields", request(&format!("X-Api-Key: {API_KEY}\r\n").repeat(200))),
        ("a Host that is none", request(&format!("Host: {GARBAGE}@x\r\n"))),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into();
    all.push((
        "bytes that are no text",
        [b"\xff\xfe\0\x80".as_slice(), GARBAGE.as_bytes()].concat(),
    ));
    all.push(("TLS where there is none", client_hello()));
    all.extend(http2());
    all
}

/// A request to an upstream that is gone, with further fields.
fn request(fields: &str) -> String {
    format!("POST /upstream/dead?{QUERY} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// The beginning of a TLS handshake that names its server (RFC 8446 section 4.1.2), cut short.
fn client_hello() -> Vec<u8> {
    let record = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    [&record, GARBAGE.as_bytes(), &[0, 0], GARBAGE.as_bytes()].concat()
}

/// HTTP/2 connections that go wrong after their preface.
fn http2() -> Vec<(&'static str, Vec<u8>)> {
    let garbage = GARBAGE.as_bytes();
    let after_preface = |frames: Vec<u8>| [h2::preface(), frames].concat();
    let unknown = 0xfa;
    vec![
        ("a preface cut short", [b"PRI * HTTP/2.0\r\n\r\n", garbage].concat()),
        ("HTTP/2 and then none", after_preface(garbage.to_vec())),
        ("a head that cannot be read", after_preface(h2::frame(h2::HEADERS, 1, garbage))),
        ("settings that make no sense", after_preface(h2::frame(h2::SETTINGS, 0, garbage))),
        ("settings for a stream", after_preface(h2::frame(h2::SETTINGS, 1, garbage))),
        ("an unknown frame", after_preface(h2::frame(unknown, 0, garbage))),
        ("last words in the middle of a body", after_preface(begun_and_broken_off())),
        ("last words", after_preface(h2::goaway(garbage))),
        ("a frame too large", after_preface(h2::frame(0, 1, &garbage.repeat(1000)))),
    ]
}

/// A request whose body has begun when its caller ends the connection with a reason. The head is
/// written without compression (RFC 7541 section 6.2.1).
fn begun_and_broken_off() -> Vec<u8> {
    let [method_post, scheme_http] = [0x83, 0x86];
    let [authority, path, content_length] = [0x41, 0x44, 0x5c];
    let mut head = vec![method_post, scheme_http];
    for (name, value) in [(authority, "h"), (path, "/upstream/body"), (content_length, "9999")] {
        head.push(name);
        head.push(u8::try_from(value.len()).expect("a short value"));
        head.extend_from_slice(value.as_bytes());
    }
    let mut request = h2::frame(h2::HEADERS, 1, &head);
    request[4] = h2::END_HEADERS;
    let body = h2::frame(h2::DATA, 1, REQUEST_BODY.as_bytes());
    [request, body, h2::goaway(CREDENTIAL.as_bytes())].concat()
}
