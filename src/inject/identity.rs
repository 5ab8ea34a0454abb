//! Header fields that tell the upstream who is calling: ours alone.
//!
//! Part of `inject`. The identity fields of a listener, and of every route to the same upstream, are removed
//! from each request in every spelling that some server reads as the same name, before those of this route are written. Where a claim
//! is absent, so is its field.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::inbound::Verified;

/// Names that only we may write.
#[derive(Clone, Debug, Default)]
pub struct OwnedNames(Arc<[String]>);

/// The identity fields of a route.
#[derive(Clone, Debug, Default)]
pub struct IdentityHeaders {
    owned: OwnedNames,
    claims: Vec<(HeaderName, String)>,
    /// A field with all claims, as base64url JSON.
    all: Option<HeaderName>,
}

impl IdentityHeaders {
    /// None to write yet.
    #[must_use]
    pub fn owning(owned: OwnedNames) -> Self {
        Self { owned, ..Self::default() }
    }

    pub(super) fn owned(&self) -> &OwnedNames {
        &self.owned
    }

    /// Writes all claims into `header`.
    pub fn add_all(&mut self, header: HeaderName) {
        self.all = Some(header);
    }

    /// Writes the claim at `path` into `header`.
    pub fn add(&mut self, header: HeaderName, path: &str) {
        self.claims.push((header, path.to_owned()));
    }

    pub(super) fn scrub(&self, fields: &mut HeaderMap) {
        self.owned.scrub(fields);
    }

    /// Writes what is known of the caller.
    pub(super) fn write(&self, caller: &Verified, fields: &mut HeaderMap) {
        for (header, path) in &self.claims {
            let text = caller.claims.at(path).and_then(text);
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                fields.insert(header.clone(), value);
            }
        }
        if let Some(header) = &self.all {
            let json = serde_json::to_vec(caller.claims.members()).unwrap_or_default();
            if let Ok(value) = HeaderValue::try_from(URL_SAFE_NO_PAD.encode(json)) {
                fields.insert(header.clone(), value);
            }
        }
    }
}

impl OwnedNames {
    /// These names, in whatever spelling.
    #[must_use]
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: BTreeSet<_> = names.into_iter().map(Self::canonical).collect();
        Self(names.into_iter().collect())
    }

    /// The one spelling that names are compared in: servers that turn fields into variables see `-`, `_`
    /// and other marks alike.
    #[must_use]
    pub fn canonical(name: &str) -> String {
        name.bytes().map(|b| char::from(canonical_byte(b))).collect()
    }

    /// Whether `name` is one of them, in whatever spelling.
    #[must_use]
    pub fn contain(&self, name: &str) -> bool {
        self.0.iter().any(|owned| is_same(name, owned))
    }

    /// Removes every field that could pass for one of ours.
    pub(super) fn scrub(&self, fields: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        let posing: Vec<HeaderName> =
            fields.keys().filter(|name| self.contain(name.as_str())).cloned().collect();
        for name in posing {
            fields.remove(name);
        }
    }
}

fn canonical_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn is_same(name: &str, owned: &str) -> bool {
    name.len() == owned.len() && name.bytes().map(canonical_byte).eq(owned.bytes())
}

/// A claim as text: numbers and truth values as JSON, lists joined by commas, objects as nothing. What is
/// not visible ASCII is percent-encoded, and so are `%` and, in lists, commas.
fn text(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(encoded(text, b"")),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(items) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => Some(encoded(text, b",")),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(truth) => Some(truth.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            });
            Some(items.collect::<Option<Vec<_>>>()?.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

fn encoded(text: &str, besides: &[u8]) -> String {
    let inner = 1..text.len().saturating_sub(1);
    let mut encoded = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        // Blanks at the ends would be taken for padding.
        let plain = byte.is_ascii_graphic() || (byte == b' ' && inner.contains(&at));
        if plain && byte != b'%' && !besides.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_become_text_that_no_server_can_misread() {
        for (claim, expected) in [
            (json!("abc d"), Some("abc d")),
            (json!(" a\r\nX: 1 "), Some("%20a%0D%0AX: 1%20")),
            (json!("Zoë 100%"), Some("Zo%C3%AB 100%25")),
            (json!(["a,b", "c"]), Some("a%2Cb,c")),
            (json!([1, true]), Some("1,true")),
            (json!(7), Some("7")),
            (json!(""), Some("")),
            (json!({"a": 1}), None),
            (json!([["a"]]), None),
            (json!(null), None),
        ] {
            assert_eq!(text(&claim).as_deref(), expected, "{claim}");
        }
    }

    #[test]
    fn every_spelling_of_an_owned_name_is_scrubbed_and_no_other() {
        let owned = OwnedNames::new(["X-User-Id"]);
        let mut fields = HeaderMap::new();
        for name in ["x-user-id", "x_user_id", "x-user_id", "x.user.id", "x-user-ident", "xuser-id"]
        {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static("admin"));
            fields.append(HeaderName::from_static(name), HeaderValue::from_static("root"));
        }
        owned.scrub(&mut fields);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-user-ident", "xuser-id"]);
    }
}
