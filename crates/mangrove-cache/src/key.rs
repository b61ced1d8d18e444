//! The key under which everything for one URL is stored (RFC 9111 section 2).
//!
//! It is the URL itself, written in one way: `https://news.example/a?b=c`. Whatever else tells objects apart is in the
//! variant ([`write_variant`](crate::write_variant)), so that one key finds, and one purge empties, all of a URL.

use mangrove_http::{Authority, RequestHead, Scheme, normalize};

use crate::pattern::NamePattern;
use crate::range::push_decimal;
use crate::rules::{KeyRules, QueryRule, Rules};

/// The most parameters of a query that are put in order of their names; with more, they stay as they came.
pub const SORTED_PARAMETERS: usize = 64;

/// Appends the key of a request. `path` is its path in normal form.
///
/// Two requests have the same key only if scheme, host (in any case, with or without a trailing dot), port (that of the
/// scheme goes without saying) and normal path are the same, and so is what the rules keep of the query. Put the site
/// before it where hosts may move between sites.
pub fn write_key(
    rules: &Rules,
    scheme: Scheme,
    request: &RequestHead,
    path: &[u8],
    out: &mut Vec<u8>,
) {
    write_origin(scheme, request.host(), request.port(), out);
    out.extend_from_slice(path);
    if let Some(query) = request.query() {
        write_query(&rules.key, query, out);
    }
}

/// Appends the key of an absolute URL: for purging, and for showing what is stored. False, and nothing appended, when it is
/// no http or https URL. What follows `#` is left out.
pub fn key_of_url(rules: &Rules, url: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let written = write_url(rules, url, out).is_some();
    if !written {
        out.truncate(start);
    }
    written
}

fn write_url(rules: &Rules, url: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let url = url.split(|&b| b == b'#').next()?;
    let (scheme, rest) = url.split_at_checked(url.iter().position(|&b| b == b':')?)?;
    let scheme = Scheme::of(scheme)?;
    let rest = rest.strip_prefix(b"://")?;
    let slash = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(slash)?;
    let authority = Authority::parse(authority)?;
    if !target.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let question = target
        .iter()
        .position(|&b| b == b'?')
        .unwrap_or(target.len());
    let (path, query) = target.split_at_checked(question)?;
    write_origin(scheme, authority.host, authority.port, out);
    normalize(if path.is_empty() { b"/" } else { path }, out);
    if let Some(query) = query.strip_prefix(b"?") {
        write_query(&rules.key, query, out);
    }
    Some(())
}

/// Appends `https://host` or `https://host:port`.
pub(crate) fn write_origin(scheme: Scheme, host: &[u8], port: Option<u16>, out: &mut Vec<u8>) {
    out.extend_from_slice(match scheme {
        Scheme::Http => b"http://",
        Scheme::Https => b"https://",
    });
    let host = host.strip_suffix(b".").unwrap_or(host);
    out.extend(host.iter().map(u8::to_ascii_lowercase));
    if let Some(port) = port.filter(|&port| port != scheme.default_port()) {
        out.push(b':');
        push_decimal(out, u64::from(port));
    }
}

/// Appends `?` and what counts of the query. With a list of parameters, `?` only if one of them is there.
fn write_query(rules: &KeyRules, query: &[u8], out: &mut Vec<u8>) {
    let all = match rules.query {
        QueryRule::Ignore => return,
        QueryRule::All => true,
        QueryRule::Only(_) | QueryRule::Except(_) => false,
    };
    if all && !rules.sort_query {
        out.push(b'?');
        out.extend_from_slice(query);
        return;
    }
    let counted = || {
        query
            .split(|&b| b == b'&')
            .filter(|parameter| counts(rules, parameter))
    };
    let mut sorted: [&[u8]; SORTED_PARAMETERS] = [b""; SORTED_PARAMETERS];
    let count = counted().count();
    if all && count == 0 {
        out.push(b'?');
    }
    if !rules.sort_query || count > SORTED_PARAMETERS {
        return write_parameters(counted(), out);
    }
    for (place, parameter) in sorted.iter_mut().zip(counted()) {
        *place = parameter;
    }
    let sorted = sorted.get_mut(..count).unwrap_or_default();
    sort_by_name(sorted);
    write_parameters(sorted.iter().copied(), out);
}

fn write_parameters<'q>(parameters: impl Iterator<Item = &'q [u8]>, out: &mut Vec<u8>) {
    for (place, parameter) in parameters.enumerate() {
        out.push(if place == 0 { b'?' } else { b'&' });
        out.extend_from_slice(parameter);
    }
}

/// Parameters of one name stay in their order, which means something to many origins. By insertion, because a stable sort
/// of the standard library allocates.
fn sort_by_name(parameters: &mut [&[u8]]) {
    for end in 1..parameters.len() {
        let mut at = end;
        while at > 0
            && let Some([before, this]) = parameters.get(at - 1..=at)
            && name_of(before) > name_of(this)
        {
            parameters.swap(at - 1, at);
            at -= 1;
        }
    }
}

fn name_of(parameter: &[u8]) -> &[u8] {
    parameter.split(|&b| b == b'=').next().unwrap_or_default()
}

