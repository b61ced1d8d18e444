//! Asking the origin about what is stored, and what its answer changes (RFC 9111 sections 3.2 and 4.3).

use mangrove_http::{HeadLimits, Known, Method, ResponseHead, Version};

use crate::admit::{self, Times};
use crate::asked::Asked;
use crate::fields::Fields;
use crate::rules::Rules;
use crate::stored::{Content, Stored};
use crate::validator::EntityTag;

/// The fields that ask the origin about `stored`, each as name and value, to be sent in place of the client's own
/// preconditions and Range (section 4.3.1). Values are as the origin wrote them.
///
/// The client's preconditions are judged afterwards, by what the origin confirmed or sent, with
/// [`answer`](crate::answer).
pub fn conditions(stored: &Stored) -> impl Iterator<Item = (&'static str, &[u8])> {
    let tag = stored
        .fields
        .field(Known::ETag)
        .filter(|tag| !tag.is_empty());
    let date = stored
        .fields
        .field(Known::LastModified)
        .filter(|_| stored.last_modified.is_some());
    let tag = tag.map(|tag| (Known::IfNoneMatch.name(), tag));
    tag.into_iter()
        .chain(date.map(|date| (Known::IfModifiedSince.name(), date)))
}

/// Whether a request field is replaced by [`conditions`] when the origin is asked about what is stored.
pub const fn is_replaced_when_revalidating(known: Known) -> bool {
    matches!(
        known,
        Known::IfNoneMatch
            | Known::IfModifiedSince
            | Known::IfMatch
            | Known::IfUnmodifiedSince
            | Known::IfRange
            | Known::Range
    )
}

/// What a 304 does to what it was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshened {
    /// Confirmed, with new fields. To be stored in place of the old one, and served.
    Updated(Box<Stored>),
    /// Confirmed, and to be served this once, but the 304 describes another representation: what is stored stays as it is
    /// (section 4.3.4).
    Confirmed(Box<Stored>),
    /// Confirmed, and to be served this once, but the origin no longer wants it stored.
    Withdrawn(Box<Stored>),
}

impl Freshened {
    /// What is served now, and whether it is stored as well.
    pub fn into_stored(self) -> (Stored, bool) {
        match self {
            Freshened::Updated(stored) => (*stored, true),
            Freshened::Confirmed(stored) | Freshened::Withdrawn(stored) => (*stored, false),
        }
    }
}

/// What is stored after a 304 to a request with the [`conditions`] of `stored` alone, sent on behalf of `asked`.
///
/// A 304 says that the condition sent with it failed: what was asked about is still good, and its age starts anew. Its
/// fields are taken over unless it names another strong validator.
///
/// On behalf of a request with `no-store` nothing of the answer is kept (section 5.2.1.5), not even that it came: what is
/// stored stays as it was, and is served this once.
pub fn freshen(
    stored: &Stored,
    response: &ResponseHead,
    asked: &Asked<'_>,
    rules: &Rules,
    times: Times,
) -> Freshened {
    if asked.directives.no_store {
        return Freshened::Confirmed(Box::new(stored.clone()));
    }
    let strong = response
        .field(Known::ETag)
        .and_then(EntityTag::parse)
        .filter(|tag| !tag.weak);
    let other =
        strong.is_some_and(|tag| stored.entity_tag().is_some_and(|own| !own.is_weakly(tag)));
    let updated = if other {
        None
    } else {
        updated(stored, response, asked, rules, times)
    };
    match updated {
        Some(updated) if admit::is_withdrawn(&updated, response, rules) => {
            Freshened::Withdrawn(Box::new(updated))
        }
        Some(updated) => Freshened::Updated(Box::new(updated)),
        None => {
            let mut confirmed = stored.clone();
            admit::restart_age(&mut confirmed, response, times);
            Freshened::Confirmed(Box::new(confirmed))
        }
    }
}

