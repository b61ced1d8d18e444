//! Origins as written: their URL, the Host they see, the statuses they are well with. Each is checked when it is made
//! and cannot exist unchecked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{address_or_name, split_port};

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
        let port = port.unwrap_or(default_port);
        if port == 0 {
            return Err("an origin's port is from 1 to 65535".to_owned());
        }
        Ok(Self {
            scheme,
            host: address_or_name(host)?,
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
                let host = address_or_name(host)?;
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

/// Schemes are case-insensitive (RFC 3986 section 3.1).
fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let head = url.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme)
        .then(|| url.get(scheme.len()..))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_apart_once() {
        let origin = Origin::parse("HTTPS://App.Example.:8443/", 3).unwrap();
        assert_eq!(
            (origin.scheme, origin.host.as_str(), origin.port),
            (Scheme::Https, "app.example", 8443)
        );
        let origin = Origin::parse("http://[2001:DB8::1]", 1).unwrap();
        assert_eq!((origin.host.as_str(), origin.port), ("2001:db8::1", 80));
        let origin = Origin::parse("unix:/run/app.sock", 1).unwrap();
        assert_eq!(
            (origin.scheme, origin.socket_path.as_deref()),
            (Scheme::Unix, Some("/run/app.sock"))
        );
    }

    #[test]
    fn an_origin_that_could_be_misread_is_refused() {
        for wrong in [
            "",
            "app.example",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://u:p@a",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "http://::1",
            "http://[::1",
            "http://[::1]x",
            "http://a b",
            "http://a\r\nb",
            "http://1.2.3",
            "unix:app.sock",
            "unix://run/app.sock",
            "unix:/a\0b",
        ] {
            assert!(Origin::parse(wrong, 1).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_origin_one_past_a_limit_is_refused() {
        let socket = |length: usize| format!("unix:/{}", "s".repeat(length - 1));
        assert!(Origin::parse(&socket(SOCKET_PATH_BYTES), 1).is_ok());
        assert!(Origin::parse(&socket(SOCKET_PATH_BYTES + 1), 1).is_err());
        assert!(Origin::parse("http://a", ORIGIN_WEIGHT).is_ok());
        assert!(Origin::parse("http://a", ORIGIN_WEIGHT + 1).is_err());
        assert!(Origin::parse("http://a", 0).is_err());
        let long = format!("http://{}", "a.".repeat(ORIGIN_URL_BYTES / 2));
        assert!(Origin::parse(&long, 1).unwrap_err().contains("2048"));
    }

    #[test]
    fn a_host_policy_is_a_word_or_a_name() {
        let policy = |text: &str| HostPolicy::try_from(text.to_owned());
        assert_eq!(policy("preserve"), Ok(HostPolicy::Preserve));
        assert_eq!(
            policy("WWW.example:81"),
            Ok(HostPolicy::Literal("www.example:81".to_owned()))
        );
        assert_eq!(
            policy("[::1]:81"),
            Ok(HostPolicy::Literal("[::1]:81".to_owned()))
        );
        assert!(policy("a b").is_err());
    }

    #[test]
    fn a_status_range_holds_both_its_ends() {
        let range: StatusRange = "200-399".parse().unwrap();
        assert!(
            range.contains(200)
                && range.contains(399)
                && !range.contains(199)
                && !range.contains(400)
        );
        assert_eq!("204".parse::<StatusRange>().unwrap().to_string(), "204");
        for wrong in [
            "",
            "2",
            "099",
            "600",
            "300-200",
            "200-",
            "+20",
            "200-299-399",
        ] {
            assert!(wrong.parse::<StatusRange>().is_err(), "{wrong}");
        }
    }
}
