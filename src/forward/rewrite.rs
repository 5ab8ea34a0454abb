//! The request target and Host that the upstream sees.
//!
//! Part of `forward`. Starts from the path that routing decided on, never from another reading of
//! what the caller sent; the query is passed on as it is.

use http::Uri;

use super::upstream::Upstream;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::{InvalidUri, PathAndQuery};

/// What a route changes.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// Takes the place of the matched prefix; without a trailing slash.
    path_prefix: Option<String>,
    /// Whose name goes into Host.
    pub host: HostPolicy,
}

/// Whose name goes into Host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// A name from the configuration.
    Fixed(HeaderValue),
    /// The caller's.
    Preserve,
    /// The upstream's own.
    Upstream,
}

/// The path that routing decided on.
#[derive(Debug, Default)]
pub struct TargetPath {
    /// The one form of the path, when the caller sent another.
    pub rewritten: Option<String>,
    /// How many bytes of it the route's prefix took.
    pub matched_prefix: usize,
}

impl Rewrite {
    /// A rewrite; a trailing slash of `path_prefix` makes no difference.
    #[must_use]
    pub fn new(path_prefix: Option<String>, host: HostPolicy) -> Self {
        let path_prefix = path_prefix.map(|prefix| prefix.trim_end_matches('/').to_owned());
        Self { path_prefix, host }
    }

    /// The target at `upstream` for what the caller asked.
    pub(super) fn target(
        &self,
        upstream: &Upstream,
        callers: &Uri,
        path: &TargetPath,
    ) -> Result<Uri, http::Error> {
        let target = self.path_and_query(upstream.base_path(), callers, path)?;
        let (scheme, authority) = upstream.origin();
        let builder = Uri::builder().scheme(scheme.clone()).authority(authority.clone());
        builder.path_and_query(target).build()
    }

    fn path_and_query(
        &self,
        base: &str,
        callers: &Uri,
        path: &TargetPath,
    ) -> Result<PathAndQuery, InvalidUri> {
        if let (true, None, None, Some(unchanged)) =
            (base.is_empty(), &path.rewritten, &self.path_prefix, callers.path_and_query())
        {
            return Ok(unchanged.clone());
        }
        let decided = path.rewritten.as_deref().unwrap_or(callers.path());
        let (prefix, rest) = match &self.path_prefix {
            Some(prefix) => (prefix.as_str(), &decided[path.matched_prefix..]),
            None => ("", decided),
        };
        let mut target = [base, prefix, rest].concat();
        if target.is_empty() {
            target.push('/');
        }
        if let Some(query) = callers.query() {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target)
    }

    /// Sets Host, or leaves it to the client, which takes it from the target.
    pub(super) fn set_host(&self, headers: &mut HeaderMap, callers: Option<HeaderValue>) {
        headers.remove(HOST);
        match (&self.host, callers) {
            (HostPolicy::Fixed(host), _) => {
                headers.insert(HOST, host.clone());
            }
            (HostPolicy::Preserve, Some(host)) => {
                headers.insert(HOST, host);
            }
            (HostPolicy::Preserve, None) | (HostPolicy::Upstream, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_prefix_and_rest_make_the_target() {
        for (prefix, base, callers, rewritten, matched, expected) in [
            (None, "", "/a/b?x=1", None, 0, "/a/b?x=1"),
            (None, "/base", "/a?x", None, 0, "/base/a?x"),
            (None, "", "/%61?x", Some("/a"), 0, "/a?x"),
            (Some("/v2/"), "", "/v1/a?x", None, 3, "/v2/a?x"),
            (Some("/"), "", "/v1/a", None, 3, "/a"),
            (Some("/"), "", "/v1", None, 3, "/"),
            (Some("/v2"), "/base", "/v1", None, 3, "/base/v2"),
            (Some("/v2"), "", "/%761/a", Some("/v1/a"), 3, "/v2/a"),
        ] {
            let rewrite = Rewrite::new(prefix.map(str::to_owned), HostPolicy::Upstream);
            let rewritten = rewritten.map(str::to_owned);
            let path = TargetPath { rewritten, matched_prefix: matched };
            let target = rewrite.path_and_query(base, &callers.parse().unwrap(), &path).unwrap();
            assert_eq!(target.as_str(), expected, "{callers}");
        }
    }
}