fn counts(rules: &KeyRules, parameter: &[u8]) -> bool {
    let named = |names: &[NamePattern]| names.iter().any(|name| is_named(parameter, name));
    match &rules.query {
        // `a&&b` asks for the same as `a&b`, where order does not count either.
        QueryRule::All => !parameter.is_empty(),
        QueryRule::Ignore => false,
        QueryRule::Only(names) => named(names),
        QueryRule::Except(names) => !parameter.is_empty() && !named(names),
    }
}

/// Whether the query has a parameter of such a name.
pub(crate) fn asks_for(query: &[u8], name: &NamePattern) -> bool {
    query
        .split(|&b| b == b'&')
        .any(|parameter| is_named(parameter, name))
}

/// Compares decoded, as the origin will: otherwise `%61=…` would change what is stored for a site that keeps `a` apart.
fn is_named(parameter: &[u8], name: &NamePattern) -> bool {
    let mut rest = name_of(parameter);
    !rest.is_empty()
        && name.matches_bytes(std::iter::from_fn(|| {
            let (byte, after) = match rest {
                [] => return None,
                [b'%', high, low, after @ ..] => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, after),
                    _ => (b'%', rest.get(1..).unwrap_or_default()),
                },
                [b'+', after @ ..] => (b' ', after),
                [byte, after @ ..] => (*byte, after),
            };
            rest = after;
            Some(byte)
        }))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rules: &Rules, url: &str) -> String {
        let mut out = Vec::new();
        assert!(key_of_url(rules, url.as_bytes(), &mut out), "{url}");
        String::from_utf8(out).unwrap()
    }

    fn with_query(query: QueryRule, sort_query: bool) -> Rules {
        Rules {
            key: KeyRules {
                query,
                sort_query,
                ..KeyRules::default()
            },
            ..Rules::default()
        }
    }

    fn names(names: &[&str]) -> Vec<NamePattern> {
        let pattern = |name: &&str| NamePattern::parse(name).unwrap();
        names.iter().map(pattern).collect()
    }

    #[test]
    fn one_url_has_one_key() {
        let rules = Rules::default();
        for same in [
            "http://News.Example./a/../%7ex?q=1#top",
            "HTTP://news.example:80/~x?q=1",
        ] {
            assert_eq!(key(&rules, same), "http://news.example/~x?q=1", "{same}");
        }
        assert_eq!(key(&rules, "https://a:8443"), "https://a:8443/");
        assert_eq!(key(&rules, "https://a?"), "https://a/?");
        for wrong in [
            "",
            "a",
            "/a",
            "ftp://a/",
            "http:/a",
            "http://",
            "http://u@a/",
            "http://a/\u{e9}",
        ] {
            let mut out = b"kept".to_vec();
            assert!(!key_of_url(&rules, wrong.as_bytes(), &mut out), "{wrong}");
            assert_eq!(out, b"kept");
        }
    }

    #[test]
    fn a_request_has_the_key_of_its_url() {
        let mut request = RequestHead::new();
        request
            .octets_mut()
            .extend_from_slice(b"GET /b?q HTTP/1.1\r\nHost: A.example:443\r\n\r\n");
        request
            .parse_h1(&mangrove_http::HeadLimits::default())
            .unwrap();
        let mut out = Vec::new();
        write_key(&Rules::default(), Scheme::Https, &request, b"/b", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            key(&Rules::default(), "https://a.example/b?q")
        );
    }

    #[test]
    fn queries() {
        let url = "http://a/?b=2&a=1&b=1&utm_source=x&";
        let end = |rules: &Rules, url| {
            key(rules, url)
                .strip_prefix("http://a/")
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            end(&with_query(QueryRule::All, false), url),
            "?b=2&a=1&b=1&utm_source=x&"
        );
        assert_eq!(
            end(&with_query(QueryRule::All, true), url),
            "?a=1&b=2&b=1&utm_source=x"
        );
        assert_eq!(end(&with_query(QueryRule::Ignore, false), url), "");
        let only = with_query(QueryRule::Only(names(&["a"])), false);
        assert_eq!(end(&only, url), "?a=1");
        assert_eq!(
            end(&only, "http://a/?%61=1&A=2&a"),
            "?%61=1&a",
            "as the origin reads them"
        );
        assert_eq!(end(&only, "http://a/?b"), "");
        let any = NamePattern::parse("*").unwrap();
        assert!(asks_for(b"a", &any) && !asks_for(b"", &any) && !asks_for(b"&=x", &any));
        let campaign = with_query(QueryRule::Except(names(&["utm_*", "x"])), false);
        assert_eq!(
            end(&campaign, "http://a/?utm_a=1&p=2&utm%5Fb&x&xy"),
            "?p=2&xy"
        );
        let except = with_query(QueryRule::Except(names(&["utm_source"])), true);
        assert_eq!(end(&except, url), "?a=1&b=2&b=1");
        assert_eq!(end(&with_query(QueryRule::All, true), "http://a/?"), "?");
    }

    #[test]
    fn one_parameter_too_many_stays_unsorted() {
        let rules = with_query(QueryRule::All, true);
        let query = |count: usize| {
            (0..count)
                .rev()
                .map(|n| format!("{n:03}"))
                .collect::<Vec<_>>()
                .join("&")
        };
        let most = key(&rules, &format!("http://a/?{}", query(SORTED_PARAMETERS)));
        assert!(most.starts_with("http://a/?000&001"));
        let more = format!("http://a/?{}", query(SORTED_PARAMETERS + 1));
        assert_eq!(key(&rules, &more), more);
    }
}
