//! The PROXY protocol, versions 1 and 2: what a load balancer says about the connection before the client's first byte.
//!
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. To be read only from listed addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::refusal::Refusal;

/// The longest header of version 1, with its CR LF.
pub const V1_BYTES: usize = 107;
/// The longest header of version 2 read: addresses, and the extensions that real balancers add.
pub const V2_BYTES: usize = 2048;

/// A whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its bytes: what the client sent begins after them.
    pub length: usize,
    /// Who is connected, through the balancer, to whom; `None` when the balancer speaks for itself (health checks) or
    /// does not say. The address of the connection then stands.
    pub connection: Option<Proxied>,
}

/// Both ends of the connection that the balancer accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxied {
    /// The client.
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads a header from the start of `input`; `None` when more must arrive. Anything else than a header is refused, as soon
/// as it is certain: a listener either expects one from an address, or does not look for it.
pub fn parse(input: &[u8]) -> Result<Option<ProxyHeader>, Refusal> {
    if starts_alike(input, V2_SIGNATURE) {
        return v2(input);
    }
    if starts_alike(input, b"PROXY ") {
        return v1(input);
    }
    Err(Refusal::MalformedProxyProtocol)
}

/// Whether `input` begins with `prefix`, as far as it goes.
fn starts_alike(input: &[u8], prefix: &[u8]) -> bool {
    input.iter().zip(prefix).all(|(a, b)| a == b)
}

fn v1(input: &[u8]) -> Result<Option<ProxyHeader>, Refusal> {
    let within = input.get(..input.len().min(V1_BYTES)).unwrap_or_default();
    let Some(lf) = memchr::memchr(b'\n', within) else {
        let full = within.len() == V1_BYTES;
        return if full {
            Err(Refusal::MalformedProxyProtocol)
        } else {
            Ok(None)
        };
    };
    let line = within
        .get(..lf)
        .and_then(|line| line.strip_suffix(b"\r"))
        .ok_or(Refusal::MalformedProxyProtocol)?;
    let connection = v1_connection(line).ok_or(Refusal::MalformedProxyProtocol)?;
    Ok(Some(ProxyHeader {
        length: lf + 1,
        connection,
    }))
}

/// `PROXY TCP4 192.0.2.1 198.51.100.7 56324 443`
fn v1_connection(line: &[u8]) -> Option<Option<Proxied>> {
    let line = std::str::from_utf8(line)
        .ok()
        .filter(|line| !line.contains('\r'))?;
    let rest = line.strip_prefix("PROXY ")?;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = rest.split(' ');
    let is_v4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let mut address = || {
        words
            .next()?
            .parse::<IpAddr>()
            .ok()
            .filter(|address| address.is_ipv4() == is_v4)
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let digits = words.next()?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        digits.parse::<u16>().ok().filter(|_| plain)
    };
    let (source_port, destination_port) = (port()?, port()?);
    words.next().is_none().then(|| {
        Some(Proxied {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
        })
    })
}

fn v2(input: &[u8]) -> Result<Option<ProxyHeader>, Refusal> {
    let malformed = Err(Refusal::MalformedProxyProtocol);
    let after = input.get(V2_SIGNATURE.len()..).unwrap_or_default();
    let is_local = match after.first() {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return malformed,
    };
    let [_, family, high, low, rest @ ..] = after else {
        return Ok(None);
    };
    let body_length = usize::from(u16::from_be_bytes([*high, *low]));
    let length = V2_SIGNATURE.len() + 4 + body_length;
    if length > V2_BYTES {
        return malformed;
    }
    let Some(body) = rest.get(..body_length) else {
        return Ok(None);
    };
    // What follows the addresses is extensions (TLV), which nothing here needs.
    let connection = match family {
        _ if is_local => None,
        0x00 => None,
        0x11 => Some(v2_ipv4(body)),
        0x21 => Some(v2_ipv6(body)),
        0x31 if body_length >= 216 => None,
        _ => return malformed,
    };
    match connection {
        None => Ok(Some(ProxyHeader {
            length,
            connection: None,
        })),
        Some(None) => malformed,
        Some(connection) => Ok(Some(ProxyHeader { length, connection })),
    }
}

