//! Who the client is, when proxies in front of the edge say so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::field::trim;
use crate::known::Known;
use crate::quoted;
use crate::request::RequestHead;

/// Elements looked at, from the right. Behind more proxies than that the nearest of them counts as the client.
pub const FORWARDED_ELEMENTS: usize = 32;

/// The address nearest to the edge that no trusted proxy has.
///
/// `peer` is the other end of the connection, or what the PROXY protocol said. Each proxy appends the address it was
/// called from, so the list is read from the right as long as `trusted` vouches for who wrote the element. One that is no
/// address (`unknown`, `_hidden`, garbage) ends it: the client is then the proxy that wrote it.
///
/// Both `X-Forwarded-For` and `Forwarded` (RFC 7239) are read. A proxy that writes one of them passes the other on as the
/// client made it up; so when both are there and name different clients, neither is believed, and the client is `peer`.
pub fn client_address(
    head: &RequestHead,
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted(peer) {
        return peer;
    }
    let said_in = |known| nearest_untrusted(last_elements(head, known), peer, &trusted);
    match (
        head.count(Known::XForwardedFor),
        head.count(Known::Forwarded),
    ) {
        (0, 0) => peer,
        (_, 0) => said_in(Known::XForwardedFor),
        (0, _) => said_in(Known::Forwarded),
        _ => Some(said_in(Known::Forwarded))
            .filter(|&client| client == said_in(Known::XForwardedFor))
            .unwrap_or(peer),
    }
}

fn nearest_untrusted(
    elements: impl Iterator<Item = Option<IpAddr>>,
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer;
    for element in elements {
        let Some(address) = element else { break };
        client = address;
        if !trusted(client) {
            break;
        }
    }
    client
}

/// The last [`FORWARDED_ELEMENTS`], rightmost first.
fn last_elements(head: &RequestHead, known: Known) -> impl Iterator<Item = Option<IpAddr>> {
    // Quotes can be followed only from the left, so everything is read and the end of it remembered.
    let mut ring = [None; FORWARDED_ELEMENTS];
    let mut count = 0_usize;
    let mut remember = |address| {
        if let Some(slot) = ring.get_mut(count % FORWARDED_ELEMENTS) {
            *slot = address;
        }
        count += 1;
    };
    let lines = head.all(known);
    if known == Known::Forwarded {
        lines
            .flat_map(|line| quoted::split(line, b','))
            .for_each(|element| remember(forwarded_for(element)));
    } else {
        lines
            .flat_map(|line| line.split(|&b| b == b','))
            .for_each(|element| remember(parse_node(trim(element))));
    }
    let kept = count.min(FORWARDED_ELEMENTS);
    (1..=kept).map(move |back| {
        ring.get((count - back) % FORWARDED_ELEMENTS)
            .copied()
            .flatten()
    })
}

/// The `for` of one element of Forwarded; every parameter must be well-formed, and `for` stand once.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut node = None;
    for pair in quoted::split(element, b';') {
        let (name, value) = quoted::parameter(pair)?;
        if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            return None;
        }
    }
    parse_node(node?)
}

/// An address with or without a port; IPv6 with a port is in brackets.
fn parse_node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse()
            .ok()
            .map(IpAddr::V6)
    };
    let address = text.parse::<IpAddr>().ok();
    let address = address
        .or_else(bracketed)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

/// A range of addresses: `192.0.2.0/24`, `2001:db8::/32`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a text is not a [`Prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixFault {
    /// What stands before the slash is not an address.
    #[error("not an IP address")]
    Address,
    /// What stands after the slash is not a number that fits the address.
    #[error("the length after the slash must be a number, at most 32 for IPv4 and 128 for IPv6")]
    Length,
    /// Bits after the prefix are set: likely a typing error.
    #[error("the address has bits set beyond its prefix; did you mean {0}?")]
    HostBits(Prefix),
}

impl Prefix {
    /// Reads `address` or `address/length`.
    pub fn parse(text: &str) -> Result<Prefix, PrefixFault> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixFault::Address)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => longest,
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(PrefixFault::Length);
            }
            Some(digits) => digits.parse().map_err(|_| PrefixFault::Length)?,
        };
        if length > longest {
            return Err(PrefixFault::Length);
        }
        let prefix = Prefix {
            address: masked(address, length),
            length,
        };
        if prefix.address == address {
            Ok(prefix)
        } else {
            Err(PrefixFault::HostBits(prefix))
        }
    }

    /// Whether `address` lies in the range. An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.length) == self.address
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(length))
                .unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(length))
                .unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// A short list of ranges, such as the load balancers that are believed. An empty one contains nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefixes(Vec<Prefix>);

