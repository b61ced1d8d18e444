//! Whether a response may be stored, and what is kept of it (RFC 9111 section 3).

use mangrove_http::{Known, Method, ResponseHead, UnixMillis, list, parse_http_date};

use crate::asked::{Asked, bypass_by_rule};
use crate::directives::{DELTA_CEILING, ResponseDirectives, delta_seconds};
use crate::fields::Fields;
use crate::invalidate::names_itself;
use crate::purge::check_tags;
use crate::range::{AskedRange, ContentRange};
use crate::reason::NotStored;
use crate::rules::Rules;
use crate::stored::{Content, Expiry, Lifetime, LifetimeSource, Reuse, Stored};
use crate::targeted::{self, PolicyField};
use crate::validator;
use crate::vary::{VARIANT_BYTES, Vary, write_variant};

/// When an exchange with an origin took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the request was sent.
    pub requested_at: UnixMillis,
    /// When the head of the response had arrived.
    pub received_at: UnixMillis,
}

/// Whether the response to `asked` may be stored; if so, what is kept beside its content, otherwise the first reason
/// against it.
///
/// The content is the caller's. What did not arrive whole is not stored (section 3.3): neither is anything that becomes
/// larger than [`Rules::largest`] without having said so.
pub fn admit(
    asked: &Asked<'_>,
    response: &ResponseHead,
    rules: &Rules,
    times: Times,
) -> Result<Stored, NotStored> {
    let (said, field) = targeted::policy(response, rules);
    check_request(asked, response, rules)?;
    check_response(asked, response, &said, rules)?;
    let content = content(asked, response, rules)?;
    let vary = Vary::read(response)?;
    let mut variant = Vec::new();
    write_variant(&vary, asked.request, rules, &mut variant);
    if variant.len() > VARIANT_BYTES {
        return Err(NotStored::VaryTooWide);
    }
    check_tags(response)?;
    let dates = Dates::read(response, times);
    let lifetime = lifetime(asked.path, response, &said, field, &dates, rules);
    check_lifetime(asked, response.status(), &said, lifetime)?;
    let stored = Stored {
        status: response.status(),
        fields: kept_fields(response, &said),
        content,
        requested_at: times.requested_at,
        received_at: times.received_at,
        initial_age: initial_age(response, &dates, times),
        lifetime,
        reuse: reuse(&said, field),
        last_modified: dates.last_modified,
        date: dates.date,
        vary,
        variant: variant.into(),
        invalidated: false,
        expiry: Expiry::default(),
    };
    check_use(&stored)?;
    Ok(stored)
}

/// `stored` as a newer response about the same representation has it: `head` is what both say together, `response` the
/// newer one itself.
pub(crate) fn updated(
    stored: &Stored,
    head: &ResponseHead,
    response: &ResponseHead,
    asked: &Asked<'_>,
    rules: &Rules,
    times: Times,
) -> Stored {
    let (said, field) = targeted::policy(head, rules);
    let dates = Dates::read(head, times);
    let mut updated = Stored {
        fields: kept_fields(head, &said),
        lifetime: lifetime(asked.path, head, &said, field, &dates, rules),
        reuse: reuse(&said, field),
        last_modified: dates.last_modified,
        date: dates.date,
        ..stored.clone()
    };
    // It may vary on other fields by now; `is_withdrawn` finds a Vary that cannot be kept.
    if let Ok(vary) = Vary::read(head) {
        let mut variant = Vec::new();
        write_variant(&vary, asked.request, rules, &mut variant);
        (updated.vary, updated.variant) = (vary, variant.into());
    }
    restart_age(&mut updated, response, times);
    updated
}

/// Whether a newer response forbids to go on storing what it is about.
pub(crate) fn is_withdrawn(updated: &Stored, response: &ResponseHead, rules: &Rules) -> bool {
    let (said, _) = targeted::policy(response, rules);
    let no_store = said.no_store && !(said.must_understand && is_understood(updated.status));
    no_store
        || said.private
        || Vary::read(response).is_err()
        || check_tags(response).is_err()
        || updated.variant.len() > VARIANT_BYTES
}

