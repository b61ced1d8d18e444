//! What we need to know about a certificate: its dates, its serial number and the hosts it names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::UnixTime;

use super::der::{self, Der};
use super::problem::TlsFault;

/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Read from a certificate (RFC 5280 section 4.1); its signature is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateFacts {
    /// The serial number's DER value, by which an OCSP response names the certificate.
    pub(super) serial: Vec<u8>,
    /// First second of validity.
    pub(super) not_before: UnixTime,
    /// Last second of validity.
    pub(super) not_after: UnixTime,
    /// In lower case, without a final dot; a wildcard is the whole first label or not taken.
    pub(super) dns_names: Vec<String>,
    pub(super) ip_addresses: Vec<IpAddr>,
}

impl CertificateFacts {
    /// `None` if the bytes are no X.509 certificate.
    pub(super) fn read(certificate: &[u8]) -> Option<Self> {
        let mut outer = Der::new(certificate);
        let mut signed = outer.inside(der::SEQUENCE)?.inside(der::SEQUENCE)?;
        if !outer.is_empty() {
            return None;
        }
        signed.optional(der::context_constructed(0)); // version
        let serial = signed.value(der::INTEGER)?.to_vec();
        signed.value(der::SEQUENCE)?; // signature algorithm
        signed.value(der::SEQUENCE)?; // issuer
        let mut validity = signed.inside(der::SEQUENCE)?;
        let not_before = validity.time()?;
        let not_after = validity.time()?;
        signed.value(der::SEQUENCE)?; // subject
        signed.value(der::SEQUENCE)?; // public key
        signed.optional(der::context(1)); // issuer's unique identifier
        signed.optional(der::context(2)); // subject's unique identifier
        let mut facts = Self {
            serial,
            not_before,
            not_after,
            dns_names: vec![],
            ip_addresses: vec![],
        };
        if let Some(extensions) = signed.optional(der::context_constructed(3)) {
            facts.read_extensions(extensions)?;
        }
        Some(facts)
    }

    /// Whether it may be shown to clients at this time.
    pub(super) fn check_dates(&self, now: UnixTime) -> Result<(), TlsFault> {
        if now > self.not_after {
            return Err(TlsFault::Expired(self.not_after));
        }
        if now < self.not_before {
            return Err(TlsFault::NotYetValid(self.not_before));
        }
        Ok(())
    }

    fn read_extensions(&mut self, extensions: &[u8]) -> Option<()> {
        let mut list = Der::new(extensions).inside(der::SEQUENCE)?;
        while !list.is_empty() {
            let mut extension = list.inside(der::SEQUENCE)?;
            let id = extension.value(der::OBJECT_IDENTIFIER)?;
            extension.optional(der::BOOLEAN); // critical
            let content = extension.value(der::OCTET_STRING)?;
            if id == SUBJECT_ALT_NAME {
                self.read_names(content)?;
            }
        }
        Some(())
    }

    /// `GeneralNames` (RFC 5280 section 4.2.1.6); kinds other than hosts and addresses are passed over.
    fn read_names(&mut self, content: &[u8]) -> Option<()> {
        const DNS_NAME: u8 = der::context(2);
        const IP_ADDRESS: u8 = der::context(7);
        let mut names = Der::new(content).inside(der::SEQUENCE)?;
        while !names.is_empty() {
            match names.element()? {
                (DNS_NAME, name) => self.dns_names.extend(dns_name(name)),
                (IP_ADDRESS, octets) => self.ip_addresses.extend(ip_address(octets)),
                _ => {}
            }
        }
        Some(())
    }
}

/// A host name in the form that the index is keyed by, or `None` if no client could ask for it.
pub(super) fn dns_name(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let valid = !plain.is_empty()
        && name.len() <= 253
        && plain.bytes().all(is_host_byte)
        && plain
            .split('.')
            .all(|label| (1..=63).contains(&label.len()));
    valid.then(|| name.to_ascii_lowercase())
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(octets)
        .ok()
        .map(|v6| Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{at, issue};
    use super::*;

    #[test]
    fn dates_and_names_are_read_from_a_certificate() {
        let pair = issue(&["News.Example", "*.news.example", "192.0.2.7", "2001:db8::1"]);
        let facts = CertificateFacts::read(&pair.der).unwrap();
        assert_eq!(facts.dns_names, ["news.example", "*.news.example"]);
        assert_eq!(facts.ip_addresses[0].to_string(), "192.0.2.7");
        assert_eq!(facts.ip_addresses[1].to_string(), "2001:db8::1");
        assert_eq!(facts.not_before, at(pair.not_before));
        assert_eq!(facts.not_after, at(pair.not_after));
    }

    #[test]
    fn the_first_and_last_second_are_valid_and_their_neighbours_are_not() {
        let pair = issue(&["news.example"]);
        let facts = CertificateFacts::read(&pair.der).unwrap();
        let (first, last) = (pair.not_before, pair.not_after);
        assert_eq!(facts.check_dates(at(first)), Ok(()));
        assert_eq!(facts.check_dates(at(last)), Ok(()));
        assert_eq!(
            facts.check_dates(at(last + 1)),
            Err(TlsFault::Expired(at(last)))
        );
        assert_eq!(
            facts.check_dates(at(first - 1)),
            Err(TlsFault::NotYetValid(at(first)))
        );
    }

    #[test]
    fn names_that_no_client_can_ask_for_are_passed_over() {
        for name in [
            "",
            ".",
            "*",
            "*.",
            "a..b",
            "w*.example",
            "*.*.example",
            "a b",
            "ü.example",
        ] {
            assert_eq!(dns_name(name.as_bytes()), None, "{name}");
        }
        assert_eq!(dns_name(&[b'a'; 64]), None);
        assert_eq!(dns_name(b"News.Example.").as_deref(), Some("news.example"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = CertificateFacts::read(&bytes);
        }

        #[test]
        fn no_altered_or_cut_certificate_panics_the_reader(index: usize, byte: u8) {
            let mut der = issue(&["news.example", "192.0.2.7"]).der;
            let index = index % der.len();
            prop_assert_eq!(CertificateFacts::read(&der[..index]), None);
            der[index] = byte;
            let _ = CertificateFacts::read(&der);
        }
    }
}
