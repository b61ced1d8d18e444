//! The normal form of a path, for cache keys and rules (RFC 3986 section 6.2.2).
//!
//! What is forwarded is the path as it came; only what compares paths sees this form. Two paths with the same normal form
//! mean the same to every server that follows RFC 3986.
//!
//! Escapes of unreserved characters are decoded, hexadecimal digits are upper case, dot segments are removed. Nothing else
//! is touched: not `%2F`, not empty segments, not `\`, not `;`, and not a `%` that begins no escape.

use crate::words::contains;

/// Appends the normal form of `path` to `out`.
///
/// Normalising twice is normalising once. A path that does not begin with `/` (`*`) stays as it is.
pub fn normalize(path: &[u8], out: &mut Vec<u8>) {
    if is_normal(path) || !path.starts_with(b"/") {
        return out.extend_from_slice(path);
    }
    let start = out.len();
    let mut segment = start;
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        match *byte {
            b'/' => {
                end_segment(out, start, segment, true);
                out.push(b'/');
                segment = out.len();
                rest = after;
            }
            b'%' => rest = escape(out, start, after),
            byte => {
                out.push(byte);
                rest = after;
            }
        }
    }
    end_segment(out, start, segment, false);
}

/// Whether `path` is its own normal form.
pub fn is_normal(path: &[u8]) -> bool {
    if !path.starts_with(b"/") {
        return true;
    }
    // Nearly every path has neither escapes nor dots, or no dots but in the name of a file.
    if !contains(path, |b| (b == b'%') | (b == b'.')) {
        return true;
    }
    let escapes = memchr::memchr(b'%', path).is_some();
    if !escapes && !path.windows(2).any(|pair| pair == b"/.") {
        return true;
    }
    let dots = path
        .split(|&b| b == b'/')
        .any(|segment| matches!(segment, b"." | b".."));
    !dots && (!escapes || escapes_are_normal(path))
}

fn escapes_are_normal(path: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'%', path.get(from..).unwrap_or_default()) {
        let (before, escape) = path.split_at(from + at);
        from += at + 1;
        let Some((high, low)) = two_hex(escape.get(1..).unwrap_or_default()) else {
            continue;
        };
        if high.is_ascii_lowercase()
            || low.is_ascii_lowercase()
            || decoded(before, high, low).is_some()
        {
            return false;
        }
        from += 2;
    }
    true
}

/// Writes the escape whose `%` has been read, and returns what follows it.
fn escape<'a>(out: &mut Vec<u8>, start: usize, after: &'a [u8]) -> &'a [u8] {
    let Some((high, low)) = two_hex(after) else {
        out.push(b'%');
        return after;
    };
    match decoded(out.get(start..).unwrap_or_default(), high, low) {
        Some(byte) => out.push(byte),
        None => out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
    }
    after.get(2..).unwrap_or_default()
}

/// The unreserved character an escape stands for. Not a hexadecimal digit after a `%` that begins no escape: decoded,
/// it could complete one (`%%341` would become `%41`), and the path would mean something else.
fn decoded(before: &[u8], high: u8, low: u8) -> Option<u8> {
    let byte = hex(high)? << 4 | hex(low)?;
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let completes = byte.is_ascii_hexdigit() && matches!(before, [.., b'%'] | [.., b'%', _]);
    (unreserved && !completes).then_some(byte)
}

fn two_hex(text: &[u8]) -> Option<(u8, u8)> {
    match text {
        [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            Some((*high, *low))
        }
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// RFC 3986 section 5.2.4, for the segment that was just written. `slash_follows` unless the path ends here.
fn end_segment(out: &mut Vec<u8>, start: usize, segment: usize, slash_follows: bool) {
    let parent = match out.get(segment..) {
        Some(b".") => segment,
        Some(b"..") => {
            // Before the segment stands its `/`; the segment before that goes too, if there is one.
            let before = out
                .get(start..segment.saturating_sub(1))
                .unwrap_or_default();
            start
                + before
                    .iter()
                    .rposition(|&b| b == b'/')
                    .map_or(1, |slash| slash + 1)
        }
        _ => return,
    };
    out.truncate(parent);
    if slash_follows {
        // The caller writes the slash that ends this segment; the one before it stands already.
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(path: &str) -> String {
        let mut out = b"kept".to_vec();
        normalize(path.as_bytes(), &mut out);
        String::from_utf8(out)
            .unwrap()
            .strip_prefix("kept")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn equivalent_paths_have_one_form() {
        for (path, form) in [
            ("/", "/"),
            ("*", "*"),
            ("/a/b", "/a/b"),
            ("/%7euser/%41", "/~user/A"),
            ("/a%2fb", "/a%2Fb"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/../../b", "/b"),
            ("/..", "/"),
            ("/.", "/"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("/..//x", "//x"),
            ("/.well-known/..x", "/.well-known/..x"),
            ("/%zz/%4", "/%zz/%4"),
            ("/%%341", "/%%341"),
            ("/%4%31", "/%4%31"),
            ("/a\\..\\b", "/a\\..\\b"),
            ("/%c3%a9", "/%C3%A9"),
        ] {
            assert_eq!(normal(path), form, "{path}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(path in "/([a-c./%]|%2[eEfF]|%4[1a]|%3[0-9]|%|/\\.\\.|/\\.){0,24}") {
            let once = normal(&path);
            prop_assert_eq!(normal(&once), once.clone());
            prop_assert!(is_normal(once.as_bytes()), "{}", once);
            prop_assert_eq!(is_normal(path.as_bytes()), once == path);
            prop_assert!(once.starts_with('/'));
        }
    }
}
