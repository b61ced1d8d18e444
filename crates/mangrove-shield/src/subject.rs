//! Whom an order is about: a network, or a piece of software by the way it greets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ja4::{Ja4, LENGTH};
use crate::network::Network;

/// What stands before a fingerprint where either could be written.
const JA4: &str = "ja4:";

/// Whom an order is about. Written as `198.51.100.0/24`, or `ja4:t13d1516h2_8daaf6152771_e5627efa2ab1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// Whoever comes from there.
    Network(Network),
    /// Whoever's TLS client has this stable fingerprint, on his own connection. Whoever wants another one has another one, and a
    /// browser's is millions of people's.
    Ja4(Ja4),
}

impl Subject {
    /// Whether a client is meant who comes from `address`, and greeted with `ja4` if that is known.
    pub fn is_about(&self, address: IpAddr, ja4: Option<&Ja4>) -> bool {
        match self {
            Self::Network(network) => network.contains(address),
            Self::Ja4(own) => ja4 == Some(own),
        }
    }

    /// Whether it is too much for one owner alone where nobody is known whom it would touch.
    pub fn is_wide(&self) -> bool {
        match self {
            Self::Network(network) => network.is_wide(),
            Self::Ja4(_) => true,
        }
    }

    /// The network, where it is one.
    pub fn network(&self) -> Option<Network> {
        match self {
            Self::Network(network) => Some(*network),
            Self::Ja4(_) => None,
        }
    }
}

impl From<Network> for Subject {
    fn from(network: Network) -> Self {
        Self::Network(network)
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(JA4) {
            Some(name) => name.parse().map(Self::Ja4),
            None => text
                .parse()
                .map(Self::Network)
                .map_err(|wrong| wrong.to_string()),
        }
    }
}

impl FromStr for Ja4 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "a fingerprint has three parts, such as t13d1516h2_8daaf6152771_e5627efa2ab1: tls.client.ja4_stable in the log".to_owned()
        };
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| wrong())?;
        let fits = bytes.iter().enumerate().all(|(at, byte)| match at {
            10 | 23 => *byte == b'_',
            0..10 => byte.is_ascii_alphanumeric(),
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
        fits.then(|| Self::written(bytes)).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Subject {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(out),
            Self::Ja4(ja4) => write!(out, "{JA4}{ja4}"),
        }
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURL: &str = "ja4:t13d3112h2_e8f1e7e78f70_375ca2c5e164";

    #[test]
    fn what_is_written_is_read() {
        for text in ["198.51.100.0/24", "2001:db8::/48", CURL] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "ja4:",
            "ja4:t13d3112h2_e8f1e7e78f70_375ca2c5e16",
            "ja4:t13d3112h2_e8f1e7e78f70_375ca2c5e1644",
            "ja4:t13d3112h2-e8f1e7e78f70_375ca2c5e164",
            "ja4:t13d3112h2_e8f1e7e78f7G_375ca2c5e164",
            "ja4:t13d3112\n2_e8f1e7e78f70_375ca2c5e164",
            "t13d3112h2_e8f1e7e78f70_375ca2c5e164",
        ] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fingerprint_is_about_nobody_of_whom_none_is_known() {
        let curl: Subject = CURL.parse().unwrap();
        let Subject::Ja4(name) = curl else {
            panic!("{curl}")
        };
        let address = "203.0.113.9".parse().unwrap();
        assert!(curl.is_about(address, Some(&name)));
        assert!(!curl.is_about(address, None));
        let other = "t13d3112h2_e8f1e7e78f70_375ca2c5e165".parse().unwrap();
        assert!(!curl.is_about(address, Some(&other)));
    }
}
