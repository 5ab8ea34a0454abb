//! The `claims` parameter of a token request (OpenID Connect Core section 5.5).
//!
//! Part of `token`. Says what a token must have: what this client is capable of (`cp1`: it reacts to claims
//! challenges), and what a challenge asked for. Challenges come from authorities and upstreams, so they are
//! bounded, read as JSON and written anew; no text of theirs goes on as it came.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// Members to demand of a token; empty when there is nothing to demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimsRequest(Map<String, Value>);

impl ClaimsRequest {
    /// What tells the authority these capabilities (Entra's `xms_cc`).
    #[must_use]
    pub fn of_capabilities(capabilities: &[String]) -> Self {
        let request = json!({ "access_token": { "xms_cc": { "values": capabilities } } });
        match request {
            Value::Object(members) if !capabilities.is_empty() => Self(members),
            _ => Self::default(),
        }
    }

    /// Reads a JSON object of at most 4 KiB; nothing when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let members: Map<String, Value> =
            (text.len() <= MAX_BYTES).then(|| serde_json::from_str(text).ok())??;
        (!members.is_empty()).then_some(Self(members))
    }

    /// Reads what a challenge holds: base64 of a JSON object, or the object itself.
    #[must_use]
    pub fn parse_challenge(value: &str) -> Option<Self> {
        if value.len() > 2 * MAX_BYTES {
            return None;
        }
        let bare = value.trim_end_matches('=');
        let decoded = STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare));
        match decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) => Self::parse(&text),
            None => Self::parse(value),
        }
    }

    /// The same with all that `other` demands; where both name a value, this one's stays.
    #[must_use]
    pub fn merged_with(self, other: &Self) -> Self {
        let mut merged = other.0.clone();
        merge(&mut merged, &self.0);
        Self(merged)
    }

    /// Only what it demands of access tokens: no upstream has a say in anything else.
    #[must_use]
    pub fn of_access_tokens(mut self) -> Option<Self> {
        let (name, demands) = self.0.remove_entry("access_token")?;
        Some(Self(Map::from_iter([(name, demands)])))
    }

    /// The parameter's value, when there is one to send.
    #[must_use]
    pub fn to_parameter(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| Value::Object(self.0.clone()).to_string())
    }

    /// The form that challenges have: standard base64 of the JSON.
    #[must_use]
    pub fn to_challenge(&self) -> String {
        STANDARD.encode(Value::Object(self.0.clone()).to_string())
    }
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merge(inner, value),
            _ => drop(into.insert(name.clone(), value.clone())),
        }
    }
}

/// Entra's are below one.
const MAX_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_and_challenges_merge_deeply() {
        let capable = ClaimsRequest::of_capabilities(&["cp1".to_owned()]);
        let challenge = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
        let merged = capable.merged_with(&ClaimsRequest::parse(challenge).unwrap());
        let merged: Value = serde_json::from_str(&merged.to_parameter().unwrap()).unwrap();
        assert_eq!(
            merged,
            json!({ "access_token": {
                "xms_cc": { "values": ["cp1"] }, "nbf": { "essential": true, "value": "1" },
            } })
        );
        assert_eq!(ClaimsRequest::of_capabilities(&[]).to_parameter(), None);
    }

    #[test]
    fn an_upstream_cannot_take_capabilities_away_or_ask_for_more_than_access_tokens() {
        let capable = ClaimsRequest::of_capabilities(&["cp1".to_owned()]);
        let challenge = r#"{"access_token":{"xms_cc":{"values":[]}},"id_token":{"email":null}}"#;
        let challenge = ClaimsRequest::parse(challenge).unwrap().of_access_tokens().unwrap();
        assert_eq!(capable.clone().merged_with(&challenge), capable);
        assert_eq!(
            ClaimsRequest::parse(r#"{"userinfo":{"a":null}}"#).unwrap().of_access_tokens(),
            None
        );
    }

    #[test]
    fn challenges_are_read_in_every_base64_and_as_json_and_nothing_else() {
        let request =
            ClaimsRequest::parse(r#"{"access_token":{"a?":{"value":"~~~>>>"}}}"#).unwrap();
        let standard = request.to_challenge();
        let url_safe = standard.replace('+', "-").replace('/', "_");
        let bare = standard.trim_end_matches('=').to_owned();
        let json = request.to_parameter().unwrap();
        for value in [&standard, &url_safe, &bare, &json] {
            assert_eq!(ClaimsRequest::parse_challenge(value), Some(request.clone()), "{value}");
        }
        let long = STANDARD.encode(format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_BYTES)));
        for nothing in ["", "{}", "[]", "e30", "W10", "!", "{\"a\":", long.as_str()] {
            assert_eq!(ClaimsRequest::parse_challenge(nothing), None, "{nothing}");
        }
    }
}
