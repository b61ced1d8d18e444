//! Lists whose elements may hold quoted strings (RFC 9110 section 5.6.4).

use crate::field::{is_token, trim};

/// Splits at `separator` where it stands outside quotes. Elements are trimmed; empty ones are left out.
///
/// A quote that never closes swallows the rest, and [`parameter`] then refuses the element that has it.
pub fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let at_separator = move |&byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return byte == separator && !quoted,
        }
        false
    };
    value
        .split(at_separator)
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// `name=value`, where the value is a token or a quoted string; of the latter what is between the quotes, as it came.
pub fn parameter(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr::memchr(b'=', text)?;
    let (name, value) = text.split_at_checked(equals)?;
    let value = value.get(1..)?;
    let value = match value {
        [b'"', inner @ .., b'"'] => is_quoted_inner(inner).then_some(inner)?,
        value => is_token(value).then_some(value)?,
    };
    is_token(name).then_some((name, value))
}

/// No quote but an escaped one, and no escape that reaches past the end.
fn is_quoted_inner(inner: &[u8]) -> bool {
    let mut escaped = false;
    for &byte in inner {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_quotes_separate_nothing() {
        let elements: Vec<_> = split(b" a , \"b,\\\",c\" ,, d", b',').collect();
        assert_eq!(elements, [&b"a"[..], b"\"b,\\\",c\"", b"d"]);
    }

    #[test]
    fn parameters() {
        assert_eq!(parameter(b"for=a"), Some((&b"for"[..], &b"a"[..])));
        assert_eq!(
            parameter(b"for=\"[::1]:4\""),
            Some((&b"for"[..], &b"[::1]:4"[..]))
        );
        for wrong in [
            &b"for"[..],
            b"=a",
            b"for=",
            b"for=\"a",
            b"for=a b",
            b"for=\"a\"b\"",
            b"for=\"\\\"",
            b"f r=a",
        ] {
            assert_eq!(parameter(wrong), None);
        }
    }
}
