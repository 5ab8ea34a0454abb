//! All routes of a listener, found by hash.
//!
//! Part of `route`. Hosts first (exact, then suffixes from long to short, then any; a named port
//! before any port), then paths (exact, then prefixes from long to short), then the few candidates
//! that share both. What the caller sends bounds none of the loops alone: prefixes are tried no
//! longer than the longest one configured.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use http::request::Parts;

use super::RouteError;
use super::matcher::{HostMatch, Matcher, PathMatch};
use super::target::Target;

/// Routes of one listener; `P` is whatever a route leads to.
#[derive(Debug)]
pub struct RouteTable<P> {
    entries: Vec<(Matcher, P)>,
    exact: HashMap<String, Ports>,
    below: HashMap<String, Ports>,
    any: Paths,
}

/// A route that was found, and the path in the form that must be forwarded.
#[derive(Debug)]
pub struct RouteMatch<'t, P> {
    /// What the route leads to.
    pub payload: &'t P,
    /// The path's one form, when the caller sent another one.
    pub rewritten_path: Option<String>,
    /// How many bytes of the path the route's prefix took.
    pub matched_prefix: usize,
}

impl<P> RouteMatch<'_, P> {
    /// The path in its one form.
    #[must_use]
    pub fn path<'u>(&'u self, uri: &'u http::Uri) -> &'u str {
        self.rewritten_path.as_deref().unwrap_or(uri.path())
    }
}

/// The paths of one host, by port.
#[derive(Debug, Default)]
struct Ports {
    named: Vec<(u16, Paths)>,
    any: Paths,
}

/// Candidates (indices into the entries), by path.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<String, Vec<usize>>,
    prefix: HashMap<String, Vec<usize>>,
    longest_prefix: usize,
}

impl<P> RouteTable<P> {
    /// A table of these routes; [`super::conflicts`] has made sure that no order matters.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = (Matcher, P)>) -> Self {
        let entries: Vec<_> = routes.into_iter().collect();
        let (exact, below) = (HashMap::new(), HashMap::new());
        let mut table = Self { entries, exact, below, any: Paths::default() };
        let mut order: Vec<usize> = (0..table.entries.len()).collect();
        order.sort_by_key(|&index| Reverse(table.entries[index].0.specificity()));
        for index in order {
            let matcher = &table.entries[index].0;
            let paths = match &matcher.host {
                HostMatch::Any => &mut table.any,
                HostMatch::Exact(host, port) => {
                    table.exact.entry(host.clone()).or_default().paths_mut(*port)
                }
                HostMatch::Below(host, port) => {
                    table.below.entry(host.clone()).or_default().paths_mut(*port)
                }
            };
            paths.add(index, &matcher.path);
        }
        table
    }

    /// The most specific route for a request.
    ///
    /// # Errors
    /// When there is none, or the request is ambiguous.
    pub fn resolve(&self, request: &Parts) -> Result<RouteMatch<'_, P>, RouteError> {
        let Parts { method, uri, version, headers, .. } = request;
        let target = Target::read(method, uri, *version, headers)?;
        let found = self.hosts(&target).find_map(|paths| {
            paths.candidates(&target.path).find_map(|(candidates, matched_prefix)| {
                let mut fitting = candidates.iter().map(|&index| &self.entries[index]);
                let (_, payload) = fitting.find(|(matcher, _)| matcher.accepts(method, headers))?;
                Some((payload, matched_prefix))
            })
        });
        let (payload, matched_prefix) = found.ok_or(RouteError::NoRoute)?;
        let rewritten_path = match target.path {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path),
        };
        Ok(RouteMatch { payload, rewritten_path, matched_prefix })
    }

    /// What each route leads to.
    pub fn payloads(&self) -> impl Iterator<Item = &P> {
        self.entries.iter().map(|(_, payload)| payload)
    }

    /// The paths of every host that matches, most specific first.
    fn hosts<'t>(&'t self, target: &'t Target<'_>) -> impl Iterator<Item = &'t Paths> {
        let host = target.host.as_ref();
        let dots = if self.below.is_empty() { "" } else { host };
        let suffixes = dots.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        let below = suffixes.filter_map(|suffix| self.below.get(suffix));
        let ports = self.exact.get(host).into_iter().chain(below);
        ports.flat_map(|ports| ports.paths(target.port)).chain([&self.any])
    }
}

impl Ports {
    fn paths_mut(&mut self, port: Option<u16>) -> &mut Paths {
        let Some(port) = port else { return &mut self.any };
        let index = self.named.iter().position(|(named, _)| *named == port).unwrap_or_else(|| {
            self.named.push((port, Paths::default()));
            self.named.len() - 1
        });
        &mut self.named[index].1
    }

    fn paths(&self, port: Option<u16>) -> impl Iterator<Item = &Paths> {
        let named = self.named.iter().filter(move |(named, _)| Some(*named) == port);
        named.map(|(_, paths)| paths).chain([&self.any])
    }
}

