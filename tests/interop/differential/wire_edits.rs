//! What may be wrong with a token after it was signed: its parts, its characters, its signature.
//!
//! Part of `differential`. No white space at either end, because HTTP takes that away by itself
//! (RFC 9110 section 5.5), and no line ends, because no field value has them.

use std::cmp::Ordering;

use fastrand::Rng;

use super::{
    byte_edits::{ALPHABET, next_last_character, with_a_flipped_bit},
    keys::{Signer, hs256},
    token::{Draft, Token, encode, quoted},
};

/// Every way to spoil the parts of a good token.
pub(super) fn parts(token: &Token) -> Vec<(&'static str, String)> {
    let Token { header, payload, signature } = token;
    let (text, signature) = (token.text(), encode(signature));
    let json = format!(
        "{{\"protected\":\"{header}\",\"payload\":\"{payload}\",\"signature\":\"{signature}\"}}"
    );
    let none = encode(b"{\"alg\":\"none\"}");
    vec![
        ("parts", format!("{header}.{payload}")),
        ("parts", format!("{header}.{payload}.")),
        ("parts", format!("{header}..{signature}")),
        ("parts", format!(".{payload}.{signature}")),
        ("parts", format!("{text}.")),
        ("parts", format!(".{text}")),
        ("parts", format!("{text}.{signature}")),
        ("parts", format!("{text}..")),
        ("parts", format!("{text}.AAAA.AAAA")),
        ("parts", format!("{text}.a.b.c")),
        ("parts", format!("{payload}.{header}.{signature}")),
        ("parts", format!("{signature}.{payload}.{header}")),
        ("parts", format!("{header}{payload}.{signature}")),
        ("parts", text.replace('.', "")),
        ("parts", text.replace('.', "..")),
        ("parts", header.clone()),
        ("parts", ".".to_owned()),
        ("parts", "..".to_owned()),
        ("parts", format!("{text}~")),
        ("parts", format!("{text}~{text}~")),
        ("parts", format!("{none}.{payload}.")),
        ("parts", format!("{none}.{payload}.{signature}")),
        ("JSON serialization", json.clone()),
        ("JSON serialization", encode(json.as_bytes())),
        ("a token in a token", encode(text.as_bytes())),
        ("characters", text.to_ascii_lowercase()),
        ("characters", text.to_ascii_uppercase()),
        ("characters", text.chars().rev().collect()),
        ("characters", text.replace('.', "%2E")),
        ("characters", text.replace('.', "\u{ff0e}")),
        ("characters", format!("\"{text}\"")),
        ("characters", format!("{text};x")),
        ("characters", format!("{text},{text}")),
        ("characters", format!("{text} {text}")),
        ("characters", format!("Bearer {text}")),
        ("characters", format!("{header} .{payload}.{signature}")),
        ("characters", format!("{header}. {payload}.{signature}")),
        ("characters", format!("{header}.{payload}.\t{signature}")),
        ("characters", format!("{header}.{payload}.{signature}\u{e9}")),
        ("signature: padding", format!("{text}=")),
        ("signature: padding", format!("{text}==")),
        ("signature: padding", format!("{text}====")),
        ("signature: loose bits", next_last_character(&text)),
        ("signature: white space", format!("{header}.{payload}.{}", spaced(&signature))),
        ("signature: another alphabet", another_alphabet(header, payload, &signature)),
    ]
}

