//! What may be wrong with the bytes of a header or payload, encoded and signed as they are.
//!
//! Part of `differential`: whoever reads a signed text otherwise than its signer can be led astray.

use fastrand::Rng;

use super::{
    keys::Signer,
    token::{Draft, Part, Token, encode},
};

/// A token whose header or payload is this text, not what the draft says.
pub(super) fn with_text(draft: &Draft, signer: &Signer, part: Part, text: &[u8]) -> Token {
    let (header, claims) = (draft.header.json(), draft.claims.json());
    match part {
        Part::Header => Token::seal(signer, text, claims.as_bytes()),
        Part::Claims => Token::seal(signer, header.as_bytes(), text),
    }
}

/// Every bad form of a JSON text, by name.
pub(super) fn forms(json: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = json.as_bytes();
    let inner = json.trim_start_matches('{').trim_end_matches('}');
    let utf16 = |order: fn(u16) -> [u8; 2]| json.encode_utf16().flat_map(order).collect();
    let inside = |what: &[u8]| {
        let start = format!("{{{inner},\"x\":\"");
        [start.as_bytes(), what, b"\"}"].concat()
    };
    vec![
        ("a byte order mark", [b"\xef\xbb\xbf", bytes].concat()),
        ("UTF-16", utf16(u16::to_le_bytes)),
        ("UTF-16", utf16(u16::to_be_bytes)),
        ("not UTF-8", inside(b"\xff")),
        ("not UTF-8", inside(b"\xc0\x80")),
        ("not UTF-8", inside(b"\xed\xa0\x80")),
        ("not UTF-8", inside(b"\xf4\x90\x80\x80")),
        ("not UTF-8", inside(b"\xe2\x82")),
        ("no JSON", inside(b"\0")),
        ("no JSON", inside(b"\n")),
        ("no JSON", [bytes, b"}"].concat()),
        ("no JSON", [bytes, bytes].concat()),
        ("no JSON", [bytes, b"\0"].concat()),
        ("no JSON", [bytes, b"x"].concat()),
        ("no JSON", [b"\0", bytes].concat()),
        ("no JSON", bytes[..bytes.len() - 1].to_vec()),
        ("no JSON", format!("{{{inner},}}").into_bytes()),
        ("no JSON", format!("{{{inner} /* x */}}").into_bytes()),
        ("no JSON", json.replace('"', "'").into_bytes()),
        ("no JSON", json.replace("\":", "\" ").into_bytes()),
        ("no JSON", format!("\u{a0}{json}").into_bytes()),
        ("no JSON", b"{}}".to_vec()),
        ("no object", format!("[{json}]").into_bytes()),
        ("no object", b"null".to_vec()),
        ("no object", b"1".to_vec()),
        ("no object", b"\"x\"".to_vec()),
        ("no object", b"[]".to_vec()),
        ("no object", json.replace('"', "\\\"").into_bytes()),
        ("empty", Vec::new()),
        ("empty", b"{}".to_vec()),
        ("empty", b" ".to_vec()),
    ]
}

/// Every bad way to encode a part, signed as it is.
pub(super) fn encodings(json: &str, random: &mut Rng) -> Vec<(&'static str, String)> {
    // One byte more leaves two characters at the end, and so four loose bits.
    let padded = |tail: usize| {
        let spaces = (3 + tail - json.len() % 3) % 3;
        encode(format!("{json}{}", " ".repeat(spaces)).as_bytes())
    };
    let (one, two) = (padded(1), padded(2));
    let place = random.usize(1..one.len());
    let with = |what: &str| format!("{}{what}{}", &one[..place], &one[place..]);
    vec![
        ("padding", format!("{one}==")),
        ("padding", format!("{two}=")),
        ("padding", format!("{one}=")),
        ("padding", format!("{}=", padded(0))),
        ("padding", with("=")),
        ("white space", with(" ")),
        ("white space", with("\t")),
        ("loose bits", next_last_character(&one)),
        ("loose bits", next_last_character(&two)),
        ("a character too many", format!("{}A", padded(0))),
        ("another alphabet", with("++++")),
        ("another alphabet", with("////")),
        ("no base64", with("!")),
        ("no base64", with("%41")),
        ("no base64", with("\u{e9}")),
        ("not encoded", json.to_owned()),
    ]
}

/// The same text but for one bit, at a random place.
pub(super) fn with_a_flipped_bit(text: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut text = text.to_vec();
    let place = random.usize(..text.len());
    text[place] ^= 1 << random.u8(..8);
    text
}

/// The same text with its last character followed by its neighbour in the alphabet: equal bytes to
/// whoever ignores loose bits.
pub(super) fn next_last_character(text: &str) -> String {
    let (start, last) = text.split_at(text.len() - 1);
    let place = ALPHABET.find(last).expect("a character of base64url");
    format!("{start}{}", &ALPHABET[place ^ 1..=place ^ 1])
}

/// RFC 4648 section 5.
pub(super) const ALPHABET: &str =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