impl Paths {
    fn add(&mut self, index: usize, path: &PathMatch) {
        let (map, path) = match path {
            PathMatch::Exact(path) => (&mut self.exact, path),
            PathMatch::Prefix(path) => {
                self.longest_prefix = self.longest_prefix.max(path.len());
                (&mut self.prefix, path)
            }
        };
        map.entry(path.clone()).or_default().push(index);
    }

    /// Candidates for `path` with the length of the prefix that led to them, most specific first.
    fn candidates<'t>(&'t self, path: &'t str) -> impl Iterator<Item = (&'t Vec<usize>, usize)> {
        let exact = self.exact.get(path).into_iter().map(|candidates| (candidates, path.len()));
        let mut next = if self.prefix.is_empty() { None } else { self.first_cut(path) };
        let prefixes = std::iter::from_fn(move || {
            loop {
                let prefix = next?;
                next = prefix.rfind('/').map(|slash| &prefix[..slash]);
                if let Some(candidates) = self.prefix.get(prefix) {
                    return Some((candidates, prefix.len()));
                }
            }
        });
        exact.chain(prefixes)
    }

    /// The longest beginning of `path` that ends at a segment boundary and may be a prefix here.
    fn first_cut<'p>(&self, path: &'p str) -> Option<&'p str> {
        let limit = self.longest_prefix;
        if path.len() <= limit {
            return Some(path.strip_suffix('/').unwrap_or(path));
        }
        if path.as_bytes()[limit] == b'/' {
            return Some(&path[..limit]);
        }
        path[..limit].rfind('/').map(|slash| &path[..slash]).or(Some("")).filter(|_| path != "*")
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};

    use super::*;

    fn table(routes: &[(&str, &str, &[Method])]) -> RouteTable<usize> {
        let matcher = |(host, path, methods): &(&str, &str, &[Method])| {
            let host = if host.is_empty() { Ok(HostMatch::Any) } else { HostMatch::parse(host) };
            let path = match path.strip_prefix('=') {
                Some(exact) => PathMatch::exact(exact),
                None => PathMatch::prefix(path),
            };
            Matcher::new(host.unwrap(), path.unwrap(), methods.to_vec(), Vec::new())
        };
        RouteTable::new(routes.iter().enumerate().map(|(index, route)| (matcher(route), index)))
    }

    fn resolve(table: &RouteTable<usize>, method: &str, url: &str) -> Option<usize> {
        let request = Request::builder().method(method).uri(url).body(()).unwrap();
        table.resolve(&request.into_parts().0).ok().map(|found| *found.payload)
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let mut routes: Vec<(&str, &str, &[Method])> = vec![
            ("", "/", &[]),
            ("a.b", "/", &[]),
            ("a.b:81", "/", &[]),
            ("*.b", "/", &[]),
            ("*.c.b", "/x", &[]),
            ("a.b", "/x", &[]),
            ("a.b", "/x/y", &[]),
            ("a.b", "=/x/y", &[]),
            ("a.b", "/x/y", &[Method::POST]),
        ];
        let requests = [
            ("GET", "http://other/", ("", "/")),
            ("GET", "http://a.b/", ("a.b", "/")),
            ("GET", "http://A.B./xy", ("a.b", "/")),
            ("GET", "http://a.b:81/x", ("a.b:81", "/")),
            ("GET", "http://z.b/x", ("*.b", "/")),
            ("GET", "http://z.c.b/x", ("*.c.b", "/x")),
            ("GET", "http://z.c.b/", ("*.b", "/")),
            ("GET", "http://b/", ("", "/")),
            ("GET", "http://a.b/x", ("a.b", "/x")),
            ("GET", "http://a.b/x/", ("a.b", "/x")),
            ("GET", "http://a.b/x/yy", ("a.b", "/x")),
            ("GET", "http://a.b/x/y", ("a.b", "=/x/y")),
            ("GET", "http://a.b/x/y/z/", ("a.b", "/x/y")),
            ("GET", "http://a.b/%78/y/z", ("a.b", "/x/y")),
        ];
        for _ in 0..routes.len() {
            routes.rotate_left(1);
            let table = table(&routes);
            for (method, url, (host, path)) in requests {
                let found = resolve(&table, method, url).map(|i| (routes[i].0, routes[i].1));
                assert_eq!(found, Some((host, path)), "{url}");
            }
            let post = resolve(&table, "POST", "http://a.b/x/y/z").unwrap();
            assert_eq!(routes[post].2, [Method::POST]);
        }
    }

    #[test]
    fn a_prefix_never_matches_inside_a_segment_or_an_unrelated_path() {
        let table = table(&[("", "/api/v1", &[]), ("", "=/health", &[])]);
        for (url, found) in [
            ("http://h/api/v1", Some(0)),
            ("http://h/api/v1/x", Some(0)),
            ("http://h/api/v10", None),
            ("http://h/api", None),
            ("http://h/health", Some(1)),
            ("http://h/health/", None),
            ("http://h/", None),
            ("http://h/api/v1/../x", None),
        ] {
            assert_eq!(resolve(&table, "GET", url), found, "{url}");
        }
    }
}
