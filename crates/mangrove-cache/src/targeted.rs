//! Cache directives meant for some caches only, and which field's word counts.
//!
//! Those that the site lists, in its order, before `Cache-Control`: by default `Mangrove-Cache-Control`, then
//! `CDN-Cache-Control` (RFC 9213), then `Surrogate-Control` (the W3C note "Edge Architecture Specification"). The first
//! that is there and valid decides alone; `Cache-Control` and `Expires` then count for nothing (RFC 9213 section 2.2).

use mangrove_http::{Known, ResponseHead, list, quoted, trim};

use crate::directives::{Argument, ResponseDirectives, split_name};
use crate::rules::Rules;

/// Members of a targeted field that are read; with more it is no valid field.
pub const DICTIONARY_MEMBERS: usize = 64;

/// Which field's word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyField {
    /// `Mangrove-Cache-Control`
    Mangrove,
    /// `CDN-Cache-Control`
    Cdn,
    /// `Surrogate-Control`
    Surrogate,
    /// `Cache-Control`, with `Expires` beside it; or nothing at all.
    CacheControl,
}

impl PolicyField {
    /// Those that are meant for some caches only, the most particular first.
    pub const TARGETED: &[PolicyField] = &[
        PolicyField::Mangrove,
        PolicyField::Cdn,
        PolicyField::Surrogate,
    ];

    const fn known(self) -> Known {
        match self {
            PolicyField::Mangrove => Known::MangroveCacheControl,
            PolicyField::Cdn => Known::CdnCacheControl,
            PolicyField::Surrogate => Known::SurrogateControl,
            PolicyField::CacheControl => Known::CacheControl,
        }
    }
}

/// What the response says to this cache, and where: in the first of [`Rules::targeted`] that is there and valid, or in
/// `Cache-Control`.
pub fn policy(response: &ResponseHead, rules: &Rules) -> (ResponseDirectives, PolicyField) {
    for &field in &rules.targeted {
        let lines = || response.all(field.known());
        if lines().next().is_none() {
            continue;
        }
        let said = match field {
            PolicyField::Mangrove | PolicyField::Cdn => dictionary(lines()),
            PolicyField::Surrogate => surrogate(lines(), &rules.name),
            PolicyField::CacheControl => Some(ResponseDirectives::read(lines())),
        };
        if let Some(said) = said {
            return (said, field);
        }
    }
    let said = ResponseDirectives::read(response.all(Known::CacheControl));
    (said, PolicyField::CacheControl)
}

