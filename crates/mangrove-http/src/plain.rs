//! The quick way through a head: a line that has arrived whole and is as nearly all lines are is read in one pass.
//!
//! Nothing is refused here. A line that is unusual in any way gives `None` and is read by [`crate::field`] and its callers,
//! octet by octet, which know what is wrong with it, or that nothing is. What is accepted here they would accept in the same
//! way: a head that arrives in pieces is read by them alone, and has to come to the same verdict.

use crate::field::{Span, is_token};
use crate::known::{Key, Known};
use crate::message::Method;
use crate::words::{self, WORD};

/// A field line without anything unusual.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainLine {
    pub(crate) name: Span,
    /// Without white space around it.
    pub(crate) value: Span,
    pub(crate) known: Known,
    /// Where the next line begins.
    pub(crate) end: usize,
}

/// `name: value` and CR LF at `from`, all of it in `octets`.
#[inline]
pub(crate) fn field_line(octets: &[u8], from: usize) -> Option<PlainLine> {
    let line = octets.get(from..)?;
    let (length, known) = field_name(line)?;
    let mut value = line.get(length + 1..)?;
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    let start = line.len() - value.len();
    let mut length_of_value = 0;
    loop {
        let rest = value.get(length_of_value..)?;
        length_of_value += words::find(rest, |b| b.is_ascii_control());
        match value.get(length_of_value..)? {
            [b'\r', b'\n', ..] => break,
            [b'\t', ..] => length_of_value += 1,
            _ => return None,
        }
    }
    let end = start + length_of_value + b"\r\n".len();
    while let Some([.., b' ' | b'\t']) = value.get(..length_of_value) {
        length_of_value -= 1;
    }
    Some(PlainLine {
        name: Span::within_ceiling(from, from + length),
        value: Span::within_ceiling(from + start, from + start + length_of_value),
        known,
        end: from + end,
    })
}

/// The length of the name that a colon ends, and which it is.
#[inline]
fn field_name(line: &[u8]) -> Option<(usize, Known)> {
    let mut key = [0; Key::WORDS];
    let mut at = 0;
    let length = loop {
        let word = words::word_at(line, at);
        let end = words::is(word, b':') | words::below(word, b' ');
        let part = key.get_mut(at / WORD)?; // longer than any known name
        // The case of what has letters is ignored; of the rest only control characters would be changed.
        *part = word | words::every(b' ');
        if end != 0 {
            *part = words::until_first(*part, end);
            break at + words::before_first(end);
        }
        at += WORD;
    };
    let (name, rest) = line.split_at_checked(length)?;
    if rest.first() != Some(&b':') {
        return None;
    }
    let known = Known::of_key(Key::new(key, length));
    (known != Known::Other || is_token(name)).then_some((length, known))
}

/// A request line without anything unusual.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainRequestLine {
    pub(crate) method: Method,
    pub(crate) method_name: Span,
    /// Begins with `/`.
    pub(crate) target: Span,
    /// The target before its first `?`.
    pub(crate) path: Span,
    /// Where the next line begins.
    pub(crate) end: usize,
}

/// A request line of HTTP/1.1 in origin-form with a common method at the start of `octets`, all of it there.
#[inline]
pub(crate) fn request_line(octets: &[u8]) -> Option<PlainRequestLine> {
    let method_end = words::before_first(words::is(words::word_at(octets, 0), b' '));
    let (method, rest) = octets.split_at_checked(method_end)?;
    let method = Method::of(method);
    if matches!(method, Method::Connect | Method::Other) {
        return None;
    }
    let [b' ', target @ ..] = rest else {
        return None;
    };
    if target.first() != Some(&b'/') {
        return None;
    }
    let ends_target = |b: u8| !b.is_ascii_graphic() | (b == b'#');
    let path = words::find(target, |b| ends_target(b) | (b == b'?'));
    let query = match target.get(path..)? {
        [b'?', ..] => words::find(target.get(path..)?, ends_target),
        _ => 0,
    };
    let rest = target.get(path + query..)?;
    const REST: &[u8] = b" HTTP/1.1\r\n";
    if !rest.starts_with(REST) {
        return None;
    }
    let start = method_end + 1;
    let end = start + path + query;
    Some(PlainRequestLine {
        method,
        method_name: Span::within_ceiling(0, method_end),
        target: Span::within_ceiling(start, end),
        path: Span::within_ceiling(start, start + path),
        end: end + REST.len(),
    })
}
