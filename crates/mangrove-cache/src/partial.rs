//! Making more out of parts (RFC 9111 section 3.4).

use mangrove_http::Known;

use crate::fields::Fields;
use crate::range::{ContentRange, Interval, is_of_the_part, push_decimal};
use crate::stored::{Content, Stored};

/// Which of two stored responses some bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The one that was stored already.
    Old,
    /// The one that has just arrived.
    New,
}

/// Two parts as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined {
    /// What is kept beside the content: status 200 when the whole is there.
    pub stored: Stored,
    /// The content, in order: from which of both, and which bytes of the representation.
    pub pieces: Vec<(From, Interval)>,
}

/// Puts a stored part and a newly arrived one together. `None` unless both are parts of one representation, which only a
/// shared strong validator shows, and overlap or touch.
///
/// Where they overlap the new bytes count, and so do the new fields.
pub fn combine(old: &Stored, new: &Stored) -> Option<Combined> {
    let (
        Content::Part {
            held: before,
            total: old_total,
        },
        Content::Part {
            held: after,
            total: new_total,
        },
    ) = (old.content, new.content)
    else {
        return None;
    };
    if !old.is_same_representation(new) || old.variant != new.variant || old.vary != new.vary {
        return None;
    }
    let total = match (old_total, new_total) {
        (Some(old), Some(new)) if old != new => return None,
        (old, new) => new.or(old),
    };
    let held = before.joined(after)?;
    if total.is_some_and(|total| held.last >= total) {
        return None;
    }
    let mut stored = new.clone();
    let whole = total.filter(|&total| held.length() == total);
    stored.content = match whole {
        Some(total) => Content::Whole {
            length: Some(total),
        },
        None => Content::Part { held, total },
    };
    stored.status = if whole.is_some() { 200 } else { 206 };
    stored.fields = fields(&new.fields, held, total, whole);
    Some(Combined {
        stored,
        pieces: pieces(before, after),
    })
}

/// What is kept of the whole of which this is a part, where its total was said.
pub fn whole_of(part: &Stored) -> Option<Stored> {
    let Content::Part {
        held,
        total: Some(total),
    } = part.content
    else {
        return None;
    };
    let whole = Interval::new(0, total.checked_sub(1)?)?;
    let mut stored = part.clone();
    stored.status = 200;
    stored.content = Content::Whole {
        length: Some(total),
    };
    stored.fields = fields(&part.fields, whole, Some(total), Some(total));
    whole.contains(held).then_some(stored)
}

fn pieces(before: Interval, after: Interval) -> Vec<(From, Interval)> {
    let left = after
        .first
        .checked_sub(1)
        .and_then(|last| Interval::new(before.first, last.min(before.last)));
    let right = Interval::new(before.first.max(after.last.saturating_add(1)), before.last);
    let old = |piece| (From::Old, piece);
    left.map(old)
        .into_iter()
        .chain([(From::New, after)])
        .chain(right.map(old))
        .collect()
}

fn fields(new: &Fields, held: Interval, total: Option<u64>, whole: Option<u64>) -> Fields {
    let mut fields: Fields = new
        .iter()
        .filter(|field| !is_of_the_part(field.known))
        .map(|field| (field.name, field.value))
        .collect();
    let mut value = Vec::new();
    push_decimal(&mut value, held.length());
    fields.push(Known::ContentLength.name().as_bytes(), &value);
    if whole.is_none() {
        value.clear();
        ContentRange { held, total }.write(&mut value);
        fields.push(Known::ContentRange.name().as_bytes(), &value);
    }
    fields
}

/// What is still missing of a stored part for a request of the whole: to be asked for with `If-Range`. `None` when nothing
/// could be combined, for want of a strong validator or a total.
pub fn missing(stored: &Stored) -> Option<Vec<Interval>> {
    let Content::Part {
        held,
        total: Some(total),
    } = stored.content
    else {
        return None;
    };
    let strong = stored
        .entity_tag()
        .map_or(stored.strong_date().is_some(), |tag| !tag.weak);
    let before = held
        .first
        .checked_sub(1)
        .and_then(|last| Interval::new(0, last));
    let after = Interval::new(held.last.saturating_add(1), total.saturating_sub(1));
    strong.then(|| before.into_iter().chain(after).collect())
}
