//! Names and addresses with a grammar of their own. Each is checked when it is made and cannot exist unchecked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an origin is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Cleartext over TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// Cleartext over a Unix socket.
    Unix,
}

/// Where a site's content comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "WrittenOrigin", into = "WrittenOrigin")]
pub struct Origin {
    /// How it is reached.
    pub scheme: Scheme,
    /// A name or address in lower case, without brackets; `localhost` for a Unix socket.
    pub host: String,
    /// The TCP port; 0 for a Unix socket.
    pub port: u16,
    /// The path of the Unix socket, if it is one.
    pub socket_path: Option<String>,
    /// Its share among the site's origins, 1 to 1000.
    pub weight: u16,
    /// As written.
    pub url: String,
}

/// An origin as it is stored: everything else follows from the URL.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenOrigin {
    url: String,
    weight: u16,
}

/// The longest origin URL, in bytes.
pub const ORIGIN_URL_BYTES: usize = 2_048;
/// The largest weight.
pub const ORIGIN_WEIGHT: u16 = 1_000;
/// The longest Unix socket path: `sockaddr_un` holds 108 bytes with its final NUL.
pub const SOCKET_PATH_BYTES: usize = 107;

impl Origin {
    /// Reads `http://host[:port]`, `https://host[:port]` or `unix:/path`.
    ///
    /// # Errors
    /// Says what is wrong with the URL or the weight.
    pub fn parse(url: &str, weight: u16) -> Result<Self, String> {
        if url.len() > ORIGIN_URL_BYTES {
            return Err(format!(
                "an origin URL has at most {ORIGIN_URL_BYTES} bytes"
            ));
        }
        if weight == 0 || weight > ORIGIN_WEIGHT {
            return Err(format!("a weight is from 1 to {ORIGIN_WEIGHT}"));
        }
        if let Some(path) = url.strip_prefix("unix:") {
            return Self::unix(url, path, weight);
        }
        let (scheme, default_port, rest) = if let Some(rest) = strip_scheme(url, "http://") {
            (Scheme::Http, 80, rest)
        } else if let Some(rest) = strip_scheme(url, "https://") {
            (Scheme::Https, 443, rest)
        } else {
            return Err("an origin begins with http://, https:// or unix:/".to_owned());
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(
                "an origin has no path or query: paths are passed on as they are".to_owned(),
            );
        }
        if authority.contains('@') {
            return Err("an origin has no user or password in its URL".to_owned());
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => port,
            None => default_port,
        };
        if port == 0 {
            return Err("an origin's port is from 1 to 65535".to_owned());
        }
        Ok(Self {
            scheme,
            host: origin_host(host)?,
            port,
            socket_path: None,
            weight,
            url: url.to_owned(),
        })
    }

    fn unix(url: &str, path: &str, weight: u16) -> Result<Self, String> {
        if !path.starts_with('/') || path.starts_with("//") || path.chars().any(char::is_control) {
            return Err("a Unix socket is written unix:/absolute/path".to_owned());
        }
        if path.len() > SOCKET_PATH_BYTES {
            return Err(format!(
                "the system's limit for a socket path is {SOCKET_PATH_BYTES} bytes"
            ));
        }
        Ok(Self {
            scheme: Scheme::Unix,
            host: "localhost".to_owned(),
            port: 0,
            socket_path: Some(path.to_owned()),
            weight,
            url: url.to_owned(),
        })
    }
}

impl TryFrom<WrittenOrigin> for Origin {
    type Error = String;

    fn try_from(written: WrittenOrigin) -> Result<Self, String> {
        Self::parse(&written.url, written.weight)
    }
}

impl From<Origin> for WrittenOrigin {
    fn from(origin: Origin) -> Self {
        Self {
            url: origin.url,
            weight: origin.weight,
        }
    }
}

/// The Host an origin sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPolicy {
    /// The client's.
    #[default]
    Preserve,
    /// The name (and port, if not the default) in the origin's URL.
    Origin,
    /// This one.
    Literal(String),
}

impl TryFrom<String> for HostPolicy {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "preserve" => Ok(Self::Preserve),
            "origin" => Ok(Self::Origin),
            name => {
                let (host, port) = split_port(name)?;
                let host = origin_host(host)?;
                let host = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host
                };
                Ok(Self::Literal(port.map_or_else(
                    || host.clone(),
                    |port| format!("{host}:{port}"),
                )))
            }
        }
    }
}

impl From<HostPolicy> for String {
    fn from(policy: HostPolicy) -> Self {
        match policy {
            HostPolicy::Preserve => "preserve".to_owned(),
            HostPolicy::Origin => "origin".to_owned(),
            HostPolicy::Literal(name) => name,
        }
    }
}

/// Status codes from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange {
    /// The first code that counts.
    pub first: u16,
    /// The last code that counts.
    pub last: u16,
}

impl StatusRange {
    /// Whether `status` is in the range.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let code = |text: &str| -> Option<u16> {
            (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| text.parse().ok())?
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (code(first), code(last)) {
            (Some(first), Some(last))
                if (100..=599).contains(&first) && first <= last && last <= 599 =>
            {
                Ok(Self { first, last })
            }
            _ => Err("status codes are written \"200\" or \"200-399\", from 100 to 599".to_owned()),
        }
    }
}

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(out, "{}", self.first)
        } else {
            write!(out, "{}-{}", self.first, self.last)
        }
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> Self {
        range.to_string()
    }
}

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

/// Schemes are case-insensitive (RFC 3986 section 3.1).
fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let head = url.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme)
        .then(|| url.get(scheme.len()..))?
}

/// Splits `host[:port]`, where an IPv6 host is in brackets; the host comes back without them.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
        host.parse::<Ipv6Addr>()
            .map_err(|_| format!("[{host}] is not an IPv6 address"))?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("after ] comes :port or nothing".to_owned()),
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address is written in brackets: [::1]".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        None => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(
                digits
                    .parse::<u16>()
                    .map_err(|_| format!("{digits} is not a port: they end at 65535"))?,
            )
        }
        Some(other) => return Err(format!("{other:?} is not a port number")),
    };
    Ok((host, port))
}

/// A name or address to connect to, in canonical form.
fn origin_host(host: &str) -> Result<String, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    dns_name(host)
}

/// The longest name in the DNS, written out (RFC 1035 section 2.3.4).
pub const NAME_BYTES: usize = 253;
/// The longest label between two dots (RFC 1035 section 2.3.4).
pub const LABEL_BYTES: usize = 63;

/// Checks a DNS name and puts it in lower case, without a final dot. Underscores are let through: they are in use.
pub(crate) fn dns_name(name: &str) -> Result<String, String> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    if bare.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if !bare.is_ascii() {
        return Err("a name outside ASCII is written in its xn-- form (RFC 5891)".to_owned());
    }
    if bare.len() > NAME_BYTES {
        return Err(format!("a name has at most {NAME_BYTES} bytes"));
    }
    for label in bare.split('.') {
        if label.is_empty() {
            return Err("there is nothing between two dots".to_owned());
        }
        if label.len() > LABEL_BYTES {
            return Err(format!(
                "each part between dots has at most {LABEL_BYTES} bytes"
            ));
        }
        if let Some(wrong) = label
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        {
            return Err(format!("{wrong:?} cannot be in a host name"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a part between dots neither begins nor ends with -".to_owned());
        }
    }
    let last = bare.rsplit('.').next().unwrap_or(bare);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "a name whose last part is a number would be read as an IPv4 address".to_owned(),
        );
    }
    Ok(bare.to_ascii_lowercase())
}
