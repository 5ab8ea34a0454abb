//! Fields that belong to one connection and never cross the proxy (RFC 9110 section 7.6.1).
//!
//! Part of `inject`; used on requests before ours are added, and on responses.

use http::Version;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};

/// A protocol change that was asked for: the value of the `Upgrade` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade(pub(crate) HeaderValue);

/// Removes the fields of the connection, those it names included, and gives back the protocol change
/// that was asked for, if it is one that may be tunnelled.
pub fn strip_connection_fields(headers: &mut HeaderMap, version: Version) -> Option<Upgrade> {
    let upgrade = upgrade_asked_for(headers, version);
    let named: Vec<HeaderName> = connection_options(headers)
        .filter_map(|option| HeaderName::try_from(option).ok())
        .filter(|name| !END_TO_END.contains(&name.as_str()))
        .collect();
    for name in named {
        headers.remove(name);
    }
    // `TE: trailers` is a promise gRPC insists on; everything else in TE is between neighbours.
    let trailers = headers.get_all(TE).iter().any(|te| {
        te.to_str().is_ok_and(|te| te.split(',').any(|c| c.trim().eq_ignore_ascii_case("trailers")))
    });
    for name in &CONNECTION_FIELDS {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    upgrade
}

/// Removes from trailers what may only stand in a head, or is an identity that Vicar writes.
pub(super) fn strip_from_trailers(trailers: &mut HeaderMap) {
    for name in &CONNECTION_FIELDS {
        trailers.remove(name);
    }
    for name in END_TO_END {
        trailers.remove(*name);
    }
}

/// Whether `name` belongs to a connection.
pub(super) fn is_connection_field(name: &HeaderName) -> bool {
    CONNECTION_FIELDS.contains(name)
}

/// Upgrades exist in HTTP/1.1 only. `h2c` is refused by silence: a tunnel to a second HTTP dialect
/// would carry requests that no route has seen.
fn upgrade_asked_for(headers: &HeaderMap, version: Version) -> Option<Upgrade> {
    let asked = version == Version::HTTP_11
        && connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    let mut values = headers.get_all(UPGRADE).iter();
    let value = values.next().filter(|_| asked)?;
    let is_websocket = value.as_bytes().eq_ignore_ascii_case(b"websocket");
    (is_websocket && values.next().is_none()).then(|| Upgrade(value.clone()))
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|option| !option.is_empty())
}

static CONNECTION_FIELDS: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Naming one of these in `Connection` is an attack, not housekeeping: the naming is ignored.
const END_TO_END: &[&str] = &[
    "authorization",
    "cache-control",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "te",
    "traceparent",
    "tracestate",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields.map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn removes_connection_fields_and_those_they_name_but_never_ours() {
        let mut fields = headers(&[
            ("connection", "close, X-Hop , authorization,host"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("x-end", "1"),
            ("authorization", "Bearer a"),
            ("host", "h"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("proxy-authorization", "Basic x"),
        ]);
        assert_eq!(strip_connection_fields(&mut fields, Version::HTTP_11), None);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "host", "te", "x-end"]);
        assert_eq!(fields[TE], "trailers");
    }

    #[test]
    fn only_a_plain_websocket_upgrade_is_kept() {
        let ask = |upgrade: &'static str, version| {
            let mut fields =
                headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", upgrade)]);
            strip_connection_fields(&mut fields, version).is_some()
        };
        assert!(ask("WebSocket", Version::HTTP_11));
        assert!(!ask("h2c", Version::HTTP_11));
        assert!(!ask("websocket, h2c", Version::HTTP_11));
        assert!(!ask("websocket", Version::HTTP_10));
    }
}
