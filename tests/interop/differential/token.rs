//! A token while it is made: members in order as raw JSON, so that they may repeat or be nonsense.
//!
//! Part of `differential`. An edit is one thing done to a draft before it is signed; its name is
//! what the policy speaks about.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::keys::Signer;

/// The members of a JSON object: names without their quotes, values as JSON.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(Vec<(String, String)>);

impl Members {
    /// Puts a value in the place of the one that is there, or at the end.
    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.add(name, value),
        }
    }

    /// Puts a member at the end, even if there is one of this name.
    fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    pub(super) fn json(&self) -> String {
        let members: Vec<String> =
            self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// What will be signed.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) header: Members,
    pub(super) claims: Members,
}

impl Draft {
    /// An access token that every judge accepts for an hour from `now`.
    pub(super) fn good(signer: &Signer, now: u64) -> Self {
        let (mut header, mut claims) = (Members::default(), Members::default());
        header.add("alg", &quoted(signer.algorithm));
        header.add("kid", &quoted(signer.kid));
        header.add("typ", "\"at+jwt\"");
        claims.add("iss", &quoted(ISSUER));
        claims.add("aud", &quoted(AUDIENCE));
        claims.add("exp", &(now + 3600).to_string());
        claims.add("iat", &(now - 600).to_string());
        claims.add("nbf", &(now - 600).to_string());
        claims.add("sub", "\"someone\"");
        claims.add("jti", "\"0001\"");
        claims.add("client_id", "\"an-application\"");
        claims.add("scope", "\"read write\"");
        Self { header, claims }
    }

    /// Signs it as it stands.
    pub(super) fn sealed(&self, signer: &Signer) -> Token {
        Token::seal(signer, self.header.json().as_bytes(), self.claims.json().as_bytes())
    }

    pub(super) fn apply(&mut self, edit: &Edit) {
        for change in &edit.changes {
            match change {
                Change::Set(Part::Header, name, value) => self.header.set(name, value),
                Change::Set(Part::Claims, name, value) => self.claims.set(name, value),
                Change::Add(Part::Header, name, value) => self.header.add(name, value),
                Change::Add(Part::Claims, name, value) => self.claims.add(name, value),
                Change::Remove(Part::Header, name) => self.header.remove(name),
                Change::Remove(Part::Claims, name) => self.claims.remove(name),
            }
        }
    }
}

/// A signed token in its parts.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) header: String,
    pub(super) payload: String,
    pub(super) signature: Vec<u8>,
}

impl Token {
    /// Signs two texts, whatever they are.
    pub(super) fn seal(signer: &Signer, header: &[u8], payload: &[u8]) -> Self {
        Self::seal_text(signer, encode(header), encode(payload))
    }

    /// Signs two parts that are encoded already, perhaps badly.
    pub(super) fn seal_text(signer: &Signer, header: String, payload: String) -> Self {
        let signature = signer.sign(format!("{header}.{payload}").as_bytes());
        Self { header, payload, signature }
    }

    /// What the signature is made of.
    pub(super) fn signed(&self) -> String {
        format!("{}.{}", self.header, self.payload)
    }

    /// The compact form (RFC 7515 section 7.1).
    pub(super) fn text(&self) -> String {
        self.with_signature(&self.signature)
    }

    /// The same with another signature.
    pub(super) fn with_signature(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.signed(), encode(signature))
    }
}

/// One thing done to a draft.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// What it is done to and what is wrong about it, for the policy and the table.
    pub(super) name: String,
    changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Header,
    Claims,
}

#[derive(Clone, Debug)]
enum Change {
    Set(Part, String, String),
    Add(Part, String, String),
    Remove(Part, String),
}

impl Edit {
    /// A member gets this value.
    pub(super) fn set(part: Part, name: &str, kind: &str, value: &str) -> Self {
        Self::named(part, name, kind).and_set(part, name, value)
    }

    /// A member is added at the end, where there may be one already.
    pub(super) fn add(part: Part, name: &str, kind: &str, value: &str) -> Self {
        let mut edit = Self::named(part, name, kind);
        edit.changes.push(Change::Add(part, name.to_owned(), value.to_owned()));
        edit
    }

    pub(super) fn remove(part: Part, name: &str) -> Self {
        let mut edit = Self::named(part, name, "missing");
        edit.changes.push(Change::Remove(part, name.to_owned()));
        edit
    }

    /// A second member gets a value as well.
    pub(super) fn and_set(mut self, part: Part, name: &str, value: &str) -> Self {
        self.changes.push(Change::Set(part, name.to_owned(), value.to_owned()));
        self
    }

    fn named(part: Part, name: &str, kind: &str) -> Self {
        let place = match part {
            Part::Header => "header ",
            Part::Claims => "",
        };
        Self { name: format!("{place}{name}: {kind}"), changes: Vec::new() }
    }
}

/// Base64url without padding (RFC 7515 section 2).
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A text without anything to escape, as JSON.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Whose tokens they are.
pub(super) const ISSUER: &str = "https://partner.example/tenant";

/// Who they are for.
pub(super) const AUDIENCE: &str = "https://api.example/";
