//! Requests and responses as stories write them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "helpers of tests; each file uses some"
)]

use mangrove_cache::{
    Asked, Decision, Found, NotStored, OriginState, Rules, Stored, Times, admit, decide,
};
use mangrove_http::{HeadLimits, Method, RequestHead, ResponseHead, UnixMillis, imf_fixdate};

/// When every story begins: Tue, 18 Nov 2025 00:00:00 GMT, and a little.
pub(crate) const START: u64 = 1_763_424_000;

/// So many seconds into the story.
pub(crate) fn at(seconds: u64) -> UnixMillis {
    UnixMillis((START + seconds) * 1000)
}

/// A date in a field, so many seconds into the story.
pub(crate) fn date(seconds: i64) -> String {
    let seconds = START.checked_add_signed(seconds).unwrap();
    String::from_utf8(imf_fixdate(seconds).to_vec()).unwrap()
}

pub(crate) type Lines<'a> = &'a [(&'a str, &'a str)];

fn lines(fields: Lines<'_>) -> String {
    fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// `GET /a` and the like, to `news.example`.
pub(crate) fn request(line: &str, fields: Lines<'_>) -> RequestHead {
    let mut head = RequestHead::new();
    let text = format!(
        "{line} HTTP/1.1\r\nHost: news.example\r\n{}\r\n",
        lines(fields)
    );
    head.octets_mut().extend_from_slice(text.as_bytes());
    head.parse_h1(&HeadLimits::default()).unwrap().unwrap();
    head
}

pub(crate) fn get(fields: Lines<'_>) -> RequestHead {
    request("GET /a", fields)
}

pub(crate) fn response(status: u16, fields: Lines<'_>) -> ResponseHead {
    response_to(Method::Get, status, fields)
}

pub(crate) fn response_to(method: Method, status: u16, fields: Lines<'_>) -> ResponseHead {
    let mut head = ResponseHead::new();
    let text = format!("HTTP/1.1 {status} \r\n{}\r\n", lines(fields));
    head.octets_mut().extend_from_slice(text.as_bytes());
    head.parse_h1(&HeadLimits::default(), method)
        .unwrap()
        .unwrap();
    head
}

/// An exchange that took no time.
pub(crate) fn times(seconds: u64) -> Times {
    Times {
        requested_at: at(seconds),
        received_at: at(seconds),
    }
}

pub(crate) fn asked<'r>(request: &'r RequestHead, rules: &Rules) -> Asked<'r> {
    Asked::read(request, request.path(), rules)
}

/// What comes of storing the answer to a request as the story begins.
pub(crate) fn store_for(
    request: &RequestHead,
    response: &ResponseHead,
    rules: &Rules,
) -> Result<Stored, NotStored> {
    admit(&asked(request, rules), response, rules, times(0))
}

/// The same for a plain GET and a 200, by the default rules.
pub(crate) fn store(fields: Lines<'_>) -> Result<Stored, NotStored> {
    store_for(&get(&[]), &response(200, fields), &Rules::default())
}

/// What becomes of a later request.
pub(crate) fn later(
    request: &RequestHead,
    stored: &Stored,
    seconds: u64,
    rules: &Rules,
) -> Decision {
    decide(
        &asked(request, rules),
        Found::This(stored),
        at(seconds),
        OriginState::Reachable,
        rules,
    )
}

/// How long a 200 is fresh, in seconds from when it arrived; `None` when it is not stored.
pub(crate) fn fresh_for(fields: Lines<'_>) -> Option<u64> {
    fresh_by(&Rules::default(), 200, fields)
}

pub(crate) fn fresh_by(rules: &Rules, status: u16, fields: Lines<'_>) -> Option<u64> {
    let stored = store_for(&get(&[]), &response(status, fields), rules).ok()?;
    Some(u64::try_from(stored.ttl(at(0))).unwrap_or(0))
}
