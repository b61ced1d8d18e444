//! What a request says to the cache: read once, borrowed from its head, without memory of its own.

use mangrove_http::{BodyFraming, Known, Method, RequestHead};

use crate::directives::RequestDirectives;
use crate::key::asks_for;
use crate::range::AskedRange;
use crate::reason::Reason;
use crate::rules::{BypassRules, Rules};

/// What a request says to the cache.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    /// The head it was read from.
    pub request: &'r RequestHead,
    /// Its path in normal form.
    pub path: &'r [u8],
    /// What it says of caches; nothing where the site does not listen, but for `no-store` and `only-if-cached`.
    pub directives: RequestDirectives,
    /// Whether it carries credentials (RFC 9111 section 3.5).
    pub authorization: bool,
    /// Whether it has If-None-Match, If-Modified-Since, If-Match or If-Unmodified-Since.
    pub conditional: bool,
    /// The bytes it asks for; of a GET only (RFC 9110 section 14.2).
    pub range: AskedRange,
    /// Why it does not use the cache, if it does not.
    pub bypass: Option<Reason>,
}

impl<'r> Asked<'r> {
    /// Reads a request. `path` is its path in normal form.
    pub fn read(request: &'r RequestHead, path: &'r [u8], rules: &Rules) -> Asked<'r> {
        let present = |known| request.field(known).is_some();
        let mut directives = RequestDirectives::default();
        if present(Known::CacheControl) || present(Known::Pragma) {
            directives = RequestDirectives::read(request);
            if !rules.obey_requests {
                directives = RequestDirectives {
                    no_store: directives.no_store,
                    only_if_cached: directives.only_if_cached,
                    ..RequestDirectives::default()
                };
            }
        }
        let range = match request.field(Known::Range) {
            Some(value) if request.method() == Method::Get && request.count(Known::Range) == 1 => {
                AskedRange::parse(value)
            }
            _ => AskedRange::Whole,
        };
        Asked {
            request,
            path,
            directives,
            authorization: present(Known::Authorization),
            conditional: present(Known::IfNoneMatch)
                || present(Known::IfModifiedSince)
                || present(Known::IfMatch)
                || present(Known::IfUnmodifiedSince),
            range,
            bypass: bypass(request, path, rules),
        }
    }

    /// Whether it may be answered from the cache.
    pub fn may_look_up(&self) -> bool {
        self.bypass.is_none()
    }

    /// Whether it may wait for the response to another request for the same key, instead of making one of its own.
    ///
    /// Not when it asks for bytes, for an answer without the origin, or has preconditions that only the origin judges: what
    /// the other gets would be no answer to these.
    pub fn may_collapse(&self) -> bool {
        self.bypass.is_none()
            && self.request.method() == Method::Get
            && self.range == AskedRange::Whole
            && !self.directives.only_if_cached
            && !self.directives.no_store
            && self.request.field(Known::IfMatch).is_none()
            && self.request.field(Known::IfUnmodifiedSince).is_none()
    }
}

fn bypass(request: &RequestHead, path: &[u8], rules: &Rules) -> Option<Reason> {
    if !rules.on {
        return Some(Reason::CacheOff);
    }
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Some(Reason::Method);
    }
    // Content with GET means nothing, but some origins read it: its sender could choose what others get.
    if !matches!(
        request.framing(),
        BodyFraming::None | BodyFraming::Length(0)
    ) {
        return Some(Reason::RequestContent);
    }
    bypass_by_rule(request, path, &rules.bypass)
}

pub(crate) fn bypass_by_rule(
    request: &RequestHead,
    path: &[u8],
    rules: &BypassRules,
) -> Option<Reason> {
    if rules.paths.iter().any(|pattern| pattern.matches(path)) {
        return Some(Reason::BypassPath);
    }
    let cookies = || cookies(request).map(|(name, _)| name);
    if !rules.cookies.is_empty()
        && cookies().any(|cookie| rules.cookies.iter().any(|name| name.matches(cookie)))
    {
        return Some(Reason::BypassCookie);
    }
    let named = |name: &str| request.named(name.as_bytes()).next().is_some();
    if rules.headers.iter().any(|name| named(name)) {
        return Some(Reason::BypassHeader);
    }
    let asks = |query| rules.query.iter().any(|name| asks_for(query, name));
    (!rules.query.is_empty() && request.query().is_some_and(asks)).then_some(Reason::BypassQuery)
}

/// Names and values (RFC 6265 section 4.2). What has no `=` is a cookie without a name to browsers, and left out.
fn cookies(request: &RequestHead) -> impl Iterator<Item = (&[u8], &[u8])> {
    request
        .all(Known::Cookie)
        .flat_map(|line| line.split(|&b| b == b';'))
        .filter_map(|pair| {
            let pair = mangrove_http::trim(pair);
            let (name, value) = pair.split_at_checked(pair.iter().position(|&b| b == b'=')?)?;
            Some((name, value.get(1..)?))
        })
}

/// The value of the first cookie of that name.
pub fn cookie<'r>(request: &'r RequestHead, name: &str) -> Option<&'r [u8]> {
    cookies(request)
        .find(|(cookie, _)| *cookie == name.as_bytes())
        .map(|(_, value)| value)
}
