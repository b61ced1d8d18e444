//! Networks: ranges of addresses such as `10.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Addresses that share their first `prefix` bits, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` is inside. An IPv4 address in IPv6's clothing (`::ffff:a.b.c.d`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                mask4(own, self.prefix) == mask4(other, self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                mask6(own, self.prefix) == mask6(other, self.prefix)
            }
            _ => false,
        }
    }
}

/// Leading bits of an IPv6 address that are one client: one customer has at least so many addresses.
pub const CLIENT_BITS_V6: u8 = 64;

impl Network {
    /// The client that `address` belongs to: the address itself, or the first 64 bits of IPv6.
    pub fn of_client(address: IpAddr) -> Self {
        match address.to_canonical() {
            address @ IpAddr::V4(_) => Self {
                address,
                prefix: 32,
            },
            IpAddr::V6(address) => Self {
                address: mask6(address, CLIENT_BITS_V6).into(),
                prefix: CLIENT_BITS_V6,
            },
        }
    }

    /// Whether each address of `other` is one of ours.
    pub fn holds(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether the two have an address in common: then one holds the other.
    pub fn touches(&self, other: &Self) -> bool {
        self.holds(other) || other.holds(self)
    }

    /// Whether it is every address of its kind.
    pub fn is_everyone(&self) -> bool {
        self.prefix == 0
    }

    /// Whether it is wider than what one customer or one office has: a /24, or a /48.
    pub fn is_wide(&self) -> bool {
        match self.address {
            IpAddr::V4(_) => self.prefix < 24,
            IpAddr::V6(_) => self.prefix < 48,
        }
    }

    /// Its first address.
    pub fn first(&self) -> IpAddr {
        self.address
    }
}

/// An address, or a network around it, by the bytes that all its addresses begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    octets: [u8; 8],
    length: usize,
}

impl Prefix {
    /// Those bytes.
    pub fn bytes(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

/// How much an address may have of what is shared, and the networks around it: a /24 and a /16 of IPv4. Of IPv6 an address is
/// the first 64 bits, and the networks are /48 and /32.
pub const SHARES: [u32; 3] = [1, 4, 16];

/// Bytes of an address that make it and its networks, narrowest first.
const V4_BYTES: [usize; SHARES.len()] = [4, 3, 2];
const V6_BYTES: [usize; SHARES.len()] = [8, 6, 4];

/// An address and the networks around it, as [`SHARES`] tells of them.
pub fn around(address: IpAddr) -> [Prefix; SHARES.len()] {
    let mut octets = [0; 8];
    let lengths = match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            octets = [a, b, c, d, 0, 0, 0, 0];
            V4_BYTES
        }
        IpAddr::V6(v6) => {
            for (into, octet) in octets.iter_mut().zip(v6.octets()) {
                *into = octet;
            }
            V6_BYTES
        }
    };
    lengths.map(|length| Prefix { octets, length })
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "a network is written 10.0.0.0/8, 2001:db8::/32 or as one address".to_owned();
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        if prefix > bits {
            return Err(format!("this kind of address has {bits} bits"));
        }
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(mask4(address, prefix)),
            IpAddr::V6(address) => IpAddr::V6(mask6(address, prefix)),
        };
        if first != address {
            return Err(format!(
                "{address} has bits set after the first {prefix}; the network is {first}/{prefix}"
            ));
        }
        if address.to_canonical() != address {
            return Err("write an IPv4 network as IPv4".to_owned());
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

fn mask4(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn mask6(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX
        .checked_shl(128 - u32::from(prefix.min(128)))
        .unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let inside = |net: &str, address: &str| network(net).contains(address.parse().unwrap());
        assert!(inside("10.0.0.0/8", "10.255.255.255"));
        assert!(!inside("10.0.0.0/8", "11.0.0.0"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(inside("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!inside("::/0", "203.0.113.9"), "IPv6 networks hold no IPv4");
        assert!(inside("127.0.0.1", "127.0.0.1"));
        assert!(!inside("127.0.0.1", "127.0.0.2"));
    }

    #[test]
    fn two_networks_touch_when_one_holds_the_other() {
        for (wide, narrow) in [
            ("10.0.0.0/8", "10.1.0.0/16"),
            ("2001:db8::/64", "2001:db8::7"),
        ] {
            let (wide, narrow) = (network(wide), network(narrow));
            assert!(wide.holds(&narrow) && !narrow.holds(&wide));
            assert!(wide.touches(&narrow) && narrow.touches(&wide));
        }
        assert!(!network("10.0.0.0/9").touches(&network("10.128.0.0/9")));
        assert!(!network("::/0").touches(&network("10.0.0.0/8")));
        assert!(network("::/0").is_everyone() && !network("128.0.0.0/1").is_everyone());
        for (whole, wider) in [("10.0.0.0/24", "10.0.0.0/23"), ("::/48", "::/47")] {
            assert!(!network(whole).is_wide() && network(wider).is_wide());
        }
    }

    #[test]
    fn a_client_is_an_address_or_of_ipv6_what_a_customer_has() {
        let client = |address: &str| Network::of_client(address.parse().unwrap()).to_string();
        assert_eq!(client("::ffff:203.0.113.9"), "203.0.113.9/32");
        assert_eq!(client("2001:db8:0:7:a:b:c:d"), "2001:db8:0:7::/64");
    }

    #[test]
    fn around_an_address_are_two_networks() {
        let around =
            |address: &str| around(address.parse().unwrap()).map(|prefix| prefix.bytes().to_vec());
        let v4 = [vec![203, 0, 113, 9], vec![203, 0, 113], vec![203, 0]];
        assert_eq!(around("203.0.113.9"), v4);
        assert_eq!(around("::ffff:203.0.113.9"), v4);
        let [client, site, provider] = around("2001:db8:a:7:1:2:3:4");
        assert_eq!(client, [0x20, 1, 0xd, 0xb8, 0, 0xa, 0, 7]);
        assert_eq!(site, client[..6]);
        assert_eq!(provider, client[..4]);
    }

    #[test]
    fn an_ipv4_client_on_an_ipv6_socket_is_still_ipv4() {
        assert!(network("192.0.2.0/24").contains("::ffff:192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn a_network_with_stray_bits_is_refused_and_the_right_one_named() {
        let why = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert!(why.contains("10.0.0.0/8"), "{why}");
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0/8",
            "::ffff:10.0.0.0/104",
            "a/8",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
