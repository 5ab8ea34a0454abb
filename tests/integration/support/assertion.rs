//! Client assertions (RFC 7523) as an authority sees them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::pairs::Pair;

/// What an assertion says; nothing is believed before `check`.
#[derive(Clone, Debug)]
pub struct Assertion {
    pub header: Value,
    pub claims: Value,
    message: String,
    signature: Vec<u8>,
}

/// What an authority expects of every assertion.
#[derive(Clone, Debug)]
pub struct Expected {
    pub client_id: String,
    pub audience: String,
    /// Seconds since the epoch.
    pub now: u64,
}

impl Assertion {
    /// Takes a compact JWS apart.
    pub fn read(text: &str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).ok();
        Some(Self {
            header: json(header)?,
            claims: json(claims)?,
            message: message.to_owned(),
            signature: decode(signature)?,
        })
    }

    /// What is wrong with it, if its signature should be this pair's.
    pub fn fault(&self, pair: &Pair, expected: &Expected) -> Option<String> {
        let (header, claims) = (&self.header, &self.claims);
        let is = |there: bool, what: &str| (!there).then(|| format!("{what}: {header} {claims}"));
        let algorithm = header["alg"].as_str().unwrap_or_default();
        is(pair.made(algorithm, self.message.as_bytes(), &self.signature), "the signature")
            .or_else(|| is(header["typ"] == "JWT", "typ"))
            .or_else(|| is(claims["iss"] == expected.client_id.as_str(), "iss"))
            .or_else(|| is(claims["sub"] == expected.client_id.as_str(), "sub"))
            .or_else(|| is(claims["aud"] == expected.audience.as_str(), "aud"))
            .or_else(|| is(claims.get("nbf").is_none(), "nbf"))
            .or_else(|| is(is_uuid(claims["jti"].as_str().unwrap_or_default()), "jti"))
            .or_else(|| is(self.is_timely(expected.now).unwrap_or(false), "iat and exp"))
    }

    /// Whether it was made a moment ago and ends within ten minutes.
    fn is_timely(&self, now: u64) -> Option<bool> {
        let (iat, exp) = (self.claims["iat"].as_u64()?, self.claims["exp"].as_u64()?);
        Some(iat <= now + 1 && now <= iat + SLACK && now < exp && exp - iat <= LONGEST)
    }
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// How long an assertion may be on its way while a test moves the clock.
const SLACK: u64 = 60;

/// The longest life that any authority must accept.
const LONGEST: u64 = 600;
