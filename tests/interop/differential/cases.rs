//! Every token of the comparison, in the same order and with the same edits in each run.
//!
//! Part of `differential`. Keys and times are those of the run; what is done to the tokens is not.

use fastrand::Rng;

use super::{
    byte_edits, claim_edits, harmless, header_edits,
    keys::Signer,
    token::{Draft, Edit, Part, Token},
    wire_edits,
};

/// A token and what was done to it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) mutations: Vec<String>,
    pub(super) token: String,
    /// Whether every judge must accept it.
    pub(super) good: bool,
}

impl Case {
    fn good(mutation: &str, token: String) -> Self {
        Self { mutations: vec![mutation.to_owned()], token, good: true }
    }

    fn new(mutation: impl Into<String>, token: String) -> Self {
        Self { mutations: vec![mutation.into()], token, good: false }
    }

    /// What was done to it, in one line.
    pub(super) fn name(&self) -> String {
        self.mutations.join(" + ")
    }
}

/// All of them, for a run that begins at `now`.
pub(super) fn all(signers: &[Signer], now: u64) -> Vec<Case> {
    let mut random = Rng::with_seed(SEED);
    let mut cases = Vec::new();
    // First those that wait for no limit of time: the first judge is asked at once.
    for signer in signers {
        cases.extend(good(signer, now, &mut random));
    }
    for signer in signers {
        cases.extend(edited(signer, now));
        cases.extend(misread(signer, now, &mut random));
        cases.extend(damaged(signer, signers, now, &mut random));
    }
    let mut draft = Draft::good(&signers[0], now);
    draft.apply(&Edit::remove(Part::Claims, "jti"));
    for (good, token) in wire_edits::swapped_keys(signers, &draft) {
        let case = if good { Case::good } else { |name: &str, token| Case::new(name, token) };
        cases.push(case("keys swapped", token));
    }
    let claims = claim_edits::all(now);
    let headers: Vec<Vec<Edit>> = signers.iter().map(header_edits::all).collect();
    while cases.len() < TOKENS {
        let chosen = random.usize(..signers.len());
        let draft = Draft::good(&signers[chosen], now);
        let edits = [headers[chosen].as_slice(), &claims];
        cases.push(edited_at_random(&signers[chosen], draft, edits, &mut random));
    }
    cases
}

/// Good tokens: as they come, with each variation, and with two.
fn good(signer: &Signer, now: u64, random: &mut Rng) -> Vec<Case> {
    let plain = Draft::good(signer, now);
    let mut cases = vec![Case::good("none", plain.sealed(signer).text())];
    let edits = harmless::all(now);
    for edit in &edits {
        let mut draft = plain.clone();
        draft.apply(edit);
        cases.push(Case::good("none that matters", draft.sealed(signer).text()));
    }
    let in_header = |edit: &&Edit| edit.name.starts_with("header");
    let (headers, claims): (Vec<_>, Vec<_>) = edits.iter().partition(in_header);
    for _ in 0..PAIRS {
        let mut draft = plain.clone();
        draft.apply(headers[random.usize(..headers.len())]);
        draft.apply(claims[random.usize(..claims.len())]);
        cases.push(Case::good("none that matters", draft.sealed(signer).text()));
    }
    cases
}

/// One edit each, signed by the right key.
fn edited(signer: &Signer, now: u64) -> Vec<Case> {
    let edits = header_edits::all(signer).into_iter().chain(claim_edits::all(now));
    let case = |edit: Edit| {
        let mut draft = Draft::good(signer, now);
        draft.apply(&edit);
        Case::new(edit.name, draft.sealed(signer).text())
    };
    edits.map(case).collect()
}

/// Texts that two readers may read differently, signed by the right key.
fn misread(signer: &Signer, now: u64, random: &mut Rng) -> Vec<Case> {
    let mut draft = Draft::good(signer, now);
    // Without it no flipped bit can make a token another kind, which is tried by name elsewhere.
    draft.apply(&Edit::remove(Part::Header, "typ"));
    let (header, payload) = (draft.header.json(), draft.claims.json());
    let mut cases = Vec::new();
    for (part, place, json) in
        [(Part::Header, "header", &header), (Part::Claims, "payload", &payload)]
    {
        for (form, text) in byte_edits::forms(json) {
            let token = byte_edits::with_text(&draft, signer, part, &text);
            cases.push(Case::new(format!("{place}: {form}"), token.text()));
        }
        for (encoding, text) in byte_edits::encodings(json, random) {
            let sealed = draft.sealed(signer);
            let token = match part {
                Part::Header => Token::seal_text(signer, text, sealed.payload),
                Part::Claims => Token::seal_text(signer, sealed.header, text),
            };
            cases.push(Case::new(format!("{place}: {encoding}"), token.text()));
        }
        for _ in 0..FLIPS {
            let text = byte_edits::with_a_flipped_bit(json.as_bytes(), random);
            let token = byte_edits::with_text(&draft, signer, part, &text);
            cases.push(Case::new(format!("{place}: a bit flipped, then signed"), token.text()));
        }
    }
    cases
}

/// Good tokens that something happened to after they were signed.
fn damaged(signer: &Signer, signers: &[Signer], now: u64, random: &mut Rng) -> Vec<Case> {
    let draft = Draft::good(signer, now);
    let token = draft.sealed(signer);
    let mut cases: Vec<Case> = Vec::new();
    for (name, text) in wire_edits::parts(&token) {
        cases.push(Case::new(name, text));
    }
    let others: Vec<&Signer> = signers.iter().filter(|other| other.kid != signer.kid).collect();
    for (name, text) in wire_edits::signatures(&draft, signer, &others, random) {
        cases.push(Case::new(name, text));
    }
    for text in wire_edits::public_key_as_secret(&draft, signer) {
        cases.push(Case::new("signature: HMAC under the public key", text));
    }
    let edits = header_edits::all(signer).into_iter().chain(claim_edits::all(now));
    for edit in edits.step_by(4) {
        let mut draft = draft.clone();
        draft.apply(&edit);
        let forged = draft.sealed(signer).with_signature(&token.signature);
        cases.push(Case::new(format!("{}, not signed again", edit.name), forged));
    }
    for _ in 0..FLIPS * 3 {
        let (name, text) = wire_edits::flipped(&token, &draft, random);
        cases.push(Case::new(name, text));
    }
    cases
}

/// Two or three edits, of the claims mostly, and sometimes damage on top.
fn edited_at_random(
    signer: &Signer,
    mut draft: Draft,
    [headers, claims]: [&[Edit]; 2],
    random: &mut Rng,
) -> Case {
    let mut mutations = Vec::new();
    for _ in 0..random.usize(2..4) {
        let edits = if random.u8(..4) == 0 { headers } else { claims };
        let edit = &edits[random.usize(..edits.len())];
        draft.apply(edit);
        mutations.push(edit.name.clone());
    }
    let token = draft.sealed(signer);
    if random.u8(..8) > 0 {
        return Case { mutations, token: token.text(), good: false };
    }
    let (name, token) = wire_edits::flipped(&token, &draft, random);
    mutations.push(name.to_owned());
    Case { mutations, token, good: false }
}

/// Any number; the same one gives the same edits.
const SEED: u64 = 0x5eed_7045;

/// How many tokens there are.
const TOKENS: usize = 8000;

/// Good tokens with two variations, for each key.
const PAIRS: usize = 150;

/// Flipped bits that are signed, for each part and key; three times as many that are not.
const FLIPS: usize = 80;
