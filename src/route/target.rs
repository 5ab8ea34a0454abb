//! Which host and path a request is for: decided once, or refused.
//!
//! Part of `route`. Host comes from the request target or the Host field, which must agree (RFC 9112
//! section 3.2). The path gets one form, used to match and to forward: percent-encoded unreserved
//! characters are decoded (RFC 3986 section 6.2.2.2), and whatever two servers might read
//! differently (dot segments, encoded slashes, empty segments, …) is refused.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Method, Uri, Version};

use super::RouteError;

/// The parts of a request that routes look at.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'r> {
    /// Lower case, without port; empty when an HTTP/1.0 caller named none.
    pub host: Cow<'r, str>,
    /// The port that was named, if any.
    pub port: Option<u16>,
    /// In its one form; borrowed when the caller already sent that form.
    pub path: Cow<'r, str>,
}

impl<'r> Target<'r> {
    /// Reads method, target and Host.
    ///
    /// # Errors
    /// When they can be read in two ways or are not for a reverse proxy.
    pub fn read(
        method: &Method,
        uri: &'r Uri,
        version: Version,
        headers: &'r HeaderMap,
    ) -> Result<Self, RouteError> {
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(RouteError::MethodRefused);
        }
        let (host, port) = host(uri, version, headers)?;
        let path = match uri.path() {
            "*" if method == Method::OPTIONS => Cow::Borrowed("*"),
            path => normalise_path(path)?,
        };
        Ok(Self { host, port, path })
    }
}

fn host<'r>(
    uri: &'r Uri,
    version: Version,
    headers: &'r HeaderMap,
) -> Result<(Cow<'r, str>, Option<u16>), RouteError> {
    let mut fields = headers.get_all(HOST).iter();
    let malformed = |_| RouteError::Ambiguous("a malformed Host");
    let field = fields.next().map(|value| value.to_str().map_err(malformed)).transpose()?;
    if fields.next().is_some() {
        return Err(RouteError::Ambiguous("more than one Host"));
    }
    let authority = match (uri.authority().map(Authority::as_str), field) {
        (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => {
            return Err(RouteError::Ambiguous("target and Host disagree"));
        }
        (Some(target), _) => target,
        (None, Some(field)) => field,
        (None, None) if version < Version::HTTP_11 => return Ok((Cow::Borrowed(""), None)),
        (None, None) => return Err(RouteError::Ambiguous("no Host")),
    };
    split_authority(authority).ok_or(RouteError::Ambiguous("a malformed Host"))
}

/// `host[:port]`, nothing else: no user, no path, no list.
fn split_authority(text: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let valid = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            (host, Some(port.parse().ok().filter(|_| valid)?))
        }
        _ => (text, None),
    };
    let valid = if let Some(literal) = host.strip_prefix('[') {
        literal.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        let name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        !host.is_empty() && host.len() <= 255 && host.bytes().all(name)
    };
    // The root label's dot names the same host.
    let host = host.strip_suffix('.').unwrap_or(host);
    valid.then(|| (lower_case(host), port)).filter(|(host, _)| !host.is_empty())
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// The one form of a path.
///
/// # Errors
/// When two servers could read it differently.
pub fn normalise_path(path: &str) -> Result<Cow<'_, str>, RouteError> {
    if !path.starts_with('/') {
        return Err(RouteError::Ambiguous("a path that does not start with /"));
    }
    if path.bytes().any(|b| !(0x21..=0x7e).contains(&b) || b == b'\\' || b == b'#') {
        return Err(RouteError::Ambiguous("a character that no path may have"));
    }
    let path = if path.contains('%') { decode_unreserved(path)? } else { Cow::Borrowed(path) };
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        // `..;x` is `..` to servers that know path parameters.
        let name = segment.split(';').next().unwrap_or_default();
        if name == "." || name == ".." {
            return Err(RouteError::Ambiguous("a dot segment"));
        }
        if name.is_empty() && (segments.peek().is_some() || !segment.is_empty()) {
            return Err(RouteError::Ambiguous("an empty path segment"));
        }
    }
    Ok(path)
}

fn decode_unreserved(path: &str) -> Result<Cow<'_, str>, RouteError> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(percent) = rest.find('%') {
        decoded.push_str(&rest[..percent]);
        let byte = rest
            .get(percent + 1..percent + 3)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .ok_or(RouteError::Ambiguous("a broken percent-encoding"))?;
        match byte {
            b'/' | b'\\' | 0x00..=0x1f | 0x7f => {
                return Err(RouteError::Ambiguous(
                    "an encoded slash, backslash or control character",
                ));
            }
            b'-' | b'.' | b'_' | b'~' => decoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => decoded.push(char::from(byte)),
            _ => {
                // Writing to a String does not fail.
                let _ = write!(decoded, "%{byte:02X}");
            }
        }
        rest = &rest[percent + 3..];
    }
    decoded.push_str(rest);
    Ok(if decoded == path { Cow::Borrowed(path) } else { Cow::Owned(decoded) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form_or_none() {
        for (path, form) in [
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/%61dmin/%7Ex", "/admin/~x"),
            ("/a%20b%c3%a4", "/a%20b%C3%A4"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/a/...", "/a/..."),
            ("/a/%252e%252e/b", "/a/%252e%252e/b"),
        ] {
            assert_eq!(normalise_path(path).as_deref(), Ok(form), "{path}");
        }
        for path in [
            "",
            "a",
            "//a",
            "/a//b",
            "/a/./b",
            "/a/..",
            "/..;/a",
            "/a/.;x",
            "/%2e%2e/a",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a%00",
            "/a%0d",
            "/a%",
            "/a%g0",
            "/a%+1",
            "/\u{e4}",
            "/;x/a",
            "/a b",
        ] {
            assert!(normalise_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_host_is_one_name_and_perhaps_a_port() {
        for (text, host, port) in [
            ("API.Example", "api.example", None),
            ("api.example.:80", "api.example", Some(80)),
            ("127.0.0.1:8000", "127.0.0.1", Some(8000)),
            ("[::1]:8000", "[::1]", Some(8000)),
            ("[::1]", "[::1]", None),
        ] {
            assert_eq!(split_authority(text), Some((host.into(), port)), "{text}");
        }
        for text in [
            "", ":80", "a:", "a:b", "a:99999", "a:+80", "u@a", "a/b", "a,b", "a b", "[::1", "[x]",
            ".", "a:80:80", "a?b", "a#b",
        ] {
            assert_eq!(split_authority(text), None, "{text}");
        }
    }
}
