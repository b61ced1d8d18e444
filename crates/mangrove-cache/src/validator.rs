//! Entity tags and dates by which a representation is recognised (RFC 9110 section 8.8).

use mangrove_http::{UnixMillis, parse_http_date, trim};

/// The most entity tags of If-None-Match or If-Match that are looked at; one past it, the field matches nothing.
pub const ENTITY_TAGS: usize = 64;

/// An entity tag, borrowed as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// Whether it began with `W/`.
    pub weak: bool,
    /// Between the quotes.
    pub opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// Reads `"x"` or `W/"x"` (RFC 9110 section 8.8.3); `None` for anything else.
    pub fn parse(text: &'a [u8]) -> Option<EntityTag<'a>> {
        let (tag, rest) = EntityTag::split(text)?;
        rest.is_empty().then_some(tag)
    }

    fn split(text: &'a [u8]) -> Option<(EntityTag<'a>, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let inside = quoted.strip_prefix(b"\"")?;
        let end = inside.iter().position(|&b| b == b'"')?;
        let (opaque, rest) = inside.split_at_checked(end)?;
        let valid = |&b: &u8| b > b' ' && b != 0x7f;
        let tag = EntityTag { weak, opaque };
        opaque.iter().all(valid).then_some((tag, rest.get(1..)?))
    }

    /// Strong comparison (RFC 9110 section 8.8.3.2).
    pub fn is_strongly(self, other: EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison.
    pub fn is_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// The tags of If-Match or If-None-Match, over all lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagList {
    /// `*`
    Any,
    /// One of them was it.
    Found,
    /// None of them was it.
    Absent,
    /// Not a list of entity tags, or longer than [`ENTITY_TAGS`].
    Malformed,
}

impl TagList {
    /// Looks for a tag among those of `lines`.
    pub fn search<'a>(
        lines: impl Iterator<Item = &'a [u8]>,
        mut is: impl FnMut(EntityTag<'_>) -> bool,
    ) -> TagList {
        let (mut found, mut count, mut any) = (false, 0, false);
        for line in lines {
            let mut rest = trim(line);
            while !rest.is_empty() {
                if let Some(after) = rest.strip_prefix(b",") {
                    rest = trim(after);
                    continue;
                }
                if let Some(after) = rest.strip_prefix(b"*") {
                    any = true;
                    rest = trim(after);
                } else {
                    let Some((tag, after)) = EntityTag::split(rest) else {
                        return TagList::Malformed;
                    };
                    found |= is(tag);
                    rest = trim(after);
                }
                count += 1;
                if count > ENTITY_TAGS || !matches!(rest, [] | [b',', ..]) {
                    return TagList::Malformed;
                }
            }
        }
        match (any, found) {
            (true, _) if count == 1 => TagList::Any,
            (true, _) => TagList::Malformed,
            (false, true) => TagList::Found,
            (false, false) => TagList::Absent,
        }
    }
}

/// Reads `Last-Modified` as seconds since 1970.
pub(crate) fn last_modified(text: Option<&[u8]>, now: UnixMillis) -> Option<u64> {
    parse_http_date(text?, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let parse = |text: &'static str| EntityTag::parse(text.as_bytes());
        let strong = parse("\"a\"").unwrap();
        let weak = parse("W/\"a\"").unwrap();
        assert!(strong.is_strongly(strong) && !weak.is_strongly(weak) && !strong.is_strongly(weak));
        assert!(
            strong.is_weakly(weak)
                && weak.is_weakly(weak)
                && !weak.is_weakly(parse("\"b\"").unwrap())
        );
        assert_eq!(parse("\"\"").unwrap().opaque, b"");
        for wrong in [
            "", "a", "\"a", "w/\"a\"", "W\"a\"", "W/a", "\"a\"x", "\"a b\"", "W/ \"a\"",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lists() {
        let search = |lines: &[&str]| {
            TagList::search(lines.iter().map(|line| line.as_bytes()), |tag| {
                tag.opaque == b"x"
            })
        };
        assert_eq!(search(&["*"]), TagList::Any);
        assert_eq!(search(&["\"a\", W/\"x\" ,\"b\""]), TagList::Found);
        assert_eq!(search(&["\"a\"", "\"x\""]), TagList::Found);
        assert_eq!(search(&[", \"a,x\","]), TagList::Absent);
        for wrong in ["x", "*, \"x\"", "\"x\" \"a\"", "\"x\", *", "\"x", "*x"] {
            assert_eq!(search(&[wrong]), TagList::Malformed, "{wrong}");
        }
        let many = |count| search(&[&vec!["\"x\""; count].join(",")]);
        assert_eq!(many(ENTITY_TAGS), TagList::Found);
        assert_eq!(many(ENTITY_TAGS + 1), TagList::Malformed);
    }
}
