//! Finds any 12 characters in a row of a planted secret, as it is or in a usual encoding.
//!
//! Letter case is ignored throughout: hex and percent-encoding come in both, and nothing by chance has
//! twelve characters of a secret in another case.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use url::form_urlencoded::byte_serialize;

/// How many characters in a row make a leak.
const PIECE: usize = 12;

/// Every piece that must not be found, with what it is a piece of.
#[derive(Debug)]
pub(crate) struct Scanner {
    pieces: HashMap<[u8; PIECE], String>,
}

impl Scanner {
    pub(crate) fn new(markers: &[(&str, &str)]) -> Self {
        let mut pieces = HashMap::new();
        for (name, marker) in markers {
            assert!(marker.len() >= 2 * PIECE, "{name} is too short to leave pieces");
            for (encoding, text) in encodings(marker) {
                for piece in text.to_ascii_lowercase().windows(PIECE) {
                    let piece = piece.try_into().expect("a window of that size");
                    let source = || format!("{name} ({encoding})");
                    pieces.entry(piece).or_insert_with(source);
                }
            }
        }
        Self { pieces }
    }

    /// What was found, each once, with the text around its first place.
    pub(crate) fn leaks(&self, bytes: &[u8]) -> Vec<String> {
        let mut found: Vec<(&str, String)> = Vec::new();
        for (start, window) in bytes.to_ascii_lowercase().windows(PIECE).enumerate() {
            let Some(source) = self.pieces.get(window) else { continue };
            if found.iter().all(|(known, _)| known != source) {
                let around = start.saturating_sub(120)..bytes.len().min(start + 60);
                found.push((source, String::from_utf8_lossy(&bytes[around]).into_owned()));
            }
        }
        found.into_iter().map(|(source, around)| format!("{source} in …{around}…")).collect()
    }
}

/// The marker in every form in which it could be written.
fn encodings(marker: &str) -> Vec<(&'static str, Vec<u8>)> {
    let form: String = byte_serialize(marker.as_bytes()).collect();
    let mut texts = vec![
        ("raw", marker.as_bytes().to_vec()),
        ("hex", hex(marker, "")),
        ("percent-encoded everywhere", hex(marker, "%")),
        ("percent-encoded", percent(marker)),
        ("form-encoded", form.clone().into_bytes()),
        ("JSON", serde_json::json!(marker).to_string().trim_matches('"').into()),
        ("debug text", format!("{marker:?}").trim_matches('"').into()),
        ("escaped bytes", marker.as_bytes().escape_ascii().to_string().into_bytes()),
        ("list of numbers", format!("{:?}", marker.as_bytes()).into_bytes()),
    ];
    for offset in 0..3 {
        // `Basic` encodes the form of a secret (RFC 6749 section 2.3.1), behind id and colon.
        for text in [marker, &form] {
            texts.push(("base64", base64(&STANDARD_NO_PAD, text, offset)));
            texts.push(("base64url", base64(&URL_SAFE_NO_PAD, text, offset)));
        }
    }
    texts
}

/// The characters of a base64 text that depend on `text` alone when it begins `offset` bytes into a
/// group of three.
fn base64(engine: &impl base64::Engine, text: &str, offset: usize) -> Vec<u8> {
    let padded = [&[0; 2][..offset], text.as_bytes()].concat();
    let mut encoded = engine.encode(&padded).into_bytes();
    if padded.len() % 3 != 0 {
        encoded.pop();
    }
    let shared = [0, 2, 3][offset];
    encoded.split_off(shared)
}

fn hex(text: &str, before_each: &str) -> Vec<u8> {
    let bytes = text.bytes().map(|byte| format!("{before_each}{byte:02x}"));
    bytes.collect::<String>().into_bytes()
}

/// As in a path or query: letters and digits stay.
fn percent(text: &str) -> Vec<u8> {
    let bytes = text.bytes().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    bytes.collect::<String>().into_bytes()
}

#[test]
fn finds_a_planted_leak_in_every_encoding() {
    let marker = super::marker::SECRET;
    let scanner = Scanner::new(&[("planted", marker)]);
    let plain = marker.replace('%', "");
    let form: String = byte_serialize(marker.as_bytes()).collect();
    let mut leaks: Vec<Vec<u8>> = vec![
        marker.into(),
        marker.to_uppercase().into(),
        format!("{:?}", Some(marker)).into(),
        serde_json::json!({ "text": marker }).to_string().into(),
        form.clone().into(),
        hex(marker, ""),
        hex(marker, "%"),
        String::from_utf8(hex(marker, "")).expect("ASCII").to_uppercase().into(),
        url::Url::parse(&format!("http://h/?q={plain}"))
            .expect("a URL")
            .query()
            .map(Into::into)
            .expect("a query"),
        format!("{:?}", bytes::Bytes::from_static(marker.as_bytes())).into(),
        format!("{:?}", marker.as_bytes()).into(),
    ];
    for before in ["", "i", "id", "id:", "long-id:"] {
        for text in [marker, &form] {
            let text = format!("{before}{text}:and more");
            leaks.push(base64::engine::general_purpose::STANDARD.encode(&text).into());
            leaks.push(base64::engine::general_purpose::URL_SAFE.encode(&text).into());
        }
    }
    for leak in leaks {
        let line = [b"a line with ".as_slice(), &leak, b" in the middle"].concat();
        assert!(!scanner.leaks(&line).is_empty(), "{}", String::from_utf8_lossy(&line));
    }
}

#[test]
fn twelve_characters_are_a_leak_and_eleven_are_not() {
    let marker = super::marker::TOKEN;
    let scanner = Scanner::new(&[("planted", marker)]);
    for start in 0..=marker.len() - PIECE {
        let piece = &marker[start..start + PIECE];
        let found = scanner.leaks(format!("…{piece}…").as_bytes());
        assert_eq!(found.len(), 1, "{piece}");
        assert!(found[0].starts_with("planted (raw)"), "{found:?}");
        assert!(scanner.leaks(&piece.as_bytes()[1..]).is_empty(), "{piece}");
    }
    assert!(scanner.leaks(b"an innocent line of more than twelve characters").is_empty());
    assert!(scanner.leaks(b"short").is_empty());
}

#[test]
fn the_planted_secrets_have_nothing_in_common() {
    for (name, marker) in super::marker::ALL {
        let others: Vec<_> =
            super::marker::ALL.iter().copied().filter(|(other, _)| other != name).collect();
        assert!(Scanner::new(&others).leaks(marker.as_bytes()).is_empty(), "{name}");
    }
}