/// Which of the responses stored for a URL a 304 confirms, when the request named the validators of several
/// (section 4.3.4): those with its strong validator; else the last one received with its weak one.
pub fn confirmed_by<'s>(
    stored: impl IntoIterator<Item = &'s Stored>,
    response: &ResponseHead,
) -> Vec<usize> {
    let Some(tag) = response.field(Known::ETag).and_then(EntityTag::parse) else {
        return Vec::new();
    };
    let all = stored.into_iter().enumerate();
    let own = |stored: &Stored| {
        stored
            .entity_tag()
            .map(|own| (own.is_strongly(tag), own.is_weakly(tag)))
    };
    let matching: Vec<_> = all
        .filter_map(|(place, stored)| Some((place, stored, own(stored)?)))
        .collect();
    if !tag.weak {
        return matching
            .iter()
            .filter(|(_, _, (strongly, _))| *strongly)
            .map(|(place, ..)| *place)
            .collect();
    }
    let weakly = matching.iter().filter(|(_, _, (_, weakly))| *weakly);
    let latest = weakly.max_by_key(|(_, stored, _)| (stored.date, stored.received_at));
    latest.map(|(place, ..)| *place).into_iter().collect()
}

/// What a 200 to a HEAD says about what is stored for GET (section 4.3.5).
///
/// With the same validators and the same length, an update, unless the request said `no-store`; with others, what is stored
/// is stale as of now.
pub fn freshen_by_head(
    stored: &Stored,
    response: &ResponseHead,
    asked: &Asked<'_>,
    rules: &Rules,
    times: Times,
) -> Stored {
    let agrees = |known: Known| match (response.field(known), stored.fields.field(known)) {
        (Some(new), Some(old)) => new == old,
        (Some(_), None) => false,
        (None, _) => true,
    };
    let length = match stored.content {
        Content::Whole { length } => length,
        Content::Part { total, .. } => total,
    };
    let same_length = match (response.content_length(), length) {
        (Some(new), Some(old)) => new == old,
        _ => true,
    };
    let same = agrees(Known::ETag)
        && agrees(Known::LastModified)
        && same_length
        && response.status() == stored.status;
    if same && asked.directives.no_store {
        return stored.clone();
    }
    same.then(|| updated(stored, response, asked, rules, times))
        .flatten()
        .filter(|updated| !admit::is_withdrawn(updated, response, rules))
        .unwrap_or_else(|| {
            let stale = stored.clone();
            stale.expire(times.received_at);
            stale
        })
}

/// `stored` with the fields of a newer response about the same representation (section 3.2); `None` when they do not go
/// together to a head.
fn updated(
    stored: &Stored,
    response: &ResponseHead,
    asked: &Asked<'_>,
    rules: &Rules,
    times: Times,
) -> Option<Stored> {
    let fields = merged(&stored.fields, response, rules);
    let mut head = ResponseHead::new();
    head.begin(Version::Http11, stored.status);
    for field in fields.iter() {
        head.push_field(field.name, field.value);
    }
    head.finish(&HeadLimits::CEILING, Method::Get).ok()?;
    Some(admit::updated(stored, &head, response, asked, rules, times))
}

/// The stored fields, each replaced by those of the same name in the newer response (section 3.2). Without a newer `Date`
/// the older one goes too: the time of arrival counts in its place (RFC 9110 section 6.6.1), and `Expires` from there.
pub(crate) fn merged(stored: &Fields, response: &ResponseHead, rules: &Rules) -> Fields {
    let new = || {
        response.fields().filter(|field| {
            !field.hop_by_hop
                && !is_never_updated(field.known)
                && (field.known != Known::SetCookie || rules.store_set_cookie)
        })
    };
    let replaced = |field: &mangrove_http::Field<'_>| {
        new().any(|other| other.name.eq_ignore_ascii_case(field.name))
    };
    let kept = stored
        .iter()
        .filter(|field| !replaced(field) && field.known != Known::Date)
        .map(|field| (field.name, field.value));
    kept.chain(new().map(|field| (field.name, field.value)))
        .collect()
}

/// What is stored depends on these: they say how its content was coded, cut and counted. `Age` is computed.
const fn is_never_updated(known: Known) -> bool {
    matches!(
        known,
        Known::ContentLength
            | Known::ContentEncoding
            | Known::ContentRange
            | Known::ContentMd5
            | Known::Age
            | Known::ProxyAuthenticationInfo
    )
}
