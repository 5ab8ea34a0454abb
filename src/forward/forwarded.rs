//! What the upstream learns about the caller's connection: `X-Forwarded-For`, `-Host`, `-Proto`.
//!
//! Part of `forward`. The default believes no caller: claims are dropped and what Vicar sees is set.

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::listener::Peer;

/// What happens to claims about the caller's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedPolicy {
    /// What Vicar sees is added to what the caller claims.
    Append,
    /// What the caller claims stays, nothing is added.
    Keep,
    /// What the caller claims is dropped, what Vicar sees is set.
    Replace,
    /// Nothing at all.
    Strip,
}

impl ForwardedPolicy {
    /// Applies the policy; `host` is what the caller asked for.
    pub(super) fn apply(self, headers: &mut HeaderMap, peer: &Peer, host: Option<&HeaderValue>) {
        match self {
            Self::Keep => {}
            Self::Strip => strip(headers),
            Self::Replace => {
                strip(headers);
                headers.extend(peer.address_text().map(|text| (FOR, text.clone())));
                headers.extend(host.map(|host| (HOST, host.clone())));
                headers.insert(PROTO, peer.scheme());
            }
            Self::Append => {
                if let Some(address) = peer.address_text() {
                    let earlier = headers.get_all(FOR).iter().map(HeaderValue::as_bytes);
                    let list: Vec<_> = earlier.chain([address.as_bytes()]).collect();
                    // The parts came from header values, so the whole is one too.
                    let list = HeaderValue::from_bytes(&list.join(&b", "[..]));
                    headers.insert(FOR, list.unwrap_or_else(|_| address.clone()));
                }
                if let (None, Some(host)) = (headers.get(HOST), host) {
                    headers.insert(HOST, host.clone());
                }
                headers.entry(PROTO).or_insert_with(|| peer.scheme());
            }
        }
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in &CLAIMS {
        headers.remove(name);
    }
}

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static CLAIMS: [HeaderName; 8] = [
    FORWARDED,
    FOR,
    HOST,
    PROTO,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-real-ip"),
];
