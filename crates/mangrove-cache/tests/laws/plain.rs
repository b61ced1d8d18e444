//! RFC 9111 read once more, plainly: strings and lists, one rule after the other, nothing shared with the crate.
//!
//! It may say that an answer was allowed where the cache is stricter; it must never say so where the RFC forbids it.

use mangrove_http::parse_http_date;

use crate::talk::at;

pub(crate) type Headers = Vec<(String, String)>;

/// A request and its response, as they went over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: &'static str,
    pub(crate) url: usize,
    pub(crate) request: Headers,
    pub(crate) status: u16,
    pub(crate) response: Headers,
    pub(crate) sent: u64,
    pub(crate) came: u64,
    /// What the content is.
    pub(crate) content: String,
}

/// How an answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// From what is stored, nobody was asked.
    None,
    /// The origin could not be asked, or failed.
    Failed,
    /// The last exchange of the chain is a 304 to this very request.
    Confirmed,
}

fn all<'h>(headers: &'h Headers, name: &str) -> Vec<&'h str> {
    let named = headers.iter().filter(|(other, _)| other == name);
    named.map(|(_, value)| &**value).collect()
}

fn one<'h>(headers: &'h Headers, name: &str) -> Option<&'h str> {
    all(headers, name).first().copied()
}

/// Directives by name, with their argument. The made-up lines hold no comma within quotes.
pub(crate) fn directive(headers: &Headers, name: &str) -> Option<Option<u64>> {
    let lines = all(headers, "cache-control");
    let mut found: Option<Option<u64>> = None;
    for element in lines.iter().flat_map(|line| line.split(',')) {
        let (key, value) = match element.split_once('=') {
            Some((key, value)) => (key, value.trim().trim_matches('"').parse().ok()),
            None => (element, None),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            found = Some(match (found.flatten(), value) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            });
        }
    }
    found
}

fn has(headers: &Headers, name: &str) -> bool {
    directive(headers, name).is_some()
}

fn seconds(headers: &Headers, name: &str) -> Option<u64> {
    directive(headers, name).flatten()
}

fn time(headers: &Headers, name: &str) -> Option<u64> {
    parse_http_date(one(headers, name)?.as_bytes(), at(0))
        .map(|time| time + ORIGIN - crate::talk::START)
}

/// Times of the world begin here, so that dates before it are no negative numbers.
pub(crate) const ORIGIN: u64 = 10_000_000;

/// The fields of a chain: the response, and what each 304 said, in order (section 3.2). What came without Date has the
/// time at which it came (RFC 9110 section 6.6.1).
pub(crate) fn merged(chain: &[&Exchange]) -> Headers {
    let mut headers: Headers = Vec::new();
    for exchange in chain {
        let mut newer = exchange.response.clone();
        if one(&newer, "date").is_none() {
            let date = crate::talk::date(
                i64::try_from(exchange.came).unwrap() - i64::try_from(ORIGIN).unwrap(),
            );
            newer.push(("date".to_owned(), date));
        }
        headers.retain(|(name, _)| !newer.iter().any(|(other, _)| other == name));
        headers.extend(newer);
    }
    headers
}

/// Section 4.2.1, with the tenth of section 4.2.2 up to a day.
fn lifetime(headers: &Headers) -> u64 {
    let date = time(headers, "date").unwrap();
    if let Some(seconds) = seconds(headers, "s-maxage") {
        return seconds;
    }
    if let Some(seconds) = seconds(headers, "max-age") {
        return seconds;
    }
    if one(headers, "expires").is_some() {
        return time(headers, "expires").map_or(0, |expires| expires.saturating_sub(date));
    }
    let modified = time(headers, "last-modified");
    modified.map_or(0, |modified| {
        (date.saturating_sub(modified) / 10).min(86_400)
    })
}

/// Section 4.2.3.
fn age(last: &Exchange, now: u64) -> u64 {
    let date = time(&merged(&[last]), "date").unwrap();
    let apparent = last.came.saturating_sub(date);
    let value: u64 = one(&last.response, "age").map_or(0, |age| age.parse().unwrap());
    let corrected = value + (last.came - last.sent);
    apparent.max(corrected) + (now - last.came)
}