fn v2_ipv4(body: &[u8]) -> Option<Proxied> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    v2_ports(
        Ipv4Addr::from_octets(*source).into(),
        Ipv4Addr::from_octets(*destination).into(),
        rest,
    )
}

fn v2_ipv6(body: &[u8]) -> Option<Proxied> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    v2_ports(
        Ipv6Addr::from_octets(*source).into(),
        Ipv6Addr::from_octets(*destination).into(),
        rest,
    )
}

fn v2_ports(source: IpAddr, destination: IpAddr, rest: &[u8]) -> Option<Proxied> {
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some(Proxied {
        source: SocketAddr::new(source, u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(destination, u16::from_be_bytes(*destination_port)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Result<Option<ProxyHeader>, Refusal> = Err(Refusal::MalformedProxyProtocol);

    fn v2_header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, body].concat()
    }

    fn source(input: &[u8]) -> Option<String> {
        let header = parse(input).unwrap().unwrap();
        assert_eq!(
            header.length,
            input.len() - 3,
            "the client's GET is not part of it"
        );
        header
            .connection
            .map(|connection| connection.source.to_string())
    }

    #[test]
    fn version_1() {
        assert_eq!(
            source(b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\nGET").as_deref(),
            Some("192.0.2.1:56324")
        );
        assert_eq!(
            source(b"PROXY TCP6 2001:db8::1 ::1 1 443\r\nGET").as_deref(),
            Some("[2001:db8::1]:1")
        );
        assert_eq!(source(b"PROXY UNKNOWN\r\nGET"), None);
        assert_eq!(source(b"PROXY UNKNOWN what ever\r\nGET"), None);
        for wrong in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UDP4 a\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r 2\r\n",
        ] {
            assert_eq!(parse(wrong.as_bytes()), REFUSED, "{wrong}");
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES - 16));
        assert_eq!(parse(longest.as_bytes()).unwrap().unwrap().length, V1_BYTES);
        assert_eq!(parse(longest.replacen('x', "xx", 1).as_bytes()), REFUSED);
    }

    #[test]
    fn version_2() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 187];
        let with_get = |header: Vec<u8>| [&header, &b"GET"[..]].concat();
        assert_eq!(
            source(&with_get(v2_header(0x21, 0x11, &v4))).as_deref(),
            Some("192.0.2.1:80")
        );
        let with_extension = [&v4[..], &[4, 0, 1, 9]].concat();
        assert_eq!(
            source(&with_get(v2_header(0x21, 0x11, &with_extension))).as_deref(),
            Some("192.0.2.1:80")
        );
        let v6 = [[0; 15].as_slice(), &[1], &[0; 16], &[0, 80, 1, 187]].concat();
        assert_eq!(
            source(&with_get(v2_header(0x21, 0x21, &v6))).as_deref(),
            Some("[::1]:80")
        );
        assert_eq!(
            source(&with_get(v2_header(0x20, 0x11, &v4))),
            None,
            "LOCAL: the balancer's own health check"
        );
        assert_eq!(source(&with_get(v2_header(0x21, 0x00, &[]))), None);
        for (command, family, body) in [
            (0x22, 0x11, &v4[..]),
            (0x11, 0x11, &v4),
            (0x21, 0x12, &v4),
            (0x21, 0x11, &v4[..11]),
            (0x21, 0x21, &v4),
        ] {
            assert_eq!(
                parse(&v2_header(command, family, body)),
                REFUSED,
                "{command:x} {family:x}"
            );
        }
        assert!(
            parse(&v2_header(0x21, 0x11, &[0; V2_BYTES - 16]))
                .unwrap()
                .is_some()
        );
        assert_eq!(parse(&v2_header(0x21, 0x11, &[0; V2_BYTES - 15])), REFUSED);
    }

    #[test]
    fn every_beginning_of_a_header_waits_for_the_rest() {
        let headers = [
            b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n".to_vec(),
            v2_header(0x21, 0x11, &[1; 12]),
        ];
        for header in headers {
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end]), Ok(None), "{end}");
            }
        }
    }
}
