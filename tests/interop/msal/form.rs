//! The form of a token request, and what two of them have in common.
//!
//! Part of `msal`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The parameters by name. Each word of `scope` is one of its own, as their order means nothing
/// (RFC 6749 section 3.3), and `claims` is what it says rather than how it is written.
#[derive(Clone, Debug)]
pub(super) struct Form(BTreeMap<String, Value>);

/// What is to be said about a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Equal,
    Different,
    OnlyMsal,
    OnlyVicar,
}

impl Verdict {
    /// How a line of text begins.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Equal => "both",
            Self::Different => "different",
            Self::OnlyMsal => "msal only",
            Self::OnlyVicar => "Vicar only",
        }
    }
}

impl Form {
    /// Reads application/x-www-form-urlencoded; no parameter may come twice (RFC 6749 section 3.2).
    pub(super) fn parse(body: &str) -> Self {
        let mut form = BTreeMap::new();
        let mut add = |name: String, value| {
            let twice = form.contains_key(&name);
            assert!(!twice, "{name} comes twice: {body}");
            form.insert(name, value);
        };
        for (name, value) in url::form_urlencoded::parse(body.as_bytes()) {
            match &*name {
                "claims" => add(name.into(), serde_json::from_str(&value).expect("JSON")),
                "scope" => {
                    for word in value.split(' ') {
                        add(format!("scope {word}"), Value::Null);
                    }
                }
                _ => add(name.into(), value.into()),
            }
        }
        Self(form)
    }

    /// Whether a parameter is there.
    pub(super) fn has(&self, parameter: &str) -> bool {
        self.0.contains_key(parameter)
    }

    /// The text of a parameter, empty when it is not there.
    pub(super) fn text(&self, parameter: &str) -> &str {
        self.0.get(parameter).and_then(Value::as_str).unwrap_or_default()
    }

    /// The grant, by its registered name.
    pub(super) fn grant_type(&self) -> &str {
        self.text("grant_type")
    }

    /// Every parameter of either.
    pub(super) fn compare(msal: &Self, vicar: &Self) -> Vec<(String, Verdict)> {
        let names: BTreeSet<&String> = msal.0.keys().chain(vicar.0.keys()).collect();
        let judge = |name: &String| {
            let verdict = match (msal.0.get(name), vicar.0.get(name)) {
                (Some(theirs), Some(ours)) if theirs == ours => Verdict::Equal,
                (Some(_), Some(_)) => Verdict::Different,
                (_, None) => Verdict::OnlyMsal,
                (None, _) => Verdict::OnlyVicar,
            };
            (name.clone(), verdict)
        };
        names.into_iter().map(judge).collect()
    }

    /// A value, its end left out when it is as long as a token.
    pub(super) fn shown(&self, parameter: &str) -> String {
        let value = self.0.get(parameter).filter(|value| !value.is_null());
        let value = value.map(ToString::to_string).unwrap_or_default();
        match value.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &value[..end]),
            None => value,
        }
    }
}

/// Longer than any value but tokens.
const SHOWN: usize = 80;
