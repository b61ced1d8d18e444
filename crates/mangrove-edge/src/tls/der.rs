//! Just enough DER (X.690) to read dates, serial numbers and names out of certificates and OCSP
//! responses. It checks no signature: that is rustls' work on the chain, and the client's on the
//! staple. Every reader answers `None` for bytes that it does not understand.

use std::fmt;
use std::time::Duration;

use rustls::pki_types::UnixTime;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// The tag of a primitive, context-specific field `[n]`.
pub(super) const fn context(n: u8) -> u8 {
    0x80 | n
}

/// The tag of a constructed, context-specific field `[n]`.
pub(super) const fn context_constructed(n: u8) -> u8 {
    0xa0 | n
}

/// Reads tag, length and value one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is: its tag and its value.
    pub(super) fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        // Tags of more than one byte occur in nothing that we read.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = length(rest)?;
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The value of the next element, which must have this tag.
    pub(super) fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element()
            .filter(|(found, _)| *found == tag)
            .map(|(_, value)| value)
    }

    /// Steps into the next element, which must have this tag.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Der<'a>> {
        self.value(tag).map(Der)
    }

    /// The next element's value if it has this tag; otherwise nothing is consumed.
    pub(super) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let value = ahead.value(tag)?;
        *self = ahead;
        Some(value)
    }

    /// A `Time` (RFC 5280 section 4.1.2.5): UTCTime or GeneralizedTime, in seconds, in UTC.
    pub(super) fn time(&mut self) -> Option<UnixTime> {
        match self.element()? {
            (UTC_TIME, text) => utc_time(text),
            (GENERALIZED_TIME, text) => generalized_time(text),
            _ => None,
        }
    }
}

/// A definite length of at most four bytes (X.690 section 8.1.3).
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let count = match first {
        0..=0x7f => return Some((usize::from(first), rest)),
        0x81..=0x84 => usize::from(first & 0x7f),
        _ => return None,
    };
    let (digits, rest) = rest.split_at_checked(count)?;
    let length = digits
        .iter()
        .fold(0_u32, |sum, digit| sum << 8 | u32::from(*digit));
    Some((usize::try_from(length).ok()?, rest))
}

/// `YYMMDDHHMMSSZ`; years from 50 on are of the twentieth century.
fn utc_time(text: &[u8]) -> Option<UnixTime> {
    let (year, rest) = number(text, 2)?;
    date_time(if year >= 50 { 1900 + year } else { 2000 + year }, rest)
}

/// `YYYYMMDDHHMMSSZ`.
fn generalized_time(text: &[u8]) -> Option<UnixTime> {
    let (year, rest) = number(text, 4)?;
    date_time(year, rest)
}

/// The rest after the year. Times before 1970 become 1970: they are long over either way.
fn date_time(year: u32, text: &[u8]) -> Option<UnixTime> {
    let (month, rest) = number(text, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = number(rest, 2)?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if rest != b"Z" || !in_range {
        return None;
    }
    let days = days_since_1970(i64::from(year), i64::from(month), i64::from(day));
    let of_day = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    let seconds = u64::try_from(days * 86_400 + of_day).unwrap_or(0);
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

/// Exactly this many decimal digits.
fn number(text: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (head, rest) = text.split_at_checked(digits)?;
    let value = head.iter().try_fold(0_u32, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u32::from(digit - b'0'))
    })?;
    Some((value, rest))
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day
/// is the last of its year; 400 years have 146,097 days, and day 719,468 of year 0 is 1970-01-01.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// Prints the day of a point in time, as `2026-11-22`.
pub(super) struct Date(pub(super) UnixTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Certificates end in the year 9999 at the latest; the clamp keeps the arithmetic in range.
        let mut days = i64::try_from(self.0.as_secs() / 86_400)
            .unwrap_or(i64::MAX)
            .min(2_932_896);
        let mut year = 1970;
        while days >= days_since_1970(year + 1, 1, 1) {
            year += 1;
        }
        let month = (1..=12)
            .rfind(|month| days >= days_since_1970(year, *month, 1))
            .unwrap_or(1);
        days -= days_since_1970(year, month, 1);
        write!(f, "{year:04}-{month:02}-{:02}", days + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
        bytes.extend_from_slice(text.as_bytes());
        Der::new(&bytes).time().map(|time| time.as_secs())
    }

    #[test]
    fn times_of_both_kinds_are_read_in_utc() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "240229120000Z"), Some(1_709_208_000));
        assert_eq!(seconds(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(
            seconds(UTC_TIME, "500101000000Z"),
            Some(0),
            "1950 counts as long over"
        );
        assert_eq!(
            seconds(GENERALIZED_TIME, "20500101000000Z"),
            Some(2_524_608_000)
        );
        assert_eq!(
            seconds(GENERALIZED_TIME, "99991231235959Z"),
            Some(253_402_300_799)
        );
    }

    #[test]
    fn anything_but_a_whole_utc_second_is_no_time() {
        for text in [
            "2402291200Z",
            "240229120000+0100",
            "241329120000Z",
            "24022912000 Z",
            "",
        ] {
            assert_eq!(seconds(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(seconds(OCTET_STRING, "240229120000Z"), None);
    }

    #[test]
    fn dates_print_as_they_were_read() {
        for (text, date) in [
            ("700101000000Z", "1970-01-01"),
            ("240229120000Z", "2024-02-29"),
        ] {
            let time = utc_time(text.as_bytes()).unwrap();
            assert_eq!(Date(time).to_string(), date);
        }
        let last = generalized_time(b"99991231235959Z").unwrap();
        assert_eq!(Date(last).to_string(), "9999-12-31");
        let beyond = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
        assert_eq!(Date(beyond).to_string(), "9999-12-31");
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        assert!(Der::new(&[SEQUENCE, 0x02, 0x00]).element().is_none());
        assert!(
            Der::new(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff])
                .element()
                .is_none()
        );
        assert!(
            Der::new(&[SEQUENCE, 0x85, 0, 0, 0, 0, 0])
                .element()
                .is_none()
        );
        assert!(Der::new(&[SEQUENCE, 0x80, 0, 0]).element().is_none());
        assert_eq!(
            Der::new(&[SEQUENCE, 0x81, 0x01, 7]).element(),
            Some((SEQUENCE, &[7][..]))
        );
    }
}