/// Why a response must not be stored by a shared cache, or a 304 not update one (section 3). A cookie that comes with a 304
/// is not kept, but nothing speaks against what it confirms.
fn never_stored(exchange: &Exchange) -> Option<&'static str> {
    let (asked, said) = (&exchange.request, &exchange.response);
    let authorized = one(asked, "authorization").is_some();
    let shared = has(said, "public") || has(said, "s-maxage") || has(said, "must-revalidate");
    match () {
        () if exchange.method != "GET" => Some("another method than GET"),
        () if has(asked, "no-store") => Some("the request said no-store"),
        () if has(said, "no-store") => Some("the response said no-store"),
        () if has(said, "private") => Some("the response said private"),
        () if exchange.status != 304 && authorized && !shared => {
            Some("the request had credentials")
        }
        () if all(said, "vary").iter().any(|vary| vary.contains('*')) => {
            Some("the response varied on everything")
        }
        () if exchange.status != 304 && one(said, "set-cookie").is_some() => {
            Some("the response set a cookie")
        }
        () if exchange.status >= 500 => Some("an error without a lifetime"),
        () => None,
    }
}

/// What is wrong with answering `request` at `now` by what a chain of exchanges left: a response, and the 304s that
/// confirmed it. `changed` says which of all exchanges changed the URL through this cache (section 4.4).
pub(crate) fn fault(
    chain: &[&Exchange],
    request: &Exchange,
    now: u64,
    contact: Contact,
    changed_since: bool,
) -> Option<String> {
    let (first, last) = (chain[0], chain[chain.len() - 1]);
    if first.url != request.url {
        return Some("another URL".to_owned());
    }
    // A client that confirms for itself may be answered by what is not kept after.
    let kept = chain.len() - usize::from(contact == Contact::Confirmed);
    if let Some(why) = chain[..kept]
        .iter()
        .find_map(|exchange| never_stored(exchange))
    {
        return Some(format!("it must not be stored: {why}"));
    }
    let headers = merged(chain);
    for name in all(&merged(&chain[..kept]), "vary")
        .iter()
        .flat_map(|vary| vary.split(','))
    {
        let name = name.trim().to_ascii_lowercase();
        let of = |headers: &Headers| all(headers, &name).join(",").replace(' ', "");
        let asked_last = &chain[kept - 1].request;
        if of(&first.request) != of(&request.request) && of(asked_last) != of(&request.request) {
            return Some(format!("it varies on {name}"));
        }
    }
    if contact == Contact::Confirmed {
        return None;
    }
    if changed_since {
        return Some("it was invalidated (section 4.4)".to_owned());
    }
    if has(&headers, "no-cache") {
        return Some("no-cache, and nobody was asked".to_owned());
    }
    let (age, lifetime) = (age(last, now), lifetime(&headers));
    let wants = &request.request;
    let no_cache = has(wants, "no-cache")
        || (all(wants, "cache-control").is_empty() && one(wants, "pragma").is_some());
    let Some(stale_by) = age.checked_sub(lifetime) else {
        let left = lifetime - age;
        let immutable = has(&headers, "immutable");
        return match () {
            () if contact == Contact::Failed => None,
            () if no_cache => Some("the client said no-cache".to_owned()),
            () if seconds(wants, "min-fresh").is_some_and(|least| left < least) => {
                Some("min-fresh".to_owned())
            }
            () if seconds(wants, "max-age").is_some_and(|most| age > most) && !immutable => {
                Some(format!("max-age, age {age}"))
            }
            () => None,
        };
    };
    if ["must-revalidate", "proxy-revalidate", "s-maxage"]
        .iter()
        .any(|name| has(&headers, name))
    {
        return Some(format!(
            "stale by {stale_by}, which a directive forbids (section 4.2.4)"
        ));
    }
    let max_stale = directive(wants, "max-stale").map(|seconds| seconds.unwrap_or(u64::MAX));
    if contact == Contact::None && !no_cache && max_stale.is_some_and(|most| stale_by <= most) {
        return None;
    }
    let particular =
        no_cache || seconds(wants, "max-age").is_some() || seconds(wants, "min-fresh").is_some();
    if contact == Contact::None
        && !particular
        && seconds(&headers, "stale-while-revalidate").is_some_and(|most| stale_by <= most)
    {
        return None;
    }
    if contact == Contact::Failed {
        // Disconnected (section 4.2.4), within a day or what was said of it.
        let said = seconds(&headers, "stale-if-error").unwrap_or(86_400);
        let client = seconds(wants, "stale-if-error").or(max_stale).unwrap_or(0);
        let swr = seconds(&headers, "stale-while-revalidate").unwrap_or(0);
        if stale_by <= said.max(client).max(swr).max(max_stale.unwrap_or(0)) {
            return None;
        }
    }
    Some(format!("stale by {stale_by}"))
}

/// Whether every cache may answer from it without doubt: fresh, and the client is content with that.
pub(crate) fn is_plainly_fresh(chain: &[&Exchange], request: &Exchange, now: u64) -> bool {
    let headers = merged(chain);
    let plain = !has(&headers, "no-cache")
        && all(&request.request, "cache-control").is_empty()
        && one(&request.request, "pragma").is_none();
    plain && age(chain[chain.len() - 1], now) < lifetime(&headers)
}
