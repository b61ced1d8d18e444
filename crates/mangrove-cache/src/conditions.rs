//! Preconditions and ranges of a request, judged by what is stored (RFC 9110 sections 13 and 14; RFC 9111 section 4.3.2).

use mangrove_http::{Field, Known, Method, RequestHead, UnixMillis, parse_http_date};

use crate::asked::Asked;
use crate::decide::part_within;
use crate::range::{AskedRange, ByteRanges, Interval, Satisfied};
use crate::stored::{Content, Stored};
use crate::validator::{EntityTag, TagList};

/// What a stored response becomes as an answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All of it, with its own status.
    Whole,
    /// 304, with the fields for which [`is_in_not_modified`] holds.
    NotModified,
    /// 206 with these bytes and [`ContentRange`](crate::ContentRange).
    Part {
        /// Which.
        piece: Interval,
        /// Of how many, where that is known.
        total: Option<u64>,
    },
    /// 206 with several pieces; see [`Multipart`](crate::Multipart).
    Parts {
        /// Which, in the order of the answer.
        pieces: Vec<Interval>,
        /// Of how many.
        total: u64,
    },
    /// 416 with [`write_unsatisfied`](crate::write_unsatisfied).
    Unsatisfiable {
        /// The length of the whole.
        total: u64,
    },
}

/// What a request that is answered with `stored` gets, in the order of RFC 9110 section 13.2.2.
///
/// `length` is that of the whole content, if it is known by now; without it no range is cut out of a whole. Only after
/// [`decide`](crate::decide) said to serve it, or the origin confirmed it.
pub fn answer(asked: &Asked<'_>, stored: &Stored, length: Option<u64>, now: UnixMillis) -> Answer {
    if asked.conditional && is_not_modified(asked.request, stored, now) {
        return Answer::NotModified;
    }
    if let Content::Part { held, total } = stored.content {
        let piece = part_within(asked.range, held, total).unwrap_or(held);
        return Answer::Part { piece, total };
    }
    let (Some(total), 200) = (length, stored.status) else {
        return Answer::Whole;
    };
    if asked.range == AskedRange::Whole || !range_applies(asked.request, stored, now) {
        return Answer::Whole;
    }
    let ranges = asked
        .request
        .field(Known::Range)
        .and_then(ByteRanges::parse);
    match ranges.map(|ranges| ranges.within(total)) {
        None | Some(Satisfied::Whole) => Answer::Whole,
        Some(Satisfied::One(piece)) => Answer::Part {
            piece,
            total: Some(total),
        },
        Some(Satisfied::Several(pieces)) => Answer::Parts { pieces, total },
        Some(Satisfied::Unsatisfiable) => Answer::Unsatisfiable { total },
    }
}

/// Whether the client has it already: If-None-Match, and only without that If-Modified-Since (section 13.2.2, steps 3
/// and 4). Preconditions count only where the answer would otherwise be a success (section 13.2.1).
pub fn is_not_modified(request: &RequestHead, stored: &Stored, now: UnixMillis) -> bool {
    if !is_success(stored) || !matches!(request.method(), Method::Get | Method::Head) {
        return false;
    }
    if request.field(Known::IfNoneMatch).is_some() {
        return match tags(request, Known::IfNoneMatch, stored, |own, tag| {
            own.is_weakly(tag)
        }) {
            TagList::Any | TagList::Found => true,
            // Some send the tag as they found it, without quotes or with a small w: the same bytes are the same tag.
            TagList::Malformed => stored
                .fields
                .field(Known::ETag)
                .is_some_and(|tag| is_only(request, tag)),
            TagList::Absent => false,
        };
    }
    let Some(since) = single_date(request, Known::IfModifiedSince, now) else {
        return false;
    };
    // RFC 9111 section 4.3.2: without Last-Modified, Date.
    stored.last_modified.unwrap_or(stored.date) <= since
}

/// Whether If-Match or If-Unmodified-Since fails by what is stored: only the origin may say 412, because what it has may
/// be another thing by now.
pub(crate) fn is_for_origin(request: &RequestHead, stored: &Stored) -> bool {
    if !is_success(stored) {
        return false;
    }
    if request.field(Known::IfMatch).is_some() {
        let list = tags(request, Known::IfMatch, stored, |own, tag| {
            own.is_strongly(tag)
        });
        return !matches!(list, TagList::Any | TagList::Found);
    }
    if request.field(Known::IfUnmodifiedSince).is_none() {
        return false;
    }
    let now = stored.received_at;
    match (
        single_date(request, Known::IfUnmodifiedSince, now),
        stored.last_modified,
    ) {
        (Some(since), Some(modified)) => modified > since,
        // One that is no date is ignored (RFC 9110 section 13.1.4).
        (None, _) => false,
        (Some(_), None) => true,
    }
}

/// Whether Range counts: If-Range is absent, or names what is stored (RFC 9110 section 13.1.5).
pub(crate) fn range_applies(request: &RequestHead, stored: &Stored, now: UnixMillis) -> bool {
    let mut lines = request.all(Known::IfRange);
    let Some(value) = lines.next() else {
        return true;
    };
    if lines.next().is_some() {
        return false;
    }
    match EntityTag::parse(value) {
        Some(tag) => stored.entity_tag().is_some_and(|own| own.is_strongly(tag)),
        None => parse_http_date(value, now).is_some_and(|date| stored.strong_date() == Some(date)),
    }
}

/// Whether a field of what is stored belongs in a 304 (RFC 9110 section 15.4.5): all but what describes the content, and
/// `Last-Modified` only where it is the only validator.
pub fn is_in_not_modified(stored: &Stored, field: &Field<'_>) -> bool {
    match field.known {
        Known::LastModified => stored.fields.field(Known::ETag).is_none(),
        Known::ContentLocation | Known::ContentSecurityPolicy => true,
        _ => {
            !starts_with(field.name, b"content-")
                || starts_with(field.name, b"content-security-policy")
        }
    }
}

fn starts_with(name: &[u8], start: &[u8]) -> bool {
    name.get(..start.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

fn is_success(stored: &Stored) -> bool {
    matches!(stored.status, 200..=299)
}

fn tags(
    request: &RequestHead,
    known: Known,
    stored: &Stored,
    same: for<'a, 'b> fn(EntityTag<'a>, EntityTag<'b>) -> bool,
) -> TagList {
    let own = stored.entity_tag();
    TagList::search(request.all(known), |tag| {
        own.is_some_and(|own| same(own, tag))
    })
}

fn is_only(request: &RequestHead, tag: &[u8]) -> bool {
    request.count(Known::IfNoneMatch) == 1 && request.field(Known::IfNoneMatch) == Some(tag)
}

/// The date of a field that stands once.
fn single_date(request: &RequestHead, known: Known, now: UnixMillis) -> Option<u64> {
    let mut lines = request.all(known);
    let date = lines.next()?;
    lines
        .next()
        .is_none()
        .then(|| parse_http_date(date, now))
        .flatten()
}