impl Prefixes {
    /// Whether `address` lies in any of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|prefix| prefix.contains(address))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Prefix> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Prefix> for Prefixes {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        Prefixes(prefixes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(lines: &[(&str, &str)]) -> String {
        let mut head = RequestHead::new();
        head.begin_h2();
        lines
            .iter()
            .for_each(|(name, value)| head.push_field(name.as_bytes(), value.as_bytes()));
        let trusted: Prefixes = ["10.0.0.0/8", "fd00::/8"]
            .map(|text| Prefix::parse(text).unwrap())
            .into_iter()
            .collect();
        client_address(&head, "10.0.0.1".parse().unwrap(), |address| {
            trusted.contains(address)
        })
        .to_string()
    }

    fn by_x_forwarded_for(values: &[&str]) -> String {
        client(
            &values
                .iter()
                .map(|value| ("x-forwarded-for", *value))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn fields_that_disagree_are_not_believed() {
        let both =
            |x: &str, forwarded: &str| client(&[("x-forwarded-for", x), ("forwarded", forwarded)]);
        assert_eq!(both("198.51.100.7", "for=198.51.100.7"), "198.51.100.7");
        assert_eq!(both("198.51.100.7", "for=198.51.100.8"), "10.0.0.1");
        assert_eq!(both("198.51.100.7", "for=unknown"), "10.0.0.1");
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        let mut head = RequestHead::new();
        head.begin_h2();
        head.push_field(b"x-forwarded-for", b"198.51.100.7");
        assert_eq!(
            client_address(&head, "::ffff:192.0.2.9".parse().unwrap(), |_| false).to_string(),
            "192.0.2.9"
        );
    }

    #[test]
    fn the_nearest_address_that_nobody_vouches_for() {
        let client = by_x_forwarded_for;
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            client(&["127.0.0.1, 198.51.100.7"]),
            "198.51.100.7",
            "the left is what the client made up"
        );
        assert_eq!(client(&["198.51.100.7, 10.2.3.4"]), "198.51.100.7");
        assert_eq!(
            client(&["198.51.100.7", "10.2.3.4:567"]),
            "198.51.100.7",
            "lines are one list"
        );
        assert_eq!(client(&["::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&["[2001:db8::1]:99"]), "2001:db8::1");
        assert_eq!(client(&["2001:db8::1, fd00::2"]), "2001:db8::1");
        assert_eq!(
            client(&["198.51.100.7, unknown, 10.2.3.4"]),
            "10.2.3.4",
            "it knows no more"
        );
        assert_eq!(client(&["198.51.100.7,"]), "10.0.0.1");
        assert_eq!(
            client(&["10.9.9.9, 10.2.3.4"]),
            "10.9.9.9",
            "all of them trusted"
        );
    }

    #[test]
    fn forwarded_of_rfc_7239() {
        let client = |values: &[&str]| {
            client(
                &values
                    .iter()
                    .map(|value| ("forwarded", *value))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            client(&["for=198.51.100.7;proto=https, For=10.2.3.4"]),
            "198.51.100.7"
        );
        assert_eq!(
            client(&["for=\"[2001:db8:cafe::17]:4711\""]),
            "2001:db8:cafe::17"
        );
        assert_eq!(client(&["for=_hidden"]), "10.0.0.1");
        assert_eq!(client(&["for=198.51.100.7;for=198.51.100.8"]), "10.0.0.1");
        assert_eq!(
            client(&["by=\"a, for=198.51.100.7"]),
            "10.0.0.1",
            "a quote that never closes"
        );
    }

    #[test]
    fn at_most_so_many_elements_are_looked_at() {
        let far = |proxies: usize| format!("198.51.100.7{}", ", 10.2.3.4".repeat(proxies));
        assert_eq!(
            by_x_forwarded_for(&[&far(FORWARDED_ELEMENTS - 1)]),
            "198.51.100.7"
        );
        assert_eq!(by_x_forwarded_for(&[&far(FORWARDED_ELEMENTS)]), "10.2.3.4");
    }

    #[test]
    fn prefixes() {
        let contains = |prefix: &str, address: &str| {
            Prefix::parse(prefix)
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(contains("192.0.2.0/24", "192.0.2.255") && !contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("0.0.0.0/0", "1.2.3.4") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(contains("::/0", "::1") && contains("2001:db8::/32", "2001:db8:ffff::"));
        assert_eq!(
            Prefix::parse("192.0.2.1/24").unwrap_err().to_string(),
            "the address has bits set beyond its prefix; did you mean 192.0.2.0/24?"
        );
        for wrong in ["1.2.3.4/33", "::/129", "::/", "::/+1", "::/1000"] {
            assert_eq!(Prefix::parse(wrong), Err(PrefixFault::Length), "{wrong}");
        }
        assert_eq!(Prefix::parse("").unwrap_err(), PrefixFault::Address);
        assert!(
            !Prefixes::default().contains("::1".parse().unwrap()),
            "empty is never everything"
        );
    }
}
