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
                let colon = memchr::memchr(b':', text).unwrap_or(text.len());
                let (host, port) = text.split_at_checked(colon)?;
                is_name(host).then_some((host, port))?
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

fn is_name(host: &[u8]) -> bool {
    let mut previous = b'.';
    for &b in host {
        let allowed = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'_')
            || (b == b'.' && previous != b'.');
        if !allowed {
            return false;
        }
        previous = b;
    }
    !host.is_empty() && host.len() <= HOST_BYTES
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
