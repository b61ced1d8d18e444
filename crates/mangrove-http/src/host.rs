//! Who a request is for: the authority, its host and its port.

use std::net::Ipv6Addr;

/// The longest host name read, in bytes: the limit of DNS (RFC 1035 section 2.3.4), with a trailing dot.
pub const HOST_BYTES: usize = 254;

/// A validated `host[:port]` (RFC 9110 section 7.2), borrowed as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host as it came, with brackets around IPv6, in whatever case, with a trailing dot if it came with one.
    pub host: &'a [u8],
    /// The port, when one is given.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Validates `host[:port]`.
    ///
    /// Narrower than RFC 3986 on purpose, because routing, certificates and cache keys depend on it: a host is letters,
    /// digits, `-`, `.` and `_` without empty labels (one trailing dot is kept), or a bracketed IPv6 address without a
    /// zone. No user information, no percent-encoding, no empty host, and no colon without a port after it.
    pub fn parse(text: &'a [u8]) -> Option<Authority<'a>> {
        let (host, port) = match text {
            [b'[', rest @ ..] => {
                let close = memchr::memchr(b']', rest)?;
                let (address, _) = rest.split_at_checked(close)?;
                std::str::from_utf8(address)
                    .ok()?
                    .parse::<Ipv6Addr>()
                    .ok()?;
                text.split_at_checked(close + 2)?
            }
            _ => {
                let (host, port) = text.split_at_checked(name_length(text)?)?;
                ((1..=HOST_BYTES).contains(&host.len())).then_some((host, port))?
            }
        };
        let port = match port {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return None,
        };
        Some(Authority { host, port })
    }

    /// The host without the trailing dot that marks a fully qualified name: `news.example.` is `news.example`.
    pub fn host_without_dot(&self) -> &'a [u8] {
        self.host.strip_suffix(b".").unwrap_or(self.host)
    }

    /// Whether both name the same authority: hosts regardless of case, ports with `default_port` filled in.
    pub fn agrees_with(&self, other: &Authority<'_>, default_port: Option<u16>) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.or(default_port) == other.port.or(default_port)
    }
}

/// How many of the first octets may stand in a name; none when they have an empty label.
fn name_length(text: &[u8]) -> Option<usize> {
    let mut previous = DOT;
    for (at, &b) in text.iter().enumerate() {
        let place = place_in_name(b);
        if place == NOWHERE {
            return Some(at);
        }
        if place & previous == DOT {
            return None;
        }
        previous = place;
    }
    Some(text.len())
}

const NOWHERE: u8 = 0;
const IN_LABEL: u8 = 1;
const DOT: u8 = 2;

// An array of 256 indexed by a byte is always in bounds.
#[allow(clippy::indexing_slicing)]
const fn place_in_name(b: u8) -> u8 {
    static PLACES: [u8; 256] = {
        let mut table = [NOWHERE; 256];
        let mut b = 0;
        while b < 128_u8 {
            if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_') {
                table[b as usize] = IN_LABEL;
            }
            b += 1;
        }
        table[b'.' as usize] = DOT;
        table
    };
    PLACES[b as usize]
}

/// One to five digits, at most 65535.
fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    digits.iter().try_fold(0_u16, |port, &b| {
        let digit = b.is_ascii_digit().then(|| b - b'0')?;
        port.checked_mul(10)?.checked_add(u16::from(digit))
    })
}

/// Which hosts a site or a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `*`: any host.
    Any,
    /// `*.news.example`: any host under it, at any depth, but not itself. Kept as `.news.example`, in lower case.
    Under(Box<str>),
    /// `news.example`: that host. Kept in lower case without a trailing dot.
    Exact(Box<str>),
}

impl HostPattern {
    /// Reads a pattern; `None` when it is none. A star stands alone or for the first labels, nowhere else.
    pub fn parse(text: &str) -> Option<HostPattern> {
        if text == "*" {
            return Some(HostPattern::Any);
        }
        let (under, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let authority = Authority::parse(name.as_bytes())?;
        let host = std::str::from_utf8(authority.host_without_dot())
            .ok()?
            .to_ascii_lowercase();
        match (under, authority.port) {
            (_, Some(_)) => None,
            (true, None) if host.starts_with('[') => None,
            (true, None) => Some(HostPattern::Under(format!(".{host}").into())),
            (false, None) => Some(HostPattern::Exact(host.into())),
        }
    }

    /// Whether `host`, as it came in a request, is meant.
    pub fn matches(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        match self {
            HostPattern::Any => true,
            HostPattern::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            HostPattern::Under(suffix) => {
                let start = host.len().saturating_sub(suffix.len());
                start > 0
                    && host
                        .get(start..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            }
        }
    }

    /// Greater is tried first: exact names, then the longest suffix, then any host.
    pub fn precedence(&self) -> (u8, usize) {
        match self {
            HostPattern::Any => (0, 0),
            HostPattern::Under(suffix) => (1, suffix.len()),
            HostPattern::Exact(_) => (2, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_authority() {
        let parse =
            |text: &'static str| Authority::parse(text.as_bytes()).map(|a| (a.host, a.port));
        assert_eq!(parse("News.example"), Some((&b"News.example"[..], None)));
        assert_eq!(
            parse("news.example.:8080"),
            Some((&b"news.example."[..], Some(8080)))
        );
        assert_eq!(
            parse("[2001:db8::1]:443"),
            Some((&b"[2001:db8::1]"[..], Some(443)))
        );
        assert_eq!(parse("127.0.0.1:0"), Some((&b"127.0.0.1"[..], Some(0))));
        for wrong in [
            "",
            ":80",
            ".",
            "a..b",
            ".a",
            "a:",
            "a:x",
            "a:65536",
            "a:000080",
            "a:+80",
            "a b",
            "a,b",
            "u@a",
            "a/",
            "a%41",
            "[::1",
            "[::1]x",
            "[::1%eth0]",
            "[1.2.3.4]",
            "::1",
            "a:80:80",
            "\u{e9}.example",
            "a\t",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let longest = "a".repeat(HOST_BYTES);
        assert!(Authority::parse(longest.as_bytes()).is_some());
        assert!(Authority::parse(format!("{longest}a").as_bytes()).is_none());
    }

    #[test]
    fn patterns() {
        let matches = |pattern: &str, host: &str| {
            HostPattern::parse(pattern)
                .unwrap()
                .matches(host.as_bytes())
        };
        assert!(matches("*", "anything") && matches("*", ""));
        assert!(matches("News.example", "news.EXAMPLE."));
        assert!(!matches("news.example", "xnews.example"));
        assert!(matches("*.news.example", "a.b.NEWS.example."));
        assert!(
            !matches("*.news.example", "news.example")
                && !matches("*.news.example", ".news.example")
        );
        assert!(matches("[::1]", "[::1]"));
        for wrong in ["", "**", "a.*", "*a", "*.", "a:80", "*.[::1]", "a b"] {
            assert_eq!(HostPattern::parse(wrong), None, "{wrong}");
        }
        let precedence = |pattern| HostPattern::parse(pattern).unwrap().precedence();
        assert!(precedence("a.b.example") > precedence("*.b.example"));
        assert!(
            precedence("*.b.example") > precedence("*.example")
                && precedence("*.example") > precedence("*")
        );
    }
}