/// Reads a targeted field: a dictionary of RFC 9651. `None` when it is empty or malformed, and is to be ignored.
pub fn dictionary<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<ResponseDirectives> {
    let mut members: Vec<(&[u8], Item<'_>)> = Vec::new();
    for line in lines {
        let mut rest = trim(line);
        while !rest.is_empty() {
            let (key, after) = key(rest)?;
            let (item, after) = match after {
                [b'=', after @ ..] => item(after)?,
                after => (Item::Flag(true), after),
            };
            let after = trim(parameters(after)?);
            // Of several members with one key the last counts (RFC 9651 section 4.2.2).
            members.retain(|(other, _)| *other != key);
            members.push((key, item));
            if members.len() > DICTIONARY_MEMBERS {
                return None;
            }
            rest = match after {
                [] => after,
                [b',', after @ ..] if !trim(after).is_empty() => trim(after),
                _ => return None,
            };
        }
    }
    if members.is_empty() {
        return None;
    }
    let mut said = ResponseDirectives::default();
    for (key, item) in members {
        match item {
            Item::Flag(false) => {}
            Item::Flag(true) => said.add(key, Argument::Absent),
            Item::Integer(digits) => said.add(key, Argument::Given(digits)),
            Item::Text(text) => said.add(key, Argument::Given(text)),
            Item::Other => said.add(key, Argument::Malformed(b"")),
        }
    }
    Some(said)
}

#[derive(Debug, Clone, Copy)]
enum Item<'a> {
    Flag(bool),
    /// With its sign, if it is negative.
    Integer(&'a [u8]),
    /// Between the quotes, as it came.
    Text(&'a [u8]),
    /// A valid item that no directive takes.
    Other,
}

type Rest<'a> = &'a [u8];

fn key(text: &[u8]) -> Option<(&[u8], Rest<'_>)> {
    let starts = matches!(text.first()?, b'a'..=b'z' | b'*');
    let length = text
        .iter()
        .position(|b| !matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'))
        .unwrap_or(text.len());
    starts.then(|| text.split_at_checked(length)).flatten()
}

fn item(text: &[u8]) -> Option<(Item<'_>, Rest<'_>)> {
    match text {
        [b'(', ..] => inner_list(text),
        text => bare_item(text),
    }
}

fn bare_item(text: &[u8]) -> Option<(Item<'_>, Rest<'_>)> {
    match text {
        [b'?', b'0', rest @ ..] => Some((Item::Flag(false), rest)),
        [b'?', b'1', rest @ ..] => Some((Item::Flag(true), rest)),
        [b'"', inside @ ..] => {
            let mut escaped = false;
            let end = inside.iter().position(|&b| {
                let closes = b == b'"' && !escaped;
                escaped = b == b'\\' && !escaped;
                closes
            })?;
            let (text, rest) = inside.split_at_checked(end)?;
            string_is_valid(text).then_some((Item::Text(text), rest.get(1..)?))
        }
        [b':', inside @ ..] => {
            let end = inside.iter().position(|&b| b == b':')?;
            let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
            let (bytes, rest) = inside.split_at_checked(end)?;
            bytes
                .iter()
                .all(base64)
                .then_some((Item::Other, rest.get(1..)?))
        }
        [b'-' | b'0'..=b'9', ..] => number(text),
        [b'@', rest @ ..] => match number(rest)? {
            (Item::Integer(_), rest) => Some((Item::Other, rest)),
            _ => None,
        },
        [b'a'..=b'z' | b'A'..=b'Z' | b'*', ..] => {
            let is_part = |b: &u8| {
                matches!(b, b':' | b'/') || mangrove_http::is_token(std::slice::from_ref(b))
            };
            let length = text.iter().position(|b| !is_part(b)).unwrap_or(text.len());
            Some((Item::Other, text.get(length..)?))
        }
        _ => None,
    }
}

/// Visible ASCII and spaces; a backslash only before a quote or another (RFC 9651 section 3.3.3).
fn string_is_valid(text: &[u8]) -> bool {
    let mut escaped = false;
    let characters = text.iter().all(|&b| {
        let valid = (b' '..=b'~').contains(&b) && (!escaped || matches!(b, b'"' | b'\\'));
        escaped = b == b'\\' && !escaped;
        valid
    });
    characters && !escaped
}

/// At most 15 digits, or 12 and 3 around a point (RFC 9651 section 4.2.4).
fn number(text: &[u8]) -> Option<(Item<'_>, Rest<'_>)> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(unsigned);
    let rest = unsigned.get(whole..)?;
    if let [b'.', after @ ..] = rest {
        let fraction = digits(after);
        let valid = (1..=12).contains(&whole) && (1..=3).contains(&fraction);
        return valid.then_some((Item::Other, after.get(fraction..)?));
    }
    let length = text.len() - rest.len();
    (1..=15)
        .contains(&whole)
        .then_some((Item::Integer(text.get(..length)?), rest))
}

fn inner_list(text: &[u8]) -> Option<(Item<'_>, Rest<'_>)> {
    let mut rest = text.strip_prefix(b"(")?;
    loop {
        let skipped = skip_spaces(rest);
        if let [b')', after @ ..] = skipped {
            return Some((Item::Other, after));
        }
        let (_, after) = bare_item(skipped)?;
        rest = parameters(after)?;
        if !matches!(rest, [b' ' | b')', ..]) {
            return None;
        }
    }
}

/// Skips parameters, which say nothing to us (RFC 9213 section 2.1), but which must be valid.
fn parameters(mut text: &[u8]) -> Option<Rest<'_>> {
    while let [b';', rest @ ..] = text {
        let (_, rest) = key(skip_spaces(rest))?;
        text = match rest {
            [b'=', rest @ ..] => bare_item(rest)?.1,
            rest => rest,
        };
    }
    Some(text)
}

fn skip_spaces(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Reads `Surrogate-Control`: like `Cache-Control`, but a directive may end in `;name`, for the surrogate of that name
/// only, and `max-age=60+30` allows to be stale for another 30 s. `None` when nothing is for us.
fn surrogate<'a>(lines: impl Iterator<Item = &'a [u8]>, name: &str) -> Option<ResponseDirectives> {
    let mut said = ResponseDirectives::default();
    let mut any = false;
    for element in lines.flat_map(|line| quoted::split(line, b',')) {
        let mut parts = quoted::split(element, b';');
        let directive = parts.next().unwrap_or_default();
        let mut targets = parts.peekable();
        let for_us = targets.peek().is_none() || targets.any(|target| target == name.as_bytes());
        let (name, rest) = split_name(directive);
        if !for_us || name.is_empty() {
            continue;
        }
        any |= [&b"max-age"[..], b"no-store"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        match rest {
            [] => said.add(name, Argument::Absent),
            [b'=', value @ ..] => {
                let mut numbers = value.splitn(2, |&b| b == b'+');
                said.add(name, Argument::Given(numbers.next().unwrap_or_default()));
                if let Some(extension) = numbers.next() {
                    said.add(b"stale-while-revalidate", Argument::Given(extension));
                }
            }
            rest => said.add(name, Argument::Malformed(rest)),
        }
    }
    any.then_some(said)
}

/// The names in `Surrogate-Capability` by which this cache tells an origin that it obeys `Surrogate-Control`.
pub fn write_surrogate_capability(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"Surrogate/1.0\"");
}

/// Whether `Surrogate-Capability` names this cache already.
pub fn is_capability_of(value: &[u8], name: &str) -> bool {
    list(value).any(|element| {
        let (device, rest) = split_name(element);
        device == name.as_bytes() && rest.starts_with(b"=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<ResponseDirectives> {
        dictionary(std::iter::once(text.as_bytes()))
    }

    #[test]
    fn dictionaries() {
        let said = read(
            "max-age=60, no-cache=\"a, b\";x=1 ,\tmust-revalidate, foo=(1 \"a\";b), private=?0",
        )
        .unwrap();
        assert_eq!(said.max_age, Some(60));
        assert!(said.must_revalidate && !said.no_cache && !said.private);
        assert_eq!(said.withheld, [&b"a"[..], b"b"].map(Box::from));
        assert_eq!(
            read("max-age=60, max-age=5").unwrap().max_age,
            Some(5),
            "the last counts"
        );
        assert_eq!(
            read("max-age=5, max-age=60").unwrap().max_age,
            Some(60),
            "the last counts"
        );
        for odd in [
            "max-age=-1",
            "max-age=1.5",
            "max-age=\"x\"",
            "max-age",
            "max-age=a",
        ] {
            assert_eq!(
                read(odd).unwrap().max_age,
                Some(0),
                "{odd}: valid, but no lifetime"
            );
        }
    }

    #[test]
    fn what_is_no_dictionary_is_ignored() {
        for wrong in [
            "",
            " ",
            ",",
            "max-age=60,",
            "Max-Age=60",
            "max-age=60&&",
            "max-age =60",
            "max-age= 60",
            "max-age=\"60",
            "a=1.",
            "a=(1",
            "a=1234567890123456",
            "a;B=1",
            "a=\"\\x\"",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let members = |count: usize| {
            (0..count)
                .map(|n| format!("a{n}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert!(read(&members(DICTIONARY_MEMBERS)).is_some());
        assert!(read(&members(DICTIONARY_MEMBERS + 1)).is_none());
    }

    #[test]
    fn surrogates() {
        let read = |text: &str| surrogate(std::iter::once(text.as_bytes()), "mangrove");
        assert_eq!(read("foobar, MaX-aGe=60").unwrap().max_age, Some(60));
        assert_eq!(read("max-age=60;mangrove").unwrap().max_age, Some(60));
        assert_eq!(read("max-age=60;other"), None);
        assert_eq!(read("content=\"ESI/1.0\""), None);
        let extended = read("max-age=60+30").unwrap();
        assert_eq!(
            (extended.max_age, extended.stale_while_revalidate),
            (Some(60), Some(30))
        );
        assert!(read("no-store").unwrap().no_store);
        assert!(is_capability_of(
            b"a=\"Surrogate/1.0\", mangrove=\"Surrogate/1.0\"",
            "mangrove"
        ));
        assert!(!is_capability_of(b"mangroves=\"x\"", "mangrove"));
    }
}