/// Counts the age from when the origin confirmed it.
pub(crate) fn restart_age(stored: &mut Stored, response: &ResponseHead, times: Times) {
    stored.requested_at = times.requested_at;
    stored.received_at = times.received_at;
    stored.initial_age = initial_age(response, &Dates::read(response, times), times);
    stored.invalidated = false;
    stored.expiry = Expiry::default();
}

fn check_request(
    asked: &Asked<'_>,
    response: &ResponseHead,
    rules: &Rules,
) -> Result<(), NotStored> {
    use crate::reason::Reason;
    let post = asked.request.method() == Method::Post;
    let bypassed = bypass_by_rule(asked.request, asked.path, &rules.bypass).is_some();
    match asked.bypass {
        _ if post && bypassed => return Err(NotStored::Bypassed),
        None => {}
        Some(Reason::CacheOff) => return Err(NotStored::CacheOff),
        Some(Reason::Method) if post && names_itself(asked.request, response) => {}
        Some(Reason::Method) => return Err(NotStored::Method),
        Some(_) => return Err(NotStored::Bypassed),
    }
    if !rules.on {
        return Err(NotStored::CacheOff);
    }
    if asked.request.method() == Method::Head {
        return Err(NotStored::Method);
    }
    if asked.directives.no_store {
        return Err(NotStored::NoStoreRequest);
    }
    Ok(())
}

fn check_response(
    asked: &Asked<'_>,
    response: &ResponseHead,
    said: &ResponseDirectives,
    rules: &Rules,
) -> Result<(), NotStored> {
    let status = response.status();
    if status < 200 {
        return Err(NotStored::Interim);
    }
    if is_for_one_request(status) {
        return Err(NotStored::StatusForOneRequest);
    }
    if said.must_understand && !is_understood(status) {
        return Err(NotStored::MustUnderstand);
    }
    // Section 5.2.2.3: whoever understands the status ignores the no-store that stands beside must-understand.
    if said.no_store && !said.must_understand {
        return Err(NotStored::NoStore);
    }
    if said.private {
        return Err(NotStored::Private);
    }
    let for_everyone = said.public || said.must_revalidate || said.s_maxage.is_some();
    if asked.authorization && !for_everyone {
        return Err(NotStored::Authorization);
    }
    let withheld = said.withheld.iter().any(|name| **name == *b"set-cookie");
    if response.field(Known::SetCookie).is_some() && !withheld && !rules.store_set_cookie {
        return Err(NotStored::SetCookie);
    }
    Ok(())
}

/// Statuses whose requirements on caches this cache fulfils (section 3).
const fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 206 | 300..=303 | 307 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Statuses that a response may have by default without saying how long it is fresh (RFC 9110 section 15.1).
pub(crate) const fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Whether no response with this status is ever stored, whatever it says.
pub const fn is_never_stored(status: u16) -> bool {
    status < 200 || is_for_one_request(status)
}

/// They answer what one request said of conditions, ranges, expectations, connections or its rate; RFC 6585 forbids to
/// store its four.
const fn is_for_one_request(status: u16) -> bool {
    matches!(
        status,
        304 | 407 | 408 | 412 | 413 | 416 | 417 | 421 | 425 | 426 | 428 | 429 | 431 | 511
    )
}

/// Of a 206 which bytes it holds; of anything else that it is whole, and not too large.
fn content(
    asked: &Asked<'_>,
    response: &ResponseHead,
    rules: &Rules,
) -> Result<Content, NotStored> {
    let length = response.content_length();
    if length.is_some_and(|length| length > rules.largest) {
        return Err(NotStored::TooLarge);
    }
    if response.status() != 206 {
        return Ok(Content::Whole { length });
    }
    if asked.range == AskedRange::Whole {
        return Err(NotStored::PartUnasked);
    }
    let of_parts = |value: &[u8]| {
        value
            .get(..MULTIPART.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(MULTIPART))
    };
    if response.field(Known::ContentType).is_some_and(of_parts) {
        return Err(NotStored::PartMultiple);
    }
    let one = response.count(Known::ContentRange) == 1;
    let range = response
        .field(Known::ContentRange)
        .filter(|_| one)
        .and_then(ContentRange::parse);
    let range = range.ok_or(NotStored::PartMalformed)?;
    if length.is_some_and(|length| length != range.held.length()) {
        return Err(NotStored::PartMalformed);
    }
    if range.held.length() > rules.largest {
        return Err(NotStored::TooLarge);
    }
    Ok(Content::Part {
        held: range.held,
        total: range.total,
    })
}