/// Every way to spoil a signature, or to make another one out of it.
pub(super) fn signatures(
    draft: &Draft,
    signer: &Signer,
    others: &[&Signer],
    random: &mut Rng,
) -> Vec<(String, String)> {
    let token = draft.sealed(signer);
    let good = &token.signature;
    let half = good.len() / 2;
    // Others add the zeros that an RSA signature lacks in front, which RFC 8017 section 8.1.2 forbids. One
    // in 256 begins with such a byte, so it is not left to chance: the cut goes through a byte that counts.
    let first = 1 + good.iter().position(|byte| *byte != 0).unwrap_or_default();
    let message = token.signed();
    let bytes: Vec<u8> = (0..good.len()).map(|_| random.u8(..)).collect();
    let mut bad = vec![
        ("truncated", good[..good.len() - 1].to_vec()),
        ("truncated", good[first..].to_vec()),
        ("truncated", good[..half].to_vec()),
        ("truncated", good[..1].to_vec()),
        ("extended", [good, [0].as_slice()].concat()),
        ("extended", [[0].as_slice(), good].concat()),
        ("extended", [good.as_slice(), good].concat()),
        ("extended", [good, [1].repeat(2000).as_slice()].concat()),
        ("of nobody", vec![0; good.len()]),
        ("of nobody", vec![0xff; good.len()]),
        ("of nobody", [&[0].repeat(good.len() - 1), [1].as_slice()].concat()),
        ("of nobody", bytes),
        ("of nobody", good.iter().rev().copied().collect()),
        ("halves swapped", [&good[half..], &good[..half]].concat()),
        ("one half zero", [&good[..half], vec![0; half].as_slice()].concat()),
        ("one half zero", [vec![0; half].as_slice(), &good[half..]].concat()),
        ("of another text", signer.sign(b"")),
        ("of another text", signer.sign(token.payload.as_bytes())),
        ("of another text", signer.sign(draft.claims.json().as_bytes())),
        ("in DER", signer.sign_in_der(message.as_bytes())),
    ];
    bad.extend(related(signer, good));
    for other in others {
        let kind = "of another key";
        bad.push((kind, other.sign(message.as_bytes())));
        bad.push((kind, other.sign_as(signer.algorithm, message.as_bytes())));
    }
    bad.push(("of another key", Signer::all()[0].sign(message.as_bytes())));
    bad.into_iter()
        .filter(|(_, signature)| signature != good)
        .map(|(kind, signature)| (format!("signature: {kind}"), token.with_signature(&signature)))
        .collect()
}

/// HMAC under everything that is public, as RFC 8725 section 2.1 tells of.
pub(super) fn public_key_as_secret(draft: &Draft, signer: &Signer) -> Vec<String> {
    let payload = encode(draft.claims.json().as_bytes());
    let mut tokens = Vec::new();
    for algorithm in ["HS256", signer.algorithm] {
        let alg = quoted(algorithm);
        let kid = quoted(signer.kid);
        for header in [format!("{{\"alg\":{alg},\"kid\":{kid}}}"), format!("{{\"alg\":{alg}}}")] {
            let message = format!("{}.{payload}", encode(header.as_bytes()));
            let macs = signer.public_bytes().into_iter().map(|key| hs256(&key, message.as_bytes()));
            tokens.extend(macs.map(|mac| format!("{message}.{}", encode(&mac))));
        }
    }
    tokens
}

/// Each key under each name, for each algorithm: only the four true ones are good.
pub(super) fn swapped_keys(signers: &[Signer], draft: &Draft) -> Vec<(bool, String)> {
    let payload = encode(draft.claims.json().as_bytes());
    let names: Vec<Option<&str>> = signers.iter().map(|s| Some(s.kid)).chain([None]).collect();
    let mut tokens = Vec::new();
    for (announced, signing) in signers.iter().flat_map(|a| signers.iter().map(move |s| (a, s))) {
        for kid in &names {
            let alg = quoted(announced.algorithm);
            let kid_member = kid.map(|kid| format!(",\"kid\":{}", quoted(kid))).unwrap_or_default();
            let header = encode(format!("{{\"alg\":{alg}{kid_member}}}").as_bytes());
            let signed = format!("{header}.{payload}");
            let signature = signing.sign_as(announced.algorithm, signed.as_bytes());
            let good = announced.kid == signing.kid && kid.is_none_or(|kid| kid == signing.kid);
            tokens.push((good, format!("{signed}.{}", encode(&signature))));
        }
    }
    tokens
}

/// A bit flipped in one of the decoded parts, or a character replaced in the text.
pub(super) fn flipped(token: &Token, draft: &Draft, random: &mut Rng) -> (&'static str, String) {
    let Token { header, payload, signature } = token;
    let flip =
        |json: String, random: &mut Rng| encode(&with_a_flipped_bit(json.as_bytes(), random));
    match random.u8(..4) {
        0 => {
            let header = flip(draft.header.json(), random);
            ("a bit flipped: header", format!("{header}.{payload}.{}", encode(signature)))
        }
        1 => {
            let payload = flip(draft.claims.json(), random);
            ("a bit flipped: payload", format!("{header}.{payload}.{}", encode(signature)))
        }
        2 => {
            let signature = with_a_flipped_bit(signature, random);
            ("a bit flipped: signature", token.with_signature(&signature))
        }
        _ => ("a character replaced", with_another_character(&token.text(), random)),
    }
}

