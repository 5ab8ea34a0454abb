//! What a route matches, and when two routes would match the same request with equal right.
//!
//! Part of `route`. Specificity, first difference wins: exact host before `*.suffix` (longer suffix
//! first) before any host, a named port before any port; exact path before longer prefix; a list of
//! methods before none; more header conditions before fewer.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::target::normalise_path;

/// The conditions of one route; all must hold.
#[derive(Clone, Debug)]
pub struct Matcher {
    pub(super) host: HostMatch,
    pub(super) path: PathMatch,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A condition on the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Every host.
    Any,
    /// One host, on one port or on any.
    Exact(String, Option<u16>),
    /// Every host below this one, on one port or on any.
    Below(String, Option<u16>),
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This path.
    Exact(String),
    /// This path and everything below it; without a trailing slash, so the empty string is all.
    Prefix(String),
}

impl Matcher {
    /// Conditions from their parts; no methods and no headers mean no condition on them.
    #[must_use]
    pub fn new(
        host: HostMatch,
        path: PathMatch,
        methods: Vec<Method>,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        Self { host, path, methods, headers }
    }

    /// Whether method and headers fit; host and path were found by look-up.
    pub(super) fn accepts(&self, method: &Method, headers: &HeaderMap) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && self.headers.iter().all(|(name, value)| {
                let mut values = headers.get_all(name).iter();
                values.next() == Some(value) && values.next().is_none()
            })
    }

    /// Greater is more specific, among matchers with the same host and path.
    pub(super) fn specificity(&self) -> (bool, usize) {
        (!self.methods.is_empty(), self.headers.len())
    }

    /// Whether some request satisfies the method and header conditions of both.
    fn overlaps(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || other.methods.is_empty()
            || self.methods.iter().any(|method| other.methods.contains(method));
        let contradict = |(name, value): &(HeaderName, HeaderValue)| {
            other.headers.iter().any(|(n, v)| n == name && v != value)
        };
        methods && !self.headers.iter().any(contradict)
    }
}

impl HostMatch {
    /// Reads `host`, `host:port`, `*.suffix` or `*.suffix:port`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, Some(port.parse::<u16>().map_err(|_| format!("`{port}` is not a port"))?))
            }
            _ => (rest, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let literal = literal.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()) && !below;
        let name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if host.is_empty() || !(literal || host.bytes().all(name)) {
            return Err(format!("`{text}` is not a host"));
        }
        let host = host.to_owned();
        Ok(if below { Self::Below(host, port) } else { Self::Exact(host, port) })
    }
}

impl PathMatch {
    /// Whether it matches a path in its one form.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// Every path.
    #[must_use]
    pub fn everything() -> Self {
        Self::Prefix(String::new())
    }

    /// A prefix at a segment boundary: `/api` and `/api/` both match `/api` and `/api/x`.
    ///
    /// # Errors
    /// When it is not a path in its one form.
    pub fn prefix(text: &str) -> Result<Self, String> {
        Ok(Self::Prefix(one_form(text)?.trim_end_matches('/').to_owned()))
    }

    /// One path.
    ///
    /// # Errors
    /// When it is not a path in its one form.
    pub fn exact(text: &str) -> Result<Self, String> {
        Ok(Self::Exact(one_form(text)?.to_owned()))
    }
}

fn one_form(text: &str) -> Result<&str, String> {
    if text.contains('?') {
        return Err(format!("`{text}` would never match: a query is no part of a path"));
    }
    match normalise_path(text) {
        Ok(form) if form == text => Ok(text),
        Ok(form) => Err(format!("`{text}` would never match; write `{form}`")),
        Err(error) => Err(format!("`{text}` would never match: {error}")),
    }
}

/// Pairs of indices whose matchers some request would match with equal right.
#[must_use]
pub fn conflicts(matchers: &[&Matcher]) -> Vec<(usize, usize)> {
    type Rank<'m> = (&'m HostMatch, &'m PathMatch, (bool, usize));
    let mut by_rank: HashMap<Rank<'_>, Vec<usize>> = HashMap::new();
    let mut found = Vec::new();
    for (index, matcher) in matchers.iter().enumerate() {
        let rank = (&matcher.host, &matcher.path, matcher.specificity());
        let equals = by_rank.entry(rank).or_default();
        let conflict = equals.iter().find(|&&earlier| matchers[earlier].overlaps(matcher));
        found.extend(conflict.map(|&earlier| (earlier, index)));
        equals.push(index);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(host: &str, path: &str, methods: &[Method], kind: Option<&'static str>) -> Matcher {
        let host = if host.is_empty() { HostMatch::Any } else { HostMatch::parse(host).unwrap() };
        let header = |value| (HeaderName::from_static("x-kind"), HeaderValue::from_static(value));
        let headers = kind.map(header).into_iter().collect();
        Matcher::new(host, PathMatch::prefix(path).unwrap(), methods.to_vec(), headers)
    }

    #[test]
    fn equal_right_is_a_conflict_and_more_specific_is_not() {
        let (get, post) = ([Method::GET], [Method::POST]);
        let base = matcher("a.b", "/x", &[], None);
        for (other, conflict) in [
            (matcher("A.b.", "/x/", &[], None), true),
            (matcher("a.b:80", "/x", &[], None), false),
            (matcher("", "/x", &[], None), false),
            (matcher("a.b", "/x/y", &[], None), false),
            (matcher("a.b", "/x", &get, None), false),
            (matcher("a.b", "/x", &[], Some("k")), false),
        ] {
            assert_eq!(!conflicts(&[&base, &other]).is_empty(), conflict, "{other:?}");
        }
        let gets = matcher("", "/", &get, Some("one"));
        assert!(conflicts(&[&gets, &matcher("", "/", &post, Some("one"))]).is_empty());
        assert!(conflicts(&[&gets, &matcher("", "/", &get, Some("two"))]).is_empty());
        let both = matcher("", "/", &[Method::GET, Method::POST], Some("one"));
        assert_eq!(conflicts(&[&gets, &both]), [(0, 1)]);
    }

    #[test]
    fn hosts_and_paths_that_could_never_match_are_refused() {
        for host in ["", "*.", "*", "a:x", "a b", "a/b", "u@a", "*.[::1]", "a*b", "[x]"] {
            assert!(HostMatch::parse(host).is_err(), "{host}");
        }
        for path in ["api", "/a/../b", "/a%2fb", "/%61", "//", "/a?b#c"] {
            assert!(PathMatch::prefix(path).is_err(), "{path}");
        }
    }
}
