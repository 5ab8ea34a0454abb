//! Durations (`250ms`, `10s`) and sizes (`64KiB`) as the YAML writes them.
//!
//! Part of `config`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A duration: a whole number and `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct DurationYaml(pub(super) Duration);

impl DurationYaml {
    pub(super) const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl TryFrom<String> for DurationYaml {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (number, unit) = split(&text);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(format!("`{text}` is not a duration; write 250ms, 10s, 5m or 1h")),
        };
        let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a duration"))?;
        match number.checked_mul(millis) {
            Some(0) => Err("a duration of zero".into()),
            Some(millis) if millis <= MAX_MILLIS => Ok(Self(Duration::from_millis(millis))),
            _ => Err(format!("`{text}` is longer than 24h")),
        }
    }
}

impl JsonSchema for DurationYaml {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "vicar-duration", "pattern": "^[0-9]+(ms|s|m|h)$" })
    }
}

/// A size in bytes: a whole number, alone or with `KiB` or `MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct SizeYaml(pub(super) u32);

impl TryFrom<String> for SizeYaml {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (number, unit) = split(&text);
        let factor = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return Err(format!("`{text}` is not a size; write 512, 64KiB or 1MiB")),
        };
        number
            .parse::<u32>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size below 4 GiB"))
    }
}

impl JsonSchema for SizeYaml {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "vicar-size", "pattern": "^[0-9]+(B|KiB|MiB)?$" })
    }
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

const MAX_MILLIS: u64 = 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_and_sizes_and_refuses_the_rest() {
        let millis = |text: &str| DurationYaml::try_from(text.to_owned()).map(|d| d.0.as_millis());
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("5m"), Ok(300_000));
        for text in ["5", "-1s", "0s", "1d", "25h", "s", "1.5s", "99999999999999999999s"] {
            assert!(millis(text).is_err(), "{text}");
        }
        let bytes = |text: &str| SizeYaml::try_from(text.to_owned()).map(|size| size.0);
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("512"), Ok(512));
        for text in ["64KB", "5000MiB", "-1", "KiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
