//! Durations and sizes as people write them.

use std::time::Duration;

use crate::setting::Unit;

const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// How durations are written, for messages.
pub(crate) const TIME_FORM: &str =
    "a duration is a whole number with ms, s, m or h, in quotes: \"10s\"";
/// How sizes are written, for messages.
pub(crate) const SIZE_FORM: &str = "a size is a number of bytes, or a whole number with KiB, MiB, GiB or TiB, in quotes: \"32KiB\"";

/// Reads `10s`, `500ms`, `2m`, `1h`.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    parse(text, &TIMES).map(Duration::from_millis)
}

/// Reads `32KiB`, `1MiB`, `512B`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

/// A magnitude as it is written in a file, without quotes.
pub(crate) fn show(unit: Unit, magnitude: u64) -> String {
    match unit {
        Unit::Time if magnitude == 0 => "0s".to_owned(),
        Unit::Time => with_unit(magnitude, &TIMES),
        Unit::Bytes => with_unit(magnitude, &SIZES),
        Unit::Rate => format!("{}/s", with_unit(magnitude, &SIZES)),
        Unit::Percent => format!("{magnitude}%"),
        Unit::Count
        | Unit::Address
        | Unit::Text
        | Unit::List
        | Unit::Flag
        | Unit::Choice
        | Unit::Table => magnitude.to_string(),
    }
}

/// A magnitude as it is written in TOML, with quotes where they are needed.
pub(crate) fn written(unit: Unit, magnitude: u64) -> String {
    match unit {
        Unit::Time => format!("\"{}\"", show(unit, magnitude)),
        Unit::Bytes | Unit::Rate if magnitude >= 1024 && magnitude.is_multiple_of(1024) => {
            format!("\"{}\"", with_unit(magnitude, &SIZES))
        }
        _ => magnitude.to_string(),
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units
        .iter()
        .find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn with_unit(magnitude: u64, units: &[(&str, u64)]) -> String {
    let unit = units
        .iter()
        .find(|(_, factor)| magnitude >= *factor && magnitude.is_multiple_of(*factor));
    let (name, factor) = unit.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{name}", magnitude / factor.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(parse_time("10s"), Some(Duration::from_secs(10)));
        assert_eq!(parse_time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_time("2 m"), Some(Duration::from_secs(120)));
        assert_eq!(parse_size("32KiB"), Some(32_768));
        for wrong in [
            "",
            "s",
            "10",
            "-1s",
            "1.5s",
            "10 parsecs",
            "99999999999999999999s",
            "18446744073709551615h",
            "१s",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
        assert_eq!(parse_size("10MB"), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_back(magnitude in 0_u64..1 << 50) {
            prop_assert_eq!(parse(&with_unit(magnitude, &TIMES), &TIMES), Some(magnitude));
            prop_assert_eq!(parse(&with_unit(magnitude, &SIZES), &SIZES), Some(magnitude));
        }
    }
}