const MULTIPART: &[u8] = b"multipart/byteranges";

fn check_lifetime(
    asked: &Asked<'_>,
    status: u16,
    said: &ResponseDirectives,
    lifetime: Lifetime,
) -> Result<(), NotStored> {
    let explicit = !matches!(
        lifetime.source,
        LifetimeSource::Unsaid | LifetimeSource::Heuristic
    );
    // RFC 9110 section 9.3.3: a POST's only with explicit freshness.
    if asked.request.method() == Method::Post && !explicit {
        return Err(NotStored::Method);
    }
    if explicit || said.public || is_heuristically_cacheable(status) {
        Ok(())
    } else {
        Err(NotStored::NotCacheableByDefault)
    }
}

/// Keeps out what no later request could get.
fn check_use(stored: &Stored) -> Result<(), NotStored> {
    let fresh = stored.is_fresh(stored.received_at) && !stored.reuse.no_cache;
    let allows_stale =
        |seconds: Option<u32>| seconds.is_some_and(|seconds| seconds > 0) && !stored.never_stale();
    let useful = fresh
        || stored.has_validator()
        || allows_stale(stored.reuse.stale_while_revalidate)
        || allows_stale(stored.reuse.stale_if_error);
    if useful {
        Ok(())
    } else {
        Err(NotStored::NothingToReuse)
    }
}

/// The dates of a response as seconds since 1970.
pub(crate) struct Dates {
    /// When it arrived, if it does not say.
    date: u64,
    /// Whether `Date` said it.
    date_said: bool,
    last_modified: Option<u64>,
}

impl Dates {
    fn read(response: &ResponseHead, times: Times) -> Dates {
        let now = times.received_at;
        let date = response
            .field(Known::Date)
            .and_then(|text| parse_http_date(text, now));
        Dates {
            date: date.unwrap_or(now.secs()),
            date_said: date.is_some(),
            last_modified: validator::last_modified(response.field(Known::LastModified), now),
        }
    }
}

/// The freshness lifetime (section 4.2.1).
fn lifetime(
    path: &[u8],
    response: &ResponseHead,
    said: &ResponseDirectives,
    field: PolicyField,
    dates: &Dates,
    rules: &Rules,
) -> Lifetime {
    let status = response.status();
    let by_rule = |overrides: bool| {
        let mut fitting = rules
            .lifetimes
            .iter()
            .filter(|rule| rule.overrides == overrides && rule.fits(path, status));
        fitting.next().map(|rule| rule.seconds.min(DELTA_CEILING))
    };
    // RFC 9213 section 2.2: a targeted field puts Expires out of force too.
    let expires = || {
        (field == PolicyField::CacheControl)
            .then(|| expires(response, dates))
            .flatten()
    };
    let negative = || {
        rules
            .negative
            .iter()
            .find(|rule| rule.fits(status))
            .map(|rule| rule.seconds)
    };
    let heuristic = || heuristic(status, said, dates, rules);
    let (seconds, source) = None
        .or_else(|| Some((by_rule(true)?, LifetimeSource::Override)))
        .or_else(|| Some((said.s_maxage?, LifetimeSource::SMaxAge)))
        .or_else(|| Some((said.max_age?, LifetimeSource::MaxAge)))
        .or_else(|| Some((expires()?, LifetimeSource::Expires)))
        .or_else(|| Some((by_rule(false)?, LifetimeSource::Default)))
        .or_else(|| Some((negative()?, LifetimeSource::Negative)))
        .or_else(|| Some((heuristic()?, LifetimeSource::Heuristic)))
        .unwrap_or((0, LifetimeSource::Unsaid));
    Lifetime {
        seconds: seconds.min(DELTA_CEILING),
        source,
    }
}

