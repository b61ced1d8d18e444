//! Two clocks that must not be mixed up, and the dates HTTP writes.
//!
//! Nothing here reads a clock: the edge hands [`Moment`] and [`UnixMillis`] in.

use std::ops::Add;
use std::time::Duration;

/// Milliseconds on the edge's monotonic clock: for deadlines and ages, never for dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn saturating_since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    /// Saturates: a deadline beyond the end of time is the end of time.
    fn add(self, wait: Duration) -> Moment {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(wait))
    }
}

/// Wall clock: whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Whole seconds since 1970, as dates in HTTP count them.
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }
}

/// The last second [`imf_fixdate`] can write: 9999-12-31T23:59:59Z.
pub const LAST_DATE_SECS: u64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7). Later than year 9999 writes the last second of 9999.
pub fn imf_fixdate(secs: u64) -> [u8; 29] {
    let secs = secs.min(LAST_DATE_SECS);
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil_from_days(days);
    let weekday = (days + 4) % 7; // 1970-01-01 was a Thursday; 0 is Sunday
    let mut out = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    put(&mut out, 0, three(WEEKDAYS, weekday));
    put(&mut out, 5, &two_digits(day));
    put(&mut out, 8, three(MONTHS, month - 1));
    put(&mut out, 12, &two_digits(year / 100));
    put(&mut out, 14, &two_digits(year % 100));
    put(&mut out, 17, &two_digits(second / 3600));
    put(&mut out, 20, &two_digits(second / 60 % 60));
    put(&mut out, 23, &two_digits(second % 60));
    out
}

/// Reads any of the three date forms of RFC 9110 section 5.6.7 as seconds since 1970.
///
/// Strict: exact widths, `GMT`, a day that exists in its month. The name of the weekday must be one, but is not checked
/// against the date. Second 60 (a leap second) counts as 59. `None` for anything else, and for dates before 1970.
///
/// The obsolete RFC 850 form has two digits for the year; one that appears to be more than 50 years after `now` is in the
/// past century, as the RFC asks.
pub fn parse_http_date(text: &[u8], now: UnixMillis) -> Option<u64> {
    let (date, rest) = match text {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [a, b, c, b',', b' ', rest @ ..] if rest.len() == 24 => {
            index_of(WEEKDAYS, &[*a, *b, *c])?;
            let (day, rest) = number(rest, 2)?;
            let rest = literal(rest, b" ")?;
            let (month, rest) = month(rest)?;
            let rest = literal(rest, b" ")?;
            let (year, rest) = number(rest, 4)?;
            let rest = literal(rest, b" ")?;
            ((year, month, day), rest)
        }
        // Sun Nov  6 08:49:37 1994
        [a, b, c, b' ', rest @ ..] if rest.len() == 20 => {
            index_of(WEEKDAYS, &[*a, *b, *c])?;
            let (month, rest) = month(rest)?;
            let rest = literal(rest, b" ")?;
            let (day, rest) = match rest {
                [b' ', rest @ ..] => number(rest, 1)?,
                rest => number(rest, 2)?,
            };
            let rest = literal(rest, b" ")?;
            let (time, year) = rest.split_at_checked(8)?;
            let (year, end) = number(literal(year, b" ")?, 4)?;
            if !end.is_empty() {
                return None;
            }
            let (second, end) = time_of_day(time)?;
            return end
                .is_empty()
                .then(|| seconds(year, month, day, second))
                .flatten();
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        _ => {
            let comma = text.iter().position(|&b| b == b',')?;
            let (weekday, rest) = text.split_at_checked(comma)?;
            if !LONG_WEEKDAYS.contains(&weekday) {
                return None;
            }
            let rest = literal(rest, b", ")?;
            let (day, rest) = number(rest, 2)?;
            let (month, rest) = month(literal(rest, b"-")?)?;
            let (short_year, rest) = number(literal(rest, b"-")?, 2)?;
            let rest = literal(rest, b" ")?;
            let (this_year, _, _) = civil_from_days(now.secs().min(LAST_DATE_SECS) / 86_400);
            let mut year = this_year / 100 * 100 + short_year;
            if year > this_year + 50 {
                year = year.checked_sub(100)?;
            }
            ((year, month, day), rest)
        }
    };
    let (second, rest) = time_of_day(rest)?;
    let (year, month, day) = date;
    (rest == b" GMT")
        .then(|| seconds(year, month, day, second))
        .flatten()
}

const WEEKDAYS: &[u8; 21] = b"SunMonTueWedThuFriSat";
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const LONG_WEEKDAYS: [&[u8]; 7] = [
    b"Sunday",
    b"Monday",
    b"Tuesday",
    b"Wednesday",
    b"Thursday",
    b"Friday",
    b"Saturday",
];

fn put(out: &mut [u8; 29], at: usize, text: &[u8]) {
    for (to, from) in out.iter_mut().skip(at).zip(text) {
        *to = *from;
    }
}

fn three(table: &[u8], index: u64) -> &[u8] {
    let at = usize::try_from(index).unwrap_or(0) * 3;
    table.get(at..at + 3).unwrap_or(b"???")
}

fn index_of(table: &[u8], name: &[u8]) -> Option<u64> {
    table
        .chunks_exact(3)
        .zip(0..)
        .find_map(|(chunk, index)| (chunk == name).then_some(index))
}

fn two_digits(value: u64) -> [u8; 2] {
    let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or(0);
    [digit(value / 10), digit(value)]
}

fn number(text: &[u8], width: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(width)?;
    let value = digits.iter().try_fold(0_u64, |value, &b| {
        b.is_ascii_digit().then(|| value * 10 + u64::from(b - b'0'))
    })?;
    Some((value, rest))
}

fn literal<'a>(text: &'a [u8], expected: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(expected)
}