/// Another character of the alphabet, anywhere but where it would only change loose bits. One draw
/// for each choice, whatever stands there: otherwise all later edits would depend on the keys.
fn with_another_character(text: &str, random: &mut Rng) -> String {
    let place = random.usize(..text.len() - 1);
    let step = random.usize(1..ALPHABET.len());
    let known = ALPHABET.find(&text[place..=place]).unwrap_or(0);
    let other = (known + step) % ALPHABET.len();
    format!("{}{}{}", &text[..place], &ALPHABET[other..=other], &text[place + 1..])
}

/// Numbers that are equal modulo something: other signatures for whoever does not check their
/// range.
fn related(signer: &Signer, good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut related = Vec::new();
    match signer.algorithm {
        "ES256" => {
            let (r, s) = good.split_at(32);
            // (r, n - s) is as good as (r, s), so it must not be treated otherwise by any judge.
            related.push(("s negated", [r, &difference(&P256_ORDER, s)].concat()));
            related.push(("r negated", [&difference(&P256_ORDER, r), s].concat()));
            related.push(("out of range", [r, P256_ORDER.as_slice()].concat()));
            related.push(("out of range", [P256_ORDER.as_slice(), s].concat()));
            related.push(("out of range", [r, &sum(s, &P256_ORDER)].concat()));
        }
        "EdDSA" => {
            let (point, scalar) = good.split_at(32);
            let scalar: Vec<u8> = scalar.iter().rev().copied().collect();
            let mut larger = sum(&scalar, &ED25519_ORDER);
            // The sum is below 2^254, so nothing was carried.
            larger.reverse();
            related.push(("out of range", [point, &larger[..32]].concat()));
        }
        _ => {
            let modulus = signer.modulus().expect("an RSA key");
            related.push(("out of range", sum(good, &modulus)));
            if good.cmp(&modulus) == Ordering::Less {
                related.push(("negated", difference(&modulus, good)));
            }
        }
    }
    related
}

/// Big-endian numbers of equal length, added; one byte longer when it has to be.
fn sum(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut digits: Vec<u8> = Vec::new();
    for (left, right) in left.iter().rev().zip(right.iter().rev()) {
        let digit = u16::from(*left) + u16::from(*right) + carry;
        carry = digit >> 8;
        digits.push(digit.to_le_bytes()[0]);
    }
    if carry > 0 {
        digits.push(1);
    }
    digits.reverse();
    digits
}

/// The smaller taken from the larger.
fn difference(larger: &[u8], smaller: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut digits: Vec<u8> = Vec::new();
    for (larger, smaller) in larger.iter().rev().zip(smaller.iter().rev()) {
        let digit = 0x100 + u16::from(*larger) - u16::from(*smaller) - borrow;
        borrow = u16::from(digit < 0x100);
        digits.push(digit.to_le_bytes()[0]);
    }
    digits.reverse();
    digits
}

fn spaced(text: &str) -> String {
    let (start, end) = text.split_at(text.len() / 2);
    format!("{start} {end}")
}

/// The signature in the alphabet of RFC 4648 section 4; a signature that has no such character gets
/// one.
fn another_alphabet(header: &str, payload: &str, signature: &str) -> String {
    let other = signature.replace('-', "+").replace('_', "/");
    let other = if other == signature { format!("{other}++++") } else { other };
    format!("{header}.{payload}.{other}")
}

/// The order of the curve P-256 (SEC 2 section 2.4.2).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The order of Ed25519's base point, big-endian (RFC 8032 section 5.1).
const ED25519_ORDER: [u8; 32] = [
    0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0xde, 0xf9, 0xde, 0xa2, 0xf7, 0x9c,
    0xd6, 0x58, 0x12, 0x63, 0x1a, 0x5c, 0xf5, 0xd3, 0xed,
];
