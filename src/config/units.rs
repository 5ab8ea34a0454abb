//! Durations (`250ms`, `10s`), sizes (`64KiB`) and days (`2026-12-31`) as the YAML writes them.
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

/// A day, `YYYY-MM-DD`, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct DateYaml {
    days_since_epoch: u64,
}

impl DateYaml {
    /// The end of the day, since the epoch.
    pub(super) fn end(self) -> Duration {
        Duration::from_secs((self.days_since_epoch + 1) * 86_400)
    }
}

impl TryFrom<String> for DateYaml {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let not = || format!("`{text}` is not a day; write YYYY-MM-DD");
        let part = |range: std::ops::Range<usize>| {
            let digits = text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|digits| digits.parse::<u64>().ok())
        };
        let shaped = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        let parts = part(0..4).zip(part(5..7)).zip(part(8..10)).filter(|_| shaped);
        let ((year, month), day) = parts.ok_or_else(not)?;
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let february = if is_leap(year) { 29 } else { 28 };
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let month = usize::try_from(month).ok().and_then(|month| month.checked_sub(1));
        let length = month.and_then(|month| lengths.get(month)).ok_or_else(not)?;
        if year < 1970 || day == 0 || day > *length {
            return Err(not());
        }
        let years: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
        let months: u64 = lengths.iter().take(month.unwrap_or_default()).sum();
        Ok(Self { days_since_epoch: years + months + day - 1 })
    }
}

impl JsonSchema for DateYaml {
    fn schema_name() -> Cow<'static, str> {
        "Date".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
        json_schema!({ "type": "string", "format": "vicar-date", "pattern": pattern })
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
        let end = |text: &str| DateYaml::try_from(text.to_owned()).map(|date| date.end().as_secs());
        assert_eq!(end("1970-01-01"), Ok(86_400));
        assert_eq!(end("2024-02-29"), Ok(1_709_251_200));
        assert_eq!(end("2026-12-31"), Ok(1_798_761_600));
        for text in ["2026-2-3", "2025-02-29", "2026-13-01", "2026-00-01", "+026-01-01", "soon"] {
            assert!(end(text).is_err(), "{text}");
        }
        let bytes = |text: &str| SizeYaml::try_from(text.to_owned()).map(|size| size.0);
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("512"), Ok(512));
        for text in ["64KB", "5000MiB", "-1", "KiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