fn month(text: &[u8]) -> Option<(u64, &[u8])> {
    let (name, rest) = text.split_at_checked(3)?;
    Some((index_of(MONTHS, name)? + 1, rest))
}

/// `08:49:37` as seconds into the day.
fn time_of_day(text: &[u8]) -> Option<(u64, &[u8])> {
    let (hour, rest) = number(text, 2)?;
    let (minute, rest) = number(literal(rest, b":")?, 2)?;
    let (second, rest) = number(literal(rest, b":")?, 2)?;
    (hour < 24 && minute < 60 && second <= 60)
        .then_some((hour * 3600 + minute * 60 + second.min(59), rest))
}

fn seconds(year: u64, month: u64, day: u64, second: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_in_month = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || day == 0 || day > days_in_month {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400 + second)
}

// Both conversions count years from March, so that the leap day is the last of its year, in eras of 400 years.
const DAYS_TO_1970: u64 = 719_468; // from 0000-03-01

fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - DAYS_TO_1970
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_763_424_000_000); // 2025-11-18

    #[test]
    fn the_three_forms_are_one_instant() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                parse_http_date(text.as_bytes(), NOW),
                Some(784_111_777),
                "{text}"
            );
        }
        assert_eq!(&imf_fixdate(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn every_day_until_9999_reads_back() {
        for day in (0..LAST_DATE_SECS / 86_400).step_by(13) {
            let secs = day * 86_400 + day % 86_400;
            assert_eq!(parse_http_date(&imf_fixdate(secs), NOW), Some(secs));
        }
        assert_eq!(&imf_fixdate(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(&imf_fixdate(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
    }

    #[test]
    fn two_digit_years_are_never_more_than_fifty_years_ahead() {
        let year =
            |text: &str| civil_from_days(parse_http_date(text.as_bytes(), NOW).unwrap() / 86_400).0;
        assert_eq!(year("Friday, 01-Jan-75 00:00:00 GMT"), 2075);
        assert_eq!(year("Friday, 01-Jan-76 00:00:00 GMT"), 1976);
    }

    #[test]
    fn what_is_not_a_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 31 Feb 2025 00:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Xun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 2100 00:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun Nov  6 08:49:37 1994 ",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(text.as_bytes(), NOW), None, "{text}");
        }
        assert!(parse_http_date(b"Sat, 31 Dec 2016 23:59:60 GMT", NOW).is_some());
    }

    #[test]
    fn deadlines_saturate() {
        assert_eq!(Moment(u64::MAX) + Duration::MAX, Moment(u64::MAX));
        assert_eq!(Moment(5).saturating_since(Moment(9)), Duration::ZERO);
        assert_eq!(
            (Moment(5) + Duration::from_secs(2)).saturating_since(Moment(5)),
            Duration::from_secs(2)
        );
    }
}
