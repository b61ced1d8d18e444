//! What an origin says of an object of which it was asked for more.

use mangrove_cache::{
    Asked, AskedRange, Content as StoredContent, ContentRange, Interval, RangeSpec, Stored, Times,
    admit,
};
use mangrove_http::{Known, ResponseHead};

use crate::body::CHUNK_BYTES;
use crate::cache::{Object, SiteCache};
use crate::pipeline::record::Story;

/// Which bytes the origin was asked for, and the one of them that is waited for.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) bytes: Interval,
    pub(super) at: u64,
}

/// What an origin's answer says of the object of which it was asked for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// These are more of it, up to here, and may be kept.
    More(u64),
    /// It is the same still, but comes whole, or in parts too small for a chunk ever to be whole: asked again, it would come so
    /// again.
    NoParts,
    /// It is another by now, or there is none.
    Another,
    /// Nothing: it was for whoever asked.
    Nothing,
}

pub(super) fn said_of(
    story: &Story,
    cache: &SiteCache,
    object: &Object,
    place: Place,
    head: &ResponseHead,
    times: Times,
) -> Said {
    let (stored, length) = (&object.head.stored, object.content.length());
    let status = head.status();
    let total = match status {
        200 => head.content_length(),
        206 => {
            let range = head.field(Known::ContentRange);
            range
                .and_then(ContentRange::parse)
                .and_then(|range| range.total)
        }
        404 | 410 | 416 => return Said::Another,
        _ => return Said::Nothing,
    };
    let coding = Known::ContentEncoding;
    let is_same = has_tag_of(head, stored)
        && head.field(coding) == stored.fields.field(coding)
        && total.is_none_or(|total| total == length);
    if !is_same {
        return Said::Another;
    }
    if status == 200 {
        return Said::NoParts;
    }
    let (first, end) = (place.bytes.first, place.bytes.last.saturating_add(1));
    let mut asked = Asked::read(&story.head, story.path(), &cache.rules);
    asked.range = AskedRange::One(RangeSpec::From {
        first,
        last: Some(place.bytes.last),
    });
    let Ok(part) = admit(&asked, head, &cache.rules, times) else {
        return Said::Nothing;
    };
    let StoredContent::Part {
        held,
        total: Some(_),
    } = part.content
    else {
        return Said::Nothing;
    };
    let comes_to = held.last.saturating_add(1);
    if held.first != first || comes_to > end || !part.is_same_representation(stored) {
        return Said::Nothing;
    }
    let chunk = CHUNK_BYTES as u64;
    let least = (place.at - place.at % chunk).saturating_add(chunk).min(end);
    match comes_to < least {
        true => Said::NoParts,
        false => Said::More(comes_to),
    }
}

/// Whether an answer has the entity tag of what is kept.
pub(super) fn has_tag_of(head: &ResponseHead, stored: &Stored) -> bool {
    let tag = head.field(Known::ETag);
    tag.is_some() && tag == stored.fields.field(Known::ETag)
}
