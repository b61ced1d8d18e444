//! Making text that came from outside safe to show.

use super::Format;

/// Writes `text` to `out` so that it means itself in `format`. At most `limit` characters are shown; a cut is marked
/// with `…`. Control characters become spaces.
pub(super) fn push_text(text: &str, limit: usize, format: Format, out: &mut Vec<u8>) {
    // Control characters beyond ASCII begin with C2.
    if as_it_is(text.as_bytes(), limit, |byte| {
        matches!(byte, 0x20..=0x7e | 0x80..=0xc1 | 0xc3..) && means_itself(byte, format)
    }) {
        return out.extend_from_slice(text.as_bytes());
    }
    push(
        text.chars().map(|c| if c.is_control() { ' ' } else { c }),
        limit,
        format,
        out,
    );
}

/// Like [`push_text`] for bytes that a stranger chose: whatever is not printable ASCII becomes `?`, so that no control
/// sequence reaches a terminal and no right-to-left mark reorders a page.
pub(super) fn push_hostile(bytes: &[u8], limit: usize, format: Format, out: &mut Vec<u8>) {
    if as_it_is(bytes, limit, |byte| {
        byte.is_ascii_graphic() && means_itself(byte, format)
    }) {
        return out.extend_from_slice(bytes);
    }
    let shown = |&byte: &u8| {
        if byte.is_ascii_graphic() {
            char::from(byte)
        } else {
            '?'
        }
    };
    push(bytes.iter().map(shown), limit, format, out);
}

/// Whether nothing has to be done to it, as nearly always: a flood of refusals is answered with pages, too.
fn as_it_is(bytes: &[u8], limit: usize, is_plain: impl Fn(u8) -> bool) -> bool {
    bytes.len() <= limit && bytes.iter().all(|byte| is_plain(*byte))
}

fn means_itself(byte: u8, format: Format) -> bool {
    match format {
        Format::Html => !matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\''),
        Format::Problem => !matches!(byte, b'"' | b'\\'),
        Format::Text => true,
    }
}

fn push(chars: impl Iterator<Item = char>, limit: usize, format: Format, out: &mut Vec<u8>) {
    let mut chars = chars;
    for c in chars.by_ref().take(limit) {
        let escaped = match (format, c) {
            (Format::Html, '&') => "&amp;",
            (Format::Html, '<') => "&lt;",
            (Format::Html, '>') => "&gt;",
            (Format::Html, '"') => "&quot;",
            (Format::Html, '\'') => "&#39;",
            (Format::Problem, '"') => "\\\"",
            (Format::Problem, '\\') => "\\\\",
            _ => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        };
        out.extend_from_slice(escaped.as_bytes());
    }
    if chars.next().is_some() {
        out.extend_from_slice("…".as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile(bytes: &[u8], limit: usize, format: Format) -> String {
        let mut out = Vec::new();
        push_hostile(bytes, limit, format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn markup_stays_text() {
        let script = b"<script>alert('&\"')</script>";
        assert_eq!(
            hostile(script, 99, Format::Html),
            "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;"
        );
        assert_eq!(hostile(b"a\"b\\c", 99, Format::Problem), "a\\\"b\\\\c");
    }

    #[test]
    fn terminals_and_reading_order_are_out_of_reach() {
        let nasty = "\x1b[2J\r\n\0\u{202e}";
        assert_eq!(hostile(nasty.as_bytes(), 99, Format::Text), "?[2J??????");
    }

    #[test]
    fn what_is_copied_is_what_would_have_been_written() {
        let texts = [
            "",
            "plain",
            "বাংলা",
            "a\u{85}b",
            "a\u{a0}b",
            "<b>",
            "\"\\",
            "a\tb",
            "\u{7f}",
        ];
        for format in [Format::Html, Format::Text, Format::Problem] {
            for text in texts {
                let (mut quick, mut slow) = (Vec::new(), Vec::new());
                push_text(text, 99, format, &mut quick);
                let visible = |c: char| if c.is_control() { ' ' } else { c };
                push(text.chars().map(visible), 99, format, &mut slow);
                assert_eq!(quick, slow, "{text:?}");
            }
        }
    }

    #[test]
    fn one_past_the_limit_is_cut_and_the_cut_shows() {
        assert_eq!(hostile(b"abc", 3, Format::Text), "abc");
        assert_eq!(hostile(b"abcd", 3, Format::Text), "abc…");
    }
}