/// `Expires` less `Date`; the shortest of several. One that is no date is in the past (section 5.3).
fn expires(response: &ResponseHead, dates: &Dates) -> Option<u32> {
    let now = UnixMillis(dates.date.saturating_mul(1000));
    let lifetime = |text: &[u8]| {
        parse_http_date(text, now).map_or(0, |at| seconds(at.saturating_sub(dates.date)))
    };
    response.all(Known::Expires).map(lifetime).min()
}

fn heuristic(status: u16, said: &ResponseDirectives, dates: &Dates, rules: &Rules) -> Option<u32> {
    if !is_heuristically_cacheable(status) && !said.public {
        return None;
    }
    let unchanged_for = dates.date.checked_sub(dates.last_modified?)?;
    let part = unchanged_for.saturating_mul(u64::from(rules.heuristic_percent.min(100))) / 100;
    Some(seconds(part).min(rules.heuristic_ceiling))
}

fn seconds(value: u64) -> u32 {
    u32::try_from(value).map_or(DELTA_CEILING, |value| value.min(DELTA_CEILING))
}

/// `corrected_initial_age` in milliseconds (section 4.2.3).
fn initial_age(response: &ResponseHead, dates: &Dates, times: Times) -> u64 {
    let apparent_age = match dates.date_said {
        true => times
            .received_at
            .secs()
            .saturating_sub(dates.date)
            .saturating_mul(1000),
        false => 0,
    };
    let response_delay = times.received_at.0.saturating_sub(times.requested_at.0);
    let corrected_age = age_value(response)
        .saturating_mul(1000)
        .saturating_add(response_delay);
    apparent_age.max(corrected_age)
}

/// What `Age` says, in seconds. Whatever cannot be read as one age is taken for the greatest there is: it may be that old.
///
/// Of a list the first member counts (section 5.1). Several lines, and what joining them makes (a comma and a space,
/// RFC 9110 section 5.3), mean that two hops wrote one each, and nobody knows which is right.
fn age_value(response: &ResponseHead) -> u64 {
    let mut lines = response.all(Known::Age);
    let Some(line) = lines.next() else {
        return 0;
    };
    let joined = line.windows(2).any(|pair| matches!(pair, b", " | b",\t"));
    if lines.next().is_some() || joined {
        return u64::from(DELTA_CEILING);
    }
    let first = list(line).next().unwrap_or_default();
    delta_seconds(first).map_or(u64::from(DELTA_CEILING), u64::from)
}

fn reuse(said: &ResponseDirectives, policy: PolicyField) -> Reuse {
    let revalidate = said.must_revalidate || said.proxy_revalidate;
    Reuse {
        policy,
        no_cache: said.no_cache,
        must_revalidate: revalidate || said.s_maxage.is_some(),
        only_s_maxage: said.s_maxage.is_some() && !revalidate,
        immutable: said.immutable,
        no_transform: said.no_transform,
        stale_while_revalidate: said.stale_while_revalidate,
        stale_if_error: said.stale_if_error,
    }
}

/// Every field but those of section 3.1 and `Age`, which is computed anew for every answer.
pub(crate) fn kept_fields(response: &ResponseHead, said: &ResponseDirectives) -> Fields {
    let kept = |field: &mangrove_http::Field<'_>| {
        let withheld = || {
            said.withheld
                .iter()
                .any(|name| field.name.eq_ignore_ascii_case(name))
        };
        !field.hop_by_hop
            && !matches!(field.known, Known::Age | Known::ProxyAuthenticationInfo)
            && !withheld()
    };
    response
        .fields()
        .filter(kept)
        .map(|field| (field.name, field.value))
        .collect()
}
